"""What must be so of a container that serves: health, keys, transcripts, an orderly end, and tasks that outlive it.

The container is a process here: with the image's environment, as its user, in folders that stand for its volumes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

ROOT: Final = Path(__file__).resolve().parent.parent
SAMPLE: Final = ROOT / "src" / "ifw" / "demo" / "sample.mp3"
PATIENCE_S: Final = 180.0


class CheckError(Exception):
    """Something is not as it must be; the message says what."""


FENCED: Final = """
mount --make-rprivate /
mount --bind "$1" "$1"
for folder in $2; do mount --bind "$folder" "$folder"; done
mount -o remount,bind,ro "$1"
mount -o remount,bind,ro /
mount -t proc proc /proc
user=$3 group=$4
shift 4
exec setpriv --reuid="$user" --regid="$group" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all -- "$@"
"""
"""Makes all folders read-only but those in $2, and lets go of every right, as Compose and Kubernetes are told to."""


@dataclass(frozen=True)
class Container:
    """What `docker run` would start, as a process.

    Attributes:
        command: The program and its arguments.
        health_command: What the image's health check runs.
        env: The whole environment.
        folder: Where the log is written; not one of the container's.
        user: Number of user and group; None leaves those of the caller.
        writable: Where not None: runs as process 1, without capabilities, and only these folders can be written to.
            Needs root, and `user`.
    """

    command: Sequence[str]
    health_command: Sequence[str]
    env: dict[str, str]
    folder: Path
    user: tuple[int, int] | None = None
    writable: Sequence[Path] | None = None

    @property
    def log(self) -> Path:
        """What the process has written."""
        return self.folder / "container.log"

    def _program(self, command: Sequence[str]) -> list[str]:
        found = shutil.which(command[0], path=self.env["PATH"])
        if found is None:
            raise CheckError(f"{command[0]} is not on the PATH of the image")
        return [found, *command[1:]]

    def _as_user(self) -> dict[str, Any]:
        return {} if self.user is None else {"user": self.user[0], "group": self.user[1], "extra_groups": []}

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it until the block ends."""
        command, user = self._program(self.command), self._as_user()
        if self.writable is not None and self.user is not None:
            shell = ["/bin/sh", "-euc", FENCED, "sh", self.folder, " ".join(map(str, self.writable)), *self.user]
            command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *map(str, shell), *command]
            user = {}
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, env=self.env, cwd="/", stdout=log, stderr=log, **user)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def main_process(self, process: subprocess.Popen[bytes]) -> int:
        """The number of what `running` has started, which may be a child of it."""
        return process.pid if self.writable is None else _children(process.pid)[0]

    def health(self) -> subprocess.CompletedProcess[str]:
        """Run the health check once."""
        return subprocess.run(
            self._program(self.health_command),
            env=self.env,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **self._as_user(),
        )


