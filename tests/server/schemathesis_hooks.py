"""Loaded by schemathesis: no generated request makes the server ask the internet for anything."""

import os
from typing import Any

import schemathesis

NEIGHBOUR = os.environ["NEIGHBOUR_URL"]


def near(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: near(one) for key, one in value.items()}
    if isinstance(value, list):
        return [near(one) for one in value]
    return f"{NEIGHBOUR}/short.ogg" if isinstance(value, str) and value.lower().startswith("http") else value


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    case.body = near(case.body)
