"""The container as the Dockerfile starts it, on the interpreter of the tests; `make image-check` builds the image."""

import re
import sys

import pytest
from deploy_files import DEPLOY, DOCKERFILE, IMAGE, ROOT

from container_check import CheckError, Container, check_container, free_port, new_key


@pytest.fixture
def container(tmp_path):
    assert IMAGE.entrypoint + IMAGE.command == ["ifw", "serve"]
    *program, script = IMAGE.health_command
    assert program == ["python", "-I", "-S"]
    for volume in (*IMAGE.volumes, "/tmp"):
        (tmp_path / volume.strip("/")).mkdir()
    env = {name: value.replace("$PATH", "/usr/bin:/bin") for name, value in IMAGE.env.items()}
    env |= {name: str(tmp_path / env[name].strip("/")) for name in ("IFW_DATA_DIR", "HF_HOME")}
    env |= {"HOME": str(tmp_path / "tmp"), "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(ROOT / "src")}
    env |= {"IFW_HOST": "127.0.0.1", "IFW_PORT": str(free_port()), "ADMIN_KEY": new_key()}
    env |= {"IFW_MODEL": "demo", "IFW_N_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return Container(
        command=[sys.executable, "-m", *IMAGE.entrypoint, *IMAGE.command],
        health_command=[sys.executable, "-I", "-S", str(DEPLOY / "docker" / script.rpartition("/")[2])],
        env=env,
        folder=tmp_path,
    )


def test_the_container_is_healthy_transcribes_ends_in_order_and_goes_on(container):
    findings = []
    check_container(container, findings.append)
    assert len(findings) == 4
    assert not re.search(r"Traceback|no setting", container.log.read_text())


def test_a_container_that_does_not_come_up_is_found(container):
    container.env["IFW_DATA_DIR"] = "/proc/nowhere"
    with pytest.raises(CheckError, match="IFW_DATA_DIR: /proc/nowhere cannot be made"):
        check_container(container, print)


def test_the_dockerfile_copies_the_health_check_to_where_it_is_run():
    assert f"COPY deploy/docker/health.py {IMAGE.health_command[-1]}\n" in DOCKERFILE.read_text()
