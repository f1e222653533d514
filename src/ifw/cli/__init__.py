"""The command line: parse, call the library, print. One module per command."""

from __future__ import annotations


def main() -> None:
    """Run `ifw` with the arguments of this process and exit with its status."""
    import os
    import signal
    import sys

    # Ctrl-C ends the process without a word of Python's until a command says what it should do.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    # Read when torch loads: threads that wait for each other sleep, as spinning stalls everyone on busy cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from ifw.cli.app import app
    from ifw.cli.exit_status import exit_status
    from ifw.cli.report import Report
    from ifw.cli.standard_streams import open_closed_streams, output_error

    open_closed_streams()
    try:
        app(prog_name="ifw")
    except OSError as error:  # help and version could not be printed; commands report their own errors
        failure = output_error(error)
        Report().error(None, failure)
        sys.exit(exit_status([failure]))
