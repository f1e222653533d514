"""Composes training windows: utterances placed on a time line, or sound without speech."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .corpus import Corpus, Utterance, Voice
from .espeak import SAMPLE_RATE, FloatArray
from .grammar import LANGUAGES

NON_SPEECH_SHARE = 0.05
ONE_VOICE_SHARE = 0.55
SCRAMBLED_WINDOWS = 0.4
SCRAMBLED_SHARE = 0.3
_LANGUAGE_SHARES = (0.34, 0.33, 0.33)


@dataclass(frozen=True)
class WindowSpec:
    """How windows of one length are composed.

    Attributes:
        length_s: Length of the window.
        stop_probability: Probability, after each sentence, that no further one follows.
        packed_share: Share of windows that look like the output of a voice activity packer.
        single_share: Share of windows with one sentence at the very start.
        cut_sentences: Whether a sentence may run over the end of the window.
    """

    length_s: float
    stop_probability: float
    packed_share: float
    single_share: float
    cut_sentences: bool


@dataclass(frozen=True)
class Placed:
    """An utterance on the time line of a window."""

    utterance: Utterance
    begin_s: float

    @property
    def start_s(self) -> float:
        """Where its sound begins in the window."""
        return self.begin_s + self.utterance.start_s

    @property
    def end_s(self) -> float:
        """Where its sound ends in the window."""
        return self.begin_s + self.utterance.end_s


@dataclass
class Window:
    """A composed window before degradation.

    Attributes:
        language: The language that is spoken, or a pretended one where nothing is.
        samples: The clean samples.
        placed: The complete utterances in order.
        cut: The utterance that the end of the window cuts off, if any.
        content_end_s: End of the recording; zero padding follows.
        scrambled_share: Probability that an utterance is no sentence of the grammar.
    """

    language: str
    samples: FloatArray
    placed: list[Placed] = field(default_factory=list)
    cut: Placed | None = None
    content_end_s: float = 0.0
    scrambled_share: float = 0.0


class Composer:
    """Draws windows from a corpus."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus

    def compose(self, rng: np.random.Generator, spec: WindowSpec, language: str | None = None) -> Window:
        """Draws one window, of a given language or of any."""
        if language is None:
            language = LANGUAGES[rng.choice(3, p=_LANGUAGE_SHARES)]
        samples = np.zeros(round(spec.length_s * SAMPLE_RATE), np.float32)
        window = Window(language, samples, content_end_s=spec.length_s)
        # Some windows have none at all: only those can be translated.
        if rng.random() < SCRAMBLED_WINDOWS:
            window.scrambled_share = SCRAMBLED_SHARE
        if rng.random() < NON_SPEECH_SHARE:
            window.samples = non_speech(rng, len(samples))
            return window
        layout = rng.random()
        if layout < spec.packed_share:
            self._fill_packed(rng, spec, window)
        elif layout < spec.packed_share + spec.single_share:
            self._fill_single(rng, spec, window)
        else:
            self._fill_natural(rng, spec, window)
        return window

    def _voice(self, rng: np.random.Generator, language: str) -> Voice:
        voices = self._corpus.by_voice[language]
        return voices[rng.integers(len(voices))]

    def _utterance(self, rng: np.random.Generator, voice: Voice, window: Window) -> Utterance:
        return self._corpus.utterances[voice.draw(rng, window.scrambled_share)]

    def _add(self, rng: np.random.Generator, window: Window, placed: Placed) -> None:
        first = int(placed.begin_s * SAMPLE_RATE)
        samples = self._corpus.samples(placed.utterance)[: len(window.samples) - first]
        gain = np.float32(10 ** (rng.uniform(-6, 3) / 20))
        window.samples[first : first + len(samples)] += samples * gain

    def _fill_natural(self, rng: np.random.Generator, spec: WindowSpec, window: Window) -> None:
        """Sentences with gaps of all lengths, up to the end or until a random stop."""
        lead_limit = 0.9 if rng.random() < 0.85 else min(spec.length_s * 0.5, 8.0)
        time_s = rng.uniform(0, lead_limit)
        one_voice = rng.random() < ONE_VOICE_SHARE
        # Some windows are dense throughout, so that long token sequences are common.
        pause_scale = 0.5 if rng.random() < 0.5 else 1.0
        voice = self._voice(rng, window.language)
        while True:
            if not one_voice:
                voice = self._voice(rng, window.language)
            utterance = self._utterance(rng, voice, window)
            placed = Placed(utterance, time_s)
            if time_s + utterance.duration_s > spec.length_s - 0.06:
                if not window.placed:
                    if time_s > 0.3:
                        time_s = rng.uniform(0, 0.3)
                    continue
                self._maybe_cut(rng, spec, window, placed)
                break
            self._add(rng, window, placed)
            window.placed.append(placed)
            time_s += utterance.duration_s + _pause_s(rng) * pause_scale
            if rng.random() < spec.stop_probability:
                break
        if window.cut is None and rng.random() < 0.5:
            window.content_end_s = _end_after(rng, window, spec.length_s)

    def _maybe_cut(self, rng: np.random.Generator, spec: WindowSpec, window: Window, placed: Placed) -> None:
        if spec.cut_sentences and placed.start_s < spec.length_s - 0.25 and rng.random() < 0.5:
            self._add(rng, window, placed)
            window.cut = placed

    def _fill_packed(self, rng: np.random.Generator, spec: WindowSpec, window: Window) -> None:
        """Speech spans joined with short silences, then zeros, as a packer makes them."""
        budget_s = spec.length_s - 0.06
        if spec.length_s > 3:
            budget_s = min(budget_s, rng.uniform(3.0, spec.length_s))
        longest_gap_s = rng.choice([0.15, 0.4, 0.8])
        time_s = rng.uniform(0, 0.35)
        while True:
            voice = self._voice(rng, window.language)
            utterance = self._utterance(rng, voice, window)
            if time_s + utterance.duration_s > budget_s:
                if window.placed:
                    break
                budget_s = spec.length_s - 0.06
                continue
            placed = Placed(utterance, time_s)
            self._add(rng, window, placed)
            window.placed.append(placed)
            time_s += utterance.duration_s + rng.uniform(0.02, longest_gap_s)
        window.content_end_s = _end_after(rng, window, spec.length_s, longest=0.4)

    def _fill_single(self, rng: np.random.Generator, spec: WindowSpec, window: Window) -> None:
        """One sentence at the very start of an otherwise empty window."""
        while True:
            voice = self._voice(rng, window.language)
            utterance = self._utterance(rng, voice, window)
            if utterance.duration_s < spec.length_s - 0.4:
                break
        placed = Placed(utterance, rng.uniform(0, 0.3))
        self._add(rng, window, placed)
        window.placed.append(placed)
        window.content_end_s = _end_after(rng, window, spec.length_s)


