import json
import sys
from pathlib import Path

import fake_transcriber
import pytest
from typer.testing import CliRunner

from ifw.cli.app import app


@pytest.fixture
def transcribers(monkeypatch):
    """The transcribers that the command makes, fake ones."""
    fake = fake_transcriber.module()
    monkeypatch.setitem(sys.modules, "ifw.transcriber", fake)
    return fake.Transcriber.made


@pytest.fixture
def ifw(transcribers, tmp_path, monkeypatch):
    """Runs `ifw` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, stdin=None):
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)

    return run


@pytest.fixture
def record(tmp_path):
    """Makes a recording that says one sentence, or does what it is told."""

    def make(name, **behaviour):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(behaviour or {"say": [[0.0, 1.5, f"This is {Path(name).stem}."]]}))
        return path

    return make
