"""`fetch`: a URL becomes a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from typing import Final

import httpcore2

from ifw.cancellation import CancelToken
from ifw.errors import FetchError, FetchStatusError, FetchTooLargeError
from ifw.fetch.exchange import Answer, Exchanges, explained
from ifw.fetch.limits import TimeLimits
from ifw.fetch.names import disposition_name
from ifw.fetch.options import FetchOptions
from ifw.fetch.partial import MismatchError, PartialFile
from ifw.fetch.url import Url, parse_url, url_name

OnProgress = Callable[[int, int | None], None]

_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_PASSING: Final = frozenset((408, 425, 429, 500, 502, 503, 504))
_MAX_WAIT_S: Final = 30.0
_MIN_ADVANCE_BYTES: Final = 64 << 10  # that an attempt must bring to count as one that got further
_PACE_BYTES: Final = 4 << 10  # in each stretch of the idle timeout
_REPORT_S: Final = 0.1
_OPTIONS: Final = FetchOptions()


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that has arrived.

    Attributes:
        path: Where it is.
        n_bytes: How large it is.
        name: A file name from Content-Disposition or the end of the URL's path; safe to show and to use for a file.
    """

    path: Path
    n_bytes: int
    name: str


class _PassingError(Exception):
    """The server may answer differently soon."""

    def __init__(self, error: FetchError, retry_after_s: float | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_s = retry_after_s


_BROKEN = (
    httpcore2.NetworkError,
    httpcore2.TimeoutException,
    httpcore2.ProtocolError,
    MismatchError,
    _PassingError,
)


def fetch(
    url: str,
    target: Path,
    options: FetchOptions = _OPTIONS,
    *,
    cancel: CancelToken | None = None,
    on_progress: OnProgress | None = None,
) -> Fetched:
    """Download a URL into a file. Blocks; may be called from any thread.

    What has arrived is kept beside `target` (`.part`, `.part.json`) when the download fails or is cancelled, and the
    next call for the same URL and target continues there if the server's file is still the same. `target` itself
    appears whole or not at all; one that exists is replaced.

    Args:
        url: http or https. A user and password in it are sent to this host only. Proxies that the environment names
            are not used.
        target: A file in a folder that exists.
        options: Limits, and which addresses may be reached.
        cancel: Ends the download within a second.
        on_progress: Called in this thread with the bytes that have arrived and those there are, as far as known, at
            most ten times a second, and at the end.

    Raises:
        UrlInvalidError: It is no http or https URL, or redirects to none.
        UrlForbiddenError: Its host, or one that it redirects to, has an address that may not be reached.
        FetchStatusError: The server answered with an error.
        FetchTooLargeError: The file is larger than `options.max_bytes`.
        FetchTimeoutError: The server was too slow.
        FetchError: There was no connection, or it broke again and again; or the file cannot be written.
        CancelledError: `cancel` was cancelled.
    """
    start = parse_url(url)
    limits = TimeLimits(start.shown, options.total_timeout_s, cancel)
    return _Download(start, target, options, limits, on_progress).run()


class _Download:
    def __init__(
        self, url: Url, target: Path, options: FetchOptions, limits: TimeLimits, on_progress: OnProgress | None
    ) -> None:
        self._url = url
        self._target = target
        self._options = options
        self._limits = limits
        self._on_progress = on_progress
        self._exchanges = Exchanges(options, limits)

    def run(self) -> Fetched:
        try:
            with PartialFile(self._target, self._url.whole) as partial:
                return self._try_often(partial)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise FetchError(f"{self._url.shown}: its file cannot be written: {reason}") from error

    def _try_often(self, partial: PartialFile) -> Fetched:
        n_failures, furthest = 0, partial.n_bytes
        while True:
            try:
                return self._attempt(partial)
            except _BROKEN as error:
                self._limits.check()
                if partial.n_bytes >= furthest + _MIN_ADVANCE_BYTES:
                    n_failures, furthest = 0, partial.n_bytes
                if isinstance(error, MismatchError):
                    partial.discard()
                n_failures += 1
                if n_failures > self._options.max_retries:
                    raise self._explained(error) from error
                wait_s = self._options.retry_wait_s * 2 ** (n_failures - 1)
                asked_s = error.retry_after_s if isinstance(error, _PassingError) else None
                self._limits.pause(min(asked_s if asked_s is not None else wait_s, _MAX_WAIT_S))

    def _attempt(self, partial: PartialFile) -> Fetched:
        with self._answer(partial) as answer:
            _require_success(answer, self._url.shown)
            length = _content_length(answer)
            whole = length if length is None or answer.status == 200 else length + partial.n_bytes
            self._require_size(whole or 0, partial)
            partial.accept(answer, length)
            self._copy(answer, partial)
            if partial.total is not None and partial.n_bytes != partial.total:
                raise MismatchError("the file ended elsewhere than the server said")
            partial.finish()
            self._report(partial)
            return self._fetched(answer, partial)

    @contextmanager
    def _answer(self, partial: PartialFile) -> Iterator[Answer]:
        """Ask, and follow redirects; each leads through the guard anew."""
        url, seen = self._url, {self._url.whole}
        while True:
            with self._exchanges.open("GET", url, partial.request_headers()) as answer:
                location = answer.header("location")
                if answer.status not in _REDIRECTS or location is None:
                    yield answer
                    return
                url = url.redirected(location)
            if url.whole in seen:
                raise FetchError(f"{self._url.shown}: it redirects in a circle")
            seen.add(url.whole)
            if len(seen) > self._options.max_redirects + 1:
                allowed = self._options.max_redirects
                raise FetchError(f"{self._url.shown}: it redirects too often, allowed: {allowed} times")

    def _copy(self, answer: Answer, partial: PartialFile) -> None:
        self._limits.start_phase(self._options.idle_timeout_s)
        paced, reported_s = partial.n_bytes, monotonic()
        for piece in answer.body:
            self._require_size(partial.n_bytes + len(piece), partial)
            partial.write(piece)
            if partial.n_bytes >= paced + _PACE_BYTES:
                paced = partial.n_bytes
                self._limits.start_phase(self._options.idle_timeout_s)
            if monotonic() >= reported_s + _REPORT_S:
                reported_s = monotonic()
                self._report(partial)

    def _report(self, partial: PartialFile) -> None:
        if self._on_progress is not None:
            self._on_progress(partial.n_bytes, partial.total)

    def _require_size(self, n_bytes: int, partial: PartialFile) -> None:
        if n_bytes > self._options.max_bytes:
            partial.remove()
            raise FetchTooLargeError(
                f"{self._url.shown}: got at least {n_bytes} bytes, allowed: at most {self._options.max_bytes}"
            )

    def _fetched(self, answer: Answer, partial: PartialFile) -> Fetched:
        return Fetched(
            path=self._target,
            n_bytes=partial.n_bytes,
            name=disposition_name(answer.header("content-disposition") or "") or url_name(self._url.whole),
        )

    def _explained(self, error: Exception) -> FetchError:
        if isinstance(error, _PassingError):
            return error.error
        return explained(error, self._url.shown)


def _require_success(answer: Answer, shown: str) -> None:
    """See that the body is the file, or the part of it that was asked for, as it is."""
    status = answer.status
    if status not in (200, 206):
        error = FetchStatusError(f"{shown}: the server answered {status}{_phrase(status)}, allowed: 200 OK", status)
        if status in _PASSING:
            raise _PassingError(error, _retry_after_s(answer))
        if status == 416:
            raise MismatchError(str(error))
        raise error
    encoding = (answer.header("content-encoding") or "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise FetchError(f"{shown}: got it compressed although it was asked for as it is, allowed: no content-encoding")


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _content_length(answer: Answer) -> int | None:
    value = answer.header("content-length")
    return int(value) if value is not None and value.isdecimal() and value.isascii() else None


def _retry_after_s(answer: Answer) -> float | None:
    value = answer.header("retry-after") or ""
    return float(value) if value.isascii() and value.isdecimal() and len(value) < 9 else None
