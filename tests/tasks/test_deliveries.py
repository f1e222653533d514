import dataclasses
import json
import time

import pytest
import standardwebhooks
from toys import until

from ifw.errors import TaskUnfinishedError, TaskWebhookError
from ifw.tasks import TaskRequest, Tasks, Webhook


def deliver(tasks, receiver, path="/", **payload):
    webhook = Webhook(receiver.url + path, {"X-Key": "k", "Webhook-Id": "forged", "content-type": "text/plain"})
    return tasks.submit(TaskRequest(payload, webhook=webhook))[0].id


def delivered(tasks, task_id, state="delivered"):
    return until(lambda: (task := tasks.get(task_id)).delivery_state == state and task)


def test_an_event_arrives_once_and_its_signature_is_valid(tasks, receiver, options):
    task_id = deliver(tasks, receiver)
    task = delivered(tasks, task_id)
    [(_, headers, body)] = receiver.got
    assert standardwebhooks.Webhook(options.webhook_secret).verify(body, headers) == json.loads(body)
    assert json.loads(body)["type"] == "task.succeeded"
    assert json.loads(body)["data"] == {"id": task_id, "state": "succeeded"}
    assert headers["x-key"] == "k"
    assert headers["webhook-id"].startswith("msg_")
    assert headers["content-type"] == "application/json"
    assert [one.status for one in task.deliveries] == [200]


def test_attempts_go_on_until_one_is_taken_with_the_same_bytes(toy, options, receiver):
    builds = []

    def build(task):
        builds.append(task.id)
        return b'{"build": %d}' % len(builds)

    receiver.answers["/"] = [500, 404, 302, 200]
    with Tasks(toy.stages(), options, build) as tasks:
        task = delivered(tasks, deliver(tasks, receiver))
        assert [one.status for one in task.deliveries] == [500, 404, 302, 200]
        assert task.deliveries[0].error == "the receiver answered 500"
        assert task.deliveries[-1].error is None
        assert {body for _, _, body in receiver.got} == {b'{"build": 1}'}
        assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1
        again = tasks.redeliver(task.id)
        assert again.delivery_state in ("pending", "delivered")
        receiver.wait_for(lambda got: len(got) == 5)
        assert receiver.got[-1][2] == b'{"build": 1}'
        assert receiver.got[-1][1]["webhook-id"] == receiver.got[0][1]["webhook-id"]
        delivered(tasks, task.id)
    assert len(builds) == 1


def test_each_attempt_is_signed_anew(toy, options, receiver):
    receiver.answers["/"] = [500, 200]
    with Tasks(toy.stages(), dataclasses.replace(options, delivery_delays_s=(1.1,), delivery_jitter=0)) as tasks:
        delivered(tasks, deliver(tasks, receiver))
    first, second = (headers for _, headers, _ in receiver.got)
    assert int(first["webhook-timestamp"]) < int(second["webhook-timestamp"])
    assert first["webhook-signature"] != second["webhook-signature"]


def test_a_delivery_is_given_up_after_the_last_attempt_and_at_410(tasks, receiver, options):
    receiver.answers["/down"], receiver.answers["/gone"] = 503, 410
    down, gone = deliver(tasks, receiver, "/down"), deliver(tasks, receiver, "/gone")
    assert len(delivered(tasks, down, "failed").deliveries) == len(options.delivery_delays_s) + 1
    assert len(delivered(tasks, gone, "failed").deliveries) == 1
    receiver.answers["/gone"] = 200
    tasks.redeliver(gone)
    assert [one.status for one in delivered(tasks, gone).deliveries] == [410, 200]


def test_an_event_that_cannot_be_made_or_sent_is_logged_on_the_task(toy, options, receiver, caplog):
    def build(task):
        if task.payload.get("name") == "unmade":
            raise ValueError("a detail")
        return b"{}"

    with Tasks(toy.stages(), dataclasses.replace(options, allow_nets=()), build) as tasks:
        unmade, forbidden = deliver(tasks, receiver, name="unmade"), deliver(tasks, receiver, "/secret?key=1")
        assert delivered(tasks, unmade, "failed").deliveries[0].error.startswith("internal")
        log = delivered(tasks, forbidden, "failed").deliveries
        assert log[0].error.startswith("url_forbidden")
        assert "key=1" not in log[0].error
    assert receiver.got == []


