"""Delivers webhook events: a bounded number at once, each again and again until it has arrived or a day has passed.

Receivers that hang hold up others only as far as the bounds let them: by origin, by how many of all attempts may be
repeated ones or go to origins that have not answered yet, and by the time that an attempt may take. Tasks do not wait
for any of it.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Final

import standardwebhooks
from sqlalchemy.exc import SQLAlchemyError

from ifw.cancellation import CancelToken
from ifw.errors import CancelledError, FetchError, IfwError, TaskNotFoundError
from ifw.fetch import post
from ifw.tasks.database_retries import persist
from ifw.tasks.deliveries import Deliveries, Due, Room, Tried, event_headers
from ifw.tasks.records import Task
from ifw.tasks.site import Site

EventBuilder = Callable[[Task], bytes]
"""Makes the body of a webhook event, in UTF-8, from a task that has ended."""

_log: Final = logging.getLogger("ifw.tasks")
_LOOK_S: Final = 1.0  # how often deliveries of other processes are looked for
_GONE: Final = 410
_MAX_PROVEN: Final = 500


def plain_event(task: Task) -> bytes:
    """An event that only says which task ended how."""
    ended_at = task.ended_at or task.created_at
    data = {"id": task.id, "state": task.state}
    event = {"type": f"task.{task.state}", "timestamp": ended_at.isoformat().replace("+00:00", "Z"), "data": data}
    return json.dumps(event).encode()


class Courier:
    """The deliveries of one worker.

    Args:
        site: Where the tasks are.
        build: Makes the body of an event.
    """

    def __init__(self, site: Site, build: EventBuilder) -> None:
        self._site = site
        self._options = site.options
        self._build = build
        self._deliveries = Deliveries(site)
        secret = site.options.webhook_secret
        self._signer = None if secret is None else standardwebhooks.Webhook(secret)
        self._lock = threading.Lock()
        self._by_origin: Counter[str] = Counter()
        self._n_retries = 0
        self._n_unproven = 0
        self._proven: dict[str, None] = {}  # the oldest first
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._cancel = CancelToken()
        self._pool = ThreadPoolExecutor(site.options.max_posts, thread_name_prefix="ifw-webhook")
        self._thread = threading.Thread(target=self._loop, name="ifw-task-courier", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._site.bell.listen_to_all(self._wake.set)
        self._thread.start()

    def close(self, grace_s: float) -> None:
        """Begin no more attempts; those under way may end within the grace, and are made again later otherwise."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        deadline = time.monotonic() + grace_s
        while self._n_posts() > 0 and time.monotonic() < deadline:
            self._wake.clear()
            self._wake.wait(max(0.0, min(0.1, deadline - time.monotonic())))
        self._cancel.cancel()
        self._pool.shutdown(wait=True)

    def _loop(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            wait_s = _LOOK_S
            try:
                self._begin_due()
                next_in_s = self._deliveries.next_due_in_s() if self._n_posts() < self._options.max_posts else None
                if next_in_s is not None and next_in_s > 0:
                    wait_s = min(wait_s, next_in_s)
            except SQLAlchemyError as error:
                _log.warning("deliveries are looked for again: %s", type(error).__name__)
            except Exception:  # such as of a process that may not have another thread
                _log.exception("deliveries are looked for again")
            self._wake.wait(wait_s)

    def _begin_due(self) -> None:
        most = self._options.max_posts
        with self._lock:
            room = Room(
                n_all=most - self._by_origin.total(),
                n_retries=max(1, most // 2) - self._n_retries,
                n_unproven=max(1, most - most // 4) - self._n_unproven,
                proven=set(self._proven),
                free_at=self._free_at,
            )
        for due in self._deliveries.take_due(room, self._options.delivery_timeout_s):
            is_unproven = due.origin not in room.proven
            self._count(due, 1, is_unproven=is_unproven)
            try:
                self._pool.submit(self._deliver, due, is_unproven)
            except BaseException:
                self._count(due, -1, is_unproven=is_unproven)
                self._deliveries.release(due)
                raise

    def _count(self, due: Due, change: int, *, is_unproven: bool) -> None:
        """Note that an attempt begins (1) or is over (-1)."""
        with self._lock:
            self._by_origin[due.origin] += change
            if self._by_origin[due.origin] == 0:
                del self._by_origin[due.origin]
            self._n_retries += change * (due.n_tries > 0)
            self._n_unproven += change * is_unproven

    def _free_at(self, origin: str) -> int:
        with self._lock:
            return self._options.max_posts_per_origin - self._by_origin[origin]

    def _n_posts(self) -> int:
        with self._lock:
            return self._by_origin.total()

    def _deliver(self, due: Due, is_unproven: bool) -> None:
        try:
            if self._closing.is_set():
                self._deliveries.release(due)
                return
            tried = self._attempt(due)
            self._prove(due.origin, answers=tried is not None and tried.status is not None)
            if tried is None:
                self._deliveries.release(due)
                return
            persist(lambda: self._deliveries.record(due, tried), self._closing)
        except SQLAlchemyError as error:
            _log.warning("an attempt for task %s could not be recorded: %s", due.task_id, type(error).__name__)
        except Exception:
            _log.exception("the delivery for task %s is tried again", due.task_id)
        finally:
            self._count(due, -1, is_unproven=is_unproven)
            self._wake.set()
            self._site.bell.ring([due.task_id])

    def _prove(self, origin: str, *, answers: bool) -> None:
        """Remember whether an origin answers, whatever it answers."""
        with self._lock:
            self._proven.pop(origin, None)
            if answers:
                self._proven[origin] = None
            if len(self._proven) > _MAX_PROVEN:
                del self._proven[next(iter(self._proven))]

    def _attempt(self, due: Due) -> Tried | None:
        """Post an event once; None where that was broken off."""
        at, started = time.time(), time.monotonic()
        status: int | None = None
        error: str | None = None
        try:
            body = persist(lambda: self._deliveries.body(due.task_id, self._build), self._closing)
            reply = post(
                due.webhook.url,
                body,
                self._headers(due, body, at),
                timeout_s=self._options.delivery_timeout_s,
                allow_nets=self._options.allow_nets,
                cancel=self._cancel,
            )
            status = reply.status
            error = None if reply.is_success else f"the receiver answered {reply.status}"
        except (CancelledError, TaskNotFoundError):
            return None
        except FetchError as failure:
            error = f"{failure.code}: {failure}"
        except IfwError as failure:
            error = f"{failure.code}: the event could not be sent: {failure}"
        except SQLAlchemyError:
            raise
        except Exception:
            _log.exception("the event of task %s could not be made", due.task_id)
            error = "internal: the event could not be made; the log has details"
        return self._tried(due, at, time.monotonic() - started, status, error)

    def _tried(self, due: Due, at: float, duration_s: float, status: int | None, error: str | None) -> Tried:
        if error is None:
            return Tried(at, status, None, duration_s, "delivered", at)
        delays_s = self._options.delivery_delays_s
        if status == _GONE or due.n_tries >= len(delays_s):
            _log.warning("the webhook of task %s is given up: %s", due.task_id, error)
            return Tried(at, status, error, duration_s, "failed", at)
        jitter = self._options.delivery_jitter
        delay_s = delays_s[due.n_tries] * random.uniform(1 - jitter, 1 + jitter)
        return Tried(at, status, error, duration_s, "pending", time.time() + delay_s)

    def _headers(self, due: Due, body: bytes, at: float) -> dict[str, str]:
        timestamp = datetime.fromtimestamp(int(at), tz=timezone.utc)
        ours = {
            "Content-Type": "application/json",
            "webhook-id": due.message_id,
            "webhook-timestamp": str(int(at)),
        }
        if self._signer is not None:
            ours["webhook-signature"] = self._signer.sign(due.message_id, timestamp, body.decode())
        return event_headers(due.webhook.headers, ours)
