"""Bodies: JSON that is none or too much of it, forms that are none or too much of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from siege import SHORT, Siege, form

FILE = {"Content-Disposition": 'form-data; name="file"; filename="talk.ogg"'}
MULTIPART = "multipart/form-data; boundary=b"
FORM_ROUTES = ("/tasks", "/v1/audio/transcriptions", "/v1/audio/translations", "/asr", "/detect-language")
JSON_ROUTES = ("/tasks", "/", "/predict", "/async_predict")
DEEP = 50_000

NO_JSON = {
    "nothing": b"",
    "half": b'{"url": "http://exa',
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"url":' * DEEP + b"1" + b"}" * DEEP,
    "deep below a field": b'{"url": "http://x.test/", "vad": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "list": b"[]",
    "text": b'"url"',
    "null": b"null",
    "number": b"1e999999",
    "NaN": b"NaN",
    "infinity": b'{"url": Infinity}',
    "digits without end": b'{"url": ' + b"9" * 100_000 + b"}",
    "no UTF-8": b'{"url": "http://x.test/\xff"}',
    "half a pair": b'{"url": "http://x.test/\\ud800"}',
    "NUL": b'{"url": "http://x.test/\\u0000"}',
    "comment": b'{"url": "http://x.test/" /* hi */}',
    "two": b'{"url": "http://x.test/"}{"url": "http://x.test/"}',
    "BOM": b"\xef\xbb\xbf[]",
    "number for url": b'{"url": 5}',
    "list for url": b'{"url": ["http://x.test/"]}',
    "object for url": b'{"url": {"$ne": null}}',
    "true for url": b'{"url": true}',
    "null for url": b'{"url": null}',
    "empty url": b'{"url": ""}',
}


@pytest.mark.parametrize("kind", NO_JSON)
def test_json_that_is_none_or_wrong(siege: Siege, kind: str) -> None:
    for path in JSON_ROUTES:
        answer = siege.ask("POST", path, content=NO_JSON[kind], headers={"content-type": "application/json"})
        assert answer.status in (400, 422), path
        assert answer.code in ("request_invalid", "url_invalid")
        assert len(answer.text) < 2000


ODD_OPTIONS: dict[str, Any] = {
    "priority": [1e300, 10**30, "1; DROP TABLE tasks", [], None, 0.5],
    "deadline_s": [-1, 0, 1e300, "soon", []],
    "language": ["\0", "e" * 65, 5, "../en", "klingon", "\ud800"],
    "mode": ["", "Transcribe", 0, ["transcribe"]],
    "preset": ["__class__", "fast\0", 1],
    "temperatures": [[], [-1], [1e9], ["hot"], [0] * 17, 99],
    "beam_size": [0, -1, 10**9, 1.5],
    "initial_prompt": ["a" * 8193, 5],
    "hotwords": [["a"], "a" * 8193],
    "clip": [[[1, 0]], [[-1, 1]], [[0, 1]] * 1001, [[0, 1e30]], "0-1", [[0]]],
    "vad": [[], {"onset": 2}, {"__proto__": {}}, {"max_window_s": 1e9}, "off"],
    "channels": ["all", 7],
    "webhook": ["http://x.test/", {}, {"url": "x"}, {"url": "http://x.test/", "headers": [1]}],
    "__class__": ["x"],
    "suppress_tokens": [[1]],
    "managed_task_id": ["a"],
}


@pytest.mark.parametrize("name", ODD_OPTIONS)
def test_options_that_are_not_allowed(siege: Siege, name: str) -> None:
    for value in ODD_OPTIONS[name]:
        body = json.dumps({"url": siege.site.url("/none"), name: value})
        answer = siege.ask("POST", "/tasks", content=body, headers={"content-type": "application/json"})
        assert answer.status == 422, (value, answer)
        assert answer.code in ("request_invalid", "config_invalid", "language_unknown", "url_invalid"), answer


def test_a_key_that_comes_twice_is_read_once(siege: Siege) -> None:
    """The last one counts, for the check as for the fetch."""
    inner = f"http://127.0.0.1:{siege.ports.port}/"
    for first, last in ((siege.site.url("/none"), inner), (inner, siege.site.url("/none"))):
        body = f'{{"url": "{first}", "url": "{last}"}}'
        answer = siege.ask("POST", "/tasks", content=body, headers={"content-type": "application/json"})
        assert answer.status == 202 if last != inner else answer.code == "url_forbidden"


@pytest.mark.parametrize("path", JSON_ROUTES)
def test_json_that_is_too_long(siege: Siege, path: str) -> None:
    body = json.dumps({"url": siege.site.url("/none"), "initial_prompt": "a" * (1 << 21)})
    answer = siege.ask("POST", path, content=body, headers={"content-type": "application/json"})
    assert (answer.status, answer.code) == (413, "request_too_large")
    answer = siege.ask("POST", path, content=iter([body.encode()]), headers={"content-type": "application/json"})
    assert (answer.status, answer.code) == (413, "request_too_large")


KINDS = (
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/mixed; boundary=b",
    "image/png",
    "\xff",
    "a" * 9999,
)
KINDS += (
    "application/json\x01",
    "multipart/form-data; boundary=",
    "multipart/form-data",
    "multipart/form-data; boundary=" + "b" * 999,
)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_bodies_that_are_not_read(siege: Siege, kind: str) -> None:
    body = form((FILE, b"x"), ("url", b"http://x.test/"))
    for path in FORM_ROUTES:
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
        (answer,) = siege.raw(head % (path.encode(), kind.encode("latin-1"), len(body)) + body)
        assert answer.status in (400, 415, 422), answer
        assert answer.code in ("request_invalid", "media_type_unsupported")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip", "x" * 999])
def test_compressed_bodies_are_not_read(siege: Siege, encoding: str) -> None:
    for path, kind in (("/tasks", MULTIPART), ("/tasks", "application/json"), ("/v1/audio/transcriptions", MULTIPART)):
        headers = {"content-type": kind, "content-encoding": encoding}
        answer = siege.ask("POST", path, content=form((FILE, b"x")), headers=headers)
        assert (answer.status, answer.code) == (415, "media_type_unsupported")


def fitted(path: str, body: bytes) -> bytes:
    """The same form with the file where the route wants it."""
    return body.replace(b'name="file"', b'name="audio_file"') if path in ("/asr", "/detect-language") else body


def part(disposition: str, **more: str) -> dict[str, str]:
    return {"Content-Disposition": disposition, **{name.replace("_", "-"): value for name, value in more.items()}}


NO_FORM = {
    "nothing": b"",
    "no boundary": b"x" * 9999,
    "another boundary": form((FILE, b"x"), boundary="c"),
    "no end": form((FILE, b"x"), end=b""),
    "cut in the middle of the file": form((FILE, b"x" * 9999))[:5000],
    "cut in the boundary": form((FILE, b"x"))[:-3],
    "no headers of a part": form(({}, b"x")),
    "no name": form((part("form-data"), b"x")),
    "an empty name": form((part('form-data; name=""'), b"x")),
    "an attachment": form((part('attachment; name="file"'), b"x")),
    "headers without end": b"--b\r\nContent-Disposition: form-data; name=" + b"a" * 99_999,
    "a header without end": b"--b\r\nX-" + b"a" * 99_999,
    "many headers": b"--b\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(99_999)),
    "a boundary in a header": b'--b\r\nContent-Disposition: form-data; name="file\r\n--b\r\n"\r\n\r\nx\r\n--b--\r\n',
    "a name that is no UTF-8": b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--b--\r\n',
    "a value that is no UTF-8": form((FILE, b"x"), ("language", b"\xff")),
    "base64": form((part('form-data; name="file"; filename="a"', Content_Transfer_Encoding="base64"), b"eA==")),
    "two files": form((FILE, b"x"), (FILE, b"y")),
    "a file in another field": form((part('form-data; name="url"; filename="a"'), b"x")),
    "10,000 fields": form((FILE, b"x"), *[(f"f{n}", b"x") for n in range(10_000)]),
    "10,000 empty fields": form((FILE, b"x"), *[("language", b"")] * 10_000),
    "a field of 1 MB": form((FILE, b"x"), ("language", b"x" * (1 << 20))),
    "a name of 1 MB": form((FILE, b"x"), ("x" * (1 << 20), b"x")),
    "nested parts": form(
        (part("form-data; name=file", Content_Type="multipart/mixed; boundary=c"), form(boundary="c"))
    ),
}


@pytest.mark.parametrize("kind", NO_FORM)
def test_forms_that_are_none_or_too_much(siege: Siege, kind: str) -> None:
    for path in FORM_ROUTES:
        answer = siege.ask("POST", path, content=fitted(path, NO_FORM[kind]), headers={"content-type": MULTIPART})
        if kind == "nested parts" and answer.status == 202:
            assert siege.failure(json.loads(answer.text)["id"]) == "audio_format"
            continue
        assert answer.status in (400, 413, 415, 422), answer
        allowed = ("request_invalid", "request_too_large", "audio_empty", "language_unknown", "audio_format")
        assert answer.code in allowed, answer
    siege.quiet()


NAMES = (
    "../../../../tmp/evil",
    "/etc/passwd",
    "..\\..\\evil.ogg",
    "C:\\evil.ogg",
    "a\0b.ogg",
    "a\nb: c.ogg",
    "." * 999,
    "",
)
NAMES += (
    "\N{RIGHT-TO-LEFT OVERRIDE}ggo.exe",
    "file:///etc/passwd",
    "http://127.0.0.1/",
    "upload",
    "a" * 9000,
    "%2e%2e%2fevil",
    "$(id)",
)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_are_only_shown(siege: Siege, name: str) -> None:
    quoted = name.replace("\\", "\\\\").encode()
    data = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n--b--\r\n'
    body = data % (quoted, SHORT.read_bytes())
    answer = siege.ask("POST", "/tasks", content=body, headers={"content-type": MULTIPART})
    if answer.status != 202:
        assert (answer.status in (413, 422), answer.code in ("request_invalid", "request_too_large")) == (True, True)
        return
    task = json.loads(answer.text)
    shown = task["source"]["name"]
    assert not set(shown or "") & set("/\\\0\n\N{RIGHT-TO-LEFT OVERRIDE}")
    assert len(shown or "") <= 255
    assert [path.name for path in (siege.server.data_dir / "spool" / task["id"]).iterdir()] == ["upload"]
    assert siege.ended(task["id"])["state"] == "succeeded"


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_do_not_write_headers(siege: Siege, name: str) -> None:
    quoted = name.replace("\\", "\\\\").encode()
    data = b'--b\r\nContent-Disposition: form-data; name="audio_file"; filename="%b"\r\n\r\n%b\r\n--b--\r\n'
    reply = siege.client.post("/asr", content=data % (quoted, SHORT.read_bytes()), headers={"content-type": MULTIPART})
    if siege.checked(reply).status == 200:
        assert re.fullmatch(r"attachment; filename\*=UTF-8''[\w.~%-]+", reply.headers["content-disposition"])
    else:
        assert reply.json()["code"] in ("request_invalid", "request_too_large")


@pytest.mark.parametrize(
    "name", ["../../etc", "/etc/passwd", "{folder}", "file://{folder}", "openai/whisper-tiny", "\0", "a" * 9999]
)
def test_names_of_models_load_nothing(siege: Siege, name: str) -> None:
    fields = {"model": name.replace("{folder}", str(siege.files.folder))}
    reply = siege.client.post("/v1/audio/transcriptions", files={"file": SHORT.read_bytes()}, data=fields)
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "model_not_found"


def test_ten_uploads_that_are_cut_off_leave_nothing(siege: Siege) -> None:
    for path in FORM_ROUTES:
        body = fitted(path, form((FILE, b"x" * 3_000_000)))
        for n in range(10):
            head = (
                f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            siege.cut_off(head.encode() + body[: 1000 + n * 299_000])
    siege.quiet()


def test_a_file_that_is_too_long(siege: Siege) -> None:
    for path in FORM_ROUTES:
        body = fitted(path, form((FILE, bytes(9_000_000))))
        for content in (body, iter([body])):
            answer = siege.ask("POST", path, content=content, headers={"content-type": MULTIPART})
            assert (answer.status, answer.code) == (413, "request_too_large")
    siege.quiet()
