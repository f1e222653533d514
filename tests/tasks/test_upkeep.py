import dataclasses
import json
import os
import threading
import time

import pytest
import sqlalchemy as sa
from toys import until

from ifw.errors import ConfigError, DatabaseError, DataDirError, TaskNotFoundError
from ifw.tasks import Stage, TaskOptions, TaskRequest, Tasks, Webhook, schema
from ifw.tasks.claims import Changes
from ifw.tasks.database import Database, sqlite_engine
from ifw.tasks.site import site_of


def test_a_deadline_ends_a_running_task_and_a_queued_one(tasks, receiver):
    webhook = Webhook(receiver.url)
    ids = [tasks.submit(TaskRequest({"waits": True}, deadline_s=0.3, webhook=webhook))[0].id for _ in range(4)]
    for task_id in ids:
        task = tasks.wait(task_id, 20)
        assert task.state == "failed"
        assert task.error.code == "task_deadline"
    after = tasks.submit(TaskRequest({}))[0].id
    assert tasks.wait(after, 20).state == "succeeded"  # the slots are free
    receiver.wait_for(lambda got: len(got) == 4)


def test_the_default_deadline_is_that_of_the_options(toy, options):
    with Tasks(toy.stages(), dataclasses.replace(options, default_deadline_s=60)) as tasks:
        task, _ = tasks.submit(TaskRequest({}))
        assert (task.deadline_at - task.created_at).total_seconds() == pytest.approx(60)


def test_the_files_of_a_task_are_deleted_when_it_has_ended(tasks, toy):
    ids, folders = {}, {}
    for name, payload in [("well", {}), ("badly", {"raises": "own"}), ("cancelled", {"waits": True}), ("late", {})]:
        ids[name] = tasks.new_id()
        folders[name] = tasks.new_folder(ids[name])
        (folders[name] / "audio").write_bytes(b"x")
        deadline_s = 0.2 if name == "late" else None
        task_payload = {"waits": True} if name == "late" else payload
        tasks.submit(TaskRequest(task_payload, deadline_s=deadline_s), task_id=ids[name])
    until(lambda: tasks.get(ids["cancelled"]).state == "running")
    assert folders["cancelled"].exists()
    tasks.cancel(ids["cancelled"])
    for task_id in ids.values():
        assert tasks.wait(task_id, 20).has_ended
    until(lambda: not any(folder.exists() for folder in folders.values()))
    assert tasks.result(ids["well"])


def test_a_suspect_that_waits_for_its_turn_takes_no_room_of_others(toy, options):
    tasks = Tasks(toy.stages(), options)  # which runs two at once
    tasks.start(works=False)
    suspects = [tasks.submit(TaskRequest({"name": "suspect", "waits": True}))[0].id for _ in range(3)]
    with tasks._database.write() as connection:
        connection.execute(sa.update(schema.tasks).values(n_crashes=1))
    others = [tasks.submit(TaskRequest({}))[0].id for _ in range(5)]
    tasks.work()
    assert [tasks.wait(one, 20).state for one in others] == ["succeeded"] * 5
    assert toy.started.count("suspect") == 1
    toy.release.set()
    assert [tasks.wait(one, 20).state for one in suspects] == ["succeeded"] * 3
    tasks.close()


def test_ended_tasks_expire_but_not_before_their_delivery(toy, options, receiver):
    receiver.answers["/"] = "hang"
    brief = dataclasses.replace(options, result_ttl_s=0.3, delivery_timeout_s=30)
    with Tasks(toy.stages(), brief) as tasks:
        told = tasks.submit(TaskRequest({}, webhook=Webhook(receiver.url)))[0].id
        task_id = tasks.submit(TaskRequest({}))[0].id
        until(lambda: not _is_there(tasks, task_id))
        assert tasks.get(told).expires_at.timestamp() < time.time()
        receiver.answers["/"] = 200
        tasks.redeliver(told)
        until(lambda: not _is_there(tasks, told))
        for table in schema.OWNED_BY_TASK:
            assert _count(tasks, table) == 0


def _is_there(tasks, task_id):
    try:
        tasks.get(task_id)
    except TaskNotFoundError:
        return False
    return True


def _count(tasks, table):
    with tasks._database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table))


def test_uploads_that_were_never_submitted_are_swept(toy, options):
    with Tasks(toy.stages(), options) as tasks:
        folder = tasks.new_folder("left")
        (folder / "audio").write_bytes(b"x")
        kept = tasks.new_folder("kept")
        os.utime(kept, (1, 1))
        tasks.submit(TaskRequest({"waits": True}), task_id="kept")
        tasks._spool.sweep(tasks._store.unended, 3600)
        assert folder.exists()
        os.utime(folder / "audio", (1, 1))
        os.utime(folder, (1, 1))
        tasks._spool.sweep(tasks._store.unended, 3600)
        assert not folder.exists()
        left = tasks.new_folder("left")
    with Tasks(toy.stages(), options):
        assert not left.exists()  # nobody uploads across a restart
        assert kept.exists()


