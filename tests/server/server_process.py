"""A real `ifw serve` on loopback, and what tests ask of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families

PORT_LINE = re.compile(r"Uvicorn running on http://[^ ]+:(\d+)")
PATIENCE_S = 120.0


def wait_for(is_reached: Callable[[], object]) -> None:
    """Look again and again until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class ServerProcess:
    """A running server: `client` speaks to it, `lines()` are what it has logged so far."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, data_dir: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self.log = log
        self._n_read = 0
        self.url = f"http://127.0.0.1:{self._port()}"
        self.client = httpx2.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False)

    def _port(self) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = PORT_LINE.search(self.text())
            if found:
                return int(found[1])
            assert self.process.poll() is None, self.text()
            time.sleep(0.02)
        raise AssertionError(self.text())

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def new_text(self) -> str:
        """What has been logged since the last call, in whole lines."""
        with self.log.open("rb") as log:
            log.seek(self._n_read)
            new = log.read()
        new = new[: new.rfind(b"\n") + 1]
        self._n_read += len(new)
        return new.decode()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]

    def wait_ready(self, headers: Mapping[str, str] | None = None) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (reply := self.client.get("/health/ready", headers=headers)).status_code != 200:
            assert time.monotonic() < deadline, reply.text
            time.sleep(0.05)

    def metric(self, name: str, headers: Mapping[str, str] | None = None) -> float:
        """The sum over all labels."""
        families = text_string_to_metric_families(self.client.get("/metrics", headers=headers).text)
        return sum(one.value for family in families for one in family.samples if one.name == name)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@contextmanager
def serving(
    folder: Path, *flags: str, env: Mapping[str, str] | None = None, paths: Sequence[Path] = ()
) -> Iterator[ServerProcess]:
    """Run `ifw serve` with the demo model until the block ends; it writes its log in JSON to a file of the folder.

    `paths` come first where it looks for modules.
    """
    log, data_dir = folder / "server.log", folder / "data"
    ours = ("IFW_", "ADMIN_KEY", "LOG_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = [
        sys.executable,
        "-m",
        "ifw",
        "serve",
        "--model",
        "demo",
        "--port",
        "0",
        "--data-dir",
        str(data_dir),
    ]
    clean["PYTHONPATH"] = os.pathsep.join(filter(None, [*map(str, paths), clean.get("PYTHONPATH")]))
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--log-format", "json", "--n-threads", "1", *flags],
            stdout=file,
            stderr=file,
            env=clean | dict(env or {}),
        )
    try:
        server = ServerProcess(process, log, data_dir)
        with server.client:
            yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
