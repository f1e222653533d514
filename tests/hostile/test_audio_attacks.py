"""Files that name other files, that are larger inside than outside, or are not what they say."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile

import pytest
from bombs import silent_flac, wav
from scripted_server import Asked
from siege import SHORT, Siege

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>'
)
SDP = "v=0\no=- 0 0 IN IP4 {host}\ns=x\nc=IN IP4 {host}\nt=0 0\nm=audio {port} RTP/AVP 0\n"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><image href="{}"/></svg>'
XXE = '<!DOCTYPE x [<!ENTITY y SYSTEM "file://{}">]><x>&y;</x>'


def playlists(siege: Siege) -> dict[str, str]:
    file, page = f"{siege.files.folder}/canary.ogg", f"http://127.0.0.1:{siege.ports.port}/canary.ts"
    return {
        "hls file": HLS.format(f"file://{file}"),
        "hls path": HLS.format(file),
        "hls address": HLS.format(page),
        "hls key": HLS.format(page).replace("#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{page}"\n#EXTINF'),
        "hls concat": HLS.format(f"concat:{file}|{file}"),
        "ffconcat": f"ffconcat version 1.0\nfile '{file}'\n",
        "ffconcat address": f"ffconcat version 1.0\nfile '{page}'\n",
        "dash file": DASH.format(f"file://{file}"),
        "dash address": DASH.format(page),
        "m3u": f"#EXTM3U\n{file}\n{page}\n",
        "pls": f"[playlist]\nFile1={page}\nNumberOfEntries=1\n",
        "xspf": f"<playlist><trackList><track><location>{page}</location></track></trackList></playlist>",
        "asx": f'<asx version="3.0"><entry><ref href="{page}"/></entry></asx>',
        "sdp": SDP.format(host="127.0.0.1", port=siege.ports.port),
        "reference of RTSP": f"RTSPtext\r\nrtsp://127.0.0.1:{siege.ports.port}/\r\n",
        "svg": SVG.format(page),
        "entity": XXE.format(f"{siege.files.folder}/secret.txt"),
        "path": file,
    }


LISTS = ("hls file", "hls path", "hls address", "hls key", "hls concat", "ffconcat", "ffconcat address", "dash file")
LISTS += ("dash address", "m3u", "pls", "xspf", "asx", "sdp", "reference of RTSP", "svg", "entity", "path")


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_files_opens_none_of_them(siege: Siege, kind: str) -> None:
    data = playlists(siege)[kind].encode()
    page = siege.site.file("/list.m3u8", data, Content_Type="application/vnd.apple.mpegurl")
    sent = siege.upload(data, "talk.m3u8", "application/vnd.apple.mpegurl")
    fetched = siege.submit(page)
    assert siege.failure(sent) == siege.failure(fetched) == "audio_format"
    reply = siege.ask("POST", "/v1/audio/transcriptions", files={"file": ("talk.mp3", data)})
    assert (reply.status, reply.code) == (400, "audio_format")
    reply = siege.ask("POST", "/predict", json={"url": page})
    assert (reply.status, reply.code) == (415, "audio_format")


def mov_with_reference(siege: Siege) -> bytes:
    """A QuickTime file whose sound lies in another file (`dref` with an alias and a URL)."""
    place = f"file://{siege.files.folder}/canary.ogg\0".encode()
    sound = bytearray(_m4a())
    at = sound.index(b"dref")
    entry = struct.pack(">I4sI", 12 + len(place), b"url ", 0) + place
    grown = len(entry) - 12
    whole = sound[: at + 12] + entry + sound[at + 24 :]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = whole.index(name) - 4
        struct.pack_into(">I", whole, start, struct.unpack_from(">I", whole, start)[0] + grown)
    return bytes(whole)


def _m4a() -> bytes:
    import av
    import numpy as np

    file = io.BytesIO()
    with av.open(file, "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def test_a_film_whose_sound_is_in_another_file(siege: Siege) -> None:
    task = siege.ended(siege.upload(mov_with_reference(siege), "talk.mov"))
    assert task["state"] == "succeeded" or task["error"]["code"].startswith("audio_")


BOMBS = {
    "declared days of silence": silent_flac(100, declares_it=True),
    "undeclared hours of silence": silent_flac(30, declares_it=False),
    "a sample a second": silent_flac(10_000, 1, declares_it=True),
    "a sample a second, undeclared": wav(0xFFFFFFFF, rate=1),
    "a rate of gigahertz": wav(2000, rate=0xFFFFFFFF),
    "a rate of 0": wav(2000, rate=0),
    "thousands of channels": wav(200_000, n_channels=10_000, sound=bytes(200_000)),
    "no channels": wav(2000, n_channels=0),
    "samples of 65,535 bits": wav(2000, bits=65_535),
}
SHORTER = {"a day that is a second": wav(2 * 8000 * 90_000), "4 GB that are a second": wav(0xFFFFFFFF)}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_its_task(siege: Siege, name: str) -> None:
    data = BOMBS[name]
    assert len(data) < 800_000
    sent, fetched = siege.upload(data), siege.submit(siege.site.file("/bomb.flac", data))
    codes = {siege.failure(sent), siege.failure(fetched)}
    assert (
        codes == {"audio_too_long"}
        if "silence" in name
        else codes < {"audio_no_stream", "audio_format", "audio_damaged"}
    )


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
def test_a_bomb_is_refused_where_a_client_waits(siege: Siege, path: str) -> None:
    data = BOMBS["undeclared hours of silence"]
    reply = siege.ask("POST", path, files={"file": ("a.flac", data)}, data={"stream": "true"})
    assert (reply.status, reply.code) == (413, "audio_too_long")


@pytest.mark.parametrize("name", SHORTER)
def test_a_length_that_is_a_lie_does_not_matter(siege: Siege, name: str) -> None:
    task = siege.ended(siege.upload(SHORTER[name]))
    assert task["state"] == "succeeded" or task["error"]["code"] in ("audio_too_long", "audio_damaged"), task


def test_much_silence_within_the_limit_is_no_speech(siege: Siege) -> None:
    task_id = siege.upload(silent_flac(0.15, declares_it=False))
    assert siege.ended(task_id)["state"] == "succeeded"
    assert json.loads(siege.ask("GET", f"/tasks/{task_id}/transcript").text)["segments"] == []


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", data)
    return file.getvalue()


WRONG = {
    "nothing": b"",
    "one byte": b"\0",
    "text": b"no audio" * 99,
    "zip": zipped(bytes(1 << 20)),
    "gzip": gzip.compress(bytes(1 << 20)),
    "html": b"<!doctype html><title>404</title>",
    "json": b'{"url": "file:///etc/passwd"}',
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(999),
    "program": b"\x7fELF" + bytes(999),
    "half a header": b"RIFF\xff\xff\xff\xffWAVEfmt ",
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_audio_is_refused_whatever_it_says_it_is(siege: Siege, kind: str) -> None:
    page = siege.site.file("/wrong.mp3", WRONG[kind], Content_Type="audio/mpeg")
    allowed = {"audio_format", "audio_no_stream", "audio_damaged", "audio_empty"}
    assert siege.failure(siege.submit(page)) in allowed
    reply = siege.ask("POST", "/v1/audio/transcriptions", files={"file": ("a.mp3", WRONG[kind], "audio/mpeg")})
    assert (reply.status, reply.code in allowed) == (400, True)


def test_audio_is_audio_whatever_it_says_it_is(siege: Siege) -> None:
    page = siege.site.file("/talk.exe", SHORT.read_bytes(), Content_Type="text/html")
    assert siege.ended(siege.submit(page))["state"] == "succeeded"


def test_a_page_that_is_compressed_or_too_large(siege: Siege) -> None:
    page = siege.site.file("/packed", gzip.compress(bytes(99 << 20)), Content_Encoding="gzip")
    assert siege.failure(siege.submit(page)) == "fetch_failed"
    siege.site.pages["/large"] = lambda asked: asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    assert siege.failure(siege.submit(siege.site.url("/large"))) == "fetch_too_large"
    siege.site.pages["/endless"] = lambda asked: [asked.send(bytes(1 << 20)) for _ in _begun(asked)]
    assert siege.failure(siege.submit(siege.site.url("/endless"))) == "fetch_too_large"


def _begun(asked: Asked) -> range:
    asked.send(b"HTTP/1.1 200 OK\r\n\r\n")
    return range(20)
