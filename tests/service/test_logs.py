"""What a log line may not hold."""

from __future__ import annotations

import pytest

from ifw.service.logs import Redaction

REDACT = Redaction(["key-4711", "key-4711-longer"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://a.example/x.mp3?sig=abc&e=1 failed", "GET https://a.example/x.mp3?[hidden] failed"),
        ("see http://a.example/x#token", "see http://a.example/x?[hidden]"),
        ("postgresql://me:pass@db/ifw is down", "postgresql://[hidden]@db/ifw is down"),
        ("https://me:pass@a.example/", "https://[hidden]@a.example/"),
        ("got key-4711-longer and key-4711", "got [hidden] and [hidden]"),
        ("nothing secret? no", "nothing secret? no"),
    ],
)
def test_texts_lose_their_secrets(text: str, shown: str):
    assert REDACT.text(text) == shown
    assert REDACT(None, "info", {"event": text, "list": [text], "map": {"a": text}}) == {
        "event": shown,
        "list": [shown],
        "map": {"a": shown},
    }


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "x-admin-api-key",
        "X-API-Key",
        "api_key",
        "webhook_secret",
        "headers",
        "hf_token",
        "cookie",
        "webhook-signature",
        "password",
    ],
)
def test_fields_that_hold_secrets_are_hidden_whole(name: str):
    assert REDACT(None, "info", {name: "value"}) == {name: "[hidden]"}
    assert REDACT(None, "info", {"map": {name: {"a": "value"}}}) == {"map": {name: "[hidden]"}}


def test_numbers_stay_numbers():
    assert REDACT(None, "info", {"status": 200, "wall_s": 0.5, "ok": True, "none": None}) == {
        "status": 200,
        "wall_s": 0.5,
        "ok": True,
        "none": None,
    }


def test_an_error_in_a_field_is_written_without_secrets():
    error = ValueError("https://a.example/?sig=1 key-4711")
    assert REDACT(None, "info", {"why": error}) == {"why": "https://a.example/?[hidden] [hidden]"}
