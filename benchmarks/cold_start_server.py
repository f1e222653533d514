"""How long a new server takes to its first answer, stage by stage: Truss's inference server, and `ifw serve`.

    sh tools/setup_truss_venv.sh .venv-truss .venv
    python benchmarks/cold_start_server.py

The model is the demo's, with one thread; the other settings are those of `deploy/truss`. Whole processes in turn,
medians of several runs after one that is not counted. On Baseten the machine, the image and the weights come before
this. `ifw serve` begins to load before it listens, so its stages overlap.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "truss"), str(ROOT / "tests" / "server"), str(ROOT / "src")]

from neighbour import Neighbour  # noqa: E402 - found by the line above
from server_process import ServerProcess, serving  # noqa: E402
from truss_server import PREDICT, TrussProcess, build_context, make_app, serving_truss  # noqa: E402

Server = ServerProcess | TrussProcess
Serve = Callable[[Path], AbstractContextManager[Server]]
LOADING = ("import_s", "load_s", "warm_up_s")
PREDECESSOR_S = 20
ROWS = {
    "listens": "the process answers health checks",
    "import_s": "torch and the library are imported",
    "load_s": "the checkpoint is loaded",
    "warm_up_s": "some seconds of speech are transcribed",
    "ready": "**ready**, from the start of the process",
    "first": "the first prediction",
    "total": "**first text**, from the start of the process",
}


def measured(serve: Serve, path: str, url: str) -> dict[str, float]:
    """Seconds of each stage of one new process.

    Args:
        serve: Runs a server in a folder as a context.
        path: Where predictions are asked for.
        url: Of a short audio file.
    """
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with serve(Path(folder)) as server:
            listens = time.perf_counter() - started
            server.wait_ready()
            ready = time.perf_counter() - started
            reply = server.client.post(path, json={"url": url})
            total = time.perf_counter() - started
            assert reply.status_code == 200, reply.text
            loading = next(line for line in map(json.loads, log_lines(server)) if line.get("load_s"))
    parts = {name: float(loading.get(name, 0.0)) for name in LOADING}
    return {"listens": listens, **parts, "ready": ready, "first": total - ready, "total": total}


def log_lines(server: Server) -> Iterator[str]:
    """Those in JSON."""
    return (line for line in server.text().splitlines() if line.startswith("{"))


@contextmanager
def ifw_serve(folder: Path) -> Iterator[ServerProcess]:
    """`ifw serve` as `config.server.yaml` has it."""
    with serving(folder, "--allow-nets", "127.0.0.0/8", env={"IFW_WARM_UP": "true"}) as server:
        yield server


def main() -> None:
    """Print a row for each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    n_runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder, Neighbour() as neighbour:
        url = f"{neighbour.url}/short.ogg"
        app = make_app(build_context(ROOT / "deploy" / "truss", Path(folder, "context")), Path(folder, "app"))
        servers: dict[str, tuple[Serve, str]] = {
            "Truss": (lambda run: serving_truss(app, run), PREDICT),
            "ifw serve": (ifw_serve, "/predict"),
        }
        found: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        for _ in range(n_runs + 1):
            for name, (serve, path) in servers.items():
                found[name].append(measured(serve, path, url))
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; medians of {n_runs} runs, s\n")
    print(f"| stage | {' | '.join(servers)} |\n|---|{'---|' * len(servers)}")
    for stage, shown in ROWS.items():
        medians = (statistics.median(run[stage] for run in runs[1:]) for runs in found.values())
        print(f"| {shown} | {' | '.join(f'{median:.2f}' for median in medians)} |")
    print(f"\nThe predecessor's page says {PREDECESSOR_S} s for machine and model together.")


if __name__ == "__main__":
    main()
