"""The checkpoint, loaded in the background, so that a server answers from its first second."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Literal, NamedTuple

from ifw.engine.heap import keep_freed_memory
from ifw.errors import IfwError, NotReadyError

if TYPE_CHECKING:
    from ifw.cancellation import CancelToken
    from ifw.service.settings import Settings
    from ifw.transcriber import Transcriber

_log = logging.getLogger(__name__)

LoadState = Literal["loading", "ready", "failed", "closed"]


class LoadStatus(NamedTuple):
    """How far loading has come.

    Attributes:
        state: `loading`, `ready`, `failed`, or `closed`.
        code: Of the error, where it failed.
        message: What to tell people; empty where it is ready.
    """

    state: LoadState
    code: str | None
    message: str


class LoadedModel:
    """Loads a `Transcriber` in a thread of its own and holds it.

    Args:
        settings: Which checkpoint, on which device.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._condition = threading.Condition()
        self._transcriber: Transcriber | None = None
        self._status = LoadStatus("loading", None, f"the model {settings.model_name} is being loaded")

    def start(self) -> None:
        """Begin to load; returns at once."""
        threading.Thread(target=self._load, name="ifw-load", daemon=True).start()

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
        """Free the device; one that is being loaded is freed when it is there."""
        with self._condition:
            transcriber, self._transcriber = self._transcriber, None
            self._status = LoadStatus("closed", None, "the server is shutting down")
            self._condition.notify_all()
        if transcriber is not None:
            transcriber.close()

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _load(self) -> None:
        from ifw.transcriber import Transcriber  # noqa: PLC0415 - torch takes seconds, and the server answers meanwhile

        settings = self._settings
        keep_freed_memory()
        try:
            transcriber = Transcriber(
                settings.model,
                settings.device,
                settings.compute_type,
                n_slots=settings.n_slots,
                n_threads=settings.n_threads,
            )
        except IfwError as error:
            _log.error(
                "the model cannot be loaded", extra={"model": settings.model, "code": error.code, "why": str(error)}
            )
            self._set(
                None,
                LoadStatus(
                    "failed", error.code, f"the model {settings.model_name} could not be loaded; the log says why"
                ),
            )
        except Exception:
            _log.exception("the model cannot be loaded", extra={"model": settings.model, "code": "internal"})
            self._set(
                None,
                LoadStatus(
                    "failed", "internal", f"the model {settings.model_name} could not be loaded; the log says why"
                ),
            )
        else:
            _log.info("model loaded", extra={"model": settings.model, "load_s": round(transcriber.load_s, 2)})
            self._set(transcriber, LoadStatus("ready", None, ""))

    def _set(self, transcriber: Transcriber | None, status: LoadStatus) -> None:
        with self._condition:
            is_closed = self._status.state == "closed"
            if not is_closed:
                self._transcriber, self._status = transcriber, status
                self._condition.notify_all()
        if is_closed and transcriber is not None:
            transcriber.close()
