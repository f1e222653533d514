from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hf_reference import CPU, Pair, relative_error
from safetensors.torch import load_file, save_file

from ifw.errors import ModelFormatError, ModelUnsafeError
from ifw.model.dims import ModelDims
from ifw.model.weights import load_weights, tensor_shapes


@pytest.fixture
def pair(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("tiny")


@pytest.fixture
def tensors(pair: Pair) -> dict[str, torch.Tensor]:
    return load_file(pair.folder / "model.safetensors")


def load(folder: Path, dims: ModelDims, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Load and encode silence, which touches every encoder weight."""
    whisper = load_weights(folder, dims, CPU, dtype)
    return whisper.encode(torch.full((1, dims.n_mels, 3000), -0.5))


@pytest.fixture
def expected(pair: Pair) -> torch.Tensor:
    return pair.whisper.encode(torch.full((1, pair.dims.n_mels, 3000), -0.5))


def test_the_shapes_are_those_that_transformers_writes(tensors: dict[str, torch.Tensor], pair: Pair) -> None:
    written = {name.removeprefix("model."): tuple(tensor.shape) for name, tensor in tensors.items()}
    assert written == tensor_shapes(pair.dims)


def test_sharded(pair: Pair, expected: torch.Tensor, tmp_path: Path) -> None:
    pair.reference.save_pretrained(tmp_path, max_shard_size="500KB")
    assert not (tmp_path / "model.safetensors").exists()
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 3
    assert torch.equal(load(tmp_path, pair.dims), expected)


def test_names_without_prefix(
    pair: Pair, tensors: dict[str, torch.Tensor], expected: torch.Tensor, tmp_path: Path
) -> None:
    bare = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    save_file(bare, tmp_path / "model.safetensors")
    assert torch.equal(load(tmp_path, pair.dims), expected)


def test_tied_output_may_be_in_the_file(
    pair: Pair, tensors: dict[str, torch.Tensor], expected: torch.Tensor, tmp_path: Path
) -> None:
    tensors["proj_out.weight"] = tensors["model.decoder.embed_tokens.weight"].clone()
    save_file(tensors, tmp_path / "model.safetensors")
    assert torch.equal(load(tmp_path, pair.dims), expected)


DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@pytest.mark.parametrize(("stored", "dtype"), list(itertools.product(DTYPES, DTYPES)))
def test_every_dtype_from_every_dtype(stored: torch.dtype, dtype: torch.dtype, pair: Pair, tmp_path: Path) -> None:
    tensors = load_file(pair.folder / "model.safetensors")
    save_file({name: tensor.to(stored) for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    whisper = load_weights(tmp_path, pair.dims, CPU, dtype)
    assert whisper.dtype == whisper.token_embedding.dtype == whisper.encoder_positions.dtype == dtype
    found = whisper.encode(pair.mel[:1])
    assert found.dtype == dtype
    is_exact = stored == dtype == torch.float32
    assert relative_error(found, pair.audio[:1]) < (1e-6 if is_exact else 0.05)


def test_missing_and_unknown_tensors_are_named(pair: Pair, tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    tensors["model.encoder.extra"] = tensors.pop("model.decoder.layers.1.fc1.bias")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelFormatError, match=r"lacks decoder\.layers\.1\.fc1\.bias and has unknown encoder\.extra"):
        load_weights(tmp_path, pair.dims, CPU, torch.float32)


def test_another_shape_is_named(pair: Pair, tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    tensors["model.encoder.conv1.weight"] = torch.zeros(128, 128, 3)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelFormatError, match=r"conv1\.weight has shape \(128, 128, 3\), allowed: \(128, 80, 3\)"):
        load_weights(tmp_path, pair.dims, CPU, torch.float32)


@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.int8, "I8"), (torch.uint8, "U8"), (torch.float8_e4m3fn, "F8_E4M3"), (torch.bool, "BOOL")]
)
def test_quantised_weights_are_refused(
    dtype: torch.dtype, name: str, pair: Pair, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    tensors["model.decoder.layers.1.fc1.weight"] = tensors["model.decoder.layers.1.fc1.weight"].to(dtype)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelFormatError, match=rf"layers\.1\.fc1\.weight has dtype {name}, allowed: BF16, F16"):
        load_weights(tmp_path, pair.dims, CPU, torch.float32)


@pytest.mark.parametrize("kept", [0, 4, 100, 50_000])
def test_damaged_file(kept: int, pair: Pair, tmp_path: Path) -> None:
    content = (pair.folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[:kept])
    with pytest.raises(ModelFormatError, match=r"model\.safetensors is no readable safetensors file"):
        load_weights(tmp_path, pair.dims, CPU, torch.float32)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "large-v3.pt"])
def test_pickled_weights_are_refused(name: str, pair: Pair, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / name)
    with pytest.raises(ModelUnsafeError, match="save_pretrained"):
        load_weights(tmp_path, pair.dims, CPU, torch.float32)


def test_pickled_weights_beside_safetensors_are_ignored(pair: Pair, expected: torch.Tensor, tmp_path: Path) -> None:
    shutil.copy(pair.folder / "model.safetensors", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"anything")
    assert torch.equal(load(tmp_path, pair.dims), expected)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no weights"),
        ({"model.bin": b"", "vocabulary.json": b""}, "CTranslate2"),
        ({"adapter_model.safetensors": b""}, "PEFT adapter"),
        ({"model.safetensors.index.json": b"[]"}, "no index of safetensors shards"),
        ({"model.safetensors.index.json": b"{"}, "no index of safetensors shards"),
        ({"model.safetensors.index.json": b"{}"}, "weight_map: got null, allowed: an object"),
        ({"model.safetensors.index.json": b'{"weight_map": {"a": 5}}'}, "'a': got 5, allowed: a string"),
        ({"model.safetensors.index.json": b'{"a":' * 10**5}, "nested too deeply"),
        ({"model.safetensors.index.json": b'{"weight_map": {"a": "../../secret"}}'}, "files of the same folder"),
        ({"model.safetensors.index.json": b'{"weight_map": {"a": "model-1-of-2.safetensors"}}'}, "lacks the shard"),
    ],
)
def test_folders_without_usable_weights(files: dict[str, bytes], message: str, pair: Pair, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelFormatError, match=message):
        load_weights(tmp_path, pair.dims, CPU, torch.float32)


def test_the_folder_may_be_deleted_after_loading(pair: Pair, expected: torch.Tensor, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    shutil.copytree(pair.folder, folder)
    whisper = load_weights(folder, pair.dims, CPU, torch.float32)
    shutil.rmtree(folder)
    assert torch.equal(whisper.encode(torch.full((1, pair.dims.n_mels, 3000), -0.5)), expected)


def test_a_config_that_does_not_fit(pair: Pair, tmp_path: Path) -> None:
    shutil.copy(pair.folder / "model.safetensors", tmp_path)
    config = json.loads((pair.folder / "config.json").read_text()) | {"encoder_layers": 5}
    with pytest.raises(ModelFormatError, match=r"lacks encoder\.layers\.4\.fc1\.bias.* and 7 more"):
        load_weights(tmp_path, ModelDims.from_config(config), CPU, torch.float32)
