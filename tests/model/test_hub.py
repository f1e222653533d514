"""Names to folders through a hub on the loopback interface, each in a process of its own.

`huggingface_hub` reads its environment variables when it is imported, so only a fresh process shows what they do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_hub import COMMIT, TOKEN, Hub, Repository, serve

SCRIPT = """
import json, sys
from ifw.errors import IfwError
from ifw.model.registry import list_checkpoints, resolve_checkpoint
try:
    if sys.argv[1] == "--list":
        answer = {item.name: [item.is_cached, str(item.path)] for item in list_checkpoints()}
    else:
        answer = {"path": str(resolve_checkpoint(sys.argv[1]))}
except IfwError as error:
    answer = {"error": type(error).__name__, "message": str(error)}
answer["modules"] = [name for name in ("torch", "transformers") if name in sys.modules]
print(json.dumps(answer))
"""


@pytest.fixture
def whisper_files(demo_folder: Path) -> dict[str, bytes]:
    """A repository as OpenAI's are: the wanted files among formats that nobody here reads."""
    wanted = {
        name: (demo_folder / name).read_bytes()
        for name in ("config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json")
    }
    unwanted = (
        "README.md",
        "pytorch_model.bin",
        "tf_model.h5",
        "flax_model.msgpack",
        "onnx/encoder.onnx",
        "model.fp32-00001-of-00002.safetensors",
        "model.safetensors.index.fp32.json",
        "training_args.bin",
        "code.py",
    )
    return {**wanted, "model.safetensors": b"weights", **dict.fromkeys(unwanted, b"do not download")}


@pytest.fixture
def hub(whisper_files: dict[str, bytes]) -> Iterator[Hub]:
    shards = {
        "model.safetensors.index.json": b'{"weight_map": {"a": "model-00001-of-00002.safetensors", '
        b'"b": "model-00002-of-00002.safetensors"}}',
        "model-00001-of-00002.safetensors": b"first",
        "model-00002-of-00002.safetensors": b"second",
    }
    without_weights = {name: content for name, content in whisper_files.items() if name != "model.safetensors"}
    repositories = {
        "openai/whisper-tiny": Repository(whisper_files),
        "me/sharded": Repository({**without_weights, **shards}),
        "me/gated": Repository(whisper_files, gate=True),
        "me/private": Repository(whisper_files, is_private=True),
        "me/pickled": Repository(without_weights),
        "Systran/faster-whisper-large-v3": Repository(
            {"config.json": b"{}", "model.bin": b"", "vocabulary.json": b"[]", "tokenizer.json": b"{}"}
        ),
        "me/broken": Repository(whisper_files, breaks_off={"model.safetensors"}),
    }
    with serve(repositories) as running:
        yield running


