"""From what a user calls a checkpoint to its folder."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ifw.errors import ConfigError, ModelFormatError, ModelNotFoundError
from ifw.model.files import CONFIG_FILE, SINGLE_FILE, explain_missing_weights
from ifw.model.hub import cached_snapshot, download_snapshot

DEMO: Final = "demo"
_DEMO_WEIGHT_BYTES = 2
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*\w", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known about a published checkpoint without looking."""

    repo_id: str
    parameters: int
    weight_bytes: int  # a weight, in the file that is downloaded


_KNOWN: Final[Mapping[str, _Known]] = MappingProxyType(
    {
        "tiny": _Known("openai/whisper-tiny", 37_760_640, 4),
        "tiny.en": _Known("openai/whisper-tiny.en", 37_760_256, 4),
        "base": _Known("openai/whisper-base", 72_593_920, 4),
        "base.en": _Known("openai/whisper-base.en", 72_593_408, 4),
        "small": _Known("openai/whisper-small", 241_734_912, 4),
        "small.en": _Known("openai/whisper-small.en", 241_734_144, 4),
        "medium": _Known("openai/whisper-medium", 763_857_920, 4),
        "medium.en": _Known("openai/whisper-medium.en", 763_856_896, 4),
        "large-v1": _Known("openai/whisper-large", 1_543_304_960, 4),
        "large-v2": _Known("openai/whisper-large-v2", 1_543_304_960, 4),
        "large-v3": _Known("openai/whisper-large-v3", 1_543_490_560, 2),
        "turbo": _Known("openai/whisper-large-v3-turbo", 808_878_080, 2),
        "distil-small.en": _Known("distil-whisper/distil-small.en", 166_132_224, 2),
        "distil-medium.en": _Known("distil-whisper/distil-medium.en", 394_375_168, 2),
        "distil-large-v2": _Known("distil-whisper/distil-large-v2", 756_220_160, 2),
        "distil-large-v3": _Known("distil-whisper/distil-large-v3", 756_405_760, 2),
        "distil-large-v3.5": _Known("distil-whisper/distil-large-v3.5", 756_405_760, 4),
    }
)
_ALIASES: Final = MappingProxyType({"large": "large-v3", "large-v3-turbo": "turbo"})


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """A short name and what it stands for.

    Attributes:
        name: The short name.
        repo_id: Its repository on the hub; None for the bundled demo.
        parameters: Number of weights.
        download_bytes: Size of the weights, which are nearly all of the download.
        is_cached: It can be used without a network.
        path: Its folder, where it is cached.
    """

    name: str
    repo_id: str | None
    parameters: int
    download_bytes: int
    is_cached: bool
    path: Path | None


def resolve_checkpoint(name: str | Path) -> Path:
    """Find the folder of a checkpoint, downloading it where it is not on this machine.

    Args:
        name: `demo` (bundled), a short name (`list_checkpoints` has them) in any case, any hub id
            `organisation/name`, or a folder in Hugging Face layout.

    Returns:
        A folder with a `config.json` and weights in safetensors.

    Raises:
        ConfigError: `name` is neither text nor a path.
        ModelNotFoundError: Nothing has this name; the message lists close ones.
        ModelFormatError: The folder or repository is no Hugging Face Whisper checkpoint.
        ModelUnsafeError: It has only pickled weights.
        ModelGatedError: The hub wants accepted conditions and a token.
        ModelOfflineError: It is not cached, and the hub cannot be reached or must not be.
    """
    if not isinstance(name, (str, Path)):
        raise ConfigError(f"model: got {name!r}, allowed: a short name, a hub id 'organisation/name', or a folder")
    wanted = str(name).strip()
    short = _ALIASES.get(wanted.lower(), wanted.lower())
    if short == DEMO:
        return _demo_folder()
    if short in _KNOWN:
        return _snapshot(_KNOWN[short].repo_id)
    folder = Path(os.path.expanduser(wanted))  # Path.expanduser raises where there is no such user
    if wanted and os.path.exists(folder):
        return _checked_folder(folder)
    if isinstance(name, str) and _HUB_ID.fullmatch(wanted):
        return _named_snapshot(wanted)
    spellings = _spellings()
    raise ModelNotFoundError(
        f"model: got {wanted!r}, allowed: a short name, a hub id 'organisation/name', or a folder that exists"
        + (_close(wanted, spellings) or f"; short names: {', '.join(dict.fromkeys(spellings.values()))}")
    )


def other_names(name: str) -> tuple[str, ...]:
    """What else the checkpoint of a short name or of its hub id is called; nothing for other checkpoints."""
    shorts = {spelling: _ALIASES.get(short, short) for spelling, short in _spellings().items()}
    short = shorts.get(name.strip().lower())
    if short is None:
        return ()
    hub_ids = [_KNOWN[short].repo_id] if short in _KNOWN else []
    names = [short, *hub_ids, *(spelling for spelling, known in shorts.items() if known == short)]
    return tuple(spelling for spelling in dict.fromkeys(names) if spelling != name)


def list_checkpoints() -> list[CheckpointInfo]:
    """The bundled demo and every short name, with what of them is on this machine.

    Looks at the cache only, never at the network.
    """
    demo = _demo_folder()
    n_bytes = (demo / SINGLE_FILE).stat().st_size
    listed = [CheckpointInfo(DEMO, None, n_bytes // _DEMO_WEIGHT_BYTES, n_bytes, is_cached=True, path=demo)]
    for name, known in _KNOWN.items():
        path = cached_snapshot(known.repo_id)
        n_bytes = known.parameters * known.weight_bytes
        listed.append(
            CheckpointInfo(name, known.repo_id, known.parameters, n_bytes, is_cached=path is not None, path=path)
        )
    return listed


def _snapshot(repo_id: str) -> Path:
    return cached_snapshot(repo_id) or download_snapshot(repo_id)


def _named_snapshot(repo_id: str) -> Path:
    try:
        return _snapshot(repo_id)
    except ModelNotFoundError as error:
        hint = _close(repo_id, {known.repo_id: known.repo_id for known in _KNOWN.values()})
        raise ModelNotFoundError(f"{error}{hint}") from error


def _spellings() -> dict[str, str]:
    """What people write for a short name -> the short name."""
    spellings = {name: name for name in (DEMO, *_KNOWN, *_ALIASES)}
    for name, known in _KNOWN.items():
        for spelling in (
            f"whisper-{name}",
            known.repo_id,
            known.repo_id.replace("/", "-"),
            known.repo_id.split("/")[1],
        ):
            spellings.setdefault(spelling, name)
    return spellings


def _close(wanted: str, spellings: Mapping[str, str]) -> str:
    if wanted.lower() in spellings:
        return f"; you may mean {spellings[wanted.lower()]}"
    matches = difflib.get_close_matches(wanted.lower(), spellings, n=6, cutoff=0.6)
    close = list(dict.fromkeys(spellings[match] for match in matches))[:4]
    return f"; close: {', '.join(close)}" if close else ""


def _demo_folder() -> Path:
    return Path(str(resources.files("ifw") / DEMO))


def _checked_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise ModelFormatError(
            f"{folder} is a file, allowed: a folder with {CONFIG_FILE}, a tokenizer and model.safetensors"
        )
    names = [path.name for path in folder.iterdir()]
    if CONFIG_FILE not in names:
        raise ModelFormatError(f"{folder} is no Hugging Face Whisper checkpoint: it has no {CONFIG_FILE}")
    if not any(name.endswith((".safetensors", ".safetensors.index.json")) for name in names):
        raise explain_missing_weights(str(folder), names)
    return folder
