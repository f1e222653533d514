"""Who speaks when: the embeddings of voices, beside pyannote.audio on the same chunks."""

from __future__ import annotations

import math
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from ifw.benchmark.bench import Bench
from ifw.benchmark.driver_process import DriverCommand, DriverProcess, Job
from ifw.benchmark.engines import OWN, PEERS
from ifw.benchmark.rounds import Contender, Pass, alternate, summarise
from ifw.errors import BenchmarkError

PYANNOTE: Final = "pyannote-audio"
GOAL: Final = 2.5  # times as fast as pyannote.audio on CPU
_SECONDS: Final = 24
_QUICK_SECONDS: Final = 11  # two chunks
_N_ROUNDS: Final = 1  # a pass of pyannote.audio takes a quarter of a minute, and it is far behind


def diarization_scenario(bench: Bench) -> dict[str, Any]:
    """Seconds of the embeddings of a conversation; those of pyannote.audio where its environment is there.

    Returns:
        `rows`, one an engine; `about`, how much there was to embed; `difference` of the embeddings, and the `goal`.
    """
    driver = (bench.options.peers_dir / PEERS[PYANNOTE].driver).resolve()
    if not driver.is_file():
        bench.remark(f"diarization is left out: {bench.options.peers_dir} has no {driver.name}")
        return {"rows": []}
    if PYANNOTE not in bench.commands:
        bench.remark("diarization: pyannote.audio takes no part; `make peers` installs it")
    python = bench.commands[PYANNOTE].python if PYANNOTE in bench.commands else Path(sys.executable)
    command = DriverCommand("diarization", python, str(driver))
    log = bench.options.work_dir / "diarization.log"
    with DriverProcess(command, bench.cpus, bench.options.n_threads, log, bench.options.wait_s) as process:
        try:
            return _measured(bench, process)
        except BenchmarkError as error:
            bench.remark(f"diarization is left out: {error}")
            return {"rows": []}


def _measured(bench: Bench, process: DriverProcess) -> dict[str, Any]:
    options = bench.options
    audio_s = _QUICK_SECONDS if options.is_quick else _SECONDS
    process.load(Job(setup={"seconds": audio_s}, device=options.device, n_threads=options.n_threads))
    about = process.ask("about")
    engines = [name for name in about["engines"] if name in bench.commands]
    if PYANNOTE in engines:
        bench.versions.setdefault(PYANNOTE, {}).update(process.versions)
    for name in engines:
        process.ask("embed", engine=name)  # the first time takes longer
    contenders = [Contender(name, partial(_pass, process, name)) for name in engines]
    passes = alternate(contenders, _N_ROUNDS, math.inf)
    rows = [{"engine": name, **summarise(made).figures()} for name, made in passes.items()]
    for row in rows:
        row["passes"] = [one.record() for one in passes[row["engine"]]]
    times = {row["engine"]: row["wall_s"] for row in rows}
    return {
        "rows": rows,
        "audio_s": audio_s,
        "about": about,
        "difference": process.ask("difference"),
        "ratio": times[PYANNOTE] / times[OWN] if {OWN, PYANNOTE} <= set(times) else None,
        "goal": GOAL,
    }


def _pass(process: DriverProcess, engine: str) -> Pass:
    return process.measure("embed", engine=engine)[0]
