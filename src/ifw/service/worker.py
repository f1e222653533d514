"""A process that works on tasks and serves nothing: any number of them share one PostgreSQL database."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Final

from ifw.errors import ConfigError
from ifw.service.logs import configure_logs
from ifw.service.service import Service
from ifw.service.settings import Settings, unknown_variables

_log = logging.getLogger(__name__)

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
LOOK_S: Final = 0.1
"""A signal that comes just before a wait does not end it: Python runs its handler between two instructions only."""


def work(settings: Settings) -> bool:
    """Work on tasks until a signal ends it; what runs then is handed back and goes on elsewhere.

    Args:
        settings: Must name a database. What is about serving is not read.

    Returns:
        Whether the checkpoint could be loaded; where not, the log says why.

    Raises:
        ConfigError: A setting is not allowed.
        DataDirError: The data folder cannot be used.
    """
    if settings.database_url is None:
        raise ConfigError(
            "IFW_DATABASE_URL: got nothing, allowed: postgresql://...; "
            "workers share tasks through PostgreSQL, while with SQLite ifw serve works on its tasks itself"
        )
    configure_logs(settings)
    warn_of_unknown_variables()
    end = threading.Event()
    before = {number: signal.signal(number, lambda *caught: end.set()) for number in SIGNALS}
    service = Service(settings)
    try:
        service.start(works=True)
        is_loaded = _wait_for_model(service, end)
        if is_loaded:
            _log.info("worker started")
            while not end.wait(LOOK_S):
                pass
        return is_loaded
    finally:
        service.close()
        for number, handler in before.items():
            signal.signal(number, handler)
        _log.info("worker ended")


def warn_of_unknown_variables() -> None:
    """Write a warning for each variable with our prefix that is no setting, such as a misspelt one."""
    for name in unknown_variables():
        _log.warning("the environment has a variable that is no setting", extra={"variable": name})


def _wait_for_model(service: Service, end: threading.Event) -> bool:
    """Whether it was loaded; a signal does not wait for it."""
    while not end.wait(LOOK_S):
        state = service.model.status.state
        if state != "loading":
            return state == "ready"
    return True
