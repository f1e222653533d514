"""Building and loading the native library, and doing without it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from native_kernels import KERNELS, each_level

from ifw.errors import ConfigError
from ifw.kernels import library
from ifw.model import compute_type
from ifw.model.compute_type import ops_for

CPU = torch.device("cpu")
SOURCES = Path(library.__file__).parent
CAN_BUILD = sys.platform == "linux" and shutil.which("c++") is not None


@pytest.fixture
def build(tmp_path):
    """`ifw.kernels.build` in a folder of its own, for one instruction set alone."""
    shutil.copy(SOURCES / "build.py", tmp_path)
    shutil.copytree(SOURCES / "native", tmp_path / "native")
    spec = importlib.util.spec_from_file_location("copied_build", tmp_path / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.LEVELS = {"avx2": ("-mavx2",)}
    return module


@pytest.fixture
def loading(monkeypatch):
    """Loads a library anew, as another process would."""

    def load(path, source_hash):
        monkeypatch.setattr(library, "LIBRARY", path)
        monkeypatch.setattr(library, "source_hash", source_hash)
        return library.load.__wrapped__()

    return load


@pytest.mark.skipif(not CAN_BUILD, reason="no C++ compiler for Linux here")
def test_what_is_built_is_loaded_unless_its_sources_have_changed(build, loading):
    assert build.build() == ("avx2",)
    assert {path.name for path in build.FOLDER.iterdir()} - {"__pycache__"} == {
        "build.py",
        "ifw_kernels.native",
        "native",
    }
    loaded = loading(build.LIBRARY, build.source_hash)
    assert [kernels.name for kernels in loaded.kernels] == ["avx2"]
    assert not loaded.reason

    header = build.SOURCES / "rows.h"
    header.write_text(header.read_text() + "// changed\n")
    stale = loading(build.LIBRARY, build.source_hash)
    assert not stale.kernels
    assert "built from other sources" in stale.reason


@pytest.mark.skipif(not CAN_BUILD, reason="no C++ compiler for Linux here")
def test_what_the_compiler_does_not_know_is_left_out(build):
    build.LEVELS = {"avx2": ("-mavx2",), "abacus": ("-mabacus",)}
    assert build.build() == ("avx2",)
    build.LEVELS = {"avx2": ("-mabacus",)}
    build.LIBRARY.unlink()
    with pytest.raises(build.BuildError, match=r"failed: .*mabacus"):
        build.build()
    assert not build.LIBRARY.exists()


def test_without_a_compiler_the_build_says_so(build, monkeypatch):
    monkeypatch.setenv("CXX", "compiler-of-mine -O2")
    with pytest.raises(build.BuildError, match="no C\\+\\+ compiler was found, neither compiler-of-mine"):
        build.build()
    ended = subprocess.run([sys.executable, build.__file__], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.startswith("error: no C++ compiler")) == (1, True)


def test_elsewhere_there_are_no_kernels(build, monkeypatch):
    monkeypatch.setattr(build.platform, "machine", lambda: "aarch64")
    with pytest.raises(build.BuildError, match=r"not for .* on aarch64"):
        build.build()


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "was not built"), (b"\x7fELF", "does not load"), (b"", "does not load")]
)
def test_a_library_that_is_missing_or_damaged_is_no_error(content, reason, tmp_path, loading):
    path = tmp_path / "ifw_kernels.native"
    if content is not None:
        path.write_bytes(content)
    loaded = loading(path, lambda: "")
    assert not loaded.kernels
    assert reason in loaded.reason


def test_without_kernels_the_compute_types_are_those_of_torch(monkeypatch):
    monkeypatch.setattr(compute_type, "load", lambda: library.Loaded((), "the native library was not built"))
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        expected = compute_type.choose_ops(CPU, dtype)
        assert ops_for(CPU, name) == expected
    with pytest.raises(ConfigError, match=r"compute_type: got 'int8', but the native library was not built; use"):
        ops_for(CPU, "int8")


@each_level
def test_kernels_without_bfloat16_leave_it_to_torch(kernels, monkeypatch):
    monkeypatch.setattr(compute_type, "load", lambda: library.Loaded((kernels,), ""))
    torch_ops = compute_type.choose_ops(CPU, torch.bfloat16)
    assert (ops_for(CPU, "bfloat16").linear == torch_ops.linear) != kernels.has_bfloat16
    assert ops_for(CPU, "int8").compute_type == "int8"
    assert ops_for(CPU, "float32").linear == compute_type.choose_ops(CPU, torch.float32).linear


@pytest.mark.skipif(not KERNELS, reason=library.load().reason)
def test_the_kernels_use_as_many_threads_as_torch():
    assert KERNELS[0].team().n_threads == torch.get_num_threads()


@each_level
def test_auto_is_bfloat16_where_kernels_have_it(kernels, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(compute_type, "load", lambda: library.Loaded((kernels,), ""))
    expected = "bfloat16" if kernels.has_bfloat16 else "float32"
    assert compute_type.default_compute_type.__wrapped__() == expected
    assert not caplog.records


@pytest.mark.parametrize(("could_be", "level"), [(True, "WARNING"), (False, "INFO")])
def test_auto_without_kernels_is_float32_and_says_so_once(could_be, level, monkeypatch, caplog):
    loaded = library.Loaded((), "the native library was not built", could_be=could_be)
    monkeypatch.setattr(compute_type, "load", lambda: loaded)
    compute_type.default_compute_type.cache_clear()
    caplog.set_level("INFO")
    try:
        assert [compute_type.default_compute_type() for _ in range(2)] == ["float32"] * 2
    finally:
        compute_type.default_compute_type.cache_clear()
    assert [record.levelname for record in caplog.records] == [level]
    assert "the native library was not built" in caplog.text
