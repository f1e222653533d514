"""The engine's public face: windows of all requests go in, hypotheses come out."""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

import torch

from ifw.engine.cache import KeptKv, choose_n_slots, slot_bytes
from ifw.engine.device import check_steps
from ifw.engine.loop import EngineLoop
from ifw.engine.request import DecodeRequest, DetectRequest, EngineStats, Hypothesis, LanguageDetection
from ifw.engine.runner import ModelRunner, RunnerTokens
from ifw.engine.scheduler import SchedulerPolicy
from ifw.engine.speculative_runner import SpeculativeRunner
from ifw.engine.static_runner import StaticRunner
from ifw.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from ifw.config import CrossKv, EngineConfig
    from ifw.engine.runner_interface import Runner
    from ifw.model.checkpoint import Checkpoint
    from ifw.model.whisper import Whisper

__all__ = ["Engine", "EngineStats"]

_CUDA_ENCODE_BATCH = 8
_CUDA_ALIGN_BATCH = 8
_MAX_CPU_ENCODE_BATCH = 4  # side by side: more would hold up those that decode for longer
_MIN_ENCODE_RUN = 4


class Engine:
    """Decodes the windows of any number of requests together on one device.

    All methods may be called from any thread. Futures are resolved in the engine's own thread, so a callback that
    takes long holds everyone up. An engine that is dropped without `close` closes itself.

    Args:
        model: Loaded on its device.
        checkpoint: Where it was loaded from.
        config: Slots, batch and threads; device and compute type are those of the model.
        draft: What proposes tokens to the model, from `ifw.model.draft.load_draft`; None goes without.

    Raises:
        EngineMemoryError: The slots do not fit into the device's memory.
        ConfigError: `steps` asks for CUDA graphs, and the model is on a CPU.

    Attributes:
        n_slots: Windows that can be decoded together.
        n_threads: Threads of torch on CPU.
        arithmetic: Device and precision, such as `cpu float32`: texts may differ between two of them.

    Example:
        >>> with Engine(model, checkpoint, EngineConfig()) as engine:
        ...     hypothesis = engine.submit(DecodeRequest(samples=samples, language="en")).result()
    """

    def __init__(
        self, model: Whisper, checkpoint: Checkpoint, config: EngineConfig, draft: Whisper | None = None
    ) -> None:
        is_cuda = model.device.type == "cuda"
        cross_kv = _kept_as(config.cross_kv, model)
        decoders = (model,) if draft is None else (model, draft)
        bytes_each = sum(slot_bytes(decoder.dims, decoder.dtype, cross_kv) for decoder in decoders)
        n_slots = config.n_slots or choose_n_slots(bytes_each, model.device)
        n_threads = config.n_threads or torch.get_num_threads()
        encode_batch = config.encode_batch or (_CUDA_ENCODE_BATCH if is_cuda else min(_MAX_CPU_ENCODE_BATCH, n_threads))
        policy = SchedulerPolicy(
            encode_batch=encode_batch,
            max_encode_run=max(_MIN_ENCODE_RUN, encode_batch),
            align_batch=_CUDA_ALIGN_BATCH if is_cuda else 1,
        )
        self._vocabulary = Vocabulary(checkpoint)
        runner = _make_runner(decoders, self._vocabulary.runner_tokens, replace(config, n_slots=n_slots), checkpoint)
        self._loop = EngineLoop(runner, self._vocabulary, policy, config.n_threads)
        self.n_slots = n_slots
        self.n_threads = n_threads
        kept = "" if cross_kv == _kept_as("auto", model) else f", keys and values {cross_kv}"
        products = model.ops.encoder_products
        encoded = "" if products == "same" else f", encoder {products}"
        self.arithmetic = f"{model.device.type} {model.compute_type}{encoded}{kept}"
        weakref.finalize(self, self._loop.close)

    def check_process(self) -> None:
        """Refuse a process that the engine was not made in, as after a fork: nothing here would ever answer.

        Raises:
            EngineError: The engine was made in another process.
        """
        self._loop.check_process()

    @property
    def is_open(self) -> bool:
        """Whether it takes requests: not any more once it was closed, or its device has failed."""
        return self._loop.is_open

    def submit(self, request: DecodeRequest) -> Future[Hypothesis]:
        """Decode a window.

        Args:
            request: The window and how to decode it.

        Returns:
            Its hypothesis. It raises `CancelledError` after `cancel`, `EngineClosedError` after `close`,
            `EngineMemoryError` where the device has no room for this one window, `EngineError` where computing failed.

        Raises:
            LanguageError: The checkpoint does not know the language.
            ModeError: The checkpoint cannot translate.
            PromptError: A token of the prompt or the prefix is no text token, or the prefix is too long.
            ConfigError: A suppressed token is not in the vocabulary, or too little is left of it.
            ShapeError: The encoded window comes from another model.
            EngineClosedError: The engine was closed, or has failed.
            EngineError: The engine was made in another process.
        """
        self._vocabulary.check(request)
        return self._loop.submit(request)

    def detect_language(self, request: DetectRequest) -> Future[LanguageDetection]:
        """Ask which language a window is in.

        Args:
            request: The window.

        Returns:
            The probabilities, and the encoded window to hand to `submit`. It raises as that of `submit` does.

        Raises:
            EngineClosedError: The engine was closed, or has failed.
            EngineError: The engine was made in another process.
        """
        return self._loop.submit(request)

    def cancel(self, request_id: str) -> None:
        """Let a request leave at the next step; its future raises `CancelledError`.

        Args:
            request_id: Of a request that was submitted; nothing happens where it has ended.
        """
        self._loop.cancel(request_id)

    def cancel_group(self, group: Hashable) -> None:
        """Cancel all requests of a group.

        Args:
            group: As in the requests.
        """
        self._loop.cancel_group(group)

    def stats(self) -> EngineStats:
        """Say what the engine is doing now and has done so far."""
        return self._loop.stats()

    def close(self) -> None:
        """End the engine after the step that it is in, and free the device; what is left ends with an error."""
        self._loop.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _kept_as(cross_kv: CrossKv, model: Whisper) -> KeptKv:
    """How keys and values of the audio are kept, `auto` resolved."""
    if cross_kv != "auto":
        return cross_kv
    return "int8" if model.compute_type == "int8" and model.fused_decode is not None else "same"


def _make_runner(
    decoders: Sequence[Whisper], tokens: RunnerTokens, config: EngineConfig, checkpoint: Checkpoint
) -> Runner:
    """The runner whose steps the configuration asks for, of a model and, if there is one, its draft."""
    model, *drafts = decoders
    steps, cross_kv, n_slots = config.steps, _kept_as(config.cross_kv, model), config.n_slots or 1
    heads = checkpoint.generation.alignment_heads
    is_cuda = model.device.type == "cuda"
    check_steps(steps, model.device.type)
    if drafts:
        return SpeculativeRunner(
            model,
            drafts[0],
            tokens,
            n_slots,
            heads,
            n_drafted=config.draft_tokens,
            cross_kv=cross_kv,
            has_graphs=steps in {"auto", "graphs"},
        )
    if steps == "plain" or (steps == "auto" and not is_cuda):
        return ModelRunner(model, tokens, n_slots, heads, cross_kv=cross_kv)
    return StaticRunner(model, tokens, n_slots, heads, cross_kv=cross_kv, has_graphs=steps != "static")
