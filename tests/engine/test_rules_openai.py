"""Every token rule against openai-whisper's own class, 10,000 rows of random logits each.

Its rules work on rows with one history length and one set of options. Ours get all rows at once, so every comparison
here puts thousands of rows in different states into one batch, and asks openai-whisper about each group by itself.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from whisper.decoding import ApplyTimestampRules, GreedyDecoder, SuppressBlank, SuppressTokens

from ifw.config import DecodeOptions
from ifw.engine.decoding import WindowDecoding
from ifw.engine.prefix import Prefix
from ifw.engine.request import DecodeRequest, EncodedWindow
from ifw.engine.rules import NO_LIMIT, RowStart, RowStates, RuleTokens, TokenRules
from ifw.engine.runner import ModelRunner, RunnerTokens
from ifw.engine.runner_interface import PrefillInput
from ifw.model.dims import ModelDims
from ifw.model.ops_choice import choose_ops

N_CASES = 10_000
CPU = torch.device("cpu")
MAX_HISTORY = 8
NOTHING = torch.tensor([], dtype=torch.int64)


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a vocabulary lie; `space` is what `encode(" ")` gives."""

    space: int
    eot: int
    no_timestamps: int
    timestamp_begin: int
    n_vocab: int

    def encode(self, text):
        assert text == " "
        return [self.space]


SMALL = Layout(space=3, eot=20, no_timestamps=29, timestamp_begin=30, n_vocab=30 + 41)
MULTILINGUAL = Layout(space=220, eot=50257, no_timestamps=50363, timestamp_begin=50364, n_vocab=51865)


@dataclass(frozen=True)
class Row:
    prefix: tuple[int, ...]
    history: tuple[int, ...] = ()
    grammar: bool = False
    max_first: int | None = None
    suppress: tuple[int, ...] = ()

    @property
    def options(self):
        return len(self.prefix), len(self.history), self.grammar, self.max_first, self.suppress


def in_grammar(rng, layout, length):
    """What a decoder that follows the rules may have sampled: pairs of timestamps that never fall around text."""
    history, stamp, last = [], rng.randrange(6), layout.n_vocab - 1 - layout.timestamp_begin
    stamp = rng.choice([stamp, last - stamp])
    while len(history) < length:
        for gap in (rng.randrange(3), rng.randrange(1, 4)):
            stamp = min(stamp + gap, last)
            history.append(layout.timestamp_begin + stamp)
            if len(history) % 2:
                history += [rng.randrange(layout.eot) for _ in range(rng.randrange(1, 4))]
    return tuple(history[:length])


def any_tokens(rng, layout, length):
    """Histories that no decoder gives: falling times, three timestamps in a row, special tokens, and worse."""
    begins = (0, layout.eot, layout.timestamp_begin, layout.timestamp_begin, layout.n_vocab)
    kinds = (rng.randrange(4) for _ in range(length))
    return tuple(rng.randrange(begins[kind], max(begins[kind + 1], begins[kind] + 1)) for kind in kinds)


def histories(rng, layout, length):
    return rng.choice([in_grammar, any_tokens])(rng, layout, length)


def prefix(rng, layout):
    """One to four tokens, timestamps among them, which must not count as sampled."""
    return any_tokens(rng, layout, rng.randrange(1, 5))


