"""Every error that `ifw` raises on purpose, in one tree.

Over 400 lines because it is a list: a class with a line of text and a code for each.

    IfwError
    ├── ConfigError              config_invalid
    ├── AudioError               audio_invalid
    │   ├── AudioNotFoundError       audio_not_found
    │   ├── AudioEmptyError          audio_empty
    │   ├── AudioFormatError         audio_format
    │   ├── AudioStreamError         audio_no_stream
    │   ├── AudioDamagedError        audio_damaged
    │   └── AudioTooLongError        audio_too_long
    ├── ModelError               model_invalid
    │   ├── ModelNotFoundError       model_not_found
    │   ├── ModelGatedError          model_gated
    │   ├── ModelOfflineError        model_offline
    │   ├── ModelFormatError         model_format
    │   └── ModelUnsafeError         model_unsafe
    ├── LanguageError            language_unknown
    ├── ModeError                mode_unsupported
    ├── DiarizationError         diarization_unavailable
    ├── PromptError              prompt_invalid
    ├── ShapeError               shape_invalid
    ├── EngineError              engine_failed
    │   ├── EngineClosedError        engine_closed
    │   └── EngineMemoryError        engine_memory
    ├── TranscriptError          transcript_invalid
    ├── OutputError              output_failed
    ├── EvaluationError          evaluation_invalid
    ├── BenchmarkError           benchmark_failed
    ├── ExtraMissingError        extra_missing
    ├── ResumeError              resume_mismatch
    ├── RequestError             request_invalid
    │   ├── RequestTooLargeError     request_too_large
    │   ├── RequestTimeoutError      request_timeout
    │   └── MediaTypeError           media_type_unsupported
    ├── QueueFullError           queue_full
    ├── NotReadyError            not_ready
    ├── DatabaseError            database_unreachable
    ├── UnauthorizedError        unauthorized
    ├── ForeignSiteError         site_forbidden
    ├── FetchError               fetch_failed
    │   ├── UrlInvalidError          url_invalid
    │   ├── UrlForbiddenError        url_forbidden
    │   ├── FetchStatusError         fetch_status
    │   ├── FetchTooLargeError       fetch_too_large
    │   └── FetchTimeoutError        fetch_timeout
    ├── TaskError                task_invalid
    │   ├── TaskIdError              task_id_invalid
    │   ├── TaskCursorError          task_cursor_invalid
    │   ├── TaskExistsError          task_exists
    │   ├── TaskNotFoundError        task_not_found
    │   ├── TaskEndedError           task_ended
    │   ├── TaskUnfinishedError      task_unfinished
    │   ├── TaskFailedError          task_failed
    │   ├── TaskCancelledError       task_cancelled
    │   ├── TaskPoisonedError        task_poisoned
    │   ├── TaskDeadlineError        task_deadline
    │   ├── TaskWebhookError         task_without_webhook
    │   └── IdempotencyError         idempotency_mismatch
    ├── DataDirError             data_dir_unusable
    ├── DiskFullError            disk_full
    └── CancelledError           cancelled

`code` is stable: programs may branch on it, and every front (command line, server) maps it to its own
exit status or HTTP status in one table. The message says what was wrong, what was given, what is allowed.
"""

from __future__ import annotations


class IfwError(Exception):
    """Base of all errors that `ifw` raises on purpose."""

    code = "error"


class ConfigError(IfwError):
    """An option has a value that is not allowed."""

    code = "config_invalid"


class AudioError(IfwError):
    """The audio could not be used."""

    code = "audio_invalid"


class AudioNotFoundError(AudioError):
    """The path does not exist or cannot be read."""

    code = "audio_not_found"


class AudioEmptyError(AudioError):
    """The source has no bytes, or no samples."""

    code = "audio_empty"


class AudioFormatError(AudioError):
    """The bytes are no container on the allow-list."""

    code = "audio_format"


class AudioStreamError(AudioError):
    """The container has no audio stream, or one that no decoder reads."""

    code = "audio_no_stream"


class AudioDamagedError(AudioError):
    """The audio stream is so damaged that nothing could be decoded."""

    code = "audio_damaged"


class AudioTooLongError(AudioError):
    """The audio is longer than the configured cap."""

    code = "audio_too_long"


class ModelError(IfwError):
    """The checkpoint could not be used."""

    code = "model_invalid"


class ModelNotFoundError(ModelError):
    """No checkpoint has this name."""

    code = "model_not_found"


class ModelGatedError(ModelError):
    """The checkpoint needs accepted conditions and a token."""

    code = "model_gated"


class ModelOfflineError(ModelError):
    """The checkpoint is not cached, and the hub cannot be reached or must not be."""

    code = "model_offline"


class ModelFormatError(ModelError):
    """The folder is no Hugging Face Whisper checkpoint, or it is incomplete."""

    code = "model_format"


class ModelUnsafeError(ModelError):
    """The weights are pickled; loading them could execute code."""

    code = "model_unsafe"


class LanguageError(IfwError):
    """The language is unknown to Whisper or to this checkpoint."""

    code = "language_unknown"


