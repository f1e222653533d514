"""Bodies as clients of OpenAI's API other than its own package send them, and replies as they are on the wire."""

import asyncio
import json

import httpx2
import pytest
from openai_server import GERMAN, KEY, MAX_UPLOAD, serving_openai
from server_process import PATIENCE_S

FILE = ("file", None)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving_openai(tmp_path_factory.mktemp("openai")) as running:
        yield running


def form(*pairs, boundary="----WebKitFormBoundary7MA4YWxk", file=GERMAN):
    """A form by hand; the file comes where its pair is."""
    parts = []
    for name, value in pairs:
        if value is None:
            head = f'form-data; name="{name}"; filename="{file.name}"\r\nContent-Type: application/octet-stream'
            data = file.read_bytes()
        else:
            head, data = f'form-data; name="{name}"', value.encode()
        parts.append(f"--{boundary}\r\nContent-Disposition: {head}\r\n\r\n".encode() + data + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), {
        "Content-Type": f"multipart/form-data; boundary={boundary}"
    }


def posted(server, *pairs, path="/v1/audio/transcriptions", **headers):
    data, content_type = form(*pairs)
    return server.client.post(path, content=data, headers={"Authorization": f"Bearer {KEY}", **content_type, **headers})


@pytest.mark.parametrize(
    "pairs",
    [
        [FILE, ("model", "whisper-1"), ("response_format", "verbose_json"), ("timestamp_granularities[]", "word")],
        [("timestamp_granularities", "word"), ("response_format", "verbose_json"), FILE],
        [("response_format", "verbose_json"), ("timestamp_granularities", '["word"]'), FILE, ("model", "whisper-1")],
        [
            FILE,
            ("chunking_strategy", "auto"),
            ("response_format", "verbose_json"),
            ("timestamp_granularities[0]", "word"),
        ],
    ],
)
def test_fields_in_any_order_and_encoding(server, pairs):
    reply = posted(server, *pairs)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert (bool(body["words"]), "segments" in body) == (True, False)


def test_a_form_without_a_model_gets_the_loaded_one(server):
    assert posted(server, FILE).json()["text"]


def test_events_on_the_wire(server):
    reply = posted(server, FILE, ("stream", "true"))
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["cache-control"] == "no-cache"
    lines = reply.text.split("\n\n")
    assert lines.pop() == ""
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert [event["type"] for event in events][-2:] == ["transcript.text.delta", "transcript.text.done"]


def test_text_has_the_type_that_openai_gives_it(server):
    for form_name in ("text", "srt", "vtt"):
        reply = posted(server, FILE, ("response_format", form_name))
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        assert "ü" in reply.content.decode() or reply.content


def raw_error(reply, status):
    assert reply.status_code == status, reply.text
    body = reply.json()
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert reply.headers["x-request-id"]
    return body["error"]["param"], body["error"]["code"]


def test_a_form_without_a_file(server):
    assert raw_error(posted(server, ("model", "whisper-1")), 400) == ("file", "request_invalid")


def test_a_body_that_is_no_form(server):
    headers = {"Authorization": f"Bearer {KEY}"}
    reply = server.client.post("/v1/audio/transcriptions", json={"model": "whisper-1"}, headers=headers)
    assert raw_error(reply, 415) == (None, "media_type_unsupported")


def test_routes_and_methods_that_are_not_there(server):
    headers = {"Authorization": f"Bearer {KEY}"}
    assert raw_error(server.client.get("/v1/nothing", headers=headers), 404)[1] == "not_found"
    assert raw_error(server.client.get("/v1/audio/transcriptions", headers=headers), 405)[1] == "method_not_allowed"
    assert raw_error(server.client.get("/v1/models/", headers=headers), 404) == ("model", "model_not_found")
    assert raw_error(server.client.get("/v1/models/a/b/c", headers=headers), 404) == ("model", "model_not_found")


def test_curl_as_the_documentation_of_openai_has_it(server):
    """`curl -F file=@... -F model=...` waits for 100 Continue before a large body."""
    reply = posted(server, FILE, ("model", "whisper-1"), Expect="100-continue")
    assert reply.json()["text"]


def test_a_client_that_hangs_up_while_it_sends_leaves_nothing(server):
    data, headers = form(FILE)
    request = "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + KEY + "\r\n"
    head = request + f"Content-Type: {headers['Content-Type']}\r\nContent-Length: {len(data)}\r\n\r\n"
    url = httpx2.URL(server.url)

    async def hang_up():
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(head.encode() + data[: len(data) // 2])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    asyncio.run(asyncio.wait_for(hang_up(), PATIENCE_S))
    assert posted(server, FILE).status_code == 200  # and that nothing is left is seen at the end of the server


def in_pieces(data):
    """A body whose length is not known before its end."""
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


def test_bodies_of_unknown_length(server):
    data, headers = form(FILE, ("response_format", "text"))
    headers = {"Authorization": f"Bearer {KEY}", **headers}
    reply = server.client.post("/v1/audio/transcriptions", content=in_pieces(data), headers=headers)
    assert reply.status_code == 200, reply.text
    assert reply.text == posted(server, FILE, ("response_format", "text")).text
    larger = data.replace(b"\r\n------", bytes(MAX_UPLOAD) + b"\r\n------", 1)
    reply = server.client.post("/v1/audio/transcriptions", content=in_pieces(larger), headers=headers)
    assert raw_error(reply, 413) == (None, "request_too_large")


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ("multipart/form-data", "request_invalid"),
        ("multipart/form-data; boundary=other", "request_invalid"),
        ("application/x-www-form-urlencoded", "media_type_unsupported"),
        ("audio/mpeg", "media_type_unsupported"),
        ("", "media_type_unsupported"),
    ],
)
def test_content_types_that_fit_no_form(server, head, code):
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": head}
    reply = server.client.post("/v1/audio/transcriptions", content=form(FILE)[0], headers=headers)
    assert raw_error(reply, 400 if code == "request_invalid" else 415)[1] == code


def test_a_field_in_place_of_the_file_is_no_file(server):
    assert raw_error(posted(server, ("audio", None)), 400)[1] == "request_invalid"
    assert raw_error(posted(server, FILE, FILE), 400)[1] == "request_invalid"
