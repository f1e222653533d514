"""How tasks are kept and worked. Nothing here reads the environment."""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ifw.errors import ConfigError

DELIVERY_DELAYS_S: Final = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 21600, 28800)
"""Pauses between the attempts of a delivery: eleven attempts, the last about 22 hours after the first."""


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """Where tasks live, and their limits.

    Attributes:
        data_dir: Folder of the database and of the spool folders. It is made where it does not exist.
        database_url: `postgresql://...`; None keeps everything in SQLite files in `data_dir`, for one process.
        max_running: Tasks that one worker runs at once.
        urgent_from: Tasks of at least this priority run beside the others, again at most `max_running` at once, so that
            none waits for one that is not urgent; None has all wait for each other.
        max_queued: Tasks that may wait; past it `QueueFullError`.
        result_ttl_s: Seconds that an ended task is kept with its result and its files.
        default_deadline_s: Deadline of tasks that name none; None is none.
        max_crashes: A task fails when this many workers in a row died over it without getting any further.
        webhook_secret: `whsec_` and base64; webhook events are signed where it is set. Not shown by `repr`.
        allow_nets: Private networks that webhooks may reach.
        delivery_delays_s: Pauses between the attempts of a delivery; one attempt more than there are pauses.
        delivery_jitter: Part of a pause by which it is longer or shorter, at random.
        delivery_timeout_s: How long one attempt may take.
        max_posts: Attempts in flight at once. A quarter is for origins that have answered before, and at most half
            for deliveries that were tried before, so that receivers that hang leave room for the others.
        max_posts_per_origin: Of those, to one scheme, host and port.
        heartbeat_s: Seconds between signs of life of a worker.
        dead_after_s: A worker without a sign of life for so long has its tasks taken over.
        poll_s: How often a worker looks for queued tasks.
        flush_s: How often what stages report is written, for all tasks in one transaction.
    """

    data_dir: Path
    database_url: str | None = field(default=None, repr=False)
    max_running: int = 4
    urgent_from: int | None = None
    max_queued: int = 10_000
    result_ttl_s: float = 7 * 86400.0
    default_deadline_s: float | None = None
    max_crashes: int = 3
    webhook_secret: str | None = field(default=None, repr=False)
    allow_nets: tuple[str, ...] = ()
    delivery_delays_s: tuple[float, ...] = DELIVERY_DELAYS_S
    delivery_jitter: float = 0.1
    delivery_timeout_s: float = 10.0
    max_posts: int = 192
    max_posts_per_origin: int = 8
    heartbeat_s: float = 2.0
    dead_after_s: float = 14.0
    poll_s: float = 0.2
    flush_s: float = 0.3

    def __post_init__(self) -> None:
        for name in ("max_running", "max_queued", "max_crashes", "max_posts", "max_posts_per_origin"):
            _require_integer(name, getattr(self, name))
        for name in ("result_ttl_s", "delivery_timeout_s", "heartbeat_s", "dead_after_s", "poll_s", "flush_s"):
            _require_positive(name, getattr(self, name))
        if self.default_deadline_s is not None:
            _require_positive("default_deadline_s", self.default_deadline_s)
        for delay_s in self.delivery_delays_s:
            _require_positive("delivery_delays_s", delay_s)
        if not 0 <= self.delivery_jitter < 1:
            raise ConfigError(f"delivery_jitter: got {self.delivery_jitter!r}, allowed: a number from 0 to below 1")
        if self.dead_after_s < 3 * self.heartbeat_s:
            raise ConfigError(f"dead_after_s: got {self.dead_after_s:g}, allowed: at least three times heartbeat_s")
        if self.database_url is not None and not self.database_url.startswith(("postgresql://", "postgres://")):
            scheme = self.database_url.partition(":")[0]
            raise ConfigError(
                f"database_url: got {scheme}:..., allowed: postgresql://user@host/database, or none for SQLite"
            )
        if self.webhook_secret is not None:
            _require_secret(self.webhook_secret)


def _require_integer(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name}: got {value!r}, allowed: an integer from 1")


def _require_positive(name: str, value: Any) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value <= 0:
        raise ConfigError(f"{name}: got {value!r}, allowed: a number of seconds above 0")


def _require_secret(secret: str) -> None:
    try:
        bare = secret.removeprefix("whsec_").rstrip("=")  # padding may be there or not
        key = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith("whsec_") or not key:
        raise ConfigError("webhook_secret: allowed: whsec_ followed by the base64 of the key (24 to 64 random bytes)")
