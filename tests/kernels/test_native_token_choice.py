"""The native choice of tokens against the token rules in torch: the same tokens and states, whatever the rows are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_kernels import each_level

from ifw.engine.rules import NO_LIMIT, Field, RowStates, RuleTokens, TokenRules
from ifw.errors import ShapeError
from ifw.kernels.token_choice import ROW_FIELDS, NativeTokenChoice

CPU = torch.device("cpu")
ANY_ROWS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
INFINITY = float("inf")


@dataclass(frozen=True)
class Layout:
    tokens: RuleTokens
    n_vocab: int


SMALL = Layout(RuleTokens(eot=20, no_timestamps=27, timestamp_begin=30, begin_suppress=(3, 20)), 71)
# text of more than one block and no whole number of them, and more timestamps than a vector has lanes
MEDIUM = Layout(RuleTokens(eot=2500, no_timestamps=2520, timestamp_begin=2521, begin_suppress=(0, 2500, 220)), 2600)
MULTILINGUAL = Layout(
    RuleTokens(eot=50257, no_timestamps=50363, timestamp_begin=50364, begin_suppress=(220, 50257)), 51865
)
LAYOUTS = st.sampled_from([SMALL, SMALL, MEDIUM])


def native(kernels, layout=SMALL, **other):
    tokens = layout.tokens
    given_tokens = {
        "n_vocab": layout.n_vocab,
        "eot": tokens.eot,
        "no_timestamps": tokens.no_timestamps,
        "timestamp_begin": tokens.timestamp_begin,
        "begin_suppress": tokens.begin_suppress,
    }
    return NativeTokenChoice(kernels, **(given_tokens | other))


def twin(layout, logits, states, suppress):
    """What torch makes of copies: tokens, log-probabilities and states."""
    logits, after = logits.clone(), RowStates(states.clone(), torch.zeros(states.shape[1]))
    rules = TokenRules(layout.tokens, CPU)
    rules.mask(logits, after, suppress)
    tokens, logprobs = rules.choose(logits, after, [])
    after.append(tokens, layout.tokens.timestamp_begin)
    return tokens.tolist(), logprobs, after.ints


def assert_as_torch(kernels, layout, logits, states, suppress):
    tokens, logprobs, after = twin(layout, logits, states, suppress)
    n_rows = len(logits)
    found_tokens, found_logprobs = native(kernels, layout)(logits, states, range(n_rows), suppress)
    assert found_tokens == tokens
    torch.testing.assert_close(torch.tensor(found_logprobs), logprobs, rtol=0, atol=1e-5, equal_nan=True)
    assert torch.equal(states, after)
    return logprobs


@st.composite
def row_states(draw, layout, n_rows):
    """States of live rows, of those that decoding gives and of those that it never does."""
    begin, n_stamps = layout.tokens.timestamp_begin, layout.n_vocab - layout.tokens.timestamp_begin
    kinds = st.one_of(st.integers(0, layout.tokens.eot - 1), st.integers(begin, layout.n_vocab - 1))
    columns = []
    for _ in range(n_rows):
        column = [0] * len(Field)
        column[Field.TOKEN] = draw(kinds)
        column[Field.OFFSET] = draw(st.integers(0, 447))
        column[Field.IS_LIVE] = 1
        column[Field.N_SAMPLED] = draw(st.sampled_from([0, 0, 1, 2, 50]))
        column[Field.BEFORE] = draw(st.one_of(st.just(-1), kinds))
        column[Field.LAST_STAMP] = draw(st.one_of(st.just(-1), st.integers(0, n_stamps - 1)))
        column[Field.HAS_GRAMMAR] = draw(st.sampled_from([0, 1, 1, 1]))
        column[Field.MAX_FIRST_STAMP] = draw(st.sampled_from([NO_LIMIT, 0, 10, n_stamps - 1]))
        column[Field.KEY_LOW], column[Field.KEY_HIGH] = draw(st.integers(0, 2**32 - 1)), 7
        columns.append(column)
    return torch.tensor(columns, dtype=torch.int64).T.contiguous()


@st.composite
def row_logits(draw, layout, n_rows):
    """Smooth or full of ties, some impossible, timestamps lifted or lowered so that their mass decides either way."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    logits = torch.randn(n_rows, layout.n_vocab, generator=generator)
    logits *= draw(st.sampled_from([0.0, 0.3, 3.0, 40.0]))
    logits[:, layout.tokens.timestamp_begin :] += draw(st.sampled_from([-4.0, -1.0, 0.0, 2.0, 30.0]))
    logits += draw(st.sampled_from([0.0, -200.0, 90.0]))
    if draw(st.booleans()):
        logits.round_()
    share = draw(st.sampled_from([0.0, 0.0, 0.5, 0.98, 1.0]))
    return logits.masked_fill_(torch.rand(logits.shape, generator=generator) < share, -INFINITY)


