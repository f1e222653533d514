"""Run Truss's own inference server, in the folder of an app, on a free port of loopback: its `main.py` takes all."""

import os
import sys

sys.path.insert(0, os.getcwd())  # as in the image, where main.py lies there
import uvicorn

listening = uvicorn.Config.__init__


def on_loopback(self, *arguments, **given):
    listening(self, *arguments, **{**given, "host": "127.0.0.1"})


uvicorn.Config.__init__ = on_loopback
from truss_server import TrussServer  # noqa: E402 - what it calls is replaced first

TrussServer(0, "config.yaml").start()
