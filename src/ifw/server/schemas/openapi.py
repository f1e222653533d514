"""What FastAPI does not write into the API document by itself: bodies that a route receives by hand, and errors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from ifw.server.schemas.tasks import ErrorBody

REASONS: Final[Mapping[int, str]] = {
    400: "The body is no JSON.",
    401: "The key is missing or wrong.",
    403: "A web page of another site asked, or the name of the server is not one of its own.",
    404: "There is no such task.",
    408: "The body stopped coming.",
    409: "The task is not in a state that allows this, or its id is taken.",
    413: "The body or the audio is too large.",
    415: "The body or the audio is of a kind that is not read.",
    422: "A field or parameter is not allowed, or the audio cannot be used.",
    424: "The audio could not be fetched.",
    429: "Too much is waiting; `Retry-After` says when to ask again.",
    500: "A bug; the log of the server has more.",
    501: "What was asked for is not installed or not available yet.",
    503: "The server cannot work now, such as while it starts or stops.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error replies of a route for its `responses`; every route has 401, 403, 413, 422, 500 and 503.

    Args:
        statuses: Further ones that it can give.
    """
    return {
        status: {"description": REASONS[status], "model": ErrorBody}
        for status in sorted({401, 403, 413, 422, 500, 503, *statuses})
    }


def body_of(**models: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra` of a route that receives its body by hand.

    Args:
        **models: `json` and `form`: what the body is validated by.
    """
    names = {"json": "application/json", "form": "multipart/form-data"}
    content = {names[kind]: {"schema": inlined(model)} for kind, model in models.items()}
    return {"requestBody": {"required": True, "content": content}}


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model without any reference; the model must not hold itself."""
    schema = copy.deepcopy(model.model_json_schema())
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(one) for one in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return {**resolve(definitions[node["$ref"].rsplit("/", 1)[-1]]), **resolve(rest)}
        return {key: resolve(value) for key, value in node.items()}

    resolved: dict[str, Any] = resolve(schema)
    return resolved
