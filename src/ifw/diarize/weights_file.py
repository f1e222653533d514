"""Checkpoints that pyannote.audio saved, read without executing anything in them.

They are pickles that name classes of pyannote and of the libraries it was trained with. `torch.load(weights_only=True)`
builds only tensors and plain values; for those names, and for no others, it is given classes that keep what they are
handed and do nothing.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from ifw.errors import IfwError, ModelFormatError, ModelUnsafeError

WEIGHTS_FILE: Final = "pytorch_model.bin"
_INERT_PACKAGES: Final = ("pyannote.", "lightning.", "lightning_fabric.", "pytorch_lightning.", "omegaconf.")
_INERT_NAMES: Final = frozenset(
    {
        "torch.torch_version.TorchVersion",
        "typing.Any",
        "collections.defaultdict",
        "builtins.dict",
        "builtins.float",
        "builtins.int",
        "builtins.list",
        "builtins.set",
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
    }
)


@dataclass(frozen=True, slots=True)
class SavedNetwork:
    """What a checkpoint file holds.

    Attributes:
        path: The file.
        kind: The name of the network's class, such as `PyanNet`.
        tensors: Its weights, on the CPU.
        parameters: Its sizes.
        specifications: What its outputs mean.
    """

    path: Path
    kind: str
    tensors: Mapping[str, Tensor]
    parameters: Mapping[str, Any]
    specifications: Mapping[str, Any]


class _Inert:
    """Stands for a class of a library that is not here. Keeps what it is given."""

    def __init__(self, *values: Any, **fields: Any) -> None:
        self.values = values
        self.__dict__.update(fields)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


def read_network(folder: Path) -> SavedNetwork:
    """Read the checkpoint in a folder.

    Raises:
        ModelFormatError: There is none, or it is no checkpoint of pyannote.audio.
        ModelUnsafeError: It names code that has no place in such a checkpoint.
    """
    path = folder if os.path.isfile(folder) else folder / WEIGHTS_FILE
    if not os.path.isfile(path):
        raise ModelFormatError(f"diarization model: {folder} has no {WEIGHTS_FILE}")
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        refused = [name for name in named if not _is_inert(name)]
        if refused:
            raise ModelUnsafeError(
                f"{path} names {', '.join(sorted(refused))}, allowed: tensors, plain values "
                "and classes of pyannote.audio; "
                "loading it elsewhere could execute code"
            )
        stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
            (_stand_in(name), name) for name in named
        ]
        with torch.serialization.safe_globals(stand_ins):
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except IfwError:
        raise
    except Exception as error:  # torch lets out whatever its unpickler stumbles over: KeyError, TypeError, struct.error
        # What torch says of its own advises to read the file unsafely.
        reason = "it holds more than plain values" if isinstance(error, pickle.UnpicklingError) else str(error)
        raise ModelFormatError(f"{path} is no checkpoint that torch can read safely: {reason}") from error
    return _network(path, saved)


def _is_inert(name: str) -> bool:
    return name.startswith(_INERT_PACKAGES) or name in _INERT_NAMES


def _empty_dict(*_: Any) -> dict[Any, Any]:
    return {}


def _stand_in(name: str) -> Callable[..., Any]:
    if name in ("collections.defaultdict", "builtins.dict"):
        return _empty_dict  # torch puts items into dictionaries only
    module, _, short = name.rpartition(".")
    return type(short, (_Inert,), {"__module__": module})


def _network(path: Path, saved: Any) -> SavedNetwork:
    try:
        about = saved["pyannote.audio"]
        kind = about["architecture"]["class"]
        tensors, parameters = saved["state_dict"], saved.get("hyper_parameters") or {}
        specifications = dict(getattr(about["specifications"], "__dict__", {}))
    except (LookupError, TypeError, AttributeError) as error:
        raise ModelFormatError(f"{path} is no checkpoint of pyannote.audio: it lacks {error}") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise ModelFormatError(f"{path} is no checkpoint of pyannote.audio: its state_dict holds more than tensors")
    if not isinstance(parameters, Mapping) or not isinstance(kind, str):
        raise ModelFormatError(f"{path} is no checkpoint of pyannote.audio: its hyper_parameters are no mapping")
    return SavedNetwork(path, kind, tensors, parameters, specifications)
