"""Our engine's driver; see `benchmark.driver_main`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ifw import __version__
from ifw.config import DecodeOptions, EngineConfig
from ifw.engine.device import resolve_config
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest
from ifw.model.checkpoint import load_checkpoint, load_whisper


class Driver:
    """Decodes windows with engines of any number of slots, which share the weights.

    Args:
        job: What all drivers are told; see `benchmark.driver_process.Job`.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        torch.set_num_threads(job["n_threads"])
        self._job = job
        self._samples = np.load(job["samples"], mmap_mode="r")
        config = EngineConfig(
            device=job["device"], compute_type=job["setup"]["compute_type"], n_threads=job["n_threads"]
        )
        self._config = resolve_config(config)
        self._checkpoint = load_checkpoint(Path(job["checkpoint"]))
        self._model = load_whisper(self._checkpoint, self._config.device, self._config.compute_type)
        self._engines: dict[int, Engine] = {}
        self.versions = {"ifw": __version__, "torch": torch.__version__}

    def decode(self, batch: int, windows: list[int], lengths: list[int]) -> dict[str, Any]:
        """Decode windows, so many at once, each to its number of tokens; the mel is part of it."""
        engine = self._engine(batch)
        requests = [self._request(*pair) for pair in zip(windows, lengths, strict=True)]
        before = engine.stats()
        futures = [engine.submit(request) for request in requests]
        tokens = [list(future.result().token_ids) for future in futures]
        after = engine.stats()
        stages = {name: getattr(after, name) - getattr(before, name) for name in ("encode_s", "prefill_s", "decode_s")}
        return {"tokens": tokens, "stages": stages}

    def _engine(self, batch: int) -> Engine:
        if batch not in self._engines:
            self._engines[batch] = Engine(self._model, self._checkpoint, replace(self._config, n_slots=batch))
        return self._engines[batch]

    def _request(self, window: int, n_tokens: int) -> DecodeRequest:
        options = DecodeOptions(
            temperatures=(0.0,),
            timestamps=False,
            max_tokens=n_tokens,
            suppress_tokens=tuple(self._job["suppress_tokens"]),
            compression_ratio_threshold=None,
            logprob_threshold=None,
            no_speech_threshold=None,
        )
        return DecodeRequest(samples=np.array(self._samples[window]), language="en", options=options)
