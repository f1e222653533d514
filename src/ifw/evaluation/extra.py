"""The packages of the extra `eval`, which not every installation has."""

from __future__ import annotations

import importlib
from types import ModuleType

from ifw.errors import ExtraMissingError


def require_extra() -> None:
    """See that the extra is there, before any work is done that would need it.

    Raises:
        ExtraMissingError: It is not installed.
    """
    for name in ("jiwer", "whisper_normalizer.english"):
        eval_module(name)


def eval_module(name: str) -> ModuleType:
    """Import a module of the extra.

    Raises:
        ExtraMissingError: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name.partition(".")[0]):
            raise  # installed, but broken in itself
        package = name.partition(".")[0].replace("_", "-")
        raise ExtraMissingError(
            f"the package {package} is not installed, evaluation needs it; "
            "install it with: pip install 'insanely-fast-whisper-api[eval]'"
        ) from error