@st.composite
def suppress_lists(draw, layout, n_rows):
    ids = st.lists(st.integers(0, layout.n_vocab - 1), max_size=12).map(
        lambda few: torch.tensor(few, dtype=torch.int64)
    )
    return draw(st.one_of(ids, st.lists(ids, min_size=n_rows, max_size=n_rows)))


@st.composite
def steps(draw):
    layout, n_rows = draw(LAYOUTS), draw(st.integers(1, 6))
    return (
        layout,
        draw(row_logits(layout, n_rows)),
        draw(row_states(layout, n_rows)),
        draw(suppress_lists(layout, n_rows)),
    )


def test_the_states_are_those_of_the_engine():
    assert tuple(field.name.lower() for field in Field)[: len(ROW_FIELDS)] == ROW_FIELDS


@each_level
@ANY_ROWS
@given(step=steps())
def test_tokens_probabilities_and_states_are_those_of_torch(kernels, step):
    assert_as_torch(kernels, *step)


@each_level
@ANY_ROWS
@given(step=steps(), data=st.data())
def test_what_is_not_finite_is_where_torch_has_it(kernels, step, data):
    layout, logits, states, suppress = step
    tokens = layout.tokens
    edges = (0, tokens.eot - 1, tokens.eot, tokens.no_timestamps, tokens.timestamp_begin, layout.n_vocab - 1)
    for row in range(len(logits)):
        for _ in range(data.draw(st.integers(0, 3))):
            place = data.draw(st.one_of(st.sampled_from(edges), st.integers(0, layout.n_vocab - 1)))
            logits[row, place] = data.draw(st.sampled_from([float("nan"), INFINITY, -INFINITY]))
    assert_as_torch(kernels, layout, logits, states, suppress)


@each_level
@pytest.mark.parametrize("lift", [-20.0, -2.5, 0.0, 20.0])
def test_every_state(kernels, lift):
    """Those that decoding gives, and those that it never does."""
    begin = SMALL.tokens.timestamp_begin
    cases = list(
        product((0, 1, 3), (5, begin, begin + 3), (-1, 5, begin), (-1, 0, 3, 40), (0, 1), (NO_LIMIT, 0, 3, 40))
    )
    states = torch.zeros(len(Field), len(cases), dtype=torch.int64)
    fields = ("N_SAMPLED", "TOKEN", "BEFORE", "LAST_STAMP", "HAS_GRAMMAR", "MAX_FIRST_STAMP")
    states[[Field[name] for name in fields]] = torch.tensor(cases).T
    states[Field.IS_LIVE] = 1
    logits = torch.randn(len(cases), SMALL.n_vocab, generator=torch.Generator().manual_seed(4)) * 2
    logits[:, begin:] += lift
    assert_as_torch(kernels, SMALL, logits, states, torch.tensor([1]))


