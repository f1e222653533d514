"""The engines of benchmarks/gpu.py, in one process: each decodes windows of one model to given numbers of tokens."""

from __future__ import annotations

import importlib.util
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ifw.benchmark.bench import N_WINDOWS, windows
from ifw.benchmark.decoding_scenarios import check_counts
from ifw.benchmark.random_checkpoint import prompt_ids, random_checkpoint, special_ids
from ifw.benchmark.sizes import SIZES
from ifw.config import CrossKv, DecodeOptions, EngineConfig
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest, new_request_id
from ifw.model.checkpoint import load_checkpoint, load_whisper
from ifw.model.mel import log_mel

TRANSFORMERS_DRIVER = Path(__file__).parent / "peers" / "transformers_driver.py"


class Workplace:
    """The files and facts that both engines start from; they are made where they are not there.

    Args:
        model: A key of `SIZES`.
        folder: For checkpoints and windows.
        device: `cuda` or `cpu`.
        dtype: Name of the precision.
    """

    def __init__(self, model: str, folder: Path, device: str, dtype: str) -> None:
        self.dims, self.device, self.dtype = SIZES[model], device, dtype
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = random_checkpoint(model, 0, folder.resolve())
        self.samples = windows(N_WINDOWS, 0)
        ids = special_ids(self.dims)
        self.prompt, self.eot, self.suppressed = prompt_ids(self.dims), ids["<|endoftext|>"], tuple(ids.values())
        self.mel = folder.resolve() / f"mel-{self.dims.n_mels}.npy"
        if not self.mel.is_file():
            transform = log_mel(self.dims.n_mels, torch.device("cpu"))
            np.save(self.mel, np.concatenate([transform([window]).numpy() for window in self.samples]))


def wait(device: str) -> None:
    """Until the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


class Own:
    """Our engine; the mel is part of what it is timed for.

    Args:
        place: What it starts from.
    """

    def __init__(self, place: Workplace) -> None:
        self.place = place
        self.checkpoint = load_checkpoint(place.checkpoint)
        self.model = load_whisper(self.checkpoint, place.device, place.dtype)

    def requests(self, lengths: tuple[int, ...]) -> list[DecodeRequest]:
        """A window a length, and nothing but text until it has that."""
        options = DecodeOptions(
            temperatures=(0.0,),
            timestamps=False,
            suppress_tokens=self.place.suppressed,
            compression_ratio_threshold=None,
            logprob_threshold=None,
            no_speech_threshold=None,
        )
        return [
            DecodeRequest(
                samples=self.place.samples[index % N_WINDOWS],
                language="en",
                options=replace(options, max_tokens=length),
            )
            for index, length in enumerate(lengths)
        ]

    def milliseconds(self, n_slots: int, lengths: tuple[int, ...], n_rounds: int, cross_kv: CrossKv = "same") -> float:
        """Median of some rounds, a window; the first round does not count."""
        requests = self.requests(lengths)
        took = []
        with Engine(self.model, self.checkpoint, EngineConfig(n_slots=n_slots, cross_kv=cross_kv)) as engine:
            for _ in range(1 + n_rounds):
                fresh = [replace(request, request_id=new_request_id()) for request in requests]
                wait(self.place.device)
                started = time.perf_counter()
                futures = [engine.submit(request) for request in fresh]
                texts = [future.result() for future in futures]
                took.append(time.perf_counter() - started)
                check_counts("ours", [len(text.token_ids) for text in texts], lengths)
        return 1e3 * statistics.median(took[1:]) / len(lengths)

    def clients(self, n_clients: int, n_slots: int, lengths: tuple[int, ...]) -> tuple[float, float]:
        """Clients that send a clip when the one before has come back: milliseconds a clip, and the 95th percentile.

        The first clip of each does not count.
        """
        requests = self.requests(lengths)
        shares = [requests[client::n_clients] for client in range(n_clients)]
        took: list[float] = []
        begun = threading.Barrier(n_clients + 1)
        with Engine(self.model, self.checkpoint, EngineConfig(n_slots=n_slots)) as engine:

            def client(share: list[DecodeRequest]) -> None:
                engine.submit(replace(share[0], request_id=new_request_id())).result()
                begun.wait(60)
                for request in share:
                    started = time.perf_counter()
                    engine.submit(replace(request, request_id=new_request_id())).result()
                    took.append(time.perf_counter() - started)

            with ThreadPoolExecutor(n_clients) as pool:
                waiting = [pool.submit(client, share) for share in shares]
                begun.wait(60)
                started = time.perf_counter()
                for future in waiting:
                    future.result()
                wall_s = time.perf_counter() - started
        return 1e3 * wall_s / len(lengths), 1e3 * float(np.percentile(took, 95))


def clip_lengths(n_clips: int, n_tokens: int) -> tuple[int, ...]:
    """Tokens of clips of 5 to 30 seconds, `n_tokens` for 30."""
    seconds = np.random.default_rng(0).uniform(5, 30, n_clips)
    return tuple(int(length) for length in np.ceil(seconds / 30 * n_tokens))


class Theirs:
    """transformers, with SDPA, its `generate` and mel that is there already.

    Args:
        place: What it starts from.
    """

    def __init__(self, place: Workplace) -> None:
        spec = importlib.util.spec_from_file_location("transformers_driver", TRANSFORMERS_DRIVER)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._device = place.device
        self._driver: Any = module.Driver(
            {
                "setup": {"compute_type": place.dtype},
                "device": place.device,
                "n_threads": torch.get_num_threads(),
                "checkpoint": str(place.checkpoint),
                "mel": str(place.mel),
                "prompt": place.prompt,
                "eot": place.eot,
                "suppress_tokens": list(place.suppressed),
            }
        )

    def milliseconds(self, batch: int, lengths: tuple[int, ...], n_rounds: int) -> float:
        """Median of some rounds, a window, after a short one that does not count."""
        chosen = [index % N_WINDOWS for index in range(len(lengths))]
        self._driver.decode(batch, chosen[:batch], [4] * len(chosen[:batch]))
        took = []
        for _ in range(n_rounds):
            wait(self._device)
            started = time.perf_counter()
            result = self._driver.decode(batch, chosen, list(lengths))
            wait(self._device)
            took.append(time.perf_counter() - started)
            check_counts("transformers", [len(tokens) for tokens in result["tokens"]], lengths)
        return 1e3 * statistics.median(took) / len(lengths)
