"""What the process has done, as numbers that Prometheus reads. Each service has a registry of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram

from ifw.errors import CancelledError, IfwError

if TYPE_CHECKING:
    from ifw.types import Transcript

Kind = Literal["sync", "task"]
_SPEEDS: Final = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_SECONDS: Final = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)


class ServiceMetrics:
    """Counts transcriptions and stages.

    Attributes:
        registry: What `/metrics` writes; the server adds its requests.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._ended = Counter(
            "ifw_transcriptions",
            "Transcriptions that ended, by kind and outcome.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self._audio = Counter("ifw_audio_seconds", "Seconds of audio transcribed.", ["kind"], registry=self.registry)
        self._wall = Counter(
            "ifw_transcription_seconds",
            "Wall seconds that these transcriptions took.",
            ["kind"],
            registry=self.registry,
        )
        self._speed = Histogram(
            "ifw_speed_factor",
            "Seconds of audio a wall second, of each transcription.",
            ["kind"],
            buckets=_SPEEDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "ifw_stage_seconds",
            "Wall seconds of each stage of a task.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )

    def transcribed(self, kind: Kind, transcript: Transcript, wall_s: float) -> None:
        """Count one that succeeded."""
        self.ended(kind, "succeeded")
        self._audio.labels(kind).inc(transcript.duration_s)
        self._wall.labels(kind).inc(wall_s)
        if wall_s > 0:
            self._speed.labels(kind).observe(transcript.duration_s / wall_s)

    def ended(self, kind: Kind, outcome: str) -> None:
        """Count one that ended.

        Args:
            kind: `sync` is one that somebody waited for.
            outcome: `succeeded`, or the code of an error.
        """
        self._ended.labels(kind, outcome).inc()

    @contextmanager
    def counted(self, kind: Kind) -> Iterator[None]:
        """Count a transcription that fails in the block. A task that is stopped may go on later: it has not ended."""
        try:
            yield
        except CancelledError as error:
            if kind == "sync":
                self.ended(kind, error.code)
            raise
        except IfwError as error:
            self.ended(kind, error.code)
            raise
        except Exception:
            self.ended(kind, "internal")
            raise

    def stage(self, name: str, wall_s: float) -> None:
        """Count a stage of a task that ended."""
        self._stages.labels(name).observe(wall_s)
