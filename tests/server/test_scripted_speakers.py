"""What becomes of requests whose diarization is told what to find, fails, or does not come to an end."""

from __future__ import annotations

import base64
import json
import sys
import threading
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from in_process import InProcess, until
from neighbour import SAMPLE, SHORT

from ifw.errors import EngineMemoryError

sys.path.append(str(Path(__file__).parents[1] / "pipeline"))
from scripted_diarizer import ScriptedDiarizer  # found by the line above

SAID = "Julia drinks coffee every morning."
FAILED = EngineMemoryError("the device has no room for the voices of /home/somebody")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("scripted")
    with InProcess(folder, diarization_model="demo", max_sync_waiting=4) as running:
        yield running


@pytest.fixture
def script(server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has the server's diarizer find what it is told."""

    def use(*turns: Any, **behaviour: Any) -> ScriptedDiarizer:
        made = ScriptedDiarizer(turns, **behaviour)
        monkeypatch.setattr(server.service.transcriber, "_diarizer", made)
        return made

    return use


@pytest.fixture
def http(server: Any) -> Any:
    with httpx2.Client(base_url=server.url.removesuffix("/v1"), timeout=120, trust_env=False) as client:
        yield client


def ask(client: Any, file: Path = SHORT, **fields: Any) -> Any:
    return client.audio.transcriptions.create(model="demo", file=file, response_format="diarized_json", **fields)


def ended(http: Any, **fields: str) -> tuple[str, dict[str, Any]]:
    reply = http.post("/tasks", files={"file": SHORT.read_bytes()}, data={"diarize": "true", **fields})
    path = f"/tasks/{reply.json()['id']}"
    until(lambda: http.get(path).json()["ended_at"])
    return path, http.get(path).json()


@pytest.mark.parametrize("stream", [False, True])
def test_two_who_speak_are_told_apart_and_cut(server: Any, script: Any, stream: bool) -> None:
    made = script((0.0, 7.0, "SPEAKER_00"), (8.2, 14.3, "SPEAKER_01"), (14.3, 80, "SPEAKER_00"))
    with server.client() as client:
        got = ask(client, SAMPLE, stream=stream, extra_body={"max_speakers": 5})
        segments = [one for one in got if one.type == "transcript.text.segment"] if stream else got.segments
    assert [one.speaker for one in segments[:4]] == ["A", "A", "A", "B"]
    assert {one.speaker for one in segments} == {"A", "B"}
    assert all(one.speaker == ("B" if 8.2 < one.start < 14.2 else "A") for one in segments)
    assert [options.max_speakers for options in made.options] == [5]


def test_where_nobody_is_heard_the_speaker_is_unknown(server: Any, script: Any, http: Any) -> None:
    script()
    with server.client() as client:
        assert ask(client).text == f"unknown: {SAID}"
    path, _ = ended(http)
    whole = http.get(f"{path}/transcript").json()
    assert (whole["turns"], whole["segments"][0]["speaker"]) == ([], None)
    assert http.get(f"{path}/transcript?format=diarized_json").json()["segments"][0]["speaker"] == "unknown"


@pytest.mark.parametrize("fail_at_s", [0.0, None])
def test_a_failure_is_an_error_where_speakers_are_all_that_is_asked_for(
    server: Any, script: Any, fail_at_s: float | None
) -> None:
    script((0, 3, "SPEAKER_00"), error=FAILED, fail_at_s=fail_at_s)
    with server.client() as client:
        with pytest.raises(openai.InternalServerError) as raised:
            ask(client)
        assert (raised.value.code, "/home" in raised.value.message) == ("internal", False)
        with pytest.raises(openai.APIError, match="internal error") as broken:
            list(ask(client, stream=True))
        assert "/home" not in str(broken.value)
        assert client.audio.transcriptions.create(model="demo", file=SHORT).text == SAID


def test_a_failure_costs_a_task_its_speakers_and_not_its_text(script: Any, http: Any) -> None:
    script(error=FAILED)
    path, task = ended(http)
    assert (task["state"], task["error"]) == ("succeeded", None)
    whole = http.get(f"{path}/transcript").json()
    assert (whole["text"], whole["turns"], whole["segments"][0]["speaker"]) == (SAID, None, None)
    assert [one["code"] for one in whole["warnings"]] == ["diarization_failed"]
    refused = http.get(f"{path}/transcript?format=diarized_json")
    assert (refused.status_code, refused.json()["code"]) == (422, "diarization_unavailable")


def known(client: Any) -> Any:
    clip = f"data:audio/ogg;base64,{base64.b64encode(SHORT.read_bytes()).decode()}"
    return ask(client, SAMPLE, known_speaker_names=["A"], known_speaker_references=[clip])


@pytest.mark.parametrize(("voice", "names"), [([2, 2, 2, 2], ["B", "A", "C"]), ([0, 1, -1, 0], ["B", "C", "D"])])
def test_a_letter_that_is_a_name_stands_for_nobody_else(
    server: Any, script: Any, voice: list[float], names: list[str]
) -> None:
    made = script((0.0, 7.0, "SPEAKER_00"), (8.2, 14.3, "SPEAKER_01"), (14.3, 80, "SPEAKER_02"))
    made.voices = {"SPEAKER_00": [1, 0, 0, 0], "SPEAKER_01": [1, 1, 1, 1], "SPEAKER_02": [0, 0, 1, -1]}
    made.embed = lambda samples: np.array(voice, np.float32)
    with server.client() as client:
        assert list(dict.fromkeys(one.speaker for one in known(client).segments)) == names


def test_a_clip_in_which_nobody_speaks_is_refused(server: Any, script: Any) -> None:
    script((0.0, 7.0, "SPEAKER_00")).embed = lambda samples: np.zeros(4, np.float32)
    with server.client() as client, pytest.raises(openai.BadRequestError, match="in clip 1 nobody speaks"):
        known(client)


def test_a_client_that_leaves_ends_diarization_too(server: Any, script: Any) -> None:
    gate = threading.Event()
    made = script((0, 3, "SPEAKER_00"), gate=gate)
    data = {"model": "demo", "response_format": "diarized_json"}
    url = httpx2.URL(f"{server.url}/audio/transcriptions")
    request = httpx2.Request("POST", url, files={"file": SHORT.read_bytes()}, data=data)
    connection = HTTPConnection(url.host, url.port)
    connection.request("POST", url.path, request.read(), dict(request.headers))
    until(lambda: made.heard)
    assert server.service.n_sync == 1
    connection.close()
    until(server.is_idle)
    (heard,) = made.heard
    assert heard.cancel.is_cancelled
    assert not heard.blocks


def test_a_task_is_cancelled_in_diarization(script: Any, http: Any, server: Any) -> None:
    gate = threading.Event()
    made = script((0, 3, "SPEAKER_00"), gate=gate)
    task_id = http.post("/tasks", files={"file": SHORT.read_bytes()}, data={"diarize": "true"}).json()["id"]
    until(lambda: "transcribe" in http.get(f"/tasks/{task_id}").json()["progress"])
    task = http.get(f"/tasks/{task_id}").json()
    assert (task["state"], task["stage"]) == ("running", "transcribe")
    assert http.delete(f"/tasks/{task_id}").json()["state"] == "cancelled"
    until(lambda: made.heard[0].cancel.is_cancelled)
    until(server.is_idle)


def test_segments_come_when_it_is_known_who_speaks(script: Any, http: Any) -> None:
    gate = threading.Event()
    script((0, 3, "SPEAKER_00"), gate=gate)
    task_id = http.post("/tasks", files={"file": SHORT.read_bytes()}, data={"diarize": "true"}).json()["id"]
    kinds = []
    with http.stream("GET", f"/tasks/{task_id}/events") as events:
        for line in events.iter_lines():
            if not line.startswith("data: "):
                continue
            event = json.loads(line.removeprefix("data: "))
            kinds.append(event["type"])
            stages = event.get("stages", {})
            if stages.get("transcribe", {}).get("done") and not gate.is_set():
                assert "segment" not in kinds
                gate.set()
            if event["type"] == "segment":
                assert event["speaker"] == "SPEAKER_00"
    assert (kinds.count("segment"), kinds[-1]) == (1, "done")
