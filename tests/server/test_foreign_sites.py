"""A server without keys answers neither pages of other sites nor under names that are not its own."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import pytest
from starlette.responses import PlainTextResponse

from ifw.server.foreign_sites import ForeignSites

REFUSED = 403


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8000"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "[evil"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
    ids=str,
)
def test_a_form_of_another_page_is_refused(api: Any, headers: dict[str, str]) -> None:
    n_before = len(api.client.get("/tasks?limit=1000").json()["tasks"])
    reply = api.client.post("/", content=b'{"url": "http://127.0.0.1/x", "is_async": true}', headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (REFUSED, "site_forbidden")
    assert len(api.client.get("/tasks?limit=1000").json()["tasks"]) == n_before


def test_openai_clients_are_told_in_their_words(api: Any) -> None:
    reply = api.client.get("/v1/models", headers={"host": "evil.example"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (REFUSED, "site_forbidden")


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost:9"},
        {"host": "LOCALHOST"},
        {"host": "[::1]:8000"},
        {"host": "10.1.2.3"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},  # a link to /docs
    ],
    ids=str,
)
def test_its_own_users_are_let_in(api: Any, headers: dict[str, str]) -> None:
    assert api.client.get("/tasks", headers=headers).status_code == 200


def test_a_page_of_its_own_is_let_in(api: Any) -> None:
    assert api.client.get("/tasks", headers={"origin": api.server.url}).status_code == 200


def test_probes_may_call_it_as_they_like(api: Any) -> None:
    assert api.client.get("/health/live", headers={"host": "pod.cluster.example"}).status_code == 200


@pytest.mark.parametrize(
    ("hosts", "origins", "headers", "status"),
    [
        (["speech.example"], [], {"host": "Speech.example:80"}, 200),
        (["*"], [], {"host": "any.example"}, 200),
        (["speech.example"], [], {"host": "other.example"}, REFUSED),
        ([], ["https://page.example"], {"origin": "https://page.example", "sec-fetch-site": "cross-site"}, 200),
        ([], ["https://page.example"], {"origin": "https://page.example.evil"}, REFUSED),
        ([], ["*"], {"origin": "https://any.example"}, 200),
        ([], ["*"], {"host": "evil.example", "origin": "https://any.example"}, REFUSED),
    ],
)
def test_what_the_operator_allows(hosts: list[str], origins: list[str], headers: dict[str, str], status: int) -> None:

    async def ask() -> int:
        transport = httpx2.ASGITransport(ForeignSites(PlainTextResponse("in"), hosts, origins))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return int((await client.post("/tasks", headers=headers)).status_code)

    assert anyio.run(ask) == status
