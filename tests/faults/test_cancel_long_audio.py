"""Cancelling a task on half an hour of audio frees the engine, wherever the task runs and whoever cancels it."""

import time
from contextlib import contextmanager

import numpy as np
import pytest
from clips import CLIPS, samples, told, wav
from processes import PATIENCE_S, Tasks, until

from ifw.config import TranscribeOptions
from ifw.formats.json import to_json
from ifw.service.payload import UPLOAD, Source, make_payload
from ifw.service.service import Service
from ifw.service.settings import Settings
from ifw.tasks import TaskRequest

DURATION_S = 1800


@pytest.fixture(scope="module")
def half_an_hour():
    whole = samples()
    return wav(np.resize(whole, DURATION_S * 16_000))


@contextmanager
def serving(folder, url=None):
    """A service of this process, whose engine can be looked at."""
    service = Service(Settings(model="demo", n_threads=1, data_dir=folder, database_url=url))
    service.start()
    try:
        service.model.wait()
        yield service
    finally:
        service.close()


def submit(service, audio):
    """A task on an upload."""
    task_id = service.tasks.new_id()
    (service.tasks.new_folder(task_id) / UPLOAD).write_bytes(audio)
    request = TaskRequest(make_payload(Source(name="long.wav"), {"language": "en"}))
    return service.tasks.submit(request, task_id=task_id)[0].id


def n_busy(service):
    """Slots in use and windows that wait for one."""
    stats = service.transcriber.stats()
    return stats.n_occupied + stats.n_waiting


def check_cancel(service, cancel, said, what):
    """Cancel while the engine decodes, and see that it does nothing for the task from then on."""
    before = service.transcriber.stats()
    until(lambda: n_busy(service) > 0 and service.transcriber.stats().n_steps > before.n_steps, "decoding")
    started = time.perf_counter()
    cancel()
    until(lambda: n_busy(service) == 0, "a free engine")
    took_s = time.perf_counter() - started
    after = service.transcriber.stats()
    print(f"cancelled {what}: the slots were free after {took_s:.3f} s")  # noqa: T201 - the number is wanted
    assert after.n_completed - before.n_completed < DURATION_S / 30  # the rest was never heard
    first, second = (windows_of_a_clip(service, said) for _ in range(2))
    assert first == second  # nothing of the cancelled task came in between


def windows_of_a_clip(service, said):
    """How many windows the engine completes while it hears a clip."""
    before = service.transcriber.stats().n_completed
    transcript = service.transcribe_now(said.files[CLIPS[0]], TranscribeOptions()).result(PATIENCE_S)
    assert told(to_json(transcript)) == said[CLIPS[0]]
    return service.transcriber.stats().n_completed - before


def test_cancelled_in_the_process_that_works(tmp_path, half_an_hour, said):
    with serving(tmp_path / "data") as service:
        for _ in range(3):
            task_id = submit(service, half_an_hour)
            check_cancel(service, lambda one=task_id: service.tasks.cancel(one), said, "in process")
            assert service.tasks.get(task_id).state == "cancelled"


def test_cancelled_through_a_server_while_a_worker_works(tmp_path, new_place, cluster, half_an_hour, said):
    url = cluster.new_database()
    place = new_place(url)
    api = place.start("serve", "--run-tasks=false")
    with serving(place.folder / "data", url) as worker:
        api.wait_up()
        for _ in range(3):
            task_id = Tasks(api.client).submit(upload=half_an_hour, language="en")

            def cancel(one=task_id):
                assert api.client.delete(f"/tasks/{one}").json()["state"] == "cancelled"

            check_cancel(worker, cancel, said, "from another process")
    assert api.terminate() == 0


def test_cancelled_over_http_in_one_server(new_place, half_an_hour):
    server = new_place().start().wait_ready()
    task_id = Tasks(server.client).submit(upload=half_an_hour, language="en")
    until(lambda: busy(server) > 0 and server.metric("ifw_engine_tokens_total") > 0, "decoding")
    started = time.perf_counter()
    assert server.client.delete(f"/tasks/{task_id}").json()["state"] == "cancelled"
    until(lambda: busy(server) == 0, "a free engine")
    print(f"cancelled over HTTP: /metrics says that the slots are free after {time.perf_counter() - started:.3f} s")  # noqa: T201 - the number is wanted
    assert server.metric('ifw_engine_windows_total{outcome="completed"}') < DURATION_S / 30
    assert server.terminate() == 0


def busy(server):
    """As `n_busy`, from /metrics."""
    return server.metric("ifw_engine_slots_occupied") + server.metric("ifw_engine_windows_waiting")
