"""The model: load, predict, health. `deploy/truss/model/model.py` hands it what Truss gives."""

from __future__ import annotations

import hmac
import io
import shutil
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import REGISTRY, CollectorRegistry
from starlette.requests import ClientDisconnect

from ifw.baseten.body import ModelInput, audio_of, read_input
from ifw.baseten.metrics import ModelCollector
from ifw.baseten.replies import error_reply, events, output_reply
from ifw.errors import NotReadyError, UnauthorizedError
from ifw.server.request_folder import remove_stale, request_folder
from ifw.server.running_items import EventStream, begun
from ifw.server.statuses import CLIENT_LEFT
from ifw.server.waiting import fetched, segments_of, transcribed
from ifw.service.limits import bounded
from ifw.service.payload import Source, make_payload, options_of
from ifw.service.settings import Settings, load_settings
from ifw.service.sync_service import SyncService

if TYPE_CHECKING:
    from ifw.audio import AudioSource


class BasetenModel:
    """Speech to text as the predecessor's deployment had it.

    Args:
        settings: None reads the environment, and warms up.
        admin_key: Wanted from every request; None leaves that to Baseten's own keys.
        registry: Gets the numbers of the service and its engine; Truss's server shows those of the usual one.

    Attributes:
        service: Does the work.

    Raises:
        ConfigError: A setting is not allowed.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        admin_key: str | None = None,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self.service = SyncService(settings or load_settings({"warm_up": True}))
        self._admin_key = admin_key
        registry.register(ModelCollector(self.service))

    def load(self) -> None:
        """Load the checkpoint, and wait until it can be used.

        Raises:
            NotReadyError: It cannot be loaded; the log says why.
        """
        folder = self.service.settings.data_dir
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove_stale(folder)
        self.service.model.start()
        self.service.model.wait()

    def is_healthy(self) -> bool:
        """Whether it can work: it is loaded, and its device has not failed."""
        try:
            return self.service.transcriber.is_open
        except NotReadyError:
            return False

    async def predict(self, model_input: object, request: Request) -> Response:
        """Transcribe. A client that goes away ends its work.

        Args:
            model_input: See `ifw.baseten.body.ModelInput`.
            request: Its body must have been read.

        Returns:
            The output of the predecessor, or events, or an error with its status.
        """
        try:
            return await self._answer(read_input(model_input), request)
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        except Exception as error:
            return error_reply(error)

    def close(self) -> None:
        """Cancel what runs, and free the device."""
        self.service.close()

    async def _answer(self, asked: ModelInput, request: Request) -> Response:
        self._check_key(asked.admin_key)
        options = options_of(make_payload(Source(url=asked.url), asked.options()))
        self.service.check(options)
        self.service.require_room()
        async with AsyncExitStack() as cleanup:
            audio = await self._received(asked, request, cleanup)
            options = bounded(options, self.service.settings.max_audio_s)
            if not asked.stream:
                transcript = await transcribed(request, self.service, audio, options)
                return await run_in_threadpool(output_reply, transcript, asked.has_words)
            items = segments_of(self.service, audio, options)
            first, running = await begun(request, items, cleanup.pop_all())
            return EventStream(events(first, running, asked.has_words), running)

    async def _received(self, asked: ModelInput, request: Request, cleanup: AsyncExitStack) -> AudioSource:
        """The audio; a file of a URL has lost its name on the disk, so that nothing is left whatever happens."""
        if asked.audio is not None:
            return await run_in_threadpool(audio_of, asked.audio)
        assert asked.url is not None
        folder = await run_in_threadpool(cleanup.enter_context, request_folder(self.service.settings.data_dir))
        path = folder / "audio"
        name = (await fetched(request, self.service, asked.url, path)).name
        audio: Any = cleanup.enter_context(io.FileIO(path))
        audio.name = name
        await run_in_threadpool(shutil.rmtree, folder)
        return audio  # type: ignore[no-any-return]  # a FileIO, whose name typeshed takes for read-only

    def _check_key(self, key: str | None) -> None:
        if self._admin_key and not hmac.compare_digest((key or "").encode(), self._admin_key.encode()):
            raise UnauthorizedError(
                "admin_key: it is missing or wrong; allowed: the secret admin_key of the deployment"
            )
