from __future__ import annotations

from pathlib import Path

import pytest

from ifw.model.files import is_complete, weight_files

WHOLE = ["config.json", "tokenizer.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("names", "complete"),
    [
        (WHOLE, True),
        (["config.json", "vocab.json", "model.safetensors"], True),
        (WHOLE[1:], False),
        (WHOLE[:2], False),
        (["config.json", "model.safetensors"], False),
        (["config.json", "tokenizer.json", "pytorch_model.bin"], False),
        ([], False),
    ],
)
def test_is_complete(names: list[str], complete: bool, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert is_complete(tmp_path) == complete


def test_all_shards_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    (tmp_path / "tokenizer.json").touch()
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}'
    )
    (tmp_path / "one.safetensors").touch()
    assert not is_complete(tmp_path)
    (tmp_path / "two.safetensors").touch()
    assert is_complete(tmp_path)
    assert [path.name for path in weight_files(tmp_path)] == ["one.safetensors", "two.safetensors"]
