"""Routes whose body is JSON even where `curl --data` calls it a form: the examples of other servers send it so."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

_OF_CURL: Final = b"application/x-www-form-urlencoded"


class JsonRoute(APIRoute):
    """Reads a body as JSON that says that it is what `curl --data` sends unless told otherwise."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of FastAPI, which is shown no type of the body then."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            headers = [pair for pair in request.scope["headers"] if pair != (b"content-type", _OF_CURL)]
            return await handle(Request({**request.scope, "headers": headers}, request.receive))

        return handle_json
