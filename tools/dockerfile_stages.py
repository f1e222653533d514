"""What a Dockerfile says: its stages, their steps, and what a container of a stage is started with.

It knows the part of the language that `deploy/docker/Dockerfile` uses: no heredocs, no `ONBUILD`, no `ADD`, no
escapes but a backslash at the end of a line.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

KEYWORDS: Final = frozenset(
    ["FROM", "ARG", "ENV", "RUN", "COPY", "WORKDIR", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"]
)
"""What is understood."""
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_FLAG: Final = re.compile(r"--([a-z-]+)(?:=(\S+))?\s+")


@dataclass(frozen=True)
class Step:
    """One instruction.

    Attributes:
        keyword: Such as `RUN`.
        flags: Name and value of each `--name=value` before the rest, in their order.
        text: The rest, on one line, without comments; variables stand as written.
        line: The number of its first line.
    """

    keyword: str
    flags: tuple[tuple[str, str], ...]
    text: str
    line: int

    def flag(self, name: str) -> str | None:
        """The value of a flag, or None."""
        return dict(self.flags).get(name)


@dataclass(frozen=True)
class Stage:
    """What stands between two `FROM`.

    Attributes:
        name: After `AS`.
        base: A name of a stage or of an image, variables expanded.
        steps: All but `FROM`.
    """

    name: str
    base: str
    steps: tuple[Step, ...]


@dataclass
class ImageConfig:
    """What a container of a stage is started with, its bases' settings included."""

    env: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health_command: list[str] = field(default_factory=list)
    health_flags: dict[str, str] = field(default_factory=dict)
    user: str = ""
    volumes: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)


class Dockerfile:
    """A Dockerfile that was read.

    Args:
        path: The file.
        build_args: What `docker build --build-arg` would be given.

    Attributes:
        stages: By name, in their order.
    """

    def __init__(self, path: Path, build_args: Mapping[str, str] | None = None) -> None:
        self.build_args = dict(build_args or {})
        self._globals: dict[str, str] = {}
        self.stages: dict[str, Stage] = {}
        name, base, steps = "", "", list[Step]()
        for step in _steps(path.read_text(encoding="utf-8")):
            if step.keyword == "FROM":
                if base:
                    self.stages[name] = Stage(name, base, tuple(steps))
                image, _, name = step.text.partition(" AS ")
                base, steps = expanded(image, self._globals), []
            elif base:
                steps.append(step)
            else:
                self._globals.update([self._argument(step)])
        self.stages[name] = Stage(name, base, tuple(steps))

    def _argument(self, step: Step) -> tuple[str, str]:
        """Name and value of an `ARG`: what the build was given, its default, or the one above all stages."""
        name, has_default, default = step.text.partition("=")
        return name, self.build_args.get(name, default if has_default else self._globals.get(name, ""))

    def chain(self, target: str) -> list[Stage]:
        """A stage and those that it is based on, the lowest first."""
        stages = []
        while target in self.stages:
            stages.append(self.stages[target])
            target = self.stages[target].base
        return stages[::-1]

    def config(self, target: str) -> ImageConfig:
        """What a container of a stage is started with."""
        config = ImageConfig()
        for stage in self.chain(target):
            arguments: dict[str, str] = {}
            for step in stage.steps:
                if step.keyword == "ARG":
                    arguments.update([self._argument(step)])
                else:
                    _apply(step, config, arguments)
        return config

    def variables(self, target: str) -> Iterator[tuple[Step, dict[str, str]]]:
        """Each step of one stage, with the variables that it sees: those of `ARG`, and of `ENV` of its bases too."""
        below = self.chain(target)
        config = self.config(self.stages[target].base) if len(below) > 1 else ImageConfig()
        arguments: dict[str, str] = {}
        for step in self.stages[target].steps:
            if step.keyword == "ARG":
                arguments.update([self._argument(step)])
            _apply(step, config, arguments)
            yield step, arguments | config.env


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Put in the values of `$NAME` and `${NAME}`; what is not known stays as it is."""
    return _VARIABLE.sub(lambda found: variables.get(found[1] or found[2], found[0]), text)


def _steps(text: str) -> Iterator[Step]:
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        whole = line.strip()
        if not whole or whole.startswith("#"):
            continue
        while whole.endswith("\\"):
            _, following = next(lines)
            whole = whole[:-1] + ("\\" if following.lstrip().startswith("#") else following.strip())
        keyword, _, rest = whole.partition(" ")
        if keyword not in KEYWORDS:
            raise ValueError(f"line {number}: got {keyword!r}, allowed: {', '.join(sorted(KEYWORDS))}")
        flags, rest = [], f"{rest.strip()} "
        while found := _FLAG.match(rest):
            flags.append((found[1], found[2] or ""))
            rest = rest[found.end() :]
        yield Step(keyword, tuple(flags), rest.strip(), number)


def _apply(step: Step, config: ImageConfig, arguments: Mapping[str, str]) -> None:
    text = expanded(step.text, {**arguments, **config.env})
    if step.keyword == "ENV":
        config.env.update(pair.partition("=")[::2] for pair in shlex.split(text))
    elif step.keyword == "USER":
        config.user = text
    elif step.keyword == "VOLUME":
        config.volumes += json.loads(text)
    elif step.keyword == "EXPOSE":
        config.ports += map(int, text.split())
    elif step.keyword == "ENTRYPOINT":
        config.entrypoint = json.loads(text)
    elif step.keyword == "CMD":
        config.command = json.loads(text)
    elif step.keyword == "HEALTHCHECK":
        config.health_command = json.loads(text.removeprefix("CMD "))
        config.health_flags = dict(step.flags)
