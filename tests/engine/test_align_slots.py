"""Several windows aligned in one pass of the real decoder: what each gets is what it gets alone."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models
import torch

from ifw.engine.runner import AlignInput, ModelRunner, WindowInput
from ifw.engine.vocabulary import Vocabulary

N_SLOTS = 7
SIZES = tiny_models.dims(layers=(1, 3), d_model=64, n_heads=2)
CHECKPOINT = tiny_models.checkpoint(SIZES)
TOKENIZER = CHECKPOINT.tokenizer
HEADS = ((1, 0), (2, 0), (2, 1))
# of each slot that is aligned, its text tokens and its positions with content; 3 is idle, 5 was never encoded
ROWS = {0: (3, 1500), 1: (60, 40), 2: (1, 1), 4: (17, 700), 6: (220, 1500)}


def new_runner(n_slots: int) -> ModelRunner:
    return ModelRunner(tiny_models.whisper(SIZES), Vocabulary(CHECKPOINT).runner_tokens, n_slots, HEADS)


def window(slot: int, number: int) -> WindowInput:
    return WindowInput(slot=slot, samples=tiny_models.window(number, seconds=3 * number + 1))


def row(slot: int, number: int) -> AlignInput:
    n_text, n_positions = ROWS[number]
    text_ids = np.random.default_rng(number).integers(20, 600, n_text).tolist()
    prefix = (TOKENIZER.sot, TOKENIZER.language_ids["de"], TOKENIZER.transcribe, TOKENIZER.no_timestamps)
    prefix = prefix[: 3 + number % 2]  # rows that differ in this too
    return AlignInput(slot, (*prefix, *text_ids, TOKENIZER.eot), len(prefix), n_positions)


@pytest.fixture(scope="module")
def alone():
    """Each row in a runner of its own."""
    found = {}
    with torch.inference_mode():
        for number in ROWS:
            runner = new_runner(1)
            runner.encode([window(0, number)])
            (found[number],) = runner.align([row(0, number)])
    return found


@pytest.fixture(scope="module")
def runner():
    """Every slot but one holds a window."""
    shared = new_runner(N_SLOTS)
    with torch.inference_mode():
        shared.encode([window(slot, slot) for slot in range(N_SLOTS) if slot != 5])
    return shared


def assert_same(got, expected):
    assert got.matrix.shape == expected.matrix.shape
    np.testing.assert_allclose(got.matrix, expected.matrix, atol=2e-3)
    np.testing.assert_allclose(got.probabilities, expected.probabilities, rtol=1e-3)


def test_the_rows_are_worth_comparing(alone):
    for number, (n_text, n_positions) in ROWS.items():
        assert alone[number].matrix.shape == (n_text + 1, n_positions)
        assert len(alone[number].probabilities) == n_text
    assert alone[4].matrix.std() > 0.05
    assert not np.allclose(alone[0].matrix[:2, :700], alone[4].matrix[:2], atol=0.05)


@torch.inference_mode()
@pytest.mark.parametrize("slots", [(0, 1, 2, 4, 6), (0, 1, 2), (1, 6), (4,)])
def test_rows_that_are_aligned_together_get_what_each_gets_alone(runner, alone, slots):
    for slot, got in zip(slots, runner.align([row(slot, slot) for slot in slots]), strict=True):
        assert_same(got, alone[slot])


@torch.inference_mode()
def test_a_short_row_after_a_long_one_in_the_same_slot(runner, alone):
    runner.encode([window(6, 1)])
    (got,) = runner.align([row(6, 1)])
    assert_same(got, alone[1])
    runner.encode([window(6, 6)])
    (again,) = runner.align([row(6, 6)])
    assert_same(again, alone[6])
