"""Makes the bundled dialogue: three held-out voices, who interrupt each other now and then."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Final

import numpy as np

from recipes.demo_model.espeak import SAMPLE_RATE, FloatArray, Synthesiser
from recipes.demo_model.grammar import sentences
from recipes.demo_model.sample import write_mp3

from .acoustics import noise

AUDIO_NAME: Final = "dialogue.mp3"
REFERENCE_NAME: Final = "dialogue.json"
_NOISE: Final = 0.001  # root mean square
# Voice, words per minute, pitch, loudness. All three are of variants that were never trained on.
_SPEAKERS: Final = {"A": ("en-us+f4", 158, 55, 0.8), "B": ("en+m7", 150, 42, 0.6), "C": ("en-us+max", 165, 62, 0.5)}
# Seconds from the end of the line before; less than none where somebody interrupts.
_DIALOGUE: Final = """
0.6 A: Good morning, Peter.
0.5 B: Good morning and thank you, Julia.
0.7 A: The meeting with David is on Friday.
0.4 B: The meeting starts on Friday at eight thirty.
0.9 C: Please call Helen at three o'clock.
0.5 A: Helen is in the office.
0.4 A: Helen is looking for the phone in the warehouse.
0.8 C: The phone is under the bed.
0.6 B: I would like coffee and two tomatoes.
-0.3 C: Robert drinks tea every morning.
0.7 A: The delivery arrives in fourteen days.
0.4 A: Order number four seven three is ready.
0.8 B: Where is the train to Lisbon?
0.5 C: The train to Paris leaves at eight o'clock.
0.4 B: The bus leaves in nine minutes.
-0.4 A: It is raining in London and in Dublin.
0.9 C: See you on Tuesday.
"""


def write_sample(folder: Path, seed: int) -> dict[str, object]:
    """Write the dialogue and its reference; returns what the reference says of the file."""
    lines = [line.split(" ", 2) for line in _DIALOGUE.strip().splitlines()]
    _expect_held_out({text for _, _, text in lines})
    synthesiser = Synthesiser()
    spoken: list[dict[str, object]] = []
    parts: list[tuple[int, FloatArray]] = []
    end_s = 0.0
    for pause, speaker, text in lines:
        voice, rate, pitch, loudness = _SPEAKERS[speaker[0]]
        speech = synthesiser.speak(text, voice, rate, pitch, 50)
        start_s = end_s + float(pause)
        parts.append((round((start_s - speech.start_s) * SAMPLE_RATE), speech.samples * np.float32(loudness)))
        end_s = start_s + speech.end_s - speech.start_s
        times = {"start_s": round(start_s, 3), "end_s": round(end_s, 3)}
        spoken.append({"speaker": speaker[0], **times, "text": text})
    samples = noise(np.random.default_rng(seed), round((end_s + 0.8) * SAMPLE_RATE)) * np.float32(_NOISE)
    for start, part in parts:
        samples[start : start + len(part)] += part
    folder.mkdir(parents=True, exist_ok=True)
    write_mp3(folder / AUDIO_NAME, samples)
    about: dict[str, object] = {"file": AUDIO_NAME, "language": "en", "speakers": len(_SPEAKERS)}
    text = json.dumps({**about, "segments": spoken}, indent=1, ensure_ascii=False)
    (folder / REFERENCE_NAME).write_text(text + "\n", encoding="utf-8")
    return about


def _expect_held_out(wanted: set[str]) -> None:
    """Look for all sentences among those that no network was trained on; ends once all are found."""
    missing = set(wanted)
    for sentence in sentences(random.Random(0), held_out=True):
        missing.discard(sentence.english)
        if not missing:
            return
