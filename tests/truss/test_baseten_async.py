"""A round trip of Baseten's async inference over the real Truss server, with the sample of docs/baseten.md."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx2
import pytest
from baseten_async import BasetenAsync
from neighbour import Neighbour
from truss_server import PREDICT, ROOT, TrussProcess, needs_truss, wait_for

PAGE = (ROOT / "docs" / "baseten.md").read_text(encoding="utf-8")
OLD, NEW = "whsec_old", "whsec_new"
SAID = " Julia drinks coffee every morning."
ENDED = ("SUCCEEDED", "FAILED", "EXPIRED", "CANCELED", "WEBHOOK_FAILED")


@pytest.fixture(scope="module")
def verified() -> Callable[..., dict[str, Any]]:
    """The function that the page shows."""
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/baseten.md", "exec"), names)
    return names["verified"]


@pytest.fixture
def baseten(truss: TrussProcess) -> Iterator[BasetenAsync]:
    with BasetenAsync(f"{truss.url}{PREDICT}", [OLD]) as baseten:
        yield baseten


class Client:
    """What a program of the workspace does."""

    def __init__(self, baseten: BasetenAsync) -> None:
        self.http = httpx2.Client(
            base_url=baseten.url, headers={"Authorization": "Api-Key of-the-workspace"}, trust_env=False
        )

    def submit(self, **body: Any) -> str:
        reply = self.http.post("/production/async_predict", json=body)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["request_id"])

    def status(self, request_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/async_request/{request_id}").json())

    def ended(self, request_id: str) -> dict[str, Any]:
        wait_for(lambda: self.status(request_id)["status"] in ENDED, "it does not end")
        return self.status(request_id)


@pytest.fixture
def client(baseten: BasetenAsync) -> Iterator[Client]:
    client = Client(baseten)
    with client.http:
        yield client


@needs_truss
def test_a_result_comes_to_the_webhook(client: Client, neighbour: Neighbour, verified: Any) -> None:
    request_id = client.submit(
        model_input={"url": f"{neighbour.url}/short.ogg"},
        webhook_endpoint=f"{neighbour.url}/baseten/done",
        priority=1,
        max_time_in_queue_seconds=600,
        inference_retry_config={"max_attempts": 3, "initial_delay_ms": 1000, "max_delay_ms": 5000},
    )
    told = neighbour.told("/baseten/done")
    assert told.headers["x-baseten-request-id"] == request_id
    event = verified(told.body, told.headers, [OLD])
    assert event["request_id"] == request_id
    assert (event["type"], event["errors"]) == ("async_request_completed", [])
    assert event["data"]["text"] == SAID
    assert set(event) == shown_keys()
    status = client.ended(request_id)
    assert (status["status"], status["webhook_status"], status["errors"]) == ("SUCCEEDED", "SUCCEEDED", [])
    assert "data" not in status


@needs_truss
def test_bad_audio_is_tried_once_and_told(client: Client, neighbour: Neighbour, verified: Any) -> None:
    n_before = neighbour.n_asked("/text.mp3")
    request_id = client.submit(
        model_input={"url": f"{neighbour.url}/text.mp3"}, webhook_endpoint=f"{neighbour.url}/baseten/bad"
    )
    told = neighbour.told("/baseten/bad")
    event = verified(told.body, told.headers, [OLD])
    (error,) = event["errors"]
    assert event["data"] is None
    assert json.loads(error["message"])["code"] == "audio_format"
    assert client.ended(request_id)["status"] == "FAILED"
    assert neighbour.n_asked("/text.mp3") == n_before + 1  # 4xx: the platform does not try again


@needs_truss
def test_what_is_queued_can_be_cancelled(baseten: BasetenAsync, client: Client, neighbour: Neighbour) -> None:
    with baseten.pause:
        request_id = client.submit(model_input={"url": f"{neighbour.url}/short.ogg"})
        assert client.status(request_id)["status"] == "QUEUED"
        reply = client.http.delete(f"/async_request/{request_id}").json()
        assert (reply["request_id"], reply["canceled"]) == (request_id, True)
    assert client.ended(request_id)["status"] == "CANCELED"
    done = client.submit(model_input={"url": f"{neighbour.url}/short.ogg"})
    assert client.ended(done)["webhook_status"] == "NO_WEBHOOK_PROVIDED"
    assert client.http.delete(f"/async_request/{done}").json()["canceled"] is False


@needs_truss
@pytest.mark.parametrize(
    "of_both_sides",
    [([NEW, OLD], [OLD]), ([NEW, OLD], [NEW]), ([OLD, NEW], [NEW]), ([NEW], [OLD, NEW])],
)
def test_a_secret_can_be_rotated(
    baseten: BasetenAsync, client: Client, neighbour: Neighbour, verified: Any, of_both_sides: Any
) -> None:
    baseten.secrets, known = of_both_sides
    client.submit(
        model_input={"url": f"{neighbour.url}/not-there"}, webhook_endpoint=f"{neighbour.url}/baseten/rotated"
    )
    told = neighbour.told("/baseten/rotated")
    assert verified(told.body, told.headers, known)["errors"]


class Sent:
    """An event as Baseten would send it, without Baseten."""

    def __init__(self, signature: str, time: str) -> None:
        self.body = json.dumps({"request_id": "1", "time": time, "data": None, "errors": []}).encode()
        self.headers = {"X-Baseten-Signature": signature}


def test_what_nobody_signed_is_refused(verified: Any) -> None:
    def signed(secret: str, age: timedelta = timedelta()) -> Sent:
        sent = Sent("", (datetime.now(timezone.utc) - age).isoformat().replace("+00:00", "Z"))
        digest = hmac.new(secret.encode(), sent.body, hashlib.sha256).hexdigest()
        sent.headers["X-Baseten-Signature"] = f"v1={digest}"
        return sent

    good = signed(OLD)
    assert verified(good.body, good.headers, [OLD])["request_id"] == "1"
    digest = good.headers["X-Baseten-Signature"].removeprefix("v1=")
    for body, headers, secrets in (
        (good.body, good.headers, [NEW]),
        (good.body, good.headers, []),
        (good.body + b" ", good.headers, [OLD]),
        (good.body, {}, [OLD]),
        (good.body, {"X-Baseten-Signature": digest}, [OLD]),
        (good.body, {"X-Baseten-Signature": f"v2={digest}"}, [OLD]),
        (good.body, {"X-Baseten-Signature": "v1=é"}, [OLD]),
    ):
        with pytest.raises(ValueError, match="signed with none"):
            verified(body, headers, secrets)
    for age in (timedelta(minutes=6), timedelta(minutes=-6)):
        old = signed(OLD, age)
        with pytest.raises(ValueError, match="too old"):
            verified(old.body, old.headers, [OLD])


def shown_keys() -> set[str]:
    """Of the event that the page shows."""
    (shown,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return set(json.loads(shown))


def test_the_costs_are_computed() -> None:
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \| (\d+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    assert [name for name, *_ in rows] == ["A10G", "L4", "A100", "H100"]
    for _, dollars, speed, cost in rows:
        assert f"{float(dollars) * 60 / int(speed):.4f}" == cost
