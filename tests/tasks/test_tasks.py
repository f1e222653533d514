import dataclasses
import threading

import pytest

from ifw.errors import (
    ConfigError,
    DataDirError,
    IdempotencyError,
    QueueFullError,
    TaskCancelledError,
    TaskCursorError,
    TaskEndedError,
    TaskExistsError,
    TaskFailedError,
    TaskIdError,
    TaskNotFoundError,
    TaskUnfinishedError,
)
from ifw.tasks import Stage, TaskFailure, TaskRequest, Tasks


def test_a_task_goes_through_its_stages(tasks):
    task, is_new = tasks.submit(TaskRequest({"name": "a"}))
    assert is_new
    assert task.state == "queued"
    ended = tasks.wait(task.id, 20)
    assert ended.state == "succeeded"
    assert ended.n_attempts == 1
    assert ended.progress["first"].total_s == 2.0
    assert set(ended.timings) == {"first", "second"}
    assert ended.created_at <= ended.started_at <= ended.ended_at < ended.expires_at
    assert tasks.result(task.id) == "7 \x00 ä"
    assert tasks.events(task.id) == [(0, {"n": 0}), (1, {"n": 1}), (2, {"n": 2})]
    assert tasks.events(task.id, 1) == [(2, {"n": 2})]


def test_an_error_on_purpose_is_told_and_another_is_not(tasks):
    own, _ = tasks.submit(TaskRequest({"raises": "own"}))
    other, _ = tasks.submit(TaskRequest({"raises": "other"}))
    assert tasks.wait(own.id, 20).error == TaskFailure("audio_format", "these bytes are no audio")
    failure = tasks.wait(other.id, 20).error
    assert failure.code == "internal"
    assert "detail that" not in failure.message
    with pytest.raises(TaskFailedError, match="audio_format"):
        tasks.result(own.id)


def test_cancel_ends_a_running_task_and_a_queued_one(tasks, toy):
    running = [tasks.submit(TaskRequest({"waits": True}))[0].id for _ in range(2)]
    queued = tasks.submit(TaskRequest({"name": "queued"}))[0].id
    for task_id in running:
        assert tasks.wait_for_change(task_id, 1, 20).state == "running"
    assert tasks.cancel(queued).state == "cancelled"
    assert tasks.cancel(running[0]).state == "cancelled"
    with pytest.raises(TaskEndedError):
        tasks.cancel(queued)
    with pytest.raises(TaskCancelledError):
        tasks.result(queued)
    last = tasks.submit(TaskRequest({"name": "last"}))[0].id
    assert tasks.wait(last, 20).state == "succeeded"  # the slot of the cancelled one is free
    assert toy.ran == ["last"]


def test_names(tasks):
    tasks.submit(TaskRequest({}), task_id="a.b-c_1")
    with pytest.raises(TaskExistsError):
        tasks.submit(TaskRequest({}), task_id="a.b-c_1")
    for bad in ("", "../x", "a/b", "a..b", ".a", "a" * 129, "a\n", "ä", "a\x00"):
        with pytest.raises(TaskIdError):
            tasks.submit(TaskRequest({}), task_id=bad)
        with pytest.raises(TaskNotFoundError):
            tasks.get(bad)


def test_an_idempotency_key_gives_the_same_task(tasks):
    first, is_new = tasks.submit(TaskRequest({}), idempotency_key="key", fingerprint="f")
    again, is_new_again = tasks.submit(TaskRequest({}), idempotency_key="key", fingerprint="f")
    assert (is_new, is_new_again) == (True, False)
    assert first.id == again.id
    with pytest.raises(IdempotencyError):
        tasks.submit(TaskRequest({}), idempotency_key="key", fingerprint="g")


def test_the_queue_is_bounded(toy, options, tmp_path):
    with Tasks(toy.stages(), dataclasses.replace(options, max_queued=3)) as tasks:
        running = [tasks.submit(TaskRequest({"waits": True}))[0].id for _ in range(2)]
        for task_id in running:
            tasks.wait_for_change(task_id, 1, 20)
        for _ in range(3):
            tasks.submit(TaskRequest({}))
        with pytest.raises(QueueFullError):
            tasks.submit(TaskRequest({}))
        toy.release.set()


def test_higher_priority_goes_first_and_equal_ones_in_order(tasks, toy):
    running = [tasks.submit(TaskRequest({"waits": True}))[0].id for _ in range(2)]
    for task_id in running:
        tasks.wait_for_change(task_id, 1, 20)
    names = [("low", -5), ("a", 0), ("b", 0), ("high", 9)]
    ids = [
        tasks.submit(TaskRequest({"name": name, "waits": True}, priority=priority))[0].id for name, priority in names
    ]
    toy.started.clear()
    order = []
    tasks.cancel(running[0])  # one slot, so one at a time
    for _ in names:
        task_id = next(iter(_running_besides(tasks, running[1])))
        order.append(dict(zip(ids, [name for name, _ in names], strict=True))[task_id])
        tasks.cancel(task_id)
    assert order == ["high", "a", "b", "low"]


