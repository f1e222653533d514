"""A diarizer that finds what it is told, and fails or waits where a test wants that; it counts what it hears."""

import numpy as np
import torch

from ifw.diarize.turns import Diarization
from ifw.types import SpeakerTurn

RATE = 16_000


class ScriptedDiarizer:
    """Finds turns (start_s, end_s, speaker).

    Args:
        turns: Without overlap.
        overlapping: Turns that are there beside them, with overlap.
        fail_at_s: `error` is raised once so much was heard; None lets it be raised at the end.
        error: What is raised.
        gate: Nothing is heard before it is set, unless the work is cancelled.
    """

    def __init__(self, turns=(), *, overlapping=(), fail_at_s=None, error=None, gate=None):
        self.turns = tuple(SpeakerTurn(*turn) for turn in turns)
        self.overlapping = tuple(SpeakerTurn(*turn) for turn in overlapping)
        self.fail_at_s, self.error, self.gate = fail_at_s, error, gate
        self.voices = {}
        self.options = []
        self.heard = []
        self.n_threads = []

    def stream(self, options=None, *, on_progress=None, cancel=None):
        self.options.append(options)
        return _Stream(self, on_progress, cancel)


class _Stream:
    def __init__(self, owner, on_progress, cancel):
        self.owner, self.on_progress, self.cancel = owner, on_progress, cancel
        self.blocks = []
        owner.heard.append(self)

    @property
    def samples(self):
        return np.concatenate(self.blocks)

    def feed(self, samples):
        owner = self.owner
        while owner.gate is not None and not owner.gate.wait(0.01):
            self.cancel.raise_if_cancelled()
        self.cancel.raise_if_cancelled()
        self.blocks.append(samples)
        owner.n_threads.append(torch.get_num_threads())
        heard_s = sum(map(len, self.blocks)) / RATE
        self.on_progress(heard_s)
        if owner.error is not None and owner.fail_at_s is not None and heard_s >= owner.fail_at_s:
            raise owner.error

    def finish(self):
        self.owner.n_threads.append(torch.get_num_threads())
        if self.owner.error is not None:
            raise self.owner.error
        speakers = dict.fromkeys(turn.speaker for turn in self.owner.turns)
        embeddings = {speaker: np.full(4, index, np.float32) for index, speaker in enumerate(speakers)}
        embeddings |= {speaker: np.array(voice, np.float32) for speaker, voice in self.owner.voices.items()}
        turns = tuple(sorted(self.owner.turns + self.owner.overlapping, key=lambda turn: turn.start_s))
        return Diarization(turns, self.owner.turns, embeddings)
