"""How fast the engine is on one GPU, beside transformers on the same weights, and how near to the GPU's own limits.

    PYTHONPATH=src python benchmarks/gpu.py --output build/gpu.json      # what `make gpu` runs, after tests/gpu

Needs torch with CUDA, transformers, tokenizers, safetensors and numpy; triton where it is. No network: the weights are
random, of the true sizes. Every row is measured on its own: one that fails says why, and the others go on. What there
is no time for is left out by name. The goals are ratios within one run; see docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

from gpu_engines import Own, Theirs, Workplace, clip_lengths
from gpu_probes import Probes
from ifw.benchmark.ceilings import Driver as Ceilings
from ifw.benchmark.decoding_scenarios import skewed_lengths
from ifw.benchmark.floors import floor_s
from ifw.benchmark.sizes import SIZES
from ifw.constants import WINDOW_S
from ifw.model.eight_bit_kv import EightBits


@dataclass(frozen=True)
class Row:
    """One line of the table; numbers are milliseconds a window, or what `what` says."""

    model: str
    what: str
    ours: float | None = None
    theirs: float | None = None
    must: float | None = None  # what the ratio is to be at least, or the share
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        """Theirs over ours."""
        return self.theirs / self.ours if self.ours and self.theirs else None


@dataclass(frozen=True)
class Goals:
    """The least ratios and shares of the limits for a model on an H100."""

    best: float | None = None
    usual: float | None = None
    skewed: float | None = None
    alone: float | None = None
    share: float | None = None
    eight_bit_kv: float | None = None
    clients: float | None = None


N_CLIENTS = 32
GOALS = {"large-v3": Goals(1.1, 2.8, 1.7, 5.0, 0.5, 1.25, 3.0), "turbo": Goals(1.2, 2.5, 1.7, 5.0, 0.4, 1.05, 3.0)}


class Table:
    """Rows as they come, the clock, and what became of each."""

    def __init__(self, budget_s: float) -> None:
        self.rows: list[Row] = []
        self._deadline = time.monotonic() + budget_s

    def attempt(self, model: str, what: str, needs_s: float, measure: Callable[[], dict[str, Any]]) -> None:
        """Measure a row, unless there is no time for it; a failure is a row too."""
        left_s = self._deadline - time.monotonic()
        if left_s < needs_s:
            row = Row(model, what, remark=f"not measured: {left_s:.0f} s left, {needs_s:.0f} wanted")
        else:
            started = time.monotonic()
            try:
                row = Row(model, what, **measure())
            except Exception as error:  # the other rows are worth having
                traceback.print_exc()
                row = Row(model, what, remark=f"FAILED: {type(error).__name__}: {str(error).splitlines()[:1]}")
            print(f"  [{time.monotonic() - started:6.1f} s] {model}: {what}", file=sys.stderr, flush=True)
        self.rows.append(row)

    def print(self) -> None:
        """Everything, in one table."""
        print(f"{'model':9} {'what':46} {'ours':>9} {'theirs':>9} {'ratio':>6} {'must':>5}  remark")
        for row in self.rows:
            reached = row.ours if row.theirs is None else row.ratio
            verdict = "" if row.must is None or reached is None else ("ok " if reached >= row.must else "BELOW ")
            columns = zip((row.ours, row.theirs, row.ratio, row.must), (9, 9, 6, 5), strict=True)
            numbers = " ".join(f"{'' if value is None else f'{value:.2f}':>{width}}" for value, width in columns)
            print(f"{row.model:9} {row.what:46} {numbers}  {verdict}{row.remark}")


class ModelRows:
    """The rows of one model.

    Args:
        model: A key of `SIZES`.
        arguments: Of the command line.
        ceilings: The limits of this GPU.
    """

    def __init__(self, model: str, arguments: argparse.Namespace, ceilings: dict[str, Any]) -> None:
        self._model, self._arguments, self._ceilings = model, arguments, ceilings
        self._goals = GOALS.get(model, Goals())
        self._slots = min(arguments.slots, arguments.windows)
        self._place = Workplace(model, Path(arguments.work_dir), arguments.device, arguments.dtype)
        self._own = Own(self._place)
        self._own_ms: dict[tuple[int, tuple[int, ...]], float] = {}

    def measure(self, table: Table) -> None:
        """Add all rows."""
        arguments, goals, model = self._arguments, self._goals, self._model
        for what, probe in Probes(self._own, self._ceilings, self._slots).all():
            table.attempt(model, what, 10, probe)
        uniform = (arguments.tokens,) * arguments.windows
        skewed = skewed_lengths(arguments.windows, arguments.tokens, seed=0)
        table.attempt(model, "share of the limits of this run", 30, partial(self._share, uniform))
        for how in get_args(EightBits):
            table.attempt(model, f"keys and values in {how} | in full", 30, partial(self._eight_bits, uniform, how))
        if not arguments.transformers:
            return
        theirs = Theirs(self._place)
        usual, *others = arguments.batches
        most = max(arguments.batches)
        for batch in (usual, *others):
            must = goals.usual if batch == usual else goals.best
            compare = partial(self._compare, theirs, self._slots, uniform, (batch, uniform[: max(batch, most)]), must)
            table.attempt(
                model, f"{len(uniform)} windows x {arguments.tokens}, transformers batch {batch}", 60, compare
            )
        compare = partial(self._compare, theirs, self._slots, skewed, (most, skewed[: 2 * most]), goals.skewed)
        table.attempt(model, f"skewed lengths, transformers batch {most}", 60, compare)
        alone = uniform[:1]
        table.attempt(model, "one window alone", 20, partial(self._compare, theirs, 1, alone, (1, alone), goals.alone))
        table.attempt(model, f"{N_CLIENTS} clients, clips of 5 to 30 s, a clip", 30, partial(self._clients, theirs))

    def _clients(self, theirs: Theirs) -> dict[str, Any]:
        """Theirs decodes one clip at a time: whoever comes last waits for all others."""
        lengths = clip_lengths(4 * N_CLIENTS, self._arguments.tokens)
        own_ms, p95_ms = self._own.clients(N_CLIENTS, self._slots, lengths)
        their_ms = theirs.milliseconds(1, lengths[:8], 1)
        remark = f"95% within {p95_ms:.0f} ms; theirs, one after the other, {N_CLIENTS * their_ms:.0f} ms"
        return {"ours": own_ms, "theirs": their_ms, "must": self._goals.clients, "remark": remark}

    def _ours(self, n_slots: int, lengths: tuple[int, ...]) -> float:
        key = (n_slots, lengths)
        if key not in self._own_ms:
            self._own_ms[key] = self._own.milliseconds(n_slots, lengths, self._arguments.rounds)
        return self._own_ms[key]

    def _share(self, lengths: tuple[int, ...]) -> dict[str, Any]:
        took_ms = self._ours(self._slots, lengths)
        floor = floor_s(SIZES[self._model], self._place.dtype, self._slots, self._arguments.tokens, self._ceilings)
        speed = f"{took_ms:.2f} ms a window, {1e3 * WINDOW_S / took_ms:.0f} x real time"
        return {"ours": floor and 1e3 * floor / took_ms, "must": self._goals.share, "remark": speed}

    def _eight_bits(self, lengths: tuple[int, ...], how: EightBits) -> dict[str, Any]:
        own_ms = self._own.milliseconds(self._slots, lengths, self._arguments.rounds, how)
        return {"ours": own_ms, "theirs": self._ours(self._slots, lengths), "must": self._goals.eight_bit_kv}

    def _compare(
        self,
        theirs: Theirs,
        n_slots: int,
        lengths: tuple[int, ...],
        batched: tuple[int, tuple[int, ...]],
        must: float | None,
    ) -> dict[str, Any]:
        ours = self._ours(n_slots, lengths)
        return {"ours": ours, "theirs": theirs.milliseconds(*batched, self._arguments.rounds), "must": must}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="turbo,large-v3", help="of ifw.benchmark.sizes, separated by commas")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="float16", choices=["float16", "bfloat16", "float32"])
    parser.add_argument("--windows", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=110)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--batches", type=int, nargs="+", default=[24, 96], help="of transformers: the usual one first")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget-s", type=float, default=330)
    parser.add_argument("--work-dir", default="build/gpu")
    parser.add_argument("--output", help="a JSON file")
    parser.add_argument("--no-transformers", dest="transformers", action="store_false")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("not measured: torch sees no CUDA device here")
        return 0
    table = Table(arguments.budget_s)
    job = {"n_threads": torch.get_num_threads(), "device": arguments.device}
    ceilings = Ceilings(job).ceilings(0.2)
    limits = f"{ceilings['gemm_gflops'].get(arguments.dtype, 0) / 1e3:.0f} TFLOP/s, {ceilings['read_gb_s']:.0f} GB/s"
    for model in arguments.models.split(","):
        try:
            ModelRows(model, arguments, ceilings).measure(table)
        except Exception as error:  # the other model is worth having
            traceback.print_exc()
            table.rows.append(Row(model, "everything else", remark=f"FAILED: {type(error).__name__}: {error}"))
        if arguments.device == "cuda":
            torch.cuda.empty_cache()
    print(f"\n{ceilings['device']}, torch {torch.__version__}, {arguments.dtype}: {limits}; milliseconds a window")
    table.print()
    if arguments.output:
        Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
        record = {"arguments": vars(arguments), "ceilings": ceilings, "rows": [asdict(row) for row in table.rows]}
        Path(arguments.output).write_text(json.dumps(record, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
