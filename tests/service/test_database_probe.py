"""A health check does not wait for a database that hangs."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy.exc import OperationalError

from ifw.service.database_probe import DatabaseProbe


def test_a_database_that_answers():
    assert DatabaseProbe(lambda: None, 60).answers()


def test_a_database_that_refuses():
    def refuse() -> None:
        raise OperationalError("", {}, Exception("gone"))

    assert not DatabaseProbe(refuse, 60).answers()


def test_a_bug_is_not_taken_for_a_database_that_is_away():
    with pytest.raises(ZeroDivisionError):
        DatabaseProbe(lambda: 1 // 0, 60).answers()


def test_one_that_hangs_is_asked_once_and_seen_when_it_is_back():
    asked, back = [], threading.Event()

    def hang() -> None:
        asked.append(1)
        assert back.wait(60)

    probe = DatabaseProbe(hang, 0.01)
    assert [probe.answers() for _ in range(3)] == [False, False, False]
    assert len(asked) == 1
    back.set()
    while not probe.answers():  # the first question is answered soon
        pass