def test_a_submission_that_was_cut_off_is_queued_at_the_next_start(toy, options):
    tasks = Tasks(toy.stages(), options)
    tasks.start(works=False)
    submitted = tasks._store.insert(TaskRequest({}), "cut", None, "")  # the process dies before it is enqueued
    assert submitted.is_new
    tasks.close()
    with Tasks(toy.stages(), options) as tasks:
        assert tasks.wait("cut", 20).state == "succeeded"


def test_tasks_that_the_execution_has_lost_are_executed_anew(toy, options):
    tasks = Tasks(toy.stages(), options)
    tasks.start(works=False)
    ids = [tasks.submit(TaskRequest({}))[0].id for _ in range(3)]
    tasks.close()
    for path in options.data_dir.glob("execution.sqlite*"):
        path.unlink()
    with Tasks(toy.stages(), options) as tasks:
        assert [tasks.wait(one, 20).state for one in ids] == ["succeeded"] * 3


def test_other_stages_than_those_of_the_last_run_start_the_task_over(options):
    reached, go = threading.Event(), threading.Event()

    def wait(context):
        reached.set()
        while not go.wait(0.005):
            context.cancel.raise_if_cancelled()

    done = []
    with Tasks([Stage("one", lambda context: 1), Stage("two", wait)], options) as tasks:
        task_id = tasks.submit(TaskRequest({}))[0].id
        assert reached.wait(20)
    with Tasks([Stage("new", lambda context: done.append("new")), Stage("two", lambda context: 2)], options) as tasks:
        assert tasks.wait(task_id, 20).state == "succeeded"
    assert done == ["new"]


def test_what_the_execution_remembers_of_ended_tasks_is_deleted(tasks, monkeypatch):
    from datetime import timedelta

    from ifw.tasks import execution

    ids = [tasks.submit(TaskRequest({}))[0].id for _ in range(3)]
    for task_id in ids:
        tasks.wait(task_id, 20)
    client = tasks._execution._client
    until(lambda: len(client.list_workflows(status="SUCCESS")) == 3)
    tasks._execution.forget_ended()
    assert len(client.list_workflows()) == 3  # they are kept for an hour
    monkeypatch.setattr(execution, "_KEPT", timedelta(seconds=-1))
    tasks._execution.forget_ended()
    assert client.list_workflows() == []
    assert [tasks.get(one).state for one in ids] == ["succeeded"] * 3


def test_a_journal_survives_a_restart_and_one_of_another_identity_does_not(options):
    seen, reached = [], threading.Event()
    go = threading.Event()
    identity = {"model": "a"}

    def work(context):
        seen.append([record["n"] for record in context.journal.begin(identity)])
        for n in range(3):
            context.journal.append({"n": n, "text": "\x00ä\U0001f600"})
            context.emit(n, {"n": n})
        reached.set()
        while not go.wait(0.005):
            context.cancel.raise_if_cancelled()

    stages = [Stage("work", work)]
    with Tasks(stages, options) as tasks:
        task_id = tasks.submit(TaskRequest({}))[0].id
        assert reached.wait(20)
    reached.clear()
    with Tasks(stages, options) as tasks:
        assert reached.wait(20)
    identity["model"] = "b"
    go.set()
    with Tasks(stages, options) as tasks:
        assert tasks.wait(task_id, 20).state == "succeeded"
        assert len(tasks.events(task_id)) == 3
        assert _count(tasks, schema.journal) == 0  # what has ended needs none
    assert seen[0] == []
    assert seen[1] == [0, 1, 2]
    assert seen[2] == []


def test_a_listener_that_fails_harms_nobody(tasks, caplog):
    heard = threading.Event()

    def fail():
        raise RuntimeError("the loop is closed")

    task = tasks.new_id()
    tasks.listen(task, fail)
    stop = tasks.listen(task, heard.set)
    tasks.submit(TaskRequest({}), task_id=task)
    assert tasks.wait(task, 20).state == "succeeded"
    assert heard.is_set()
    stop()
    assert "a listener to changes of tasks failed" in caplog.text


def test_two_sets_of_tasks_in_one_process_are_refused(tasks, toy, options, tmp_path):
    with pytest.raises(ConfigError, match="already"):
        Tasks(toy.stages(), dataclasses.replace(options, data_dir=tmp_path / "other")).start()
    task, _ = tasks.submit(TaskRequest({}))
    assert tasks.wait(task.id, 20).state == "succeeded"


def test_a_database_that_is_not_there_is_one_clear_error(toy, options):
    url = "postgresql://user:hidden@127.0.0.1:1/none?connect_timeout=2"
    with pytest.raises(DatabaseError, match="does not answer") as caught:
        Tasks(toy.stages(), dataclasses.replace(options, database_url=url)).start()
    assert "hidden" not in str(caught.value)


def test_a_file_that_is_no_database_is_one_clear_error_and_the_folder_is_free_again(toy, options):
    options.data_dir.mkdir()
    (options.data_dir / "tasks.sqlite").write_bytes(b"no database " * 1000)
    for _ in range(2):
        with pytest.raises(DataDirError, match="its database cannot be used: file is not a database"):
            Tasks(toy.stages(), options).start()


