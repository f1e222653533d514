"""Blocks while decoding goes on: order, size, cancellation, processes that die, memory."""

from __future__ import annotations

import gc
import os
import select
import signal
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import FLAC, M4A_WITHOUT_NOISE, MP3, OPUS, WAV, Coding, chirps, encode

from ifw.audio import AudioStream, decode, open_stream
from ifw.audio.assignment import Slicing
from ifw.audio.decoder_process import launch_fresh
from ifw.audio.fork_server import ForkServer
from ifw.config import AudioOptions
from ifw.errors import AudioDamagedError, AudioError, CancelledError

SLICING = Slicing(slice_s=2, min_duration_s=4.0)
LONG = encode(np.zeros((1, 8_000 * 1200), np.float32), Coding("flac", "flac", rate=8_000))
SONG = encode(chirps(7.3, 16_000), Coding("flac", "flac", rate=16_000))
SONG_SAMPLES = decode(SONG).samples


def worker_ids(stream: AudioStream) -> list[int]:
    return [worker.pid for worker in stream._feed._workers]


@pytest.fixture(params=["fresh", "forked"])
def launch(request):
    """Both ways in which decoder processes are started."""
    if request.param == "fresh":
        yield launch_fresh
        return
    server = ForkServer()
    yield server.launch
    server.close()


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


@settings(max_examples=8, deadline=None)
@given(
    block_s=st.floats(0.1, 9.0),
    n_samples=st.integers(1, 100_000),
    n_workers=st.integers(1, 3),
)
def test_blocks_joined_are_the_whole(block_s, n_samples, n_workers):
    data = encode(chirps(7, 16_000)[:, :n_samples], Coding("pcm_f32le", "wav", rate=16_000))
    with open_stream(data, AudioOptions(block_s=block_s, n_workers=n_workers), slicing=SLICING) as stream:
        blocks = list(stream)
    n_block = round(block_s * 16_000)
    assert all(len(block) == n_block for block in blocks[:-1])
    assert 1 <= len(blocks[-1]) <= n_block
    joined = np.concatenate(blocks)
    assert joined.dtype == np.float32
    assert len(joined) == n_samples
    assert np.array_equal(joined, chirps(7, 16_000)[0, :n_samples])


def test_blocks_arrive_before_the_end_is_decoded():
    with open_stream(LONG) as stream:
        assert stream.duration_s == pytest.approx(1200)
        block = next(iter(stream))
        assert len(block) == 30 * 16_000
        assert all(is_running(process_id) for process_id in worker_ids(stream))  # they wait for us


def test_iteration_goes_on_where_it_stopped(launch):
    with open_stream(SONG, AudioOptions(block_s=1), launch=launch) as stream:
        first = next(iter(stream))
        rest = list(stream)
        assert list(stream) == []
    assert np.array_equal(np.concatenate([first, *rest]), SONG_SAMPLES)


def test_no_duration_where_the_container_has_none():
    coding = Coding("libopus", "webm", rate=48_000, container_options={"live": "1"})
    with open_stream(encode(chirps(2, 48_000), coding)) as stream:
        assert stream.duration_s is None
        assert sum(map(len, stream)) == pytest.approx(32_000, abs=400)


def test_leaving_the_context_ends_the_workers(launch):
    with open_stream(LONG, launch=launch) as stream:
        next(iter(stream))
        ids = worker_ids(stream)
        assert len(ids) == 2
    assert not any(map(is_running, ids))
    with pytest.raises(CancelledError):
        next(iter(stream))
    stream.close()


def test_a_forgotten_stream_ends_its_workers(launch):
    stream = open_stream(LONG, launch=launch)
    next(iter(stream))
    ids = worker_ids(stream)
    del stream
    gc.collect()
    assert not any(map(is_running, ids))


