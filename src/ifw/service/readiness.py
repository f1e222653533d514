"""Whether the process can do its work now, and if not, what is missing."""

from __future__ import annotations

import shutil
from typing import NamedTuple

from ifw.service.service import Service


class Missing(NamedTuple):
    """Something without which there is no work.

    Attributes:
        part: `model`, `diarization_model`, `database`, `disk` or `process`.
        code: Stable: `loading`, the code of an error, `unreachable`, `full`, or `draining`.
        message: For people.
    """

    part: str
    code: str
    message: str


def missing_parts(service: Service) -> list[Missing]:
    """What is missing; nothing where the process is ready.

    Touches disk and database, and takes no longer than `DatabaseProbe` allows.
    """
    found = []
    if service.is_draining:
        found.append(Missing("process", "draining", "the process is shutting down"))
    status = service.model.status
    if status.state != "ready":
        found.append(Missing(status.part, status.code or status.state, status.message))
    return [*found, *_database(service), *_disk(service)]


def _database(service: Service) -> list[Missing]:
    if service.database.answers():
        return []
    return [Missing("database", "unreachable", "the task database does not answer")]


def _disk(service: Service) -> list[Missing]:
    try:
        free = shutil.disk_usage(service.settings.data_dir).free
    except OSError as error:
        return [Missing("disk", "unreachable", f"the data folder cannot be read: {error.strerror}")]
    if free < service.settings.min_free_bytes:
        return [Missing("disk", "full", f"{free >> 20} MiB are free, wanted: {service.settings.min_free_bytes >> 20}")]
    return []
