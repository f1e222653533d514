"""What lies in a checkpoint folder: which files matter, and what to say where the weights are not usable."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ifw.errors import ModelError, ModelFormatError, ModelUnsafeError
from ifw.model.json_file import expect_map, read_json

CONFIG_FILE: Final = "config.json"
SINGLE_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"

# All that is ever downloaded. Variants such as model.fp32-00001-of-00002.safetensors do not match.
WANTED_PATTERNS: Final = (
    CONFIG_FILE,
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    SINGLE_FILE,
    INDEX_FILE,
    "model-*-of-*.safetensors",
)
_PICKLED_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_CT2_FILES = ("vocabulary.json", "vocabulary.txt")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint folder, in the order of their names.

    Raises:
        ModelUnsafeError: The folder has only pickled weights.
        ModelFormatError: It has no weights, or the index names a shard that is not there.
    """
    if (folder / SINGLE_FILE).is_file():
        return [folder / SINGLE_FILE]
    if (folder / INDEX_FILE).is_file():
        return _shards(folder)
    raise explain_missing_weights(str(folder), (path.name for path in folder.iterdir()))


def has_weights(folder: Path) -> bool:
    """Whether the folder has all its weights in safetensors."""
    try:
        return bool(weight_files(folder))
    except ModelError:
        return False


def is_complete(folder: Path) -> bool:
    """Whether the folder has config, tokenizer and all weights, as it has not after a download that broke off."""
    has_tokenizer = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json"))
    return has_tokenizer and (folder / CONFIG_FILE).is_file() and has_weights(folder)


def explain_missing_weights(where: str, names: Iterable[str]) -> ModelError:
    """Say why the files of a folder or repository hold no weights that can be used, and what to do.

    Args:
        where: The folder or the repository.
        names: The names of its files.

    Returns:
        The error to raise.
    """
    present = sorted(names)
    if "model.bin" in present and any(name in present for name in _CT2_FILES):
        return ModelFormatError(
            f"{where} holds CTranslate2 weights, as faster-whisper uses them, allowed: Hugging Face safetensors. "
            f"Use the checkpoint that it was converted from, such as {_origin(where)}"
        )
    pickled = [name for name in present if name.endswith(_PICKLED_SUFFIXES)]
    if pickled:
        return ModelUnsafeError(
            f"{where} has only pickled weights ({', '.join(pickled)}), and reading a pickle can execute code. "
            "Convert it once where you trust the file, with the transformers package: "
            f"WhisperForConditionalGeneration.from_pretrained({where!r}).save_pretrained('converted')"
        )
    if "adapter_model.safetensors" in present:
        return ModelFormatError(
            f"{where} holds only a PEFT adapter, allowed: whole weights. "
            "Merge it into its base model first (merge_and_unload, then save_pretrained)"
        )
    return ModelFormatError(f"{where} has no weights: neither {SINGLE_FILE} nor {INDEX_FILE}")


def _origin(where: str) -> str:
    """The hub id of the checkpoint that a CTranslate2 conversion was probably made from."""
    name = Path(where).name.removesuffix("-ct2")
    _, separator, size = name.partition("distil-whisper-")
    if separator:
        return f"distil-whisper/distil-{size}"
    _, separator, size = name.partition("whisper-")
    return f"openai/whisper-{size}" if separator else "openai/whisper-large-v3"


def _shards(folder: Path) -> list[Path]:
    index_path = folder / INDEX_FILE
    try:
        weight_map = expect_map(read_json(index_path).get("weight_map"), str, f"{index_path}, weight_map")
    except ModelFormatError as error:
        raise ModelFormatError(f"{index_path} is no index of safetensors shards: {error}") from error
    names = sorted(set(weight_map.values()))
    outside = [name for name in names if Path(name).name != name]
    if outside:
        raise ModelFormatError(f"{index_path}: got the shard {outside[0]!r}, allowed: files of the same folder")
    for name in names:
        if not (folder / name).is_file():
            raise ModelFormatError(f"{folder} lacks the shard {name}, which {INDEX_FILE} names")
    return [folder / name for name in names]
