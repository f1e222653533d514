"""`ifw serve`: the HTTP server, which also works on its tasks."""

from __future__ import annotations

from typing import Final

import typer

from ifw.cli.ending import ending
from ifw.cli.exit_status import FILE_FAILED
from ifw.cli.report import Report
from ifw.cli.server_extra import server_extra
from ifw.cli.setting_flags import parse_settings, settings_help
from ifw.cli.standard_streams import write_output

PASSED_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""How typer hands a command its arguments untouched: `setting_flags` knows them."""
HELP: Final = frozenset({"-h", "--help"})


def serve(context: typer.Context) -> None:
    """Serve the HTTP API, and work on its tasks."""
    with ending(Report()), server_extra("ifw serve"):
        if HELP.intersection(context.args):
            write_output(settings_help("ifw serve [SETTINGS]", "Serve the HTTP API, and work on its tasks."))
            return
        settings = parse_settings(context.args)
        from ifw.server.run import serve as run

        is_up = run(settings)
    if not is_up:
        raise typer.Exit(FILE_FAILED)
