"""One connection of a client, as uvicorn's protocol on h11 has it, for clients that mean harm or are broken."""

from __future__ import annotations

import asyncio
import json
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ifw.errors import RequestError, RequestTimeoutError


class Connection(H11Protocol):
    """Lets go of a client that does not get to the point, and answers in JSON what is no HTTP.

    Attributes:
        head_timeout_s: Seconds within which the head of a request must have come, from its first byte on; that of the
            first one from the connection on.
    """

    head_timeout_s: ClassVar[float]
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """A client has connected."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._wait_for_head()
        else:
            self._stop_waiting()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, RequestError(f"this is no HTTP/1.1 request: {msg}"))

    def _wait_for_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_timeout_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        message = f"the head of the request did not come within {self.head_timeout_s:g} s"
        self._refuse(408, RequestTimeoutError(message))

    def _refuse(self, status: int, error: RequestError | RequestTimeoutError) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # else an answer is on its way already
            body = json.dumps({"detail": str(error), "code": error.code}).encode()
            for event in _answer(status, body):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def connections_of(head_timeout_s: float) -> type[Connection]:
    """The class of connections for a server.

    Args:
        head_timeout_s: See `Connection`.
    """
    return type("ConnectionOfServer", (Connection,), {"head_timeout_s": head_timeout_s})


def _answer(status: int, body: bytes) -> tuple[h11.Event, ...]:
    headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
    return h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()
