"""Worker processes on one database, and what they wrote down."""

import json
import subprocess
import sys
from pathlib import Path

from toys import until
from worker_process import LoggingStages

from ifw.tasks import TaskOptions, TaskRequest, Tasks, Webhook

WORKER = Path(__file__).with_name("worker_process.py")


class Workplace:
    """A database, the processes that work on it, and their common log."""

    def __init__(self, folder, url=None, *, pause_s=0.01, **options):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.log_path = folder / "log"
        self.log_path.touch()
        self.pause_s = pause_s
        self.options = {
            "data_dir": str(folder / "data"),
            "database_url": url,
            "max_running": 3,
            "poll_s": 0.03,
            "flush_s": 0.03,
            "heartbeat_s": 0.1,
            "dead_after_s": 1.0,
            "delivery_delays_s": (0.1,) * 20,
            **options,
        }
        self.processes = []

    def client(self):
        """Tasks without work, to submit and look; with SQLite only while no worker is up."""
        options = {**self.options, "data_dir": Path(self.options["data_dir"])}
        tasks = Tasks(LoggingStages(str(self.log_path), 0).stages(), TaskOptions(**options))
        tasks.start(works=False)
        return tasks

    def submit(self, tasks, count, receiver=None, **payload):
        """Tasks whose text is their number."""
        webhook = None if receiver is None else Webhook(receiver.url)
        return [tasks.submit(TaskRequest({"text": f"t{n}", **payload}, webhook=webhook))[0].id for n in range(count)]

    def start(self, *, until_done=False, **settings):
        """A worker process that is up."""
        given = {
            "options": self.options,
            "log": str(self.log_path),
            "pause_s": self.pause_s,
            "until_done": until_done,
            **settings,
        }
        process = subprocess.Popen([sys.executable, str(WORKER), json.dumps(given)], stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    def lines(self):
        """What the stages wrote down: pid, what, task, and more."""
        return [line.split() for line in self.log_path.read_text().splitlines()]

    def wait_for_line(self, what, count=1):
        """Until so many lines of a kind are there."""
        until(lambda: sum(line[1] == what for line in self.lines()) >= count)

    def kill(self, process):
        """End a process as a power cut would."""
        process.kill()
        process.wait(20)
        process.stdout.close()

    def finish(self, process):
        """Wait until a process has ended in order."""
        assert process.wait(60) == 0
        process.stdout.close()

    def close(self):
        """End what is left."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait(20)
            process.stdout.close()
