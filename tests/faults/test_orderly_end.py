"""SIGTERM in the middle of the work."""

from clips import CLIPS, LONGER, told
from processes import Tasks, until

SLOTS = "--n-slots=2"  # so that windows end one after another


def test_sigterm_hands_tasks_back_and_they_go_on(database_url, new_place, surroundings, said):
    place = new_place(database_url)
    place.warm("serve", SLOTS)
    server = place.start("serve", SLOTS).wait_up()
    place.warm("serve", SLOTS)
    tasks = Tasks(server.client)
    webhook = {"url": f"{surroundings.url}/hook"}
    names = [LONGER, *CLIPS[:5]]
    ids = {tasks.submit(url=f"{surroundings.url}/{name}?{name}", webhook=webhook): name for name in names}
    [longer] = [task_id for task_id, name in ids.items() if name == LONGER]
    n_remembered = f"SELECT count(*) FROM ifw_journal WHERE task_id = '{longer}'"
    until(lambda: place.rows(n_remembered, live=True)[0][0] > 0, "a finished window")
    assert server.terminate() == 0
    states = dict(place.rows("SELECT id, state FROM ifw_tasks"))
    assert states[longer] == "queued"
    assert set(states.values()) <= {"queued", "succeeded"}
    assert place.rows("SELECT sum(n_crashes) FROM ifw_tasks")[0][0] == 0
    [(remembered,)] = place.rows(n_remembered)
    assert remembered > 0
    left = [name for task_id, name in ids.items() if states[task_id] == "queued"]
    assert place.rows("SELECT count(*) FROM ifw_workers")[0][0] == 0  # it has said goodbye, so nobody waits for it
    server = place.start("serve", SLOTS).wait_up()
    tasks = Tasks(server.client)
    ended = tasks.wait_ended(ids)
    tasks.wait_told(ids)
    for task_id, name in ids.items():
        assert ended[task_id]["error"] is None
        assert told(tasks.transcript(task_id)) == said[name]
    assert ended[longer]["n_attempts"] == 2
    completed = server.metric('ifw_engine_windows_total{outcome="completed"}')
    assert completed <= sum(said.n_windows[name] for name in left) - remembered  # what was final is not heard again
    assert {task_id: len(events) for task_id, events in surroundings.taken().items()} == dict.fromkeys(ids, 1)
    assert surroundings.n_gets[f"/{LONGER}?{LONGER}"] == 1  # what was fetched is not fetched again
    assert server.terminate() == 0
