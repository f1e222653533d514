"""What the turns ask of a runner, and what it answers. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ifw.engine.search import Move, Sampled

if TYPE_CHECKING:
    from ifw.engine.prefix import Prefix
    from ifw.engine.request import EncodedWindow, TokenAttention
    from ifw.engine.rules import RowStart


@dataclass(frozen=True, slots=True)
class WindowInput:
    """A window that is to fill a slot.

    Attributes:
        slot: Where its cross-attention keys and values go.
        samples: [n] float32, at most 30 s; not read where `encoded` is given.
        encoded: The encoder's output, where it is known already.
    """

    slot: int
    samples: npt.NDArray[np.float32] | None
    encoded: EncodedWindow | None = None


@dataclass(frozen=True, slots=True)
class PrefillInput:
    """A prefix that is to be computed in a slot.

    Attributes:
        slot: One that is encoded.
        prefix: The tokens.
        start: How the row samples afterwards.
        suppress: Token ids that the row never produces.
    """

    slot: int
    prefix: Prefix
    start: RowStart
    suppress: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AlignInput:
    """Text whose attention is wanted.

    Attributes:
        slot: One that is encoded and not live.
        token_ids: Prefix, text, and `<|endoftext|>`.
        n_prefix: Tokens before the text, at least 1.
        n_positions: Encoder positions with content, from the start of the window.
    """

    slot: int
    token_ids: tuple[int, ...]
    n_prefix: int
    n_positions: int


@dataclass(frozen=True, slots=True)
class SearchInput:
    """An attempt with several hypotheses at the window of a parked slot.

    Attributes:
        slot: Its window is encoded, its prefix computed.
        starts: How the first rows sample.
        n_rows: Rows that there may be later.
        n_candidates: 1 lets each row sample; more are the likeliest tokens of each row.
    """

    slot: int
    starts: tuple[RowStart, ...]
    n_rows: int
    n_candidates: int


class Prefilled(NamedTuple):
    """The first sampled token of a row, and what the logits at `<|startoftranscript|>` say about silence."""

    sampled: Sampled
    no_speech_prob: float


class Verified(NamedTuple):
    """The tokens of a row that were found in one step, in their order, and how many a draft model had proposed."""

    sampled: tuple[Sampled, ...]
    n_drafted: int


Stepped: TypeAlias = "Sampled | Prefilled | Verified | None"
"""What a step says about a row: its token, its first token, several tokens, or nothing yet."""


class Detected(NamedTuple):
    """Probabilities of the languages, in the order of `ModelRunner.language_ids`, and of silence."""

    probabilities: list[float]
    no_speech_prob: float


class Runner(Protocol):
    """What the turns need of a `ModelRunner`; see there."""

    @property
    def n_slots(self) -> int:
        """Rows of the cache."""
        ...

    def session(self) -> AbstractContextManager[None]:
        """What the thread that makes the calls stays in meanwhile."""
        ...

    def encode(self, windows: Sequence[WindowInput]) -> list[EncodedWindow]:
        """Fill slots with cross-attention keys and values; the device may go on with it after the call."""
        ...

    def is_encoded(self, slot: int) -> bool:
        """Whether the device has filled a slot: until then, whoever uses it waits."""
        ...

    def detect(self, slots: Sequence[int]) -> list[Detected]:
        """Ask for the language of encoded slots."""
        ...

    def prefill(self, inputs: Sequence[PrefillInput]) -> Sequence[Prefilled | None]:
        """Compute prefixes and sample the first token of each row, or leave both to the steps that follow: None."""
        ...

    def restart(self, slot: int, start: RowStart) -> None:
        """Let a live or parked row sample again from the end of its prefix."""
        ...

    def park(self, slot: int, start: RowStart) -> None:
        """Take a live row out of the steps."""
        ...

    def begin_search(self, search: SearchInput) -> None:
        """Let the workspace begin on an attempt at the window of a parked row."""
        ...

    def search(self, moves: Sequence[Move]) -> list[list[Sampled]]:
        """One step of the search that has begun."""
        ...

    def step(self, slots: Sequence[int]) -> Sequence[Stepped]:
        """Sample one token in every live row, or several; what comes back may be that of the step before."""
        ...

    def stop(self, slot: int) -> None:
        """Let a live row sample no more; its window stays."""
        ...

    def align(self, inputs: Sequence[AlignInput]) -> list[TokenAttention]:
        """Compute the attention of whole rows."""
        ...

    def release(self, slot: int, *, wipe: bool = False) -> None:
        """Make a row idle."""
        ...

    def free_memory(self) -> None:
        """Give unused memory back to the device."""
        ...
