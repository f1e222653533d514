"""Threads that hear voices lend a hand to those that work at the text: neither hears or writes anything else for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from ifw import DecodeOptions, TranscribeOptions, Transcriber
from ifw.audio import decode
from ifw.diarize.diarizer import Diarizer
from ifw.kernels.library import load
from ifw.model.cores import use_cores

pytestmark = pytest.mark.skipif(not load().kernels, reason=load().reason or "there are no kernels")
OPTIONS = TranscribeOptions(decode=DecodeOptions(word_timestamps=True, token_logprobs=True))
N_THREADS = 3
DIALOGUE = Path(str(files("ifw") / "demo_diarizer" / "dialogue.mp3"))


@pytest.fixture(scope="module")
def transcriber():
    with Transcriber("demo", "cpu", n_threads=N_THREADS) as transcriber:
        yield transcriber


def test_both_are_what_they_are_alone(transcriber):
    dialogue = decode(DIALOGUE).samples
    listener = Diarizer("demo", device="cpu")._listener
    is_written = threading.Event()

    def hear():
        use_cores(N_THREADS)
        return listener.hear(dialogue)

    def hear_until_all_is_written():
        heard = [hear()]
        while not is_written.is_set():
            heard.append(hear())
        return heard

    speech, embeddings = hear()
    text = transcriber.transcribe(DIALOGUE, OPTIONS)
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(hear_until_all_is_written)
        try:
            texts = [transcriber.transcribe(DIALOGUE, OPTIONS) for _ in range(4)]
        finally:
            is_written.set()
    for written in texts:
        assert written.segments == text.segments
    for heard in beside.result():
        np.testing.assert_array_equal(heard[0], speech)
        np.testing.assert_array_equal(heard[1], embeddings)