@each_level
def test_pairs_of_what_is_not_finite(kernels):
    """In all states of the grammar, in any order, and where the other timestamps are likely or not."""
    begin = SMALL.tokens.timestamp_begin
    places = (2, 10, 22, 25, begin + 2, begin + 6, SMALL.n_vocab - 1)
    bad = [(place, value) for place in places for value in (float("nan"), INFINITY)]
    histories = ((0, 5, -1), (1, begin + 3, -1), (3, begin + 3, 5), (3, 5, begin + 3), (3, 5, 6))
    lifts = (-20.0, -2.5, 20.0)
    cases = list(product(bad, bad, histories, (0, 1), lifts))
    logits = torch.randn(1, SMALL.n_vocab, generator=torch.Generator().manual_seed(3)).repeat(len(cases), 1)
    states = torch.zeros(len(Field), len(cases), dtype=torch.int64)
    states[Field.IS_LIVE], states[Field.MAX_FIRST_STAMP] = 1, NO_LIMIT
    for row, (*pair, (n_sampled, token, before), has_grammar, lift) in enumerate(cases):
        logits[row, begin:] += lift
        for place, value in pair:
            logits[row, place] = value
        states[Field.N_SAMPLED, row], states[Field.TOKEN, row], states[Field.BEFORE, row] = n_sampled, token, before
        states[Field.LAST_STAMP, row] = max(token, before, begin - 1) - begin
        states[Field.HAS_GRAMMAR, row] = has_grammar
    assert_as_torch(kernels, SMALL, logits, states, torch.tensor([1]))


@each_level
def test_the_real_vocabulary(kernels):
    generator = torch.Generator().manual_seed(5)
    n_rows, layout = 24, MULTILINGUAL
    logits = torch.randn(n_rows, layout.n_vocab, generator=generator) * 4
    logits[::2, layout.tokens.timestamp_begin :] += 3
    states = torch.zeros(len(Field), n_rows, dtype=torch.int64)
    states[Field.IS_LIVE] = states[Field.HAS_GRAMMAR] = 1
    states[Field.N_SAMPLED] = torch.arange(n_rows) % 6
    states[Field.TOKEN] = torch.where(torch.arange(n_rows) % 4 == 1, layout.tokens.timestamp_begin + 100, 400)
    states[Field.BEFORE], states[Field.LAST_STAMP], states[Field.MAX_FIRST_STAMP] = 300, 100, 50
    logprobs = assert_as_torch(kernels, layout, logits, states, torch.arange(90))
    assert logprobs.unique().numel() == n_rows


@each_level
@pytest.mark.parametrize("tie", [0.0, 20.0, -3.5])
def test_mass_of_timestamps_against_the_likeliest_other_token(kernels, tie):
    """A timestamp must come where all of them together are likelier than any other token, not where just as likely."""
    layout, n_rows = SMALL, 5
    logits = torch.full((n_rows, layout.n_vocab), -INFINITY)
    logits[:, 7] = tie
    logits[0, 40] = tie  # as likely
    logits[1, 40:42] = tie - 0.6931  # a little likelier together
    logits[2, 40:42] = tie - 0.6933  # a little less likely
    logits[3, 40], logits[3, 25] = tie + 0.5, tie + 1.0  # a special token counts too
    logits[4, 40], logits[4, 41] = tie, tie - 30.0  # more than as likely, but less so than float32 can tell
    states = torch.zeros(len(Field), n_rows, dtype=torch.int64)
    states[Field.IS_LIVE] = states[Field.HAS_GRAMMAR] = 1
    states[Field.N_SAMPLED], states[Field.TOKEN] = 3, 5
    states[Field.BEFORE], states[Field.LAST_STAMP] = 6, 2
    found, _ = native(kernels)(logits.clone(), states.clone(), range(n_rows), torch.tensor([1]))
    assert found == [7, 40, 7, 25, 7]
    assert_as_torch(kernels, layout, logits, states, torch.tensor([1]))


@each_level
@pytest.mark.parametrize("place", [0, 15, 16, 63, 64, 1023, 1024, 2047, 2048, 2499])
def test_the_first_of_equals_is_chosen_wherever_it_is(kernels, place):
    layout = MEDIUM
    logits = torch.zeros(1, layout.n_vocab)
    logits[0, place] = logits[0, 2500] = logits[0, min(place + 1, 2499)] = 2.0
    states = torch.zeros(len(Field), 1, dtype=torch.int64)
    states[Field.N_SAMPLED] = 1
    assert native(kernels, layout)(logits, states, [0], torch.tensor([5]))[0] == [place]


