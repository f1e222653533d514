"""Every example of `docs/api.md` runs as it stands there, against a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from neighbour import ROOT, SHORT

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
# so that a call that fails ends the script, and machines without jq run it too
PRELUDE = """
set -euo pipefail
curl() { command curl --fail-with-body --silent --show-error "$@"; }
jq() { [ "$*" = "-r .id" ]; PYTHON -c 'import json, sys; print(json.load(sys.stdin)["id"])'; }
"""


def script(api: Any, language: str) -> str:
    """All blocks of a language as one program."""
    text = "\n".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    text = text.replace("http://localhost:8000", api.server.url)
    return text.replace("https://example.com/hook", api.url("/hook-page")).replace(
        "https://example.com/talk.mp3", api.url()
    )


def run(folder: Path, *command: str) -> str:
    shutil.copy(SHORT, folder / "talk.mp3")
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "no_proxy": "*"}
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(api: Any, tmp_path: Path) -> None:
    said = run(tmp_path, "bash", "-c", PRELUDE.replace("PYTHON", sys.executable) + script(api, "sh"))
    assert (tmp_path / "talk.srt").read_text().startswith("1\n00:00:0")
    assert "event: done" in said
    assert said.count('"chunks"') >= 2


def test_python(api: Any, tmp_path: Path) -> None:
    said = run(tmp_path, sys.executable, "-c", script(api, "python"))
    assert len(said.splitlines()) >= 4


def test_every_route_is_on_the_page(api: Any) -> None:
    document = api.client.get("/openapi.json").json()
    for path in document["paths"]:
        if not path.startswith(("/v1/", "/health/", "/metrics")):
            shown = re.sub(r"\{task_id\}", "{id}", path)
            assert f"{shown}`" in PAGE or f"{shown}?" in PAGE, path


def test_every_field_of_a_task_is_on_the_page(api: Any) -> None:
    document = api.client.get("/openapi.json").json()
    for name in document["paths"]["/tasks"]["post"]["requestBody"]["content"]["application/json"]["schema"][
        "properties"
    ]:
        assert f"`{name}`" in PAGE, name
    for name in document["components"]["schemas"]["LegacyBody"]["properties"]:
        assert f"`{name}`" in PAGE, name


def test_openais_routes_and_fields_are_on_the_page(api: Any) -> None:
    paths = api.client.get("/openapi.json").json()["paths"]
    for path in [path for path in paths if path.startswith("/v1/")]:
        assert path.removesuffix("/{model_id}") in PAGE, path
    for path in ("/v1/audio/transcriptions", "/v1/audio/translations"):
        content = paths[path]["post"]["requestBody"]["content"]["multipart/form-data"]
        for name in content["schema"]["properties"]:
            assert f"`{name}`" in PAGE, name
