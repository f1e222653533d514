"""Make a folder that `truss push` takes as it is: one of both configurations, for one accelerator, with the package.

    python tools/truss_folder.py server --accelerator H100     # build/truss/server-h100

`truss push deploy/truss` needs none of this: it is the model on an A10G.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "deploy" / "truss"
PACKAGE: Final = ROOT / "src" / "ifw"

FILES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"model": ("model/model.py",), "server": ("data/serve.sh", "pyproject.toml")}
)
"""Flavour -> what it needs of `deploy/truss` besides its configuration."""
CONFIG: Final[Mapping[str, str]] = MappingProxyType({"model": "config.yaml", "server": "config.server.yaml"})

ACCELERATORS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {"A10G": ("4", "16Gi"), "L4": ("4", "16Gi"), "A100": ("12", "32Gi"), "H100": ("12", "32Gi")}
)
"""Name -> cores, which decode audio, and memory."""

_EXTERNAL: Final = re.compile(r"^external_package_dirs:.*\n\n?", re.MULTILINE)
_RESOURCES: Final = re.compile(r"^resources:\n(?:  .*\n)+", re.MULTILINE)
_HEAD: Final = re.compile(r"\A(?:#.*\n)+")


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flavour", choices=sorted(CONFIG))
    parser.add_argument("--accelerator", choices=sorted(ACCELERATORS), default="A10G")
    parser.add_argument("--folder", type=Path, help="where to; build/truss/FLAVOUR-ACCELERATOR unless given")
    arguments = parser.parse_args()
    name = f"{arguments.flavour}-{arguments.accelerator.lower()}"
    folder = arguments.folder or ROOT / "build" / "truss" / name
    make_folder(folder, arguments.flavour, arguments.accelerator)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    print(f"{shown}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB; push it with: truss push {shown}")


def make_folder(folder: Path, flavour: str, accelerator: str) -> None:
    """Write a folder anew.

    Args:
        folder: What is there is removed, if it is such a folder.
        flavour: Of `CONFIG`.
        accelerator: Of `ACCELERATORS`.

    Raises:
        SystemExit: The folder holds something else.
    """
    if folder.exists():
        if any(folder.iterdir()) and not (folder / "packages" / "ifw").is_dir():
            raise SystemExit(f"{folder} holds something else; name another --folder")
        shutil.rmtree(folder)
    for name in FILES[flavour]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCE / name, folder / name)
    shutil.copytree(PACKAGE, folder / "packages" / "ifw", ignore=shutil.ignore_patterns("__pycache__"))
    text = (SOURCE / CONFIG[flavour]).read_text(encoding="utf-8")
    (folder / "config.yaml").write_text(config_for(text, accelerator), encoding="utf-8")


def config_for(text: str, accelerator: str) -> str:
    """The same configuration for another accelerator, and with the package in its own folder.

    Args:
        text: One of `CONFIG`.
        accelerator: Of `ACCELERATORS`.
    """
    cpu, memory = ACCELERATORS[accelerator]
    resources = f'resources:\n  accelerator: {accelerator}\n  cpu: "{cpu}"\n  memory: {memory}\n'
    text, n_found = _RESOURCES.subn(resources, _EXTERNAL.sub("", text))
    assert n_found == 1, "the configuration has no resources"
    return _HEAD.sub("# Made by tools/truss_folder.py; do not edit.\n", text)


if __name__ == "__main__":
    main()
