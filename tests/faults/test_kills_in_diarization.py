"""kill -9 while the speakers of a task are being told apart: text is not lost, and the speakers are the same."""

import sys
from pathlib import Path

import pytest
from clips import RATE, samples, told, wav
from processes import Tasks, until

sys.path.append(str(Path(__file__).parents[1] / "server"))
from diarizing import write_model  # found by the line above

NAME, DURATION_S = "talk.wav", 16


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    return (f"--diarization-model={write_model(tmp_path_factory.mktemp('model'))}",)


def test_a_task_killed_in_diarization_has_the_same_speakers(new_place, surroundings, flags):
    place = new_place()
    surroundings.files[NAME] = wav(samples()[: DURATION_S * RATE])
    place.warm("serve", *flags)
    server = place.start("serve", *flags).wait_up()
    place.warm("serve", *flags)
    asked = {"diarize": True, "max_speakers": 4, "url": f"{surroundings.url}/{NAME}"}
    task_id = Tasks(server.client).submit(**asked)

    journal = f"SELECT count(*) FROM ifw_journal WHERE task_id = '{task_id}'"
    until(lambda: place.rows(journal, live=True)[0][0] > 0, "a finished window")
    task = Tasks(server.client).get(task_id)
    assert task["state"] == "running"
    assert task["progress"].get("diarize", {"done": 0})["done"] < DURATION_S, "it was to be killed in the middle"
    server.kill()
    [(n_remembered,)] = place.rows(journal)
    [(n_events,)] = place.rows(f"SELECT count(*) FROM ifw_events WHERE task_id = '{task_id}'")
    assert n_remembered > 0
    assert n_events == 0, "no segment is final before it is known who speaks"
    server = place.start("serve", *flags).wait_up()
    tasks = Tasks(server.client)
    task = tasks.wait_ended([task_id])[task_id]
    assert (task["state"], task["n_attempts"]) == ("succeeded", 2)
    completed = server.metric('ifw_engine_windows_total{outcome="completed"}')
    again = tasks.submit(**asked)
    assert tasks.wait_ended([again])[again]["n_attempts"] == 1
    n_windows = server.metric('ifw_engine_windows_total{outcome="completed"}') - completed
    assert completed <= n_windows - n_remembered, "what was final is not heard again"
    resumed, undisturbed = tasks.transcript(task_id), tasks.transcript(again)
    assert told(resumed) == told(undisturbed)
    assert resumed["turns"] == undisturbed["turns"]
    assert resumed["speaker_embeddings"].keys() == undisturbed["speaker_embeddings"].keys()
    for label, voice in resumed["speaker_embeddings"].items():
        assert voice == pytest.approx(undisturbed["speaker_embeddings"][label], abs=1e-3)
    assert {segment["speaker"] for segment in resumed["segments"]} >= {"SPEAKER_00"}
    lines = server.client.get(f"/tasks/{task_id}/events").text.splitlines()
    numbers = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ") and line != "id: end"]
    assert numbers == list(range(len(resumed["segments"])))
    assert server.terminate() == 0
