import json
from pathlib import Path

import pytest

from ifw.model import registry
from ifw.model.registry import CheckpointInfo


@pytest.fixture
def checkpoints(monkeypatch):
    listed = [
        CheckpointInfo("demo", None, 4_400_000, 8_900_000, True, Path("/demo")),
        CheckpointInfo("large-v3", "openai/whisper-large-v3", 1_543_490_560, 3_087_000_000, False, None),
    ]
    monkeypatch.setattr(registry, "list_checkpoints", lambda: listed)


def test_table(ifw, checkpoints):
    lines = ifw("models").stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["name", "demo", "large-v3"]
    assert lines[1].split() == ["demo", "4", "M", "9", "MB", "yes", "-"]
    assert lines[2].split() == ["large-v3", "1.54", "B", "3.1", "GB", "no", "openai/whisper-large-v3"]


def test_json(ifw, checkpoints):
    first, second = json.loads(ifw("models", "--json").stdout)
    assert (first["name"], first["is_cached"], first["path"]) == ("demo", True, "/demo")
    assert (second["repo_id"], second["parameters"]) == ("openai/whisper-large-v3", 1_543_490_560)
