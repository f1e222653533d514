"""The checkpoint and the diarization model, loaded in the background: a server answers from its first second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

from ifw.engine.heap import keep_freed_memory
from ifw.errors import (
    IfwError,
    ModelFormatError,
    ModelGatedError,
    ModelNotFoundError,
    ModelOfflineError,
    NotReadyError,
)
from ifw.service.settings import variable_of
from ifw.service.warm_up import warm_up

if TYPE_CHECKING:
    from ifw.cancellation import CancelToken
    from ifw.diarize.diarizer import Diarizer
    from ifw.service.settings import Settings
    from ifw.transcriber import Transcriber

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

CLOSE_S: Final = 10.0
"""A process that is to end waits so long for a checkpoint that is being loaded; a download may take longer."""

LoadState = Literal["loading", "ready", "failed", "closed"]
LoadedPart = Literal["model", "diarization_model"]

_SHOWN: Final = frozenset({ModelGatedError.code})
"""Codes of errors whose messages everybody may read: they name no folder of the machine."""
_WAYS_OUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        ModelNotFoundError.code: "nothing has this name, or it is private: check {variable}, or set HF_TOKEN to a "
        "token that may read it",
        ModelOfflineError.code: "it is not in the cache, and the hub cannot be reached or must not be: connect for one "
        "start, or set {variable} to a folder that holds it",
        ModelFormatError.code: "a file of it lacks or holds something else: check that all of it is there, and that "
        "{variable} names such a model",
    }
)
"""Code of an error -> what to do about it, which may be said to everybody."""


class LoadStatus(NamedTuple):
    """How far loading has come.

    Attributes:
        state: `loading`, `ready`, `failed`, or `closed`.
        code: Of the error, where it failed.
        message: What to tell people; empty where it is ready.
        part: What it is about.
    """

    state: LoadState
    code: str | None
    message: str
    part: LoadedPart = "model"


class LoadedModel:
    """Loads a `Transcriber` in a thread of its own and holds it.

    Args:
        settings: Which checkpoint and which diarization model, on which device.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._condition = threading.Condition()
        self._transcriber: Transcriber | None = None
        self._thread: threading.Thread | None = None
        self._status = LoadStatus("loading", None, f"the model {settings.model_name} is being loaded")

    def start(self) -> None:
        """Begin to load; returns at once."""
        self._thread = threading.Thread(target=self._load, name="ifw-load", daemon=True)
        self._thread.start()

    @property
    def status(self) -> LoadStatus:
        """How far loading has come."""
        with self._condition:
            return self._status

    def get(self) -> Transcriber:
        """The transcriber.

        Raises:
            NotReadyError: It is being loaded, could not be loaded, or was closed; the message says which.
        """
        with self._condition:
            if self._transcriber is None:
                raise NotReadyError(self._status.message)
            return self._transcriber

    def wait(self, cancel: CancelToken | None = None) -> Transcriber:
        """The transcriber, as soon as it is there.

        Args:
            cancel: Ends the wait.

        Raises:
            NotReadyError: It could not be loaded, or was closed.
            CancelledError: `cancel` was cancelled.
        """
        remove = cancel.add_callback(self._wake) if cancel else None
        try:
            with self._condition:
                self._condition.wait_for(lambda: self._status.state != "loading" or (cancel and cancel.is_cancelled))
        finally:
            if remove:
                remove()
        if cancel:
            cancel.raise_if_cancelled()
        return self.get()

    def close(self) -> None:
        """Free the device; one that is being loaded is freed when it is there, which is waited for a while."""
        with self._condition:
            transcriber, self._transcriber = self._transcriber, None
            self._status = LoadStatus("closed", None, "the server is shutting down")
            self._condition.notify_all()
        if transcriber is not None:
            transcriber.close()
        if self._thread is not None:  # torch aborts the process where its modules go while it runs
            self._thread.join(CLOSE_S)

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _load(self) -> None:
        settings = self._settings
        part: LoadedPart = "model"
        keep_freed_memory()
        started = time.perf_counter()
        transcriber: Transcriber | None = None
        try:
            from ifw.transcriber import Transcriber  # noqa: PLC0415 - torch takes seconds, and the server answers

            timings = {"import_s": time.perf_counter() - started}
            diarizer = _beside(lambda: _load_diarizer(settings))
            diarizer.add_done_callback(self._tell_failure)  # the checkpoint may take long to come
            transcriber = Transcriber(settings.model, config=settings.engine_config, draft_model=settings.draft_model)
            timings["load_s"] = transcriber.load_s
            part = "diarization_model"
            if (loaded := diarizer.result()) is not None:
                transcriber.use_diarizer(loaded)
            part = "model"
            self._warm_up(transcriber, timings)
        except Exception as error:
            if transcriber is not None:
                transcriber.close()
            if part == "model":  # the other one's failure has been told
                self._set(None, self._failure(part, error))
        else:
            _log.info("model loaded", extra={"model": settings.model, **_rounded(timings)})
            self._set(transcriber, LoadStatus("ready", None, ""))

    def _tell_failure(self, diarizer: Future[Any]) -> None:
        error = diarizer.exception()
        if isinstance(error, Exception):
            self._set(None, self._failure("diarization_model", error))

    def _warm_up(self, transcriber: Transcriber, timings: dict[str, float]) -> None:
        if self._settings.warm_up:
            started = time.perf_counter()
            warm_up(transcriber, diarizes=self._settings.diarization_model is not None)
            timings["warm_up_s"] = time.perf_counter() - started

    def _failure(self, part: LoadedPart, error: Exception) -> LoadStatus:
        """What people are told, and the log."""
        settings, variable = self._settings, variable_of(part)
        model, name = settings.model, f"the model {settings.model_name}"
        if part == "diarization_model":
            model, name = settings.diarization_model or "", f"the diarization model {settings.diarization_name}"
        elif settings.draft_model is not None:
            name, variable = f"{name} with a draft model", f"{variable} and {variable_of('draft_model')}"
        code = error.code if isinstance(error, IfwError) else "internal"
        told = {"model": model, "code": code}
        if isinstance(error, IfwError):
            _log.error(f"the {part.replace('_', ' ')} cannot be loaded", extra={**told, "why": str(error)})
        else:
            _log.error(f"the {part.replace('_', ' ')} cannot be loaded", extra=told, exc_info=error)
        way_out = str(error) if code in _SHOWN else _WAYS_OUT.get(code, "").format(variable=variable)
        return LoadStatus(
            "failed", code, f"{name} could not be loaded{f': {way_out}' if way_out else ''}; the log says why", part
        )

    def _set(self, transcriber: Transcriber | None, status: LoadStatus) -> None:
        with self._condition:
            is_closed = self._status.state == "closed"
            if not is_closed:
                self._transcriber, self._status = transcriber, status
                self._condition.notify_all()
        if is_closed and transcriber is not None:
            transcriber.close()


def _beside(work: Callable[[], _T]) -> Future[_T]:
    """Do it in a thread of its own, which does not hold up the end of the process."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="ifw-load-beside", daemon=True).start()
    return future


def _load_diarizer(settings: Settings) -> Diarizer | None:
    from ifw.transcriber import load_diarizer  # noqa: PLC0415 - torch takes seconds, and the server answers meanwhile

    if settings.diarization_model is None:
        return None
    started = time.perf_counter()
    diarizer = load_diarizer(settings.diarization_model, settings.device, settings.compute_type)
    load_s = round(time.perf_counter() - started, 2)
    _log.info("diarization model loaded", extra={"model": settings.diarization_model, "load_s": load_s})
    return diarizer


def _rounded(timings: Mapping[str, float]) -> dict[str, float]:
    return {name: round(wall_s, 2) for name, wall_s in timings.items()}
