import dataclasses

import pytest
import sqlalchemy as sa

from ifw.tasks import TaskOptions, TaskRequest, schema
from ifw.tasks.database import Database, sqlite_engine
from ifw.tasks.heartbeat import Heartbeat
from ifw.tasks.site import site_of


@pytest.fixture
def site(tmp_path):
    database = Database(sqlite_engine(tmp_path / "t.sqlite", is_synced=False))
    database.create(schema.metadata, schema.VERSION)
    yield site_of("me", TaskOptions(tmp_path, heartbeat_s=1.0, dead_after_s=5.0), database)
    database.close()


def another(site, name):
    return Heartbeat(dataclasses.replace(site, worker_id=name))


def test_a_worker_whose_counter_stands_still_is_dead_and_one_that_beats_is_not(site):
    mine, still, alive = Heartbeat(site), another(site, "still"), another(site, "alive")
    for one in (mine, still):
        one.beat()
    for second in range(5):
        alive.beat()
        mine.look(second)
        assert mine.dead() == []
    alive.beat()
    mine.look(5)
    assert mine.dead() == ["still"]  # and not itself
    still.beat()
    mine.look(6)
    assert mine.dead() == []


def test_time_in_which_the_database_was_away_counts_for_nobody(site):
    mine, other = Heartbeat(site), another(site, "other")
    other.beat()
    for second in (0, 1, 2):
        mine.look(second)
    for second in range(20, 25):
        mine.look(second)
        assert mine.dead() == []
    mine.look(25)
    assert mine.dead() == ["other"]


def test_a_holder_of_tasks_that_never_gave_a_sign_of_life_is_dead_too(site):
    run_id = site.store.insert(TaskRequest({}), "t", None, "").run_id
    site.claims.take(run_id, "ghost", "claim")
    mine = Heartbeat(site)
    for second in range(5):
        mine.look(second)
        assert mine.dead() == []
    mine.look(5)
    assert mine.dead() == ["ghost"]
    mine.forget("ghost")
    assert mine.dead() == []
    another(site, "ghost").beat()  # it lives after all
    for second in range(6, 10):
        mine.look(second)
    assert mine.dead() == []


def test_a_worker_says_goodbye(site):
    mine = Heartbeat(site)
    mine.beat()
    mine.close()
    with site.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.workers)) == 0
