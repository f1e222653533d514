"""A server inside the process of the tests, whose engine they can watch."""

from __future__ import annotations

import os
import threading
import time

import openai
import uvicorn

from ifw.server.app import create_app
from ifw.service.service import Service
from ifw.service.settings import load_settings

PATIENCE_S = 120


def until(is_so):
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class InProcess:
    """A server on a thread of this process, with room for one request at a time, and its service."""

    def __init__(self, folder, **settings):
        self.folder = folder
        few = {"model": "demo", "n_threads": 1, "data_dir": folder / "data", "max_sync": 1, "max_sync_waiting": 0}
        self.service = Service(load_settings({**few, **settings}))
        self._server = uvicorn.Server(
            uvicorn.Config(create_app(service=self.service), port=0, log_config=None, access_log=False, ws="none")
        )
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self):
        self.leave_behind("young", 0)
        self.leave_behind("stale", 25 * 3600)
        self._thread.start()
        until(lambda: self._server.started)
        (listening,) = self._server.servers[0].sockets
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        until(lambda: self.service.model.status.state != "loading")
        return self

    def __exit__(self, *error):
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)

    def client(self, **changes):
        return openai.OpenAI(**{"base_url": self.url, "api_key": "any", "max_retries": 0} | changes)

    def leave_behind(self, name, age_s):
        """As a process that was killed while an upload came in."""
        folder = self.folder / "data" / "requests" / name
        folder.mkdir(parents=True)
        (folder / "audio").write_bytes(b"half")
        os.utime(folder, (time.time() - age_s,) * 2)

    @property
    def stats(self):
        return self.service.transcriber.stats()

    def is_idle(self):
        return (self.stats.n_occupied, self.stats.n_waiting, self.service.n_sync) == (0, 0, 0)

    def spooled(self):
        """What is there of requests, but for what may be another process's."""
        folders = {path.name for path in (self.folder / "data" / "requests").iterdir()}
        assert "young" in folders
        return sorted(folders - {"young"})
