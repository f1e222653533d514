"""The command `ifw`, warm: its imports are done before a line on standard input tells it to begin.

The first argument is JSON: options of the tasks that have no setting, such as how soon a worker counts as dead. With
`{}` everything is as users have it.
"""

import dataclasses
import importlib
import json
import sys

from ifw.cli import main
from ifw.service import service

WARM = ("ifw.server.run", "ifw.service.worker", "ifw.transcriber")


def change(changes):
    made = service.task_options
    service.task_options = lambda settings: dataclasses.replace(made(settings), **changes)


if __name__ == "__main__":
    for name in WARM:
        importlib.import_module(name)
    change(json.loads(sys.argv.pop(1)))
    if sys.stdin.readline():
        main()
