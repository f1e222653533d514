"""Hostile URLs, name servers and web servers: each is refused with its code, and nothing private is asked anything."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_server import Asked, ScriptedServer, head

from ifw.errors import FetchError, IfwError
from ifw.fetch import FetchOptions, check_url, fetch, post

ATTACKER = "127.0.0.2"  # plays a public host: the only address that the guard lets pass
OPTIONS = FetchOptions(
    allow_nets=(f"{ATTACKER}/32",), max_bytes=100_000, idle_timeout_s=10, max_retries=1, retry_wait_s=0.01
)
SECRET = b"the secret of the inner network"

INWARD = {
    "loopback": "http://127.0.0.1:{port}/",
    "another loopback": "http://127.0.0.3:{port}/",
    "name": "http://localhost:{port}/",
    "name in capitals": "http://LOCALHOST:{port}/",
    "name with a dot": "http://localhost.:{port}/",
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
    "mapped in hexadecimal": "http://[::ffff:7f00:1]:{port}/",
    "mapped in full": "http://[0:0:0:0:0:ffff:7f00:0001]:{port}/",
    "mapped any": "http://[::ffff:0.0.0.0]:{port}/",
    "compatible": "http://[::127.0.0.1]:{port}/",
    "NAT64": "http://[64:ff9b::7f00:1]:{port}/",
    "6to4": "http://[2002:7f00:1::]:{port}/",
    "Teredo": "http://[2001:0:808:808::80ff:fffe]:{port}/",
    "public user": "http://example.com@127.0.0.1:{port}/",
    "public user and password": "http://example.com:80@127.0.0.1:{port}/",
    "public fragment": "http://127.0.0.1:{port}#@example.com/",
    "public query": "http://127.0.0.1:{port}?@example.com/",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "metadata of containers": "http://169.254.170.2/v2/credentials",
    "metadata of IPv6": "http://[fd00:ec2::254]/latest/meta-data/",
    "metadata in shared space": "http://100.100.100.200/latest/meta-data/",
    "metadata at a public address": "http://168.63.129.16/machine",
    "private": "http://10.0.0.1/",
    "shared": "http://100.64.0.1/",
    "link-local": "http://[fe80::1]/",
    "multicast": "http://224.0.0.1/",
    "broadcast": "http://255.255.255.255/",
}
UNREADABLE = {
    "octal parts": "http://0177.0.0.01:{port}/",
    "scope": "http://[fe80::1%25lo]:{port}/",
    "escaped": "http://%31%32%37.0.0.1:{port}/",
    "circled": "http://①②⑦.0.0.1:{port}/",
    "backslash": "http://example.com\\@127.0.0.1:{port}/",
    "two users": "http://a@example.com@127.0.0.1:{port}/",
    "line ends": "http://127.0.0.1:{port}/ HTTP/1.1\r\nX: y",
    "file": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1:{port}/_x",
    "unix socket": "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
    "data": "data:,x",
    "no host": "http:///127.0.0.1:{port}/",
}


@pytest.fixture
def victim() -> ScriptedServer:
    with ScriptedServer(lambda asked: asked.answer(body=SECRET), host="") as server:  # on every address
        yield server


def refused(call: Callable[[], object], *codes: str) -> None:
    with pytest.raises(IfwError) as caught:
        call()
    assert caught.value.code in codes, caught.value


@pytest.mark.parametrize("url", [*INWARD.values(), *UNREADABLE.values()], ids=[*INWARD, *UNREADABLE])
def test_url_that_leads_inward(url: str, target: Path, victim: ScriptedServer) -> None:
    code = "url_forbidden" if url in INWARD.values() else "url_invalid"
    url = url.format(port=victim.port)
    refused(lambda: fetch(url, target, OPTIONS), code)
    refused(lambda: post(url, b"{}", {}, allow_nets=OPTIONS.allow_nets), code)
    refused(lambda: check_url(url, OPTIONS.guard()), code)
    assert victim.asked == []
    assert list(target.parent.iterdir()) == []


REDIRECTS = {
    **INWARD,
    **{name: UNREADABLE[name] for name in ("octal parts", "escaped", "file", "gopher", "data", "two users")},
    "without a scheme": "//127.0.0.1:{port}/",
    "colon alone": "http:127.0.0.1:{port}",
    "tab": "http://127.0.0.1\t:{port}/",
    "nothing": "http://",
    "too long": "/" + "a" * 9000,
}


@pytest.mark.parametrize("location", REDIRECTS.values(), ids=REDIRECTS)
def test_redirect_that_leads_inward(location: str, target: Path, victim: ScriptedServer) -> None:
    with ScriptedServer(lambda asked: asked.answer(302, Location=there), host=ATTACKER) as attacker:
        there = location.format(port=victim.port)
        refused(lambda: fetch(attacker.url(), target, OPTIONS), "url_forbidden", "url_invalid", "fetch_failed")
        assert len(attacker.asked) >= 1
    assert victim.asked == []
    assert not target.exists()


def test_redirect_inward_by_way_of_others(target: Path, victim: ScriptedServer) -> None:
    def answer(asked: Asked) -> None:
        asked.answer(301, Location=f"http://127.0.0.1:{victim.port}/" if asked.target == "/b" else "/b")

    with ScriptedServer(answer, host=ATTACKER) as attacker:
        refused(lambda: fetch(attacker.url(), target, OPTIONS), "url_forbidden")
    assert victim.asked == []


def test_refresh_header_and_page_are_not_followed(target: Path, victim: ScriptedServer) -> None:
    url = f"http://127.0.0.1:{victim.port}/"
    page = f'<meta http-equiv="refresh" content="0;url={url}">'.encode()
    with ScriptedServer(lambda asked: asked.answer(body=page, Refresh=f"0;url={url}"), host=ATTACKER) as attacker:
        fetch(attacker.url(), target, OPTIONS)
    assert victim.asked == []


@pytest.mark.parametrize("location", ["", "/talk.mp3", "?", "#x", "HTTP://{host}/talk.mp3", "http://u@{host}/talk.mp3"])
def test_redirect_in_a_circle(location: str, target: Path) -> None:
    with ScriptedServer(lambda asked: asked.answer(302, Location=there), host=ATTACKER) as attacker:
        there = location.format(host=f"{ATTACKER}:{attacker.port}")
        refused(lambda: fetch(attacker.url(), target, OPTIONS), "fetch_failed")
        assert len(attacker.asked) <= 2


def test_redirects_without_end(target: Path) -> None:
    with ScriptedServer(lambda asked: asked.answer(302, Location=asked.target + "x"), host=ATTACKER) as attacker:
        refused(lambda: fetch(attacker.url(), target, OPTIONS), "fetch_failed")
        assert len(attacker.asked) == OPTIONS.max_redirects + 1


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], [ATTACKER, "127.0.0.1"], ["127.0.0.1", ATTACKER]],
    ids=", ".join,
)
def test_name_with_a_private_address(
    addresses: list[str], target: Path, victim: ScriptedServer, answers: Callable[..., list[str]]
) -> None:
    answers("evil.test", addresses)
    refused(lambda: fetch(f"http://evil.test:{victim.port}/", target, OPTIONS), "url_forbidden")
    refused(lambda: post(f"http://evil.test:{victim.port}/", b"", {}, allow_nets=OPTIONS.allow_nets), "url_forbidden")
    assert victim.asked == []


def test_name_that_changes_after_it_was_checked(target: Path, answers: Callable[..., list[str]]) -> None:
    with ScriptedServer(lambda asked: asked.answer(body=b"public"), host=ATTACKER) as attacker:
        looked_up = answers("rebind.test", [ATTACKER], ["127.0.0.1"])
        fetch(f"http://rebind.test:{attacker.port}/", target, OPTIONS)
        assert target.read_bytes() == b"public"
        assert looked_up == ["rebind.test"]
        assert attacker.asked[0].headers["host"] == f"rebind.test:{attacker.port}"
        refused(lambda: fetch(f"http://rebind.test:{attacker.port}/", target, OPTIONS), "url_forbidden")


@pytest.mark.parametrize("way", ["redirect", "broken connection"])
def test_name_that_changes_before_the_next_connection(
    way: str, target: Path, victim: ScriptedServer, answers: Callable[..., list[str]]
) -> None:
    def answer(asked: Asked) -> None:
        if way == "redirect":
            asked.answer(302, Location="/next")
        else:
            asked.send(head(200, {"Content-Length": "9", "ETag": '"x"'}) + b"begin")

    with ScriptedServer(answer, host=ATTACKER) as attacker:
        answers("rebind.test", [ATTACKER], ["127.0.0.1"])
        refused(lambda: fetch(f"http://rebind.test:{attacker.port}/", target, OPTIONS), "url_forbidden")
        assert len(attacker.asked) == 1
    assert victim.asked == []


BOMB = gzip.compress(bytes(10_000_000))
ANSWERS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "fetch_failed"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n" + bytes(500) + b"\r\n\r\n", "fetch_failed"),
    "HTTP/0.9": (b"just a body", "fetch_failed"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "fetch_failed"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Le", "fetch_failed"),
    "status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", "fetch_failed"),
    "unknown status": (head(999, {"Content-Length": "0"}), "fetch_status"),
    "upgrade": (head(101, {"Upgrade": "x", "Connection": "upgrade"}), "fetch_failed"),
    "no content": (head(204, {}), "fetch_status"),
    "huge header": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n", "fetch_failed"),
    "many headers": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n", "fetch_failed"),
    "NUL in a header": (b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", "fetch_failed"),
    "header without a name": (b"HTTP/1.1 200 OK\r\n: a\r\n\r\n", "fetch_failed"),
    "negative length": (head(200, {"Content-Length": "-1"}) + b"x", "fetch_failed"),
    "length in hexadecimal": (head(200, {"Content-Length": "0x9"}) + b"x" * 9, "fetch_failed"),
    "two lengths": (head(200, {"Content-Length": "1", "content-length": "2"}) + b"xx", "fetch_failed"),
    "length beyond all": (head(200, {"Content-Length": "9" * 19}) + b"x", "fetch_too_large"),
    "length of 2^64": (head(200, {"Content-Length": "18446744073709551617"}) + b"x", "fetch_too_large"),
    "length that lies upwards": (head(200, {"Content-Length": "99999"}) + b"x", "fetch_failed"),
    "body over the limit": (head(200, {}) + b"x" * 200_000, "fetch_too_large"),
    "chunks over the limit": (head(200, {"Transfer-Encoding": "chunked"}) + b"8000\r\n" + b"x" * 32768, "fetch_failed"),
    "chunk of a wrong size": (head(200, {"Transfer-Encoding": "chunked"}) + b"zz\r\nxx\r\n", "fetch_failed"),
    "chunk of a negative size": (head(200, {"Transfer-Encoding": "chunked"}) + b"-1\r\nx\r\n", "fetch_failed"),
    "chunk that lies": (head(200, {"Transfer-Encoding": "chunked"}) + b"2\r\nxxxx\r\n0\r\n\r\n", "fetch_failed"),
    "chunks without an end": (head(200, {"Transfer-Encoding": "chunked"}) + b"1\r\nx\r\n", "fetch_failed"),
    "compressed on the way": (head(200, {"Transfer-Encoding": "gzip, chunked"}), "fetch_failed"),
    "zip bomb": (head(200, {"Content-Encoding": "gzip", "Content-Length": str(len(BOMB))}) + BOMB, "fetch_failed"),
    "doubled zip bomb": (head(200, {"Content-Encoding": "gzip, gzip"}) + BOMB, "fetch_failed"),
    "brotli": (head(200, {"Content-Encoding": "br", "Content-Length": "1"}) + b"x", "fetch_failed"),
    "part that nobody asked for": (
        head(206, {"Content-Range": "bytes 5-5/6", "Content-Length": "1"}) + b"x",
        "fetch_failed",
    ),
    "part without its place": (head(206, {"Content-Length": "1"}) + b"x", "fetch_failed"),
    "beginning alone": (head(206, {"Content-Range": "bytes 0-0/6", "Content-Length": "1"}) + b"x", "fetch_failed"),
    "several parts": (
        head(206, {"Content-Type": "multipart/byteranges; boundary=x", "Content-Length": "1"}) + b"x",
        "fetch_failed",
    ),
    "redirect to nowhere": (head(302, {"Content-Length": "0"}), "fetch_status"),
    "not modified": (head(304, {"ETag": '"x"'}), "fetch_status"),
    "endless passing failure": (head(503, {"Retry-After": "0", "Content-Length": "0"}), "fetch_status"),
}


@pytest.mark.parametrize(("answer", "code"), ANSWERS.values(), ids=ANSWERS)
def test_answer_that_is_an_attack(answer: bytes, code: str, target: Path) -> None:
    with ScriptedServer(lambda asked: asked.send(answer), host=ATTACKER) as attacker:
        refused(lambda: fetch(attacker.url("/talk.mp3?sig=s3cret"), target, OPTIONS), code)
        assert 1 <= len(attacker.asked) <= 2
        assert not target.exists()
        attacker.answerer = lambda asked: asked.answer(body=b"fine")
        fetch(attacker.url(), target, OPTIONS)
    assert target.read_bytes() == b"fine"


def test_server_that_answers_for_ever(target: Path) -> None:
    def answer(asked: Asked) -> None:
        asked.send(head(200, {"Transfer-Encoding": "chunked"}))
        while not asked.closing.is_set():
            asked.send(b"400\r\n" + b"x" * 1024 + b"\r\n")

    with ScriptedServer(answer, host=ATTACKER) as attacker:
        refused(lambda: fetch(attacker.url(), target, OPTIONS), "fetch_too_large")
    assert list(target.parent.iterdir()) == []


def test_server_that_sends_a_byte_and_breaks_off_for_ever(target: Path) -> None:
    def answer(asked: Asked) -> None:
        start = asked.range_start()
        part = {"Content-Range": f"bytes {start}-99998/99999"} if start else {}
        asked.send(head(206 if start else 200, {"ETag": '"x"', "Content-Length": str(99999 - start), **part}) + b"x")

    with ScriptedServer(answer, host=ATTACKER) as attacker:
        refused(lambda: fetch(attacker.url(), target, OPTIONS), "fetch_failed")
        assert len(attacker.asked) == OPTIONS.max_retries + 1


def test_name_of_the_file_is_no_path(target: Path) -> None:
    with ScriptedServer(lambda asked: asked.answer(body=b"x"), host=ATTACKER) as attacker:
        assert fetch(attacker.url("/..%2f..%2fetc%2fpasswd"), target, OPTIONS).name == "passwd"
        attacker.answerer = lambda asked: asked.answer(body=b"x", Content_Disposition='attachment; filename="../../x"')
        assert fetch(attacker.url(), target, OPTIONS).name == "x"
    assert [path.name for path in target.parent.iterdir()] == ["audio"]


def test_messages_have_no_secret(target: Path, victim: ScriptedServer) -> None:
    with ScriptedServer(lambda asked: asked.answer(404), host=ATTACKER) as attacker:
        for url in (
            f"http://u:s3cret@{ATTACKER}:{attacker.port}/a?sig=s3cret#s3cret",
            f"http://u:s3cret@127.0.0.1:{victim.port}/a?sig=s3cret",
            "http://u:s3cret@a b/?s3cret",
            f"http://u:s3cret@{ATTACKER}:1/?s3cret",
            "s3cret",
            "https://u:s3cret@@/?s3cret",
        ):
            with pytest.raises(FetchError) as caught:
                fetch(url, target, OPTIONS)
            assert "s3cret" not in str(caught.value)
