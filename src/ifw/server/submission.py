"""Handing a task to the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from anyio import to_thread

from ifw.fetch import AddressGuard, check_headers, check_url
from ifw.service.payload import options_of
from ifw.service.service import Service
from ifw.tasks import Task, TaskRequest, Webhook


def checked_webhook(service: Service, url: str | None, headers: Mapping[str, str] | None) -> Webhook | None:
    """The webhook of a request, or None where it has none.

    Raises:
        UrlInvalidError: It is no http or https URL.
        UrlForbiddenError: Its address is not allowed.
        ConfigError: A header is not allowed.
    """
    if url is None:
        return None
    check_reachable(service, url)
    check_headers(headers or {})
    return Webhook(url, dict(headers or {}))


def check_reachable(service: Service, url: str) -> None:
    """Refuse what could never be fetched or told, before a task is made of it; asks nobody.

    Raises:
        UrlInvalidError: It is no http or https URL.
        UrlForbiddenError: Its address is not allowed.
    """
    check_url(url, AddressGuard(service.settings.allow_nets))


async def submitted(
    service: Service, request: TaskRequest, *, task_id: str | None = None, key: str | None = None
) -> tuple[Task, bool]:
    """Submit a task.

    Args:
        service: Takes it.
        request: What is to be done.
        task_id: Its id; None makes one up.
        key: The idempotency key of the client: the same request with the same key is one task.

    Returns:
        The task, and whether it is a new one.

    Raises:
        LanguageError: The checkpoint does not know the language.
        ModeError: The checkpoint cannot do what is asked for.
        PromptError: A prompt cannot be used.
        QueueFullError: Too many tasks wait.
        TaskExistsError: The id is taken.
        TaskIdError: The id is not allowed.
        IdempotencyError: The key belongs to another request.
    """
    print_ = fingerprint(request.payload, request.priority, request.deadline_s, request.webhook)

    def submit() -> tuple[Task, bool]:
        service.check(options_of(request.payload))
        return service.tasks.submit(request, task_id=task_id, idempotency_key=key, fingerprint=print_)

    return await to_thread.run_sync(submit)


def fingerprint(payload: Mapping[str, Any], priority: int, deadline_s: float | None, webhook: Webhook | None) -> str:
    """What tells one request from another: the audio by its URL or its checksum, and everything that was said."""
    told = None if webhook is None else [webhook.url, sorted(webhook.headers.items())]
    whole = json.dumps([dict(payload), priority, deadline_s, told], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()
