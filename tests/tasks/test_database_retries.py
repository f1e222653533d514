import sqlite3
import threading

import psycopg.errors
import pytest
import sqlalchemy as sa

from ifw.tasks.database import postgresql_engine, sqlite_engine
from ifw.tasks.database_retries import may_pass, persist


def test_what_is_wrong_for_good_is_not_tried_again(tmp_path):
    engine, n_tries = sqlite_engine(tmp_path / "t.sqlite"), []

    def write():
        n_tries.append(1)
        with engine.begin() as connection:
            connection.exec_driver_sql("SELECT no_such_column FROM sqlite_master")

    with pytest.raises(sa.exc.OperationalError):
        persist(write, threading.Event())
    assert len(n_tries) == 1
    engine.dispose()


@pytest.mark.parametrize(
    ("kind", "cause", "passes"),
    [
        (sa.exc.OperationalError, psycopg.errors.AdminShutdown(), True),
        (sa.exc.OperationalError, sqlite3.OperationalError("database is locked"), True),
        (sa.exc.InterfaceError, psycopg.InterfaceError(), True),
        (sa.exc.ProgrammingError, psycopg.errors.UndefinedColumn(), False),
        (sa.exc.IntegrityError, psycopg.errors.UniqueViolation(), False),
        (sa.exc.DataError, psycopg.errors.StringDataRightTruncation(), False),
    ],
)
def test_which_errors_may_pass(kind, cause, passes):
    assert may_pass(kind("statement", {}, cause)) is passes


def test_a_lost_connection_and_a_full_pool_may_pass():
    assert may_pass(sa.exc.ProgrammingError("statement", {}, Exception(), connection_invalidated=True))
    assert may_pass(sa.exc.TimeoutError())


def test_errors_show_no_values_and_connections_have_time_limits(tmp_path):
    engine = sqlite_engine(tmp_path / "t.sqlite")
    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError) as caught:
        connection.execute(sa.text("SELECT :value FROM no_table"), {"value": "secret"})
    engine.dispose()
    assert "secret" not in str(caught.value)
    remote = postgresql_engine("postgresql://user@host/name?connect_timeout=9")
    assert remote.hide_parameters
    assert remote.url.query["connect_timeout"] == "9"
    assert int(remote.url.query["tcp_user_timeout"]) == 10_000