def _running_besides(tasks, task_id):
    while True:
        found = {task.id for task in tasks.list("running").tasks} - {task_id}
        if found:
            return found


def test_pages_from_the_newest(tasks):
    ids = [tasks.submit(TaskRequest({}))[0].id for _ in range(5)]
    page = tasks.list(limit=2)
    assert [task.id for task in page.tasks] == [ids[4], ids[3]]
    page = tasks.list(limit=2, after=page.next)
    assert [task.id for task in page.tasks] == [ids[2], ids[1]]
    page = tasks.list(limit=2, after=page.next)
    assert [task.id for task in page.tasks] == [ids[0]]
    assert page.next is None
    with pytest.raises(TaskCursorError):
        tasks.list(after="x")
    with pytest.raises(ConfigError):
        tasks.list(limit=0)
    with pytest.raises(ConfigError):
        tasks.list(state="done")


def test_remove_forgets_an_ended_task(tasks, toy):
    waiting = tasks.submit(TaskRequest({"waits": True}))[0].id
    with pytest.raises(TaskUnfinishedError):
        tasks.remove(waiting)
    with pytest.raises(TaskUnfinishedError):
        tasks.result(waiting)
    toy.release.set()
    tasks.wait(waiting, 20)
    tasks.remove(waiting)
    with pytest.raises(TaskNotFoundError):
        tasks.get(waiting)
    again, is_new = tasks.submit(TaskRequest({"name": "again"}), task_id=waiting)
    assert is_new
    assert tasks.wait(again.id, 20).state == "succeeded"
    assert toy.ran.count("again") == 1


def test_a_second_process_is_refused_and_a_later_one_is_not(toy, options):
    with Tasks(toy.stages(), options), pytest.raises(DataDirError, match="pid"):
        Tasks(toy.stages(), options).start()
    with Tasks(toy.stages(), options) as tasks:
        assert tasks.stats().n_queued == 0


def test_uploads_have_a_folder_that_is_removed_with_the_task(tasks, options):
    task_id = tasks.new_id()
    folder = tasks.new_folder(task_id)
    with pytest.raises(TaskExistsError):
        tasks.new_folder(task_id)
    (folder / "audio").write_bytes(b"x")
    tasks.submit(TaskRequest({}), task_id=task_id)
    tasks.discard_folder(task_id)
    assert folder.exists()
    tasks.wait(task_id, 20)
    tasks.remove(task_id)
    assert not folder.exists()
    other = tasks.new_folder("other")
    tasks.discard_folder("other")
    assert not other.exists()


def test_cancel_in_the_same_process_does_not_wait_for_the_next_flush(toy, options):
    stopped = threading.Event()

    def work(context):
        context.cancel.add_callback(stopped.set)
        stopped.wait(60)
        context.cancel.raise_if_cancelled()

    with Tasks([Stage("work", work)], dataclasses.replace(options, flush_s=600)) as tasks:
        task_id = tasks.submit(TaskRequest({}))[0].id
        tasks.wait_for_change(task_id, 1, 20)
        tasks.cancel(task_id)
        assert stopped.wait(20)


def test_tasks_are_taken_only_from_the_moment_that_work_begins(toy, options):
    tasks = Tasks(toy.stages(), options)
    tasks.work()  # not open yet: nothing happens
    tasks.start(works=False)
    folder = tasks.new_folder("early")
    (folder / "audio").write_bytes(b"x")
    ids = [tasks.submit(TaskRequest({"n": n}))[0].id for n in range(3)]
    assert tasks.stats().n_workers == 0
    assert tasks.wait(ids[0], 0.3).state == "queued"
    tasks.work()
    tasks.work()
    assert [tasks.wait(one, 20).state for one in ids] == ["succeeded"] * 3
    assert tasks.stats().n_workers == 1
    assert folder.exists()  # an upload that began before goes on
    tasks.close()
    tasks.work()  # closed meanwhile: nothing happens
    assert toy.started.count(None) == 3


def test_work_that_could_not_begin_may_be_tried_again(toy, options, tmp_path):
    first = Tasks(toy.stages(), options)
    first.start()
    second = Tasks(toy.stages(), dataclasses.replace(options, data_dir=tmp_path / "second"))
    second.start(works=False)
    task_id = second.submit(TaskRequest({}))[0].id
    with pytest.raises(ConfigError, match="already"):
        second.work()
    assert second.stats().n_workers == 0
    first.close()
    second.work()
    assert second.wait(task_id, 20).state == "succeeded"
    second.close()
