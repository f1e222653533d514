"""Windows in, tokens out: how fast the engines are without anything around them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ifw.benchmark.bench import N_WINDOWS, Bench, Running
from ifw.benchmark.engines import EXACTNESS, OWN
from ifw.benchmark.floors import floor_s
from ifw.benchmark.options import BenchmarkOptions
from ifw.benchmark.rounds import Contender, Pass, Summary, alternate, summarise
from ifw.benchmark.sizes import SIZES
from ifw.benchmark.tuning import Tuned, Tuning
from ifw.constants import WINDOW_S
from ifw.errors import BenchmarkError

AA: Final = "A/A"
_WORSE: Final = 1.15  # a larger batch that is so much slower ends the search
_WARM_TOKENS: Final = 4
_FAR_BEHIND: Final = 2.5  # times ours: two passes of each batch are enough, or one where time is up
_TOO_FAR: Final = 4.0  # times ours: only the smallest and the largest batch are tried
_OUT_OF_SIGHT: Final = 6.0  # times ours: an engine whose best set-up is so slow is not measured on further models
_SKEWED_BATCH: Final = 8


@dataclass(frozen=True, slots=True)
class Entrant:
    """One set-up with one batch.

    Attributes:
        running: The engine.
        batch: Windows decoded together.
        lengths: Tokens of each window of a pass.
        earlier: The pass by which it was seen to be far behind ours.
    """

    running: Running
    batch: int
    lengths: tuple[int, ...]
    earlier: Pass | None = None

    @property
    def name(self) -> str:
        """Unique among the entrants of a model."""
        return f"{self.running.setup.label}, batch {self.batch}"

    def run(self) -> Pass:
        """Make a pass.

        Raises:
            BenchmarkError: It failed, or a window has another number of tokens than it was to have.
        """
        indices = [index % N_WINDOWS for index in range(len(self.lengths))]
        measured, result = self.running.process.measure(
            "decode", batch=self.batch, windows=indices, lengths=list(self.lengths)
        )
        check_counts(self.name, [len(tokens) for tokens in result["tokens"]], self.lengths)
        measured.detail["tokens"] = result["tokens"]
        measured.detail["accepted"] = result.get("accepted")
        return measured


def check_counts(name: str, counts: Sequence[int], lengths: Sequence[int]) -> None:
    """Whether an engine did the work that it was given: half of the tokens would be twice as fast.

    Raises:
        BenchmarkError: It did not.
    """
    if list(counts) != list(lengths):
        raise BenchmarkError(f"{name}: got windows of {sorted(set(counts))} tokens, allowed: {sorted(set(lengths))}")


def engine_scenario(bench: Bench, model: str) -> tuple[dict[str, Any], Tuning]:
    """All windows with the same number of tokens: each set-up with the batch that suits it best, and alone.

    Returns:
        `rows`, one for each set-up and batch that was measured in turn; `sweep`, milliseconds a window by batch; `aa`.
        And which batch suits which set-up.
    """
    options = bench.options
    deadline = time.monotonic() + options.budget_s
    sweep_ms: dict[str, dict[str, float]] = {}
    entrants: list[Entrant] = []
    tuned: dict[str, Tuned] = {}
    own_s = own_lone_s = math.inf
    for one in bench.loaded(model, bench.setups()):
        try:
            found = _sweep(bench, one, own_lone_s)
        except BenchmarkError as error:
            bench.remark(f"{model}: {one.setup.label} is left out: {error}")
            continue
        window_s = {batch: made.wall_s / n_windows(bench, one, batch) for batch, made in found.items()}
        sweep_ms[one.setup.label] = {str(batch): 1e3 * spent_s for batch, spent_s in window_s.items()}
        best = min(window_s, key=lambda batch: window_s[batch])
        tuned[one.setup.label] = Tuned(window_s[best], best)
        if one.setup.engine == OWN:
            own_s, own_lone_s = min(own_s, window_s[best]), min(own_lone_s, window_s[min(options.batches)])
        for batch in sorted({min(options.batches), best}):
            is_far_behind = window_s[best] > _FAR_BEHIND * own_s
            n_least = options.n_windows if is_far_behind else max(options.n_windows, _filling(options, window_s[batch]))
            lengths = (options.n_tokens,) * n_windows_of_pass(n_least, batch, one.setup.n_workers)
            entrants.append(Entrant(one, batch, lengths, earlier=found[batch] if is_far_behind else None))
    tuning = Tuning(tuned)
    for setup in tuning.fastest([one.running.setup for one in entrants]):
        times = tuning.window_s(setup) / own_s
        if setup.engine != OWN and times > _OUT_OF_SIGHT:
            bench.leave_out(setup.engine, f"{setup.engine} took {times:.1f} times as long as {OWN} on {model}")
    return _compare(bench, model, entrants, tuning, deadline) | {"sweep_ms": sweep_ms}, tuning


def skewed_scenario(bench: Bench, model: str, tuning: Tuning) -> dict[str, Any]:
    """Windows whose numbers of tokens differ, as those of speech do; for engines that can be told each window's."""
    deadline = time.monotonic() + bench.options.budget_s
    lengths = skewed_lengths(bench.options.n_clips, bench.options.n_tokens, bench.options.seed)
    batch = min(_SKEWED_BATCH, max(bench.options.batches))
    entrants = []
    for one in bench.loaded(model, [one for one in bench.setups() if one.has_lengths]):
        try:
            Entrant(one, batch, (_WARM_TOKENS,) * batch).run()
        except BenchmarkError as error:
            bench.remark(f"{model}: {one.setup.label} is left out: {error}")
            continue
        entrants.append(Entrant(one, batch, lengths))
    return _compare(bench, model, entrants, tuning, deadline)


