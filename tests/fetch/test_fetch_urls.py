from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ifw.errors import IfwError, UrlInvalidError
from ifw.fetch import check_url, shown_url, url_name
from ifw.fetch.names import MAX_NAME_BYTES, disposition_name, file_name
from ifw.fetch.url import parse_url

GOOD = [
    "http://example.com",
    "HTTPS://EXAMPLE.COM:8443/a%20b.mp3?sig=a%2Fb+c#t=10",
    "https://münchen.example/ä b.mp3",
    "http://8.8.8.8:80/",
    "http://[2606:4700::1111]:8080/x",
    "http://user:p%40ss@example.com/x",
    "http://a_b.example./x",
]
BAD = {
    "nothing": "",
    "a path": "/talk.mp3",
    "a host alone": "example.com/talk.mp3",
    "a file": "file:///etc/passwd",
    "ftp": "ftp://example.com/a",
    "gopher": "gopher://127.0.0.1:25/_HELO",
    "data": "data:audio/wav;base64,UklGRg==",
    "concat": "concat:http://a|http://b",
    "javascript": "javascript:alert(1)",
    "no slashes": "http:example.com/a",
    "one slash": "http:/example.com/a",
    "no host": "http:///a",
    "port alone": "http://:80/a",
    "port 0": "http://example.com:0/a",
    "port too high": "http://example.com:65536/a",
    "port no number": "http://example.com:80a/a",
    "port signed": "http://example.com:+80/a",
    "port of other digits": "http://example.com:８０/a",
    "line end": "http://example.com/a\r\nHost: b",
    "line end in the host": "http://exam\nple.com/a",
    "tab": "http://exam\tple.com/a",
    "nul": "http://example.com\0.evil.com/",
    "space in the host": "http://exa mple.com/a",
    "space before": " http://example.com/a",
    "backslash": "http://example.com\\@127.0.0.1/a",
    "two @": "http://a@b@127.0.0.1/a",
    "percent in the host": "http://%31%32%37.0.0.1/a",
    "circled digits": "http://①②⑦.0.0.1/a",
    "full-width dot": "http://127。0。0。1 /a",
    "open bracket": "http://[::1/a",
    "brackets around IPv4": "http://[127.0.0.1]/a",
    "octal parts": "http://0177.0.0.01/a",
    "scope": "http://[fe80::1%25eth0]/a",
    "plain scope": "http://[fe80::1%eth0]/a",
    "empty label": "http://a..b/a",
    "dot alone": "http://./a",
    "label of 64": f"http://{'a' * 64}.com/",
    "name of 254": f"http://{'a.' * 127}b/",
    "too long": "http://example.com/" + "a" * 8192,
    "too long when quoted": "http://example.com/" + "ä" * 2000,
    "surrogate": "http://example.com/\ud800",
    "c1 control": "http://example.com/\x9b31m",
}


@pytest.mark.parametrize("url", GOOD)
def test_good_url_is_taken(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize("url", BAD.values(), ids=BAD.keys())
def test_bad_url_is_refused(url: str) -> None:
    with pytest.raises(UrlInvalidError, match="allowed: "):
        check_url(url)


@pytest.mark.parametrize("url", [None, b"http://example.com", 7])
def test_what_is_no_text_is_refused(url: str) -> None:
    with pytest.raises(UrlInvalidError, match="allowed: text"):
        check_url(url)


def test_url_is_read_once_into_what_is_sent() -> None:
    url = parse_url("https://me:p%40ss@EXAMPLE.com:444/a/../b c?sig=a%2Fb&t=ü#frag")
    assert (url.scheme, url.host, url.port, url.host_header) == ("https", "example.com", 444, b"example.com:444")
    assert url.target == b"/b%20c?sig=a%2Fb&t=%C3%BC"
    assert url.authorization == b"Basic " + base64.b64encode(b"me:p@ss")
    assert "me" not in url.whole
    assert parse_url("http://[2606:4700::1]/").host == "2606:4700::1"
    assert parse_url("http://[2606:4700::1]/").host_header == b"[2606:4700::1]"
    assert parse_url("http://example.com").target == b"/"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:secret@example.com:444/a b.mp3?sig=secret#secret", "https://example.com:444/a b.mp3"),
        ("https://example.com?sig=secret", "https://example.com"),
        ("https://example.com/@you/a.mp3", "https://example.com/@you/a.mp3"),
        ("http://[::1]:80/a?secret", "http://[::1]:80/a"),
        ("https://u:secret@example.com@127.0.0.1/a", "https://127.0.0.1/a"),
        ("https://u:sec/ret@example.com/", "<URL>"),
        ("https:u:secret@example.com/", "<URL>"),
        ("FTP://u:secret@example.com/a;x?secret", "ftp://example.com/a;x"),
        ("secret", "<URL>"),
        ("http://example.com/\x1b[2Jx", "http://example.com/\N{REPLACEMENT CHARACTER}[2Jx"),
        ("http://example.com/" + "a" * 500, "http://example.com/" + "a" * 181 + "..."),
    ],
)
def test_shown_url_has_no_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@given(st.text(), st.text(alphabet="ab/?#@:\\[]%. \n", max_size=8), st.sampled_from(["http://", "https:/", "", "//"]))
def test_shown_url_of_anything_has_no_secret(text: str, odd: str, start: str) -> None:
    assert "SECRET" not in shown_url(f"{start}user:SECRET@{odd}{text}?k=v")
    assert "SECRET" not in shown_url(f"https://example.com/{text}?{odd}SECRET")
    assert shown_url(text).isprintable()


