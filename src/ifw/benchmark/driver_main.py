"""The process of one engine: reads what to do, does it with the engine's driver, says what it took.

Run as a script by any Python that has the engine, `python driver_main.py DRIVER CPUS`: it imports nothing but the
standard library, and neither does it have to be installed. DRIVER is a file or a module with a class `Driver`, which is
made from a job and whose methods do the work; `stages` names what its `front_end` can do. A message is a line of JSON.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any


def main() -> None:
    """Answer until standard input ends."""
    name, cpus = sys.argv[1], [int(cpu) for cpu in sys.argv[2].split(",") if cpu]
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)  # before anything makes threads
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no reply
    driver: Any = None
    kind: Any = None
    reply: dict[str, Any]
    for line in sys.stdin:
        message = json.loads(line)
        try:
            kind = kind or _driver_class(name)
            if message["do"] == "stages":
                reply = {"result": list(getattr(kind, "stages", ()))}
            elif message["do"] == "load":
                driver = kind(message["with"])
                reply = {"result": driver.versions}
            else:
                reply = _measured(getattr(driver, message["do"]), message["with"])
        except Exception:  # whatever a peer raises is reported, and the next message may work
            reply = {"error": traceback.format_exc()}
        reply["process_s"] = time.process_time()
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _measured(work: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    result = work(**arguments)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return {"result": result, "wall_s": wall_s, "cpu_s": cpu_s}


def _driver_class(name: str) -> Any:
    if not name.endswith(".py"):
        sys.path[:] = [folder for folder in sys.path if folder != str(Path(__file__).parent)]
        return importlib.import_module(name).Driver
    sys.path[0] = str(Path(name).parent)  # in place of this script's, whose modules have names of their own
    spec = importlib.util.spec_from_file_location("driver", name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Driver


if __name__ == "__main__":
    main()
