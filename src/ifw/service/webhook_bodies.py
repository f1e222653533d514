"""The bodies of webhooks: an event of Standard Webhooks, or what clients of other servers expect."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ifw.fetch import shown_url
from ifw.formats.legacy import to_legacy_dict
from ifw.formats.reading import from_json
from ifw.service.payload import dialect_of, options_of, source_of

if TYPE_CHECKING:
    from ifw.service.payload import Dialect
    from ifw.tasks import Task

MAX_TRANSCRIPT_BYTES: Final = 8 << 20
"""A longer transcript is left out of a native event; its receiver asks for it. That of some 50 hours is longer."""


class EventBodies:
    """Makes the body of the event that a task has ended.

    Args:
        result: The transcript of a task that succeeded, in JSON, by its id.
        model: The name of the checkpoint.
    """

    def __init__(self, result: Callable[[str], str], model: str) -> None:
        self._result = result
        self._model = model

    def __call__(self, task: Task) -> bytes:
        """The body.

        Args:
            task: It has ended.
        """
        makers: Mapping[Dialect, Callable[[Task], Mapping[str, Any]]] = {
            "native": self._native,
            "legacy": self._legacy,
            "baseten": self._baseten,
        }
        event = makers[dialect_of(task.payload)](task)
        return json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    def _native(self, task: Task) -> dict[str, Any]:
        """As Standard Webhooks recommends: `type`, `timestamp`, `data`."""
        source = source_of(task.payload)
        text = self._result(task.id) if task.state == "succeeded" else None
        is_sent = text is not None and len(text.encode()) <= MAX_TRANSCRIPT_BYTES
        data = {
            "id": task.id,
            "state": task.state,
            "source": {
                "url": None if source.url is None else shown_url(source.url),
                "name": source.name,
                "n_bytes": source.n_bytes,
                "sha256": source.sha256,
            },
            "created_at": _written(task.created_at),
            "started_at": _written(task.started_at),
            "ended_at": _written(task.ended_at),
            "expires_at": _written(task.expires_at),
            "error": None if task.error is None else {"code": task.error.code, "message": task.error.message},
            "transcript": json.loads(text) if text is not None and is_sent else None,
            "is_transcript_left_out": text is not None and not is_sent,
        }
        return {"type": f"task.{task.state}", "timestamp": _written(task.ended_at), "data": data}

    def _legacy(self, task: Task) -> dict[str, Any]:
        """As the API that this one succeeds: `output` or `error`."""
        if task.state == "succeeded":
            return {"output": self._legacy_output(task), "status": "completed", "task_id": task.id}
        return {"error": _message(task), "status": "error", "task_id": task.id}

    def _baseten(self, task: Task) -> dict[str, Any]:
        """As Baseten's async inference. Source: its documentation of the webhook's payload."""
        errors = [] if task.state == "succeeded" else [{"code": _code(task), "message": _message(task)}]
        return {
            "request_id": task.id,
            "model_id": self._model,
            "deployment_id": self._model,
            "type": "async_request_completed",
            "time": _written(task.ended_at),
            "data": self._legacy_output(task) if task.state == "succeeded" else None,
            "errors": errors,
        }

    def _legacy_output(self, task: Task) -> dict[str, Any]:
        has_words = options_of(task.payload).decode.word_timestamps
        return to_legacy_dict(from_json(self._result(task.id)), words=has_words)


def _code(task: Task) -> str:
    return "cancelled" if task.error is None else task.error.code


def _message(task: Task) -> str:
    return "the task was cancelled" if task.error is None else task.error.message


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
