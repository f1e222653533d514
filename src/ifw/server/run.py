"""The process of `ifw serve`: uvicorn, from its start to an orderly end."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

import uvicorn

from ifw.server.app import create_app
from ifw.server.connection import connections_of
from ifw.service.logs import configure_logs
from ifw.service.service import Service
from ifw.service.settings import Settings
from ifw.service.worker import warn_of_unknown_variables

_log = logging.getLogger("ifw.server")

MAX_HEADER_BYTES: Final = 64 << 10
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """Ends with the status 0 after a signal, and tells the service about it first."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while the server runs; uvicorn's own would raise them once more at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; a second signal ends at once what is still running."""
        if self.should_exit:
            self.force_exit = True
        self._service.drain()
        self.should_exit = True


def serve(settings: Settings) -> bool:
    """Run the server until a signal ends it.

    Args:
        settings: See there.

    Returns:
        Whether it came up; where it did not, the log says why.

    Raises:
        ConfigError: A setting is not allowed.
        DataDirError: Another process uses the data folder.
    """
    configure_logs(settings)
    service = Service(settings)
    app = create_app(service=service)
    warn_of_risks(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=connections_of(settings.client_timeout_s),  # on h11, the parser that bounds the head of a request
        ws="none",
        lifespan="on",
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
    )
    server = Server(config, service)
    try:
        service.start()
        server.run()
    except SystemExit:  # uvicorn's way to say that it could not start
        return False
    finally:
        service.close()
    return server.started


def warn_of_risks(settings: Settings) -> None:
    """Write a warning for each setting that is probably not meant as it is."""
    warn_of_unknown_variables()
    if not settings.admin_keys() and not _is_loopback(settings.host):
        _log.warning(
            "NO ADMIN KEY IS SET: whoever reaches this address can use the server, read every transcript and delete "
            "every task; set ADMIN_KEY or ADMIN_KEY_FILE",
            extra={"host": settings.host},
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
