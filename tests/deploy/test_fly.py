"""The file of Fly.io."""

import sys

from deploy_files import DEPLOY, DOCKERFILE, DRAIN_S, IMAGE, settings_of

from dockerfile_stages import Dockerfile
from ifw.server.auth import OPEN_PATHS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PATH = DEPLOY / "fly" / "fly.toml"
FLY = tomllib.loads(PATH.read_text(encoding="utf-8"))
KNOWN = {"app", "primary_region", "kill_signal", "kill_timeout", "build", "env", "mounts", "http_service", "vm"}


def test_it_has_only_what_is_known():
    assert FLY.keys() == KNOWN
    assert FLY["build"].keys() == {"dockerfile", "build-target"}


def test_it_builds_our_image():
    assert (PATH.parent / FLY["build"]["dockerfile"]).resolve() == DOCKERFILE
    assert FLY["build"]["build-target"] in Dockerfile(DOCKERFILE).stages


def test_port_health_and_end_are_those_of_the_server():
    service = FLY["http_service"]
    assert service["internal_port"] == IMAGE.ports[0]
    assert [check["path"] for check in service["checks"]] == ["/health/ready"]
    assert "/health/ready" in OPEN_PATHS
    assert FLY["kill_signal"] == "SIGTERM"
    assert FLY["kill_timeout"] >= DRAIN_S + 10


def test_settings_are_known_and_what_is_written_lies_on_the_volume():
    settings = settings_of(IMAGE.env | FLY["env"])
    (mount,) = FLY["mounts"]
    assert str(settings.data_dir) == mount["destination"]
    assert str(settings.hf_home).startswith(f"{mount['destination']}/")


def test_machines_with_tasks_are_not_stopped():
    assert FLY["http_service"]["auto_stop_machines"] == "off"
    assert FLY["http_service"]["min_machines_running"] >= 1
