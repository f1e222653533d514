"""Whatever clients, workers and deaths do in whatever order: a task ends once, and only who holds it writes."""

import shutil
import tempfile
import time
from pathlib import Path

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from ifw.errors import TaskEndedError, TaskError, TaskNotFoundError, TaskUnfinishedError
from ifw.tasks import TaskFailure, TaskOptions, TaskRequest, Webhook, schema
from ifw.tasks.claims import Changes
from ifw.tasks.database import Database, sqlite_engine
from ifw.tasks.endings import end_task
from ifw.tasks.site import site_of

WORKERS = ("w1", "w2")


class Model:
    """What a task should be."""

    def __init__(self, task_id, run_id):
        self.id, self.run_id = task_id, run_id
        self.state, self.claim, self.worker = "queued", None, None
        self.n_crashes, self.n_attempts = 0, 0
        self.result, self.events = None, {}


class TaskMachine(RuleBasedStateMachine):
    models = Bundle("models")
    claims = Bundle("claims")

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ifw-states-"))
        self.database = Database(sqlite_engine(self.folder / "t.sqlite", is_synced=False))
        self.database.create(schema.metadata, schema.VERSION)
        self.site = site_of("w1", TaskOptions(self.folder, max_crashes=2), self.database)
        self.kept = {}
        self.n_ends = 0
        self.n = 0

    def teardown(self):
        self.database.close()
        shutil.rmtree(self.folder)

    def ended(self, model, state):
        model.state, model.claim, model.worker = state, None, None
        self.n_ends += 1

    @precondition(lambda self: len(self.kept) < 2)  # few, so that much happens to each
    @rule(target=models)
    def submit(self):
        return self.new_task()

    def new_task(self):
        self.n += 1
        request = TaskRequest({}, webhook=Webhook("http://receiver.example/x"))
        submitted = self.site.store.insert(request, f"t{self.n}", None, "")
        self.kept[submitted.task.id] = Model(submitted.task.id, submitted.run_id)
        return self.kept[submitted.task.id]

    @initialize(target=models)
    def submit_first(self):
        return self.new_task()

    @rule(target=claims, model=models, worker=st.sampled_from(WORKERS))
    def take(self, model, worker):
        self.n += 1
        claim = f"c{self.n}"
        task = self.site.claims.take(model.run_id, worker, claim)
        if model.state not in ("queued", "running"):
            assert task is None
            return multiple()
        assert task.state == "running"
        model.state, model.claim, model.worker = "running", claim, worker
        model.n_attempts += 1
        return (model, claim)

    @rule(held=claims, seq=st.integers(0, 3), advances=st.booleans())
    def flush(self, held, seq, advances):
        model, claim = held
        changes = Changes(claim, model.id, {"stage": "s"}, ["{}"] if advances else [], {seq: str(seq)}, advances)
        lost = self.site.claims.flush([changes])
        assert (lost == []) == (model.claim == claim)
        if not lost:
            model.events[seq] = seq
            model.n_crashes = 0 if advances else model.n_crashes

    @rule(held=claims)
    def keep_result(self, held):
        model, claim = held
        assert self.site.claims.keep_result(claim, model.id, claim) == (model.claim == claim)
        if model.claim == claim:
            model.result = claim

    @rule(held=claims)
    def succeed(self, held):
        model, claim = held
        assert self.site.claims.succeed(claim) == (model.claim == claim)
        if model.claim == claim:
            self.ended(model, "succeeded")

    @rule(held=claims)
    def fail(self, held):
        model, claim = held
        assert self.site.claims.fail(claim, TaskFailure("x", "y")) == (model.claim == claim)
        if model.claim == claim:
            self.ended(model, "failed")

    @rule(held=claims)
    def hand_back(self, held):
        model, claim = held
        assert self.site.claims.hand_back(claim) == (model.claim == claim)
        if model.claim == claim:
            model.state, model.claim, model.worker = "queued", None, None

    @rule(worker=st.sampled_from(WORKERS))
    def worker_dies(self, worker):
        claims = self.site.claims.claims_of(worker)
        theirs = [model for model in self.kept.values() if model.worker == worker]
        assert set(claims) == {model.claim for model in theirs}
        released = self.site.claims.release(claims)
        for model in theirs:
            model.n_crashes += 1
            if model.n_crashes >= 2:
                assert model.id in released.poisoned
                self.ended(model, "failed")
            else:
                assert model.id in released.requeued
                model.state, model.claim, model.worker = "queued", None, None

    @rule(model=models)
    def die_over(self, model):
        if model.state in ("queued", "running") and model.id in self.kept:
            self.take(model, "w1")
        self.worker_dies("w1")

    @rule(model=models)
    def cancel(self, model):
        if model.id not in self.kept:
            with pytest.raises(TaskNotFoundError):
                self.site.store.cancel(model.id)
        elif model.state in ("queued", "running"):
            self.site.store.cancel(model.id)
            self.ended(model, "cancelled")
        else:
            with pytest.raises(TaskEndedError):
                self.site.store.cancel(model.id)

    @rule(model=models)
    def deadline(self, model):
        with self.database.write() as connection:
            ended = end_task(
                connection,
                schema.tasks.c.id == model.id,
                "failed",
                now=time.time(),
                ttl_s=1,
                failure=TaskFailure("d", ""),
            )
        if model.state in ("queued", "running") and model.id in self.kept:
            assert ended == [model.id]
            self.ended(model, "failed")
        else:
            assert ended == []

    @rule(model=models)
    def remove(self, model):
        if model.id not in self.kept:
            return
        if model.state in ("queued", "running"):
            with pytest.raises(TaskUnfinishedError):
                self.site.store.remove(model.id)
            return
        assert self.site.store.remove(model.id) == model.run_id
        del self.kept[model.id]
        self.n_ends -= 1

    @invariant()
    def the_table_is_as_the_model_says(self):
        for model in self.kept.values():
            task = self.site.store.get(model.id)
            assert (task.state, task.n_attempts) == (model.state, model.n_attempts)
            assert (task.ended_at is not None) == task.has_ended
            assert (task.delivery_state == "pending") == task.has_ended
            assert {seq for seq, _ in self.site.store.events(model.id, -1, 10)} == set(model.events)
            if model.state == "succeeded":
                assert self.site.store.result(model.id) == (model.result or "")
            else:
                with pytest.raises(TaskError):
                    self.site.store.result(model.id)

    @invariant()
    def every_end_has_one_event(self):
        with self.database.read() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(schema.deliveries)) == self.n_ends
            orphans = sa.select(schema.journal.c.task_id).where(
                schema.journal.c.task_id.not_in(sa.select(schema.tasks.c.id))
            )
            assert connection.execute(orphans).all() == []


TestTaskStates = TaskMachine.TestCase
TestTaskStates.settings = settings(
    max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
