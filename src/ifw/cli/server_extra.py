"""The packages of the extra `server`, which not every installation has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ifw.errors import ExtraMissingError

MODULES: Final = frozenset(
    {
        "dbos",
        "fastapi",
        "multipart",
        "prometheus_client",
        "pydantic",
        "pydantic_settings",
        "python_multipart",
        "sqlalchemy",
        "standardwebhooks",
        "starlette",
        "structlog",
        "uvicorn",
    }
)


@contextmanager
def server_extra(command: str) -> Iterator[None]:
    """Turn the import of one that is missing into an error that says how to install it.

    Args:
        command: What needs them.

    Raises:
        ExtraMissingError: One is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in MODULES:
            raise
        raise ExtraMissingError(
            f"the package {package} is not installed, {command} needs it; "
            "install it with: pip install 'insanely-fast-whisper-api[server]'"
        ) from error
