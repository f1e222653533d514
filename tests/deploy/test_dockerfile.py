"""The image: what it holds, who runs in it, and that it agrees with the settings."""

import re
import subprocess
import sys

import pytest
from deploy_files import DEPLOY, DOCKERFILE, IMAGE, ROOT, SCRIPTS, TARGETS, settings_of

from dockerfile_stages import Dockerfile, expanded
from ifw.server.auth import OPEN_PATHS

FILE = Dockerfile(DOCKERFILE)
COMPILERS = re.compile(r"\b(apt-get|apt|g\+\+|gcc|clang|make|cmake|build-essential)\b")


def lint(path):
    return subprocess.run([SCRIPTS / "hadolint", "--no-color", path], capture_output=True, text=True, check=False)


def test_the_linter_has_no_complaint():
    result = lint(DOCKERFILE)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr


def test_the_linter_is_awake(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN cd /tmp && pip install torch\n")
    assert {"DL3007", "DL3013"} <= set(re.findall(r"DL\d+", lint(tmp_path / "Dockerfile").stdout))


def test_torch_is_that_of_the_constraints():
    pinned = re.search(r"^torch==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    seen = {
        expanded(step.text, variables)
        for name in ("torch-cpu", "torch-cuda")
        for step, variables in FILE.variables(name)
        if "torch==" in step.text
    }
    assert {re.search(r"torch==([\w.+]+)", text)[1] for text in seen} == {pinned}


@pytest.mark.parametrize("target", TARGETS)
def test_no_compiler_is_in_a_target(target):
    steps = [step for stage in FILE.chain(target) for step in stage.steps]
    assert len(steps) > 5
    assert not [step for step in steps if step.keyword == "RUN" and COMPILERS.search(step.text)]
    taken = {step.flag("from") for step in steps if step.keyword == "COPY"}
    assert taken <= {None, "weights", "triton"}


def test_there_is_a_compiler_where_the_wheel_is_built():
    assert any("g++" in step.text for step in FILE.stages["wheel"].steps)


@pytest.mark.parametrize("target", TARGETS)
def test_the_process_is_not_root(target):
    user, group = FILE.config(target).user.split(":")
    assert min(int(user), int(group)) >= 10_000


@pytest.mark.parametrize("target", TARGETS)
def test_the_environment_is_one_that_the_settings_understand(target):
    config = FILE.config(target)
    settings = settings_of(config.env)
    assert (str(settings.host), settings.port) == ("0.0.0.0", config.ports[0])
    assert str(settings.data_dir) in config.volumes
    assert (config.entrypoint, config.command) == (["ifw"], ["serve"])


def test_volumes_are_where_things_are_written_and_belong_to_the_user():
    assert IMAGE.volumes == [IMAGE.env["IFW_DATA_DIR"], IMAGE.env["HF_HOME"]]
    step = next(step for step in FILE.stages["base"].steps if "install --directory" in step.text)
    assert f"--uid {IMAGE.user.split(':')[0]} " in step.text
    assert f"--owner=ifw --group=ifw --mode=0755 {' '.join(IMAGE.volumes)} " in step.text


def test_what_is_baked_in_needs_no_volume_and_no_network():
    baked = FILE.config("baked")
    assert baked.env["HF_HUB_OFFLINE"] == "1"
    assert baked.env["HF_HOME"] not in baked.volumes
    assert baked.env["IFW_MODEL"] == "turbo"
    copied = next(step for step in FILE.stages["baked"].steps if step.keyword == "COPY")
    assert copied.text.split()[1] == baked.env["HF_HOME"]
    assert copied.text.split()[0] == FILE.config("weights").env["HF_HOME"]
    assert Dockerfile(DOCKERFILE, {"MODEL": "small", "FLAVOUR": "cpu"}).config("baked").env["IFW_MODEL"] == "small"
    assert Dockerfile(DOCKERFILE, {"FLAVOUR": "cpu"}).stages["baked"].base == "cpu"
    assert settings_of(baked.env).diarization_model is None
    asked = Dockerfile(DOCKERFILE, {"DIARIZATION_MODEL": "a/b"})
    assert settings_of(asked.config("baked").env).diarization_model == "a/b"
    (step, variables) = list(asked.variables("weights"))[-1]
    assert expanded(step.text, variables).endswith('bake.py "turbo" "a/b"')


def test_baking_brings_models_or_says_why_not():
    command = [sys.executable, DEPLOY / "docker" / "bake.py", "demo"]
    assert subprocess.run([*command, ""], capture_output=True, check=True).stdout.startswith(b"demo: /")
    failed = subprocess.run([*command, "/no/such/model"], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "diarization model: got '/no/such/model'" in failed.stderr


def test_health_is_asked_for_where_no_key_is_needed():
    source = (DEPLOY / "docker" / "health.py").read_text()
    path = re.search(r'^PATH: Final = "(.+)"$', source, re.MULTILINE)[1]
    timeout = float(re.search(r"^TIMEOUT_S: Final = ([\d.]+)$", source, re.MULTILINE)[1])
    assert path in OPEN_PATHS
    assert timeout < float(IMAGE.health_flags["timeout"].removesuffix("s"))
    assert IMAGE.health_command[-1] in [step.text.split()[-1] for step in FILE.stages["base"].steps]


def test_cpu_and_cuda_differ_in_torch_alone():
    plain = [(step.keyword, step.flags, step.text) for step in FILE.stages["cpu"].steps]
    cuda = [(step.keyword, step.flags, step.text) for step in FILE.stages["cuda"].steps]
    assert [step for step in cuda if step not in plain and "triton" not in step[2]] == []
    assert [step for step in cuda if step in plain] == plain
    only_cuda = FILE.config("cuda").env.keys() - FILE.config("cpu").env.keys()
    assert {name.partition("_")[0] for name in only_cuda} == {"NVIDIA", "TRITON", "CC"}


def test_the_largest_layer_depends_on_no_file_of_the_project():
    for name in ("torch-cpu", "torch-cuda"):
        assert [step.keyword for step in FILE.stages[name].steps if step.keyword in ("COPY", "RUN")] == ["RUN"]


def test_a_step_that_is_not_understood_is_refused(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nADD a b\n")
    with pytest.raises(ValueError, match="line 2: got 'ADD'"):
        Dockerfile(tmp_path / "Dockerfile")


def test_comments_and_continuations_of_a_step(tmp_path):
    (tmp_path / "Dockerfile").write_text(
        'ARG A=1\nFROM x:${A} AS one\nARG A\nENV B=b$A C="d e" \\\n    D=f\n'
        "RUN --mount=type=cache,target=/c --network=none \\\n    # why\n    first \\\n    && second $A\n"
    )
    file = Dockerfile(tmp_path / "Dockerfile", {"A": "2"})
    assert file.stages["one"].base == "x:2"
    assert file.config("one").env == {"B": "b2", "C": "d e", "D": "f"}
    step, variables = list(file.variables("one"))[-1]
    assert (step.flags, step.line) == ((("mount", "type=cache,target=/c"), ("network", "none")), 6)
    assert expanded(step.text, variables) == "first && second 2"
