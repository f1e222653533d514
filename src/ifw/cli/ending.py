"""How a command ends: what it raises becomes one message and an exit status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from ifw.cli.exit_status import exit_status
from ifw.cli.interrupt import Interrupted
from ifw.cli.report import Report


@contextmanager
def ending(report: Report) -> Iterator[None]:
    """Report what ends the command early, and exit with its status."""
    try:
        yield
    except (typer.Exit, BrokenPipeError):  # typer ends quietly where nobody reads any more
        raise
    except Interrupted as interrupted:
        raise typer.Exit(interrupted.status) from None
    except Exception as error:
        report.error(None, error)
        raise typer.Exit(exit_status([error])) from None
