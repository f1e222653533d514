"""A signal to a worker that is not woken by it."""

from __future__ import annotations

import signal
import subprocess
import sys

CODE = """
import logging, signal, sys, threading
from types import SimpleNamespace
from ifw.service import worker

class Service:
    model = SimpleNamespace(status=SimpleNamespace(state="ready"))
    def __init__(self, settings): pass
    def start(self, works): pass
    def close(self): print("closed")

threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
worker.Service, worker.configure_logs = Service, lambda settings: None
print(worker.work(SimpleNamespace(database_url="postgresql://")))
"""


def test_a_signal_that_does_not_end_the_wait_is_taken_all_the_same():
    """As one that comes just before the wait. Another thread takes it here, so that the main thread is not woken."""
    with subprocess.Popen([sys.executable, "-u", "-c", CODE], stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout:
                if line == "worker started\n":
                    break
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, output) == (0, "closed\nworker ended\nTrue\n")
