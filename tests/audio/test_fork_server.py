"""The process that decoder processes are forked off: what becomes of its children, its owner and itself."""

from __future__ import annotations

import gc
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from recordings import Coding, chirps, encode

from ifw.audio import decode, open_stream
from ifw.audio.assignment import Assignment
from ifw.audio.fork_server import MAX_ORDER_BYTES, ForkServer
from ifw.audio.fork_server_main import MAX_SPARES, Workers, _Child
from ifw.audio.source import open_source
from ifw.config import AudioOptions
from ifw.errors import AudioError, AudioFormatError

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux, for descriptors of processes")

SONG = encode(chirps(5, 16_000), Coding("flac", "flac", rate=16_000))
SONG_SAMPLES = decode(SONG).samples


@pytest.fixture
def server():
    with_children = ForkServer()
    yield with_children
    with_children.close()


def parent_of(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[1])


def worker_of(stream):
    return stream._feed._workers[0]


def heard(server):
    with open_stream(SONG, launch=server.launch) as stream:
        worker = worker_of(stream).pid
        parent = parent_of(worker)
        samples = np.concatenate(list(stream))
    wait_for_ends([worker])
    return parent, samples


def children_of(process_id: int) -> set[int]:
    """Those that have not ended; one that has stays in the list until the server takes note of it."""
    listed = map(int, Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split())
    return {child for child in listed if has_not_ended(child)}


