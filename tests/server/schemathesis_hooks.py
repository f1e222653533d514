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
    if not isinstance(value, str) or not value.lower().startswith("http"):
        return value
    return f"{NEIGHBOUR}/{'short.ogg' if len(value) % 5 == 0 else 'missing.mp3'}"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    case.body = near(case.body)
