"""A whole run: the machine's ceilings, then one scenario after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ifw.benchmark.bench import Bench
from ifw.benchmark.decoding_scenarios import engine_scenario, skewed_scenario
from ifw.benchmark.diarization_scenario import diarization_scenario
from ifw.benchmark.driver_process import DriverCommand, DriverProcess, Job
from ifw.benchmark.engines import chosen, installed
from ifw.benchmark.environment import environment
from ifw.benchmark.file_scenarios import clients_scenario, cold_scenario, latency_scenario, long_scenario
from ifw.benchmark.front_end_scenario import front_end_scenario
from ifw.benchmark.interference import processors, wait_until_idle
from ifw.benchmark.options import BenchmarkOptions
from ifw.benchmark.results import FORMAT
from ifw.benchmark.tuning import Tuning
from ifw.config import EngineConfig
from ifw.engine.device import resolve_config

ANY_MODEL: Final = "any model"
_AFTER_ENGINE: Final[Mapping[str, Callable[[Bench, str, Tuning], dict[str, Any]]]] = MappingProxyType(
    {
        "skewed": skewed_scenario,
        "long": long_scenario,
        "clients": clients_scenario,
        "latency": latency_scenario,
        "cold": cold_scenario,
    }
)
_OF_NONE: Final[Mapping[str, Callable[[Bench], dict[str, Any]]]] = MappingProxyType(
    {"front-end": front_end_scenario, "diarization": diarization_scenario}
)


def run_benchmark(options: BenchmarkOptions, note: Callable[[str], None], command: str) -> dict[str, Any]:
    """Measure.

    Args:
        options: What.
        note: Is told what happens, a line at a time.
        command: How a user repeats it; kept with the results.

    Returns:
        What `results.write_results` writes.

    Raises:
        ConfigError: An engine is unknown or not installed, or the device is not there.
        BenchmarkError: Our own engine failed.
    """
    options = replace(options, device=resolve_config(EngineConfig(device=options.device)).device)  # type: ignore[arg-type] # checked by the class
    there = installed(options.peers_dir, options.venvs_dir)
    commands = {name: there[name] for name in chosen(options.engines, there)}
    options.work_dir.mkdir(parents=True, exist_ok=True)
    cpus = processors(options.n_threads) if options.device == "cpu" else ()
    machine = environment()
    is_idle = wait_until_idle(cpus, options.wait_s)
    bench = Bench(options, commands, cpus, _ceilings(options, cpus), note)
    if options.wait_s and not is_idle:
        bench.remark("ceilings: the processors were not idle when they were measured")
    note(f"engines: {', '.join(commands)}; processors {', '.join(map(str, cpus)) or 'all'}")
    scenarios: dict[str, dict[str, Any]] = {}
    for model in options.models:
        try:
            for scenario, found in _of_model(bench, model):
                scenarios.setdefault(scenario, {})[model] = found
        finally:
            bench.unload()
    for scenario, measure in _OF_NONE.items():
        if scenario in options.scenarios:
            note(scenario)
            scenarios[scenario] = {ANY_MODEL: measure(bench)}
    return {
        "format": FORMAT,
        "command": command,
        "environment": machine,
        "options": _plain(options),
        "ceilings": bench.ceilings,
        "versions": bench.versions,
        "scenarios": scenarios,
        "notes": bench.notes,
    }


def _of_model(bench: Bench, model: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The scenarios of a model, `engine` first: it finds out which batches suit the engines in the others."""
    tuning = Tuning()
    if "engine" in bench.options.scenarios:
        bench.note(f"engine, {model}")
        found, tuning = engine_scenario(bench, model)
        yield "engine", found
    for scenario, measure in _AFTER_ENGINE.items():
        if scenario in bench.options.scenarios:
            bench.note(f"{scenario}, {model}")
            yield scenario, measure(bench, model, tuning)


def _ceilings(options: BenchmarkOptions, cpus: tuple[int, ...]) -> dict[str, Any]:
    command = DriverCommand("ceilings", Path(sys.executable), "ifw.benchmark.ceilings")
    with DriverProcess(command, cpus, options.n_threads, options.work_dir / "ceilings.log") as process:
        process.load(Job(setup={}, device=options.device, n_threads=options.n_threads))
        found: dict[str, Any] = process.ask("ceilings", least_s=options.ceiling_s)
    return found


def _plain(options: BenchmarkOptions) -> dict[str, Any]:
    """For JSON, without the folders of this machine."""
    return {key: value for key, value in asdict(options).items() if not isinstance(value, Path)}