@given(st.text() | st.from_regex(r"https?://[^/]{0,20}(/.{0,20})?", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        url = parse_url(text)
    except IfwError:
        return
    assert url.host
    assert url.target.startswith(b"/")
    assert url.target.isascii()
    assert b" " not in url.target
    assert b"\n" not in url.target
    assert parse_url(url.whole).target == url.target


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("talk.mp3", "talk.mp3"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("..", ""),
        (".", ""),
        ("", ""),
        (".htaccess", "htaccess"),
        ("-rf", "rf"),
        ("a\0b\n\x1b[2J\u202etalk.mp3", "a_b__[2J_talk.mp3"),
        ('a<b>c:d"e|f?g*h.mp3', "a_b_c_d_e_f_g_h.mp3"),
        ("CON.mp3", "_CON.mp3"),
        ("talk.mp3. .", "talk.mp3"),
        ("über talk.mp3", "über talk.mp3"),
        ("ä" * 300 + ".mp3", "ä" * 73 + ".mp3"),
        ("a" * 300, "a" * 150),
    ],
)
def test_file_name_is_safe(text: str, name: str) -> None:
    assert file_name(text) == name


@given(st.text())
def test_any_file_name_is_safe(text: str) -> None:
    name = file_name(text)
    assert not set(name) & set('/\\<>:"|?*')
    assert name.isprintable()
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert not name.startswith((".", "-"))
    assert file_name(name) == name


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="talk.mp3"', "talk.mp3"),
        ("attachment; filename*=UTF-8''%C3%BCber%20talk.mp3; filename=\"plain.mp3\"", "über talk.mp3"),
        ('attachment; filename="../../etc/cron.d/x"', "x"),
        ("attachment; filename*=UTF-8''..%2F..%2Fx", "x"),
        ("attachment; filename*=no-such-set''%ff.mp3", "ÿ.mp3"),
        ("attachment", ""),
        ("", ""),
        (';;;="', ""),
    ],
)
def test_name_of_content_disposition(header: str, name: str) -> None:
    assert disposition_name(header) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.com/a/talk.mp3?x=y/z.wav", "talk.mp3"),
        ("https://example.com/%2e%2e%2f%2e%2e%2fpasswd", "passwd"),
        ("https://example.com/a/b/", "b"),
        ("https://example.com/", "example.com"),
        ("https://example.com/%00%1b.mp3", "__.mp3"),
        ("https://[2606:4700::1]/", "2606_4700__1"),
    ],
)
def test_name_of_url(url: str, name: str) -> None:
    assert url_name(url) == name


@given(st.text())
def test_any_content_disposition_is_read(header: str) -> None:
    assert file_name(disposition_name(header)) == disposition_name(header)


LOCATION = st.text() | st.text(alphabet="ab1.:/?#@[]%\\ é0x\u3002①", max_size=30)


@given(LOCATION, st.sampled_from(["", "http://", "//", "https:", "/", "http:"]))
def test_any_redirect_is_followed_or_refused(rest: str, start: str) -> None:
    base = parse_url("https://me:pw@example.com/a/b?c")
    try:
        url = base.redirected(start + rest)
    except UrlInvalidError:
        return
    assert url.scheme in {"http", "https"}
    assert (url.authorization is None) == (url.origin != base.origin)
    assert parse_url(url.whole).origin == url.origin
