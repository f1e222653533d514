"""A worker in a process of its own, with stages that write down what they do. Run with its settings as JSON."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from ifw.errors import CancelledError
from ifw.tasks import Stage, TaskOptions, Tasks

N_WINDOWS = 4


class LoggingStages:
    """Three stages; the second has windows, and a journal of them."""

    def __init__(self, log, pause_s):
        self.fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.folder = Path(log).parent
        self.pause_s = pause_s

    def stages(self):
        return [Stage("fetch", self.fetch), Stage("transcribe", self.transcribe), Stage("finish", self.finish)]

    def log(self, *words):
        os.write(self.fd, (" ".join(map(str, (os.getpid(), *words))) + "\n").encode())

    def fetch(self, context):
        self.log("fetch", context.task_id)
        time.sleep(self.pause_s)
        return {"text": context.payload["text"]}

    def transcribe(self, context):
        self.log("transcribe", context.task_id)
        if context.payload.get("poison"):
            os.kill(os.getpid(), signal.SIGKILL)
        known = {record["window"] for record in context.journal.begin({"model": 1})}
        for window in range(N_WINDOWS):
            if window not in known:
                time.sleep(self.pause_s)
                context.cancel.raise_if_cancelled()
                self.log("window", context.task_id, window)
                context.journal.append({"window": window})
                if context.payload.get("stumbles"):
                    time.sleep(0.3)  # the journal is written meanwhile
                    os.kill(os.getpid(), signal.SIGKILL)
            context.emit(window, {"window": window})
            context.report("transcribe", window + 1, N_WINDOWS)
        while context.payload.get("hold") and not (self.folder / "go").exists():
            time.sleep(0.005)
            if context.payload["hold"] == "politely":
                context.cancel.raise_if_cancelled()

    def finish(self, context):
        self.log("finish", context.task_id)
        time.sleep(self.pause_s)
        try:
            context.set_result(f"{context.results['fetch']['text']} by {os.getpid()}")
        except CancelledError:
            self.log("refused", context.task_id)
            raise
        time.sleep(self.pause_s)


class StubbornStages(LoggingStages):
    """A single stage that does not ask whether it is cancelled before it writes."""

    def stages(self):
        return [Stage("all", self.all)]

    def all(self, context):
        self.log("holding", context.task_id)
        while not (self.folder / "go").exists():
            time.sleep(0.005)
        self.finish(
            type(
                "Context",
                (),
                {"results": {"fetch": context.payload}, "task_id": context.task_id, "set_result": context.set_result},
            )
        )


def main():
    settings = json.loads(sys.argv[1])
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    options = TaskOptions(
        **{**settings["options"], "data_dir": Path(settings["options"]["data_dir"]), "allow_nets": ("127.0.0.0/8",)}
    )
    kind = StubbornStages if settings.get("stubborn") else LoggingStages
    tasks = Tasks(kind(settings["log"], settings["pause_s"]).stages(), options)
    tasks.start()
    os.write(1, b"up\n")
    while not ending.wait(0.05):
        stats = tasks.stats()
        if settings["until_done"] and stats.n_queued + stats.n_running + stats.n_pending_deliveries == 0:
            break
    tasks.close(settings.get("grace_s", 0))


if __name__ == "__main__":
    main()
