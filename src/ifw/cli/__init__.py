"""The command line: parse, call the library, print. One module per command."""

from __future__ import annotations


def main() -> None:
    """Run `ifw` with the arguments of this process and exit with its status."""
    from ifw.cli.app import app

    app(prog_name="ifw")
