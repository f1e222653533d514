"""The one table from error codes to exit statuses. `docs/cli.md` shows it to users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

SUCCESS: Final = 0
FILE_FAILED: Final = 1
USAGE: Final = 2
MODEL: Final = 3
ENGINE: Final = 4
BUG: Final = 70
SIGNAL_BASE: Final = 128  # 130 after Ctrl-C, 143 after SIGTERM
INTERRUPTED: Final = SIGNAL_BASE + 2

BUG_CODE: Final = "internal"

EXIT_STATUS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "error": FILE_FAILED,
        "config_invalid": USAGE,
        "audio_invalid": FILE_FAILED,
        "audio_not_found": FILE_FAILED,
        "audio_empty": FILE_FAILED,
        "audio_format": FILE_FAILED,
        "audio_no_stream": FILE_FAILED,
        "audio_damaged": FILE_FAILED,
        "audio_too_long": FILE_FAILED,
        "model_invalid": MODEL,
        "model_not_found": MODEL,
        "model_gated": MODEL,
        "model_offline": MODEL,
        "model_format": MODEL,
        "model_unsafe": MODEL,
        "language_unknown": USAGE,
        "mode_unsupported": USAGE,
        "diarization_unavailable": USAGE,
        "prompt_invalid": USAGE,
        "shape_invalid": BUG,
        "engine_failed": ENGINE,
        "engine_closed": ENGINE,
        "engine_memory": ENGINE,
        "transcript_invalid": FILE_FAILED,
        "output_failed": FILE_FAILED,
        "evaluation_invalid": USAGE,
        "benchmark_failed": FILE_FAILED,
        "extra_missing": USAGE,
        "resume_mismatch": FILE_FAILED,
        "request_invalid": USAGE,
        "request_too_large": FILE_FAILED,
        "request_timeout": FILE_FAILED,
        "media_type_unsupported": USAGE,
        "fetch_failed": FILE_FAILED,
        "url_invalid": FILE_FAILED,
        "url_forbidden": FILE_FAILED,
        "fetch_status": FILE_FAILED,
        "fetch_too_large": FILE_FAILED,
        "fetch_timeout": FILE_FAILED,
        "task_invalid": FILE_FAILED,
        "task_id_invalid": FILE_FAILED,
        "task_cursor_invalid": FILE_FAILED,
        "task_exists": FILE_FAILED,
        "task_not_found": FILE_FAILED,
        "task_ended": FILE_FAILED,
        "task_unfinished": FILE_FAILED,
        "task_failed": FILE_FAILED,
        "task_cancelled": FILE_FAILED,
        "task_poisoned": FILE_FAILED,
        "task_deadline": FILE_FAILED,
        "task_without_webhook": FILE_FAILED,
        "idempotency_mismatch": FILE_FAILED,
        "data_dir_unusable": USAGE,
        "cancelled": INTERRUPTED,
        "queue_full": FILE_FAILED,
        "not_ready": FILE_FAILED,
        "database_unreachable": FILE_FAILED,
        "disk_full": FILE_FAILED,
        "unauthorized": FILE_FAILED,
        "site_forbidden": FILE_FAILED,
        BUG_CODE: BUG,
    }
)


def error_code(error: BaseException) -> str:
    """The stable code of an error; one that nobody raised on purpose is a bug."""
    code = getattr(error, "code", None)
    return code if isinstance(code, str) and code in EXIT_STATUS else BUG_CODE


def exit_status(errors: Iterable[BaseException]) -> int:
    """The highest status of all that went wrong, 0 where nothing did."""
    return max((EXIT_STATUS[error_code(error)] for error in errors), default=SUCCESS)
