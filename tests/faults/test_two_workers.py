"""Several workers on one PostgreSQL: one dies, one sleeps, the database goes away."""

import signal
import time
from datetime import datetime

from clips import CLIPS, LONG, LONGER, told
from processes import Tasks, until

ALONE = "--run-tasks=false"
SLOTS = "--n-slots=2"  # so that windows end one after another
SOON = {"heartbeat_s": 0.3, "dead_after_s": 1.5}


def submit(api, surroundings, names):
    """Tasks of some files, with webhooks; their ids with the names."""
    tasks = Tasks(api.client)
    webhook = {"url": f"{surroundings.url}/hook"}
    return {tasks.submit(url=f"{surroundings.url}/{name}", webhook=webhook): name for name in names}


def check(api, surroundings, names, said):
    """Each has ended once, rightly, and was told of once."""
    tasks = Tasks(api.client)
    ended = tasks.wait_ended(names)
    tasks.wait_told(names)
    for task_id, name in names.items():
        assert ended[task_id]["error"] is None
        assert told(tasks.transcript(task_id)) == said[name]
    taken = surroundings.taken()
    assert {task_id: len(events) for task_id, events in taken.items()} == dict.fromkeys(names, 1)
    surroundings.check_signatures()
    return ended


def running(place, worker):
    """Ids of the tasks that run on a process."""
    query = f"SELECT id FROM ifw_tasks WHERE state = 'running' AND worker_id LIKE '%-{worker.pid}-%'"
    return {row[0] for row in place.rows(query)}


def snapshot(place, task_id):
    """All that the database has of a task that has ended."""
    tables = ("ifw_tasks", "ifw_results", "ifw_events", "ifw_journal", "ifw_deliveries", "ifw_delivery_attempts")
    return [
        place.rows(
            f"SELECT * FROM {table} WHERE {'id' if table == 'ifw_tasks' else 'task_id'} = '{task_id}' ORDER BY 2"
        )
        for table in tables
    ]


def test_the_tasks_of_a_killed_worker_finish_on_the_other(new_place, cluster, surroundings, said):
    place = new_place(cluster.new_database())  # with the times that users have
    api, first, second = place.start("serve", ALONE), place.start("worker"), place.start("worker")
    for process in (api, first, second):
        process.wait_up()
    names = submit(api, surroundings, [LONG, *CLIPS, LONG, *CLIPS, LONG, LONG])
    until(lambda: running(place, first) and running(place, second), "work on both")
    first.kill()
    killed_at = time.time()
    lost = running(place, first)
    assert lost
    until(lambda: not running(place, first), "the take-over", 30)
    ended = check(api, surroundings, names, said)
    ended_s = max(ended_at(ended[task_id]) - killed_at for task_id in lost)
    print(f"{len(lost)} tasks of the dead worker ended on the other within {ended_s:.1f} s")  # noqa: T201 - the numbers are wanted
    assert ended_s < 30
    assert all(ended[task_id]["n_attempts"] == 2 for task_id in lost)
    assert second.terminate() == 0
    assert api.terminate() == 0


def ended_at(task):
    """Seconds since 1970."""
    return datetime.fromisoformat(task["ended_at"].replace("Z", "+00:00")).timestamp()


def test_a_worker_that_sleeps_through_its_take_over_writes_nothing_twice(new_place, cluster, surroundings, said):
    place = new_place(cluster.new_database(), **SOON)
    api, sleeper = place.start("serve", ALONE), place.start("worker", SLOTS)
    place.warm("worker", SLOTS)
    for process in (api, sleeper):
        process.wait_up()
    surroundings.webhooks.shut()
    names = submit(api, surroundings, [CLIPS[0]])
    surroundings.wait(lambda: surroundings.webhooks.n_waiting == 1)  # the sleeper is about to be answered
    [told_twice] = names
    names |= submit(api, surroundings, [LONGER])
    long = list(names)[1]
    until(lambda: place.rows(f"SELECT 1 FROM ifw_journal WHERE task_id = '{long}'"), "a finished window")
    sleeper.popen.send_signal(signal.SIGSTOP)
    assert long in running(place, sleeper)
    surroundings.webhooks.open(drops=True)
    heir = place.start("worker", SLOTS).wait_up()
    ended = check(api, surroundings, names, said)
    assert ended[long]["n_attempts"] == 2
    before = [snapshot(place, task_id) for task_id in names]
    sleeper.popen.send_signal(signal.SIGCONT)
    assert heir.terminate() == 0
    after = submit(api, surroundings, [CLIPS[1]])
    Tasks(api.client).wait_ended(after)  # the sleeper works on
    Tasks(api.client).wait_told(after)
    assert sleeper.terminate() == 0
    now = [snapshot(place, task_id) for task_id in names]
    assert now[1] == before[1]
    # The attempt that broke off in its sleep is on the record of the delivery, and changed nothing of it.
    assert now[0][1:-1] == before[0][1:-1]
    assert len(now[0][-1]) - len(before[0][-1]) in (0, 1)
    check(api, surroundings, names | after, said)
    assert Tasks(api.client).get(told_twice)["delivery_state"] == "delivered"


def test_nothing_is_lost_when_a_worker_is_killed_while_postgresql_is_away(new_place, cluster, surroundings, said):
    place = new_place(cluster.new_database(), **SOON)
    api, first, second = place.start("serve", ALONE), place.start("worker"), place.start("worker")
    for process in (api, first, second):
        process.wait_up()
    names = submit(api, surroundings, [LONG, *CLIPS, LONG, *CLIPS[:4]])
    until(lambda: running(place, first) and running(place, second), "work on both")
    cluster.stop()
    first.kill()
    reply = api.client.get("/tasks")
    assert reply.status_code == 503, reply.text
    assert api.client.get("/health/ready").status_code == 503
    assert api.client.get("/health/live").status_code == 200
    cluster.start()
    names |= submit(api, surroundings, CLIPS[:2])
    check(api, surroundings, names, said)
    assert second.terminate() == 0
    assert api.terminate() == 0
