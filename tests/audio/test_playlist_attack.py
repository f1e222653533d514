"""A playlist under an innocent name must make the decoder read no other file and no address."""

from __future__ import annotations

import http.server
import io
import threading

import av
import pytest
from recordings import WAV, Coding, encode, tone

from ifw.audio import decode
from ifw.audio.container import FORMATS, DescriptorReader, open_container
from ifw.errors import AudioError, AudioFormatError

KINDS = ["ffconcat", "ffconcat absolute", "hls", "hls file", "hls address", "dash", "dash address", "sdp", "xspf"]


class Listener:
    """A local HTTP server that remembers what was asked of it."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        requests = self.requests

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append(self.path)
                self.send_error(404)

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})


@pytest.fixture
def listener():
    listener = Listener()
    listener.thread.start()
    yield listener
    listener.server.shutdown()
    listener.thread.join()
    listener.server.server_close()


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.wav"
    path.write_bytes(encode(tone(1), WAV))
    return path


def playlists(secret, url):
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        '<Period><AdaptationSet mimeType="audio/wav"><Representation id="1" bandwidth="1">'
        "<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )
    return {
        "ffconcat": f"ffconcat version 1.0\nfile {secret.name}\n",
        "ffconcat absolute": f"ffconcat version 1.0\nfile '{secret}'\n",
        "hls": hls.format(secret.name),
        "hls file": hls.format(f"file://{secret}"),
        "hls address": hls.format(f"{url}/secret.wav"),
        "dash": dash.format(secret.name),
        "dash address": dash.format(f"{url}/secret.wav"),
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        "xspf": f"<playlist><trackList><track><location>{url}/x</location></track></trackList></playlist>",
    }


def test_the_attack_works_on_a_decoder_without_an_allow_list(secret, listener):
    evil = secret.with_name("evil.mp3")
    evil.write_text(playlists(secret, listener.url)["ffconcat"])
    with av.open(str(evil)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == 44_100


@pytest.mark.parametrize("kind", KINDS)
def test_playlists_are_refused(kind, secret, listener):
    evil = secret.with_name("talk.mp3")
    text = playlists(secret, listener.url)[kind]
    evil.write_text(text)
    with pytest.raises(AudioFormatError):
        decode(evil)
    with pytest.raises(AudioFormatError):
        decode(text.encode())
    with pytest.raises(AudioFormatError):
        decode(io.BytesIO(text.encode()))
    assert listener.requests == []


@pytest.mark.parametrize("name", ["talk.m3u8", "talk.m4a", "talk.ffconcat", "talk"])
def test_no_name_makes_a_playlist_welcome(name, secret, listener):
    evil = secret.with_name(name)
    for kind in ("ffconcat", "hls", "hls address"):
        evil.write_text(playlists(secret, listener.url)[kind])
        with pytest.raises(AudioFormatError):
            decode(evil)
        with evil.open("rb") as file, pytest.raises(AudioFormatError):
            decode(file)
    assert listener.requests == []


def test_no_format_on_the_list_refers_to_other_files():
    refused = {"concat", "hls", "dash", "sdp", "rtsp", "rtp", "image2", "lavfi", "tee", "imf", "webm_dash_manifest"}
    assert refused.isdisjoint(FORMATS.split(","))
    assert set(FORMATS.split(",")) <= av.formats_available


def test_a_format_off_the_list_is_refused_even_with_real_sound():
    data = encode(tone(1), Coding("pcm_s16le", "nut"))
    with av.open(io.BytesIO(data)) as container:
        assert container.format.name == "nut"
    with pytest.raises(AudioFormatError):
        decode(data)


def test_ffmpeg_itself_can_open_nothing(secret):
    """A QuickTime movie may name its samples in another file; FFmpeg has no protocol to fetch them with."""
    with secret.open("rb") as file:
        container = open_container(DescriptorReader(file.fileno()))
        assert container.options["protocol_whitelist"] == ""
        assert container.file is not None  # our object, not a path
        container.close()


def test_an_allowed_format_inside_a_playlist_line_is_no_way_in(secret):
    evil = secret.with_name("evil.wav")
    evil.write_bytes(b"RIFF\0\0\0\0WAVE" + f"\nffconcat version 1.0\nfile {secret.name}\n".encode())
    with pytest.raises(AudioError):
        decode(evil)
