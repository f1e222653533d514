"""The files of Docker Compose."""

import json
import re
from importlib import resources

import pytest
import yaml
from deploy_files import DEPLOY, DOCKERFILE, DRAIN_S, IMAGE, settings_of, without_comments

from dockerfile_stages import Dockerfile

FOLDER = DEPLOY / "docker"
FILES = ("compose.yaml", "compose.gpu.yaml")
REFERENCE = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")
OF_COMPOSE = {"COMPOSE_FILE", "COMPOSE_PROFILES"}


def text(name):
    return without_comments((FOLDER / name).read_text(encoding="utf-8"))


def interpolated(name, variables):
    """The file as Compose reads it with these variables set."""
    known = {"ADMIN_KEY": "key", **variables}
    filled = REFERENCE.sub(
        lambda found: known.get(found[1]) or ("" if found[2] == ":?" else found[3] or ""), text(name)
    )
    return yaml.safe_load(filled)


COMPOSE = interpolated("compose.yaml", {})
SERVER, WORKER, DATABASE = (COMPOSE["services"][name] for name in ("server", "worker", "db"))


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_what_the_specification_allows(name):
    check_jsonschema = pytest.importorskip("check_jsonschema", reason="needs Python 3.11")
    from jsonschema import Draft202012Validator

    vendored = resources.files(check_jsonschema) / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = Draft202012Validator(json.loads(vendored.read_text(encoding="utf-8")))
    assert not list(schema.iter_errors(interpolated(name, {})))
    assert list(schema.iter_errors({"services": {"server": {"imgae": "x"}}}))


def test_every_variable_is_in_the_example_and_every_line_of_the_example_is_used():
    asked = {found[1] for name in FILES for found in REFERENCE.finditer(text(name))}
    example = (FOLDER / "env.example").read_text(encoding="utf-8")
    offered = set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
    optional = {"ALLOW_NETS", "N_THREADS", "LOG_LEVEL", "SERVER_GPU"}
    assert asked - optional == offered - OF_COMPOSE
    assert optional <= asked


@pytest.mark.parametrize("service", [SERVER, WORKER], ids=["server", "worker"])
def test_the_environment_is_one_that_the_settings_understand(service):
    settings = settings_of(service["environment"])
    assert settings.model == "turbo"
    assert settings.database_url is None


def test_without_a_key_nothing_starts():
    assert "${ADMIN_KEY:?" in text("compose.yaml")
    assert settings_of(SERVER["environment"]).admin_keys() == ("key",)


@pytest.mark.parametrize("service", [SERVER, WORKER], ids=["server", "worker"])
def test_processes_are_fenced_in_and_have_time_to_end(service):
    assert service["read_only"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["stop_grace_period"].removesuffix("s")) >= DRAIN_S + 10


@pytest.mark.parametrize("service", [SERVER, WORKER], ids=["server", "worker"])
def test_volumes_are_those_of_the_image_and_shared(service):
    assert service["volumes"] == ["data:/data", "models:/models"]
    assert [one.split(":")[1] for one in service["volumes"]] == IMAGE.volumes
    assert COMPOSE["volumes"].keys() == {"data", "models", "database"}


def test_the_port_is_that_of_the_image_and_on_loopback():
    assert SERVER["ports"] == [f"127.0.0.1:8000:{IMAGE.ports[0]}"]
    assert "ports" not in WORKER
    assert "ports" not in DATABASE


def test_the_image_is_built_by_our_dockerfile():
    build = SERVER["build"]
    assert (FOLDER / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE
    assert build["target"] == "cpu"
    for target in ("cpu", "cuda"):
        server = interpolated("compose.yaml", {"TARGET": target})["services"]["server"]
        assert server["image"] == f"ifw:{target}"
        assert server["build"]["target"] in Dockerfile(DOCKERFILE).stages


def test_workers_and_postgresql_come_only_with_their_profile():
    assert "profiles" not in SERVER
    assert WORKER["profiles"] == DATABASE["profiles"] == ["workers"]
    assert not SERVER["depends_on"]["db"]["required"]
    assert WORKER["command"] == ["worker"]
    assert WORKER["healthcheck"] == {"disable": True}


def test_the_database_that_the_example_names_is_the_one_that_is_there():
    example = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", (FOLDER / "env.example").read_text(), re.MULTILINE))
    assert example["COMPOSE_PROFILES"] == "workers"
    names = DATABASE["environment"]
    expected = f"postgresql://{names['POSTGRES_USER']}:${{POSTGRES_PASSWORD}}@db/{names['POSTGRES_DB']}"
    assert example["DATABASE_URL"] == expected
    assert example["COMPOSE_FILE"].split(":") == list(FILES)
    assert DATABASE["healthcheck"]["test"][-1] == names["POSTGRES_USER"]
    settings = settings_of(
        interpolated("compose.yaml", {"DATABASE_URL": "postgresql://x@db/y"})["services"]["worker"]["environment"]
    )
    assert settings.database_url.get_secret_value() == "postgresql://x@db/y"


def test_gpus_are_reserved_for_those_who_load_the_model():
    services = interpolated("compose.gpu.yaml", {})["services"]
    devices = {name: service["deploy"]["resources"]["reservations"]["devices"][0] for name, service in services.items()}
    assert devices.keys() == {"server", "worker"}
    assert {device["driver"] for device in devices.values()} == {"nvidia"}
    assert [device["device_ids"] for device in devices.values()] == [["0"], ["1"]]
