"""The wheel, built from what the image is built from."""

import os
import subprocess
import sys
import zipfile

import pytest
from deploy_files import DOCKERFILE, ROOT

from build_context import copy_context


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    context = tmp_path_factory.mktemp("context")
    copy_context(ROOT, DOCKERFILE, context)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(context / "dist")]
    environment = os.environ | {"CXX": "no-compiler"}  # the native kernels take a minute, and have tests of their own
    subprocess.run(command, cwd=context, check=True, capture_output=True, env=environment)
    (path,) = (context / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_every_file_of_the_package_is_in_it(wheel):
    listed = subprocess.run(["git", "ls-files", "src/ifw"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = {name.removeprefix("src/") for name in listed.splitlines() if (ROOT / name).exists()}
    assert {"ifw/demo/model.safetensors", "ifw/demo/tokenizer.json", "ifw/demo/sample.mp3", "ifw/py.typed"} <= names
    assert names <= set(wheel.namelist())


def test_nothing_else_of_the_project_is_in_it(wheel):
    outside = {name.split("/")[0] for name in wheel.namelist()} - {"ifw"}
    assert len(outside) == 1
    assert outside.pop().endswith(".dist-info")
    assert not [name for name in wheel.namelist() if name.endswith((".pyc", ".pyo"))]


def test_it_has_the_command_the_licence_and_the_extra_that_the_image_installs(wheel):
    texts = {name.rpartition("/")[2]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "ifw = ifw.cli:main" in wheel.read(texts["entry_points.txt"]).decode()
    assert "Provides-Extra: server" in wheel.read(texts["METADATA"]).decode()
    assert "MIT" in wheel.read(texts["LICENSE"]).decode()