def skewed_lengths(n_windows: int, mean: int, seed: int) -> tuple[int, ...]:
    """Log-normal numbers of tokens with a 95th percentile of 1.87 times the mean, at most twice the mean."""
    sigma = 0.44  # exp(1.645 sigma - sigma^2 / 2) = 1.87
    drawn = np.random.default_rng(seed).lognormal(np.log(mean) - sigma**2 / 2, sigma, n_windows)
    return tuple(int(length) for length in np.clip(np.round(drawn), 1, 2 * mean))


def _sweep(bench: Bench, running: Running, own_lone_s: float) -> dict[int, Pass]:
    """A pass with each batch; larger ones are not tried once they are clearly slower."""
    found: dict[int, Pass] = {}
    window_s: dict[int, float] = {}
    batches = sorted(bench.options.batches)
    Entrant(running, batches[0], (_WARM_TOKENS,) * batches[0]).run()
    for batch in batches:
        is_between = batches[0] < batch < batches[-1]
        if is_between and window_s[batches[0]] > _TOO_FAR * own_lone_s:
            continue
        entrant = Entrant(running, batch, (bench.options.n_tokens,) * n_windows(bench, running, batch))
        found[batch] = entrant.run()
        window_s[batch] = found[batch].wall_s / len(entrant.lengths)
        bench.note(f"{entrant.name}: {1e3 * window_s[batch]:.0f} ms a window")
        if window_s[batch] > _WORSE * min(window_s.values()):
            break
    return found


def n_windows(bench: Bench, running: Running, batch: int) -> int:
    """Windows of a pass of a set-up with a batch."""
    return n_windows_of_pass(bench.options.n_windows, batch, running.setup.n_workers)


def _filling(options: BenchmarkOptions, window_s: float) -> int:
    """Windows that take as long as a pass should: a short one tells little."""
    return math.ceil(options.pass_s / window_s)


def n_windows_of_pass(n_least: int, batch: int, n_workers: int) -> int:
    """So many windows at least, and the same number of whole batches for each worker."""
    return batch * n_workers * -(-n_least // (batch * n_workers))


def _compare(bench: Bench, model: str, entrants: Sequence[Entrant], tuning: Tuning, deadline: float) -> dict[str, Any]:
    contenders = [Contender(entrant.name, entrant.run, entrant.earlier) for entrant in entrants]
    ours = [entrant for entrant in entrants if entrant.running.setup.engine == OWN]
    if not ours:
        raise BenchmarkError(f"{model}: our own engine failed, so there is nothing to compare; its logs say why")
    own = min(ours, key=lambda entrant: (tuning.window_s(entrant.running.setup), -entrant.batch))
    contenders.insert(entrants.index(own), Contender(AA, own.run))  # the one before them wakes their process
    passes = alternate(contenders, bench.options.n_rounds, deadline)
    summaries = {name: summarise(measured) for name, measured in passes.items()}
    exact = most_exact(ours)
    reference = passes[exact.name][0].detail["tokens"]
    rows = [
        _row(bench, model, entrant, summaries[entrant.name])
        | {"agreement": _agreement(passes[entrant.name][0].detail["tokens"], reference)}
        | {"accepted": passes[entrant.name][0].detail.get("accepted")}
        | {"passes": [one.record() for one in passes[entrant.name]]}
        for entrant in entrants
    ]
    ratio = summaries[AA].wall_s / summaries[own.name].wall_s
    return {"rows": rows, "aa": {"name": own.name, "ratio": ratio}, "reference": exact.running.setup.name}


def most_exact(entrants: Sequence[Entrant]) -> Entrant:
    """That with the most exact precision, and of these the one with the fewest windows together."""
    return min(entrants, key=lambda one: (EXACTNESS.index(one.running.setup.precision), one.batch))


def _row(bench: Bench, model: str, entrant: Entrant, summary: Summary) -> dict[str, Any]:
    setup, n_windows = entrant.running.setup, len(entrant.lengths)
    mean_tokens = round(sum(entrant.lengths) / n_windows)
    floor = floor_s(SIZES[model], setup.precision, entrant.batch, mean_tokens, bench.ceilings)
    wall_s = summary.wall_s / n_windows
    return {
        "engine": setup.engine,
        "setup": setup.name,
        "batch": entrant.batch,
        "ms_a_window": 1e3 * wall_s,
        "low_ms": 1e3 * summary.low_s / n_windows,
        "high_ms": 1e3 * summary.high_s / n_windows,
        "cpu_ms": 1e3 * summary.cpu_s / n_windows,
        "stages_ms": {stage: 1e3 * spent_s / n_windows for stage, spent_s in summary.stages.items()},
        "times_real_time": WINDOW_S / wall_s,
        "floor_share": None if floor is None else floor / wall_s,
        "n_windows": n_windows,
        "n_passes": summary.n_passes,
        "n_disturbed": summary.n_disturbed,
        "is_disturbed": summary.is_disturbed,
    }


def _agreement(tokens: list[list[int]], reference: list[list[int]]) -> float:
    """Share of equal tokens at equal places, over the windows that both decoded."""
    pairs = [pair for ours, theirs in zip(tokens, reference, strict=False) for pair in zip(ours, theirs, strict=False)]
    return sum(one == other for one, other in pairs) / max(len(pairs), 1)
