"""A diarization model that lacks is found out at the start, and whoever asks is told what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from diarizing import write_model
from neighbour import SHORT
from server_process import ServerProcess, serving, wait_for

sys.path.append(str(Path(__file__).parents[1] / "model"))
from fake_hub import TOKEN, Hub, Repository, serve  # found by the line above

GATED = "me/gated"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = write_model(tmp_path_factory.mktemp("model"))
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with serve({GATED: Repository(files, gate=True)}) as running:
        yield running


def missing(server: ServerProcess) -> list[dict[str, Any]]:
    def told() -> list[dict[str, Any]]:
        return list(server.client.get("/health/ready").json()["missing"])

    wait_for(lambda: not any(part["code"] == "loading" for part in told()))
    return told()


def test_a_gated_model_says_what_to_do_and_works_with_a_token(hub: Hub, tmp_path: Path) -> None:
    env = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hub"), "HF_TOKEN": "", "no_proxy": "*"}
    with serving(tmp_path, "--diarization-model", GATED, env=env) as server:
        (part,) = missing(server)
        assert (part["part"], part["code"]) == ("diarization_model", "model_gated")
        assert f"{hub.endpoint}/{GATED}" in part["message"]
        assert "HF_TOKEN" in part["message"]
        assert server.client.get("/health/live").status_code == 200
        for fields in ({}, {"response_format": "diarized_json"}):
            reply = server.client.post(
                "/v1/audio/transcriptions", files={"file": SHORT.read_bytes()}, data={"model": "demo", **fields}
            )
            assert (reply.status_code, reply.json()["error"]["code"]) == (503, "not_ready")
            assert reply.json()["error"]["message"] == part["message"]
        task = server.client.post("/tasks", files={"file": SHORT.read_bytes()}, data={"diarize": "true"})
        assert task.status_code == 202
    offline = {**env, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "other")}
    with serving(tmp_path, "--diarization-model", GATED, env=offline) as server:
        (part,) = missing(server)
        assert (part["part"], part["code"]) == ("diarization_model", "model_offline")
        assert "connect for one start, or set IFW_DIARIZATION_MODEL to a folder" in part["message"]
        assert str(tmp_path) not in part["message"]
    with serving(tmp_path, "--diarization-model", GATED, env={**env, "HF_TOKEN": TOKEN}) as server:
        assert missing(server) == []
        path = f"/tasks/{task.json()['id']}"
        wait_for(lambda: server.client.get(path).json()["ended_at"])
        assert server.client.get(path).json()["state"] == "succeeded", "the task has waited for a server that can do it"
        assert server.client.get(f"{path}/transcript").json()["turns"]
