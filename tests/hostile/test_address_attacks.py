"""URLs of audio and of webhooks that lead into the inner network, at submission, by a redirect, or by a name."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest
from attacker import ADDRESS
from scripted_server import Asked
from siege import SECRET, Siege

INWARD = {
    "loopback": "http://127.0.0.1:{port}/",
    "another loopback": "http://127.0.0.3:{port}/",
    "local name": "http://localhost:{port}/",
    "local name with a dot": "http://LOCALHOST.:{port}/",
    "name below localhost": "http://a.localhost:{port}/",
    "decimal": "http://2130706433:{port}/",
    "hexadecimal": "http://0x7f000001:{port}/",
    "octal": "http://017700000001:{port}/",
    "short": "http://127.1:{port}/",
    "mixed": "http://0x7f.1:{port}/",
    "zero": "http://0:{port}/",
    "any": "http://0.0.0.0:{port}/",
    "any of IPv6": "http://[::]:{port}/",
    "loopback of IPv6": "http://[::1]:{port}/",
    "mapped": "http://[::ffff:127.0.0.1]:{port}/",
    "mapped in hexadecimal": "http://[0:0:0:0:0:ffff:7f00:0001]:{port}/",
    "compatible": "http://[::127.0.0.1]:{port}/",
    "NAT64": "http://[64:ff9b::7f00:1]:{port}/",
    "6to4": "http://[2002:7f00:1::]:{port}/",
    "user and password": "http://example.com:80@127.0.0.1:{port}/",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "metadata of IPv6": "http://[fd00:ec2::254]/latest/meta-data/",
    "private": "http://10.0.0.1/",
    "shared": "http://100.64.0.1/",
    "multicast": "http://224.0.0.1/",
}
UNREADABLE = {
    "octal parts": "http://0177.0.0.01:{port}/",
    "scope": "http://[fe80::1%25lo]:{port}/",
    "escaped": "http://%31%32%37.0.0.1:{port}/",
    "circled": "http://\N{CIRCLED DIGIT ONE}\N{CIRCLED DIGIT TWO}\N{CIRCLED DIGIT SEVEN}.0.0.1:{port}/",
    "backslash": "http://example.com\\@127.0.0.1:{port}/",
    "two users": "http://a@example.com@127.0.0.1:{port}/",
    "line ends": "http://127.0.0.1:{port}/ HTTP/1.1\r\nX: y",
    "NUL": "http://127.0.0.1\0.example.com:{port}/",
    "file": "file://{folder}/canary.ogg",
    "file without slashes": "file:{folder}/canary.ogg",
    "path": "{folder}/canary.ogg",
    "FFmpeg's concat": "concat:{folder}/canary.ogg",
    "FFmpeg's subfile": "subfile,,start,0,end,9,,:{folder}/canary.ogg",
    "gopher": "gopher://127.0.0.1:{port}/_x",
    "unix socket": "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
    "data": "data:audio/wav;base64,UklGRg==",
    "no host": "http:///127.0.0.1:{port}/",
    "endless": "http://example.com/" + "a" * 9000,
}
ALL = {name: (url, "url_forbidden") for name, url in INWARD.items()} | {
    name: (url, "url_invalid") for name, url in UNREADABLE.items()
}


NO_HEADER = ("path", "line ends", "NUL", "circled")  # what a Location cannot hold, or reads otherwise


def url_of(siege: Siege, pattern: str) -> str:
    return pattern.replace("{port}", str(siege.ports.port)).replace("{folder}", str(siege.files.folder))


@pytest.mark.parametrize("pattern", ALL)
def test_a_url_that_leads_inward_is_refused_on_every_route(siege: Siege, pattern: str) -> None:
    url, code = url_of(siege, ALL[pattern][0]), ALL[pattern][1]
    outside = {"url": siege.site.url("/")}
    for path, body in {
        "/tasks": {"url": url},
        "/": {"url": url},
        "/predict": {"url": url},
        "/async_predict": {"model_input": {"url": url}, "webhook_endpoint": outside["url"]},
    }.items():
        reply = siege.ask("POST", path, json=body)
        assert reply.status == 422
        assert reply.code == code or (pattern == "endless" and reply.code == "request_invalid"), reply.text
    for path, body in {
        "/tasks": {**outside, "webhook": {"url": url}},
        "/": {**outside, "is_async": True, "webhook": {"url": url, "header": {}}},
        "/async_predict": {"model_input": outside, "webhook_endpoint": url},
    }.items():
        reply = siege.ask("POST", path, json=body)
        assert reply.status == 422
        assert reply.code == code or (pattern == "endless" and reply.code == "request_invalid"), reply.text


@pytest.mark.parametrize("pattern", [name for name in ALL if name != "NUL"])
def test_a_url_that_leads_inward_is_refused_where_a_client_waits(siege: Siege, pattern: str) -> None:
    url, code = url_of(siege, ALL[pattern][0]), ALL[pattern][1]
    for path in ("/v1/audio/transcriptions", "/v1/audio/translations"):
        reply = siege.ask("POST", path, files={"url": (None, url)})
        assert (reply.status, reply.code) == (400, code)


def test_a_redirect_that_leads_inward_where_a_client_waits(siege: Siege) -> None:
    url = siege.site.redirect("/inward", f"http://127.0.0.1:{siege.ports.port}/")
    for path in ("/", "/predict"):
        reply = siege.ask("POST", path, json={"url": url})
        assert (reply.status, reply.code) == (422, "url_forbidden")
    reply = siege.ask("POST", "/v1/audio/transcriptions", files={"url": (None, url)})
    assert (reply.status, reply.code) == (400, "url_forbidden")


@pytest.mark.parametrize("pattern", [name for name in ALL if name not in NO_HEADER])
def test_a_redirect_that_leads_inward_fails_the_task(siege: Siege, pattern: str) -> None:
    start = siege.site.redirect("/away", url_of(siege, ALL[pattern][0]))
    allowed = ("url_forbidden",) if pattern in INWARD else ("url_forbidden", "url_invalid", "fetch_status")  # or a path
    assert siege.failure(siege.submit(start)) in allowed


def test_redirects_in_a_row_and_without_end(siege: Siege) -> None:
    inward = siege.site.redirect("/third", f"http://127.0.0.1:{siege.ports.port}/", 307)
    second = siege.site.redirect("/second", inward, 308)
    assert siege.failure(siege.submit(siege.site.redirect("/first", second, 301))) == "url_forbidden"
    assert siege.failure(siege.submit(siege.site.redirect("/circle", "/circle"))) == "fetch_failed"


def test_ways_out_of_the_server_to_itself(siege: Siege) -> None:
    """Its own port, which needs a key, by way of the attacker."""
    own = f"{siege.server.url}/tasks"
    assert siege.ask("POST", "/tasks", json={"url": own}).code == "url_forbidden"
    assert siege.failure(siege.submit(siege.site.redirect("/own", own))) == "url_forbidden"


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["::1"],
        [ADDRESS, "127.0.0.1"],
        ["10.0.0.1", ADDRESS],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["0.0.0.0"],
    ],
    ids="+".join,
)
def test_a_name_with_an_inner_address(siege: Siege, answers: Sequence[str]) -> None:
    siege.names.say("inward.test", answers)
    assert siege.failure(siege.submit(f"http://inward.test:{siege.ports.port}/")) == "url_forbidden"


def test_a_name_whose_answer_changes_after_it_was_looked_up(siege: Siege) -> None:
    """The first answer is what is connected to; the second would be the canary, at the same port."""
    siege.site.file("/talk.mp3", b"no audio")
    siege.names.say("rebinds.test", [ADDRESS], ["127.0.0.1"])
    before = siege.site.n_asked
    assert siege.failure(siege.submit(siege.site.url("/talk.mp3", "rebinds.test"))) == "audio_format"
    assert siege.site.n_asked == before + 1


def test_a_name_whose_answer_changes_before_a_redirect(siege: Siege) -> None:
    siege.names.say("turns.test", [ADDRESS], ["127.0.0.1"])
    siege.site.redirect("/turn", siege.site.url("/inner", "turns.test"))
    assert siege.failure(siege.submit(siege.site.url("/turn", "turns.test"))) == "url_forbidden"


def test_a_name_whose_answer_changes_before_the_next_attempt(siege: Siege) -> None:
    def cut(asked: Asked) -> None:
        asked.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: "1"\r\n\r\nbeginning')

    siege.site.pages["/cut"] = cut
    siege.names.say("breaks.test", [ADDRESS], ["127.0.0.1"])
    assert siege.failure(siege.submit(siege.site.url("/cut", "breaks.test"))) == "url_forbidden"


def test_a_webhook_whose_name_turns_inward(siege: Siege) -> None:
    siege.names.say("hook.test", ["127.0.0.1"])
    hook = f"http://hook.test:{siege.ports.port}/?key={SECRET}"
    task_id = siege.submit(siege.site.url("/none"), webhook={"url": hook, "headers": {"x-token": SECRET}})
    task = siege.when(task_id, lambda task: task["deliveries"])
    assert task["deliveries"][0]["status"] is None
    assert "not public" in task["deliveries"][0]["error"]


def test_a_webhook_that_redirects_inward_is_not_followed(siege: Siege) -> None:
    hook = siege.site.redirect("/hook", f"http://127.0.0.1:{siege.ports.port}/", 307)
    task_id = siege.submit(siege.site.url("/none"), webhook={"url": hook})
    task = siege.when(task_id, lambda task: task["deliveries"])
    assert task["deliveries"][0]["status"] == 307


def test_the_canaries_sing(siege: Siege) -> None:
    """What all these tests rely on."""
    (siege.files.folder / "secret.txt").read_text()
    assert siege.files.was_touched()
    socket.create_connection(("127.0.0.3", siege.ports.port)).close()
    assert siege.ports.touches() == [b""]
