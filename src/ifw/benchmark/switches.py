"""Our engine with one of its switches on: rows of their own, which never count as ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ifw.benchmark.engines import OWN, SWITCHED, Precision, Setup
from ifw.benchmark.options import SWITCHES

if TYPE_CHECKING:
    from torch import Tensor

    from ifw.model.weights import ReadTensor

_BRANCH_ENDS: Final = re.compile(r"decoder\.layers\.(\d+)\.(self_attn\.out_proj|encoder_attn\.out_proj|fc2)\.")
_DAMPING: Final = 0.1  # with a draft of two layers, `base` accepts six proposals in ten
_USUAL: Final[tuple[Precision, ...]] = ("float16", "bfloat16", "float32")


def switched_setups(own: Sequence[Precision], names: Sequence[str]) -> list[Setup]:
    """A set-up for each switch, in the precision of 16 bits that there is, which is that of the engine by itself.

    Args:
        own: The precisions of our engine.
        names: Of `SWITCHES`.
    """
    precision = next(name for name in _USUAL if name in own)
    return [
        Setup(
            SWITCHED,
            f"{precision}, {name}",
            precision,
            {"compute_type": precision, **SWITCHES[name]},
            has_pipeline=False,
            command=OWN,
        )
        for name in names
    ]


def damped(read: ReadTensor, n_layers: int) -> ReadTensor:
    """The weights of a model whose decoder says nearly the same with its first layers alone, for as much work.

    Random weights have no draft that is right now and then. Here the layers behind the first ones add little, so that
    those first ones are such a draft, and nothing but the numbers differs from other random weights.

    Args:
        read: The weights.
        n_layers: Of the draft.
    """

    def read_damped(name: str) -> Tensor:
        tensor, found = read(name), _BRANCH_ENDS.match(name)
        return tensor * _DAMPING if found is not None and int(found[1]) >= n_layers else tensor

    return read_damped
