"""The `ifw` command and its sub-commands. Nothing heavy is imported before a command runs."""

from __future__ import annotations

from typing import Annotated

import typer

from ifw import __version__
from ifw.cli.bench import bench
from ifw.cli.convert import convert
from ifw.cli.evaluate import evaluate
from ifw.cli.models import models
from ifw.cli.serve import PASSED_ON, serve
from ifw.cli.transcribe import transcribe
from ifw.cli.worker import worker

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("_", "-"),  # --output_dir is --output-dir
    },
)
app.command()(transcribe)
app.command()(convert)
app.command("eval")(evaluate)
app.command()(models)
app.command()(bench)
app.command(context_settings=PASSED_ON, add_help_option=False)(serve)
app.command(context_settings=PASSED_ON, add_help_option=False)(worker)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"ifw {__version__}")
        raise typer.Exit


@app.callback()
def ifw(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Turn speech into text with Whisper checkpoints, fast."""