def _pause_s(rng: np.random.Generator) -> float:
    kind = rng.random()
    if kind < 0.6:
        return float(rng.uniform(0.05, 0.8))
    return float(rng.uniform(0.8, 2.5) if kind < 0.9 else rng.uniform(2.5, 7.0))


def _end_after(rng: np.random.Generator, window: Window, length_s: float, longest: float = 1.5) -> float:
    return min(length_s, window.placed[-1].end_s + float(rng.uniform(0.02, longest)))


def coloured_noise(rng: np.random.Generator, count: int, exponent: float) -> FloatArray:
    """Noise of unit variance whose amplitude falls with frequency to the given power."""
    noise = rng.standard_normal(count, dtype=np.float32)
    if exponent == 0:
        return noise
    spectrum = np.fft.rfft(noise)
    spectrum /= np.maximum(np.arange(len(spectrum)), 1.0) ** exponent
    shaped = np.fft.irfft(spectrum, count).astype(np.float32)
    return np.asarray(shaped / (shaped.std() + 1e-9), np.float32)


def _tones(rng: np.random.Generator, count: int) -> FloatArray:
    time = np.arange(count, dtype=np.float32) / SAMPLE_RATE
    total = np.zeros(count, np.float32)
    for _ in range(rng.integers(1, 4)):
        total += np.sin(2 * np.pi * rng.uniform(40, 3500) * time + rng.uniform(0, 6))
    return total


def _music(rng: np.random.Generator, count: int) -> FloatArray:
    """A sequence of notes or chords with overtones, decaying or held."""
    total = np.zeros(count, np.float32)
    voices = rng.integers(1, 5)
    shortest, longest = (0.1, 0.8) if rng.random() < 0.6 else (0.8, 4.0)
    first = 0
    while first < count:
        last = min(count, first + int(rng.uniform(shortest, longest) * SAMPLE_RATE))
        time = np.arange(last - first, dtype=np.float32) / SAMPLE_RATE
        envelope = np.exp(-time * rng.uniform(0, 6))
        root = 220 * 2 ** (rng.integers(-14, 20) / 12)
        for step in (0, *rng.choice([3, 4, 5, 7, 9, 12], voices - 1, replace=False)):
            for harmonic in range(1, rng.integers(2, 6)):
                frequency = root * 2 ** (step / 12) * harmonic
                total[first:last] += np.sin(2 * np.pi * frequency * time) / harmonic * envelope
        first = last
    return total


def _clicks(rng: np.random.Generator, count: int) -> FloatArray:
    total = np.zeros(count, np.float32)
    for _ in range(rng.integers(1, 20)):
        first = rng.integers(0, count - 800)
        burst = rng.standard_normal(400) * np.exp(-np.arange(400) / 60)
        total[first : first + 400] += burst.astype(np.float32)
    return total


def _hum(rng: np.random.Generator, count: int) -> FloatArray:
    time = np.arange(count, dtype=np.float32) / SAMPLE_RATE
    base = float(rng.choice([50.0, 60.0, 100.0, 120.0]))
    total = np.zeros(count, np.float32)
    for harmonic in range(1, rng.integers(2, 8)):
        total += np.sin(2 * np.pi * base * harmonic * time) * rng.uniform(0, 1) / harmonic
    return total


def non_speech(rng: np.random.Generator, count: int) -> FloatArray:
    """Silence, noise, tones, music, clicks or hum."""
    kind = rng.integers(0, 8)
    level = 10 ** rng.uniform(-3, -0.3)
    if kind == 0:
        return np.zeros(count, np.float32)
    if kind <= 2:
        noise = coloured_noise(rng, count, float(rng.choice([0.0, 0.5, 1.0])))
        return np.asarray(np.clip(0.5 * level * noise, -1, 1), np.float32)
    maker = {3: _tones, 4: _music, 5: _music, 6: _clicks, 7: _hum}[int(kind)]
    sound = maker(rng, count)
    sound *= level / (np.abs(sound).max() + 1e-6)
    if rng.random() < 0.5:
        sound += 10 ** rng.uniform(-5, -2) * rng.standard_normal(count, dtype=np.float32)
    return np.asarray(sound, np.float32)
