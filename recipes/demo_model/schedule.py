"""The training schedule as a function of progress, the share of the audio seen so far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .windows import WindowSpec

PEAK_LEARNING_RATE = 1.2e-3
FINAL_LEARNING_RATE_SHARE = 0.01
WARM_UP_STEPS = 200
DECAY_START = 0.56
PASSES = 8
LATE_PASSES = 16
LATE_START = 0.80
HALF_MINUTE_START = 0.42
TWELVE_SECONDS_START = 0.28

SIX_SECONDS = WindowSpec(6.0, 0.5, 0.15, 0.15, cut_sentences=False)
TWELVE_SECONDS = WindowSpec(12.0, 0.25, 0.2, 0.12, cut_sentences=True)
HALF_MINUTE = WindowSpec(30.0, 0.05, 0.22, 0.10, cut_sentences=True)


@dataclass(frozen=True)
class StepPlan:
    """What all processes together do in one step.

    Attributes:
        spec: The kind of windows.
        windows: Windows per pass.
        passes: Passes whose gradients are averaged, each done by whichever process is free.
        learning_rate: The learning rate.
        phoneme_weight: Weight of the phoneme loss.
        alignment_weight: Weight of the attention loss.
    """

    spec: WindowSpec
    windows: int
    passes: int
    learning_rate: float
    phoneme_weight: float
    alignment_weight: float

    @property
    def audio_s(self) -> float:
        """Seconds of audio of the step."""
        return self.spec.length_s * self.windows * self.passes


def learning_rate(step: int, progress: float) -> float:
    """Warm-up, constant, then a linear decay over the last part of the audio."""
    rate = PEAK_LEARNING_RATE * min(1.0, (step + 1) / WARM_UP_STEPS)
    if progress > DECAY_START:
        done = min(1.0, (progress - DECAY_START) / (1 - DECAY_START))
        rate *= 1 - done * (1 - FINAL_LEARNING_RATE_SHARE)
    return rate


def _spec(rng: np.random.Generator, progress: float) -> tuple[WindowSpec, int]:
    draw = rng.random()
    if progress < TWELVE_SECONDS_START:
        return (SIX_SECONDS, 4) if draw < 0.95 else (TWELVE_SECONDS, 2)
    if progress < HALF_MINUTE_START:
        if draw < 0.2:
            return SIX_SECONDS, 4
        return (TWELVE_SECONDS, 2) if draw < 0.95 else (HALF_MINUTE, 1)
    return (TWELVE_SECONDS, 3) if draw < 0.15 else (HALF_MINUTE, 1)


def plan(step: int, progress: float, seed: int) -> StepPlan:
    """The plan of one step; all processes draw the same one."""
    spec, windows = _spec(np.random.default_rng([seed, step]), progress)
    return StepPlan(
        spec=spec,
        windows=windows,
        passes=LATE_PASSES if progress >= LATE_START else PASSES,
        learning_rate=learning_rate(step, progress),
        phoneme_weight=0.5 if progress < HALF_MINUTE_START else 0.25,
        alignment_weight=0.3 if progress < LATE_START else 0.15,
    )
