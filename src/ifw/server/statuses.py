"""One table from error codes to HTTP statuses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ifw.errors import IfwError

INTERNAL: Final = "internal"
RETRY_AFTER_S: Final = 5
CLIENT_LEFT: Final = 499
"""What logs and metrics have for a status where nobody was left to reply to."""

STATUS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "error": 500,
        "config_invalid": 422,
        "audio_invalid": 422,
        "audio_not_found": 422,
        "audio_empty": 422,
        "audio_format": 415,
        "audio_no_stream": 422,
        "audio_damaged": 422,
        "audio_too_long": 413,
        "model_invalid": 503,
        "model_not_found": 404,
        "model_gated": 503,
        "model_offline": 503,
        "model_format": 503,
        "model_unsafe": 503,
        "language_unknown": 422,
        "mode_unsupported": 422,
        "diarization_unavailable": 422,
        "prompt_invalid": 422,
        "shape_invalid": 500,
        "engine_failed": 500,
        "engine_closed": 503,
        "engine_memory": 503,
        "transcript_invalid": 500,
        "output_failed": 500,
        "evaluation_invalid": 500,
        "benchmark_failed": 500,
        "extra_missing": 501,
        "resume_mismatch": 500,
        "cancelled": 503,
        "queue_full": 429,
        "not_ready": 503,
        "database_unreachable": 503,
        "disk_full": 507,
        "unauthorized": 401,
        "site_forbidden": 403,
        "request_invalid": 422,
        "request_too_large": 413,
        "request_timeout": 408,
        "media_type_unsupported": 415,
        "fetch_failed": 424,
        "fetch_status": 424,
        "fetch_timeout": 424,
        "fetch_too_large": 413,
        "url_invalid": 422,
        "url_forbidden": 422,
        "task_not_found": 404,
        "task_exists": 409,
        "task_ended": 409,
        "task_unfinished": 409,
        "task_failed": 409,
        "task_cancelled": 409,
        "task_invalid": 422,
        "task_cursor_invalid": 422,
        "task_deadline": 409,
        "task_poisoned": 409,
        "task_without_webhook": 409,
        "data_dir_unusable": 500,
        "task_id_invalid": 422,
        "idempotency_mismatch": 422,
        INTERNAL: 500,
    }
)
"""Error code -> HTTP status. A code that is not here is 500."""


def status_of(error: BaseException) -> int:
    """The HTTP status of an error; 500 for one that nobody raised on purpose."""
    return STATUS.get(error.code, 500) if isinstance(error, IfwError) else 500
