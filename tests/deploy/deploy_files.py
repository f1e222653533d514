"""The deployment files, read as what reads them does."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from dockerfile_stages import Dockerfile
from ifw.service.settings import Settings, variable_of

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
KUBERNETES = DEPLOY / "k8s"
TARGETS = ("cpu", "cuda", "baked", "default")
SCRIPTS = Path(sys.executable).parent

VARIABLES = frozenset(map(variable_of, Settings.model_fields))
DRAIN_S = Settings.model_fields["drain_s"].default
IMAGE = Dockerfile(DOCKERFILE).config("cuda")


def documents(path: Path) -> list[dict[str, Any]]:
    """All documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def manifests() -> list[dict[str, Any]]:
    """Everything that Kubernetes is told."""
    return [one for path in sorted(KUBERNETES.glob("*.yaml")) for one in documents(path)]


def settings_of(environment: dict[str, str]) -> Settings:
    """Read as the server would; what is not a setting of ours is left out, save that nothing may look like one."""
    ours = {name: value for name, value in environment.items() if name in VARIABLES}
    slips = {name for name in environment if name.startswith("IFW_")} - VARIABLES
    assert not slips
    return Settings(**{name: value for name, value in ours.items() if value})


def without_comments(text: str) -> str:
    """The lines of a shell-like file that do something."""
    return re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
