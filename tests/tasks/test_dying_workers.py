import contextlib
import json
import random
import signal
from collections import Counter

from toys import until
from worker_process import N_WINDOWS


def check_all_ended_once(tasks, ids, receiver):
    for n, task_id in enumerate(ids):
        assert tasks.result(task_id).split(" by ")[0] == f"t{n}"
        assert [seq for seq, _ in tasks.events(task_id)] == list(range(N_WINDOWS))
    told = Counter(json.loads(body)["data"]["id"] for _, _, body in receiver.got)
    assert set(told) == set(ids)
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == len(ids)


def test_kill_9_at_any_moment_loses_no_task_and_ends_none_twice(new_workplace, database_url, receiver):
    place = new_workplace(database_url, max_crashes=100, dead_after_s=0.5, pause_s=0.02)
    tasks = place.client()
    ids = place.submit(tasks, 12, receiver)
    tasks.close()
    generator = random.Random("sqlite" if database_url is None else "postgresql")
    stages = ["fetch", "transcribe", "window", "finish"]
    for what in [*stages, *generator.choices(stages, k=2)]:
        seen = sum(line[1] == what for line in place.lines())
        process = place.start()
        with contextlib.suppress(AssertionError):  # nothing is left of that kind
            until(lambda seen=seen, what=what: sum(line[1] == what for line in place.lines()) > seen, 3)
        signal.sigtimedwait([], generator.uniform(0, 0.05))
        place.kill(process)
    place.finish(place.start(until_done=True))
    tasks = place.client()
    check_all_ended_once(tasks, ids, receiver)
    assert tasks.stats().n_running == 0
    tasks.close()
    windows = Counter(tuple(line[2:]) for line in place.lines() if line[1] == "window")
    assert len(windows) == 12 * N_WINDOWS


def test_the_tasks_of_a_killed_worker_finish_on_the_other(new_workplace, cluster, receiver):
    place = new_workplace(cluster.new_database(), pause_s=0.03)
    tasks = place.client()
    first, second = place.start(), place.start()
    ids = place.submit(tasks, 12, receiver)
    place.wait_for_line("window", 10)
    assert {line[0] for line in place.lines()} == {str(first.pid), str(second.pid)}  # they share the queue
    place.kill(first)
    for task_id in ids:
        assert tasks.wait(task_id, 30).state == "succeeded"
    receiver.wait_for(lambda got: len(got) >= len(ids))
    check_all_ended_once(tasks, ids, receiver)
    assert tasks.stats().n_workers == 1
    taken_over = [one for one in ids if tasks.get(one).n_attempts > 1]
    assert taken_over
    fetched = Counter(line[2] for line in place.lines() if line[1] == "fetch")
    assert max(fetched.values()) <= 2
    tasks.close()


def test_a_task_that_kills_its_workers_fails_and_its_neighbours_do_not(new_workplace, database_url, receiver):
    place = new_workplace(database_url, dead_after_s=0.5)
    tasks = place.client()
    [poison] = place.submit(tasks, 1, receiver, poison=True)
    neighbours = place.submit(tasks, 4)
    tasks.close()
    n_deaths = 0
    while (process := place.start(until_done=True)).wait(60) != 0:
        n_deaths += 1
        assert process.returncode == -signal.SIGKILL
    tasks = place.client()
    task = tasks.get(poison)
    assert task.error.code == "task_poisoned"
    assert task.n_attempts == n_deaths == 3
    assert [tasks.get(one).state for one in neighbours] == ["succeeded"] * 4
    [(_, _, body)] = receiver.got
    assert json.loads(body)["type"] == "task.failed"
    assert task.delivery_state == "delivered"
    tasks.close()


def test_deaths_do_not_count_against_a_task_that_gets_further_each_time(new_workplace):
    place = new_workplace(None)
    tasks = place.client()
    [task_id] = place.submit(tasks, 1, stumbles=True)
    tasks.close()
    while place.start(until_done=True).wait(60) != 0:
        pass
    tasks = place.client()
    assert tasks.get(task_id).state == "succeeded"
    assert tasks.get(task_id).n_attempts == N_WINDOWS + 1  # more than `max_crashes`
    tasks.close()


def test_a_worker_that_wakes_after_it_was_taken_for_dead_cannot_write(new_workplace, cluster):
    place = new_workplace(cluster.new_database())
    tasks = place.client()
    [task_id] = place.submit(tasks, 1)
    sleeper = place.start(stubborn=True)
    place.wait_for_line("holding", 1)
    sleeper.send_signal(signal.SIGSTOP)
    heir = place.start(stubborn=True)
    place.wait_for_line("holding", 2)
    (place.folder / "go").touch()
    assert tasks.wait(task_id, 20).state == "succeeded"
    assert tasks.result(task_id) == f"t0 by {heir.pid}"
    sleeper.send_signal(signal.SIGCONT)
    place.wait_for_line("refused")
    assert [line[0] for line in place.lines() if line[1] == "refused"] == [str(sleeper.pid)]
    assert tasks.result(task_id) == f"t0 by {heir.pid}"
    assert tasks.get(task_id).n_attempts == 2
    place.kill(heir)
    [after] = place.submit(tasks, 1)  # the one that woke works on
    assert tasks.wait(after, 20).state == "succeeded"
    assert tasks.result(after) == f"t0 by {sleeper.pid}"
    tasks.close()


def test_a_worker_that_is_asked_to_end_hands_its_tasks_back(new_workplace, database_url):
    place = new_workplace(database_url)
    tasks = place.client()
    [task_id] = place.submit(tasks, 1, hold="politely")
    tasks.close()
    process = place.start()
    place.wait_for_line("window", N_WINDOWS)
    process.terminate()
    place.finish(process)
    tasks = place.client()
    assert tasks.get(task_id).state == "queued"
    assert tasks.get(task_id).error is None
    tasks.close()
    (place.folder / "go").touch()
    place.finish(place.start(until_done=True))
    tasks = place.client()
    assert tasks.get(task_id).state == "succeeded"
    assert tasks.get(task_id).n_attempts == 2
    tasks.close()
    said = Counter(line[1] for line in place.lines())
    assert said["fetch"] == 1  # a finished stage is not run again
    assert said["window"] == N_WINDOWS  # what the journal has is not done again


def test_a_task_that_runs_within_the_grace_is_not_handed_back(new_workplace, database_url):
    place = new_workplace(database_url, pause_s=0.1)
    tasks = place.client()
    [task_id] = place.submit(tasks, 1)
    tasks.close()
    process = place.start(grace_s=20)
    place.wait_for_line("window")
    process.terminate()
    place.finish(process)
    tasks = place.client()
    assert tasks.get(task_id).state == "succeeded"
    assert tasks.get(task_id).n_attempts == 1
    tasks.close()


def test_a_result_waits_for_a_database_that_is_away(new_workplace, cluster):
    place = new_workplace(cluster.new_database(), dead_after_s=60.0)
    tasks = place.client()
    [task_id] = place.submit(tasks, 1)
    place.start(stubborn=True)
    place.wait_for_line("holding")
    cluster.stop()
    (place.folder / "go").touch()
    place.wait_for_line("finish")
    cluster.start()
    assert tasks.wait(task_id, 20).state == "succeeded"
    assert tasks.get(task_id).n_attempts == 1
    tasks.close()
