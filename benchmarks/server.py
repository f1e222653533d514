"""A server under load: clips of ten seconds from many clients, alone and beside a task of half an hour.

    python benchmarks/server.py

Runs `ifw serve` with the demo model on loopback. Clients are a closed loop: each sends its next clip when the text of
the last has come. The table is for benchmarks/server.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import httpx2

from memory import write_repeated

CLIP_S = 10.0
PROBE_PAUSE_S = 0.02
PORT_LINE = re.compile(r"Uvicorn running on http://[^ ]+:(\d+)")
Call = Callable[[httpx2.AsyncClient, Path], Awaitable[str]]


@dataclass
class Load:
    """What clients saw: seconds of each answer, and errors."""

    wall_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    live_s: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        """Clips in a second."""
        return len(self.latencies_s) / self.wall_s

    def percentile_s(self, percent: int) -> float:
        """Nearest rank."""
        return nearest_rank(self.latencies_s, percent)

    def row(self, name: str) -> str:
        """A line of the table."""
        p50, p95, p99 = (self.percentile_s(percent) for percent in (50, 95, 99))
        live = f"{1e3 * nearest_rank(self.live_s, 99):.0f}" if self.live_s else ""
        n = len(self.latencies_s)
        return f"| {name} | {n} | {len(self.errors)} | {self.per_s:.1f} | {p50:.2f} | {p95:.2f} | {p99:.2f} | {live} |"


HEAD = "| | clips | errors | clips/s | p50 s | p95 s | p99 s | /health/live p99 ms |\n|---|---|---|---|---|---|---|---|"


def nearest_rank(values: list[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else float("nan")


def write_clips(sample: Path, folder: Path) -> list[Path]:
    """Cut an audio file into clips of ten seconds, packet by packet."""
    clips: list[list[av.Packet[Any]]] = []
    with av.open(str(sample)) as container:
        stream = container.streams.audio[0]
        for packet in container.demux(stream):
            if packet.pts is not None and packet.pts >= 0:
                index = int(packet.pts * packet.time_base / CLIP_S)
                clips += [[]] * (index >= len(clips))
                clips[index] = [*clips[index], packet]
        paths = []
        for index, packets in enumerate(clip for clip in clips if len(clip) >= 0.9 * max(map(len, clips))):
            paths.append(folder / f"clip{index}.mp3")
            with av.open(str(paths[-1]), "w") as output:
                target = output.add_stream_from_template(stream)
                first = packets[0].pts or 0
                for packet in packets:
                    packet.pts = packet.dts = (packet.pts or 0) - first
                    packet.stream = target
                    output.mux(packet)
    return paths


@contextlib.contextmanager
def serving(folder: Path, flags: list[str], source: str | None = None) -> Iterator[str]:
    """Run a server until the block ends; gives its URL.

    Args:
        folder: For its data and its log.
        flags: Settings.
        source: Import path of another version of the package.
    """
    environment = os.environ | {"ADMIN_KEY": ""} | ({"PYTHONPATH": source} if source else {})
    command = [sys.executable, "-m", "ifw", "serve", "--model", "demo", "--port", "0", "--data-dir", str(folder)]
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--log-format", "json", *flags], stdout=file, stderr=file, env=environment
        )
    try:
        while not (found := PORT_LINE.search(log.read_text())):
            if process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.05)
        url = f"http://127.0.0.1:{found[1]}"
        with httpx2.Client(base_url=url, trust_env=False) as client:
            while client.get("/health/ready").status_code != 200:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


async def openai_call(client: httpx2.AsyncClient, clip: Path) -> str:
    """A clip through OpenAI's route."""
    audio = {"file": (clip.name, clip.read_bytes(), "audio/mpeg")}
    reply = await client.post("/v1/audio/transcriptions", files=audio, data={"model": "whisper-1"})
    reply.raise_for_status()
    return str(reply.json()["text"])


async def native_call(client: httpx2.AsyncClient, clip: Path) -> str:
    """A clip as a task: submit, follow its events to the end, take the text."""
    task_id = await submit(client, clip)
    async with client.stream("GET", f"/tasks/{task_id}/events") as events:
        async for _ in events.aiter_lines():
            pass
    reply = await client.get(f"/tasks/{task_id}/transcript", params={"format": "txt"})
    reply.raise_for_status()
    return reply.text


async def submit(client: httpx2.AsyncClient, path: Path) -> str:
    """Make a task of a file; gives its id."""
    with path.open("rb") as file:
        reply = await client.post("/tasks", files={"file": (path.name, file, "audio/mpeg")})
    reply.raise_for_status()
    return str(reply.json()["id"])


