"""The server keeps to its own OpenAPI document, whatever it is sent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
