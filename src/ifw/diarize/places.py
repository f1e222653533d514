"""From what a user calls a diarization model to folders on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from reprlib import repr as shortened
from typing import Final

from ifw.diarize.pipeline_config import CONFIG_FILE, ModelPlace, read_config
from ifw.diarize.plda import STATISTICS_FILE
from ifw.diarize.weights_file import WEIGHTS_FILE
from ifw.errors import ConfigError, ModelFormatError, ModelNotFoundError
from ifw.model.hub import fetch_files

DEFAULT_MODEL: Final = "pyannote/speaker-diarization-community-1"
DEMO: Final = "demo"
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


def find_network(place: ModelPlace) -> Path:
    """Find the folder that holds a network's checkpoint; raises as `find_pipeline` does."""
    path = Path(place.subfolder, WEIGHTS_FILE)
    return _find(place.where, lambda folder: (folder / path).is_file()) / place.subfolder


def find_plda(place: ModelPlace) -> Path:
    """Find the folder that holds the statistics of PLDA; raises as `find_pipeline` does."""
    path = Path(place.subfolder, STATISTICS_FILE)
    return _find(place.where, lambda folder: (folder / path).is_file()) / place.subfolder


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
    config = read_config(folder)
    places = [config.segmentation, config.embedding]
    own = [Path(place.where, place.subfolder, WEIGHTS_FILE) for place in places if place.where == str(folder)]
    return all(path.is_file() for path in own)
