"""The table of errors in `docs/api.md`: the codes and statuses of the server, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from ifw.errors import IfwError
from ifw.server.errors import CODES_OF_STATUS
from ifw.server.statuses import INTERNAL, STATUS

_OPERATOR: Final = "Ask who runs the server: `/health/ready` and the log say more."
_REASON: Final = "The message says what is allowed."

ADVICE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "unauthorized": "Send one of the server's [keys](server.md#keys).",
        "site_forbidden": "Add the name to `IFW_ALLOW_HOSTS`, the page to `IFW_CORS_ORIGINS`, or set `ADMIN_KEY`.",
        "model_not_found": "Ask for a name that `/v1/models` lists, or leave the model out.",
        "task_not_found": "Look for it in `GET /tasks`; it may have expired or been removed.",
        "not_found": "See `/docs`.",
        "method_not_allowed": "See `/docs`.",
        "request_timeout": "Send it again, with an `Idempotency-Key`.",
        "task_exists": "Take another id, or the task that has it.",
        "task_ended": "Take its transcript, or remove it.",
        "task_unfinished": "Follow its events, and ask when it has ended.",
        "task_failed": "`error` of the task says why.",
        "task_cancelled": "Submit it again.",
        "task_deadline": "Give it a longer `deadline_s` or a higher `priority`.",
        "task_poisoned": "Submit it again; if it fails again, the log of the server says why its workers died.",
        "task_without_webhook": "Submit it with a `webhook`.",
        "request_too_large": "Send less, or have a larger `IFW_MAX_UPLOAD_BYTES` or `IFW_MAX_BODY_BYTES` set.",
        "audio_too_long": "Cut it, or have a larger `IFW_MAX_AUDIO` set.",
        "fetch_too_large": "Have a larger `IFW_MAX_FETCH_BYTES` set.",
        "media_type_unsupported": _REASON,
        "audio_format": "Send an audio or video file: no playlist, no page, no archive.",
        "config_invalid": _REASON,
        "audio_invalid": "Send another file.",
        "audio_not_found": "Send it again; the workers must [share the data folder](server.md#several-machines).",
        "audio_empty": "Send the whole file.",
        "audio_no_stream": "Send a file with sound in it.",
        "audio_damaged": "Send another copy of it.",
        "language_unknown": f"{_REASON} Left out, the language is detected.",
        "mode_unsupported": "Use a checkpoint that can; the message names one.",
        "diarization_unavailable": "Leave it out, or have `IFW_DIARIZATION_MODEL` set: [speakers](server.md#speakers).",
        "prompt_invalid": _REASON,
        "request_invalid": "The message names the field, and says what is allowed.",
        "url_invalid": _REASON,
        "url_forbidden": "Use a public address, or have the network added to `IFW_ALLOW_NETS`.",
        "task_invalid": _REASON,
        "task_cursor_invalid": "Begin with the first page.",
        "task_id_invalid": _REASON,
        "idempotency_mismatch": "Send the request of before, or another key.",
        "fetch_failed": "See that the URL can be reached from the server.",
        "fetch_status": "See that the URL needs no login and has not expired.",
        "fetch_timeout": "Try again, or upload the file.",
        "queue_full": "Ask again after `Retry-After` seconds.",
        INTERNAL: "Report it with the `x-request-id` of the reply.",
        "extra_missing": _OPERATOR,
        "not_ready": "Ask again after `Retry-After` seconds.",
        "database_unreachable": "Ask again after `Retry-After` seconds.",
        "disk_full": f"Ask again later. {_OPERATOR}",
        "cancelled": "Ask again: the server was shutting down.",
        "engine_closed": "Ask again: the server was shutting down.",
        "engine_memory": f"Ask again. {_OPERATOR}",
        "model_invalid": _OPERATOR,
        "model_gated": _OPERATOR,
        "model_offline": _OPERATOR,
        "model_format": _OPERATOR,
        "model_unsafe": _OPERATOR,
    }
)
"""Code -> what to do."""

_WITHOUT_CLASS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "not_found": "There is no such path.",
        "method_not_allowed": "The path is there, but not for this method.",
        INTERNAL: "The server's own fault.",
    }
)


def error_table() -> str:
    """One row a code that clients can meet, by status; those that are shown as `internal` are left out.

    Raises:
        SystemExit: A code has no advice, or there is advice on a code that is none.
    """
    statuses = {code: status for code, status in STATUS.items() if status != 500 or code == INTERNAL}
    statuses |= {code: status for status, code in CODES_OF_STATUS.items() if code not in STATUS}
    if unknown := statuses.keys() ^ ADVICE.keys():
        raise SystemExit(f"tools/error_table.py: ADVICE and the server's codes differ in: {', '.join(sorted(unknown))}")
    meanings = {one.code: (one.__doc__ or "").partition("\n")[0] for one in _classes(IfwError)} | dict(_WITHOUT_CLASS)
    rows = ["| code | status | what it means | what to do |", "|---|---|---|---|"]
    for code, status in sorted(statuses.items(), key=lambda pair: pair[1]):
        rows.append(f"| `{code}` | {status} | {meanings[code]} | {ADVICE[code]} |")
    return "\n".join([*rows, ""])


def _classes(base: type[IfwError]) -> Iterator[type[IfwError]]:
    yield base
    for one in base.__subclasses__():
        yield from _classes(one)
