"""What a CUDA graph records must need nothing of the host: seen on tensors that have shapes and no values."""

from __future__ import annotations

from typing import get_args

import pytest
import tiny_models
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ifw.engine.cache import DecoderCache, KeptKv
from ifw.engine.graphs import StepGraphs, bucket_of, row_buckets
from ifw.engine.rules import RowStates, TokenRules
from ifw.engine.speculative_step import Decoder, RoundKey, SpeculativeStep
from ifw.engine.static_step import StaticStep, StepKey
from ifw.engine.vocabulary import Vocabulary
from ifw.model.random_weights import random_whisper

META = torch.device("meta")
N_SLOTS = 16
SIZES = tiny_models.dims(layers=(1, 2), d_model=64, n_heads=1)
TOKENS = Vocabulary(tiny_models.checkpoint(SIZES)).runner_tokens
SYNCHRONISING = (
    "item",
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "_unique",
    "is_nonzero",
    "equal",
    "repeat_inter",
)


class Recorder(TorchDispatchMode):
    """Operations in their order, and those that a graph could not replay."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.faults: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).removeprefix("aten.")
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        if name.startswith(SYNCHRONISING) or any(tensor.device != META for tensor in tensors):
            self.faults.append(name)
        self.names.append(name)
        return result


def static_step(cross_kv: str = "same") -> StaticStep:
    """On a device without values, where reading one is an error; it is given the operations that CUDA is."""
    with torch.inference_mode():
        model = random_whisper(SIZES, 0, META, torch.float16)
        cache = DecoderCache.allocate(SIZES, N_SLOTS, META, torch.float16, cross_kv)
        states = RowStates.allocate(N_SLOTS, TOKENS.rules.eot, META)
        return StaticStep(model, cache, states, TokenRules(TOKENS.rules, META), TOKENS)


@pytest.mark.parametrize("cross_kv", get_args(KeptKv))
@pytest.mark.parametrize("is_sampling", [False, True])
@pytest.mark.parametrize(("n_rows", "n_keys"), [(1, 64), (8, 256), (N_SLOTS, 448)])
def test_a_step_needs_no_value_and_nothing_from_the_host(n_rows, n_keys, is_sampling, cross_kv):
    step = static_step(cross_kv)
    with torch.inference_mode(), Recorder() as recorder:
        step.run(StepKey(n_rows, n_keys, is_sampling))
    assert not recorder.faults
    assert "argmax.default" in recorder.names


def speculative_step(cross_kv: str = "same") -> SpeculativeStep:
    """Likewise; the draft has a layer less."""
    draft_sizes = tiny_models.dims(layers=(1, 1), d_model=64, n_heads=1)
    with torch.inference_mode():
        decoders = [
            Decoder(
                random_whisper(sizes, 0, META, torch.float16),
                DecoderCache.allocate(sizes, N_SLOTS, META, torch.float16, cross_kv),
            )
            for sizes in (SIZES, draft_sizes)
        ]
        states, rules = RowStates.allocate(N_SLOTS, TOKENS.rules.eot, META), TokenRules(TOKENS.rules, META)
        return SpeculativeStep(*decoders, states, rules, TOKENS.rules, max_drafted=5)


@pytest.mark.parametrize("cross_kv", get_args(KeptKv))
@pytest.mark.parametrize("is_sampling", [False, True])
@pytest.mark.parametrize(("n_rows", "n_keys", "n_drafted"), [(1, 64, 5), (8, 256, 3), (N_SLOTS, 448, 0)])
def test_a_round_with_a_draft_needs_no_value_and_nothing_from_the_host(
    n_rows, n_keys, n_drafted, is_sampling, cross_kv
):
    step = speculative_step(cross_kv)
    with torch.inference_mode(), Recorder() as recorder:
        step.run(RoundKey(n_rows, n_keys, n_drafted, is_sampling))
    assert not recorder.faults
    assert recorder.names.count("argmax.default") == (n_drafted + 1) * (1 + is_sampling)


def test_the_recorder_sees_what_a_graph_cannot_replay():
    for work in (
        lambda x: torch.zeros(2) + 1,
        lambda x: x + torch.tensor([1.0, 2.0]),
        lambda x: x[torch.tensor([True, False])],
    ):
        with Recorder() as recorder:
            try:
                work(torch.ones(2, device=META))
            except (RuntimeError, NotImplementedError):
                continue
        assert recorder.faults


@pytest.mark.parametrize("n_slots", [1, 2, 3, 4, 5, 8, 9, 16, 37, 64])
def test_every_number_of_rows_has_a_bucket_that_is_little_larger(n_slots):
    buckets = row_buckets(n_slots)
    assert buckets == tuple(sorted(set(buckets)))
    assert buckets[-1] == n_slots
    for n_rows in range(1, n_slots + 1):
        bucket = bucket_of(n_rows, buckets)
        assert n_rows <= bucket <= min(n_slots, max(2 * n_rows, n_rows + 7))


def test_without_cuda_every_step_is_carried_out_as_it_is():
    steps = []
    graphs = StepGraphs(steps.append, torch.device("cpu"), is_on=True)
    for key in (1, 1, 2, 1):
        graphs.step(key)
    assert steps == [1, 1, 2, 1]
    assert graphs.n_captured == 0
