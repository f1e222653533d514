"""Services of the tests, and transcriptions that do not end before the test says so."""

from __future__ import annotations

import threading
from pathlib import Path

import ifw
from ifw.cancellation import CancelToken
from ifw.config import TranscribeOptions
from ifw.service.service import Service
from ifw.service.settings import load_settings

SAMPLE = Path(ifw.__file__).parent / "demo" / "sample.mp3"
OPTIONS = TranscribeOptions()


def service_in(folder: Path, **settings: object) -> Service:
    return Service(load_settings({"model": "demo", "data_dir": folder / "data", "n_threads": 1, **settings}))


class Held:
    """Transcriptions that have begun and cannot end before `release` is set."""

    def __init__(self, service: Service, number: int) -> None:
        self.release = threading.Event()
        self.begun = threading.Semaphore(0)
        self.tokens = [CancelToken() for _ in range(number)]
        self.futures = [
            service.transcribe_now(SAMPLE, OPTIONS, cancel=token, on_segment=self._hold) for token in self.tokens
        ]

    def _hold(self, segment: ifw.Segment) -> None:
        self.begun.release()
        self.release.wait(60)
