"""Short clips cut from the bundled sample, and what an undisturbed run makes of them."""

import io
import json
import wave
from pathlib import Path

import numpy as np

from ifw import Transcriber
from ifw.audio import decode
from ifw.formats.json import to_json

RATE = 16_000
CLIP_S = 3.5
SAMPLE = Path(__file__).parents[2] / "src/ifw/demo/sample.mp3"
CLIPS = tuple(f"clip{number}.wav" for number in range(8))
LONG = "long.wav"
"""All of the sample, which is several windows."""
LONGER = "longer.wav"
"""More windows than are decoded together, so that it can be interrupted between two of them."""


def samples():
    """[n] float32: the bundled sample."""
    return decode(SAMPLE).samples


def wav(what):
    """A file of 16-bit samples."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(what, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def make_clips():
    """File name -> bytes."""
    whole = samples()
    starts = np.linspace(0, len(whole) - CLIP_S * RATE, len(CLIPS)).astype(int)
    clips = {name: wav(whole[start : start + int(CLIP_S * RATE)]) for name, start in zip(CLIPS, starts, strict=True)}
    return {**clips, LONG: wav(whole), LONGER: wav(np.tile(whole, 5))}


def told(transcript):
    """What of a transcript in JSON does not depend on the run."""
    what = json.loads(transcript) if isinstance(transcript, (str, bytes)) else transcript
    unlike = ("avg_logprob", "no_speech_prob")  # their last digits depend on what else is in the batch
    segments = [{name: value for name, value in one.items() if name not in unlike} for one in what["segments"]]
    return {"text": what["text"], "language": what["language"], "duration_s": what["duration_s"], "segments": segments}


class Undisturbed(dict):
    """File name -> what an undisturbed run says, found out when it is first asked for."""

    def __init__(self, files):
        super().__init__()
        self.files = files
        self.n_windows = {}  # that the engine completed for it
        self.transcriber = Transcriber("demo", n_threads=1)

    def __missing__(self, name):
        before = self.transcriber.stats().n_completed
        self[name] = told(to_json(self.transcriber.transcribe(self.files[name])))
        self.n_windows[name] = self.transcriber.stats().n_completed - before
        return self[name]
