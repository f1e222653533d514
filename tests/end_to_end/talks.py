"""Long recordings made of the held-out clips, with what is said in them and when."""

from __future__ import annotations

import io
import json
import re
import wave
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ifw.audio import decode
from ifw.constants import SAMPLE_RATE

HELDOUT = Path(__file__).parent / "heldout"


@dataclass(frozen=True)
class Sentence:
    """Something that is said in a talk."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Talk:
    """Samples at 16 kHz, and the sentences in them."""

    samples: np.ndarray
    sentences: tuple[Sentence, ...]

    @property
    def duration_s(self):
        return len(self.samples) / SAMPLE_RATE

    @property
    def text(self):
        return " ".join(sentence.text for sentence in self.sentences)


@cache
def clip(name):
    """One held-out clip as a talk."""
    (entry,) = [entry for entry in json.loads((HELDOUT / "manifest.json").read_text("utf-8")) if entry["file"] == name]
    sentences = tuple(Sentence(s["start_s"], s["end_s"], s["text"]) for s in entry["segments"])
    return Talk(decode(HELDOUT / name).samples, sentences)


def silence(duration_s):
    """Digital silence."""
    return Talk(np.zeros(round(duration_s * SAMPLE_RATE), np.float32), ())


def noise(duration_s, level, seed=0):
    """White noise of this root mean square."""
    n_samples = round(duration_s * SAMPLE_RATE)
    return Talk((level * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32), ())


def music(duration_s):
    """A chord with a beat."""
    times = np.arange(round(duration_s * SAMPLE_RATE)) / SAMPLE_RATE
    chord = sum(np.sin(2 * np.pi * pitch * times) for pitch in (220.0, 277.2, 329.6, 440.0))
    return Talk((0.08 * chord * (0.4 + 0.6 * np.exp(-4 * (times % 0.5)))).astype(np.float32), ())


def joined(*parts):
    """Talks one after the other."""
    sentences, start_s = [], 0.0
    for part in parts:
        sentences += [Sentence(start_s + s.start_s, start_s + s.end_s, s.text) for s in part.sentences]
        start_s += part.duration_s
    return Talk(np.concatenate([part.samples for part in parts]), tuple(sentences))


def quieter(talk, by_db):
    """The same talk at a lower level."""
    return Talk((talk.samples * 10 ** (-by_db / 20)).astype(np.float32), talk.sentences)


def wav(talk):
    """A talk as the bytes of a wav file."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(talk.samples, -1, 1) * 32767).astype("<i2").tobytes())
    return data.getvalue()


def words(text):
    """Lower-case words without punctuation, joined by spaces."""
    return " ".join(re.sub(r"[^\w' ]", " ", text.lower()).split())


def distance_s(talk, time_s):
    """How far a time is from the nearest sentence; 0 inside of one."""
    return min(max(s.start_s - time_s, time_s - s.end_s, 0.0) for s in talk.sentences)
