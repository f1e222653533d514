"""Our engine's driver; see `benchmark.driver_main`."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ifw import __version__
from ifw.benchmark.switches import damped
from ifw.config import DecodeOptions, EngineConfig, TranscribeOptions, VadOptions
from ifw.engine.device import resolve_config
from ifw.engine.engine import Engine
from ifw.engine.heap import keep_freed_memory
from ifw.engine.request import DecodeRequest
from ifw.model.checkpoint import load_checkpoint, load_whisper
from ifw.model.compute_type import DTYPES, ops_for
from ifw.model.ops_choice import choose_ops
from ifw.model.weights import build_whisper, load_weights, open_weights
from ifw.model.whisper import Whisper


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
            device=job["device"],
            compute_type=job["setup"]["compute_type"],
            n_threads=job["n_threads"],
            **job["setup"].get("config", {}),
        )
        self._config = resolve_config(config)
        self._checkpoint = load_checkpoint(Path(job["checkpoint"]))
        self._engines: dict[int, Engine] = {}
        self._transcribers: dict[int, Any] = {}
        self._model: Whisper | None = None
        self._draft: Whisper | None = None
        keep_freed_memory()
        self.versions = {"ifw": __version__, "torch": torch.__version__}

    def transcribe(self, recordings: list[dict[str, Any]], batch: int, together: bool) -> dict[str, Any]:
        """Files to text: one after the other, or all at once, each by a thread of its own."""
        transcriber = self._transcriber(batch)
        started = time.perf_counter()

        def one(recording: dict[str, Any]) -> tuple[int, float]:
            transcript = transcriber.transcribe(recording["path"], self._options(recording["n_tokens"]))
            return sum(len(segment.token_ids) for segment in transcript.segments), time.perf_counter() - started

        with ThreadPoolExecutor(len(recordings) if together else 1) as threads:
            ended = list(threads.map(one, recordings))
        return {"counts": [count for count, _ in ended], "ends_s": [end_s for _, end_s in ended]}

    def _transcriber(self, batch: int) -> Any:
        from ifw.transcriber import Transcriber  # noqa: PLC0415 - needs more packages than decoding does

        if batch not in self._transcribers:
            self._transcribers[batch] = Transcriber(
                Path(self._job["checkpoint"]),
                self._config.device,
                self._config.compute_type,
                n_slots=batch,
                n_threads=self._job["n_threads"],
            )
        return self._transcribers[batch]

    def _options(self, n_tokens: int) -> TranscribeOptions:
        return TranscribeOptions(replace(self._decode_options(n_tokens), language="en"), VadOptions(enabled=False))

    def decode(self, batch: int, windows: list[int], lengths: list[int]) -> dict[str, Any]:
        """Decode windows, so many at once, each to its number of tokens; the mel is part of it."""
        engine = self._engine(batch)
        requests = [self._request(*pair) for pair in zip(windows, lengths, strict=True)]
        before = engine.stats()
        futures = [engine.submit(request) for request in requests]
        tokens = [list(future.result().token_ids) for future in futures]
        after = engine.stats()
        stages = {name: getattr(after, name) - getattr(before, name) for name in ("encode_s", "prefill_s", "decode_s")}
        n_drafted = after.n_drafted - before.n_drafted
        accepted = (after.n_accepted - before.n_accepted) / n_drafted if n_drafted else None
        return {"tokens": tokens, "stages": stages, "accepted": accepted}

    def _engine(self, batch: int) -> Engine:
        if batch not in self._engines:
            if self._model is None:
                self._model = self._load()
            config = replace(self._config, n_slots=batch)
            self._engines[batch] = Engine(self._model, self._checkpoint, config, self._draft)
        return self._engines[batch]

    def _load(self) -> Whisper:
        device, compute_type = self._config.device, self._config.compute_type
        if "draft_layers" in self._job["setup"]:
            return self._load_with_draft(self._job["setup"]["draft_layers"])
        if not self._job["setup"].get("is_plain"):
            return load_whisper(self._checkpoint, device, compute_type, self._config.encoder_products)
        dtype, target = DTYPES[compute_type], torch.device(device)
        return load_weights(self._checkpoint.path, self._checkpoint.dims, target, dtype, choose_ops(target, dtype))

    def _load_with_draft(self, n_layers: int) -> Whisper:
        """The model with a draft of its first layers, and weights that make it right now and then."""
        config, dims = self._config, self._checkpoint.dims
        n_layers = min(n_layers, dims.n_decoder_layers)
        target, dtype = torch.device(config.device), DTYPES[config.compute_type]
        ops = ops_for(target, config.compute_type)
        with open_weights(self._checkpoint.path, dims, target) as read, torch.inference_mode():
            weights = damped(read, n_layers)
            model = build_whisper(dims, weights, target, dtype, ops)
            few = replace(dims, n_decoder_layers=n_layers)
            self._draft = build_whisper(few, weights, target, dtype, ops, encoder_of=model)
        return model

    def _request(self, window: int, n_tokens: int) -> DecodeRequest:
        samples = np.array(self._samples[window])
        return DecodeRequest(samples=samples, language="en", options=self._decode_options(n_tokens))

    def _decode_options(self, n_tokens: int) -> DecodeOptions:
        return DecodeOptions(
            temperatures=(0.0,),
            timestamps=False,
            max_tokens=n_tokens,
            suppress_tokens=tuple(self._job["suppress_tokens"]),
            compression_ratio_threshold=None,
            logprob_threshold=None,
            no_speech_threshold=None,
        )
