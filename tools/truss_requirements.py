"""Renew the requirements of `deploy/truss` from pyproject.toml and constraints.txt.

    python tools/truss_requirements.py           # write them
    python tools/truss_requirements.py --check   # exit with 1 if they are out of date

Every package that the image needs has its exact version, those that others need included; which those are, the
installed packages say. What belongs to CUDA is left to torch, which names exact versions itself.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "deploy" / "truss"
BEGIN, END = "# generated: requirements\n", "# end\n"

COMMAND_LINE: Final = frozenset({"rich", "typer"})
"""Needed by the command line only."""
OF_THE_MODEL: Final = frozenset({"prometheus-client", "pydantic-settings"})
"""What the model class needs of the extra `server`; fastapi is that of Truss's own server."""
OF_CUDA: Final = ("cuda-", "nvidia-", "triton")

IMAGE: Final = {
    "python_version": "3.11",
    "python_full_version": "3.11.9",
    "implementation_name": "cpython",
    "implementation_version": "3.11.9",
    "platform_python_implementation": "CPython",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
    "extra": "",
}
"""What markers of requirements are read for: the Python of both configurations."""

PYPROJECT: Final = """\
# What config.server.yaml installs, as tools/truss_requirements.py writes it. Truss bounds the versions of
# `requirements:` for its own server, which is not in that image, and would refuse our fastapi; those of a
# pyproject.toml it installs as they are.
[project]
name = "ifw-on-baseten"
version = "0"
requires-python = ">=3.11"
dependencies = [
"""


def main() -> None:
    """Write or check both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    is_check = parser.parse_args().check
    stale = []
    for path, new in renewed().items():
        if not path.exists() or path.read_text(encoding="utf-8") != new:
            stale.append(path.relative_to(ROOT))
            if not is_check:
                path.write_text(new, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'out of date; run python tools/truss_requirements.py' if is_check else 'renewed'}")
    sys.exit(is_check and bool(stale))


def renewed() -> dict[Path, str]:
    """Each file as it should be."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    library = {Requirement(line).name for line in project["dependencies"]}
    server = {Requirement(line).name for line in project["optional-dependencies"]["server"]}
    assert server >= OF_THE_MODEL, "OF_THE_MODEL names what the extra does not"
    config = FOLDER / "config.yaml"
    before, begin, rest = config.read_text(encoding="utf-8").partition(BEGIN)
    assert begin, f"{config} has no line {BEGIN!r}"
    lines = "".join(f"  - {pin}\n" for pin in pinned(library - COMMAND_LINE | OF_THE_MODEL))
    dependencies = "".join(f'    "{pin}",\n' for pin in pinned(library | server))
    return {
        config: f"{before}{begin}requirements:\n{lines}{END}{rest.partition(END)[2]}",
        FOLDER / "pyproject.toml": f"{PYPROJECT}{dependencies}]\n",
    }


def pinned(names: set[str] | frozenset[str]) -> list[str]:
    """These packages and all that they need, each with its version, in order.

    Raises:
        SystemExit: constraints.txt has no version of one.
    """
    versions = versions_of_image()
    found: set[str] = set()
    waiting: set[str] = {canonicalize_name(name) for name in names}
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= _needed_by(name) - found
    if missing := found - versions.keys():
        raise SystemExit(f"constraints.txt has no version of {', '.join(sorted(missing))}")
    return [f"{name}=={versions[name]}" for name in sorted(found)]


def versions_of_image() -> dict[str, str]:
    """Package -> its version in constraints.txt, for the Python of the image."""
    versions: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(dict(IMAGE)):
                versions[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return versions


def _needed_by(name: str) -> set[str]:
    needed: set[str] = set()
    for requirement in map(Requirement, requires(name) or ()):
        is_wanted = requirement.marker is None or requirement.marker.evaluate(dict(IMAGE))
        if is_wanted and not requirement.name.startswith(OF_CUDA):
            needed.add(canonicalize_name(requirement.name))
    return needed


if __name__ == "__main__":
    main()
