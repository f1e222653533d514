"""Receivers of webhooks that are away, slow, broken or hostile."""

import signal
import socket
from contextlib import ExitStack

import pytest
from clips import CLIPS, told
from processes import Tasks, until
from surroundings import Surroundings

N_HANGING = 200


def free_port():
    """A port at which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def inside():
    """A receiver where the server may not go."""
    opened = Surroundings({}, "127.0.0.2")
    yield opened
    opened.close()


def test_each_payload_is_taken_once_however_its_receiver_behaves(database_url, new_place, surroundings, said, inside):
    place = new_place(database_url, delivery_delays_s=(0.3,) * 30, delivery_timeout_s=2.0)
    server = place.start().wait_up()
    tasks = Tasks(server.client)
    surroundings.answers = {
        "/hangs": ["hang", "hang", 200],
        "/breaks": [500, 503, 200],
        "/gone": [410, 200],
        "/redirects": [302, 307, 200],
    }
    surroundings.locations = {"/redirects": f"{inside.url}/inside"}
    port = free_port()
    paths = ["/hangs", "/breaks", "/gone", "/redirects", "/fine"]
    ids = {
        path: tasks.submit(url=f"{surroundings.url}/{clip}", webhook={"url": surroundings.url + path})
        for path, clip in zip(paths, CLIPS, strict=False)
    }
    ids["down"] = tasks.submit(
        url=f"{surroundings.url}/{CLIPS[5]}", webhook={"url": f"http://127.0.0.1:{port}/", "headers": {"X-Ours": "1"}}
    )
    clips = dict(zip(ids, CLIPS, strict=False))
    until(lambda: len(tasks.get(ids["down"])["deliveries"]) >= 3, "three attempts in vain")
    away = Surroundings({}, port=port)
    try:
        tasks.wait_told([one for path, one in ids.items() if path != "/gone"])
        until(lambda: tasks.get(ids["/gone"])["delivery_state"] == "failed", "the end of what is gone")
        gone = tasks.client.post(f"/tasks/{ids['/gone']}/redeliver")
        assert gone.status_code == 202, gone.text
        tasks.wait_told([ids["/gone"]])
        taken = surroundings.taken() | away.taken()
        assert {one: len(events) for one, events in taken.items()} == dict.fromkeys(ids.values(), 1)
        for path, task_id in ids.items():
            assert told(taken[task_id][0].data["transcript"]) == said[clips[path]]
        surroundings.check_signatures()
        away.check_signatures()
        assert away.events[0].headers["x-ours"] == "1"
    finally:
        away.close()
    statuses = {path: [one["status"] for one in tasks.get(task_id)["deliveries"]] for path, task_id in ids.items()}
    assert statuses.pop("down")[:3] == [None] * 3
    assert statuses == {
        "/hangs": [None, None, 200],
        "/breaks": [500, 503, 200],
        "/gone": [410, 200],
        "/redirects": [302, 307, 200],
        "/fine": [200],
    }
    assert not inside.events
    assert not inside.n_gets
    assert server.terminate() == 0


def test_an_answer_that_a_dead_server_never_read_means_the_same_event_again(new_place, surroundings):
    place = new_place()
    place.warm()
    server = place.start().wait_up()
    surroundings.webhooks.shut()
    webhook = {"url": f"{surroundings.url}/hook"}
    task_id = Tasks(server.client).submit(url=f"{surroundings.url}/{CLIPS[0]}", webhook=webhook)
    surroundings.wait(lambda: surroundings.webhooks.n_waiting == 1)
    server.popen.send_signal(signal.SIGSTOP)
    surroundings.webhooks.open()
    surroundings.wait(lambda: len(surroundings.taken()) == 1)
    server.kill()
    server = place.start().wait_up()
    Tasks(server.client).wait_told([task_id])
    first, again = surroundings.taken()[task_id]
    assert (first.headers["webhook-id"], first.body) == (again.headers["webhook-id"], again.body)
    surroundings.check_signatures()
    assert server.terminate() == 0


def test_two_hundred_receivers_that_hang_delay_neither_tasks_nor_other_receivers(new_place, surroundings, said):
    place = new_place(delivery_timeout_s=600.0)  # whoever waits for them waits for ever
    server = place.start().wait_ready()
    tasks = Tasks(server.client)
    known = tasks.submit(url=f"{surroundings.url}/{CLIPS[0]}", webhook={"url": f"{surroundings.url}/hook"})
    tasks.wait_told([known])
    with ExitStack() as opened:
        hanging = []
        for _ in range(N_HANGING):
            listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
            webhook = {"url": f"http://127.0.0.1:{listener.getsockname()[1]}/"}
            hanging.append(tasks.submit(url=f"{surroundings.url}/none", webhook=webhook))
        ids = {
            tasks.submit(url=f"{surroundings.url}/{clip}", webhook={"url": f"{surroundings.url}/hook"}): clip
            for clip in CLIPS
        }
        tasks.wait_ended(hanging)
        tasks.wait_ended(ids)
        tasks.wait_told(ids)
        every = tasks.all()
        assert {every[one]["error"]["code"] for one in hanging} == {"fetch_status"}
        assert {every[one]["delivery_state"] for one in hanging} == {"pending"}
        assert not any(every[one]["deliveries"] for one in hanging)
        for task_id, clip in ids.items():
            assert told(tasks.transcript(task_id)) == said[clip]
        assert server.terminate() == 0
