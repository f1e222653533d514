"""Durable tasks with stages: kept in SQLite or PostgreSQL, worked by one process or several, delivered by webhook."""

from ifw.tasks.options import TaskOptions
from ifw.tasks.records import (
    DeliveryAttempt,
    StageProgress,
    Task,
    TaskFailure,
    TaskPage,
    TaskRequest,
    TaskState,
    TaskStats,
    Webhook,
)
from ifw.tasks.stage import Stage, StageContext
from ifw.tasks.tasks import Tasks
from ifw.tasks.webhook_courier import EventBuilder

__all__ = [
    "DeliveryAttempt",
    "EventBuilder",
    "Stage",
    "StageContext",
    "StageProgress",
    "Task",
    "TaskFailure",
    "TaskOptions",
    "TaskPage",
    "TaskRequest",
    "TaskState",
    "TaskStats",
    "Tasks",
    "Webhook",
]
