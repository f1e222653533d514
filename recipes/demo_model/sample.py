"""Makes the bundled sample: a dialogue of two held-out voices in held-out sentences."""

from __future__ import annotations

import json
import random
from pathlib import Path

import av
import numpy as np

from .espeak import SAMPLE_RATE, FloatArray, Synthesiser
from .grammar import Sentence, sentences

AUDIO_NAME = "sample.mp3"
REFERENCE_NAME = "sample.json"
_BIT_RATE = 32000
_VOICES = {"A": ("en-us+f4", 158, 55), "B": ("en+m7", 150, 42)}
_DIALOGUE = """
A: Good morning, Peter.
B: Good morning and thank you, Julia.
A: The meeting with David is on Friday.
B: The meeting starts on Friday at eight thirty.
A: Please call Helen at three o'clock.
B: Helen is in the office.
B: Helen is looking for the phone in the warehouse.
A: The phone is under the bed.
A: I would like coffee and two tomatoes.
B: Robert drinks tea every morning.
A: The delivery arrives in fourteen days.
B: Order number four seven three is ready.
B: The bicycle costs eleven euros.
A: The bicycle is new.
A: We have nine books in Madrid.
B: Where is the train to Lisbon?
A: The train to Paris leaves at eight o'clock.
A: The bus leaves in nine minutes.
B: It is raining in London and in Dublin.
A: Tomorrow it will be sunny in Lisbon.
B: David travels from Rome to Vienna.
A: My brother lives in Brussels.
A: Please call my brother on Thursday.
B: Please call Anna at nine o'clock.
A: The dog and the cat sleep under the tree.
B: Where is the market?
A: Turn right at the station.
B: Good evening and thank you, Julia.
A: See you on Tuesday.
"""


def _turns() -> list[tuple[str, Sentence]]:
    """The dialogue as speakers and sentences of the grammar, all of them held out."""
    lines = [line.split(": ", 1) for line in _DIALOGUE.strip().splitlines()]
    wanted = {text for _, text in lines}
    found: dict[str, Sentence] = {}
    for sentence in sentences(random.Random(0), held_out=True):
        if sentence.english in wanted:
            found[sentence.english] = sentence
            if len(found) == len(wanted):
                break
    return [(speaker, found[text]) for speaker, text in lines]


def _speak(rng: np.random.Generator) -> tuple[FloatArray, list[dict[str, object]]]:
    synthesiser = Synthesiser()
    chunks = [np.zeros(int(0.4 * SAMPLE_RATE), np.float32)]
    length = len(chunks[0])
    spoken: list[dict[str, object]] = []
    previous = ""
    for speaker, sentence in _turns():
        if previous:
            # A change of speaker takes a little longer than going on.
            low, high = (0.5, 1.3) if speaker != previous else (0.35, 0.7)
            pause = np.zeros(int(rng.uniform(low, high) * SAMPLE_RATE), np.float32)
            chunks.append(pause)
            length += len(pause)
        voice, rate, pitch = _VOICES[speaker]
        speech = synthesiser.speak(sentence.english, voice, rate, pitch, 50)
        begin_s = length / SAMPLE_RATE
        spoken.append(
            {
                "speaker": speaker,
                "start_s": round(begin_s + speech.start_s, 3),
                "end_s": round(begin_s + speech.end_s, 3),
                "text": sentence.english,
                "english": sentence.english,
            }
        )
        chunks.append(speech.samples)
        length += len(speech.samples)
        previous = speaker
    chunks.append(np.zeros(int(0.6 * SAMPLE_RATE), np.float32))
    return np.concatenate(chunks), spoken


def write_mp3(path: Path, samples: FloatArray) -> None:
    """Encodes mono samples at 16 kHz, at a constant bit rate."""
    pcm = (samples.clip(-1, 1) * 32767).astype(np.int16)[None]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=SAMPLE_RATE)
        stream.layout = "mono"
        stream.bit_rate = _BIT_RATE
        stream.format = "s16p"
        size = stream.frame_size or 1152
        for first in range(0, pcm.shape[1], size):
            part = np.ascontiguousarray(pcm[:, first : first + size])
            frame = av.AudioFrame.from_ndarray(part, format="s16p", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            frame.pts = first
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_sample(folder: Path, seed: int = 0) -> float:
    """Writes the sample and its reference text; returns its length in seconds."""
    samples, spoken = _speak(np.random.default_rng(seed))
    folder.mkdir(parents=True, exist_ok=True)
    write_mp3(folder / AUDIO_NAME, samples)
    reference = {"file": AUDIO_NAME, "language": "en", "segments": spoken}
    text = json.dumps(reference, indent=1, ensure_ascii=False)
    (folder / REFERENCE_NAME).write_text(text + "\n", encoding="utf-8")
    return len(samples) / SAMPLE_RATE
