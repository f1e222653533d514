"""Compile the one thing that Triton compiles in C when it is first used: the module that talks to NVIDIA's driver.

    python compile_triton.py FOLDER

It needs no GPU and no driver, but gcc. `triton_cc.sh`, which must be in FOLDER, hands it to Triton in the image, which
has no compiler.
Source: Triton 3.7, `triton/runtime/build.py` and `triton/backends/nvidia/driver.py`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from triton.backends.nvidia import driver
from triton.runtime.build import _build


def main() -> None:
    """Write the module and the checksum of its source."""
    folder = Path(sys.argv[1])
    source = Path(driver.dirname, "driver.c").read_text()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "cuda_utils.c").write_text(source)
        write_driver(work, [])
        write_driver(work, functions_of_the_driver(compiled(work)))
        shutil.copy(compiled(work), folder / "cuda_utils.so")
    (folder / "source.sha256").write_text(f"{hashlib.sha256(source.encode()).hexdigest()}\n")


def compiled(work: Path) -> str:
    """Compile the module as Triton would; the path of the library."""
    source, directories = str(work / "cuda_utils.c"), [driver.libdevice_dir, str(work)]
    return str(_build("cuda_utils", source, str(work), directories, driver.include_dirs, driver.libraries, []))


def functions_of_the_driver(library: str) -> list[str]:
    """What a library leaves to be found in NVIDIA's driver."""
    command = ["nm", "--dynamic", "--undefined-only", "--format=just-symbols", library]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return [name.partition("@")[0] for name in names if name.startswith("cu")]


def write_driver(work: Path, functions: list[str]) -> None:
    """What stands for the driver when the module is linked: the linker leaves out a library that has nothing for it."""
    (name,) = driver.libraries
    (work / "driver.c").write_text("".join(f"void {function}(void) {{}}\n" for function in functions))
    command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(work / name), str(work / "driver.c")]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
