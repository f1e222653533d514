"""What is pushed: truss reads it, knows every key of it, and leaves nothing out that is needed."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from truss_server import HERE, ROOT, VENV, build_context, environment, needs_truss

import truss_folder
from ifw.kernels.build import LIBRARY

pytestmark = needs_truss

SOURCE = ROOT / "deploy" / "truss"
MAX_BYTES = 30e6  # of what is uploaded; the demo models are most of it


def complaints(folder: Path, *configs: Path) -> list[str]:
    command = [str(VENV / "bin" / "python"), str(HERE / "truss_config_check.py"), *map(str, configs)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(folder))
    found = json.loads(ended.stdout)
    return [found[str(config)] for config in configs]


def tracked_files() -> set[str]:
    listed = subprocess.run(["git", "ls-files", "src/ifw"], cwd=ROOT, capture_output=True, text=True, check=True)
    return {line.removeprefix("src/") for line in listed.stdout.splitlines() if (ROOT / line).exists()}


def files_in(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("flavour", ["model", "server"])
def test_every_variant_is_what_truss_knows(tmp_path: Path, flavour: str) -> None:
    configs = [SOURCE / truss_folder.CONFIG[flavour]]
    for accelerator in truss_folder.ACCELERATORS:
        truss_folder.make_folder(tmp_path / accelerator, flavour, accelerator)
        configs.append(tmp_path / accelerator / "config.yaml")
    assert complaints(tmp_path, *configs) == [""] * len(configs)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("description:", "descripton:", "descripton"),
        ("  predict_concurrency:", "  predict_concurency:", "predict_concurency"),
        ("    startup_threshold_seconds:", "    startup_treshold_seconds:", "startup_treshold_seconds"),
        ("    allow_patterns:", "    allow_pattern:", "allow_pattern"),
        ("  accelerator: A10G", "  accelerator: A10", "Unsupported accelerator"),
        ("  health_checks:", "  transport: {kind: http, timeout: 3}\n  health_checks:", "timeout"),
    ],
)
def test_a_key_that_truss_does_not_know_is_found(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    text = (SOURCE / "config.yaml").read_text()
    assert right in text
    (tmp_path / "config.yaml").write_text(text.replace(right, wrong))
    (found,) = complaints(tmp_path, tmp_path / "config.yaml")
    assert said in found


def test_the_page_adds_speakers_as_truss_wants_it(tmp_path: Path) -> None:
    (added,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "baseten.md").read_text(), re.MULTILINE | re.DOTALL)
    more = yaml.safe_load(added.replace("COMMIT", 40 * "0"))
    for flavour, name in truss_folder.CONFIG.items():
        config = yaml.safe_load((SOURCE / name).read_text())
        config["weights"] += more["weights"]
        config["environment_variables"] |= more["environment_variables"]
        (tmp_path / f"{flavour}.yaml").write_text(yaml.safe_dump(config))
        assert more["environment_variables"]["IFW_DIARIZATION_MODEL"] == more["weights"][0]["mount_location"]
    assert complaints(tmp_path, *sorted(tmp_path.glob("*.yaml"))) == ["", ""]


def test_nothing_of_the_package_is_left_out(model_context: Path) -> None:
    """Truss drops files and folders by their names (build, lib, env, *.log, *.so), without a word."""
    sizes = files_in(model_context / "packages")
    built = {str(LIBRARY.relative_to(ROOT / "src"))} if LIBRARY.exists() else set()
    assert not (tracked_files() | built) - sizes.keys()
    assert sum(sizes.values()) < MAX_BYTES


def test_a_folder_of_ours_holds_the_same_package(tmp_path: Path) -> None:
    truss_folder.make_folder(tmp_path / "server", "server", "H100")
    context = build_context(tmp_path / "server", tmp_path / "context")
    sizes = files_in(context / "packages")
    assert not tracked_files() - sizes.keys()
    assert not [name for name in sizes if "__pycache__" in name]
    assert (context / "data" / "serve.sh").exists()
    assert "accelerator: H100" in (context / "config.yaml").read_text()
    dockerfile = (context / "Dockerfile").read_text()
    assert "pyproject.toml" in dockerfile
    assert "FROM python:3.11-slim-bookworm" in dockerfile


def test_the_image_of_the_model_has_our_versions(model_context: Path) -> None:
    """Truss takes its own requirement of a package back where we have one."""
    lines = (model_context / "requirements.txt").read_text().splitlines()
    assert "torch==2.13.0" in lines
    assert [line for line in lines if line.startswith("numpy")] == [
        line for line in lines if line.startswith("numpy==2.")
    ]
    assert [line for line in lines if line.startswith("fastapi")]
