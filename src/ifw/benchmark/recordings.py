"""Recordings to measure with: the bundled speech, cut anew for every window, as mp3 of 44.1 kHz in stereo."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ifw.audio.whole import decode
from ifw.benchmark.keeping import kept
from ifw.constants import SAMPLE_RATE

STEP_S: Final = 29.75  # of windows in a long recording: each ends in silence, where every engine can cut
_MADE_AS: Final = 1
_RATE: Final = 44_100
_GAP_S: Final = 0.1
_NOISE: Final = 0.002  # so that nothing else is silent
_SHORTER_S: Final = 0.5  # the end, as mp3 adds a little
_CLIP_S: Final = (5.0, 29.0)
_BLOCK: Final = 1_152  # samples of an mp3 frame


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to transcribe.

    Attributes:
        path: An mp3.
        ends_s: Where its windows end.
        n_tokens: Of each window.
    """

    path: str
    ends_s: tuple[float, ...]
    n_tokens: int


def long_recording(folder: Path, n_windows: int, n_tokens: int, seed: int) -> Recording:
    """Many windows in one file.

    Args:
        folder: Keeps the file for the next run.
        n_windows: Windows of `STEP_S`.
        n_tokens: Of each.
        seed: Of the cuts.
    """

    def write(path: Path) -> None:
        random, sample = np.random.default_rng(seed), _sample()
        samples = np.concatenate([_speech(sample, STEP_S, random) for _ in range(n_windows)])
        write_mp3(path, samples[: -round(_SHORTER_S * SAMPLE_RATE)])

    path = kept(folder, f"long-{n_windows}-{seed}-of-{_sample_sum():08x}.mp3", _MADE_AS, write)
    ends_s = [STEP_S * (index + 1) for index in range(n_windows)]
    ends_s[-1] -= _SHORTER_S
    return Recording(str(path), tuple(ends_s), n_tokens)


def short_recordings(folder: Path, n_clips: int, n_tokens: int, seed: int) -> list[Recording]:
    """Clips of 5 to 29 s, each with tokens for its length.

    Args:
        folder: Keeps the files.
        n_clips: How many.
        n_tokens: Of a clip of 30 s.
        seed: Of lengths and cuts.
    """
    random, sample = np.random.default_rng(seed), _sample()
    found = []
    for index, duration_s in enumerate(random.uniform(*_CLIP_S, n_clips).round(1)):
        samples = _speech(sample, float(duration_s), random)  # also where it is not needed: the next one depends on it
        name = f"clip-{index}-of-{n_clips}-{seed}-of-{_sample_sum():08x}.mp3"
        path = kept(folder, name, _MADE_AS, partial(write_mp3, samples=samples))
        found.append(Recording(str(path), (float(duration_s),), max(1, round(n_tokens * duration_s / 30))))
    return found


def as_json(recordings: list[Recording]) -> list[dict[str, object]]:
    """For a driver."""
    return [json.loads(json.dumps(asdict(recording))) for recording in recordings]


def _sample_path() -> str:
    return str(files("ifw") / "demo" / "sample.mp3")


def _sample() -> npt.NDArray[np.float32]:
    return decode(_sample_path()).samples


def _sample_sum() -> int:
    """Tells one bundled sample from another."""
    return zlib.crc32(Path(_sample_path()).read_bytes())


def _speech(sample: npt.NDArray[np.float32], duration_s: float, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """A stretch of the bundled sample from anywhere, silent around its end."""
    made = np.resize(np.roll(sample, -int(random.integers(len(sample)))), round(duration_s * SAMPLE_RATE))
    made += _NOISE * random.standard_normal(len(made), np.float32)
    n_gap = round(_GAP_S / 2 * SAMPLE_RATE)
    made[:n_gap] = made[-n_gap:] = 0.0
    return made


def write_mp3(path: Path, samples: npt.NDArray[np.float32]) -> None:
    """Encode samples of 16 kHz as mp3 of 44.1 kHz in stereo, 128 kbit/s."""
    import av  # noqa: PLC0415 - where there is no such package, engines can still be measured

    resampler = av.AudioResampler(format="s16p", layout="stereo", rate=_RATE)
    with av.open(str(path), "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=_RATE, layout="stereo")
        stream.bit_rate = 128_000
        for first in range(0, len(samples), SAMPLE_RATE):
            frame = av.AudioFrame.from_ndarray(samples[None, first : first + SAMPLE_RATE], "flt", "mono")
            frame.sample_rate = SAMPLE_RATE
            frame.pts, frame.time_base = first, Fraction(1, SAMPLE_RATE)
            for part in resampler.resample(frame):
                container.mux(stream.encode(part))
        for part in resampler.resample(None):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
