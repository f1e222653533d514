"""How long eight clips at once take beside one: the library, `ifw serve`, and Truss's inference server.

    sh tools/setup_truss_venv.sh .venv-truss .venv
    python benchmarks/together.py

The model is the demo's, with all cores; clients wait for the text of a clip of ten seconds, or of --audio. One clip,
eight at once, eight, one, and so on, medians of the rounds. The clients run on the same cores.
"""

from __future__ import annotations

import argparse
import base64
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from importlib.resources import files
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line and deploy/truss have it, before torch comes
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "truss"), str(ROOT / "tests" / "server"), str(ROOT / "src")]

from server_process import serving  # noqa: E402
from truss_server import VENV, build_context, make_app, serving_truss  # noqa: E402

from ifw import Transcriber  # noqa: E402
from ifw.config import DecodeOptions, TranscribeOptions  # noqa: E402
from ifw.engine.heap import keep_freed_memory  # noqa: E402
from server import write_clips  # noqa: E402 - what the lines above are for

N_TOGETHER = 8
LANGUAGE = "en"
Ask = Callable[[], str]


@contextmanager
def library(clip: Path, n_threads: int) -> Iterator[Ask]:
    """One transcriber for all threads."""
    keep_freed_memory()
    audio, options = clip.read_bytes(), TranscribeOptions(decode=DecodeOptions(language=LANGUAGE))
    with Transcriber("demo", n_threads=n_threads) as transcriber:
        yield lambda: transcriber.transcribe(audio, options).text


@contextmanager
def ifw_serve(clip: Path, n_threads: int) -> Iterator[Ask]:
    """OpenAI's route."""
    audio, form = clip.read_bytes(), {"model": "whisper-1", "language": LANGUAGE}
    flags, env = ("--n-threads", str(n_threads)), {"IFW_WARM_UP": "true"}
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), *flags, env=env) as server:
        server.wait_ready()

        def ask() -> str:
            reply = server.client.post("/v1/audio/transcriptions", files={"file": ("a.mp3", audio)}, data=form)
            return str(reply.raise_for_status().json()["text"])

        yield ask


@contextmanager
def truss(clip: Path, n_threads: int) -> Iterator[Ask]:
    """What `deploy/truss` becomes, with audio in base64."""
    audio = base64.b64encode(clip.read_bytes()).decode()
    with tempfile.TemporaryDirectory() as folder:
        app = make_app(build_context(ROOT / "deploy" / "truss", Path(folder, "context")), Path(folder, "app"))
        with serving_truss(app, Path(folder), {"IFW_N_THREADS": str(n_threads)}) as server:
            server.wait_ready()
            yield lambda: str(server.predict(audio=audio, language=LANGUAGE).raise_for_status().json()["text"])


def wall_s(ask: Ask, n_clients: int) -> float:
    """Seconds until every client has its text, which is the same for all."""
    with ThreadPoolExecutor(n_clients) as clients:
        started = time.perf_counter()
        texts = [client.result() for client in [clients.submit(ask) for _ in range(n_clients)]]
        taken_s = time.perf_counter() - started
    assert len(set(texts)) == 1, texts
    return taken_s


def measured(serve: AbstractContextManager[Ask], n_rounds: int) -> str:
    """A row of the table, without its first cell."""
    one: list[float] = []
    together: list[float] = []
    with serve as ask:
        for _ in range(3):
            wall_s(ask, N_TOGETHER)
        for _ in range(n_rounds):
            for n_clients in (1, N_TOGETHER, N_TOGETHER, 1):
                (one if n_clients == 1 else together).append(1e3 * wall_s(ask, n_clients))
    ratio = statistics.median(together) / statistics.median(one)
    return f"| {statistics.median(one):.0f} | {statistics.median(together):.0f} | {ratio:.2f} |"


def main() -> None:
    """Print a row for each way in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--n-threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", choices=("library", "serve", "truss"), nargs="+", help="all unless told")
    parser.add_argument("--audio", type=Path, help="the clip; ten seconds of the bundled sample unless told")
    asked = parser.parse_args()
    ways = {"library": library, "serve": ifw_serve} | ({"truss": truss} if (VENV / ".ready").exists() else {})
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {asked.n_threads} threads; ms\n")
    print(f"| | one clip | {N_TOGETHER} at once | times |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        clip = asked.audio or write_clips(Path(str(files("ifw") / "demo" / "sample.mp3")), Path(folder))[0]
        for name in asked.only or ways:
            print(f"| {name} {measured(ways[name](clip, asked.n_threads), asked.rounds)}", flush=True)


if __name__ == "__main__":
    main()
