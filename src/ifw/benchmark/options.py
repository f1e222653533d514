"""What a run of the benchmark is to measure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypedDict

from ifw.benchmark.sizes import SIZES
from ifw.errors import ConfigError

SCENARIOS: Final = ("engine", "skewed", "long", "clients", "latency", "cold", "front-end", "diarization")
DEVICES: Final = ("auto", "cpu", "cuda")
SWITCHES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "cross-kv-int8": {"config": {"cross_kv": "int8"}},
        "cross-kv-float8": {"config": {"cross_kv": "float8"}},
        "encoder-int8": {"config": {"encoder_products": "int8"}},
        "encoder-float8": {"config": {"encoder_products": "float8"}},
        "steps-static": {"config": {"steps": "static"}},
        "draft": {"draft_layers": 2},
    }
)
"""Name of a switch of our engine -> what its driver is told."""
_MAX_FORCED_TOKENS: Final = 200  # CTranslate2 ends at half of the 448 positions
_MAX_COUNT: Final = 10_000
_MAX_S: Final = 86_400
_INTEGERS: Final = (
    ("n_threads", 1, 1_024),
    ("n_tokens", 1, _MAX_FORCED_TOKENS),
    ("n_windows", 1, _MAX_COUNT),
    ("n_rounds", 1, 100),
    ("n_long_windows", 1, _MAX_COUNT),
    ("n_clips", 1, _MAX_COUNT),
    ("seed", 0, 2**32 - 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkOptions:
    """What is measured, and how thoroughly.

    Attributes:
        scenarios: Of `SCENARIOS`, in their order.
        models: Of `SIZES`.
        engines: Engines; none means all that are installed.
        switches: Of `SWITCHES`: a row for each, of our engine with it on.
        batches: Windows decoded together that are tried.
        n_threads: Threads, and processors that the engines are bound to.
        n_tokens: Forced for each window.
        n_windows: A pass has so many windows at least, and whole batches.
        n_rounds: Rounds there and back; two passes each.
        budget_s: After this long a model's measurement begins no further round, nor anybody far behind a second pass.
        pass_s: A pass of the scenario `engine` takes about so long at least, if the engine is not far behind.
        wait_s: A pass waits this long for the processors to be idle.
        ceiling_s: How long each ceiling is measured, three times.
        n_long_windows: Windows of half a minute in the long recording.
        n_clips: Clips that arrive at once, and windows of different lengths.
        is_passive: Threads that wait sleep, in every engine: on a busy machine those that spin stop everything.
        is_quick: Only the first set-up of each engine.
        device: `auto` takes CUDA where there is one.
        seed: Of weights and windows.
        work_dir: Keeps checkpoints, which may be large, for the next run.
        peers_dir: Holds the drivers of other engines.
        venvs_dir: Holds their environments.
    """

    scenarios: tuple[str, ...] = ("engine",)
    models: tuple[str, ...] = ("base",)
    engines: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    batches: tuple[int, ...] = (1, 4, 8, 16)
    n_threads: int = 1
    n_tokens: int = 100
    n_windows: int = 4
    n_rounds: int = 2
    budget_s: float = 600.0
    pass_s: float = 3.0
    wait_s: float = 10.0
    ceiling_s: float = 0.3
    n_long_windows: int = 20
    n_clips: int = 32
    is_passive: bool = False
    is_quick: bool = False
    device: str = "auto"
    seed: int = 0
    work_dir: Path = Path("build/bench")
    peers_dir: Path = Path("benchmarks/peers")
    venvs_dir: Path = Path()

    def __post_init__(self) -> None:
        """Check every field but the engines, which depend on what is installed, and the folders.

        Raises:
            ConfigError: A value is not allowed.
        """
        _require_known("scenarios", self.scenarios, SCENARIOS)
        _require_known("models", self.models, tuple(SIZES))
        if self.switches:
            _require_known("switches", self.switches, tuple(SWITCHES))
        _require_known("device", (self.device,), DEVICES)
        if not self.batches or not all(_is_integer(batch, 1, _MAX_COUNT) for batch in self.batches):
            raise ConfigError(f"batches: got {self.batches}, allowed: integers, 1 to {_MAX_COUNT}")
        for name, lowest, highest in _INTEGERS:
            if not _is_integer(getattr(self, name), lowest, highest):
                raise ConfigError(f"{name}: got {getattr(self, name)!r}, allowed: an integer, {lowest} to {highest}")
        for name in ("budget_s", "pass_s", "wait_s", "ceiling_s"):
            if not 0 <= getattr(self, name) <= _MAX_S:  # false of nan too
                raise ConfigError(f"{name}: got {getattr(self, name)!r}, allowed: seconds, 0 to {_MAX_S}")

    @staticmethod
    def default_threads() -> int:
        """Half of the processors, so that whoever measures and whatever else runs has the other half."""
        n_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return max(1, (n_processors or 1) // 2)

    def quick(self) -> BenchmarkOptions:
        """The same, as little of it as shows that everything works: the figures mean nothing."""
        return replace(
            self,
            models=("toy",),
            batches=(1, 2),
            n_tokens=8,
            n_windows=2,
            n_rounds=1,
            budget_s=0.0,
            pass_s=0.0,
            wait_s=0.0,
            ceiling_s=0.0,
            n_long_windows=2,
            n_clips=4,
            is_quick=True,
        )


class Flags(TypedDict):
    """What `ifw bench` and `python -m ifw.benchmark` are told: names and numbers with commas between."""

    scenario: str
    models: str
    engines: str
    switches: str
    batches: str
    threads: int
    windows: int
    tokens: int
    rounds: int
    budget_s: float
    wait_s: float
    device: str
    passive: bool
    quick: bool
    peers_dir: Path


def default_flags() -> Flags:
    """Those of `BenchmarkOptions`; no threads are half of the processors."""
    options = BenchmarkOptions()
    return Flags(
        scenario=",".join(options.scenarios),
        models=",".join(options.models),
        engines=",".join(options.engines),
        switches=",".join(options.switches),
        batches=",".join(map(str, options.batches)),
        threads=0,
        windows=options.n_windows,
        tokens=options.n_tokens,
        rounds=options.n_rounds,
        budget_s=options.budget_s,
        wait_s=options.wait_s,
        device=options.device,
        passive=options.is_passive,
        quick=options.is_quick,
        peers_dir=options.peers_dir,
    )


def options_of(flags: Flags) -> BenchmarkOptions:
    """What the flags mean.

    Raises:
        ConfigError: A value is not allowed.
    """
    options = BenchmarkOptions(
        scenarios=parse_names(flags["scenario"]),
        models=parse_names(flags["models"]),
        engines=parse_names(flags["engines"]),
        switches=parse_names(flags["switches"]),
        batches=parse_batches(flags["batches"]),
        n_threads=flags["threads"] or BenchmarkOptions.default_threads(),
        n_windows=flags["windows"],
        n_tokens=flags["tokens"],
        n_rounds=flags["rounds"],
        budget_s=flags["budget_s"],
        wait_s=flags["wait_s"],
        device=flags["device"],
        is_passive=flags["passive"],
        peers_dir=flags["peers_dir"],
    )
    return options.quick() if flags["quick"] else options


def parse_names(text: str) -> tuple[str, ...]:
    """`base, small` as a tuple; blanks and repetitions are left out."""
    return tuple(dict.fromkeys(name for name in (part.strip() for part in text.split(",")) if name))


def parse_batches(text: str) -> tuple[int, ...]:
    """`1,4,8` as a tuple.

    Raises:
        ConfigError: One is no number.
    """
    names = parse_names(text)
    if not all(name.isdecimal() for name in names):
        raise ConfigError(f"batches: got {text!r}, allowed: integers with commas between, such as 1,4,8,16")
    return tuple(int(name) for name in names)


def _is_integer(value: object, lowest: int, highest: int) -> bool:
    return type(value) is int and lowest <= value <= highest


def _require_known(name: str, values: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = [value for value in values if value not in known]
    if unknown or not values:
        raise ConfigError(f"{name}: got {unknown[0] if unknown else 'none'!r}, allowed: {', '.join(known)}")
