"""The flags of `ifw serve` and `ifw worker`: one for every setting, made from the settings themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ifw.errors import ConfigError

if TYPE_CHECKING:
    from ifw.service.settings import Settings


def parse_settings(arguments: Sequence[str]) -> Settings:
    """Read the environment, and flags that win over it.

    Args:
        arguments: What stands behind the command.

    Raises:
        ConfigError: There is no such flag, it has no value, or one that is not allowed.
    """
    from ifw.service.settings import Settings, flag_of, load_settings

    fields = {flag: field for field in Settings.model_fields if (flag := flag_of(field))}
    overrides: dict[str, Any] = {}
    rest = iter(arguments)
    for argument in rest:
        name, has_value, value = argument.partition("=")
        flag = name.replace("_", "-")
        if flag not in fields:
            raise ConfigError(f"there is no option {name}; --help shows every one")
        overrides[fields[flag]] = value if has_value else _next_value(rest, name)
    return load_settings(overrides)


def settings_help(usage: str, summary: str, *, leave_out: Container[str] = ()) -> str:
    """Every setting: its flag, its variable, its default, what it does.

    Args:
        usage: How the command is called.
        summary: What it does.
        leave_out: Fields that do not matter to it.
    """
    from ifw.service.settings import Settings, default_of, flag_of, variable_of

    lines = [f"Usage: {usage}", "", *textwrap.wrap(summary, 100), "", "Settings (a flag wins over its variable):", ""]
    for field, info in Settings.model_fields.items():
        if field in leave_out:
            continue
        default = default_of(field)
        named = "  ".join(part for part in (flag_of(field), variable_of(field)) if part)
        lines.append(f"  {named}{f'  [default: {default}]' if default else ''}")
        lines += textwrap.wrap(info.description or "", 96, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join([*lines, "", "  -h, --help", "      Show this and exit.", ""])


def _next_value(rest: Iterator[str], name: str) -> str:
    value = next(rest, None)
    if value is None:
        raise ConfigError(f"{name}: got no value, allowed: {name} VALUE")
    return value
