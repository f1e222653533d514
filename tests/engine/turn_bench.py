"""A loop on a fake runner, and what its windows say."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future

import tiny_models
from fake_runner import FakeRunner, Script

from ifw.config import DecodeOptions
from ifw.engine.loop import EngineLoop
from ifw.engine.request import DecodeRequest
from ifw.engine.scheduler import SchedulerPolicy
from ifw.engine.vocabulary import Vocabulary

TIMEOUT_S = 60
CHECKPOINT = tiny_models.demo_checkpoint()
VOCABULARY = Vocabulary(CHECKPOINT)
EOT = CHECKPOINT.tokenizer.eot
LANGUAGES = list(CHECKPOINT.languages)
GOOD = [(token, -0.1) for token in (*CHECKPOINT.tokenizer.encode(" Good morning."), EOT)]
OTHER = [(token, -0.2) for token in (*CHECKPOINT.tokenizer.encode(" The letter is here."), EOT)]
UNLIKELY = [(token, -5.0) for token, _ in GOOD]
LOOP = [(token, -0.1) for token in CHECKPOINT.tokenizer.encode(" Thank you." * 100)[:224]]


def text_of(attempt) -> str:
    return CHECKPOINT.tokenizer.decode([token for token, _ in attempt if token < EOT]).strip()


class Bench:
    """A loop on a fake runner."""

    def __init__(self, scripts, *, n_slots=4, **policy):
        scripts = {number: s if isinstance(s, Script) else Script([s]) for number, s in scripts.items()}
        self.runner = FakeRunner(scripts, n_slots, len(LANGUAGES))
        self.loop = EngineLoop(self.runner, VOCABULARY, SchedulerPolicy(**policy))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.loop.close()

    def submit(self, number, *, language="en", **kwargs) -> Future:
        options = kwargs.pop("options", DecodeOptions())
        return self.loop.submit(
            DecodeRequest(samples=self.runner.samples(number), language=language, options=options, **kwargs)
        )

    @contextlib.contextmanager
    def held(self):
        """Nothing comes back from the runner inside: what is submitted meets in the inbox."""
        self.runner.gate.clear()
        yield
        self.runner.gate.set()


def result(future: Future):
    return future.result(TIMEOUT_S)


def error(future: Future) -> BaseException | None:
    return future.exception(TIMEOUT_S)
