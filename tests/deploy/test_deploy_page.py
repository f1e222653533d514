"""What docs/deploy.md names is there."""

import re

import pytest
from deploy_files import DEPLOY, DOCKERFILE, KUBERNETES, ROOT, VARIABLES

from dockerfile_stages import Dockerfile

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
FILE = Dockerfile(DOCKERFILE)


def test_settings_exist():
    assert set(re.findall(r"\bIFW_[A-Z_]+", PAGE)) <= VARIABLES


def test_build_arguments_exist():
    declared = set(re.findall(r"^ARG (\w+)", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"--build-arg (\w+)=", PAGE)) <= declared
    assert set(re.findall(r"--target (\w+)", PAGE + DOCKERFILE.read_text(encoding="utf-8"))) <= FILE.stages.keys()


@pytest.mark.parametrize("name", sorted(path.name for path in KUBERNETES.glob("*.yaml")))
def test_every_manifest_is_explained(name):
    assert name in PAGE or name in ("kustomization.yaml", "namespace.yaml")


def test_files_exist():
    for name in re.findall(r"(?:deploy|docs)/[\w./-]+\.(?:ya?ml|toml|md|example)|deploy/[\w/]+Dockerfile", PAGE):
        assert (ROOT / name).exists() or name == "deploy/k8s/secret.yaml", name


@pytest.mark.parametrize("secret", ["deploy/k8s/secret.yaml", "deploy/docker/.env"])
def test_secrets_are_not_kept_in_git(secret):
    assert secret in (ROOT / ".gitignore").read_text().splitlines()


def test_the_times_to_end_are_those_that_the_page_says():
    assert "--stop-timeout 45" in PAGE
    assert "stop_grace_period: 45s" in (DEPLOY / "docker" / "compose.yaml").read_text()
