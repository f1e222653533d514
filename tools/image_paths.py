"""Paths of an image as paths below a folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dockerfile_stages import Step

OURS: Final = ("/opt", "/src", "/requirements", "/wheels", "/data", "/models", "/tmp", "/root")
"""What the Dockerfile makes or writes to. Any other absolute path is one of the system, and stays."""
_PATH: Final = re.compile(rf"(?<![\w/.])(?:{'|'.join(OURS)})(?![\w-])[\w./-]*")


def inside(root: Path, text: str, mounts: Mapping[str, Path] | None = None) -> str:
    """Put the folder before every path of the image in a text.

    Args:
        root: Stands for `/`.
        text: A path, the value of a variable, or a command.
        mounts: Where a mount leads: target -> folder of another stage.
    """

    def real(found: re.Match[str]) -> str:
        for target, folder in (mounts or {}).items():
            if found[0] == target or found[0].startswith(f"{target}/"):
                return f"{folder}{found[0].removeprefix(target)}"
        return f"{root}{found[0]}".rstrip("/") or "/"

    return str(root) if text == "/" else _PATH.sub(real, text)


def mounts_of(step: Step, roots: Mapping[str, Path]) -> dict[str, Path]:
    """The bind mounts of a `RUN`: target -> folder in the stage that it comes from."""
    mounts = {}
    for name, value in step.flags:
        parts = dict(pair.partition("=")[::2] for pair in value.split(","))
        if name == "mount" and parts.get("type") == "bind":
            mounts[parts["target"]] = Path(inside(roots[parts["from"]], parts["source"]))
    return mounts
