"""What the parts of one process share: where tasks are, and who is told of their changes."""

from __future__ import annotations

from dataclasses import dataclass

from ifw.tasks.bell import Bell
from ifw.tasks.claims import Claims
from ifw.tasks.database import Database
from ifw.tasks.options import TaskOptions
from ifw.tasks.spool import Spool
from ifw.tasks.store import Store


@dataclass(frozen=True, slots=True)
class Site:
    """The tasks as one process reaches them.

    Attributes:
        worker_id: Of this process.
        options: The limits.
        database: Where the tables are.
        store: What clients do.
        claims: What workers write.
        spool: Where tasks have their files.
        bell: Is rung when a task changes.
    """

    worker_id: str
    options: TaskOptions
    database: Database
    store: Store
    claims: Claims
    spool: Spool
    bell: Bell


def site_of(worker_id: str, options: TaskOptions, database: Database) -> Site:
    """The site of one process on a database."""
    return Site(
        worker_id,
        options,
        database,
        Store(database, options),
        Claims(database, options),
        Spool(options.data_dir / "spool"),
        Bell(),
    )
