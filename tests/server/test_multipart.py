import hashlib
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ifw.errors import RequestError, RequestTooLargeError
from ifw.server.multipart import Form, FormLimits, FormParser, base_name

BOUNDARY = b"xxBOUNDARYxx"
LIMITS = FormLimits(max_file_bytes=1000, max_fields=3, max_field_bytes=50, max_fields_bytes=100)


def part(name: str, value: bytes, headers: bytes = b"", file_name: str | None = None) -> bytes:
    extra = b"" if file_name is None else f'; filename="{file_name}"'.encode()
    disposition = b'Content-Disposition: form-data; name="' + name.encode() + b'"' + extra
    return b"--" + BOUNDARY + b"\r\n" + disposition + b"\r\n" + headers + b"\r\n" + value + b"\r\n"


END = b"--" + BOUNDARY + b"--\r\n"


def parsed(target: Path, *pieces: bytes, limits: FormLimits = LIMITS) -> Form:
    with FormParser(BOUNDARY, target, limits) as parser:
        for piece in pieces:
            parser.feed(piece)
        return parser.finish()


@pytest.mark.parametrize("step", [1, 3, 7, 64, 10_000])
def test_the_file_and_the_fields_in_any_order_and_any_pieces(tmp_path: Path, step: int) -> None:
    data = bytes(range(256)) + b"\r\n--xxBOUNDARY\r\n--" + b"\r\n\r\n-"
    body = (
        part("language", "dé".encode())
        + part("file", data, b"Content-Type: audio/MPEG; x=y\r\n", "../../etc/passwd")
        + part("word_timestamps", b"true")
        + END
    )
    form = parsed(tmp_path / "upload", *(body[at : at + step] for at in range(0, len(body), step)))
    assert form.fields == (("language", "dé"), ("word_timestamps", "true"))
    assert form.upload is not None
    assert form.upload.path == tmp_path / "upload"
    assert form.upload.path.read_bytes() == data
    assert form.upload.sha256 == hashlib.sha256(data).hexdigest()
    assert (form.upload.name, form.upload.n_bytes) == ("passwd", len(data))


@settings(deadline=None, max_examples=60)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 600), max_size=6))
def test_any_bytes_come_through_whatever_the_cuts(tmp_path_factory: pytest.TempPathFactory, data, cuts) -> None:
    body = part("file", data, file_name="a") + part("a", b"1") + END
    edges = [0, *sorted(cuts), len(body)]
    pieces = [body[start:end] for start, end in itertools.pairwise(edges)]
    form = parsed(tmp_path_factory.mktemp("form") / "upload", *pieces)
    if BOUNDARY not in data:
        assert form.upload is not None
        assert form.upload.path.read_bytes() == data


def test_a_prefix_is_written_and_not_counted(tmp_path: Path) -> None:
    with FormParser(BOUNDARY, tmp_path / "upload", LIMITS, prefix=b"head") as parser:
        parser.feed(part("file", b"a" * 1000) + END)
        upload = parser.finish().upload
    assert upload is not None
    assert upload.path.read_bytes() == b"head" + b"a" * 1000
    assert (upload.n_bytes, upload.sha256) == (1000, hashlib.sha256(b"a" * 1000).hexdigest())


def test_without_a_file_nothing_is_created(tmp_path: Path) -> None:
    form = parsed(tmp_path / "upload", part("a", b"1") + part("a", b"2") + END)
    assert form.upload is None
    assert form.values("a") == ("1", "2")
    assert form.values("b") == ()
    assert list(tmp_path.iterdir()) == []


