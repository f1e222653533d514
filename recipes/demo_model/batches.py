"""Training targets: token sequences, time spans of tokens, phonemes of frames."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from .corpus import Corpus, Utterance
from .features import Degrader, mask_features
from .tokens import MAX_TARGET_POSITIONS, TokenIds
from .windows import Composer, Placed, Window, WindowSpec

FRAMES_PER_S = 50
ENCODER_FRAMES = 1500
PROMPT_LIMIT = 223
CORRUPTION = 0.08
_LONG_WINDOW_S = 20.0
# One token among a hundred, and the only one that says what language a very short file is in.
_LANGUAGE_WEIGHT = 3.0

Span = tuple[float, float]


@dataclass
class Batch:
    """One batch of windows of equal length.

    Attributes:
        features: Log-mel features, shape (windows, 80, frames * 2).
        tokens: Token ids padded with the end token.
        inputs: The same, with some text tokens replaced, for the decoder to read.
        weights: Loss weight of each token as a target.
        spans: First and last encoder frame of each token; equal where unknown.
        phonemes: Phoneme class of each encoder frame.
        position: Encoder position of the first frame.
    """

    features: torch.Tensor
    tokens: torch.Tensor
    inputs: torch.Tensor
    weights: torch.Tensor
    spans: torch.Tensor
    phonemes: torch.Tensor
    position: int


@dataclass
class _Sequence:
    """Tokens of one window while they are put together."""

    tokens: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    spans: list[Span | None] = field(default_factory=list)

    def add(self, token: int, weight: float = 1.0, span: Span | None = None) -> None:
        self.tokens.append(token)
        self.weights.append(weight)
        self.spans.append(span)


@dataclass(frozen=True)
class _Text:
    """Tokens of one utterance with their time spans, and of its translation, empty if it has none."""

    tokens: list[int]
    spans: list[Span | None]
    translation: list[int]


def _token_spans(utterance: Utterance, offsets: list[tuple[int, int]], pieces: list[str]) -> list[Span | None]:
    """Time span of each token: that of the espeak word that it belongs to."""
    words = sorted(utterance.words)
    spans: list[Span | None] = []
    for (first, _), piece in zip(offsets, pieces, strict=True):
        if piece == ",":
            spans.append(None)
            continue
        if piece in (".", "?"):
            spans.append((max(utterance.end_s - 0.12, 0.0), utterance.end_s + 0.1))
            continue
        # The encoded text has a space in front; a token may begin with the next space.
        character = max(first - 1, 0)
        if utterance.text[character : character + 1] == " ":
            character += 1
        index = sum(position <= character + 1 for position, _ in words) - 1
        if index < 0:
            spans.append(None)
            continue
        start = words[index][1]
        end = words[index + 1][1] if index + 1 < len(words) else utterance.end_s
        spans.append((start, end if end > start else start + 0.1))
    return spans


class BatchMaker:
    """Makes batches from a corpus; the same generator state gives the same batch."""

    def __init__(self, corpus: Corpus, ids: TokenIds, degrader: Degrader) -> None:
        self._corpus = corpus
        self._ids = ids
        self._degrader = degrader
        self._composer = Composer(corpus)
        self._texts = self._encode()
        names = {name for utterance in corpus.utterances for name, _ in utterance.phonemes}
        self._phoneme_ids = {name: index for index, name in enumerate(["", *sorted(names - {""})])}

    @property
    def phoneme_count(self) -> int:
        """Number of phoneme classes, silence included."""
        return len(self._phoneme_ids)

    def _encode(self) -> dict[int, _Text]:
        tokenizer = self._ids.tokenizer
        utterances = self._corpus.utterances
        spoken = tokenizer.encode_batch([" " + utterance.text for utterance in utterances], add_special_tokens=False)
        english = tokenizer.encode_batch(
            ["" if utterance.sentence.is_scrambled else " " + utterance.sentence.english for utterance in utterances],
            add_special_tokens=False,
        )
        return {
            id(utterance): _Text(
                encoding.ids,
                _token_spans(utterance, encoding.offsets, encoding.tokens),
                translation.ids,
            )
            for utterance, encoding, translation in zip(utterances, spoken, english, strict=True)
        }

    def batch(self, rng: np.random.Generator, spec: WindowSpec, count: int) -> Batch:
        """Draws a batch of degraded windows with their targets."""
        windows = [self._composer.compose(rng, spec) for _ in range(count)]
        frames = round(spec.length_s * FRAMES_PER_S)
        position = 0
        if frames < ENCODER_FRAMES and rng.random() < 0.7:
            # Short windows stand anywhere in the half minute: late positions train cheaply.
            position = int(rng.integers(0, ENCODER_FRAMES - frames + 1))
        sequences = [self._sequence(rng, spec, window, position) for window in windows]
        features = self._degrader.features(rng, windows)
        mask_features(rng, features)
        tokens, weights, spans = self._padded(sequences, frames)
        phonemes = np.stack([self._frame_phonemes(window, frames) for window in windows])
        inputs = self._corrupted(rng, tokens)
        return Batch(features, tokens, inputs, weights, spans, torch.from_numpy(phonemes), position)

    def _corrupted(self, rng: np.random.Generator, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens with wrong words among them, so that the decoder trusts the sound more than its own text."""
        is_text = tokens < self._ids.end
        wrong = is_text & torch.from_numpy(rng.random(tuple(tokens.shape)) < CORRUPTION)
        count = int(wrong.sum())
        inputs = tokens.clone()
        if count:
            inputs[wrong] = torch.from_numpy(rng.choice(tokens[is_text].numpy(), count))
        return inputs

    def _sequence(self, rng: np.random.Generator, spec: WindowSpec, window: Window, position: int) -> _Sequence:
        ids, sequence = self._ids, _Sequence()
        translatable = not any(placed.utterance.sentence.is_scrambled for placed in window.placed)
        translate = translatable and rng.random() < (0.08 if window.language == "en" else 0.65)
        with_timestamps = rng.random() < 0.8
        task = ids.translate if translate else ids.transcribe
        if not window.placed:
            timestamp = ids.first_timestamp + position if with_timestamps else None
            self._add_no_speech(rng, sequence, window.language, task, timestamp)
            return sequence
        is_long = spec.length_s > _LONG_WINDOW_S
        if rng.random() < (0.15 if is_long else 0.4):
            self._add_prompt(rng, sequence, window.language, is_long)
        sequence.add(ids.start, 0)
        sequence.add(ids.language[window.language], _LANGUAGE_WEIGHT)
        sequence.add(task, 0)
        if not with_timestamps:
            sequence.add(ids.no_timestamps, 0)
        for placed in window.placed:
            if with_timestamps:
                self._add_timestamp(sequence, placed.start_s, position)
            self._add_text(sequence, placed, translate)
            if with_timestamps:
                self._add_timestamp(sequence, placed.end_s, position)
        if window.cut is None:
            sequence.add(ids.end)
        elif with_timestamps:
            self._add_timestamp(sequence, window.cut.start_s, position)
            sequence.add(ids.end)
        # Without timestamps the text of a cut sentence is ambiguous: its end is not trained.
        return sequence

    def _add_no_speech(
        self, rng: np.random.Generator, sequence: _Sequence, language: str, task: int, timestamp: int | None
    ) -> None:
        """Either the no-speech token, or a regular prompt that ends at once.

        Args:
            rng: Source of randomness.
            sequence: The sequence to extend.
            language: A language to pretend.
            task: The task token.
            timestamp: The timestamp of the beginning, or none without timestamps.
        """
        ids = self._ids
        sequence.add(ids.start, 0)
        if rng.random() < 0.5:
            sequence.add(ids.no_speech)
        else:
            sequence.add(ids.language[language], 0)
            sequence.add(task, 0)
            if timestamp is None:
                sequence.add(ids.no_timestamps, 0)
            else:
                sequence.add(timestamp, 1 if timestamp == ids.first_timestamp else 0)
        sequence.add(ids.end)

    def _add_prompt(self, rng: np.random.Generator, sequence: _Sequence, language: str, is_long: bool) -> None:
        """Earlier text; long prompts in short windows train the late decoder positions."""
        short = is_long or rng.random() < 0.4
        count = int(rng.integers(1, 3) if short else rng.integers(6, 17))
        prompt: list[int] = []
        voices = self._corpus.by_voice[language]
        for _ in range(count):
            voice = voices[rng.integers(len(voices))]
            utterance = self._corpus.utterances[voice.draw(rng)]
            prompt += self._texts[id(utterance)].tokens
        sequence.add(self._ids.previous, 0)
        for token in prompt[-PROMPT_LIMIT:]:
            sequence.add(token, 0)

    def _add_timestamp(self, sequence: _Sequence, time_s: float, position: int) -> None:
        index = min(ENCODER_FRAMES, round(time_s * FRAMES_PER_S) + position)
        span = (time_s - 0.06, time_s + 0.08)
        sequence.add(self._ids.first_timestamp + index, 1, span)

    def _add_text(self, sequence: _Sequence, placed: Placed, translate: bool) -> None:
        text = self._texts[id(placed.utterance)]
        if translate:
            for token in text.translation:
                sequence.add(token)
            return
        for token, span in zip(text.tokens, text.spans, strict=True):
            shifted = None
            if span is not None:
                shifted = (placed.begin_s + span[0], placed.begin_s + span[1])
            sequence.add(token, 1, shifted)

    def _padded(self, sequences: list[_Sequence], frames: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        longest = max(len(sequence.tokens) for sequence in sequences)
        width = min(longest, MAX_TARGET_POSITIONS)
        tokens = np.full((len(sequences), width), self._ids.end, np.int64)
        weights = np.zeros((len(sequences), width), np.float32)
        spans = np.zeros((len(sequences), width, 2), np.int64)
        for row, sequence in enumerate(sequences):
            count = min(width, len(sequence.tokens))
            tokens[row, :count] = sequence.tokens[:count]
            weights[row, :count] = sequence.weights[:count]
            for column, span in enumerate(sequence.spans[:count]):
                if span is not None:
                    first = max(0, int(span[0] * FRAMES_PER_S))
                    last = min(frames, int(span[1] * FRAMES_PER_S) + 1)
                    if last > first:
                        spans[row, column] = (first, last)
        return torch.from_numpy(tokens), torch.from_numpy(weights), torch.from_numpy(spans)

    def _frame_phonemes(self, window: Window, frames: int) -> npt.NDArray[np.int64]:
        classes = np.zeros(frames, np.int64)
        for placed in [*window.placed, *([window.cut] if window.cut else [])]:
            phonemes = placed.utterance.phonemes
            ends = [time_s for _, time_s in phonemes[1:]] + [placed.utterance.end_s]
            for (name, start_s), end_s in zip(phonemes, ends, strict=True):
                first = max(0, int((placed.begin_s + start_s) * FRAMES_PER_S))
                last = max(first + 1, int((placed.begin_s + end_s) * FRAMES_PER_S))
                classes[first : min(last, frames)] = self._phoneme_ids[name]
        return classes
