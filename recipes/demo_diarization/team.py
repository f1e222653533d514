"""Training in several processes: each takes its part of every batch, and the gradients are averaged."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn


@dataclass(frozen=True, slots=True)
class Team:
    """A process and those beside it.

    Attributes:
        rank: Which one this is, from 0.
        size: How many there are.
    """

    rank: int
    size: int

    def part(self, rows: Sequence[int]) -> Sequence[int]:
        """What of a batch is this process's."""
        return rows[self.rank :: self.size]

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace the gradients by their mean over all processes."""
        if self.size == 1:
            return
        gradients = [one.grad for one in parameters if one.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        first = 0
        for gradient in gradients:
            gradient.copy_(flat[first : first + gradient.numel()].view_as(gradient))
            first += gradient.numel()


def run_as_team(train: Callable[..., None], size: int) -> None:
    """Call a function that can be pickled, with its `team`, in so many processes of one thread each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn(_member, (train, size, port), nprocs=size)  # type: ignore[no-untyped-call] # torch has no type for it


def _member(rank: int, train: Callable[..., None], size: int, port: int) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    train(team=Team(rank, size))
    dist.destroy_process_group()


@dataclass(frozen=True, slots=True)
class Halt:
    """Where a training can go on after it was ended.

    Attributes:
        file: What it has learned so far.
        parts: The networks and the optimiser, by name.
    """

    file: Path
    parts: dict[str, Any]

    def restore(self) -> int:
        """Take up what is in the file; returns the step to go on with, 0 where there is no file."""
        if not self.file.exists():
            return 0
        kept: dict[str, Any] = torch.load(self.file)
        for name, part in self.parts.items():
            part.load_state_dict(kept[name])
        step: int = kept["step"]
        return step

    def keep(self, next_step: int) -> None:
        """Write the file."""
        partial = self.file.with_suffix(".partial")
        torch.save({name: part.state_dict() for name, part in self.parts.items()} | {"step": next_step}, partial)
        partial.rename(self.file)
