"""Renew the parts of `docs/` that follow from the code: every option, setting, exit status, error and module.

    python tools/write_docs.py           # write them
    python tools/write_docs.py --check   # exit with 1 if one is out of date

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import defaultdict
from pathlib import Path

from typer.main import get_command

from error_table import error_table
from ifw.benchmark.results import read_results
from ifw.benchmark.tables import summary
from ifw.cli.app import app
from ifw.cli.exit_status import EXIT_STATUS, SIGNAL_BASE
from ifw.service.settings import Settings, default_of, flag_of, variable_of

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/api.md", "docs/architecture.md", "docs/cli.md", "docs/settings.md")
BEGIN, END = "<!-- generated: {} -->\n", "<!-- end -->"


def main() -> None:
    """Write or check every page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    is_check = parser.parse_args().check
    stale = []
    for page in PAGES:
        path = ROOT / page
        old = path.read_text(encoding="utf-8")
        new = renewed(old)
        if new != old:
            stale.append(page)
            if not is_check:
                path.write_text(new, encoding="utf-8")
    for page in stale:
        print(f"{page}: {'out of date; run python tools/write_docs.py' if is_check else 'renewed'}")
    sys.exit(is_check and bool(stale))


def renewed(page: str) -> str:
    """Fill in every generated part that the page has."""
    parts = {
        "modules": module_list(),
        "transcribe": option_table("transcribe"),
        "convert": option_table("convert"),
        "eval": option_table("eval"),
        "bench": option_table("bench"),
        "speed": speed_table(),
        "models": option_table("models"),
        "worker": "The [settings](settings.md) that are not about serving have a flag here.\n",
        "serve": "Every [setting](settings.md) has a flag here.\n",
        "settings": setting_table(),
        "exit": exit_table(),
        "errors": error_table(),
    }
    for name, text in parts.items():
        before, begin, rest = page.partition(BEGIN.format(name))
        if begin:
            page = f"{before}{begin}\n{text}\n{END}{rest.partition(END)[2]}"
    return page


def module_list() -> str:
    """One line a module: the first line of its docstring, one list a package."""
    lines = []
    source = ROOT / "src"
    for package in sorted(path.parent for path in (source / "ifw").rglob("__init__.py")):
        lines.append(f"**`{'.'.join(package.relative_to(source).parts)}`** {_summary(package / '__init__.py')}\n")
        modules = [path for path in sorted(package.glob("*.py")) if path.name != "__init__.py"]
        lines += [f"- `{path.stem}`: {_summary(path)}" for path in modules]
        lines.append("")
    return "\n".join(lines)


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, f"{path} has no docstring"
    return docstring.split("\n\n")[0].replace("\n", " ")


def speed_table() -> str:
    """The README's table: the last results that were committed, with their date and machine."""
    parts = []
    for path in (ROOT / "benchmarks" / "results" / f"{device}.json" for device in ("cuda", "cpu")):
        if not path.is_file():
            continue
        results = read_results(path)
        machine, options = results["environment"], results["options"]
        where = machine["processor"] if options["device"] == "cpu" else results["ceilings"]["device"]
        parts.append(
            f"{where}, {options['n_threads']} threads, {machine['date']}, `{results['command']}` "
            f"([all figures](benchmarks/results/{path.stem}.md)):\n\n{summary(results)}"
        )
    return "\n".join(parts) or "No results yet: `make bench` makes them.\n"


def option_table(name: str) -> str:
    """One row an option: how it is written and what it takes, what it is if left out, what it does."""
    rows = ["| option | default | what it does |", "|---|---|---|"]
    command = get_command(app).commands[name]  # type: ignore[attr-defined]  # a group, since there are two commands
    for parameter in command.params:
        if parameter.param_type_name == "option":
            written = ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])
            takes = f" `{_cell(parameter.metavar)}`" if parameter.metavar else ""
            rows.append(f"| {written}{takes} | {_default(parameter.default)} | {_cell(parameter.help or '')} |")
    return "\n".join([*rows, ""])


def setting_table() -> str:
    """One row a setting: its variable, its flag, its default, what it is."""
    rows = ["| variable | flag | default | what it is |", "|---|---|---|---|"]
    for field, info in Settings.model_fields.items():
        flag, default = flag_of(field), default_of(field)
        named = f"`{variable_of(field)}` | {f'`{flag}`' if flag else ''} | {f'`{default}`' if default else ''}"
        rows.append(f"| {named} | {_cell(info.description or '')} |")
    return "\n".join([*rows, ""])


def _default(value: object) -> str:
    if value is None or value is False:
        return ""
    return "`on`" if value is True else f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def exit_table() -> str:
    """One row a status: which error codes lead to it."""
    codes: defaultdict[int, list[str]] = defaultdict(list)
    for code, status in EXIT_STATUS.items():
        codes[status].append(f"`{code}`")
    rows = ["| status | error codes |", "|---|---|", "| 0 | every file succeeded |"]
    rows += [f"| {status} | {', '.join(names)}{_signal(status)} |" for status, names in sorted(codes.items())]
    return "\n".join([*rows, f"| {SIGNAL_BASE} + n | ended by signal n, such as 143 after SIGTERM |", ""])


def _signal(status: int) -> str:
    return ", Ctrl-C" if status > SIGNAL_BASE else ""


if __name__ == "__main__":
    main()