def random_logits(n_rows, layout, seed, stamp_shift=2.0):
    """Of every sharpness, with timestamps lifted or lowered so that their mass decides now one way, now the other."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n_rows, layout.n_vocab, generator=generator)
    logits *= torch.tensor([0.1, 1.0, 3.0, 20.0])[torch.randint(4, (n_rows, 1), generator=generator)]
    shift = stamp_shift * torch.randn(n_rows, 1, generator=generator)
    logits[:, layout.timestamp_begin :] += shift
    return logits


def states_of(rows, layout):
    """Replay the histories: rows of one length together, then all in the order of `rows`."""
    by_length = sorted(range(len(rows)), key=lambda index: len(rows[index].history))
    states = RowStates.allocate(len(rows), layout.eot, CPU)
    for slot, index in enumerate(by_length):
        row = rows[index]
        max_first = NO_LIMIT if row.max_first is None else row.max_first
        states.start(slot, RowStart(row.prefix[-1], len(row.prefix), row.grammar, max_first, 0.0, (0, 0)))
    for step in range(MAX_HISTORY):
        begin = next((slot for slot, i in enumerate(by_length) if len(rows[i].history) > step), len(rows))
        if begin < len(rows):
            sampled = torch.tensor([rows[index].history[step] for index in by_length[begin:]])
            states.view(begin, len(rows)).append(sampled, layout.timestamp_begin)
    order = torch.tensor(by_length).argsort()
    return RowStates(states.ints[:, order], states.temperatures[order])


def ours(logits, rows, layout, begin_suppress=()):
    """The logits after our rules, all rows at once, and what is chosen from them."""
    tokens = RuleTokens(layout.eot, layout.no_timestamps, layout.timestamp_begin, begin_suppress)
    suppress = [torch.tensor(row.suppress, dtype=torch.int64) for row in rows]
    masked = logits.clone()
    rules, states = TokenRules(tokens, CPU), states_of(rows, layout)
    rules.mask(masked, states, suppress)
    chosen, logprobs = rules.choose(masked, states, [])
    return masked, chosen, logprobs


def theirs(logits, rows, layout, *, blank=False):
    """The logits after openai-whisper's filters, group by group."""
    groups = defaultdict(list)
    for index, row in enumerate(rows):
        groups[row.options].append(index)
    masked = logits.clone()
    for (sample_begin, _, grammar, max_first, suppress), members in groups.items():
        filters = [SuppressBlank(layout, sample_begin)] if blank else []
        filters += [SuppressTokens(suppress)] if suppress else []
        filters += [ApplyTimestampRules(layout, sample_begin, max_first)] if grammar else []
        tokens = torch.tensor([rows[index].prefix + rows[index].history for index in members])
        part = masked[members]
        for one in filters:
            one.apply(part, tokens)
        masked[members] = part
    return masked


def forbidden_share(logits, masked):
    return ((masked == -math.inf) & (logits > -math.inf)).float().mean().item()


def test_blanks_are_suppressed_at_the_beginning_alone():
    rng = random.Random(1)
    rows = [
        Row(prefix(rng, SMALL), histories(rng, SMALL, rng.choice([0, 0, 1, 2, 5])), grammar=False)
        for _ in range(N_CASES)
    ]
    logits = random_logits(N_CASES, SMALL, 1)
    masked, *_ = ours(logits, rows, SMALL, begin_suppress=(SMALL.space, SMALL.eot))
    assert torch.equal(masked, theirs(logits, rows, SMALL, blank=True))
    assert 0.2 < (masked[:, SMALL.space] == -math.inf).float().mean() < 0.6


def test_suppressed_tokens_are_those_of_each_row():
    rng = random.Random(2)
    lists = [tuple(rng.sample(range(SMALL.n_vocab), rng.randrange(30))) for _ in range(20)]
    rows = [
        Row(prefix(rng, SMALL), histories(rng, SMALL, rng.randrange(4)), suppress=rng.choice(lists))
        for _ in range(N_CASES)
    ]
    logits = random_logits(N_CASES, SMALL, 2)
    masked, *_ = ours(logits, rows, SMALL)
    assert torch.equal(masked, theirs(logits, rows, SMALL))
    assert 0.1 < forbidden_share(logits, masked) < 0.3


def stamps_of(row):
    return [token >= SMALL.timestamp_begin for token in row.history]


def grammar_rows(seed, lengths, wanted, max_firsts=(None,)):
    """N_CASES rows of a kind."""
    rng = random.Random(seed)
    rows = []
    while len(rows) < N_CASES:
        history = histories(rng, SMALL, rng.choice(lengths))
        row = Row(prefix(rng, SMALL), history, grammar=True, max_first=rng.choice(max_firsts))
        if wanted(row):
            rows.append(row)
    return rows