class ModeError(IfwError):
    """The checkpoint cannot do what was asked, such as translate."""

    code = "mode_unsupported"


class DiarizationError(IfwError):
    """Speakers cannot be told apart here."""

    code = "diarization_unavailable"


class PromptError(IfwError):
    """The prompt cannot be used."""

    code = "prompt_invalid"


class ShapeError(IfwError):
    """An array or tensor has the wrong shape or type."""

    code = "shape_invalid"


class EngineError(IfwError):
    """The engine failed on a request."""

    code = "engine_failed"


class EngineClosedError(EngineError):
    """The engine was closed before the request ended."""

    code = "engine_closed"


class EngineMemoryError(EngineError):
    """The device ran out of memory even with the smallest batch."""

    code = "engine_memory"


class TranscriptError(IfwError):
    """A saved transcript could not be read."""

    code = "transcript_invalid"


class OutputError(IfwError):
    """A transcript could not be written to its file."""

    code = "output_failed"


class EvaluationError(IfwError):
    """A manifest or the results of an evaluation cannot be used."""

    code = "evaluation_invalid"


class BenchmarkError(IfwError):
    """An engine that was to be measured failed, or did not do the work that it was given."""

    code = "benchmark_failed"


class ExtraMissingError(IfwError):
    """What was asked for needs packages that are not installed."""

    code = "extra_missing"


class ResumeError(IfwError):
    """What an unfinished run left behind belongs to other audio, another model, or other options."""

    code = "resume_mismatch"


class RequestError(IfwError):
    """What a client of the server sent cannot be understood, or is not allowed.

    Args:
        message: For people.
        param: The field that it is about, where it is about one.
    """

    code = "request_invalid"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class RequestTooLargeError(RequestError):
    """The body of a request, or a part of it, is larger than the server takes."""

    code = "request_too_large"


class RequestTimeoutError(RequestError):
    """The body of a request stopped coming."""

    code = "request_timeout"


class MediaTypeError(RequestError):
    """The body of a request is of a kind that this route does not read."""

    code = "media_type_unsupported"


class QueueFullError(IfwError):
    """The server has as much to do as it may take on."""

    code = "queue_full"


class NotReadyError(IfwError):
    """The server cannot work yet, or no longer."""

    code = "not_ready"


class DatabaseError(IfwError):
    """The database of the tasks does not answer."""

    code = "database_unreachable"


class DiskFullError(IfwError):
    """There is no room left where files are kept."""

    code = "disk_full"


class UnauthorizedError(IfwError):
    """The request carries no key that opens the server."""

    code = "unauthorized"


class ForeignSiteError(IfwError):
    """A request came from a web page of somebody else, or under a name that is not the server's."""

    code = "site_forbidden"


class FetchError(IfwError):
    """A URL could not be fetched, or nothing could be sent to it."""

    code = "fetch_failed"


class UrlInvalidError(FetchError):
    """It is no URL that can be fetched."""

    code = "url_invalid"


class UrlForbiddenError(FetchError):
    """The URL leads to an address that may not be reached."""

    code = "url_forbidden"


class FetchStatusError(FetchError):
    """The server of a URL answered with an error.

    Attributes:
        status: Of HTTP; 0 where it is not known.
    """

    code = "fetch_status"

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class FetchTooLargeError(FetchError):
    """The file behind a URL is larger than allowed."""

    code = "fetch_too_large"


class FetchTimeoutError(FetchError):
    """The server of a URL was too slow."""

    code = "fetch_timeout"


class TaskError(IfwError):
    """A task cannot do what was asked of it."""

    code = "task_invalid"


class TaskIdError(TaskError):
    """The name of a task is not allowed."""

    code = "task_id_invalid"


class TaskCursorError(TaskError):
    """The cursor of a page is none that an earlier page named."""

    code = "task_cursor_invalid"


class TaskExistsError(TaskError):
    """There is a task of this name already."""

    code = "task_exists"


class TaskNotFoundError(TaskError):
    """There is no task of this name, or no longer."""

    code = "task_not_found"


class TaskEndedError(TaskError):
    """The task has ended already."""

    code = "task_ended"


class TaskUnfinishedError(TaskError):
    """The task has not ended yet."""

    code = "task_unfinished"


class TaskFailedError(TaskError):
    """The task failed, so it has no result."""

    code = "task_failed"


class TaskCancelledError(TaskError):
    """The task was cancelled, so it has no result."""

    code = "task_cancelled"


class TaskPoisonedError(TaskError):
    """Every worker that took the task died over it."""

    code = "task_poisoned"


class TaskDeadlineError(TaskError):
    """The task did not end before its deadline."""

    code = "task_deadline"


class TaskWebhookError(TaskError):
    """The task has no webhook, so there is nothing to deliver."""

    code = "task_without_webhook"


class IdempotencyError(TaskError):
    """The idempotency key belongs to another request."""

    code = "idempotency_mismatch"


class DataDirError(IfwError):
    """The data folder cannot be used, such as while another process uses it."""

    code = "data_dir_unusable"


class CancelledError(IfwError):
    """The caller cancelled the work."""

    code = "cancelled"
