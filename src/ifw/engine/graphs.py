"""CUDA graphs of decode steps: a step of 32 layers is 700 kernels, which the host cannot launch as fast as they run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import torch

from ifw.engine.streams import new_stream
from ifw.model.memory import is_out_of_memory

_LOG = logging.getLogger(__name__)
_ROW_STEP = 8
_FIRST_ROWS = (1, 2, 4)
_MAX_FAILURES = 3  # another thread that waits for the whole device breaks a capture, once
_CAPTURING = threading.Lock()  # a capture begins by waiting for the whole device, which would break another thread's

KeyT = TypeVar("KeyT", bound=Hashable)


def row_buckets(n_slots: int) -> tuple[int, ...]:
    """Numbers of rows that have a graph: 1, 2, 4, then every 8 up to all slots.

    An idle row reads as many bytes as a live one, so the steps are small.
    """
    buckets = [n_rows for n_rows in (*_FIRST_ROWS, *range(_ROW_STEP, n_slots, _ROW_STEP)) if n_rows < n_slots]
    return (*buckets, n_slots)


def bucket_of(n: int, buckets: tuple[int, ...]) -> int:
    """The smallest bucket that has room for `n`; there is one."""
    return next(bucket for bucket in buckets if bucket >= n)


class StepGraphs(Generic[KeyT]):
    """Carries out steps: the first of a kind as it is, which also compiles what wants to be compiled, then as a graph.

    All graphs share one pool of memory: a step leaves nothing there. What it reads and writes besides lies in tensors
    that were allocated outside and must live, unmoved, as long as this object: it holds `run`, which holds them.

    Args:
        run: Carries out a step of a kind, on the current stream; it must be safe to capture.
        device: CUDA captures; on CPU every step is carried out as it is.
        is_on: False captures nothing.

    Attributes:
        failure: Why the last step that could not be captured was not; None where all were.
    """

    def __init__(self, run: Callable[[KeyT], None], device: torch.device, *, is_on: bool) -> None:
        self._run = run
        self._is_on = is_on and device.type == "cuda"
        self._graphs: dict[KeyT, torch.cuda.CUDAGraph] = {}
        self._has_run: set[KeyT] = set()
        self._n_failures = 0
        self.failure: str | None = None
        if self._is_on:
            self._pool = torch.cuda.graph_pool_handle()
            self._stream = new_stream(device)  # of one pool, captures are made on one stream

    @property
    def n_captured(self) -> int:
        """Kinds of steps that have a graph."""
        return len(self._graphs)

    def step(self, key: KeyT) -> None:
        """Carry out a step on the current stream."""
        if self._is_on and key not in self._graphs and key in self._has_run:
            self._capture(key)
        graph = self._graphs.get(key)
        if graph is not None:
            graph.replay()
            return
        self._run(key)
        self._has_run.add(key)

    def _capture(self, key: KeyT) -> None:
        """Record a step without carrying it out; where that fails again and again, go on without and say so once."""
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # other threads may use the device meanwhile, for other models
            with (
                _CAPTURING,
                torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
            ):
                self._run(key)
            self._graphs[key] = graph
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            self._n_failures += 1
            self.failure = f"{type(error).__name__} at {key}: {error}"
            if is_out_of_memory(error) or self._n_failures == _MAX_FAILURES:
                self._is_on = False
                _LOG.warning("decode steps go on without further CUDA graphs: %s", self.failure)
        finally:
            torch.cuda.set_stream(current)  # torch leaves a capture that failed without it
