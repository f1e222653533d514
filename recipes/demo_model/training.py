"""Data-parallel, resumable training on CPU processes of one thread each."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn
from transformers import WhisperForConditionalGeneration

from .batches import Batch, BatchMaker
from .corpus import Corpus, training_pools
from .features import Degrader, MelExtractor
from .network import WIDTH, build_model, losses
from .schedule import DECAY_START, StepPlan, plan
from .tokens import TokenIds

STATE_FILE = "state.pt"
_SAVE_EVERY_S = 150.0
_LOG_EVERY = 50
_AVERAGE_DECAY = 0.99
_GRADIENT_LIMIT = 1.0


@dataclass(frozen=True)
class TrainingOptions:
    """What the command line decides.

    Attributes:
        work_dir: Folder with ``speech`` and ``tokenizer``; the state goes to ``training``.
        audio_hours: Hours of audio of the whole schedule. It may differ on resuming: the
            phases follow from the share seen so far.
        processes: Number of processes.
        seed: Seed of weights and data.
        max_steps: Stop early after this many steps of this run, for measurements.
    """

    work_dir: Path
    audio_hours: float
    processes: int
    seed: int = 0
    max_steps: int | None = None


class Tickets:
    """Hands out the passes of a step to the processes, first come, first served.

    On a shared machine one process is often slower than the others for a while; with a fixed
    share for each, all would wait for it at every step.
    """

    def __init__(self, counter: Any) -> None:
        self._counter = counter
        self._base = 0
        self.stop_requested = False

    def request_stop(self, *_: object) -> None:
        """Signal handler: all processes stop, and save, after the step under way."""
        self.stop_requested = True

    def take(self, count: int) -> Iterator[int]:
        """Yields the passes, of the next `count`, that fall to this process."""
        while True:
            with self._counter.get_lock():
                number = self._counter.value - self._base
                if number < count:
                    self._counter.value += 1
            if number >= count:
                break
            yield number
        self._base += count


class Trainer:
    """One process of the training run."""

    def __init__(self, options: TrainingOptions, rank: int, tickets: Tickets) -> None:
        self._options, self._rank, self._tickets = options, rank, tickets
        self._folder = options.work_dir / "training"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._ids = TokenIds(options.work_dir / "tokenizer")
        names = [spec.name for spec in training_pools(0)]
        degrader = Degrader(MelExtractor(), options.seed)
        self._maker = BatchMaker(Corpus(options.work_dir / "speech", names), self._ids, degrader)
        torch.manual_seed(options.seed)
        self._model = build_model(self._ids)
        self._phoneme_head = nn.Linear(WIDTH, self._maker.phoneme_count)
        self._parameters = [
            parameter
            for module in (self._model, self._phoneme_head)
            for parameter in module.parameters()
            if parameter.requires_grad
        ]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": [p for p in self._parameters if p.ndim > 1], "weight_decay": 0.02},
                {"params": [p for p in self._parameters if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=1e-3,
            betas=(0.9, 0.98),
            fused=True,
        )
        self._average: dict[str, torch.Tensor] | None = None
        self._step, self._hours, self._seconds = 0, 0.0, 0.0
        self._stopping = False
        self._resume()
        self._gradients = self._flat_gradients()

    def _flat_gradients(self) -> torch.Tensor:
        """One buffer for all gradients and the wish to stop, so that one call reduces them."""
        flat = torch.zeros(sum(parameter.numel() for parameter in self._parameters) + 1)
        offset = 0
        for parameter in self._parameters:
            end = offset + parameter.numel()
            parameter.grad = flat[offset:end].view_as(parameter)
            offset = end
        return flat

    def _resume(self) -> None:
        path = self._folder / STATE_FILE
        if not path.exists():
            return
        state: dict[str, Any] = torch.load(path, weights_only=True)
        self._model.load_state_dict(state["model"])
        self._phoneme_head.load_state_dict(state["phoneme_head"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._average = state["average"]
        self._step, self._hours = state["step"], state["hours"]
        self._seconds = state["seconds"]

    def _save(self, seconds: float) -> None:
        state = {
            "model": self._model.state_dict(),
            "phoneme_head": self._phoneme_head.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": self._average,
            "step": self._step,
            "hours": self._hours,
            "seconds": seconds,
        }
        partial = self._folder / (STATE_FILE + ".partial")
        torch.save(state, partial)
        os.replace(partial, self._folder / STATE_FILE)

    def _plan(self, step: int, hours: float) -> StepPlan:
        return plan(step, hours / self._options.audio_hours, self._options.seed)

    def _batch(self, step: int, number: int, step_plan: StepPlan) -> Batch:
        # The generator depends on step and pass alone: whichever process does the pass, and
        # whether or not the run was interrupted, the batch is the same.
        rng = np.random.default_rng([self._options.seed, step, number])
        return self._maker.batch(rng, step_plan.spec, step_plan.windows)

    def run(self) -> None:
        """Trains until the audio of the schedule is used up."""
        begun = saved = time.monotonic()
        spent, first_step = self._seconds, self._step
        log = _Log(self._rank == 0)
        while self._hours < self._options.audio_hours:
            progress = self._hours / self._options.audio_hours
            step_plan = plan(self._step, progress, self._options.seed)
            self._update(step_plan, log)
            self._step += 1
            self._hours += step_plan.audio_s / 3600
            self._update_average()
            now = time.monotonic()
            log.maybe_print(self._step, self._hours, step_plan, spent + now - begun)
            if self._rank == 0 and now - saved > _SAVE_EVERY_S:
                saved = now
                self._save(spent + now - begun)
            if self._stopping or self._options.max_steps == self._step - first_step:
                break
        if self._rank == 0:
            self._save(spent + time.monotonic() - begun)

    def _update(self, step_plan: StepPlan, log: _Log) -> None:
        self._gradients.zero_()
        for number in self._tickets.take(step_plan.passes):
            batch = self._batch(self._step, number, step_plan)
            result = losses(self._model, self._phoneme_head, self._ids, batch)
            loss = (
                result.tokens
                + step_plan.phoneme_weight * result.phonemes
                + step_plan.alignment_weight * result.alignment
            )
            (loss / step_plan.passes).backward()  # type: ignore[no-untyped-call] # torch and transformers have no types here
            log.add(
                {
                    "tokens": result.tokens.item(),
                    "phonemes": result.phonemes.item(),
                    "align": result.alignment.item(),
                    **result.metrics,
                }
            )
        self._gradients[-1] = self._tickets.stop_requested
        if self._options.processes > 1:
            dist.all_reduce(self._gradients)
        self._stopping = bool(self._gradients[-1] > 0)
        nn.utils.clip_grad_norm_(self._parameters, _GRADIENT_LIMIT)
        for group in self._optimiser.param_groups:
            group["lr"] = step_plan.learning_rate
        self._optimiser.step()

    def _update_average(self) -> None:
        """Keeps a running average of the weights while the learning rate falls."""
        if self._rank != 0 or self._hours < DECAY_START * self._options.audio_hours:
            return
        weights = self._model.state_dict()
        if self._average is None:
            self._average = {name: value.clone() for name, value in weights.items()}
        for name, value in self._average.items():
            value.lerp_(weights[name], 1 - _AVERAGE_DECAY)


class _Log:
    """Means of the metrics since the last line."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._values: dict[str, list[float]] = defaultdict(list)
        self._since = time.monotonic()

    def add(self, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self._values[name].append(value)

    def maybe_print(self, step: int, hours: float, step_plan: StepPlan, seconds: float) -> None:
        if step % _LOG_EVERY:
            return
        now = time.monotonic()
        means = " ".join(f"{name} {np.nanmean(v):.3f}" for name, v in self._values.items())
        if self._enabled:
            print(
                f"{seconds:.0f} s, step {step}, {hours:.1f} h, {step_plan.spec.length_s:.0f} s "
                f"windows, rate {step_plan.learning_rate:.1e}, "
                f"{(now - self._since) / _LOG_EVERY:.2f} s/step: {means}",
                flush=True,
            )
        self._values.clear()
        self._since = now


def load_weights(
    state_file: Path, ids: TokenIds, *, averaged: bool
) -> tuple[WhisperForConditionalGeneration, dict[str, float]]:
    """The model of a saved state, and how far it has come."""
    state: dict[str, Any] = torch.load(state_file, weights_only=True)
    model = build_model(ids)
    weights = state["average"] if averaged and state["average"] is not None else state["model"]
    model.load_state_dict(weights)
    model.eval()  # type: ignore[no-untyped-call] # torch and transformers have no types here
    return model, {key: state[key] for key in ("step", "hours", "seconds")}


def _run_process(rank: int, options: TrainingOptions, rendezvous: str, counter: Any) -> None:
    torch.set_num_threads(1)
    if options.processes > 1:
        dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=options.processes)
    tickets = Tickets(counter)
    signal.signal(signal.SIGTERM, tickets.request_stop)
    Trainer(options, rank, tickets).run()
    if options.processes > 1:
        dist.destroy_process_group()


def train(options: TrainingOptions) -> None:
    """Starts the training processes and waits for them; SIGTERM makes them save and stop."""
    # One thread each: with several, every barrier waits for whatever else runs on the machine.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    counter = torch.multiprocessing.get_context("spawn").Value("q", 0)
    meeting_point = options.work_dir / f"rendezvous-{os.getpid()}"
    meeting_point.unlink(missing_ok=True)
    context = spawn(  # type: ignore[no-untyped-call] # torch and transformers have no types here
        _run_process,
        args=(options, meeting_point.absolute().as_uri(), counter),
        nprocs=options.processes,
        join=False,
    )

    def stop(*_: object) -> None:
        for process in context.processes:
            process.terminate()

    signal.signal(signal.SIGTERM, stop)
    while not context.join():
        pass
    meeting_point.unlink(missing_ok=True)
