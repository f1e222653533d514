"""Building a Dockerfile without Docker, on small ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from deploy_files import DEPLOY, DOCKERFILE, IMAGE

import build_context
from dockerfile_stages import Dockerfile
from image_paths import inside
from replay_image import Replay, check_contents, container_of, needed_stages

IGNORED = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
FILE = """
ARG LETTER=a
FROM some/image AS maker
ARG LETTER
WORKDIR /src
COPY notes.txt folder/ ./
RUN apt-get update && mkdir /wheels && cat notes.txt > /wheels/made && echo ${LETTER} >> /wheels/made

FROM some/image AS lower
ENV PLACE=/opt/ifw TWICE=/data:/data
RUN install --directory --owner=ifw --group=ifw --mode=0750 /data && mkdir -p /opt/ifw

FROM lower AS upper
COPY --from=maker /wheels /opt/copied
RUN --mount=type=cache,target=/root/.cache/pip \\
    --mount=type=bind,from=maker,source=/wheels,target=/wheels \\
    pip > $PLACE/pip && cat /wheels/made > "$PLACE/seen" && echo "$TWICE $HOME" >> "$PLACE/seen" && pwd >> $PLACE/seen
USER 10001:10001
"""
PYTHON = """#!/bin/sh
test "$1 $2" = "-m venv" && mkdir -p "$3/bin"
printf '#!/bin/sh\necho pip 1.0 from %s\n' "$3" > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""


@pytest.fixture
def python(tmp_path):
    """Makes virtual environments at once: they hold nothing but a pip."""
    script = tmp_path / "python"
    script.write_text(PYTHON)
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def replay(tmp_path, python):
    context = tmp_path / "context"
    (context / "folder").mkdir(parents=True)
    (context / "notes.txt").write_text("note\n")
    (context / "folder" / "deep.txt").write_text("deep\n")
    (tmp_path / "Dockerfile").write_text(FILE.replace("COPY notes.txt folder/ ./", "COPY . ./"))

    def build(target, **build_args):
        built = Replay(Dockerfile(tmp_path / "Dockerfile", build_args), tmp_path / "built", context, python)
        built.build(target)
        return built

    return build


def test_steps_run_below_the_folder_of_their_stage(replay, tmp_path, capfd):
    built = replay("upper", LETTER="b")
    root = built.roots["upper"]
    assert root == built.roots["lower"] == tmp_path / "built" / "lower"
    lines = (root / "opt" / "ifw" / "seen").read_text().splitlines()
    assert lines == ["note", "b", f"{root}/data:{root}/data {root}/root", str(root)]
    assert (root / "opt" / "copied" / "made").read_text() == "note\nb\n"
    assert (built.roots["maker"] / "src" / "folder" / "deep.txt").exists()
    assert not (root / "wheels").exists()
    owner = (root / "data").stat()
    assert owner.st_mode & 0o777 == 0o750
    assert owner.st_uid == (10001 if os.getuid() == 0 else os.getuid())
    assert "maker: left out: apt-get update" in capfd.readouterr().out


def test_a_stage_that_nothing_needs_is_not_built(replay):
    assert replay("lower").roots.keys() == {"lower"}


def test_each_image_has_an_interpreter_with_pip_of_its_own(replay):
    built = replay("upper")
    for stage in ("maker", "lower"):
        assert (built.roots[stage] / "image" / "bin" / "pip").exists()
    assert (built.roots["upper"] / "opt" / "ifw" / "pip").read_text() == f"pip 1.0 from {built.roots['upper']}/image\n"


def test_a_step_that_fails_ends_it(tmp_path, python):
    (tmp_path / "Dockerfile").write_text("FROM some/image AS one\nRUN true \\\n    && exit 3\n")
    with pytest.raises(SystemExit, match="line 2: status 3 of: exit 3"):
        Replay(Dockerfile(tmp_path / "Dockerfile"), tmp_path / "built", tmp_path, python).build("one")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/opt/ifw/bin:/usr/bin", "/R/opt/ifw/bin:/usr/bin"),
        (
            "pip --python /opt/ifw/bin/python install /wheels/*.whl",
            "pip --python /R/opt/ifw/bin/python install /M/*.whl",
        ),
        ("https://pypi.org/opt/x ./src a/data /optional", "https://pypi.org/opt/x ./src a/data /optional"),
        ("'/data' \"/models\" --dir=/tmp/models", "'/R/data' \"/R/models\" --dir=/R/tmp/models"),
        ("ls /wheels /wheels2", "ls /M /wheels2"),
        ("/", "/R"),
    ],
)
def test_paths_of_the_image_are_moved_and_no_others(text, expected):
    assert inside(Path("/R"), text, {"/wheels": Path("/M")}) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constraints.txt", True),
        ("pyproject.toml", True),
        ("src/ifw/demo/model.safetensors", True),
        ("src/ifw/__pycache__/x.cpython-311.pyc", False),
        ("src/ifw/old.pyc", False),
        ("deploy/docker/health.py", True),
        ("deploy/docker/.env", False),
        ("recordings/secret.wav", False),
        (".git/config", False),
        ("docs/src/x", False),
    ],
)
def test_the_builder_is_sent_what_it_needs_and_nothing_else(name, expected):
    assert build_context.is_sent(name, IGNORED) is expected


