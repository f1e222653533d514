from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from ifw.errors import ConfigError, ModelFormatError, ModelNotFoundError, ModelUnsafeError
from ifw.model import registry
from ifw.model.checkpoint import load_checkpoint
from ifw.model.dims import ModelDims
from ifw.model.registry import list_checkpoints, resolve_checkpoint
from ifw.model.weights import tensor_shapes

# n_mels, n_vocab, d_model, n_heads, encoder and decoder layers, as published.
PUBLISHED = {
    "tiny": (80, 51865, 384, 6, 4, 4),
    "tiny.en": (80, 51864, 384, 6, 4, 4),
    "base": (80, 51865, 512, 8, 6, 6),
    "base.en": (80, 51864, 512, 8, 6, 6),
    "small": (80, 51865, 768, 12, 12, 12),
    "small.en": (80, 51864, 768, 12, 12, 12),
    "medium": (80, 51865, 1024, 16, 24, 24),
    "medium.en": (80, 51864, 1024, 16, 24, 24),
    "large-v1": (80, 51865, 1280, 20, 32, 32),
    "large-v2": (80, 51865, 1280, 20, 32, 32),
    "large-v3": (128, 51866, 1280, 20, 32, 32),
    "turbo": (128, 51866, 1280, 20, 32, 4),
    "distil-small.en": (80, 51864, 768, 12, 12, 4),
    "distil-medium.en": (80, 51864, 1024, 16, 24, 2),
    "distil-large-v2": (80, 51865, 1280, 20, 32, 2),
    "distil-large-v3": (128, 51866, 1280, 20, 32, 2),
    "distil-large-v3.5": (128, 51866, 1280, 20, 32, 2),
}


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache and no network; a download only tells its name."""
    monkeypatch.setattr(registry, "cached_snapshot", lambda repo_id: None)
    monkeypatch.setattr(registry, "download_snapshot", lambda repo_id: Path("downloaded") / repo_id)


def n_parameters(dims: ModelDims) -> int:
    return sum(math.prod(shape) for shape in tensor_shapes(dims).values())


def test_list(demo_folder: Path) -> None:
    listed = {item.name: item for item in list_checkpoints()}
    assert list(listed) == ["demo", *PUBLISHED]
    for name, (n_mels, n_vocab, width, n_heads, *layers) in PUBLISHED.items():
        dims = ModelDims(n_mels, n_vocab, width, n_heads, layers[0], layers[1], 4 * width, 4 * width)
        assert listed[name].parameters == n_parameters(dims), name
        assert listed[name].download_bytes in (2 * n_parameters(dims), 4 * n_parameters(dims))
        assert not listed[name].is_cached
    demo = listed["demo"]
    assert (demo.path, demo.repo_id, demo.is_cached) == (demo_folder, None, True)
    exact = n_parameters(load_checkpoint(demo_folder).dims)
    assert demo.parameters == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize(
    ("name", "repo_id"),
    [
        ("tiny", "openai/whisper-tiny"),
        ("tiny.en", "openai/whisper-tiny.en"),
        ("Large-v3", "openai/whisper-large-v3"),
        ("large", "openai/whisper-large-v3"),
        ("TINY.en", "openai/whisper-tiny.en"),
        ("Large-V3-Turbo", "openai/whisper-large-v3-turbo"),
        ("large-v1", "openai/whisper-large"),
        ("turbo", "openai/whisper-large-v3-turbo"),
        ("large-v3-turbo", "openai/whisper-large-v3-turbo"),
        ("distil-large-v3.5", "distil-whisper/distil-large-v3.5"),
        ("someone/whisper-fine-tune", "someone/whisper-fine-tune"),
    ],
)
def test_names(name: str, repo_id: str) -> None:
    assert resolve_checkpoint(name) == Path("downloaded") / repo_id


def test_demo_has_what_it_needs() -> None:
    folder = resolve_checkpoint("demo")
    assert resolve_checkpoint("Demo") == resolve_checkpoint("DEMO ") == folder
    assert load_checkpoint(folder, "demo").dims.n_mels == 80


def test_folders(demo_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert resolve_checkpoint(demo_folder) == demo_folder
    assert resolve_checkpoint(str(demo_folder)) == demo_folder
    home = tmp_path / "home"
    home.mkdir()
    (home / "own").symlink_to(demo_folder)
    monkeypatch.setenv("HOME", str(home))
    assert resolve_checkpoint("~/own") == home / "own"
    monkeypatch.chdir(tmp_path)
    assert resolve_checkpoint("home/own") == Path("home/own"), "a folder that exists goes before a hub id"


@pytest.mark.parametrize(
    "name", ["", "large-v4", "/no/such/folder", "./tiny", "~/tiny", "~nobody-of-this-name/tiny", "a/b/c", "x" * 5000]
)
def test_unknown_names(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="allowed: a short name, a hub id"):
        resolve_checkpoint(name)


def test_close_names() -> None:
    with pytest.raises(ModelNotFoundError, match=r"close: large-v3"):
        resolve_checkpoint("large-v4")
    with pytest.raises(ModelNotFoundError, match=r"close: .*medium"):
        resolve_checkpoint("mediun")


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("whisper-tiny", "tiny"),
        ("Whisper-Tiny", "tiny"),
        ("openai-whisper-tiny", "tiny"),
        ("whisper-large-v3-turbo", "turbo"),
        ("openai-whisper-large-v3-turbo", "turbo"),
        ("whisper-turbo", "turbo"),
        ("distil-whisper-distil-large-v3", "distil-large-v3"),
        ("whisper-large", "large-v1"),
    ],
)
def test_other_spellings_name_the_short_name(name: str, short: str) -> None:
    with pytest.raises(ModelNotFoundError, match=rf"got '{name}', allowed: .*; you may mean {re.escape(short)}$"):
        resolve_checkpoint(name)


@pytest.mark.parametrize(
    "name", ["openai/", "org/name@rev", "/name", "a b/c", "me/..", "openai/whisper-tiny/", "ä/b", "-a/b"]
)
def test_what_cannot_be_a_hub_id_is_not_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "cached_snapshot", lambda repo_id: pytest.fail("the cache was asked"))
    with pytest.raises(ModelNotFoundError, match="allowed: a short name, a hub id 'organisation/name'"):
        resolve_checkpoint(name)


@pytest.mark.parametrize("name", [None, 5, b"tiny", ["tiny"], True])
def test_a_model_is_text_or_a_path(name: Any) -> None:
    with pytest.raises(ConfigError, match=f"model: got {re.escape(repr(name))}, allowed: a short name"):
        resolve_checkpoint(name)


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ([], ModelFormatError, "it has no config.json"),
        (["config.json"], ModelFormatError, "has no weights"),
        (["config.json", "pytorch_model.bin"], ModelUnsafeError, "pytorch_model.bin"),
        (["config.json", "model.bin", "vocabulary.txt"], ModelFormatError, "CTranslate2"),
    ],
)
def test_folders_that_are_no_checkpoint(files: list[str], error: type[Exception], message: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(error, match=message):
        resolve_checkpoint(tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "ggml-base.bin").touch()
    with pytest.raises(ModelFormatError, match="is a file, allowed: a folder"):
        resolve_checkpoint(tmp_path / "ggml-base.bin")


@pytest.mark.parametrize(
    ("folder", "origin"),
    [
        ("faster-whisper-large-v3", "openai/whisper-large-v3"),
        ("faster-distil-whisper-large-v3", "distil-whisper/distil-large-v3"),
        ("faster-whisper-large-v3-turbo-ct2", "openai/whisper-large-v3-turbo"),
        ("my-model", "openai/whisper-large-v3"),
    ],
)
def test_where_a_conversion_came_from(folder: str, origin: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    for name in ("config.json", "model.bin", "vocabulary.json"):
        (tmp_path / folder / name).touch()
    with pytest.raises(ModelFormatError, match=rf"such as {origin}$"):
        resolve_checkpoint(tmp_path / folder)