def resolve(name: str, endpoint: str, home: Path, **environment: str) -> dict[str, Any]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    variables = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, name],
        env={**kept, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["modules"] == [], "finding a checkpoint must not import them"
    return answer


def test_download_then_no_network(hub: Hub, tmp_path: Path) -> None:
    first = resolve("tiny", hub.endpoint, tmp_path)
    folder = Path(first["path"])
    assert folder == tmp_path / "hub/models--openai--whisper-tiny/snapshots" / COMMIT
    wanted = [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
    ]
    assert hub.fetched() == wanted
    assert sorted(path.name for path in folder.iterdir()) == wanted
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    agents = {request.headers["user-agent"] for request in hub.requests}
    assert not any("torch" in agent for agent in agents), "telemetry is off"

    n_requests = len(hub.requests)
    assert resolve("tiny", hub.endpoint, tmp_path) == first
    assert len(hub.requests) == n_requests, "what is cached needs no question"
    assert resolve("openai/whisper-tiny", "http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1") == first
    listed = resolve("--list", "http://127.0.0.1:9", tmp_path)
    assert listed["tiny"] == [True, str(folder)]
    assert listed["base"] == [False, "None"]
    assert listed["demo"][0]


def test_sharded(hub: Hub, tmp_path: Path) -> None:
    folder = Path(resolve("me/sharded", hub.endpoint, tmp_path)["path"])
    assert (folder / "model-00002-of-00002.safetensors").read_bytes() == b"second"


def test_gated(hub: Hub, tmp_path: Path) -> None:
    answer = resolve("me/gated", hub.endpoint, tmp_path)
    assert answer["error"] == "ModelGatedError"
    assert f"{hub.endpoint}/me/gated" in answer["message"]
    assert "HF_TOKEN" in answer["message"]
    assert "error" in resolve("me/gated", hub.endpoint, tmp_path, HF_TOKEN="hf_wrong")
    assert "path" in resolve("me/gated", hub.endpoint, tmp_path, HF_TOKEN=TOKEN)


def test_private(hub: Hub, tmp_path: Path) -> None:
    answer = resolve("me/private", hub.endpoint, tmp_path)
    assert answer["error"] == "ModelNotFoundError"
    assert "private" in answer["message"]
    assert "path" in resolve("me/private", hub.endpoint, tmp_path, HF_TOKEN=TOKEN)


def test_not_found(hub: Hub, tmp_path: Path) -> None:
    answer = resolve("openai/whisper-larg-v3", hub.endpoint, tmp_path)
    assert answer["error"] == "ModelNotFoundError"
    assert "openai/whisper-large-v3" in answer["message"]


@pytest.mark.parametrize("name", ["a b/c", "me/..", "me/x" + "y" * 200])
def test_impossible_hub_ids(name: str, hub: Hub, tmp_path: Path) -> None:
    answer = resolve(name, hub.endpoint, tmp_path)
    assert answer["error"] == "ModelNotFoundError"
    assert "a hub id 'organisation/name'" in answer["message"]
    assert not hub.requests


def test_offline(hub: Hub, tmp_path: Path) -> None:
    answer = resolve("base", hub.endpoint, tmp_path, HF_HUB_OFFLINE="1")
    assert answer["error"] == "ModelOfflineError"
    assert "HF_HUB_OFFLINE" in answer["message"]
    assert "hf download openai/whisper-base" in answer["message"]
    assert not hub.requests


def test_no_network(tmp_path: Path) -> None:
    answer = resolve("base", "http://127.0.0.1:9", tmp_path)
    assert answer["error"] == "ModelOfflineError"
    assert "http://127.0.0.1:9 could not be reached" in answer["message"]
    assert "hf download openai/whisper-base" in answer["message"]


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (503, "ModelOfflineError", "answered 503: try again later"),
        (429, "ModelOfflineError", "answered 429: try again later"),
        (401, "ModelGatedError", "check HF_TOKEN"),
        (403, "ModelGatedError", "check HF_TOKEN"),
    ],
)
def test_hub_refuses(status: int, error: str, message: str, hub: Hub, tmp_path: Path) -> None:
    hub.repositories["me/sharded"].fails_with = status
    answer = resolve("me/sharded", hub.endpoint, tmp_path)
    assert answer["error"] == error
    assert message in answer["message"]


def test_pickled_only(hub: Hub, tmp_path: Path) -> None:
    answer = resolve("me/pickled", hub.endpoint, tmp_path)
    assert answer["error"] == "ModelUnsafeError"
    assert "pytorch_model.bin" in answer["message"]
    assert "pytorch_model.bin" not in hub.fetched()


def test_ctranslate2_only(hub: Hub, tmp_path: Path) -> None:
    answer = resolve("Systran/faster-whisper-large-v3", hub.endpoint, tmp_path)
    assert answer["error"] == "ModelFormatError"
    assert "openai/whisper-large-v3" in answer["message"]
    assert "model.bin" not in hub.fetched()


def test_download_that_broke_off_is_finished_later(hub: Hub, tmp_path: Path) -> None:
    answer = resolve("me/broken", hub.endpoint, tmp_path)
    assert answer["error"] == "ModelOfflineError"
    hub.repositories["me/broken"].breaks_off.clear()
    folder = Path(resolve("me/broken", hub.endpoint, tmp_path)["path"])
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_cache_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("a file where the cache should be")
    answer = resolve("me/sharded", hub.endpoint, tmp_path)
    assert answer["error"] == "ModelError"
    assert "could not be stored" in answer["message"]
