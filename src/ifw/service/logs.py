"""Log lines for programs and for people, without secrets: one configuration for the process."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor

from ifw.service.settings import Settings

HIDDEN: Final = "[hidden]"
_SECRET_FIELDS: Final = re.compile(r"authorization|api-?_?key|secret|token$|password|cookie|signature|headers?$", re.I)
_URL_REST: Final = re.compile(r"(\bhttps?://[^\s?#\"'<>]*)[?#][^\s\"'<>]*", re.I)
_URL_USER: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@\"'<>]+@", re.I)


class Redaction:
    """Takes out of every text of a log line what must not be there: keys, passwords, and the queries of URLs.

    Args:
        secrets: Texts that are hidden wherever they stand.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def __call__(self, logger: Any, method: str, event: EventDict) -> EventDict:
        """A processor of structlog."""
        return {key: self._shown(key, value) for key, value in event.items()}

    def text(self, text: str) -> str:
        """The same text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _URL_USER.sub(rf"\1{HIDDEN}@", _URL_REST.sub(rf"\1?{HIDDEN}", text))

    def _shown(self, key: str, value: Any) -> Any:
        if value is not None and _SECRET_FIELDS.search(key):
            return HIDDEN
        if isinstance(value, (bool, int, float)) or value is None:
            return value
        if isinstance(value, dict):
            return {name: self._shown(str(name), item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._shown("", item) for item in value]
        return self.text(value if isinstance(value, str) else str(value))


def configure_logs(settings: Settings) -> None:
    """Send every log line of this process to standard error, in one shape.

    Args:
        settings: Level, format, and the secrets to hide.
    """
    is_console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if is_console
        else structlog.processors.JSONRenderer(default=str)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _without_color,
            Redaction(settings.secrets()),
            renderer,
        ],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    level = settings.log_level.upper()
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name, lowest in _NOISY.items():
        logging.getLogger(name).setLevel(max(lowest, logging.getLevelName(level)))
    logging.captureWarnings(True)


def _without_color(logger: Any, method: str, event: EventDict) -> EventDict:
    """What uvicorn adds for terminals."""
    event.pop("color_message", None)
    return event


_NOISY: Final = {"httpx2": logging.WARNING, "httpcore2": logging.WARNING, "asyncio": logging.WARNING}
