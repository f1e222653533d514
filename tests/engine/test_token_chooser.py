"""Choosing in one operation and by the rules give the same, and either way a row's choice is its own."""

from __future__ import annotations

import dataclasses

import pytest
import tiny_models
import torch
from native_kernels import each_level

from ifw.engine.noise import noise_key
from ifw.engine.rules import NO_LIMIT, Field, RowStart, RowStates, RuleTokens, TokenRules
from ifw.engine.token_chooser import TokenChooser
from ifw.model.native_ops import int8_ops
from ifw.model.random_weights import random_whisper

N_ROWS, N_STEPS = 7, 6
DIMS = dataclasses.replace(tiny_models.dims(layers=(1, 1)), n_vocab=300)
TOKENS = RuleTokens(eot=200, no_timestamps=219, timestamp_begin=220, begin_suppress=(3, 200))
LISTS = (torch.tensor([1, 2, 3]), torch.tensor([50]))
DEAD, SAMPLED = (2, 6), (1, 4)


def chooser(kernels, *, is_fused=True):
    ops = int8_ops(kernels)
    assert ops.choose_tokens is not None
    model = random_whisper(
        DIMS,
        0,
        dtype=torch.bfloat16,
        ops=ops if is_fused else dataclasses.replace(ops, choose_tokens=None),
    )
    return TokenChooser(model, TokenRules(TOKENS, model.device), TOKENS)


def started():
    states = RowStates.allocate(N_ROWS, TOKENS.eot, torch.device("cpu"))
    for slot in set(range(N_ROWS)) - set(DEAD):
        temperature = 0.7 if slot in SAMPLED else 0.0
        max_first = 10 if slot % 2 else NO_LIMIT
        states.start(slot, RowStart(210, 4, slot % 3 < 2, max_first, temperature, noise_key(1, slot)))
    return states


def steps(lists):
    """Logits of some steps, and the suppressed tokens of each row."""
    logits = torch.randn(N_STEPS, N_ROWS, DIMS.n_vocab, generator=torch.Generator().manual_seed(4))
    logits[:, :, TOKENS.timestamp_begin :] += 1.5
    suppress = [None if row in DEAD else lists[row % len(lists)] for row in range(N_ROWS)]
    return logits * 2, suppress


@each_level
@pytest.mark.parametrize("lists", [LISTS, LISTS[:1]])
def test_in_one_operation_as_by_the_rules(kernels, lists):
    all_logits, suppress = steps(lists)
    live = [row for row in range(N_ROWS) if row not in DEAD]
    fused, plain, states, expected_states = chooser(kernels), chooser(kernels, is_fused=False), started(), started()
    idle = states.ints[:, DEAD].clone()
    seen = set()
    for logits in all_logits:
        found = fused.choose(logits.clone(), states, suppress, SAMPLED)
        expected = plain.choose(logits.clone(), expected_states, suppress, SAMPLED)
        assert [one.token for one in found] == [one.token for one in expected]
        assert [one.logprob for one in found] == pytest.approx([one.logprob for one in expected], abs=1e-5)
        assert torch.equal(states.ints[:, live], expected_states.ints[:, live])
        assert torch.equal(states.ints[:, DEAD], idle)
        seen |= {one.token >= TOKENS.timestamp_begin for one in found}
    assert seen == {True, False}
    assert states[Field.N_SAMPLED].tolist() == [0 if row in DEAD else N_STEPS for row in range(N_ROWS)]


@each_level
def test_a_row_alone_is_the_row_beside_others(kernels):
    """Bit for bit, greedy and drawn."""
    all_logits, suppress = steps(LISTS)
    choose, together = chooser(kernels).choose, started()
    for logits in all_logits:
        alone = []
        for row in range(N_ROWS):
            if row not in DEAD:
                state = RowStates(together.ints[:, row : row + 1].clone(), together.temperatures[row : row + 1])
                sampled = [0] if row in SAMPLED else []
                alone += choose(logits[row : row + 1].clone(), state, suppress[row : row + 1], sampled)
        assert choose(logits.clone(), together, suppress, SAMPLED) == alone


@each_level
@pytest.mark.parametrize("sampled", [(), tuple(row for row in range(N_ROWS) if row not in DEAD)])
def test_rows_that_are_all_of_a_kind(kernels, sampled):
    all_logits, suppress = steps(LISTS)
    found = chooser(kernels).choose(all_logits[0].clone(), started(), suppress, sampled)
    expected = chooser(kernels, is_fused=False).choose(all_logits[0].clone(), started(), suppress, sampled)
    assert [one.token for one in found] == [one.token for one in expected]
