from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from ifw.errors import ConfigError, ModelFormatError
from ifw.model.checkpoint import load_checkpoint, load_whisper


@pytest.fixture
def folder(demo_folder: Path, tmp_path: Path) -> Path:
    """A copy of the demo without its weights."""
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        shutil.copy(demo_folder / name, tmp_path)
    return tmp_path


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_demo(demo_folder: Path) -> None:
    checkpoint = load_checkpoint(demo_folder, "demo")
    assert checkpoint.name == "demo"
    assert checkpoint.path == demo_folder
    assert checkpoint.dims.n_vocab == 2376
    assert checkpoint.tokenizer.is_multilingual
    assert checkpoint.generation.is_multilingual
    assert checkpoint.can_translate
    whisper = load_whisper(checkpoint, "cpu", "bfloat16")
    assert (whisper.device, whisper.dtype, whisper.dims) == (torch.device("cpu"), torch.bfloat16, checkpoint.dims)


def test_needs_no_weights_and_no_generation_config(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    checkpoint = load_checkpoint(folder)
    assert checkpoint.name == str(folder)
    assert checkpoint.generation.begin_suppress_tokens == (220, 768), "config.json still has them"
    assert checkpoint.generation.suppress_tokens == ()
    assert checkpoint.generation.lang_to_id["es"] == 773
    assert checkpoint.tokenizer.is_multilingual


def test_the_generation_config_says_english_only(folder: Path) -> None:
    change(folder / "generation_config.json", is_multilingual=False)
    checkpoint = load_checkpoint(folder)
    assert not checkpoint.tokenizer.is_multilingual
    assert not checkpoint.generation.lang_to_id
    assert not checkpoint.can_translate


@pytest.mark.parametrize(
    ("layers", "n_vocab", "can_translate"),
    [
        ((32, 32), 51866, True),  # large-v3
        ((32, 4), 51866, False),  # turbo
        ((32, 2), 51866, False),  # distil
        ((4, 2), 2376, True),  # trained from scratch with fewer decoder layers
    ],
)
def test_can_translate(layers: tuple[int, int], n_vocab: int, can_translate: bool, folder: Path) -> None:
    change(folder / "config.json", encoder_layers=layers[0], decoder_layers=layers[1], vocab_size=n_vocab)
    assert load_checkpoint(folder).can_translate == can_translate


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "no Hugging Face Whisper checkpoint"),
        ("config.json", "{", "config.json cannot be read"),
        ("config.json", "[]", "got list, allowed: a JSON object"),
        ("config.json", '{"model_type": "bert"}', "model_type is 'bert'"),
        ("config.json", b"\xff\xfe", "config.json cannot be read"),
        ("generation_config.json", "[]", "got list, allowed: a JSON object"),
        ("tokenizer.json", None, "has no tokenizer"),
        ("config.json", '{"a":' * 10**5, "config.json cannot be read: it is nested too deeply"),
        ("generation_config.json", "[" * 10**5, "generation_config.json cannot be read: it is nested too deeply"),
        ("tokenizer.json", "[" * 10**5, "tokenizer.json cannot be read: it is nested too deeply"),
        ("generation_config.json", '{"is_multilingual": "no"}', 'is_multilingual: got "no", allowed: true or false'),
    ],
)
def test_folders_that_are_no_whisper(name: str, content: str | bytes | None, message: str, folder: Path) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelFormatError, match=message):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("device", "dtype", "message"),
    [
        ("cpu", "auto", "compute_type: got 'auto', allowed: float32, bfloat16, float16, int8"),
        ("meta", "int8", "compute_type: got 'int8', allowed on 'meta'"),
        ("abacus", "float32", "device: got 'abacus'"),
        ("auto", "float32", "device: got 'auto'"),
    ],
)
def test_device_and_dtype(device: str, dtype: str, message: str, demo_folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_whisper(load_checkpoint(demo_folder), device, dtype)


def test_it_knows_the_languages_that_its_generation_config_lists(folder: Path) -> None:
    change(folder / "generation_config.json", lang_to_id={"<|de|>": 772, "<|en|>": 770})
    checkpoint = load_checkpoint(folder)
    assert checkpoint.languages == ("en", "de")
    assert checkpoint.language_ids == {"en": 770, "de": 772}
    change(folder / "generation_config.json", is_multilingual=False)
    assert load_checkpoint(folder).languages == ("en",)
    assert not load_checkpoint(folder).language_ids
