"""`ifw transcribe https://...`: a download first, then a file like others."""

import functools
import http.server
import json
import tempfile
import threading
from contextlib import contextmanager

import pytest

from ifw.cancellation import CancelToken
from ifw.cli.download import downloaded
from ifw.cli.inputs import expand_inputs
from ifw.cli.pace import arrived
from ifw.cli.progress_bars import Bars
from ifw.cli.progress_log import INTERVAL_S, ProgressLog
from ifw.types import Progress

SAID = {"say": [[0.0, 1.5, "This is fetched."]]}


class Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, asked, *arguments):
        self.asked = asked
        super().__init__(*arguments)

    def do_GET(self):
        self.asked.append(self.path)
        missing = "none" in self.path
        body = json.dumps({"fail": "audio_format", "message": "{name}: no"} if "bad" in self.path else SAID).encode()
        self.send_response(404 if missing else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serving(asked):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, asked)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def asked():
    return []


@pytest.fixture
def site(asked):
    with serving(asked) as url:
        yield url


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_urls_and_files_together(ifw, record, site, temporary):
    result = ifw(
        "transcribe", record("a.mp3"), f"{site}/talks/b.mp3?sig=s3cret", "-o", "out", "-f", "txt", "-f", "json"
    )
    assert (result.exit_code, "s3cret" in result.stderr) == (0, False)
    assert "wrote out/b.txt" in result.stderr
    assert list(temporary.iterdir()) == []
    result = ifw("transcribe", record("a.mp3"), f"{site}/talks/b.mp3?sig=s3cret", "-o", "-", "-f", "json")
    files = [json.loads(line)["file"] for line in result.stdout.splitlines()]
    assert files[1] == f"{site}/talks/b.mp3"
    assert "s3cret" not in result.output


def test_names_of_outputs_are_safe_and_never_meet(ifw, record, site, tmp_path):
    urls = [f"{site}/x/..%2f..%2fb.mp3", f"{site}/y/b.mp3?1", f"{site}/y/b.mp3?2", f"{site}/", f"{site}/y/b.mp3?1"]
    assert ifw("transcribe", *urls, "-o", "out", "-f", "txt").exit_code == 0
    assert sorted(path.name for path in tmp_path.rglob("*.txt")) == [
        "127.0.0.txt",
        "b.mp3.2.txt",
        "b.mp3.3.txt",
        "b.mp3.txt",
    ]


def test_errors_name_the_url_without_its_secrets(ifw, record, site):
    urls = [f"{site}/{name}.mp3?sig=s3cret" for name in ("none", "bad", "good")]
    result = ifw("transcribe", *urls, "ftp://u:s3cret@x/y", "http://u:s3cret@x y/")
    assert result.exit_code == 1
    assert result.stdout == "This is fetched.\n"
    assert f"error: {site}/none.mp3: the server answered 404 Not Found, allowed: 200 OK [fetch_status]" in result.stderr
    assert f"error: {site}/bad.mp3: no [audio_format]" in result.stderr
    assert "error: ftp://x/y: got another kind of URL, allowed: http:// and https:// [url_invalid]" in result.stderr
    assert "s3cret" not in result.output


def test_resume_does_not_fetch_what_is_done(ifw, record, site, asked):
    arguments = ("transcribe", f"{site}/b.mp3", "-o", "out", "-f", "txt", "--resume")
    for notes in ("wrote out/b.txt", f"already done: {site}/b.mp3"):
        result = ifw(*arguments)
        assert result.exit_code == 0
        assert notes in result.stderr
    assert asked == ["/b.mp3"]


def test_file_is_named_and_gone_afterwards(site, temporary):
    heard = []
    with downloaded(f"{site}/b.mp3", "the label", CancelToken(), lambda *arrived: heard.append(arrived)) as stream:
        assert stream.name == "the label"
        assert list(temporary.iterdir()) == []
        assert json.loads(stream.read()) == SAID
    size = len(json.dumps(SAID))
    assert heard[-1] == (size, size)
    assert stream.closed


def test_url_is_an_input_like_others(site):
    ((item,), bad) = expand_inputs([f"{site}/a/b%20c.mp3?x"])
    assert (item.label, str(item.relative), item.path, item.is_stdin) == (f"{site}/a/b%20c.mp3", "b c.mp3", None, False)
    assert bad == []


def test_download_is_told_a_line_a_minute():
    lines = []
    log = ProgressLog(["https://x/a.mp3"], lines.append)
    log.arrive(0, 1_000_000, 45_600_000, 0.0)
    log.arrive(0, 12_300_000, 45_600_000, INTERVAL_S)
    log.arrive(0, 12_400_000, 45_600_000, INTERVAL_S + 1)
    log.advance(0, Progress("decode", 30.0, None), 2 * INTERVAL_S)
    assert lines[0] == "progress: https://x/a.mp3: 12.3 of 45.6 MB downloaded"
    assert lines[1].startswith("progress: https://x/a.mp3: 0:30 heard")
    assert arrived(500_000, None) == "0.5 MB downloaded"


def test_bar_of_a_download_becomes_that_of_its_transcription(capsys):
    bars = Bars(["https://x/a.mp3"])
    try:
        bars.arrive(0, 1_000_000, None)
        bars.arrive(0, 12_300_000, 45_600_000)
        task = bars._display.tasks[0]
        assert (task.fields["pace"], task.completed, task.total) == (
            arrived(12_300_000, 45_600_000),
            12_300_000,
            45_600_000,
        )
        bars.advance(0, Progress("decode", 30.0, 60.0))
        assert (task.fields["pace"].written(0.0), task.completed, task.total) == ("0:30 heard of 1:00", 0, 60.0)
        assert len(bars._display.tasks) == 1
        bars.end(0)
        assert bars._display.tasks == []
        bars.arrive(0, 1, None)
        bars.end(0)
    finally:
        bars.close()
