"""The set-up scripts on machines that lack something; what they call is replaced by scripts on PATH."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOO_OLD = "#!/bin/sh\nexit 1\n"
NO_VENV = f"""#!/bin/sh
case "$2" in *ensurepip*) exit 1 ;; esac
exec "{sys.executable}" "$@"
"""


@pytest.fixture
def machine(tmp_path):
    """A copy of the project's set-up, and a PATH that holds nothing but what the test puts there."""
    for name in ("tools", "pyproject.toml", "constraints.txt", "hatch_build.py", "src/ifw/kernels"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, tmp_path / name)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for tool in ("sh", "cat", "cksum", "grep", "rm"):
        (bin_folder / tool).symlink_to(shutil.which(tool))

    def run(*command, user=1000, **programs):
        for name, script in {"id": f"#!/bin/sh\necho {user}\n", **programs}.items():
            (bin_folder / name).write_text(script)
            (bin_folder / name).chmod(0o755)
        environment = {"PATH": str(bin_folder), "PYTHON": os.environ.get("TEST_PYTHON", "")}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def test_no_python_that_is_new_enough(machine):
    result = machine("sh", "tools/setup_venv.sh", ".venv", python3=TOO_OLD)
    assert result.returncode == 1
    assert result.stderr.startswith("error: no Python 3.10 or newer was found")


def test_a_python_that_was_named_is_not_replaced_by_another(machine, monkeypatch):
    monkeypatch.setenv("TEST_PYTHON", "python-of-mine")
    result = machine("sh", "tools/setup_venv.sh", ".venv", python3=NO_VENV)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: PYTHON=python-of-mine is no Python 3.10 or newer that runs\n"


def test_without_venv_a_user_is_told_what_to_install(machine):
    result = machine("sh", "tools/setup_venv.sh", ".venv", python3=NO_VENV)
    assert result.returncode == 1
    assert "cannot make virtual environments" in result.stderr
    assert "apt-get install python3-venv" in result.stderr


def test_without_venv_root_gets_it_installed(machine, tmp_path):
    apt = '#!/bin/sh\necho "$@" >>apt.log\nexit 7\n'
    result = machine("sh", "tools/setup_venv.sh", ".venv", user=0, python3=NO_VENV, **{"apt-get": apt})
    assert result.returncode == 7
    assert "apt-get install python3-venv" in result.stdout
    assert (tmp_path / "apt.log").read_text() == "update -qq\n"


@pytest.fixture
def without_postgresql(machine, tmp_path):
    script = tmp_path / "tools" / "test_setup.sh"
    script.write_text(script.read_text().replace("/usr/lib/postgresql", str(tmp_path / "postgresql")))
    return machine


def test_without_postgresql_root_gets_it_installed(without_postgresql, tmp_path):
    result = without_postgresql("sh", "tools/test_setup.sh", user=0, **{"apt-get": '#!/bin/sh\necho "$@" >>apt.log\n'})
    assert result.returncode == 0
    assert (tmp_path / "apt.log").read_text().endswith("install -y -qq --no-install-recommends postgresql\n")


@pytest.mark.parametrize("user", [0, 1000])
def test_where_postgresql_cannot_be_installed_its_tests_are_skipped(without_postgresql, user):
    result = without_postgresql("sh", "tools/test_setup.sh", user=user, **{"apt-get": "#!/bin/sh\nexit 7\n"})
    assert result.returncode == 0
    assert result.stdout.endswith("[setup] PostgreSQL is not installed: tests that need it are skipped\n")


def test_postgresql_that_is_there_is_left_alone(without_postgresql, tmp_path):
    program = tmp_path / "postgresql" / "15" / "bin" / "pg_ctl"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    result = without_postgresql("sh", "tools/test_setup.sh", user=0, **{"apt-get": "#!/bin/sh\nexit 7\n"})
    assert (result.returncode, result.stdout) == (0, "")


def test_what_is_up_to_date_is_left_alone(machine, tmp_path):
    """A stamp that fits ends it before any Python or pip is looked for; one that does not fit starts it."""
    venv_python = tmp_path / ".venv" / "bin" / "python"
    venv_python.parent.mkdir(parents=True)
    venv_python.write_text('#!/bin/sh\ncase "$1" in --version) echo Python 3.11.0 ;; -m) exit 1 ;; esac\n')
    venv_python.chmod(0o755)
    native = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "src/ifw/kernels/native").iterdir())
    sums = subprocess.run(
        ["cksum", "pyproject.toml", "constraints.txt", "hatch_build.py", "src/ifw/kernels/build.py", *native],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    stamp = tmp_path / ".venv" / ".ready"
    stamp.write_text(f"{sums}{tmp_path}\nPython 3.11.0\n")
    result = machine("sh", "tools/setup_venv.sh", ".venv")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

    (tmp_path / "constraints.txt").write_text("torch==0\n")
    result = machine("sh", "tools/setup_venv.sh", ".venv")
    assert (result.returncode, stamp.exists()) == (1, False)
    assert "[setup] installing pip and torch" in result.stdout
    assert "error: pip could not install" in result.stderr


def test_long_files_need_a_reason(tmp_path):
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "check_file_length.py", tmp_path / "tools")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "fits.py").write_text("x = 1\n" * 400)
    (tmp_path / "src" / "excused.py").write_text(
        '"""A table.\n\nOver 400 lines because it is data.\n"""\n' + "x = 1\n" * 400
    )
    command = [sys.executable, str(tmp_path / "tools" / "check_file_length.py")]
    assert subprocess.run(command, check=False).returncode == 0
    (tmp_path / "src" / "long.py").write_text("x = 1\n" * 401)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.split(";")[0]) == (1, "src/long.py: 401 lines")


def test_constraints_name_no_place_and_no_build():
    """They must install anywhere: no path, no address, no local version such as +cpu."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(line.split(" ;")[0].count("==") == 1 for line in lines)
    assert not [line for line in lines if any(sign in line for sign in ("+", "/", "@"))]
    assert [line for line in lines if line.startswith("torch==")]
