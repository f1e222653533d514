"""`ifw` as a process of its own: what it imports, how it dies, what it shows on a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ifw import __version__

FAKE = [sys.executable, str(Path(__file__).with_name("fake_transcriber.py"))]
HEAVY = {"torch", "av", "numpy", "transformers", "tokenizers", "huggingface_hub", "safetensors", "silero_vad"}
HEAVY |= {"fastapi", "uvicorn", "dbos", "sqlalchemy", "structlog"}


@pytest.mark.parametrize("arguments", [["--help"], ["transcribe", "--help"], ["--version"], ["transcribe", "none.mp3"]])
def test_what_needs_no_model_imports_nothing_heavy(arguments):
    code = (
        "import sys, ifw.cli\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try:\n    ifw.cli.main()\n"
        f"finally:\n    print('heavy:', *sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.splitlines()[-1] == "heavy:"
    assert result.returncode == ("none.mp3" in arguments)


@pytest.mark.parametrize(("given", "used"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_unless_the_user_says_otherwise(given, used):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    code = (
        "import os, sys, ifw.cli\n"
        "sys.argv[1:] = ['--version']\n"
        "try:\n    ifw.cli.main()\n"
        "finally:\n    print(os.environ['OMP_WAIT_POLICY'])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == used


def test_ctrl_c_while_a_command_is_still_being_imported_says_nothing():
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'ifw.cli.app':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import ifw.cli\n"
        "ifw.cli.main()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (-signal.SIGINT, b"")


def test_version_and_python_m():
    result = subprocess.run([sys.executable, "-m", "ifw", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"ifw {__version__}\n"


def test_every_byte_in_a_pipe_is_text(record):
    result = subprocess.run([*FAKE, "transcribe", record("a.mp3")], capture_output=True, check=True)
    assert (result.stdout, result.stderr) == (b"This is a.\n", b"")


@contextmanager
def started(*arguments, stdin=subprocess.DEVNULL):
    """A process that does not outlive the test, whatever goes wrong in it."""
    process = subprocess.Popen(
        list(map(str, arguments)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=stdin, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_a_closed_pipe_ends_it_quietly(record):
    """As in `ifw transcribe ... | head -1`."""
    path = record("a.mp3", say=[[number, number + 1, "words " * 1000] for number in range(100)])
    with started(*FAKE, "transcribe", path) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_in_order_and_keeps_what_is_written(record, tmp_path, number, status):
    paths = [record("done.mp3"), record("hangs.mp3", say=[[0, 1, "Waiting."]], hang=True, after="done.mp3")]
    with started(*FAKE, "transcribe", *paths, "-f", "txt", "-o", tmp_path / "out", "--verbose") as process:
        while "Waiting." not in process.stdout.readline():
            pass
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == status
    assert "Traceback" not in errors
    assert errors.splitlines()[-2:] == [
        f"interrupted: {paths[1]} is written up to 0:01; --resume continues",
        "interrupted: 1 of 2 files are done",
    ]
    written = {path.name: path.read_text() for path in (tmp_path / "out").iterdir() if path.suffix == ".txt"}
    assert written == {"done.txt": "This is done.\n", "hangs.txt": "Waiting.\n"}
    assert [path.name for path in (tmp_path / "out").glob("*.ifw-journal")] == ["hangs.ifw-journal"]


def test_a_signal_ends_an_evaluation_in_order(record, tmp_path):
    record("done.mp3")
    record("hangs.mp3", hang=True)
    manifest = tmp_path / "set.jsonl"
    names = ("done.mp3", "missing.mp3", "hangs.mp3")
    manifest.write_text("".join(f'{{"audio": "{name}", "text": "x"}}\n' for name in names))
    with started(*FAKE, "eval", manifest, "-o", tmp_path / "results.json", "--jobs", 1) as process:
        assert "[audio_not_found]" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (130, "")
    assert errors.splitlines()[-1] == "interrupted: 1 of 3 files are done"
    assert not (tmp_path / "results.json").exists()


def test_an_ignored_signal_stays_ignored(record, tmp_path):
    """As under `nohup`. The second recording is a named pipe, so that the signal arrives while the work goes on."""
    later = tmp_path / "later.mp3"
    os.mkfifo(later)
    command = [*FAKE, "transcribe", str(record("a.mp3")), str(later)]
    code = f"import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv({command[0]!r}, {command!r})"
    with started(sys.executable, "-c", code) as process:
        assert process.stdout.readline() == "This is a.\n"
        process.send_signal(signal.SIGINT)
        said = '{"say": [[0, 1, "Still here."]]}'
        threading.Thread(target=later.write_text, args=(said,), daemon=True).start()  # it blocks until it is read
        assert process.communicate(timeout=30) == ("Still here.\n", "")
    assert process.returncode == 0


def test_a_second_signal_ends_it_at_once(record, tmp_path):
    """The second recording hangs where no token reaches it."""
    with started(*FAKE, "transcribe", record("a.mp3"), record("stuck.mp3", stuck=True)) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "stopping; once more to stop at once\n"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130


@pytest.mark.parametrize("kind", ["a silent pipe", "a pipe that never ends", "a named pipe without a writer"])
def test_one_signal_ends_the_wait_for_a_stream(record, tmp_path, kind):
    os.mkfifo(tmp_path / "fifo.wav")
    stream = tmp_path / "fifo.wav" if kind.startswith("a named") else "-"
    with ExitStack() as cleanup:
        reading, writing = os.pipe()
        if kind == "a pipe that never ends":
            os.close(reading)
            reading = os.open("/dev/zero", os.O_RDONLY)
        command = [*FAKE, "transcribe", record("a.mp3"), stream]
        with started(*command, stdin=reading) as process:
            cleanup.callback(os.close, reading)
            cleanup.callback(os.close, writing)
            assert process.stdout.readline() == "This is a.\n"
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=10)
    assert process.returncode == 143
    assert re.fullmatch(r"interrupted: [01] of 2 files are done", errors.splitlines()[-1])


def test_a_signal_that_does_not_end_the_wait_for_the_next_event_is_taken_all_the_same(record):
    """As one that comes just before the wait. Another thread takes it here, so that the main thread is not woken."""
    code = (
        "import signal, sys, threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
        f"sys.path.insert(0, {str(Path(FAKE[1]).parent)!r})\n"
        "import fake_transcriber\n"
        "fake_transcriber.main()\n"
    )
    recording = record("hangs.mp3", say=[[0, 1, "Waiting."]], hang=True)
    with started(sys.executable, "-u", "-c", code, "transcribe", recording) as process:
        assert process.stdout.readline() == "Waiting.\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 143
    assert errors.splitlines()[-1] == "interrupted: 0 of 1 files are done"


def in_a_shell(line, *arguments):
    """Run `ifw "$@"` with what the line does to its standard streams."""
    command = ["sh", "-c", f'"$@" {line}', "sh", *FAKE, *map(str, arguments)]
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}  # what is in a buffer is written once more at the end
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment, check=False
    )


def test_a_full_disk_behind_standard_output_is_one_error(record):
    for arguments in (["transcribe", record("a.mp3")], ["models"], ["--version"], ["transcribe", "--help"]):
        result = in_a_shell("> /dev/full", *arguments)
        assert result.stderr == ("error: cannot write to standard output: No space left on device [output_failed]\n"), (
            arguments
        )
        assert result.returncode == 1


def test_a_closed_standard_output_is_one_error(record, tmp_path):
    result = in_a_shell(">&-", "transcribe", record("a.mp3"))
    assert result.stderr == "error: cannot write to standard output: Bad file descriptor [output_failed]\n"
    assert result.returncode == 1
    written = in_a_shell(">&-", "transcribe", record("a.mp3"), "-f", "txt", "-o", tmp_path / "out", "-q")
    assert (written.returncode, written.stderr) == (0, "")
    assert (tmp_path / "out/a.txt").read_text() == "This is a.\n"


@pytest.mark.parametrize("line", ["2>&-", "2>/dev/full"])
def test_nothing_stops_because_nobody_hears_of_it(record, tmp_path, line):
    paths = [record("a.mp3"), record("b.mp3", warn=["Odd."])]
    result = in_a_shell(line, "transcribe", *paths, "-f", "txt", "-o", tmp_path / "out", "-v")
    assert result.returncode == 0
    assert "This is a." in result.stdout
    assert (tmp_path / "out/a.txt").read_text() == "This is a.\n"


def test_a_closed_standard_input_is_one_error(record):
    result = in_a_shell("<&-", "transcribe", "-")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "standard input is closed" in result.stderr
    assert in_a_shell("<&-", "transcribe", record("a.mp3")).stdout == "This is a.\n"


def test_standard_input_may_be_a_file(record):
    result = in_a_shell(f"< {record('a.mp3')}", "transcribe", "-")
    assert (result.returncode, result.stdout) == (0, "This is a.\n")


def test_a_name_that_is_no_text_can_be_printed(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.mp3"
    Path(os.fsdecode(path)).write_text('{"say": [[0, 1, "Hi."]]}')
    result = subprocess.run([*FAKE, "transcribe", path, "-f", "json", "-o", "-"], capture_output=True, check=True)
    assert b"caf\\udce9.mp3" in result.stdout


def test_the_age_of_a_process_is_no_more_than_that():
    before = time.monotonic()
    code = "from ifw.cli.clock import process_age_s; print(process_age_s())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 <= float(result.stdout) <= time.monotonic() - before + 0.02  # the kernel's clock has steps of 10 ms


def on_a_terminal(command):
    """Run a command whose standard output and error are a terminal; return all it shows, and its status."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(list(map(str, command)), stdin=slave, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        shown = b""
        while select.select([master], [], [], 30)[0]:
            try:
                part = os.read(master, 4096)
            except OSError:  # Linux's end of file on a terminal
                break
            shown += part
    os.close(master)
    return shown.decode(), process.returncode


def test_a_terminal_sees_times_and_a_bar_for_each_file(record):
    paths = [record("a.mp3", say=[[0.0, 5.0, "One."], [5.0, 10.0, "[/b] Two."]]), record("b.mp3")]
    shown, status = on_a_terminal([*FAKE, "transcribe", *paths])
    assert status == 0
    assert "[00:05.000 --> 00:10.000] [/b] Two." in shown
    assert "==> " in shown
    assert "━" in shown
    assert "all files" in shown
    assert "loading turbo" in shown


def test_quiet_shows_no_bar_on_a_terminal(record):
    shown, _ = on_a_terminal([*FAKE, "transcribe", record("a.mp3"), "--quiet"])
    assert shown == "[00:00.000 --> 00:01.500] This is a.\r\n"


def test_errors_appear_beside_bars(record):
    paths = [record("a.mp3", say=[[0, 1, "x"]], fail="audio_damaged"), record("b.mp3")]
    shown, status = on_a_terminal([*FAKE, "transcribe", *paths])
    assert status == 1
    assert "[audio_damaged]" in shown
