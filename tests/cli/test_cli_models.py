import json
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class CheckpointInfo:
    name: str
    repo_id: str | None
    parameters: int
    download_bytes: int
    is_cached: bool
    path: Path | None


@pytest.fixture
def registry(monkeypatch):
    fake = types.ModuleType("ifw.model.registry")
    fake.list_checkpoints = lambda: [
        CheckpointInfo("demo", None, 4_400_000, 8_900_000, True, Path("/demo")),
        CheckpointInfo("large-v3", "openai/whisper-large-v3", 1_543_490_560, 3_087_000_000, False, None),
    ]
    monkeypatch.setitem(sys.modules, "ifw.model.registry", fake)


def test_table(ifw, registry):
    lines = ifw("models").stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["name", "demo", "large-v3"]
    assert lines[1].split() == ["demo", "4", "M", "9", "MB", "yes", "-"]
    assert lines[2].split() == ["large-v3", "1.54", "B", "3.1", "GB", "no", "openai/whisper-large-v3"]


def test_json(ifw, registry):
    first, second = json.loads(ifw("models", "--json").stdout)
    assert (first["name"], first["is_cached"], first["path"]) == ("demo", True, "/demo")
    assert (second["repo_id"], second["parameters"]) == ("openai/whisper-large-v3", 1_543_490_560)