CALLS: dict[str, Call] = {"openai": openai_call, "native": native_call}


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that waits as long as it takes."""
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=url, timeout=600, trust_env=False, limits=limits) as client:
        yield client


@dataclass(frozen=True)
class Served:
    """A running server, and what is sent to it."""

    url: str
    clips: list[Path]


async def run_load(
    served: Served, call: Call, n_clients: int, duration_s: float, ended: asyncio.Event | None = None
) -> Load:
    """Let clients send clips for a time, or until `ended`; what is on its way then still comes to its end."""
    url, clips = served.url, served.clips
    load, started = Load(), 0.0

    async def one(client: httpx2.AsyncClient, number: int) -> None:
        n_sent = 0
        while time.perf_counter() - started < duration_s and not (ended and ended.is_set()):
            began = time.perf_counter()
            try:
                text = await call(client, clips[(number + n_sent) % len(clips)])
                if not text.strip():
                    load.errors.append("no text")
            except httpx2.HTTPError as error:
                load.errors.append(repr(error))
            load.latencies_s.append(time.perf_counter() - began)
            n_sent += 1

    with probing(url) as live_s:
        async with connected(url) as client:
            started = time.perf_counter()
            await asyncio.gather(*(one(client, number) for number in range(n_clients)))
            load.wall_s = time.perf_counter() - started
    load.live_s = live_s
    return load


@contextlib.contextmanager
def probing(url: str) -> Iterator[list[float]]:
    """Another process asks for /health/live again and again; the list has the seconds of each answer afterwards."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_probe, args=(url, theirs), daemon=True)
    process.start()
    theirs.close()
    ours.recv()
    seen: list[float] = []
    try:
        yield seen
    finally:
        ours.send(None)
        seen += ours.recv()
        process.join()


def _probe(url: str, pipe: Connection) -> None:
    seen: list[float] = []
    with httpx2.Client(base_url=url, timeout=60, trust_env=False) as client:
        client.get("/health/live")
        pipe.send(None)
        while not pipe.poll(PROBE_PAUSE_S):
            started = time.perf_counter()
            client.get("/health/live").raise_for_status()
            seen.append(time.perf_counter() - started)
    pipe.send(seen)


@dataclass
class LongTask:
    """A task of half an hour that is followed from outside: seconds of audio that were text, by time."""

    task_id: str
    done: list[tuple[float, float]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    state: str = ""

    async def follow(self, client: httpx2.AsyncClient) -> None:
        """Look at it until it has ended."""
        while not self.ended.is_set():
            task = (await client.get(f"/tasks/{self.task_id}")).json()
            progress = (task.get("progress") or {}).get("transcribe") or {}
            self.done.append((time.perf_counter(), float(progress.get("done") or 0.0)))
            self.state = task["state"]
            if self.state in ("succeeded", "failed", "cancelled"):
                self.ended.set()
            await asyncio.sleep(0.1)

    def speed(self) -> float:
        """Seconds of audio in a second, from its first text to the last that is known."""
        moving = [point for point in self.done if point[1] > 0]
        (start, first), (end, last) = moving[0], moving[-1]
        return (last - first) / max(end - start, 1e-9)


async def run_long(
    url: str, path: Path, load: Callable[[LongTask], Awaitable[Load]] | None = None
) -> tuple[LongTask, Load | None]:
    """Transcribe a long file as a task, and begin with a load when its first text is there."""
    async with connected(url) as client:
        task = LongTask(await submit(client, path))
        following = asyncio.create_task(task.follow(client))
        seen = None
        if load is not None:
            while not (task.done and task.done[-1][1] > 0):
                await asyncio.sleep(0.02)
            seen = await load(task)
            task.done = [point for point in task.done if point[1] > 0]
            if not task.ended.is_set():
                await client.delete(f"/tasks/{task.task_id}")
        await following
    return task, seen


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--duration", type=float, default=20.0, help="seconds of each load")
    parser.add_argument("--long-s", type=float, default=1800.0, help="length of the long file")
    parser.add_argument("--flag", action="append", default=[], help="further argument of `ifw serve`")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = Path(str(files("ifw") / "demo" / "sample.mp3"))
        clips, long = write_clips(sample, folder), folder / "long.mp3"
        write_repeated(sample, long, options.long_s)
        data = folder / "data"
        data.mkdir()
        with serving(data, options.flag) as url:
            asyncio.run(report(Served(url, clips), long, options.clients, options.duration))


async def report(served: Served, long: Path, n_clients: int, duration_s: float) -> None:
    """Run everything and print it as it comes."""
    await run_load(served, openai_call, 4, 3.0)
    print(HEAD, flush=True)
    for name, call in CALLS.items():
        one = await run_load(served, call, 1, duration_s / 2)
        print(one.row(f"{name}, 1 client"), flush=True)
    alone = {}
    for name, call in CALLS.items():
        alone[name] = await run_load(served, call, n_clients, duration_s)
        print(alone[name].row(f"{name}, {n_clients} clients"), flush=True)
    quiet, _ = await run_long(served.url, long)
    lines = [f"long task alone: {quiet.state}, {quiet.speed():.0f} times real time"]
    for name, call in CALLS.items():

        async def beside(task: LongTask, call: Call = call) -> Load:
            return await run_load(served, call, n_clients, duration_s, task.ended)

        task, load = await run_long(served.url, long, beside)
        assert load is not None
        print(load.row(f"{name}, {n_clients} clients, long task beside"), flush=True)
        ratio = load.percentile_s(95) / alone[name].percentile_s(95)
        lines.append(
            f"{name}: p95 {ratio:.2f} times that alone; the long task at {task.speed():.0f} times real time, "
            f"{task.speed() / quiet.speed():.2f} of its speed alone"
        )
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