@each_level
def test_rows_that_are_not_asked_for_stay_as_they_are(kernels):
    """On a range of slots, and on logits that lie apart; lists of their own for the rows that are chosen for."""
    generator = torch.Generator().manual_seed(1)
    wide = torch.randn(5, SMALL.n_vocab + 9, generator=generator)
    all_states = torch.randint(0, 3, (len(Field), 9), generator=generator)
    logits, states = wide[:, 4:-5], all_states[:, 2:7]
    wide_before, states_before = wide.clone(), all_states.clone()
    rows, suppress = [3, 0], [torch.tensor([1, 2]), torch.tensor([4])]
    tokens, logprobs, after = twin(SMALL, logits[rows], states[:, rows], suppress)
    found, found_logprobs = native(kernels)(logits, states, rows, suppress)
    assert found == tokens
    assert found_logprobs == pytest.approx(logprobs.tolist(), abs=1e-5)
    states_before[:, [5, 2]] = after
    assert torch.equal(all_states, states_before)
    wide[[0, 3], 4:-5] = wide_before[[0, 3], 4:-5]
    assert torch.equal(wide, wide_before)


@each_level
def test_rows_do_not_depend_on_their_neighbours_or_on_threads(kernels):
    generator = torch.Generator().manual_seed(2)
    n_rows = 19
    logits = torch.randn(n_rows, MEDIUM.n_vocab, generator=generator)
    states = torch.randint(0, 2, (len(Field), n_rows), generator=generator)
    states[Field.MAX_FIRST_STAMP] = 5
    choose, suppress = native(kernels, MEDIUM), torch.tensor([5, 6])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = [choose(logits[i : i + 1].clone(), states[:, i : i + 1].clone(), [0], suppress) for i in range(n_rows)]
        expected = [token for tokens, _ in alone for token in tokens], [one for _, few in alone for one in few]
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            assert choose(logits.clone(), states.clone(), range(n_rows), suppress) == expected
    finally:
        torch.set_num_threads(before)


@each_level
def test_without_rows_nothing_happens(kernels):
    choose = native(kernels)
    assert choose(torch.zeros(0, 71), torch.zeros(8, 0, dtype=torch.int64), [], torch.tensor([1])) == ([], [])
    assert choose(torch.zeros(2, 71), torch.zeros(8, 2, dtype=torch.int64), [], []) == ([], [])


@each_level
def test_what_does_not_fit_is_refused(kernels):
    choose, ids = native(kernels), torch.tensor([1, 70])
    logits, states = torch.zeros(3, 71), torch.zeros(8, 3, dtype=torch.int64)
    wrong = [
        (logits[:, :70], states, [0], ids),
        (logits[0], states, [0], ids),
        (logits.double(), states, [0], ids),
        (logits.to("meta"), states, [0], ids),
        (torch.zeros(71, 3).T, states, [0], ids),
        (logits, states[:7], [0], ids),
        (logits, states[:, :2], [0], ids),
        (logits, states.int(), [0], ids),
        (logits, states.T.contiguous().T, [0], ids),
        (logits, states, [3], ids),
        (logits, states, [-1], ids),
        (logits, states, [0], ids + 1),
        (logits, states, [0], ids - 2),
        (logits, states, [0], ids.int()),
        (logits, states, [0, 1], [ids, ids + 1]),
        (logits, states, [0, 1], [ids]),
    ]
    for arguments in wrong:
        with pytest.raises(ShapeError, match=r"^(logits|states|rows|suppress|logits, states): got"):
            choose(*arguments)
    assert not states.any()
    assert not logits.any()
    for other in ({"eot": 0}, {"eot": 30}, {"no_timestamps": 19}, {"no_timestamps": 30}, {"timestamp_begin": 71}):
        with pytest.raises(ShapeError, match=r"^rules: got eot"):
            native(kernels, **other)
    for token in (-1, 71):
        with pytest.raises(ShapeError, match=r"^begin_suppress: got"):
            native(kernels, begin_suppress=(3, token))