SCENARIOS = {
    # After a timestamp: the other half of a pair, or text.
    "pairs": ((1, 2, 3, 5, 8), lambda row: stamps_of(row)[-1], (None, 10)),
    # After text: no earlier timestamp.
    "order": ((2, 3, 4, 8), lambda row: any(stamps_of(row)) and not stamps_of(row)[-1], (None, 10)),
    # No timestamp at all yet, which no decoder under these rules gives.
    "text": ((1, 2, 3), lambda row: not any(stamps_of(row)), (None, 0)),
    # The first token.
    "first": ((0,), lambda row: True, (None, 0, 1, 10, 40, 50)),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_timestamp_grammar(name):
    lengths, wanted, max_firsts = SCENARIOS[name]
    seed = 10 + list(SCENARIOS).index(name)
    rows = grammar_rows(seed, lengths, wanted, max_firsts)
    logits = random_logits(N_CASES, SMALL, seed)
    masked, *_ = ours(logits, rows, SMALL)
    assert torch.equal(masked, theirs(logits, rows, SMALL))
    assert 0.05 < forbidden_share(logits, masked) < 0.95


def test_timestamps_are_forced_by_their_mass():
    """Logits on both sides of the border: all timestamps together are about as likely as the best other token."""
    rows = grammar_rows(20, (2, 3, 4, 6), lambda row: not stamps_of(row)[-1])
    logits = random_logits(N_CASES, SMALL, 20, stamp_shift=0.0)
    logits[:, SMALL.no_timestamps] = -50.0  # it is forbidden anyway
    reachable = theirs(logits, rows, SMALL)[:, SMALL.timestamp_begin :]
    best_other = logits[:, : SMALL.timestamp_begin].amax(-1)
    margin = 0.01 * torch.randn(N_CASES, generator=torch.Generator().manual_seed(21))
    lift = (best_other - reachable.logsumexp(-1) + margin).nan_to_num(0.0, 0.0, 0.0)
    logits[:, SMALL.timestamp_begin :] += lift[:, None]
    masked, *_ = ours(logits, rows, SMALL)
    assert torch.equal(masked, theirs(logits, rows, SMALL))
    is_forced = (masked[:, : SMALL.timestamp_begin] == -math.inf).all(-1)
    assert 0.3 < is_forced.float().mean() < 0.7


def mixed_rows(seed, layout, n_rows):
    rng = random.Random(seed)
    lists = [tuple(rng.sample(range(layout.n_vocab), 8)) for _ in range(3)]
    return [
        Row(
            prefix(rng, layout),
            histories(rng, layout, rng.randrange(MAX_HISTORY + 1)),
            grammar=rng.random() < 0.7,
            max_first=rng.choice([None, 0, 10]),
            suppress=rng.choice(lists),
        )
        for _ in range(n_rows)
    ]


@pytest.mark.parametrize(("layout", "n_rows"), [(SMALL, N_CASES), (MULTILINGUAL, 100)], ids=["small", "multilingual"])
def test_all_rules_together_in_one_batch_of_different_rows(layout, n_rows):
    rows = mixed_rows(30, layout, n_rows)
    logits = random_logits(n_rows, layout, 30)
    masked, chosen, logprobs = ours(logits, rows, layout, begin_suppress=(layout.space, layout.eot))
    expected = theirs(logits, rows, layout, blank=True)
    assert torch.equal(masked, expected)
    has_choice = expected.amax(-1) > -math.inf
    assert has_choice.float().mean() > 0.95
    before = torch.full((n_rows, 1), layout.space)
    sums = torch.zeros(n_rows)
    tokens, _ = GreedyDecoder(0.0, layout.eot).update(before, expected.clone(), sums)
    assert torch.equal(chosen[has_choice], tokens[has_choice, -1])
    torch.testing.assert_close(logprobs[has_choice], sums[has_choice])


def feed(decoding, token, logprob):
    """Give a sampled token to a window; whether its attempt is over."""
    return decoding.advance([[(token, logprob)]])


def test_the_mean_logprob_of_a_greedy_attempt():
    """Rows end at their own time, or never; openai-whisper's loop goes on until the last one."""
    n_steps, layout = 7, SMALL
    logits = random_logits(N_CASES * n_steps, layout, 40).reshape(n_steps, N_CASES, -1)
    logits[:, :, layout.eot] += 1.0
    tokens, sums = torch.full((N_CASES, 1), layout.space), torch.zeros(N_CASES)
    for step in range(n_steps):
        tokens, _ = GreedyDecoder(0.0, layout.eot).update(tokens, logits[step].clone(), sums)
    padded, sums = GreedyDecoder(0.0, layout.eot).finalize(tokens[:, 1:], sums)
    n_tokens = (padded == layout.eot).long().argmax(-1).tolist()

    options = DecodeOptions(
        temperatures=(0.0,),
        max_tokens=n_steps,
        compression_ratio_threshold=None,
        logprob_threshold=None,
        no_speech_threshold=None,
    )
    request = DecodeRequest(encoded=EncodedWindow(torch.zeros(1)), options=options)
    tokenizer = SimpleNamespace(eot=layout.eot, decode=lambda token_ids: "")
    rows = [Row((layout.space,)) for _ in range(N_CASES)]
    states = states_of(rows, layout)
    rules = TokenRules(RuleTokens(layout.eot, layout.no_timestamps, layout.timestamp_begin, ()), CPU)
    running = {
        index: WindowDecoding(
            request, Prefix((layout.space,), 0), language="en", tokenizer=tokenizer, n_text_positions=448
        )
        for index in range(N_CASES)
    }
    ended = {}
    for step in range(n_steps):
        masked = logits[step].clone()
        rules.mask(masked, states, NOTHING)
        chosen, logprobs = rules.choose(masked, states, [])
        states.append(chosen, layout.timestamp_begin)
        pairs = list(zip(chosen.tolist(), logprobs.tolist(), strict=True))
        for index, decoding in list(running.items()):
            if feed(decoding, *pairs[index]):
                ended[index] = running.pop(index).conclude()
    assert len(ended) == N_CASES
    assert 0.1 < sum(length == n_steps for length in n_tokens) / N_CASES < 0.9
    for index, hypothesis in ended.items():
        assert hypothesis.token_ids == tuple(padded[index, : n_tokens[index]].tolist())
        expected = sums[index] / (n_tokens[index] + 1)  # as in openai-whisper's DecodingTask.run
        assert hypothesis.avg_logprob == pytest.approx(expected, rel=1e-4, abs=1e-6)


class ScriptedModel:
    """Gives `logits[row, position]` whatever it is fed."""

    device, dtype, ops = CPU, torch.float32, choose_ops(CPU, torch.float32)
    dims = ModelDims(80, SMALL.n_vocab, 2, 1, 1, 1, 2, 2)
    fused_decode = None

    def __init__(self, logits):
        self._logits = logits

    def decode(self, token_ids, *rest, **named):
        rows, positions = torch.meshgrid(*map(torch.arange, token_ids.shape), indexing="ij")
        return torch.stack((rows, positions), -1)

    def logits(self, hidden):
        return self._logits[hidden[..., 0], hidden[..., 1]].clone()


def test_the_probability_of_silence_is_read_at_the_start_of_the_transcript():
    """As in openai-whisper's DecodingTask._main_loop, for prompts of every length, before any rule."""
    n_rows, rng, no_speech = 100, random.Random(50), 27
    rules = RuleTokens(SMALL.eot, SMALL.no_timestamps, SMALL.timestamp_begin, (SMALL.space, SMALL.eot))
    tokens = RunnerTokens(rules, sot=21, no_speech=no_speech, language_ids=(22, 23))
    for batch in range(N_CASES // n_rows):
        logits = random_logits(n_rows * 6, SMALL, 100 + batch).reshape(n_rows, 6, -1)
        runner = ModelRunner(ScriptedModel(logits), tokens, n_rows)
        inputs, expected = [], []
        for slot in range(n_rows):
            sot_index = rng.randrange(4)
            length = rng.randrange(sot_index + 1, 7)
            start = RowStart(0, length, True, 10, 0.0, (0, 0))
            inputs.append(PrefillInput(slot, Prefix((5,) * length, sot_index), start, suppress=(no_speech,)))
            probs_at_sot = logits[slot, sot_index].float().softmax(dim=-1)
            expected.append(probs_at_sot[no_speech].item())
        found = [row.no_speech_prob for row in runner.prefill(inputs)]
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)
