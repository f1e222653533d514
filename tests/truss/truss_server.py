"""The real Truss: build contexts made by its own builder, and its own inference server on loopback."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-truss"
HERE = Path(__file__).parent
PREDICT = "/v1/models/model:predict"
PATIENCE_S = 120.0
PORT_LINE = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")

needs_truss = pytest.mark.skipif(
    not (VENV / ".ready").exists(), reason="needs truss: sh tools/setup_truss_venv.sh .venv-truss .venv"
)


def wait_for(is_reached: Callable[[], object], what: str) -> None:
    """Look again and again until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def environment(home: Path, **more: str) -> dict[str, str]:
    """A clean one: nothing of the developer's settings, and a home of its own for what truss writes there."""
    ours = ("IFW_", "ADMIN_KEY", "HF_", "TRUSS_", "PYTHONPATH")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return clean | {"HOME": str(home), "TRUSS_NO_UPDATE_CHECK": "1", "HF_HUB_OFFLINE": "1"} | more


def run_truss(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command `truss`."""
    command = [str(VENV / "bin" / "truss"), *arguments]
    return subprocess.run(command, env=environment(home), capture_output=True, text=True, check=False)


def build_context(folder: Path, target: Path) -> Path:
    """Have truss gather what its image is built of."""
    home = target.parent / "home"
    home.mkdir(exist_ok=True)
    ended = run_truss(home, "image", "build-context", str(target), str(folder))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return target


def metric_of(client: httpx2.Client, path: str, name: str, **labels: str) -> float:
    """The sum over all labels but those given."""
    families = text_string_to_metric_families(client.get(path).text)
    samples = (one for family in families for one in family.samples if one.name == name)
    return sum(one.value for one in samples if labels.items() <= one.labels.items())


class TrussProcess:
    """A running inference server: `client` speaks to it."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        wait_for(lambda: process.poll() is not None or PORT_LINE.search(self.text()), "it does not listen")
        found = PORT_LINE.search(self.text())
        assert found, self.text()
        self.url = f"http://127.0.0.1:{found[1]}"
        self.client = httpx2.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False)

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def wait_ready(self) -> None:
        wait_for(lambda: self.client.get("/v1/models/model").status_code == 200, self.text())

    def predict(self, **model_input: object) -> httpx2.Response:
        return self.client.post(PREDICT, json=model_input)

    def metric(self, name: str) -> float:
        return metric_of(self.client, "/metrics/", name)

    def n_cancelled(self) -> float:
        """Transcriptions that were cancelled so far."""
        return metric_of(self.client, "/metrics/", "ifw_transcriptions_total", outcome="cancelled")


def make_app(context: Path, app: Path) -> Path:
    """Lay the files of a build context out as its Dockerfile does; what is /packages there is at `app / packages`."""
    shutil.copytree(context / "server", app)
    shutil.copytree(context / "model", app / "model")
    shutil.copytree(context / "packages", app / "packages")
    shutil.copy(context / "config.yaml", app)
    return app


@contextmanager
def serving_truss(app: Path, folder: Path, env: Mapping[str, str] | None = None) -> Iterator[TrussProcess]:
    """Run the inference server of an app with the demo model until the block ends."""
    settings = yaml.safe_load((app / "config.yaml").read_text())["environment_variables"]
    settings |= {"IFW_MODEL": "demo", "IFW_N_THREADS": "1", "IFW_DATA_DIR": str(folder / "data")}
    settings |= {"IFW_ALLOW_NETS": "127.0.0.0/8", "PYTHONPATH": str(app / "packages")}
    log, home = folder / "truss.log", folder / "home"
    home.mkdir(exist_ok=True)
    with log.open("wb") as file:
        command = [str(VENV / "bin" / "python"), str(HERE / "serve_on_loopback.py")]
        process = subprocess.Popen(
            command, cwd=app, env=environment(home, **settings) | dict(env or {}), stdout=file, stderr=file
        )
    try:
        server = TrussProcess(process, log)
        with server.client:
            yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
