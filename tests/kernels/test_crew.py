"""Threads that share the work of a call: helpers, and volunteers between parts of their own work."""

import subprocess
from pathlib import Path

import pytest

from ifw.kernels.build import SOURCES, BuildError, _find_compiler, is_supported

CHECKS = (
    "helpers_come",
    "volunteers_come_in_place_of_helpers",
    "helpers_come_where_volunteers_are_too_few",
    "helpers_come_when_volunteers_have_left",
    "nobody_waits_for_who_has_not_begun",
    "whoever_began_is_waited_for",
    "volunteers_rest_after_somebody_has_waited_long",
    "calls_of_several_threads_share_the_volunteers",
    "a_child_process_has_helpers_but_no_volunteers",
)


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    if not is_supported():
        pytest.skip("there are kernels for Linux on x86-64 only")
    try:
        compiler = _find_compiler()
    except BuildError as error:
        pytest.skip(str(error))
    target = tmp_path_factory.mktemp("crew") / "crew_check"
    source = Path(__file__).with_name("crew_check.cpp")
    subprocess.run([*compiler, "-O2", "-std=c++17", "-pthread", "-I", SOURCES, source, "-o", target], check=True)
    return target


@pytest.mark.parametrize("check", CHECKS)
def test_the_crew(program, check):
    run = subprocess.run([program, check], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
