"""The values that enter and leave the task store. All are frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

TaskState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
DeliveryState = Literal["none", "pending", "delivered", "failed"]

TASK_STATES: Final[tuple[TaskState, ...]] = ("queued", "running", "succeeded", "failed", "cancelled")
ENDED_STATES: Final[frozenset[TaskState]] = frozenset(("succeeded", "failed", "cancelled"))
MAX_PRIORITY: Final = 1000


@dataclass(frozen=True, slots=True)
class Webhook:
    """Who is told when a task has ended.

    Attributes:
        url: Where the event is posted. Not shown by `repr`, as it may hold a secret.
        headers: Sent along, as the caller gave them. Not shown by `repr`.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """What is asked for.

    Attributes:
        payload: What the stages are to do, made of what JSON knows.
        priority: Higher goes first, -1000 to 1000; equal ones in the order of their submission.
        deadline_s: Seconds from submission after which the task fails; None takes that of `TaskOptions`.
        webhook: Who is told of the end.
    """

    payload: Mapping[str, Any]
    priority: int = 0
    deadline_s: float | None = None
    webhook: Webhook | None = None


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How far a stage is.

    Attributes:
        done_s: Seconds of audio, or whatever the stage counts, that are done.
        total_s: How many there are; None where that is not known yet.
    """

    done_s: float
    total_s: float | None


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """Why a task failed.

    Attributes:
        code: Stable; that of the `IfwError`, or `internal`.
        message: For people.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One POST of a webhook event.

    Attributes:
        at: When it began.
        status: The HTTP status of the reply; None where there was none.
        error: What went wrong; None where nothing did.
        duration_s: Wall seconds that it took.
    """

    at: datetime
    status: int | None
    error: str | None
    duration_s: float


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it stands. Times are aware, in UTC.

    Attributes:
        id: Its name, unique among those that are kept.
        state: `queued` and `running` may follow each other several times; the other three are final.
        payload: As submitted.
        priority: As submitted.
        version: Grows with every change that can be seen here or in its events.
        created_at: When it was submitted.
        started_at: When a worker first took it.
        ended_at: When it reached its final state.
        expires_at: When it will be removed with its result; None until it has ended.
        deadline_at: When it fails if it has not ended.
        progress: By stage.
        stage: The one that is running.
        timings: Wall seconds by stage, and what stages add to it.
        error: Why it failed.
        n_attempts: How often a worker took it.
        webhook: Who is told of the end.
        delivery_state: Whether that was done; `none` without a webhook or before the end.
        deliveries: Every POST so far, in order.
    """

    id: str
    state: TaskState
    payload: Mapping[str, Any] = field(repr=False)
    priority: int
    version: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None
    deadline_at: datetime | None
    progress: Mapping[str, StageProgress]
    stage: str | None
    timings: Mapping[str, float]
    error: TaskFailure | None
    n_attempts: int
    webhook: Webhook | None
    delivery_state: DeliveryState
    deliveries: tuple[DeliveryAttempt, ...]

    @property
    def has_ended(self) -> bool:
        """Whether the state is final."""
        return self.state in ENDED_STATES


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A part of the list of tasks, newest first.

    Attributes:
        tasks: At most as many as were asked for.
        next: Cursor of the next page; None on the last.
    """

    tasks: tuple[Task, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class TaskStats:
    """How busy the tasks are, over all workers.

    Attributes:
        n_queued: Waiting for a worker.
        n_running: With a worker.
        n_succeeded: Ended well, and still kept.
        n_failed: Failed, and still kept.
        n_cancelled: Cancelled, and still kept.
        n_pending_deliveries: Webhook events that have not reached their receiver yet.
        n_workers: Processes that work tasks, as far as their heartbeat tells.
    """

    n_queued: int
    n_running: int
    n_succeeded: int
    n_failed: int
    n_cancelled: int
    n_pending_deliveries: int
    n_workers: int
