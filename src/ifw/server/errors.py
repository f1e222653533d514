"""From errors to replies: one body for each family of clients. The table of statuses is in `statuses`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError, TimeoutError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from ifw.errors import DatabaseError, DiskFullError, IfwError, RequestError
from ifw.server.complaints import complaints
from ifw.server.statuses import INTERNAL, RETRY_AFTER_S, status_of
from ifw.tasks.disk import is_disk_full

_log = logging.getLogger(__name__)

_PARAMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "audio": "file",
        "model": "model",
        "mode": "model",
        "language": "language",
        "prompt": "prompt",
        "fetch": "url",
        "url": "url",
    }
)
"""What a code begins with -> the field of OpenAI's API that it is about."""
_BAD_REQUEST_TO_OPENAI: Final = frozenset({422, 424})

CODES_OF_STATUS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "request_invalid",
        401: "unauthorized",
        404: "not_found",
        405: "method_not_allowed",
        408: "request_timeout",
        413: "request_too_large",
    }
)
"""HTTP status -> code, of the errors that the framework finds."""


def error_response(scope: Scope, error: BaseException) -> JSONResponse:
    """The reply that says what went wrong: with the envelope of OpenAI under `/v1/`, else `detail` and `code`.

    What is our own fault is told to the log only.

    Args:
        scope: Of the request.
        error: What was raised.
    """
    status = status_of(error)
    code = error.code if isinstance(error, IfwError) else INTERNAL
    message = str(error)
    if status == 500:
        code, message = INTERNAL, f"internal error; the log has more under request {request_id_of(scope)}"
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    param = getattr(error, "param", None) or _PARAMS.get(code.partition("_")[0])
    return body_response(scope, status, code, message, param=param, headers=headers)


def body_response(  # the parts of one reply
    scope: Scope,
    status: int,
    code: str,
    message: str,
    *,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A reply with an error body in the shape of the route's family."""
    if is_openai(scope):
        if status in _BAD_REQUEST_TO_OPENAI or code == "audio_format":
            status = 400  # the only one of these that its clients know
        body: dict[str, Any] = {
            "error": {"message": message, "type": openai_type(status), "param": param, "code": code}
        }
    else:
        body = {"detail": message, "code": code}
    return JSONResponse(body, status, dict(headers or {}))


def is_openai(scope: Scope) -> bool:
    """Whether clients of OpenAI call this route."""
    path: str = scope["path"]
    return path == "/v1" or path.startswith("/v1/")


def openai_type(status: int) -> str:
    """The `type` of OpenAI's envelope."""
    if status == 401:
        return "authentication_error"
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def request_id_of(scope: Scope) -> str:
    """The id of this request, which the reply and every log line carry."""
    return str(scope.get("state", {}).get("request_id", "-"))


def install(app: FastAPI) -> None:
    """Have the app answer every error as it should."""
    app.add_exception_handler(IfwError, _on_ours)
    app.add_exception_handler(SQLAlchemyError, _on_database)
    app.add_exception_handler(OSError, _on_system)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_ours(request: Request, error: Exception) -> JSONResponse:
    if status_of(error) == 500:
        _log.error("request failed", exc_info=error)
    return error_response(request.scope, error)


async def _on_database(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, (OperationalError, InterfaceError, TimeoutError)):
        raise error  # a bug
    if is_disk_full(error):
        return _no_room(request)
    _log.error("the database does not answer", extra={"why": type(error).__name__})
    return error_response(request.scope, DatabaseError("the task database does not answer; ask again in a moment"))


async def _on_system(request: Request, error: Exception) -> JSONResponse:
    if not is_disk_full(error):
        raise error  # a bug
    return _no_room(request)


def _no_room(request: Request) -> JSONResponse:
    _log.error("the disk is full")
    return error_response(request.scope, DiskFullError("the server has no room for this on its disk; ask again later"))


async def _on_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    refusal = RequestError("; ".join(complaints(error.errors())))
    return error_response(request.scope, refusal)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = error.status_code
    code = CODES_OF_STATUS.get(status, "request_invalid" if status < 500 else INTERNAL)
    message = str(error.detail)
    if status == 404:
        message = f"there is no {request.url.path}; /docs lists what there is"
    elif status == 405:
        message = f"{request.url.path} does not know {request.method}; /docs lists what there is"
    return body_response(request.scope, status, code, message, headers=error.headers)
