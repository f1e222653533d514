"""The process of one engine, seen from the side that measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import ifw
from ifw.benchmark import driver_main
from ifw.benchmark.interference import Watch, wait_until_idle
from ifw.benchmark.rounds import Pass
from ifw.errors import BenchmarkError

LIMIT_S: Final = 900.0  # of one message
_LOG_LINES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every driver is told before it works; paths are absolute.

    Attributes:
        setup: What is particular to this set-up, such as `compute_type`.
        device: `cpu` or `cuda`.
        n_threads: Threads that it may compute with.
        checkpoint: Folder of the random checkpoint; empty where a scenario needs none.
        samples: Windows [n, 480000] float32, a numpy file.
        mel: Their log-mel [n, n_mels, 3000] float32, a numpy file.
        prompt: Token ids before the text.
        eot: `<|endoftext|>`.
        suppress_tokens: Everything that is no text.
        dims: The sizes, a `ModelDims` as a mapping.
    """

    setup: Mapping[str, Any]
    device: str
    n_threads: int
    checkpoint: str = ""
    samples: str = ""
    mel: str = ""
    prompt: Sequence[int] = ()
    eot: int = 0
    suppress_tokens: Sequence[int] = ()
    dims: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DriverCommand:
    """How the process is started.

    Attributes:
        name: For messages and for its log.
        python: The interpreter that has the engine.
        driver: A file, or a module of this package.
        env: Further variables.
    """

    name: str
    python: Path
    driver: str
    env: Mapping[str, str] = field(default_factory=dict)


class DriverProcess:
    """A process that holds one engine, warm, bound to some processors.

    Args:
        command: What is run.
        cpus: The processors; none leaves the choice to the system.
        n_threads: Threads of OpenMP.
        log: What it prints goes here.
        wait_s: How long passes wait for idle processors.

    Attributes:
        versions: What the driver named when it was loaded.
        cpu_s: Processor seconds of the process since it started, as its last reply has them.
    """

    def __init__(
        self, command: DriverCommand, cpus: Sequence[int], n_threads: int, log: Path, wait_s: float = 0.0
    ) -> None:
        self.name = command.name
        self._cpus, self._log, self._wait_s = cpus, log, wait_s
        with log.open("wb") as file:
            self._process = subprocess.Popen(  # noqa: S603 - an interpreter and a driver that the user names
                [str(command.python), driver_main.__file__, command.driver, ",".join(map(str, cpus))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env=_environment(command, n_threads),
            )
        self.versions: dict[str, str] = {}
        self.cpu_s = 0.0

    @property
    def pid(self) -> int:
        """The number of the process, which is not given to another before `close`."""
        return self._process.pid

    def stages(self) -> tuple[str, ...]:
        """The stages before the engine that the driver can do; it need not be loaded for that.

        Raises:
            BenchmarkError: Its packages are not there.
        """
        return tuple(self._ask("stages", {})["result"])

    def load(self, job: Job) -> None:
        """Make the driver.

        Raises:
            BenchmarkError: It could not be made.
        """
        self.versions = self._ask("load", asdict(job))["result"]

    def ask(self, do: str, **arguments: Any) -> Any:
        """Have the driver do something that is not measured; gives its result.

        Raises:
            BenchmarkError: It failed.
        """
        return self._ask(do, arguments)["result"]

    def measure(self, do: str, **arguments: Any) -> tuple[Pass, Any]:
        """Have the driver do something once the processors are idle.

        Returns:
            What it took, and its result; where that has `stages`, the pass has them too.

        Raises:
            BenchmarkError: It failed.
        """
        began_idle = wait_until_idle(self._cpus, self._wait_s)
        watch = Watch(self._cpus, self.pid)
        reply = self._ask(do, arguments)
        foreign = watch.end(self.pid)
        result = reply["result"]
        stages = result.get("stages", {}) if isinstance(result, dict) else {}
        measured = Pass(
            wall_s=reply["wall_s"],
            cpu_s=reply["cpu_s"] if foreign.own_s is None else foreign.own_s,
            stages=stages,
            foreign=foreign.share,
            is_disturbed=foreign.is_disturbed,
            load=foreign.load,
            began_idle=began_idle,
        )
        return measured, result

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # it has ended, and a message to it was not read
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> DriverProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, do: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        limit = threading.Timer(LIMIT_S, self._process.kill)
        limit.start()
        try:
            self._process.stdin.write(json.dumps({"do": do, "with": arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            limit.cancel()
        if not line:
            raise BenchmarkError(f"{self.name} ended, or was silent for {LIMIT_S:.0f} s: {self._last_lines()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise BenchmarkError(f"{self.name} failed at {do!r}: {reply['error'].strip().splitlines()[-1]}")
        self.cpu_s = reply["process_s"]
        return reply

    def _last_lines(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return " / ".join(lines) or "it printed nothing"


def _environment(command: DriverCommand, n_threads: int) -> dict[str, str]:
    """That of this process, with the threads set, and without what the command line sets for itself."""
    env = {name: value for name, value in os.environ.items() if name not in {"OMP_WAIT_POLICY", "PYTHONPATH"}}
    env |= {"OMP_NUM_THREADS": str(n_threads), "MKL_NUM_THREADS": str(n_threads), "PYTHONUNBUFFERED": "1"}
    if command.python == Path(sys.executable):
        env["PYTHONPATH"] = str(Path(ifw.__file__).parent.parent)
    return env | {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"} | dict(command.env)