def free_port() -> int:
    """A port of loopback that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def check_container(container: Container, say: Callable[[str], None]) -> None:
    """Start it, use it, end it while it works, and start it again.

    Args:
        container: Its environment must hold `IFW_PORT` and `ADMIN_KEY`.
        say: Told each finding.

    Raises:
        CheckError: Something is not as it must be.
    """
    _require(container.health().returncode != 0, "the health check fails where nothing runs")
    headers = {"Authorization": f"Bearer {container.env['ADMIN_KEY']}"}
    url = f"http://127.0.0.1:{container.env['IFW_PORT']}"
    with httpx2.Client(base_url=url, headers=headers, timeout=PATIENCE_S, trust_env=False) as client:
        with container.running() as process:
            say(f"healthy {_wait_healthy(container, process):.1f} s after its start")
            _check_keys(url)
            text = _transcribe(client)
            say(f"transcribed {SAMPLE.name}: {text[:60]!r}...")
            main = container.main_process(process)
            _require(not [child for child in _children(main) if _is_zombie(child)], "no child of it is a zombie")
            if container.writable is not None:
                say(_fences(main))
            task = _submit(client)
            _wait_running(client, task)
            say(f"ended {_end(container, process):.1f} s after SIGTERM, in the middle of a task, with status 0")
        with container.running() as process:
            _wait_healthy(container, process)
            _require(
                _result(client, task) == text, "the task that was interrupted has the text of an uninterrupted run"
            )
            say("the task went on after the restart, and has the same text")
            _end(container, process)


def _require(is_so: object, what: str) -> None:
    if not is_so:
        raise CheckError(f"not so: {what}")


def _wait_healthy(container: Container, process: subprocess.Popen[bytes]) -> float:
    started = time.monotonic()
    while (result := container.health()).returncode != 0:
        tail = container.log.read_text(encoding="utf-8", errors="replace")[-2000:]
        _require(process.poll() is None, f"the process runs; its log: {tail}")
        _require(time.monotonic() - started < PATIENCE_S, f"it becomes healthy: {result.stdout} {result.stderr} {tail}")
        time.sleep(0.1)
    _require(json.loads(result.stdout)["status"] == "ready", f"the health check says so: {result.stdout}")
    return time.monotonic() - started


def _check_keys(url: str) -> None:
    with httpx2.Client(base_url=url, trust_env=False) as stranger:
        _require(stranger.get("/health/live").status_code == 200, "health is open")
        _require(stranger.get("/metrics").status_code == 401, "metrics need a key")


def _transcribe(client: httpx2.Client) -> str:
    with SAMPLE.open("rb") as audio:
        reply = client.post(
            "/v1/audio/transcriptions", data={"model": "whisper-1", "language": "en"}, files={"file": audio}
        )
    _require(reply.status_code == 200, f"the sample is transcribed: {reply.text}")
    text = str(reply.json()["text"])
    truth = json.loads(SAMPLE.with_suffix(".json").read_text(encoding="utf-8"))
    said = _words(" ".join(segment["text"] for segment in truth["segments"]))
    _require(_words(text)[:12] == said[:12], f"it is what was said: {text!r}")
    return text


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _submit(client: httpx2.Client) -> str:
    with SAMPLE.open("rb") as audio:
        reply = client.post("/tasks", data={"language": "en"}, files={"file": audio})
    _require(reply.status_code == 202, f"a task is taken: {reply.text}")
    return str(reply.json()["id"])


def _wait_running(client: httpx2.Client, task: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (found := client.get(f"/tasks/{task}").json())["state"] == "queued":
        _require(time.monotonic() < deadline, f"the task begins: {found}")
        time.sleep(0.01)


def _end(container: Container, process: subprocess.Popen[bytes]) -> float:
    started = time.monotonic()
    os.kill(container.main_process(process), signal.SIGTERM)
    status = process.wait(PATIENCE_S)
    _require(status == 0, f"it ends with 0 after SIGTERM, got {status}")
    _require(container.health().returncode != 0, "the health check fails afterwards")
    return time.monotonic() - started


def _result(client: httpx2.Client, task: str) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while (found := client.get(f"/tasks/{task}").json())["state"] in ("queued", "running"):
        _require(time.monotonic() < deadline, f"the task ends: {found}")
        time.sleep(0.05)
    _require(found["state"] == "succeeded", f"the task succeeds: {found['error']}")
    return client.get(f"/tasks/{task}/transcript", params={"format": "txt"}).text.replace("\n", " ").strip()


def _children(pid: int) -> list[int]:
    """Nothing where the system does not say."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text(encoding="ascii").split()] if listed.exists() else []


def _is_zombie(pid: int) -> bool:
    try:
        return _status(pid)["State"].startswith("Z")
    except FileNotFoundError:
        return False


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _fences(pid: int) -> str:
    """What the process may not do, by the kernel's word."""
    status = _status(pid)
    _require(status["NSpid"].split()[-1] == "1", "it is process 1")
    _require(set(status["Uid"].split()) != {"0"}, "it is not root")
    _require(int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0, "it has no capability")
    _require(status["NoNewPrivs"] == "1", "it cannot get any")
    mounts = Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8").splitlines()
    root = [line.split()[5] for line in mounts if line.split()[4] == "/"]
    _require(root and all("ro" in flags.split(",") for flags in root), "its root is read-only")
    return "it is process 1, not root, without capabilities, under a read-only root"


def new_key() -> str:
    """A key that nobody else has."""
    return secrets.token_hex(16)


def user_of(text: str) -> tuple[int, int] | None:
    """The numbers in `USER 10001:10001`, where this process may become that user."""
    user, _, group = text.partition(":")
    return (int(user), int(group or user)) if os.getuid() == 0 else None
