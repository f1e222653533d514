"""Stages that do what the payload says, and a receiver of webhooks."""

import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ifw.errors import AudioFormatError
from ifw.tasks import Stage


class Toy:
    """Two stages that do what the payload says."""

    def __init__(self):
        self.release = threading.Event()
        self.started = []
        self.ran = []

    def stages(self):
        return [Stage("first", self.first), Stage("second", self.second)]

    def first(self, context):
        self.started.append(context.payload.get("name"))
        context.report("first", 1.0, 2.0)
        context.emit(0, {"n": 0})
        context.emit(1, {"n": 1})
        if context.payload.get("raises") == "own":
            raise AudioFormatError("these bytes are no audio")
        if context.payload.get("raises"):
            raise ValueError("a detail that nobody may see")
        while context.payload.get("waits") and not self.release.wait(0.005):
            context.cancel.raise_if_cancelled()
        return {"value": 7}

    def second(self, context):
        context.emit(1, {"n": "again"})
        context.emit(2, {"n": 2})
        context.set_result(f"{context.results['first']['value']} \x00 ä")
        self.ran.append(context.payload.get("name"))


class Receiver:
    """An HTTP server that answers as `answers` says, by path: a status, a list of statuses in turn, or `hang`.

    `hang again` is 500 to the first attempt of each delivery, and hangs after that.
    """

    def __init__(self):
        self.answers = defaultdict(lambda: 200)
        self.got = []
        self.changed = threading.Condition()
        self.release = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver.changed:
                    headers = {name.lower(): ", ".join(self.headers.get_all(name)) for name in self.headers}
                    receiver.got.append((self.path, headers, body))
                    answer = receiver.answers[self.path]
                    if isinstance(answer, list):
                        answer = answer.pop(0) if len(answer) > 1 else answer[0]
                    if answer == "hang again":
                        ids = [one["webhook-id"] for _, one, _ in receiver.got]
                        answer = 500 if ids.count(self.headers["webhook-id"]) == 1 else "hang"
                    receiver.changed.notify_all()
                if answer == "hang":
                    receiver.release.wait(60)
                    return
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512

            def handle_error(self, request, client_address):
                pass  # the sender went away while its answer was held back

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def wait_for(self, condition, timeout_s=20):
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self.got), timeout_s), self.got

    def at(self, path):
        return [one for one in self.got if one[0] == path]

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def until(condition, timeout_s=20):
    """Look until something is so, and return it; for what nobody tells."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come to be in time")
