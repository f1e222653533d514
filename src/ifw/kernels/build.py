"""Compiles the native library into this folder. Needs no torch and nothing else of the package.

The package's build runs it (`hatch_build.py`); `python -m ifw.kernels.build` does it by hand, for instance after a
compiler was installed. `CXX` names the compiler.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
SOURCES: Final = FOLDER / "native"
LIBRARY: Final = FOLDER / "ifw_kernels.native"
"""Not `.so`: truss, among others, leaves out what is called so."""
_AVX512: Final = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni")
LEVELS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "avx2": ("-mavx2",),
        "avx2_vnni": ("-mavx2", "-mavxvnni"),
        "avx512_vnni": _AVX512,
        "avx512_bf16": (*_AVX512, "-mavx512bf16"),
    }
)
_FLAGS: Final = (
    "-O3",
    "-std=c++17",
    "-fPIC",
    "-pthread",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    "-Wno-uninitialized",  # of GCC's own intrinsics
    "-Wno-maybe-uninitialized",
)


class BuildError(Exception):
    """The library could not be built; the text says why, for people who install the package."""


def source_hash() -> str:
    """What the sources and the compiler's flags are, shortened: a library that was built from others is not loaded."""
    digest = hashlib.sha256(repr((sorted(LEVELS.items()), _FLAGS)).encode())
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def is_supported() -> bool:
    """Whether there are kernels for this kind of machine: Linux on x86-64."""
    return sys.platform == "linux" and platform.machine() in {"x86_64", "AMD64"}


def build() -> tuple[str, ...]:
    """Compile and link the library, in place of the one that is there.

    Returns:
        The instruction sets that it has kernels for; those that the compiler does not know are left out.

    Raises:
        BuildError: There are no kernels for this machine, there is no compiler, or it failed.
    """
    if not is_supported():
        raise BuildError(f"there are kernels for Linux on x86-64 only, not for {sys.platform} on {platform.machine()}")
    compiler = _find_compiler()
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        folder = Path(name)
        running = {level: _compile_level(compiler, level, folder) for level in LEVELS}
        outputs = {level: process.communicate()[0] for level, process in running.items()}
        levels = tuple(level for level, process in running.items() if process.returncode == 0)
        if not levels:
            raise BuildError(f"{compiler[0]} failed: {_last_lines(outputs['avx2'])}")
        library = folder / LIBRARY.name
        defines = [f"-DIFW_HAS_{level.upper()}" for level in levels] + [f'-DIFW_SOURCE="{source_hash()}"']
        command = [*compiler, *_FLAGS, *defines, str(SOURCES / "library.cpp")]
        command += [str(folder / f"{level}.o") for level in levels]
        command += ["-shared", "-static-libstdc++", "-static-libgcc", "-o", str(library)]
        linked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the user's compiler
        if linked.returncode != 0:
            raise BuildError(f"{compiler[0]} could not link: {_last_lines(linked.stderr)}")
        library.replace(LIBRARY)
    return levels


def _find_compiler() -> list[str]:
    named = os.environ.get("CXX")
    candidates = [shlex.split(named)] if named else [["c++"], ["g++"], ["clang++"]]
    for command in candidates:
        if command and shutil.which(command[0]):
            return command
    raise BuildError(f"no C++ compiler was found, neither {', nor '.join(command[0] for command in candidates)}")


def _compile_level(compiler: list[str], level: str, folder: Path) -> subprocess.Popen[str]:
    command = [
        *compiler,
        *_FLAGS,
        "-mfma",
        "-mf16c",
        *LEVELS[level],
        f"-DIFW_LEVEL={level}",
        "-c",
        str(SOURCES / "instruction_set.cpp"),
    ]
    command += ["-o", str(folder / f"{level}.o")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603 - as above


def _last_lines(output: str) -> str:
    return " / ".join(output.strip().splitlines()[-3:])


def main() -> None:
    """Build, and say what came of it."""
    try:
        levels = build()
    except BuildError as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{LIBRARY}: {', '.join(levels)}\n")


if __name__ == "__main__":
    main()
