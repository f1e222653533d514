"""Stands in for `ifw.transcriber`: no torch, no model; what a "recording" does is written in the file itself.

A recording is JSON with any of: `say` ([[start_s, end_s, text], ...]), `heard` (probabilities of languages), `warn`
(messages), `warn_code` (of these), `after` (a file that must end first), `hang` (until cancelled), `stuck` (whoever
cancels), `bug`, `fail` (a code) with `message`.
"""

import dataclasses
import inspect
import json
import sys
import threading
import types
from pathlib import Path
from typing import ClassVar

from ifw import errors
from ifw.types import Progress, Segment, Transcript, TranscriptWarning

BY_CODE = {item.code: item for _, item in inspect.getmembers(errors, inspect.isclass) if hasattr(item, "code")}


class Transcription:
    def __init__(self, owner, source, options, *, on_progress, cancel, journal):
        self.owner, self.options, self.on_progress, self.cancel = owner, options, on_progress, cancel
        self.journal = journal
        if isinstance(source, Path) and not source.is_file():
            raise errors.AudioNotFoundError(f"{source}: no regular file")
        data = source.read_bytes() if isinstance(source, Path) else source.read()
        self.path = getattr(source, "name", "<stdin>") if not isinstance(source, Path) else source
        self.name = Path(self.path).name
        self.recording = json.loads(data)
        self.segments = []

    def __iter__(self):
        recording = self.recording
        for start_s, end_s, text in recording.get("say", []):
            self.on_progress(Progress("transcribe", end_s, 10.0))
            language = self.options.decode.language or "en"
            segment = Segment(len(self.segments), start_s, end_s, text, (1,), language, 0.0, -0.1, 1.0, 0.0)
            if self.journal is not None:
                if not self.segments:
                    self.journal.begin({"recording": recording})
                self.journal.append({"said": text})
            self.segments.append(segment)
            yield segment
        if "after" in recording and not self.owner.ended(recording["after"]).wait(10):
            raise RuntimeError(f"{recording['after']} never ended")
        if "hang" in recording:
            self.hang()
        if "stuck" in recording:
            threading.Event().wait(60)
        self.owner.ended(self.name).set()
        if "bug" in recording:
            raise KeyError("a bug")
        if "fail" in recording:
            message = recording.get("message", f"this recording fails with {recording['fail']}")
            raise BY_CODE[recording["fail"]](message.format(name=self.path))

    def hang(self):
        cancelled = threading.Event()
        self.cancel.add_callback(cancelled.set)
        self.owner.hanging.set()
        if not cancelled.wait(30):
            raise RuntimeError("nobody cancelled")
        self.cancel.raise_if_cancelled()

    @property
    def partial(self):
        final_s = max((segment.end_s for segment in self.segments), default=None)
        return None if final_s is None else dataclasses.replace(self.transcript, duration_s=final_s)

    @property
    def transcript(self):
        probabilities = self.recording.get("heard", {})
        code = self.recording.get("warn_code", "audio_truncated")
        warnings = [TranscriptWarning(code, item) for item in self.recording.get("warn", [])]
        return Transcript(
            text=" ".join(segment.text for segment in self.segments),
            segments=tuple(self.segments),
            language="en",
            language_probability=probabilities.get("en", 1.0),
            duration_s=10.0,
            mode=self.options.decode.mode,
            model=self.owner.model,
            warnings=tuple(warnings),
            timings={"load": 0.5, "total": 2.0},
            language_probabilities=probabilities,
        )


class Transcriber:
    made: ClassVar[list["Transcriber"]] = []

    def __init__(self, model="turbo", *, config, diarization_model=None, draft_model=None):
        if model == "missing":
            raise errors.ModelNotFoundError("no checkpoint is called 'missing'")
        self.model, self.config, self.draft_model = model, config, draft_model
        self.diarization_model = diarization_model
        self.options, self.is_closed, self.n_warm_ups = [], False, 0
        self.hanging = threading.Event()
        self._lock, self._ended = threading.Lock(), {}
        self.made.append(self)

    def transcribe(self, source, options=None):
        assert source[:4] == b"RIFF"
        assert not self.options  # nothing was transcribed while cold
        self.n_warm_ups += 1

    def stream(self, source, options=None, *, on_progress=None, cancel=None, journal=None):
        self.options.append(options)
        if options.decode.language == "yue":
            raise errors.LanguageError("language: got 'yue', allowed: what this checkpoint knows")
        return Transcription(self, source, options, on_progress=on_progress, cancel=cancel, journal=journal)

    def ended(self, name):
        with self._lock:
            return self._ended.setdefault(name, threading.Event())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.is_closed = True


def module():
    """A fresh module with a class of its own, so that tests share nothing."""
    fake = types.ModuleType("ifw.transcriber")
    fake.Transcriber = type("Transcriber", (Transcriber,), {"made": []})
    return fake


def main():
    """`python fake_transcriber.py ARGUMENTS` is `ifw ARGUMENTS` without a model."""
    from ifw.cli import main as ifw

    sys.modules["ifw.transcriber"] = module()
    ifw()


if __name__ == "__main__":
    main()
