"""The server keeps to its own OpenAPI document, whatever it is sent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ifw.server.app import create_app
from ifw.server.auth import OPEN_PATHS
from ifw.service.settings import load_settings

HERE = Path(__file__).parent
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def test_no_request_gets_a_reply_that_the_document_does_not_know(api: Any, tmp_path: Path) -> None:
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert program is not None, "schemathesis is missing: install the group `dev`"
    command = [program, "run", f"{api.server.url}/openapi.json", "--checks", ",".join(CHECKS)]
    limits = ["--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--seed", "1", "--request-timeout", "60"]
    paths = {"PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "NEIGHBOUR_URL": api.neighbour.url}
    ended = subprocess.run(
        [*command, *limits, "--generation-database", "none", "--no-color"],
        env={**os.environ, **paths},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_the_document_is_there(api: Any, path: str) -> None:
    assert api.client.get(path).status_code == 200


@pytest.mark.parametrize("key", [None, "k" * 20])
def test_the_document_says_where_a_key_is_needed(tmp_path: Path, key: str | None) -> None:
    settings = {"model": "demo", "data_dir": tmp_path, **({"admin_key": key} if key else {})}
    document = create_app(load_settings(settings)).openapi()
    schemes = document["components"].get("securitySchemes", {})
    assert set(schemes) == ({"bearer", "x-api-key", "x-admin-api-key"} if key else set())
    for path, methods in document["paths"].items():
        for method in methods.values():
            wanted = {name for one in method.get("security", []) for name in one}
            assert wanted == (set() if path in OPEN_PATHS else set(schemes)), path
