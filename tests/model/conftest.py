from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hf_reference import FAMILIES, Pair, make_pair


@pytest.fixture(autouse=True, scope="session")
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    from ifw.model.registry import resolve_checkpoint

    return resolve_checkpoint("demo")


@pytest.fixture(scope="session")
def pair_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    """Gives the checkpoint of a family, made once a session."""
    made: dict[str, Pair] = {}

    def pair(family: str) -> Pair:
        if family not in made:
            made[family] = make_pair(tmp_path_factory.mktemp(family), FAMILIES[family])
        return made[family]

    return pair
