"""`ifw worker`: works on the tasks that servers take in."""

from __future__ import annotations

import typer

from ifw.cli.ending import ending
from ifw.cli.exit_status import MODEL
from ifw.cli.report import Report
from ifw.cli.serve import HELP
from ifw.cli.server_extra import server_extra
from ifw.cli.setting_flags import parse_settings, settings_help
from ifw.cli.standard_streams import write_output


def worker(context: typer.Context) -> None:
    """Work on the tasks of servers that share a PostgreSQL database."""
    with ending(Report()), server_extra("ifw worker"):
        from ifw.service.settings import OF_SERVING

        if HELP.intersection(context.args):
            summary = "Work on the tasks of servers that share a PostgreSQL database."
            write_output(settings_help("ifw worker [SETTINGS]", summary, leave_out=OF_SERVING))
            return
        settings = parse_settings(context.args)
        from ifw.service.worker import work

        is_loaded = work(settings)
    if not is_loaded:
        raise typer.Exit(MODEL)
