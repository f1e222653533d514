"""`ifw transcribe`, killed and continued, writes what an uninterrupted run writes."""

import json
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

import av
import pytest

SAMPLE = Path(str(files("ifw") / "demo" / "sample.mp3"))
IFW = [sys.executable, "-m", "ifw", "transcribe", "--model", "demo", "--threads", "1", "--chunk-size", "4"]
FORMATS = ["-f", "json", "-f", "srt"]


def run_to_line(n_lines, number, *arguments):
    """Start a run and send a signal once it has printed some lines; what it said on standard error, and its status."""
    command = [*IFW, *map(str, arguments), *FORMATS, "--verbose", "--batch-size", "2"]
    with ExitStack() as cleanup:
        process = cleanup.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        cleanup.callback(process.kill)
        lines = [process.stdout.readline() for _ in range(n_lines)]
        process.send_signal(number)
        _, errors = process.communicate(timeout=600)
    assert all(lines)
    return errors, process.returncode


def finished(*arguments):
    command = [*IFW, *map(str, arguments), *FORMATS]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def transcripts(folder):
    """All that was written, without wall times and scores, whose last digit depends on what is decoded together."""
    return {
        path.name: comparable(json.loads(path.read_text())) if path.suffix == ".json" else path.read_text()
        for path in folder.iterdir()
    }


def comparable(transcript):
    for segment in transcript["segments"]:
        del segment["avg_logprob"], segment["no_speech_prob"]
    del transcript["timings"]
    return transcript


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """The first 24 seconds of the sample."""
    path = tmp_path_factory.mktemp("audio") / "talk.mp3"
    with av.open(str(SAMPLE)) as whole, av.open(str(path), "w") as part:
        stream = part.add_stream_from_template(whole.streams.audio[0])
        for packet in whole.demux(audio=0):
            if packet.pts is not None and 0 <= packet.pts * packet.time_base < 24:
                packet.stream = stream
                part.mux(packet)
    return path


@pytest.fixture(scope="module")
def uninterrupted(talk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    finished(talk, "-o", folder)
    return transcripts(folder)


def test_kills_in_a_row_cost_nothing(talk, tmp_path, uninterrupted):
    inputs = [tmp_path / f"{name}.mp3" for name in "ab"]
    for path in inputs:
        path.write_bytes(talk.read_bytes())
    arguments = [*inputs, "-o", tmp_path / "out", "--jobs", "2", "--resume"]
    for n_lines in (1, 4):
        assert run_to_line(n_lines, signal.SIGKILL, *arguments)[1] == -signal.SIGKILL
        assert (tmp_path / "out" / "a.ifw-journal").exists()
        assert not (tmp_path / "out" / "a.json").exists()
    finished(*arguments)
    expected = {f"{name}.{form}": uninterrupted[f"talk.{form}"] for name in "ab" for form in ("json", "srt")}
    assert transcripts(tmp_path / "out") == expected
    assert finished(*arguments) == "".join(f"already done: {path}\n" for path in inputs)


def test_ctrl_c_writes_what_is_final_and_says_so(talk, tmp_path, uninterrupted):
    errors, status = run_to_line(3, signal.SIGINT, talk, "-o", tmp_path)
    assert status == 128 + signal.SIGINT
    assert re.search(rf"interrupted: {talk} is written up to 0:\d\d; --resume continues\n", errors)
    partial, whole = json.loads((tmp_path / "talk.json").read_text()), uninterrupted["talk.json"]
    assert partial["warnings"][-1]["code"] == "interrupted"
    n_segments = len(partial["segments"])
    assert 3 <= n_segments < len(whole["segments"])
    assert comparable(partial)["segments"] == whole["segments"][:n_segments]
    assert uninterrupted["talk.srt"].startswith((tmp_path / "talk.srt").read_text().rstrip())
    finished(talk, "-o", tmp_path, "--resume")
    assert transcripts(tmp_path) == uninterrupted
