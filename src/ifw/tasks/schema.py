"""The tables in which tasks are kept: the record of everything. What executes them keeps tables of its own.

Times are seconds since 1970 in UTC. JSON is ASCII text, so that no database refuses a character of it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

VERSION: Final = 1
"""Grows with every change of a table or of what its columns mean."""

_Number = BigInteger().with_variant(Integer, "sqlite")

tasks = Table(
    "ifw_tasks",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("id", String(128), nullable=False, unique=True),
    Column("run_id", String(64), nullable=False, unique=True),
    Column("is_enqueued", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("payload", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("webhook", Text),
    Column("idempotency_hash", String(64), unique=True),
    Column("fingerprint", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("expires_at", Float),
    Column("deadline_at", Float),
    Column("stage", Text),
    Column("progress", Text, nullable=False),
    Column("timings", Text, nullable=False),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("n_attempts", Integer, nullable=False),
    Column("n_crashes", Integer, nullable=False),
    Column("worker_id", String(128)),
    Column("claim", String(64)),
    Column("journal_identity", Text),
    Index("ifw_tasks_state", "state", "number"),
    Index("ifw_tasks_expiry", "expires_at"),
    Index("ifw_tasks_deadline", "deadline_at"),
)

results = Table(
    "ifw_results",
    metadata,
    Column("task_id", String(128), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

journal = Table(
    "ifw_journal",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("task_id", String(128), nullable=False, index=True),
    Column("record", Text, nullable=False),
)

events = Table(
    "ifw_events",
    metadata,
    Column("task_id", String(128), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)

deliveries = Table(
    "ifw_deliveries",
    metadata,
    Column("task_id", String(128), primary_key=True),
    Column("message_id", String(64), nullable=False),
    Column("origin", Text, nullable=False),
    Column("body", LargeBinary),
    Column("state", String(16), nullable=False),
    Column("n_tries", Integer, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("lease", String(64)),
    Column("lease_until", Float),
    Column("worker_id", String(128)),
    Index("ifw_deliveries_due", "state", "next_at"),
)

delivery_attempts = Table(
    "ifw_delivery_attempts",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("task_id", String(128), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("duration_s", Float, nullable=False),
)

workers = Table(
    "ifw_workers",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("beat", BigInteger, nullable=False),
    Column("started_at", Float, nullable=False),
)

OWNED_BY_TASK = (results, journal, events, deliveries, delivery_attempts)
"""Tables whose rows belong to the task in their column `task_id`."""