def test_a_file_needs_no_file_name(tmp_path: Path) -> None:
    form = parsed(tmp_path / "upload", part("file", b"abc") + END)
    assert form.upload is not None
    assert form.upload.name == ""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "before its closing boundary"),
        (part("file", b"abc", file_name="a"), "before its closing boundary"),
        (b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data; na", "before its closing boundary"),
        (b'{"url": "http://a/b"}', "is no multipart/form-data"),
        (b"--" + BOUNDARY + b"\r\nA: b\r\n\r\nx\r\n" + END, "no content-disposition"),
        (b"--" + BOUNDARY + b'\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n' + END, "content-disposition"),
        (b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END, "no content-disposition"),
        (part("", b"x") + END, "no content-disposition"),
        (part("file", b"a", file_name="a") + part("file", b"b", file_name="b") + END, "second file"),
        (part("other", b"a", file_name="a") + END, "other: got a file"),
        (part("a", b"\xff\xfe") + END, "a: is not encoded as UTF-8"),
        (part("a", b"x", b"Content-Transfer-Encoding: base64\r\n") + END, "content-transfer-encoding"),
        (part("a", b"x", b"X: " + b"y" * 5000 + b"\r\n") + END, "header size"),
        (part("a", b"x", b"X: y\r\n" * 9) + END, "header count"),
        (part("a", b"x", b"no colon\r\n") + END, "is no multipart/form-data"),
    ],
)
def test_what_is_no_allowed_form_is_refused(tmp_path: Path, body: bytes, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parsed(tmp_path / "upload", body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (part("file", b"a" * 1001, file_name="a") + END, "larger than 1000 bytes"),
        (part("a", b"x" * 51) + END, "a: is longer than 50 bytes"),
        (part("a", b"x" * 49) + part("b", b"x" * 50) + END, "longer than 100 bytes together"),
        (part("n" * 101, b"") + END, "longer than 100 bytes together"),
        (b"".join(part(f"f{n}", b"") for n in range(4)) + END, "more than 3 fields"),
    ],
)
def test_limits(tmp_path: Path, body: bytes, message: str) -> None:
    with pytest.raises(RequestTooLargeError, match=message):
        parsed(tmp_path / "upload", body)


def test_what_just_fits_is_taken(tmp_path: Path) -> None:
    body = part("file", b"a" * 1000, file_name="a") + part("a", b"x" * 50) + part("b", b"") + part("c", b"") + END
    form = parsed(tmp_path / "upload", body)
    assert form.upload is not None
    assert form.upload.n_bytes == 1000


@pytest.mark.parametrize("boundary", [b"", b"x" * 300])
def test_boundaries_that_cannot_be_used(tmp_path: Path, boundary: bytes) -> None:
    with pytest.raises(RequestError, match="content-type"):
        FormParser(boundary, tmp_path / "upload", LIMITS)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.mp3", "a.mp3"),
        ("../../a.mp3", "a.mp3"),
        ("C:\\music\\a.mp3", "a.mp3"),
        ("/etc/passwd", "passwd"),
        ("a\x00b\r\n\u202egpj.mp3", "abgpj.mp3"),
        ("x" * 300, "x" * 255),
        ("..", ".."),
        ("/", ""),
    ],
)
def test_names_are_only_shown(name: str, shown: str) -> None:
    assert base_name(name) == shown


LONG = FormLimits(1000, 3, 50, 100, long_names=frozenset({"clip"}), max_long_bytes=300, max_long_fields=2)


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_long_fields_lie_on_the_disk_beside_the_file(tmp_path: Path, step: int) -> None:
    body = (
        part("clip[]", b"x" * 300)
        + part("clips", b"short")
        + part("file", b"y" * 1000, file_name="a")
        + part("clip", b"\xff" * 299)
        + END
    )
    form = parsed(tmp_path / "upload", *(body[at : at + step] for at in range(0, len(body), step)), limits=LONG)
    assert form.fields == (("clips", "short"),)
    assert [name for name, _ in form.long_fields] == ["clip", "clip"]
    assert [path.read_bytes() for _, path in form.long_fields] == [b"x" * 300, b"\xff" * 299]
    assert form.upload is not None
    assert form.upload.path.read_bytes() == b"y" * 1000
    assert {path.parent for _, path in form.long_fields} == {tmp_path}


@pytest.mark.parametrize(
    "fields", [[("clip", b"x" * 301)], [("clip[]", b"x" * 150), ("clip[0]", b"x" * 301)], [("clip", b"x")] * 3]
)
def test_long_fields_have_limits(tmp_path: Path, fields: list[tuple[str, bytes]]) -> None:
    with pytest.raises(RequestTooLargeError, match="clip"):
        parsed(tmp_path / "upload", *(part(name, value) for name, value in fields), END, limits=LONG)


def test_a_long_field_is_no_file_and_long_nowhere_else(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="got a file, allowed: text"):
        parsed(tmp_path / "upload", part("clip", b"x", file_name="a.wav"), END, limits=LONG)
    with pytest.raises(RequestTooLargeError, match="longer than 50 bytes"):
        parsed(tmp_path / "upload", part("clip", b"x" * 51), END)