@pytest.mark.parametrize(
    "bad",
    [
        {"max_running": 0},
        {"max_queued": True},
        {"result_ttl_s": -1},
        {"default_deadline_s": 0},
        {"delivery_delays_s": (0,)},
        {"delivery_jitter": 1},
        {"dead_after_s": 1.0},
        {"database_url": "mysql://x"},
        {"webhook_secret": "secret"},
        {"webhook_secret": "whsec_"},
        {"webhook_secret": "whsec_%%%"},
    ],
)
def test_options_are_checked(tmp_path, bad):
    with pytest.raises(ConfigError) as caught:
        TaskOptions(tmp_path, **bad)
    assert "allowed" in str(caught.value)


def test_requests_are_checked(tasks):
    for bad in (TaskRequest({}, priority=1001), TaskRequest({}, priority=True), TaskRequest({}, deadline_s=-1)):
        with pytest.raises(ConfigError):
            tasks.submit(bad)
    for stages in ([], [Stage("a", print), Stage("a", print)]):
        with pytest.raises(ConfigError):
            Tasks(stages, TaskOptions(tasks._options.data_dir))


def test_secrets_are_not_shown(options):
    webhook = Webhook("https://x.example/?key=hidden", {"X-Key": "hidden"})
    shown = repr(webhook) + repr(TaskRequest({"url": "x"}, webhook=webhook)) + repr(options)
    assert "hidden" not in shown
    assert "MfKQ9" not in shown
    assert json.dumps(shown)


def test_deaths_in_a_row_end_a_task_and_getting_further_forgives_them(tmp_path):
    database = Database(sqlite_engine(tmp_path / "t.sqlite", is_synced=False))
    database.create(schema.metadata, schema.VERSION)
    site = site_of("w", TaskOptions(tmp_path, max_crashes=3), database)
    run_id = site.store.insert(TaskRequest({}), "t", None, "").run_id

    def die(advances):
        assert site.claims.take(run_id, "w", "claim").state == "running"
        site.claims.flush([Changes("claim", "t", is_advanced=advances)])
        return site.claims.release(["claim"])

    for advances in (False, False, True, False):
        assert die(advances).requeued == ["t"]
        assert site.claims.is_suspect(run_id)
    assert die(False).poisoned == ["t"]
    assert site.store.get("t").error.code == "task_poisoned"
    database.close()


def test_tables_of_another_version_are_refused(toy, options):
    with Tasks(toy.stages(), options):
        pass
    engine = sqlite_engine(options.data_dir / "tasks.sqlite")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ifw_schema SET version = 7")
    engine.dispose()
    with pytest.raises(ConfigError, match="got version 7, allowed: 1,"):
        Tasks(toy.stages(), options).start()


def test_a_database_that_is_away_holds_up_neither_submissions_nor_the_end(toy, options, cluster):
    shared = dataclasses.replace(options, database_url=cluster.new_database())
    tasks = Tasks(toy.stages(), shared)
    tasks.start()
    running = tasks.submit(TaskRequest({"waits": True}))[0].id
    until(lambda: tasks.get(running).state == "running")
    cluster.stop()
    done = []

    def use():
        with pytest.raises(sa.exc.OperationalError):
            tasks.submit(TaskRequest({}))
        tasks.close()
        done.append(True)

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(60)
    cluster.start()
    assert done == [True]
    toy.release.set()
    with Tasks(toy.stages(), shared) as tasks:  # what could not be handed back is taken over
        assert tasks.wait(running, 30).state == "succeeded"


def test_a_submission_is_accepted_where_only_the_queue_is_away(tasks, monkeypatch):
    def fail(*_arguments, **_options):
        raise sa.exc.OperationalError("statement", {}, Exception("away"))

    with monkeypatch.context() as patched:
        patched.setattr(tasks._execution._client, "enqueue", fail)
        task, is_new = tasks.submit(TaskRequest({}))
        assert is_new
    assert tasks.wait(task.id, 20).state == "succeeded"


def test_a_stage_that_is_repeated_under_another_name_forgives_no_death(toy, options):
    with Tasks(toy.stages(), options) as tasks:
        task_id = tasks.submit(TaskRequest({}))[0].id
        tasks.wait(task_id, 20)
        timings = json.dumps(dict(tasks.get(task_id).timings))
    stuck = threading.Event()

    def wait(context):
        stuck.set()
        while not toy.release.wait(0.005):
            context.cancel.raise_if_cancelled()

    tasks = Tasks([Stage("first", lambda context: 1), Stage("third", wait)], options)
    tasks.start(works=False)
    task_id = tasks.submit(TaskRequest({}))[0].id
    with tasks._database.write() as connection:  # its first stage had ended, before two workers died over it
        connection.execute(sa.update(schema.tasks).where(_is(task_id)).values(n_crashes=2, timings=timings))
    tasks.work()
    assert stuck.wait(20)
    with tasks._database.read() as connection:
        assert connection.scalar(sa.select(schema.tasks.c.n_crashes).where(_is(task_id))) == 2
    toy.release.set()
    assert tasks.wait(task_id, 20).state == "succeeded"
    tasks.close()


def _is(task_id):
    return schema.tasks.c.id == task_id
