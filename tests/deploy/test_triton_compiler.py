"""What stands for a C compiler in the CUDA image, so that Triton works without one."""

import hashlib
import os
import shutil
import subprocess
import sys

import pytest
from deploy_files import DEPLOY, IMAGE

FOLDER = DEPLOY / "docker"
FLAGS = ["-O3", "-shared", "-fPIC", "-Wno-psabi"]
USE = "from triton.backends.nvidia.driver import CudaUtils; print(CudaUtils().launch)"


@pytest.fixture
def compiler(tmp_path):
    """The script beside what was compiled, for a source that is `known`."""
    shutil.copy(FOLDER / "triton_cc.sh", tmp_path)
    (tmp_path / "cuda_utils.so").write_bytes(b"compiled")
    (tmp_path / "source.sha256").write_text(f"{hashlib.sha256(b'known').hexdigest()}\n")
    (tmp_path / "work").mkdir()
    return tmp_path / "triton_cc.sh"


def compile_with(compiler, text, *flags):
    work = compiler.parent / "work"
    (work / "main.c").write_text(text)
    command = [compiler, work / "main.c", *FLAGS, *flags, "-l:libcuda.so.1", "-L/lib", "-I/include"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_hands_out_what_was_compiled_for_the_source(compiler):
    target = compiler.parent / "work" / "made.so"
    assert compile_with(compiler, "known", "-o", target).returncode == 0
    assert target.read_bytes() == b"compiled"


@pytest.mark.parametrize(("text", "has_target"), [("other", True), ("known", False), ("", True)])
def test_it_knows_nothing_else(compiler, text, has_target):
    target = compiler.parent / "work" / "made.so"
    result = compile_with(compiler, text, *(["-o", target] if has_target else []))
    assert result.returncode == 1
    assert "this image has no C compiler" in result.stderr
    assert not target.exists()


def test_the_image_names_it_and_keeps_what_triton_compiles_on_a_volume():
    assert IMAGE.env["CC"] == "/opt/triton/triton_cc.sh"
    assert os.access(FOLDER / "triton_cc.sh", os.X_OK)
    assert IMAGE.env["TRITON_CACHE_DIR"].rpartition("/")[0] in IMAGE.volumes


def test_triton_takes_it_for_a_compiler(tmp_path):
    """Without a GPU: what stands for the driver here has its functions, and they do nothing."""
    pytest.importorskip("triton", reason="only beside a torch that is built for CUDA")
    shutil.copy(FOLDER / "triton_cc.sh", tmp_path)
    subprocess.run([sys.executable, FOLDER / "compile_triton.py", tmp_path], check=True)
    library = tmp_path / "cuda_utils.so"
    needed = subprocess.run(["readelf", "-d", library], check=True, capture_output=True, text=True).stdout
    assert "[libcuda.so.1]" in needed
    listed = subprocess.run(["nm", "-D", "-u", "-j", library], check=True, capture_output=True, text=True).stdout
    functions = [name.partition("@")[0] for name in listed.split() if name.startswith("cu")]
    (tmp_path / "driver.c").write_text("".join(f"int {name}(void) {{ return 0; }}\n" for name in functions))
    driver = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", tmp_path / "libcuda.so.1"]
    subprocess.run([*driver, tmp_path / "driver.c"], check=True)
    (tmp_path / "bin").mkdir()
    for name in ("sh", "dirname", "sha256sum", "cut", "cat", "cp"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    environment = {
        "PATH": str(tmp_path / "bin"),
        "CC": str(tmp_path / "triton_cc.sh"),
        "LD_LIBRARY_PATH": str(tmp_path),
        "TRITON_CACHE_DIR": str(tmp_path / "cache"),
        "TRITON_LIBCUDA_PATH": IMAGE.env["TRITON_LIBCUDA_PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    result = subprocess.run([sys.executable, "-c", USE], env=environment, capture_output=True, text=True, check=False)
    assert result.stdout == "<built-in function launch>\n", result.stderr
