"""What the scenarios of one run share: options, engines that are there, folder, figures of the machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from ifw.benchmark.driver_process import DriverCommand, DriverProcess, Job
from ifw.benchmark.engines import OWN, Setup, own_compute_types, setups
from ifw.benchmark.environment import memory_bytes
from ifw.benchmark.keeping import kept
from ifw.benchmark.options import BenchmarkOptions
from ifw.benchmark.random_checkpoint import prompt_ids, random_checkpoint, special_ids
from ifw.benchmark.sizes import SIZES
from ifw.benchmark.switches import switched_setups
from ifw.constants import SAMPLE_RATE, WINDOW_SAMPLES
from ifw.errors import BenchmarkError
from ifw.model.dims import ModelDims
from ifw.model.mel import log_mel
from ifw.model.weights import tensor_shapes

N_WINDOWS: Final = 16
_N_TONES: Final = 24
_INPUTS_MADE_AS: Final = 1
_BYTES_A_WEIGHT: Final = 10  # while a model is converted: float32 twice, and the file


@dataclass(frozen=True, slots=True)
class Running:
    """An engine that is loaded.

    Attributes:
        setup: How.
        process: Where.
    """

    setup: Setup
    process: DriverProcess


@dataclass(eq=False)
class Bench:
    """One run.

    Attributes:
        options: What to measure; `device` is definite.
        commands: The engines that take part, ours first.
        cpus: The processors that they are bound to.
        ceilings: From `benchmark.ceilings`.
        note: Says something to whoever watches.
        notes: What of it belongs beside the figures.
        versions: Engine to the versions that it named.
    """

    options: BenchmarkOptions
    commands: dict[str, DriverCommand]
    cpus: tuple[int, ...]
    ceilings: dict[str, Any]
    note: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    _loaded: dict[str, Running | None] = field(default_factory=dict)
    _left_out: set[str] = field(default_factory=set)

    def remark(self, text: str) -> None:
        """Say something that belongs beside the figures too."""
        self.notes.append(text)
        self.note(text)

    def leave_out(self, engine: str, reason: str) -> None:
        """Measure further models without an engine, and say why."""
        if engine not in self._left_out:
            self._left_out.add(engine)
            self.remark(f"{reason}: further models are measured without it")

    def setups(self) -> list[Setup]:
        """The set-ups of the engines that take part."""
        engines = self.commands.keys() - self._left_out
        found = [one for one in setups(self.options.device, self.options.n_threads) if one.engine in engines]
        if self.options.is_quick:
            found = list({one.engine: one for one in reversed(found)}.values())[::-1]
        if self.options.switches and OWN in self.commands:
            found += switched_setups(own_compute_types(self.options.device), self.options.switches)
        return found

    def job(self, model: str, setup: Setup) -> Job:
        """What the driver of a set-up is told about a model; its files are made where they are not there."""
        dims = SIZES[model]
        folder = self.options.work_dir.resolve()
        checkpoint = random_checkpoint(model, self.options.seed, folder)
        samples, mel = self._inputs(dims, folder)
        return Job(
            setup=dict(setup.options),
            device=self.options.device,
            n_threads=self.options.n_threads,
            checkpoint=str(checkpoint),
            samples=str(samples),
            mel=str(mel),
            prompt=prompt_ids(dims),
            eot=special_ids(dims)["<|endoftext|>"],
            suppress_tokens=list(special_ids(dims).values()),
            dims=asdict(dims),
        )

    def loaded(self, model: str, chosen: Sequence[Setup]) -> list[Running]:
        """Set-ups of a model, each in a process of its own; they stay for the next scenario, until `unload`.

        Args:
            model: A key of `SIZES`.
            chosen: The set-ups.

        Returns:
            Those that could be loaded, ours first; the others are left out with a remark.

        Raises:
            BenchmarkError: Our own engine is not among them.
        """
        missing: dict[str, list[Setup]] = {}
        for setup in chosen:
            if setup.label not in self._loaded:
                missing.setdefault(setup.engine, []).append(setup)
        if missing:
            self.job(model, chosen[0])  # makes the files that all of them read
            is_room = len(missing) * _bytes_to_load(model) < memory_bytes("MemAvailable")
            n_at_once = len(missing) if is_room and self.options.device == "cpu" else 1
            with ThreadPoolExecutor(n_at_once) as pool:
                list(pool.map(lambda setups: self._load_all(model, setups), missing.values()))
        running = [self._loaded[setup.label] for setup in chosen]
        if not any(one is not None and one.setup.engine == OWN for one in running):
            raise BenchmarkError(f"{model}: our own engine is not there, without which there is nothing to compare")
        return [one for one in running if one is not None]

    def unload(self) -> None:
        """End all engines."""
        while self._loaded:
            _, running = self._loaded.popitem()
            if running is not None:
                running.process.close()

    def process(self, setup: Setup) -> DriverProcess:
        """Start the process of a set-up, with nothing loaded."""
        command = self.commands[setup.command or setup.engine]
        log = self.options.work_dir / f"{setup.label.replace(' ', '-').replace(',', '')}.log"
        started = DriverCommand(
            setup.label, command.python, command.driver, {**command.env, **setup.env, **self._waiting()}
        )
        return DriverProcess(started, self.cpus, self.options.n_threads, log, self.options.wait_s)

    def _waiting(self) -> dict[str, str]:
        return {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"} if self.options.is_passive else {}

    def _load_all(self, model: str, of_engine: Sequence[Setup]) -> None:
        """Load set-ups of one engine, one after another: the first may convert the model for all."""
        for setup in of_engine:
            process = self._load(model, setup)
            self._loaded[setup.label] = None if process is None else Running(setup, process)

    def _load(self, model: str, setup: Setup) -> DriverProcess | None:
        needed = _bytes_to_load(model)
        free = memory_bytes("MemAvailable")
        if free and needed > free:
            self.remark(
                f"{model}: {setup.label} is left out: it may need {needed / 1e9:.0f} GB, {free / 1e9:.0f} are free"
            )
            return None
        job = self.job(model, setup)
        process = self.process(setup)
        try:
            process.load(job)
        except BenchmarkError as error:
            process.close()
            self.remark(f"{model}: {setup.label} is left out: {error}")
            return None
        self.versions.setdefault(setup.engine, {}).update(process.versions)
        return process

    def _inputs(self, dims: ModelDims, folder: Path) -> tuple[Path, Path]:
        seed = self.options.seed

        def write_mel(path: Path) -> None:
            transform = log_mel(dims.n_mels, torch.device("cpu"))
            np.save(path, np.concatenate([transform([window]).numpy() for window in np.load(samples)]))

        name = f"windows-{N_WINDOWS}-{seed}.npy"
        samples = kept(folder, name, _INPUTS_MADE_AS, lambda path: np.save(path, windows(N_WINDOWS, seed)))
        return samples, kept(folder, f"mel-{dims.n_mels}-of-{name}", _INPUTS_MADE_AS, write_mel)


def _bytes_to_load(model: str) -> int:
    """Memory that an engine may need while it loads a model."""
    return sum(map(math.prod, tensor_shapes(SIZES[model]).values())) * _BYTES_A_WEIGHT


def windows(n_windows: int, seed: int) -> npt.NDArray[np.float32]:
    """Windows of tones in noise, all different: [n_windows, 480000] float32."""
    random = np.random.default_rng(seed)
    seconds = np.arange(WINDOW_SAMPLES, dtype=np.float32) / SAMPLE_RATE
    made = np.zeros((n_windows, WINDOW_SAMPLES), np.float32)
    for row in made:
        row[:] = 0.02 * random.standard_normal(WINDOW_SAMPLES, np.float32)
        for _ in range(_N_TONES):
            first, last = np.sort(random.integers(0, WINDOW_SAMPLES, 2))
            hertz = random.uniform(80, 4_000)
            row[first:last] += 0.05 * np.sin(2 * np.pi * hertz * seconds[first:last], dtype=np.float32)
    return made
