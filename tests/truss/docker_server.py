"""The other flavour without Docker: our server, started as in its image, behind the nginx that truss configures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2
import yaml
from server_process import ServerProcess
from truss_server import PATIENCE_S, VENV, environment, wait_for


class Proxy(NamedTuple):
    """A client that speaks through the proxy, and the socket that it listens on."""

    client: httpx2.Client
    socket: str


def nginx_program() -> str | None:
    """One that runs; the project's own copy, or that of the machine."""
    for found in (VENV / "nginx" / "usr" / "sbin" / "nginx", shutil.which("nginx"), "/usr/sbin/nginx"):
        if (
            found
            and Path(found).exists()
            and subprocess.run([found, "-v"], capture_output=True, check=False).returncode == 0
        ):
            return str(found)
    return None


@contextmanager
def serving_container(context: Path, folder: Path, secrets: Mapping[str, str] | None = None) -> Iterator[ServerProcess]:
    """Run what the image's supervisor would run of ours, with the demo model and what Baseten would mount."""
    config = yaml.safe_load((context / "config.yaml").read_text())
    (folder / "secrets").mkdir()
    for name, value in (secrets or {}).items():
        (folder / "secrets" / name).write_text(value)
    command = config["docker_server"]["start_command"].replace("/app/data", str(context / "data"))
    home = folder / "home"
    home.mkdir()
    env = environment(home, **config["environment_variables"])
    env |= {"PYTHONPATH": str(context / "packages"), "IFW_MODEL": "demo", "IFW_DATA_DIR": str(folder / "data")}
    env |= {"SECRETS_FOLDER": str(folder / "secrets"), "SERVER_PORT": "0", "IFW_N_THREADS": "1"}
    env |= {"IFW_ALLOW_NETS": "127.0.0.0/8", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(["sh", "-c", f"exec {command}"], env=env, stdout=file, stderr=file, cwd=folder)
    try:
        server = ServerProcess(process, log, folder / "data")
        with server.client:
            yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@contextmanager
def proxying(context: Path, server_url: str) -> Iterator[Proxy]:
    """Run nginx with the configuration that truss has generated, on a socket of the file system, before a server.

    Only where it listens, where it writes, and where the server is differ from the image.
    """
    program = nginx_program()
    assert program
    with tempfile.TemporaryDirectory(prefix="ifw-nginx-") as run:
        proxy = (context / "proxy.conf").read_text()
        for there, here in (
            (r"listen 8080;", f"listen unix:{run}/socket;"),
            (r"/dev/shm/", f"{run}/"),
            (r"http://127\.0\.0\.1:8000", server_url),
        ):
            proxy, n_found = re.subn(there, here, proxy)
            assert n_found, there
        Path(run, "proxy.conf").write_text(proxy)
        user = "user root;" if os.geteuid() == 0 else ""
        Path(run, "nginx.conf").write_text(
            f"{user} daemon off; pid {run}/pid; events {{}} http {{ include {run}/proxy.conf; }}"
        )
        process = subprocess.Popen(
            [program, "-e", f"{run}/error.log", "-p", run, "-c", f"{run}/nginx.conf"], stderr=subprocess.PIPE
        )
        try:
            wait_for(lambda: process.poll() is not None or Path(run, "socket").exists(), "nginx does not listen")
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            transport = httpx2.HTTPTransport(uds=f"{run}/socket")
            with httpx2.Client(transport=transport, base_url="http://model", timeout=PATIENCE_S) as client:
                yield Proxy(client, f"{run}/socket")
        finally:
            process.terminate()
            process.wait()
            if process.stderr:
                process.stderr.close()