def test_failed_and_cancelled_tasks_deliver_too(tasks, receiver):
    failed, cancelled = deliver(tasks, receiver, raises="own"), deliver(tasks, receiver, waits=True)
    tasks.wait_for_change(cancelled, 1, 20)
    tasks.cancel(cancelled)
    delivered(tasks, failed)
    delivered(tasks, cancelled)
    types = {json.loads(body)["data"]["id"]: json.loads(body)["type"] for _, _, body in receiver.got}
    assert types == {failed: "task.failed", cancelled: "task.cancelled"}


def test_redelivery_wants_a_webhook_and_an_end(tasks, receiver, toy):
    without = tasks.submit(TaskRequest({}))[0].id
    waiting = deliver(tasks, receiver, waits=True)
    with pytest.raises(TaskWebhookError):
        tasks.redeliver(without)
    with pytest.raises(TaskUnfinishedError):
        tasks.redeliver(waiting)


def test_receivers_that_hang_hold_up_neither_deliveries_nor_tasks(toy, options, receiver):
    receiver.answers["/hang"] = "hang"
    other = type(receiver)()
    bounded = dataclasses.replace(options, delivery_timeout_s=30, max_posts=8, max_posts_per_origin=3)
    try:
        with Tasks(toy.stages(), bounded) as tasks:
            hanging = [deliver(tasks, receiver, "/hang") for _ in range(12)]
            receiver.wait_for(lambda got: len(got) == 3)
            fine = deliver(tasks, other)
            assert delivered(tasks, fine).state == "succeeded"
            assert [tasks.wait(one, 20).state for one in hanging] == ["succeeded"] * 12
            assert len(receiver.got) == 3  # no more than may go to one origin
            started = time.monotonic()
        assert time.monotonic() - started < 20  # far below the timeout of a delivery
    finally:
        other.close()


def test_origins_that_answer_have_room_where_all_others_hang(toy, options, receiver):
    bounded = dataclasses.replace(options, delivery_timeout_s=30, max_posts=4, max_posts_per_origin=1)
    hanging = [type(receiver)() for _ in range(5)]
    for one in hanging:
        one.answers["/"] = "hang"
    try:
        with Tasks(toy.stages(), bounded) as tasks:
            delivered(tasks, deliver(tasks, receiver))
            for one in hanging:
                deliver(tasks, one)
            until(lambda: sum(len(one.got) for one in hanging) == 3)
            delivered(tasks, deliver(tasks, receiver))
            assert sum(len(one.got) for one in hanging) == 3
    finally:
        for one in hanging:
            one.close()


def test_deliveries_that_were_tried_leave_room_for_new_ones(toy, options, receiver):
    bounded = dataclasses.replace(options, delivery_timeout_s=30, max_posts=4, max_posts_per_origin=4)
    receiver.answers["/again"] = "hang again"
    with Tasks(toy.stages(), bounded) as tasks:
        again = [deliver(tasks, receiver, "/again") for _ in range(4)]
        receiver.wait_for(lambda got: len(got) == 6)  # all once, and half of the room a second time
        delivered(tasks, deliver(tasks, receiver))
        assert len(receiver.at("/again")) == 6
        assert [tasks.get(one).delivery_state for one in again] == ["pending"] * 4


def test_pending_deliveries_go_on_after_a_restart(toy, options, receiver):
    receiver.answers["/"] = "hang"
    with Tasks(toy.stages(), options) as tasks:
        task_id = deliver(tasks, receiver)
        receiver.wait_for(lambda got: len(got) == 1)
    receiver.answers["/"] = 200
    with Tasks(toy.stages(), options) as tasks:
        delivered(tasks, task_id)
    assert len(receiver.got) == 2


def test_a_process_that_may_not_have_another_thread_delivers_later(tasks, receiver, monkeypatch):
    pool = tasks._workforce._courier._pool
    submit, n_refused = pool.submit, []

    def refuse_twice(*arguments):
        if len(n_refused) < 2:
            n_refused.append(1)
            raise RuntimeError("can't start new thread")
        return submit(*arguments)

    monkeypatch.setattr(pool, "submit", refuse_twice)
    task_id = tasks.submit(TaskRequest({}, webhook=Webhook(receiver.url)))[0].id
    receiver.wait_for(lambda got: len(got) == 1)
    until(lambda: tasks.get(task_id).delivery_state == "delivered")
    assert tasks._workforce._courier._n_posts() == 0