@pytest.mark.parametrize(
    ("pattern", "left_out"),
    [
        ("*.md", {"a.md", "docs.md/c.txt"}),
        ("**/*.md", {"a.md", "docs/b.md", "docs.md/c.txt"}),
        ("docs", {"docs/b.md"}),
        ("docs/*.md", {"docs/b.md"}),
    ],
)
def test_patterns_mean_what_they_mean_to_docker(pattern, left_out):
    names = {"a.md", "docs/b.md", "docs.md/c.txt", "src/d.txt"}
    assert {name for name in names if not build_context.is_sent(name, ["# comment", "", pattern])} == left_out


def test_what_a_stage_takes_from_others_is_built_before_it():
    dockerfile = Dockerfile(DOCKERFILE, {"FLAVOUR": "cpu"})
    assert needed_stages(dockerfile.stages["baked"], dockerfile) == ["cpu", "weights"]
    assert needed_stages(dockerfile.stages["cuda"], dockerfile) == ["torch-cuda", "triton", "wheel", "wheel"]
    assert needed_stages(dockerfile.stages["base"], dockerfile) == []


def test_what_is_copied_is_sent(tmp_path):
    n_files, n_bytes = build_context.copy_context(DOCKERFILE.parents[2], DOCKERFILE, tmp_path)
    assert n_files > 200
    assert n_bytes < 64e6
    for stage in Dockerfile(DOCKERFILE).stages.values():
        for step in stage.steps:
            if step.keyword == "COPY" and not step.flag("from"):
                assert (tmp_path / step.text.split()[0]).exists(), step


def test_the_container_has_the_environment_of_the_image_below_its_folder(tmp_path):
    dockerfile = Dockerfile(DOCKERFILE)
    replay = Replay(dockerfile, tmp_path, tmp_path)
    replay.roots["cpu"] = tmp_path / "root"
    container = container_of(replay, dockerfile, "cpu", tmp_path)
    assert container.env["IFW_DATA_DIR"] == f"{tmp_path}/root/data"
    assert container.env["PATH"].startswith(f"{tmp_path}/root/opt/ifw/bin:")
    assert container.env["IFW_MODEL"] == "demo"
    assert container.health_command[-1] == f"{tmp_path}/root{IMAGE.health_command[-1]}"
    assert container.user == ((10001, 10001) if os.getuid() == 0 else None)


@pytest.fixture
def contents(tmp_path):
    package = tmp_path / "opt" / "ifw" / "lib" / "python3.11" / "site-packages" / "ifw"
    (package / "demo").mkdir(parents=True)
    (package / "demo" / "model.safetensors").touch()
    (package / "one.py").touch()
    (package / "kernels").mkdir()
    (package / "kernels" / "ifw_kernels.native").touch()
    subprocess.run([sys.executable, "-m", "compileall", "-q", package], check=True)
    (tmp_path / "opt" / "ifw" / "bin").mkdir()
    return tmp_path


def test_contents_that_are_right_are_accepted(contents):
    check_contents(contents)


@pytest.mark.parametrize("broken", ["bytecode", "demo model", "pip", "native kernels"])
def test_contents_that_are_wrong_are_refused(contents, broken):
    (package,) = contents.glob("opt/ifw/lib/*/site-packages/ifw")
    if broken == "bytecode":
        (package / "two.py").touch()
    elif broken == "native kernels":
        (package / "kernels" / "ifw_kernels.native").unlink()
    elif broken == "pip":
        (contents / "opt" / "ifw" / "bin" / "pip").touch()
    else:
        (package / "demo" / "model.safetensors").unlink()
    with pytest.raises(SystemExit, match=broken):
        check_contents(contents)
