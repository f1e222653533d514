"""One inference server for all tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from neighbour import Neighbour
from truss_server import ROOT, TrussProcess, build_context, make_app, serving_truss


@pytest.fixture(scope="session")
def model_context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `truss push deploy/truss` would have built."""
    return build_context(ROOT / "deploy" / "truss", tmp_path_factory.mktemp("model") / "context")


@pytest.fixture(scope="session")
def model_app(model_context: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_app(model_context, tmp_path_factory.mktemp("app") / "app")


@pytest.fixture(scope="session")
def neighbour() -> Iterator[Neighbour]:
    with Neighbour() as neighbour:
        yield neighbour


@pytest.fixture(scope="session")
def truss(model_app: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrussProcess]:
    with serving_truss(model_app, tmp_path_factory.mktemp("truss")) as server:
        server.wait_ready()
        yield server
