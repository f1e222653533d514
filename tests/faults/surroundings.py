"""What is around the server: a web server that has audio, and receivers of webhooks. Both can hold their answers."""

import json
import threading
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import standardwebhooks

PATIENCE_S = 90
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True)
class Event:
    """A webhook as it came."""

    path: str
    headers: dict
    body: bytes
    answer: object  # a status; None where it got none

    @property
    def data(self):
        """What it tells of the task."""
        return json.loads(self.body)["data"]


class Surroundings:
    """GET gives a file of `files`; POST is kept in `events` and answered as `answers` says.

    `answers` has, by path, a status or a list of them in turn, the last one for ever; `hang` is none at all. While
    `downloads` is shut, files stop in their middle; while `webhooks` is shut, no webhook is answered.
    """

    def __init__(self, files, address="127.0.0.1", port=0):
        self.files = files
        self.answers = {}
        self.locations = {}
        self.events = []
        self.n_gets = Counter()
        self.changed = threading.Condition()
        self.downloads, self.webhooks = Gate(self), Gate(self)
        self.end = threading.Event()
        self.server = _Server((address, port), self._handler())
        self.port = self.server.server_port
        self.url = f"http://{address}:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.end.set()
        self.downloads.open()
        self.webhooks.open()
        self.server.shutdown()
        self.server.server_close()

    def wait(self, condition, timeout_s=PATIENCE_S):
        """Until something is so; it is looked at whenever something came or went."""
        with self.changed:
            assert self.changed.wait_for(condition, timeout_s), "it did not come to be in time"

    def taken(self):
        """Events that were answered with success, by task."""
        with self.changed:
            found = {}
            for event in self.events:
                if event.answer is not None and 200 <= event.answer < 300:
                    found.setdefault(event.data["id"], []).append(event)
            return found

    def check_signatures(self):
        """Every event that ever came is signed, and those of one task are the same bytes under one id."""
        by_task = {}
        for event in self.events:
            standardwebhooks.Webhook(SECRET).verify(event.body, event.headers)  # raises
            by_task.setdefault(event.data["id"], set()).add((event.headers["webhook-id"], event.body))
        assert all(len(kinds) == 1 for kinds in by_task.values()), by_task
        ids = [next(iter(kinds))[0] for kinds in by_task.values()]
        assert len(set(ids)) == len(ids)

    def _answer_to(self, path):
        answers = self.answers.get(path, 200)
        if isinstance(answers, list):
            return answers.pop(0) if len(answers) > 1 else answers[0]
        return answers

    def _handler(self):
        surroundings = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                data = surroundings.files.get(self.path.partition("?")[0].lstrip("/"))
                with surroundings.changed:
                    surroundings.n_gets[self.path] += 1
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                half = len(data or b"") // 2
                self.wfile.write((data or b"")[:half])
                surroundings.downloads.pass_by()
                self.wfile.write((data or b"")[half:])

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with surroundings.changed:  # so that what passed the gate before it was shut is in `events` by then
                    is_in_time = surroundings.webhooks.pass_by()
                    answer = surroundings._answer_to(self.path) if is_in_time else None
                    status = None if answer == "hang" else answer
                    surroundings.events.append(Event(self.path, headers, body, status))
                    surroundings.changed.notify_all()
                if answer == "hang":
                    surroundings.end.wait(PATIENCE_S)
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                if self.path in surroundings.locations:
                    self.send_header("Location", surroundings.locations[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments):
                pass

        return Handler


class Gate:
    """Where answers pass; shut, they wait, and those that waited are dropped when it is told so."""

    def __init__(self, surroundings):
        self._surroundings = surroundings
        self._is_open = True
        self._generation = 0
        self.n_waiting = 0

    def shut(self):
        with self._surroundings.changed:
            self._is_open = False

    def open(self, *, drops=False):
        """Let answers pass; those that wait may be dropped, as nobody is there any more to take them."""
        with self._surroundings.changed:
            self._is_open = True
            self._generation += drops
            self._surroundings.changed.notify_all()

    def pass_by(self):
        """Wait for the gate; False where the answer is to be dropped."""
        with self._surroundings.changed:
            generation = self._generation
            self.n_waiting += 1
            self._surroundings.changed.notify_all()
            self._surroundings.changed.wait_for(lambda: self._is_open or self._generation > generation, PATIENCE_S)
            self.n_waiting -= 1
            self._surroundings.changed.notify_all()
            return self._generation == generation


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request, client_address):
        pass  # the other side was killed
