"""Token rules against two references: openai/whisper's rules as a slow loop, and transformers' processors."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)

from ifw.engine.noise import gumbel_noise, noise_key
from ifw.engine.rules import NO_LIMIT, Field, RowStart, RowStates, RuleTokens, TokenRules

EOT, NO_TIMESTAMPS, STAMP, N_VOCAB = 20, 29, 30, 30 + 41
SOT = 21
CPU = torch.device("cpu")
TOKENS = RuleTokens(eot=EOT, no_timestamps=NO_TIMESTAMPS, timestamp_begin=STAMP, begin_suppress=(3, EOT))
SUPPRESS = (1, 7, SOT)


def openai_rules(  # noqa: C901, PLR0912 - a plain loop on purpose
    logits: np.ndarray, sampled: list[int], *, grammar: bool, max_first: int | None
) -> np.ndarray:
    """One row through openai/whisper `decoding.py`, written as the plainest loop."""
    out = logits.astype(np.float64).copy()
    if not sampled:
        for token in TOKENS.begin_suppress:
            out[token] = -math.inf
    for token in SUPPRESS:
        out[token] = -math.inf
    if not grammar:
        return out
    out[NO_TIMESTAMPS] = -math.inf
    last_was = len(sampled) >= 1 and sampled[-1] >= STAMP
    penultimate_was = len(sampled) < 2 or sampled[-2] >= STAMP
    for token in range(N_VOCAB):
        if last_was and penultimate_was and token >= STAMP:
            out[token] = -math.inf
        if last_was and not penultimate_was and token < EOT:
            out[token] = -math.inf
    stamps = [token for token in sampled if token >= STAMP]
    if stamps:
        lowest = stamps[-1] if last_was and not penultimate_was else stamps[-1] + 1
        for token in range(STAMP, min(lowest, N_VOCAB)):
            out[token] = -math.inf
    if not sampled:
        for token in range(STAMP):
            out[token] = -math.inf
        if max_first is not None:
            for token in range(STAMP + max_first + 1, N_VOCAB):
                out[token] = -math.inf
    stamp_mass = sum(math.exp(value) for value in out[STAMP:])
    best_other = max(out[:STAMP])
    if stamp_mass > math.exp(best_other):
        out[:STAMP] = -math.inf
    return out


def transformers_rules(logits: torch.Tensor, sampled: list[int], *, grammar: bool, max_first: int | None):
    prefix = [SOT]
    ids = torch.tensor([prefix + sampled])
    config = SimpleNamespace(
        no_timestamps_token_id=NO_TIMESTAMPS, eos_token_id=EOT, bos_token_id=EOT, max_initial_timestamp_index=max_first
    )
    scores = SuppressTokensAtBeginLogitsProcessor(TOKENS.begin_suppress, begin_index=1)(ids, logits[None])
    scores = SuppressTokensLogitsProcessor(list(SUPPRESS))(ids, scores)
    if grammar:
        scores = WhisperTimeStampLogitsProcessor(config, begin_index=1)(ids, scores)
    return scores[0]


def states_after(histories: list[list[int]], starts: list[RowStart]) -> RowStates:
    """Replay sampled tokens through the device state, rows of unequal length beside each other."""
    states = RowStates.allocate(len(histories), EOT, CPU)
    for slot, (history, start) in enumerate(zip(histories, starts, strict=True)):
        states.start(slot, start)
        for token in history:
            tokens = torch.full((1,), token)
            states.view(slot, slot + 1).append(tokens, STAMP)
    return states


def start(*, grammar: bool = True, max_first: int | None = 10, temperature: float = 0.0, key=(1, 2)) -> RowStart:
    return RowStart(
        last_prefix_token=SOT,
        n_prefix=3,
        has_grammar=grammar,
        max_first_stamp=NO_LIMIT if max_first is None else max_first,
        temperature=temperature,
        key=key,
    )


HISTORY = st.lists(st.one_of(st.integers(0, EOT - 1), st.integers(STAMP, N_VOCAB - 1)), max_size=6)
ROW = st.tuples(HISTORY, st.booleans(), st.sampled_from([None, 0, 10]))


@given(st.lists(ROW, min_size=1, max_size=6), st.integers(0, 2**32 - 1), st.sampled_from([0.3, 1.0, 3.0]))
@settings(max_examples=300, deadline=None)
def test_rules_are_the_references(rows, seed, scale):
    logits = torch.randn(len(rows), N_VOCAB, generator=torch.Generator().manual_seed(seed)) * scale
    before = logits.clone()
    states = states_after([row[0] for row in rows], [start(grammar=row[1], max_first=row[2]) for row in rows])
    rules = TokenRules(TOKENS, CPU)
    rules.mask(logits, states, torch.tensor(SUPPRESS))
    chosen, logprobs = rules.choose(logits, states, [])
    best, best_logprobs = rules.rank(logits, 4)
    assert torch.equal(best[:, 0], chosen)
    assert torch.allclose(best_logprobs[:, 0], logprobs)
    assert torch.equal(best_logprobs, best_logprobs.sort(descending=True).values)
    assert torch.equal(best_logprobs, torch.log_softmax(logits, -1).gather(1, best))
    for index, (history, grammar, max_first) in enumerate(rows):
        slow = openai_rules(before[index].numpy(), history, grammar=grammar, max_first=max_first)
        fast = transformers_rules(before[index], history, grammar=grammar, max_first=max_first)
        assert torch.equal(logits[index], fast)
        assert np.array_equal(logits[index].numpy(), slow.astype(np.float32))
        assert chosen[index] == slow.argmax()
        expected = slow.max() - math.log(np.exp(slow).sum())
        assert logprobs[index].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("given_ids", [(STAMP, 5), (STAMP, 5, 6), (STAMP, 5, 6, 7)])
def test_given_tokens_leave_the_state_that_sampling_them_would(given_ids):
    given = replace(start(), last_prefix_token=given_ids[-1], n_prefix=3 + len(given_ids), given_ids=given_ids)
    assert torch.equal(states_after([[]], [given]).ints, states_after([list(given_ids)], [start()]).ints)
    without_stamp = given_ids[1:]
    given = replace(given, n_prefix=3 + len(without_stamp), given_ids=without_stamp, has_grammar=False)
    expected = states_after([list(without_stamp)], [start(grammar=False)]).ints
    assert torch.equal(states_after([[]], [given]).ints, expected)


def test_state_follows_the_row():
    states = states_after([[STAMP + 2, 5, STAMP + 4]], [start()])
    ints = states.ints[:, 0].tolist()
    assert ints[Field.TOKEN] == STAMP + 4
    assert ints[Field.OFFSET] == 2 + 3
    assert ints[Field.N_SAMPLED] == 3
    assert ints[Field.BEFORE] == 5
    assert ints[Field.LAST_STAMP] == 4


def test_an_idle_row_stays_where_it_is():
    states = states_after([[5], [5]], [start(), start()])
    states.stop(1)
    for token in (6, 7):
        states.append(torch.tensor([token, token]), STAMP)
    assert states[Field.OFFSET].tolist() == [5, 0]
    assert states[Field.N_SAMPLED].tolist() == [3, 1]


def test_a_parked_row_stays_at_the_end_of_its_prefix():
    states = states_after([[5, 6], [5]], [start(), start()])
    states.park(0, start())
    for token in (7, 8):
        states.append(torch.tensor([token, token]), STAMP)
    assert states[Field.OFFSET].tolist() == [2, 5]
    assert states[Field.TOKEN].tolist() == [SOT, 8]


def test_suppression_may_differ_by_row():
    logits = torch.zeros(2, N_VOCAB)
    states = states_after([[STAMP, 5], [STAMP, 5]], [start(grammar=False), start(grammar=False)])
    TokenRules(TOKENS, CPU).mask(logits, states, [torch.tensor([4]), torch.tensor([6, 8])])
    assert (logits == -math.inf).nonzero().tolist() == [[0, 4], [1, 6], [1, 8]]


def choose_sampled(logits: torch.Tensor, temperatures: list[float], keys: list[tuple[int, int]]) -> torch.Tensor:
    starts = [
        start(grammar=False, temperature=temperature, key=key)
        for temperature, key in zip(temperatures, keys, strict=True)
    ]
    states = states_after([[5]] * len(starts), starts)
    sampled = [row for row, temperature in enumerate(temperatures) if temperature > 0]
    rules, masked = TokenRules(TOKENS, CPU), logits.clone()
    rules.mask(masked, states, torch.tensor([0]))
    return rules.choose(masked, states, sampled)[0]


def test_sampling_follows_the_tempered_distribution():
    n_rows, temperature = 8000, 0.7
    logits = torch.linspace(-2, 2, N_VOCAB)
    keys = [noise_key(0, row, 1) for row in range(n_rows)]
    tokens = choose_sampled(logits.expand(n_rows, -1), [temperature] * n_rows, keys)
    counts = torch.bincount(tokens, minlength=N_VOCAB).double()
    allowed = logits.clone()
    allowed[0] = -math.inf
    expected = torch.softmax(allowed.double() / temperature, -1) * n_rows
    assert counts[0] == 0
    chi_squared = ((counts - expected)[1:] ** 2 / expected[1:]).sum().item()
    assert chi_squared < 120  # 69 degrees of freedom: mean 69, the 0.9999 quantile is 117


def test_a_sampled_row_does_not_depend_on_its_neighbours():
    logits = torch.randn(4, N_VOCAB, generator=torch.Generator().manual_seed(1))
    keys = [noise_key(7, row, 2) for row in range(4)]
    together = choose_sampled(logits, [1.0, 0.0, 0.4, 1.0], keys)
    for row, temperature in enumerate([1.0, 0.0, 0.4, 1.0]):
        assert choose_sampled(logits[row : row + 1], [temperature], keys[row : row + 1])[0] == together[row]
    assert together[1] == choose_sampled(logits[1:2], [0.0], keys[:1])[0]


def test_noise_differs_by_key_and_step_and_is_gumbel():
    keys = torch.tensor([noise_key(0, 0, 0), noise_key(0, 0, 1), noise_key(0, 1, 0), noise_key(1, 0, 0)]).T
    noise = gumbel_noise(keys, torch.zeros(4, dtype=torch.int64), 100_000)
    later = gumbel_noise(keys, torch.ones(4, dtype=torch.int64), 100_000)
    assert noise.isfinite().all()
    every = torch.cat([noise, later]).double()
    assert every.mean().item() == pytest.approx(0.5772, abs=0.01)
    assert every.var().item() == pytest.approx(math.pi**2 / 6, abs=0.02)
    correlation = torch.corrcoef(every)
    assert (correlation - torch.eye(8)).abs().max() < 0.02
    shifted = torch.corrcoef(torch.stack([every[0, 1:], every[0, :-1]]))
    assert shifted[0, 1].abs() < 0.02
