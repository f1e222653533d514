"""Speech from the bundled sample, and the voice detector."""

import json
from importlib import resources

import av
import numpy as np
import pytest

from ifw.kernels.library import Loaded, load
from ifw.kernels.voice_network import NativeVoiceNetwork
from ifw.speech.vad import VoiceDetector
from ifw.types import SpeechSpan


@pytest.fixture(scope="session")
def speech():
    """[n] float32 mono, 16 kHz: the bundled sample."""
    with resources.files("ifw.demo").joinpath("sample.mp3").open("rb") as file, av.open(file) as container:
        resampler = av.AudioResampler("flt", "mono", 16_000)
        blocks = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(blocks)


@pytest.fixture(scope="session")
def utterances():
    """Where somebody speaks in the bundled sample."""
    text = resources.files("ifw.demo").joinpath("sample.json").read_text(encoding="utf-8")
    return [SpeechSpan(segment["start_s"], segment["end_s"]) for segment in json.loads(text)["segments"]]


@pytest.fixture(
    scope="session",
    params=[
        pytest.param("native", marks=pytest.mark.skipif(not load().kernels, reason=load().reason or "has kernels")),
        "torch",
    ],
)
def detector(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "torch":
            patch.setattr("ifw.speech.vad.load", lambda: Loaded((), "not for this test"))
        made = VoiceDetector()
    assert isinstance(made._score, NativeVoiceNetwork) == (request.param == "native"), "no folding"
    return made