def test_close_from_another_thread_wakes_the_reader(launch):
    stream = open_stream(LONG, AudioOptions(block_s=0.1), launch=launch)
    has_begun = threading.Event()
    caught: list[BaseException] = []

    def read() -> None:
        try:
            for _ in stream:
                has_begun.set()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    assert has_begun.wait(60)
    ids = worker_ids(stream)
    stream.close()
    thread.join(60)
    assert not thread.is_alive()
    assert [type(error) for error in caught] == [CancelledError]
    assert not any(map(is_running, ids))


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_is_an_error_and_no_hang(victim, launch):
    with open_stream(LONG, launch=launch) as stream:
        blocks = iter(stream)
        next(blocks)
        os.kill(worker_ids(stream)[victim], signal.SIGKILL)
        with pytest.raises(AudioDamagedError, match="SIGKILL"):
            list(blocks)
        assert stream._feed._workers == []


def test_a_worker_that_cannot_start(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(AudioError, match="cannot be started"):
        decode(SONG)


def test_a_worker_with_a_broken_installation(monkeypatch, tmp_path):
    (tmp_path / "av").mkdir()
    (tmp_path / "av" / "__init__.py").write_text("raise ImportError('libav is gone')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(AudioError, match="libav is gone"):
        decode(SONG)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux, to wait for a process that is not a child")
def test_workers_end_with_their_parent(tmp_path):
    path = tmp_path / "long.flac"
    path.write_bytes(LONG)
    script = (
        "import os, signal, sys\n"
        "from ifw.audio import open_stream\n"
        "stream = open_stream(sys.argv[1])\n"
        "next(iter(stream))\n"
        "print(*[worker.pid for worker in stream._feed._workers], flush=True)\n"
        "sys.stdin.read(1)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        ids = [int(word) for word in parent.stdout.readline().split()]
        assert len(ids) == 2
        handles = [os.pidfd_open(process_id) for process_id in ids]
        parent.stdin.write(b"x")
        parent.stdin.flush()
        assert parent.wait(60) == -signal.SIGKILL
        for handle in handles:
            assert select.select([handle], [], [], 60)[0], "a worker outlived its parent"
            os.close(handle)


def test_a_plain_script_needs_no_main_guard_and_loads_no_decoder(tmp_path):
    (tmp_path / "song.flac").write_bytes(SONG)
    (tmp_path / "av.py").write_text("raise RuntimeError('the current folder was searched for modules')")
    (tmp_path / "script.py").write_text(
        "import sys\n"
        "sys.path.remove(sys.path[0])\n"
        "import ifw.audio\n"
        "assert not {'av', 'numpy', 'torch'} & set(sys.modules)\n"
        "print(ifw.audio.decode('song.flac').duration_s)\n"
        "assert not {'av', 'torch', 'multiprocessing'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert float(done.stdout) == pytest.approx(7.3)


def test_many_streams_at_once(launch):
    songs = [encode(chirps(5, coding.rate, 2), coding) for coding in (MP3, FLAC, WAV, OPUS, M4A_WITHOUT_NOISE)]
    alone = [decode(song).samples for song in songs]

    def together(index: int) -> bool:
        with open_stream(songs[index % 5], AudioOptions(block_s=0.5), slicing=SLICING, launch=launch) as stream:
            return np.array_equal(np.concatenate(list(stream)), alone[index % 5])

    with ThreadPoolExecutor(5) as pool:
        assert all(pool.map(together, range(10)))


def test_memory_does_not_grow_with_the_file(launch):
    tracemalloc.start()
    try:
        with open_stream(LONG, AudioOptions(block_s=10), launch=launch) as stream:
            n_samples = sum(len(block) for block in stream)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_samples == 1200 * 16_000
    assert peak < 8_000_000  # 77 MB of samples went by


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux, to count open descriptors")
def test_nothing_is_left_open(tmp_path, launch):
    (tmp_path / "bad.wav").write_bytes(b"no audio at all")
    decode(SONG)
    n_before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        decode(SONG)
        with pytest.raises(AudioError):
            decode(tmp_path / "bad.wav")
        with open_stream(LONG, launch=launch) as stream:
            next(iter(stream))
    assert len(os.listdir("/proc/self/fd")) == n_before