def has_not_ended(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def spares_of(parent: int) -> set[int]:
    """Wait until it has all that it forks in advance, and no other children."""
    n_spares, deadline = min(MAX_SPARES, os.cpu_count()), time.monotonic() + 60
    while len(spares := children_of(parent)) != n_spares:
        assert time.monotonic() < deadline, f"{len(spares)} children"
        time.sleep(0.02)
    return spares


def wait_for_ends(process_ids):
    for process_id in process_ids:
        try:
            handle = os.pidfd_open(process_id)
        except ProcessLookupError:
            continue
        assert select.select([handle], [], [], 60)[0], "it outlived its owner"
        os.close(handle)


def test_forked_workers_decode_what_fresh_ones_do(server):
    parents = set()
    for _ in range(3):
        parent, samples = heard(server)
        parents.add(parent)
        assert np.array_equal(samples, SONG_SAMPLES)
    assert len(parents) == 1, "all were forked off one process"
    assert parents != {os.getpid()}


def test_each_file_has_a_process_of_its_own(server):
    with open_stream(SONG, launch=server.launch) as one, open_stream(SONG, launch=server.launch) as other:
        assert worker_of(one).pid != worker_of(other).pid
        os.kill(worker_of(one).pid, signal.SIGKILL)
        assert np.array_equal(np.concatenate(list(other)), SONG_SAMPLES)


def test_a_spare_worker_takes_the_file_and_another_takes_its_place(server):
    parent, _ = heard(server)
    spares = spares_of(parent)
    with open_stream(SONG, launch=server.launch) as stream:
        assert worker_of(stream).pid in spares
        assert np.array_equal(np.concatenate(list(stream)), SONG_SAMPLES)
    assert len(spares_of(parent) - spares) == 1


def test_spare_workers_that_die_are_no_loss(server):
    parent, _ = heard(server)
    spares = spares_of(parent)
    for spare in spares:
        os.kill(spare, signal.SIGKILL)
    wait_for_ends(spares)
    assert not spares_of(parent) & spares
    assert heard(server)[0] == parent


def test_a_spare_worker_that_died_unnoticed_costs_no_file(monkeypatch):
    """Its end is told only after the order that it should have taken."""
    workers = Workers(selectors.DefaultSelector())
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    workers._spares.append(_Child(1, -1, ours))
    orders = []

    def fork(self, line, ours=None):
        with line:
            orders.append(line.recv(MAX_ORDER_BYTES))
        return _Child(2, -1, None)

    monkeypatch.setattr(Workers, "_fork", fork)
    assert workers._given(b"an order", []).pid == 2
    assert orders == [b"an order"]
    assert workers.n_spares == 0


def test_more_files_than_spare_workers(server):
    parent, _ = heard(server)
    spares = spares_of(parent)
    with ExitStack() as streams:
        opened = [streams.enter_context(open_stream(SONG, launch=server.launch)) for _ in range(2 * MAX_SPARES)]
        assert len({worker_of(stream).pid for stream in opened} | spares) > 2 * MAX_SPARES - 1
        for stream in opened:
            assert np.array_equal(np.concatenate(list(stream)), SONG_SAMPLES)


def test_what_a_worker_complains_of_is_told(server):
    with pytest.raises(AudioFormatError, match="<bytes>"):
        open_stream(b"no audio at all", launch=server.launch)
    assert np.array_equal(heard(server)[1], SONG_SAMPLES)


def test_a_worker_that_fails_tells_why(server):
    with open_source(SONG) as source:
        worker = server.launch(source.descriptor, Assignment(n_workers=0, index=-1, skip_samples="many"))
        with pytest.raises(AudioError, match="TypeError"):
            list(iter(worker.receive, None))
        worker.close()


def test_where_the_server_has_died_workers_are_fresh(server):
    parent, _ = heard(server)
    spares = spares_of(parent)
    os.kill(parent, signal.SIGKILL)
    wait_for_ends(spares)
    for _ in range(2):
        parent, samples = heard(server)
        assert parent == os.getpid()
        assert np.array_equal(samples, SONG_SAMPLES)


def test_after_close_workers_are_fresh(server):
    server.close()
    server.close()
    assert heard(server)[0] == os.getpid()


def test_an_order_that_is_too_long_goes_to_a_fresh_worker(server):
    clip = tuple((n / 1000, n / 1000 + 0.0005) for n in range(MAX_ORDER_BYTES // 16))
    with open_stream(SONG, AudioOptions(clip=clip), launch=server.launch) as stream:
        assert parent_of(worker_of(stream).pid) == os.getpid()
        assert sum(map(len, stream)) > 0


def test_many_threads_start_workers(server):
    with ThreadPoolExecutor(8) as pool:
        all_heard = list(pool.map(lambda _: heard(server), range(24)))
    assert len({parent for parent, _ in all_heard}) == 1
    assert all(np.array_equal(samples, SONG_SAMPLES) for _, samples in all_heard)


def test_it_ends_with_its_owner_object():
    server = ForkServer()
    parent, _ = heard(server)
    processes = {parent, *spares_of(parent)}
    del server
    gc.collect()
    wait_for_ends(processes)


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "sys.exit()", "raise KeyboardInterrupt"])
def test_it_ends_with_its_owners_process(end, tmp_path):
    (tmp_path / "song.flac").write_bytes(SONG)
    script = (
        "import os, signal, sys\n"
        "from ifw.audio import open_stream\n"
        "from ifw.audio.fork_server import ForkServer\n"
        "server = ForkServer()\n"
        "stream = open_stream('song.flac', launch=server.launch)\n"
        "print(stream._feed._workers[0].pid, flush=True)\n"
        "sys.stdin.read(1)\n"
        f"{end}\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as owner:
        worker = int(owner.stdout.readline())
        handles = [os.pidfd_open(process_id) for process_id in (parent_of(worker), *children_of(parent_of(worker)))]
        owner.stdin.write(b"x")
        owner.stdin.flush()
        owner.wait(60)
        for handle in handles:
            assert select.select([handle], [], [], 60)[0], "it outlived its owner"
            os.close(handle)


def test_ctrl_c_is_not_for_the_server(server):
    parent, _ = heard(server)
    assert os.getsid(parent) == parent


def test_the_server_has_one_thread_and_keeps_no_descriptors(server):
    parent, _ = heard(server)
    spares_of(parent)
    n_before = len(os.listdir(f"/proc/{parent}/fd"))
    for _ in range(5):
        heard(server)
    with open_stream(SONG, launch=server.launch) as stream:
        worker_descriptors = Path(f"/proc/{worker_of(stream).pid}/fd")
        assert len(list(worker_descriptors.iterdir())) <= 6, "nothing of the server or of other workers"
    heard(server)
    spares_of(parent)
    assert len(os.listdir(f"/proc/{parent}/task")) == 1
    assert len(os.listdir(f"/proc/{parent}/fd")) == n_before
