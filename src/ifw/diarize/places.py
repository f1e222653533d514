"""From what a user calls a diarization model to folders on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from reprlib import repr as shortened
from typing import Final

from ifw.diarize.pipeline_config import CONFIG_FILE, ModelPlace, PipelineConfig, VbxSettings, read_config
from ifw.diarize.plda import STATISTICS_FILE, TRANSFORM_FILE
from ifw.diarize.weights_file import WEIGHTS_FILE
from ifw.errors import ConfigError, ModelFormatError, ModelNotFoundError
from ifw.model.hub import fetch_files

DEFAULT_MODEL: Final = "pyannote/speaker-diarization-community-1"
DEMO: Final = "demo"
NETWORK_FILES: Final = (WEIGHTS_FILE,)
PLDA_FILES: Final = (TRANSFORM_FILE, STATISTICS_FILE)
_DEMO_FOLDER: Final = "demo_diarizer"
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*\w", re.ASCII)
_PATTERNS: Final = (CONFIG_FILE, f"*{WEIGHTS_FILE}", "*.npz")


def find_pipeline(model: str | Path) -> Path:
    """Find the folder of a pipeline, downloading it where it is not on this machine.

    Args:
        model: A hub id such as `pyannote/speaker-diarization-community-1`, a folder with a `config.yaml`, or `demo`,
            which is bundled.

    Raises:
        ConfigError: `model` is neither text nor a path.
        ModelNotFoundError: Nothing has this name.
        ModelFormatError: The folder or repository has no `config.yaml`.
        ModelGatedError: The hub wants accepted conditions and a token.
        ModelOfflineError: It is not cached, and the hub cannot be reached or must not be.
    """
    if not isinstance(model, (str, Path)):
        raise ConfigError(
            f"diarization model: got {model!r}, allowed: {DEMO}, a hub id 'organisation/name', or a folder"
        )
    wanted = str(model).strip()
    if wanted.lower() == DEMO:
        return Path(str(resources.files("ifw") / _DEMO_FOLDER))
    folder = _find(wanted, _has_pipeline)
    if not (folder / CONFIG_FILE).is_file():
        raise ModelFormatError(
            f"diarization model: {folder} has no {CONFIG_FILE}, "
            f"allowed: a pipeline of pyannote.audio such as {DEFAULT_MODEL}"
        )
    return folder


def find_part(place: ModelPlace, files: Sequence[str]) -> Path:
    """Find the folder that holds a part of a pipeline.

    Args:
        place: Where it lies.
        files: What it has, such as `NETWORK_FILES`.

    Raises:
        ModelError: As `find_pipeline` does.
    """
    return _find(place.where, lambda folder: _has(folder, place, files)) / place.subfolder


def required_files(config: PipelineConfig) -> list[tuple[ModelPlace, tuple[str, ...]]]:
    """The parts of a pipeline, and the files that each has."""
    parts: list[tuple[ModelPlace, tuple[str, ...]]] = [
        (config.segmentation, NETWORK_FILES),
        (config.embedding, NETWORK_FILES),
    ]
    if isinstance(config.clustering, VbxSettings):
        parts.append((config.clustering.plda, PLDA_FILES))
    return parts


def _find(where: str, has_all: Callable[[Path], bool]) -> Path:
    path = Path(os.path.expanduser(where))  # Path.expanduser raises where there is no such user
    if where and os.path.exists(path):
        return path
    if not _HUB_ID.fullmatch(where):
        raise ModelNotFoundError(
            f"diarization model: got {shortened(where)}, allowed: a hub id 'organisation/name' "
            f"such as {DEFAULT_MODEL}, a folder that exists, or {DEMO}, which is bundled"
        )
    return fetch_files(where, _PATTERNS, has_all)


def _has_pipeline(folder: Path) -> bool:
    """Whether all is there that the pipeline keeps in its own folder."""
    if not (folder / CONFIG_FILE).is_file():
        return False
    parts = required_files(read_config(folder))
    return all(_has(folder, place, files) for place, files in parts if place.where == str(folder))


def _has(folder: Path, place: ModelPlace, files: Sequence[str]) -> bool:
    return all((folder / place.subfolder / name).is_file() for name in files)
