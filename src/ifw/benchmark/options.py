"""What a run of the benchmark is to measure."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ifw.benchmark.sizes import SIZES
from ifw.errors import ConfigError

SCENARIOS: Final = ("engine", "skewed", "long", "clients", "latency", "cold", "front-end", "diarization")
DEVICES: Final = ("auto", "cpu", "cuda")
_MAX_FORCED_TOKENS: Final = 200  # CTranslate2 ends at half of the 448 positions


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkOptions:
    """What is measured, and how thoroughly.

    Attributes:
        scenarios: Of `SCENARIOS`, in their order.
        models: Of `SIZES`.
        engines: Engines; none means all that are installed.
        batches: Windows decoded together that are tried.
        n_threads: Threads, and processors that the engines are bound to.
        n_tokens: Forced for each window.
        n_windows: A pass has so many windows at least, and whole batches.
        n_rounds: Rounds there and back; two passes each.
        budget_s: After this long a model's measurement begins no further round.
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
    batches: tuple[int, ...] = (1, 4, 8, 16)
    n_threads: int = 1
    n_tokens: int = 100
    n_windows: int = 4
    n_rounds: int = 2
    budget_s: float = 600.0
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
        """Check every field but the engines, which depend on what is installed.

        Raises:
            ConfigError: A value is not allowed.
        """
        _require_known("scenarios", self.scenarios, SCENARIOS)
        _require_known("models", self.models, tuple(SIZES))
        _require_known("device", (self.device,), DEVICES)
        if not self.batches or min(self.batches) < 1:
            raise ConfigError(f"batches: got {self.batches}, allowed: integers from 1")
        for name, highest in (
            ("n_threads", 1024),
            ("n_tokens", _MAX_FORCED_TOKENS),
            ("n_windows", 10_000),
            ("n_rounds", 100),
        ):
            if not 1 <= getattr(self, name) <= highest:
                raise ConfigError(f"{name}: got {getattr(self, name)}, allowed: 1 to {highest}")

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
            wait_s=0.0,
            ceiling_s=0.0,
            n_long_windows=2,
            n_clips=4,
            is_quick=True,
        )


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


def _require_known(name: str, values: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = [value for value in values if value not in known]
    if unknown or not values:
        raise ConfigError(f"{name}: got {unknown[0] if unknown else 'none'!r}, allowed: {', '.join(known)}")
