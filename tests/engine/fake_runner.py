"""A runner that computes nothing: each window carries the number of its script in its first sample."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch

from ifw.engine.request import EncodedWindow, TokenAttention
from ifw.engine.rules import RowStart
from ifw.engine.runner_interface import AlignInput, Detected, Prefilled, PrefillInput, SearchInput, WindowInput
from ifw.engine.search import Move, Sampled

Attempt = list[tuple[int, float]]  # token and log-probability, one a step


@dataclass
class Script:
    """What the model would say about a window: one list of tokens an attempt, the last one repeated."""

    attempts: list[Attempt]
    no_speech_prob: float = 0.0
    languages: dict[int, float] = field(default_factory=dict)  # index of the language -> probability
    evidence: float = 0.0  # all over the attention


class FakeRunner:
    """Checks what the runner contract says and plays scripts back.

    `on_call(name, script numbers)` may raise, to play a fault. While `gate` is cleared, no call comes back.
    """

    def __init__(self, scripts: dict[int, Script], n_slots: int = 4, n_languages: int = 99) -> None:
        self.n_slots = n_slots
        self.scripts = scripts
        self.on_call: Callable[[str, list[int]], None] = lambda name, numbers: None
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[tuple[str, list[int]]] = []
        self.starts: dict[int, list[RowStart]] = {}
        self.prefills: dict[int, PrefillInput] = {}
        self.aligned: dict[int, AlignInput] = {}
        self.wiped: list[int] = []
        self.threads: set[int] = set()
        self._n_languages = n_languages
        self._in_slot: dict[int, int] = {}
        self._position: dict[int, int] = {}
        self._attempt: dict[int, int] = {}
        self._parked: set[int] = set()
        self._search: SearchInput | None = None
        self._search_position = 0
        self.searches: list[tuple[int, SearchInput]] = []

    def samples(self, number: int) -> np.ndarray:
        return np.array([number, 0.0], np.float32)

    def session(self) -> AbstractContextManager[None]:
        return nullcontext()

    def is_encoded(self, slot: int) -> bool:
        return True

    def encode(self, windows: Sequence[WindowInput]) -> list[EncodedWindow]:
        slots = [window.slot for window in windows]
        assert slots == sorted(set(slots))
        assert all(0 <= slot < self.n_slots and slot not in self._position for slot in slots)
        numbers = [
            int(window.samples[0]) if window.encoded is None else int(window.encoded.audio.flatten()[0])
            for window in windows
        ]
        self._call("encode", numbers)
        self._in_slot |= dict(zip(slots, numbers, strict=True))
        return [EncodedWindow(torch.full((1500, 192), float(number))) for number in numbers]

    def detect(self, slots: Sequence[int]) -> list[Detected]:
        self._call("detect", [self._in_slot[slot] for slot in slots])
        found = []
        for slot in slots:
            script = self.scripts[self._in_slot[slot]]
            found.append(
                Detected([script.languages.get(i, 0.0) for i in range(self._n_languages)], script.no_speech_prob)
            )
        return found

    def prefill(self, inputs: Sequence[PrefillInput]) -> list[Prefilled]:
        assert [row.slot for row in inputs] == sorted({row.slot for row in inputs})
        self._call("prefill", [self._in_slot[row.slot] for row in inputs])
        prefilled = []
        for row in inputs:
            number = self._in_slot[row.slot]
            self.prefills[number] = row
            self.starts.setdefault(number, []).append(row.start)
            self._attempt[row.slot] = self._position[row.slot] = 0
            prefilled.append(Prefilled(self._next(row.slot), self.scripts[number].no_speech_prob))
        return prefilled

    def restart(self, slot: int, start: RowStart) -> None:
        assert slot in self._position or slot in self._parked
        self._call("restart", [self._in_slot[slot]])
        self.starts[self._in_slot[slot]].append(start)
        self._attempt[slot] += 1
        self._position[slot] = 0
        self._parked.discard(slot)

    def park(self, slot: int, start: RowStart) -> None:
        assert slot in self._position or slot in self._parked
        self._call("park", [self._in_slot[slot]])
        self._position.pop(slot, None)
        self._parked.add(slot)

    def begin_search(self, search: SearchInput) -> None:
        """A row plays the attempt of the script that follows; where there are candidates, the others are unlikely."""
        assert search.slot in self._parked
        number = self._in_slot[search.slot]
        self._call("begin_search", [number])
        self._attempt[search.slot] = self._attempt.get(search.slot, -1) + 1
        self.searches.append((number, search))
        self._search, self._search_position = search, 0

    def search(self, moves: Sequence[Move]) -> list[list[Sampled]]:
        search = self._search
        assert search is not None, "no search has begun"
        assert search.slot in self._parked
        number = self._in_slot[search.slot]
        self._call("search", [number])
        assert len(moves) <= search.n_rows
        n_rows = len(moves) or len(search.starts)
        assert bool(moves) == (self._search_position > 0)
        attempts = self.scripts[number].attempts
        attempt = attempts[min(self._attempt[search.slot], len(attempts) - 1)]
        best = attempt[min(self._search_position, len(attempt) - 1)]
        others = [(token, -50.0 - token) for token in range(100, 100 + search.n_candidates - 1)]
        self._search_position += 1
        return [[Sampled(*candidate) for candidate in (best, *others)] for _ in range(n_rows)]

    def step(self, slots: Sequence[int]) -> list[Sampled]:
        assert list(slots) == sorted(self._position)
        self._call("step", [self._in_slot[slot] for slot in slots])
        return [self._next(slot) for slot in slots]

    def stop(self, slot: int) -> None:
        assert slot in self._position or slot in self._parked
        self._position.pop(slot, None)
        self._parked.discard(slot)
        del self._attempt[slot]

    def align(self, inputs: Sequence[AlignInput]) -> list[TokenAttention]:
        assert [row.slot for row in inputs] == sorted({row.slot for row in inputs})
        assert not any(row.slot in self._position for row in inputs), "aligned while it decodes"
        self._call("align", [self._in_slot[row.slot] for row in inputs])
        self.aligned |= {self._in_slot[row.slot]: row for row in inputs}
        attentions = []
        for row in inputs:
            n_text = len(row.token_ids) - row.n_prefix - 1
            matrix = np.full((n_text + 1, row.n_positions), self.scripts[self._in_slot[row.slot]].evidence, np.float32)
            attentions.append(TokenAttention(matrix, np.full(n_text, 0.5, np.float32)))
        return attentions

    def release(self, slot: int, *, wipe: bool = False) -> None:
        self._in_slot.pop(slot, None)
        self._position.pop(slot, None)
        self._attempt.pop(slot, None)
        self._parked.discard(slot)
        if self._search is not None and self._search.slot == slot:
            self._search = None
        if wipe:
            self.wiped.append(slot)

    def free_memory(self) -> None:
        self._call("free_memory", [])

    @property
    def is_idle(self) -> bool:
        return not self._position and not self._in_slot

    def _call(self, name: str, numbers: list[int]) -> None:
        self.threads.add(threading.get_ident())
        self.calls.append((name, numbers))
        assert self.gate.wait(60)
        self.on_call(name, numbers)

    def _next(self, slot: int) -> Sampled:
        attempts = self.scripts[self._in_slot[slot]].attempts
        attempt = attempts[min(self._attempt[slot], len(attempts) - 1)]
        token = attempt[self._position[slot]]
        self._position[slot] += 1
        return Sampled(*token)
