"""Processes of `ifw` on one data folder and one database, and what a client sees of them."""

import itertools
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

import httpx2
import psycopg
from surroundings import PATIENCE_S, SECRET

LAUNCH = Path(__file__).with_name("launch.py")
PORT = re.compile(r"Uvicorn running on http://[^ ]+:(\d+)")
ENDED = ("succeeded", "failed", "cancelled")


def until(condition, what="it", timeout_s=PATIENCE_S):
    """Look until something is so, and return it; for what nobody tells."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come to be in time"
        time.sleep(0.02)
    return found


class Process:
    """One command, warm until `begin`. It is the first of a group of its own, which must end with it."""

    def __init__(self, place, command, flags):
        self.command = command
        self.log_path = place.folder / f"log{next(place.numbers)}"
        flags = ["--model", "demo", "--n-threads", "1", "--log-format", "json", *flags]
        flags += ["--data-dir", str(place.folder / "data"), "--allow-nets", "127.0.0.1/32"]
        if command == "serve":
            flags += ["--port", "0"]
        with self.log_path.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, str(LAUNCH), json.dumps(place.changes), command, *flags],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=place.environment(),
                start_new_session=True,
            )
        self.client = None

    @property
    def pid(self):
        return self.popen.pid

    def log(self):
        return self.log_path.read_text()

    def begin(self):
        """Let it run."""
        self.popen.stdin.write(b"\n")
        self.popen.stdin.close()
        return self

    def wait_for_log(self, text):
        def is_there():
            assert self.popen.poll() is None, self.log()
            return text in self.log()

        until(is_there, text)

    def wait_up(self):
        """Until it answers, which is before the checkpoint is loaded."""
        if self.command == "worker":
            self.wait_for_log("worker started")
            return self
        self.wait_for_log("Uvicorn running")
        url = f"http://127.0.0.1:{PORT.search(self.log())[1]}"
        self.client = httpx2.Client(
            base_url=url, timeout=PATIENCE_S, trust_env=False, limits=httpx2.Limits(max_keepalive_connections=0)
        )
        return self

    def wait_ready(self):
        self.wait_up()
        if self.client is not None:
            until(lambda: self.client.get("/health/ready").status_code == 200, "a ready server")
        return self

    def metric(self, name):
        """One number of /metrics."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.rsplit(" ", 1)[0] == name)

    def kill(self):
        """End it as a power cut would; nothing that it started outlives it for long."""
        self.popen.kill()
        self.popen.wait(PATIENCE_S)
        until(lambda: not self._has_group(), "the end of its helpers")

    def terminate(self):
        """Ask it to end; returns its exit status."""
        self.popen.send_signal(signal.SIGTERM)
        status = self.popen.wait(PATIENCE_S)
        until(lambda: not self._has_group(), "the end of its helpers")
        return status

    def close(self):
        if self.client is not None:
            self.client.close()
        with suppress(BrokenPipeError):
            self.popen.stdin.close()
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait(PATIENCE_S)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _has_group(self):
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True


class Place:
    """A data folder and a database.

    Args:
        folder: For all files.
        database_url: PostgreSQL; None is SQLite.
        changes: Options of the tasks that differ from those that users have.
    """

    def __init__(self, folder, database_url=None, **changes):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.database_url, self.changes = folder, database_url, changes
        self.numbers = itertools.count()
        self.processes = []
        self.spares = []

    def environment(self):
        ours = ("IFW_", "ADMIN_KEY", "LOG_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        kept["IFW_WEBHOOK_SECRET"] = SECRET
        if self.database_url is not None:
            kept["IFW_DATABASE_URL"] = self.database_url
        return kept

    def warm(self, command="serve", *flags):
        """Have a process ready for the next `start` of this kind."""
        self.spares.append(((command, flags), self._new(command, flags)))

    def start(self, command="serve", *flags):
        """A process that has begun."""
        for spare in self.spares:
            if spare[0] == (command, flags):
                self.spares.remove(spare)
                return spare[1].begin()
        return self._new(command, flags).begin()

    def _new(self, command, flags):
        self.processes.append(Process(self, command, flags))
        return self.processes[-1]

    def rows(self, query, *, live=False):
        """Rows of the database; with SQLite those that a dead process left, whose files are not touched, or `live`."""
        if self.database_url is not None:
            with psycopg.connect(self.database_url, autocommit=True) as connection:
                return connection.execute(query).fetchall()
        if live:
            path = self.folder / "data/tasks.sqlite"
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=PATIENCE_S)) as connection:
                return connection.execute(query).fetchall()
        with tempfile.TemporaryDirectory() as copies:
            for file in (self.folder / "data").glob("tasks.sqlite*"):
                shutil.copy(file, copies)
            with closing(sqlite3.connect(Path(copies) / "tasks.sqlite")) as connection:
                return connection.execute(query).fetchall()

    def close(self):
        for process in self.processes:
            process.close()


class Tasks:
    """Tasks as a client of the native routes sees them."""

    def __init__(self, client):
        self.client = client

    def all(self):
        """Id -> task."""
        reply = self.client.get("/tasks", params={"limit": 1000})
        assert reply.status_code == 200, reply.text
        return {item["id"]: item for item in reply.json()["items"]}

    def get(self, task_id):
        reply = self.client.get(f"/tasks/{task_id}")
        assert reply.status_code == 200, reply.text
        return reply.json()

    def submit(self, *, key=None, upload=None, **body):
        """The id of a task, of which the same key makes one only."""
        headers = {} if key is None else {"Idempotency-Key": key}
        if upload is None:
            reply = self.client.post("/tasks", json=body, headers=headers)
        else:
            fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
            files = {"file": ("clip.wav", upload)}
            reply = self.client.post("/tasks", data=fields, files=files, headers=headers)
        assert reply.status_code in (200, 202), reply.text
        return reply.json()["id"]

    def transcript(self, task_id):
        reply = self.client.get(f"/tasks/{task_id}/transcript")
        assert reply.status_code == 200, reply.text
        return reply.json()

    def wait_ended(self, ids):
        """Until they all have ended."""
        wanted = set(ids)

        def ended():
            tasks = self.all()
            return {one: tasks[one] for one in wanted} if all(tasks[one]["state"] in ENDED for one in wanted) else None

        return until(ended, "the end of all tasks")

    def wait_told(self, ids):
        """Until the server has written down that all their webhooks were taken."""
        until(
            lambda: all(task["delivery_state"] == "delivered" for one, task in self.all().items() if one in ids),
            "the delivery of all webhooks",
        )
