"""What of `deploy/truss` can be checked without truss."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import truss_folder
from ifw.baseten.body import read_input
from ifw.service.settings import Settings, load_settings, variable_of

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "deploy" / "truss"
CONFIGS = {name: yaml.safe_load((SOURCE / file).read_text()) for name, file in truss_folder.CONFIG.items()}
SHA = re.compile(r"@[0-9a-f]{40}$")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the versions are those of the image's Python, 3.11")
def test_requirements_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "tools" / "truss_requirements.py"), "--check"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_requirements_are_all_that_the_model_imports(tmp_path: Path) -> None:
    """In a process that loads and transcribes, every package comes from the image: ours, or that of Truss's server."""
    script = """
import sys
from importlib.metadata import packages_distributions
import ifw.audio.decoder_main
from ifw.baseten.model import BasetenModel
model = BasetenModel()
model.load()
model.close()
of = packages_distributions()
print(*{name for module in sys.modules for name in of.get(module.partition(".")[0], ())})
"""
    ours = ("IFW_", "ADMIN_KEY")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    env |= {"IFW_MODEL": "demo", "IFW_DATA_DIR": str(tmp_path / "data"), "IFW_N_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    needed = {re.sub("[-_.]+", "-", name).lower() for name in ended.stdout.split()}
    listed = {line.partition("==")[0] for line in CONFIGS["model"]["requirements"]}
    of_truss = {"fastapi", "starlette", "annotated-doc", "opentelemetry-api", "psutil", "sniffio", "certifi"}
    of_truss.add("python-multipart")  # starlette takes it where it is there
    of_environment = {"insanely-fast-whisper-api", "distutils-precedence", "editables"}
    assert {"torch", "av", "pydantic"} <= needed
    assert needed - listed - of_truss - of_environment == set()


@pytest.mark.parametrize("flavour", ["model", "server"])
def test_settings_exist(flavour: str) -> None:
    known = {variable_of(field): field for field in Settings.model_fields}
    variables = CONFIGS[flavour]["environment_variables"]
    assert all(isinstance(value, str) for value in variables.values())
    settings = {known[name]: value for name, value in variables.items() if name.startswith("IFW_")}
    load_settings(settings)
    assert settings["model"] == CONFIGS[flavour]["weights"][0]["mount_location"]
    assert all(SHA.search(weights["source"]) for weights in CONFIGS[flavour]["weights"])


def test_requests_that_truss_lets_in_are_those_that_run() -> None:
    model = CONFIGS["model"]
    assert int(model["environment_variables"]["IFW_MAX_SYNC"]) == model["runtime"]["predict_concurrency"]


def test_server_and_script_agree_with_the_routes() -> None:
    script = (SOURCE / "data" / "serve.sh").read_text()
    server = CONFIGS["server"]["docker_server"]
    assert f"SERVER_PORT:-{server['server_port']}}}" in script
    assert set(re.findall(r"^give (\w+)", script, re.MULTILINE)) == CONFIGS["server"]["secrets"].keys()
    variables = set(re.findall(r"^give \w+ (\w+)", script, re.MULTILINE))
    assert variables <= {variable_of(field) for field in Settings.model_fields}
    source = "".join(path.read_text() for path in (ROOT / "src/ifw/server/routes").glob("*.py"))
    assert f'"{server["predict_endpoint"]}"' in source
    prefix = 'prefix="/health"'
    assert prefix in source
    for endpoint in (server["readiness_endpoint"], server["liveness_endpoint"]):
        assert f'"{endpoint.removeprefix("/health")}"' in source


@pytest.mark.parametrize("flavour", ["model", "server"])
def test_the_example_is_allowed(flavour: str) -> None:
    example = CONFIGS[flavour]["model_metadata"]["example_model_input"]
    assert read_input(example).url == example["url"]


def test_the_tool_says_how_large_it_is(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "truss_folder.py"), "server", "--folder", str(tmp_path / "made")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"made: \d+ files, \d+\.\d MB; push it with: truss push ", said)


def test_only_the_wanted_lines_change(tmp_path: Path) -> None:
    for flavour, config in CONFIGS.items():
        truss_folder.make_folder(tmp_path / flavour, flavour, "A100")
        made = yaml.safe_load((tmp_path / flavour / "config.yaml").read_text())
        differing = {key for key in config.keys() | made.keys() if config.get(key) != made.get(key)}
        assert differing == ({"resources", "external_package_dirs"} if flavour == "model" else {"resources"})
        assert made["resources"]["accelerator"] == "A100"


def test_a_folder_that_holds_something_else_is_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SystemExit, match="something else"):
        truss_folder.make_folder(tmp_path, "model", "L4")
    assert (tmp_path / "thesis.txt").exists()
