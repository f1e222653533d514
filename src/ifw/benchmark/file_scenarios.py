"""Files in, text out: what users of the engines see."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from ifw.benchmark.bench import Bench, Running
from ifw.benchmark.decoding_scenarios import check_counts
from ifw.benchmark.engines import Setup
from ifw.benchmark.interference import Watch, wait_until_idle
from ifw.benchmark.recordings import Recording, as_json, long_recording, short_recordings
from ifw.benchmark.rounds import Contender, Pass, alternate, summarise
from ifw.benchmark.tuning import Tuning
from ifw.errors import BenchmarkError

_BATCH: Final = 8
_LEAST_FOR_P95: Final = 20  # files; of fewer it is the slowest one, which the row has already


def long_scenario(bench: Bench, model: str, tuning: Tuning) -> dict[str, Any]:
    """One long mp3: decoding of the audio, mel, engine and text, as each engine's own pipeline does it."""
    long = long_recording(
        bench.options.work_dir, bench.options.n_long_windows, bench.options.n_tokens, bench.options.seed
    )
    return _compare(bench, model, tuning, [long], together=False)


def latency_scenario(bench: Bench, model: str, tuning: Tuning) -> dict[str, Any]:
    """One clip of half a minute, alone on the machine."""
    clip = long_recording(bench.options.work_dir, 1, bench.options.n_tokens, bench.options.seed)
    return _compare(bench, model, tuning, [clip], together=False)


def clients_scenario(bench: Bench, model: str, tuning: Tuning) -> dict[str, Any]:
    """Clips of 5 to 29 s that arrive at once: ours from as many threads, others as they take files, in turn."""
    clips = short_recordings(bench.options.work_dir, bench.options.n_clips, bench.options.n_tokens, bench.options.seed)
    return _compare(bench, model, tuning, clips, together=True)


def cold_scenario(bench: Bench, model: str, tuning: Tuning) -> dict[str, Any]:
    """From the start of a process to the text of one clip of half a minute; the files are in the system's cache."""
    clip = long_recording(bench.options.work_dir, 1, bench.options.n_tokens, bench.options.seed)
    deadline = time.monotonic() + bench.options.budget_s
    chosen = [setup for setup in _chosen(bench, tuning) if _is_alive(bench, model, setup, clip)]
    contenders = [Contender(setup.label, partial(_cold_pass, bench, model, setup, clip)) for setup in chosen]
    passes = alternate(contenders, bench.options.n_rounds, deadline)
    return {"rows": [_row(setup, 1, passes[setup.label], [clip]) for setup in chosen], "tuning": tuning.record()}


def _is_alive(bench: Bench, model: str, setup: Setup, clip: Recording) -> bool:
    try:
        _cold_pass(bench, model, setup, clip)
    except BenchmarkError as error:
        bench.remark(f"{model}: {setup.label} is left out: {error}")
        return False
    return True


def _cold_pass(bench: Bench, model: str, setup: Setup, clip: Recording) -> Pass:
    """From before the process to its text; what comes before, waiting for idle processors as well, is no part of it."""
    job = bench.job(model, setup)
    began_idle = wait_until_idle(bench.cpus, bench.options.wait_s)
    watch, started = Watch(bench.cpus), time.perf_counter()
    with bench.process(setup) as process:
        process.load(job)
        loaded_s = time.perf_counter() - started
        result = process.ask("transcribe", recordings=as_json([clip]), batch=1, together=False)
        wall_s = time.perf_counter() - started
        foreign = watch.end(process.pid)
        cpu_s = process.cpu_s if foreign.own_s is None else foreign.own_s
    _check(setup.label, result, [clip])
    return Pass(
        wall_s=wall_s,
        cpu_s=cpu_s,
        stages={"load_s": loaded_s, "transcribe_s": wall_s - loaded_s},
        foreign=foreign.share,
        is_disturbed=foreign.is_disturbed,
        load=foreign.load,
        began_idle=began_idle,
    )


def _compare(
    bench: Bench, model: str, tuning: Tuning, recordings: list[Recording], *, together: bool
) -> dict[str, Any]:
    deadline = time.monotonic() + bench.options.budget_s
    entrants: list[tuple[Running, int]] = []
    for running in bench.loaded(model, _chosen(bench, tuning)):
        batch = 1 if len(recordings) == 1 == len(recordings[0].ends_s) else tuning.batch(running.setup, _BATCH)
        try:
            _pass(running, recordings[:1], batch, together=together)
        except BenchmarkError as error:
            bench.remark(f"{model}: {running.setup.label} is left out: {error}")
            continue
        entrants.append((running, batch))
    contenders = [
        Contender(running.setup.label, partial(_pass, running, recordings, batch, together=together))
        for running, batch in entrants
    ]
    passes = alternate(contenders, bench.options.n_rounds, deadline)
    rows = [_row(running.setup, batch, passes[running.setup.label], recordings) for running, batch in entrants]
    return {"rows": rows, "tuning": tuning.record()}


def _chosen(bench: Bench, tuning: Tuning) -> list[Setup]:
    """The best set-up of each engine that has a pipeline for files, or all of them where none is known."""
    return tuning.fastest([one for one in bench.setups() if one.has_pipeline])


def _pass(running: Running, recordings: list[Recording], batch: int, *, together: bool) -> Pass:
    measured, result = running.process.measure(
        "transcribe", recordings=as_json(recordings), batch=batch, together=together
    )
    _check(running.setup.label, result, recordings)
    measured.detail["ends_s"] = result["ends_s"]
    return measured


def _check(name: str, result: dict[str, Any], recordings: Sequence[Recording]) -> None:
    check_counts(name, result["counts"], [len(one.ends_s) * one.n_tokens for one in recordings])


def _row(setup: Setup, batch: int, passes: list[Pass], recordings: Sequence[Recording]) -> dict[str, Any]:
    found = summarise(passes)
    audio_s = sum(recording.ends_s[-1] for recording in recordings)
    ends = sorted(end_s for one in found.counted for end_s in one.detail.get("ends_s", []))
    return {
        "engine": setup.engine,
        "setup": setup.name,
        "batch": batch,
        "audio_s": audio_s,
        "n_files": len(recordings),
        "times_real_time": audio_s / found.wall_s,
        "p50_s": statistics.median(ends) if ends else None,
        "p95_s": ends[math.ceil(0.95 * len(ends)) - 1] if len(ends) >= _LEAST_FOR_P95 else None,
        **found.figures(),
        "passes": [one.record() for one in passes],
    }
