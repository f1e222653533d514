"""`ifw worker` and a server that only takes tasks in, on one PostgreSQL database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from server_process import PATIENCE_S, serving, wait_for

import ifw

sys.path.insert(0, str(Path(__file__).parent.parent / "tasks"))
import postgresql

SAMPLE = Path(ifw.__file__).parent / "demo" / "sample.mp3"

pytestmark = pytest.mark.skipif(postgresql.programs() is None, reason="PostgreSQL (initdb, pg_ctl) is not installed")


@pytest.fixture(scope="module")
def database():
    cluster = postgresql.Cluster()
    yield cluster
    cluster.close()


@contextmanager
def worker(folder: Path, url: str, *flags: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = folder / f"worker-{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", "ifw", "worker", "--model", "demo", "--data-dir", str(folder / "data"), *flags]
    with log.open("wb") as file:
        env = os.environ | {"IFW_DATABASE_URL": url, "IFW_LOG_FORMAT": "json", "IFW_N_THREADS": "1"}
        env["IFW_RUN_TASKS"] = "false"  # as a server has it that shares its environment
        process = subprocess.Popen(command, stdout=file, stderr=file, env=env)
    try:
        yield process, log
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_a_server_takes_tasks_in_and_a_worker_works_on_them(tmp_path: Path, database):
    url = database.new_database()
    with serving(tmp_path, "--run-tasks", "false", env={"IFW_DATABASE_URL": url}) as server:
        with SAMPLE.open("rb") as file:
            reply = server.client.post("/tasks", files={"file": file})
        assert reply.status_code == 202, reply.text
        path = f"/tasks/{reply.json()['id']}"
        assert server.client.get(path).json()["state"] == "queued"
        with worker(tmp_path, url) as (process, log):
            wait_for(lambda: server.client.get(path).json()["ended_at"])
            assert server.client.get(path).json()["state"] == "succeeded"
            assert server.client.get(f"{path}/transcript").json()["text"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert {"worker started", "stage ended", "worker ended"} <= {line["event"] for line in lines}
        assert url not in log.read_text()
        assert server.terminate() == 0


def test_a_server_whose_model_cannot_be_loaded_leaves_the_tasks_to_others(tmp_path: Path, database):
    url = database.new_database()
    with serving(tmp_path, "--model", str(tmp_path / "none"), env={"IFW_DATABASE_URL": url}) as server:
        wait_for(lambda: "model_not_found" in server.text())
        with SAMPLE.open("rb") as file:
            path = f"/tasks/{server.client.post('/tasks', files={'file': file}).json()['id']}"
        with worker(tmp_path, url):
            wait_for(lambda: server.client.get(path).json()["ended_at"])
        assert server.client.get(path).json()["state"] == "succeeded"


def test_a_server_without_its_database_says_so_and_recovers(tmp_path: Path):
    cluster = postgresql.Cluster()
    try:
        with serving(tmp_path, env={"IFW_DATABASE_URL": cluster.new_database()}) as server:
            server.wait_ready()
            cluster.run("pg_ctl", "-D", cluster.data, "-m", "immediate", "-w", "stop")
            reply = server.client.get("/health/ready")
            assert reply.status_code == 503
            assert [part["part"] for part in reply.json()["missing"]] == ["database"]
            reply = server.client.get("/tasks")
            assert (reply.status_code, reply.json()["code"]) == (503, "database_unreachable")
            assert server.metric("ifw_model_loaded") == 1  # the others are there without the database
            cluster.run("pg_ctl", "-D", cluster.data, "-l", cluster.folder / "log", "-o", cluster.flags, "-w", "start")
            server.wait_ready()
            assert server.client.get("/tasks").status_code == 200
            assert server.terminate() == 0
    finally:
        cluster.close()


def test_a_worker_whose_model_cannot_be_loaded_ends_with_3(tmp_path: Path, database):
    with worker(tmp_path, database.new_database(), "--model", str(tmp_path / "none")) as (process, log):
        assert process.wait(PATIENCE_S) == 3
    assert "model_not_found" in log.read_text()


def test_a_database_that_cannot_be_reached_is_one_line(tmp_path: Path):
    with worker(tmp_path, "postgresql://me:planted-pass@127.0.0.1:9/ifw") as (process, log):
        assert process.wait(PATIENCE_S) == 1
    text = log.read_text()
    assert "database_unreachable" in text
    assert "planted-pass" not in text
    assert "Traceback" not in text
