"""What comes before the engine: audio decoded and resampled, voices found, log-mel; on one processor."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from ifw.audio.whole import decode
from ifw.benchmark.bench import Bench
from ifw.benchmark.driver_process import DriverCommand, DriverProcess, Job
from ifw.benchmark.engines import OWN
from ifw.benchmark.keeping import kept
from ifw.benchmark.recordings import STEP_S, long_recording
from ifw.benchmark.rounds import Contender, Pass, alternate, summarise
from ifw.errors import BenchmarkError

STAGES: Final = ("decode", "vad", "mel")
_OWN_DRIVER: Final = "ifw.benchmark.front_end_driver"
_MADE_AS: Final = 1
_HOUR_S: Final = 3_600.0


def front_end_scenario(bench: Bench) -> dict[str, Any]:
    """Seconds for an hour of audio, by stage and engine; an engine that does not do a stage itself has no row there."""
    options = bench.options
    folder = options.work_dir.resolve()
    long = long_recording(folder, options.n_long_windows, options.n_tokens, options.seed)
    name = f"{Path(long.path).stem}.npy"
    samples = kept(folder, name, _MADE_AS, lambda path: np.save(path, decode(long.path).samples))
    deadline = time.monotonic() + options.budget_s
    rows: list[dict[str, Any]] = []
    engines = _engines(bench)
    try:
        for stage in STAGES:
            given = {"stage": stage, "audio": long.path, "samples": str(samples)}
            able = {name: one for name, one in engines.items() if stage in one.stages() and _works(bench, one, given)}
            contenders = [Contender(name, partial(_pass, process, given)) for name, process in able.items()]
            passes = alternate(contenders, options.n_rounds, deadline)
            rows += [_row(stage, name, passes[name], len(long.ends_s) * STEP_S) for name in able]
    finally:
        for process in engines.values():
            process.close()
    return {"rows": rows}


def _engines(bench: Bench) -> dict[str, DriverProcess]:
    found = {}
    for name, command in bench.commands.items():
        driver = _OWN_DRIVER if name == OWN else command.driver
        started = DriverCommand(f"{name} front end", command.python, driver, command.env)
        log = bench.options.work_dir / f"{name}-front-end.log"
        process = DriverProcess(started, bench.cpus[-1:], 1, log, bench.options.wait_s)
        try:
            if not process.stages():
                process.close()
                continue
            process.load(Job(setup={"compute_type": "float32"}, device="cpu", n_threads=1))
        except BenchmarkError as error:
            process.close()
            bench.remark(f"front end: {name} is left out: {error}")
            continue
        bench.versions.setdefault(name, {}).update(process.versions)
        found[name] = process
    return found


def _works(bench: Bench, process: DriverProcess, given: dict[str, str]) -> bool:
    """Whether an engine gets through a stage; its first pass, which does not count."""
    try:
        process.ask("front_end", **given)
    except BenchmarkError as error:
        bench.remark(f"front end: {error}")
        return False
    return True


def _pass(process: DriverProcess, given: dict[str, str]) -> Pass:
    return process.measure("front_end", **given)[0]


def _row(stage: str, engine: str, passes: list[Pass], audio_s: float) -> dict[str, Any]:
    found = summarise(passes)
    return {
        "stage": stage,
        "engine": engine,
        "s_an_hour": found.wall_s * _HOUR_S / audio_s,
        "low_s_an_hour": found.low_s * _HOUR_S / audio_s,
        "high_s_an_hour": found.high_s * _HOUR_S / audio_s,
        **found.figures(),
        "passes": [one.record() for one in passes],
    }
