"""The public face: a model is loaded once, then samples go in and speaker turns come out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch

from ifw.cancellation import CancelToken
from ifw.config import Device, DiarizationOptions, Dtype
from ifw.constants import SAMPLE_RATE
from ifw.diarize.arrays import FloatArray
from ifw.diarize.assembly import Assembler
from ifw.diarize.listener import Listener
from ifw.diarize.native_networks import has_bfloat16
from ifw.diarize.networks import build_embedding, build_segmentation
from ifw.diarize.pipeline_config import PipelineConfig, VbxSettings, read_config
from ifw.diarize.places import DEFAULT_MODEL, NETWORK_FILES, PLDA_FILES, find_part, find_pipeline
from ifw.diarize.plda import Plda
from ifw.diarize.stream import DiarizationStream, check_samples
from ifw.diarize.turns import Diarization
from ifw.diarize.weights_file import read_network
from ifw.errors import ConfigError, ModelFormatError

_BLOCK_SAMPLES: Final = 60 * SAMPLE_RATE
_BATCH_SIZES: Final = {"cpu": 64, "cuda": 128}  # chunks
_MAX_BATCH: Final = 4096


class Diarizer:
    """Tells speakers apart. Load it once; several threads may use it, each with its own recording.

    Args:
        model: A hub id (`pyannote/speaker-diarization-community-1`, `pyannote/speaker-diarization-3.1`), a folder of
            that layout, or `demo`, which is bundled and knows synthetic voices only. Nothing in it is executed.
        device: `cpu`, `cuda`, or `auto`.
        dtype: Half precision is that of the embedding network's convolutions on CUDA, and on CPU that of the
            segmentation network's LSTM, and of those convolutions where there are no native kernels for them; all else
            is float32. `auto` is float16 on CUDA; on CPU float32, or bfloat16 where the pipeline wants that
            (`ifw: {dtype: bfloat16}` in its `config.yaml`, as the bundled one) and the processor multiplies it.
        batch_size: Chunks (10 s each) that are heard in one pass; on CPU at most, since few fit its caches. None
            chooses by the device.

    Raises:
        ConfigError: An argument is not allowed.
        ModelNotFoundError: Nothing has this name.
        ModelGatedError: The hub wants accepted conditions and a token; the message has the page and says what to do.
        ModelOfflineError: The model is not cached, and the hub cannot be reached or must not be.
        ModelFormatError: A file lacks, or holds something else.
        ModelUnsafeError: A checkpoint names code that has no place in it.

    Example:
        >>> diarizer = Diarizer("pyannote/speaker-diarization-community-1")  # doctest: +SKIP
        >>> diarizer.diarize(samples, DiarizationOptions(max_speakers=4)).turns[0]  # doctest: +SKIP
        SpeakerTurn(start_s=0.43, end_s=3.21, speaker='SPEAKER_00')
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        *,
        device: Device = "auto",
        dtype: Dtype = "auto",
        batch_size: int | None = None,
    ) -> None:
        place = _resolve_device(device)
        _check_dtype(dtype, place)
        if batch_size is None:
            batch_size = _BATCH_SIZES[place.type]
        if type(batch_size) is not int or not 1 <= batch_size <= _MAX_BATCH:
            raise ConfigError(f"batch_size: got {batch_size!r}, allowed: None or an integer, 1 to {_MAX_BATCH}")
        folder = find_pipeline(model)
        config = read_config(folder)
        segmentation = build_segmentation(read_network(find_part(config.segmentation, NETWORK_FILES)))
        embedding = build_embedding(read_network(find_part(config.embedding, NETWORK_FILES)))
        plda = None
        if isinstance(config.clustering, VbxSettings):
            plda = Plda(find_part(config.clustering.plda, PLDA_FILES))
        if plda is not None and plda.width != embedding.dims.width:
            raise ModelFormatError(
                f"{folder}: got a PLDA for embeddings of length {plda.width}, "
                f"allowed: {embedding.dims.width}, as the embedding network gives them"
            )
        self._listener = Listener(
            segmentation,
            embedding,
            step_ratio=config.step_ratio,
            exclude_overlap=config.exclude_overlap,
            device=place,
            dtype=getattr(torch, _default_dtype(config, place) if dtype == "auto" else dtype),
            batch_size=batch_size,
        )
        self._assembler = Assembler(
            self._listener.grid, config.clustering, plda, config.min_duration_off_s, config.votes_by_margin
        )

    def diarize(
        self,
        samples: FloatArray,
        options: DiarizationOptions | None = None,
        *,
        on_progress: Callable[[float], None] | None = None,
        cancel: CancelToken | None = None,
    ) -> Diarization:
        """Tell who speaks when in a whole recording.

        Args:
            samples: [n] float32 mono, 16 kHz.
            options: How many speakers there may be.
            on_progress: Is called with the seconds of audio that were heard so far.
            cancel: Ends the work from outside.

        Returns:
            The turns; none where nobody speaks.

        Raises:
            ShapeError: `samples` is not one-dimensional float32.
            CancelledError: The token was cancelled.
            EngineMemoryError: The device has no room.
        """
        stream = self.stream(options, on_progress=on_progress, cancel=cancel)
        check_samples(samples)
        for start in range(0, len(samples), _BLOCK_SAMPLES):
            stream.feed(samples[start : start + _BLOCK_SAMPLES])
        return stream.finish()

    def stream(
        self,
        options: DiarizationOptions | None = None,
        *,
        on_progress: Callable[[float], None] | None = None,
        cancel: CancelToken | None = None,
    ) -> DiarizationStream:
        """Begin with a recording whose samples arrive in blocks; the arguments are those of `diarize`."""
        if options is None:
            options = DiarizationOptions()
        if not isinstance(options, DiarizationOptions):
            raise ConfigError(f"options: got {options!r}, allowed: DiarizationOptions or None")
        return DiarizationStream(self._listener, self._assembler, options, on_progress=on_progress, cancel=cancel)

    def embed(self, samples: FloatArray) -> FloatArray:
        """Describe the voice of a clip in which one person speaks.

        Args:
            samples: [n] float32 mono, 16 kHz. Of a clip of more than 10 s the last part that fills no 10 s is not
                heard.

        Returns:
            [D] float32, to be compared with `Diarization.embeddings`, as `ifw.diarize.known_speakers` does. All zeros
            where nobody speaks.

        Raises:
            ShapeError: `samples` is not one-dimensional float32.
            EngineMemoryError: The device has no room.
        """
        check_samples(samples)
        heard = [self._listener.hear_voice(chunk) for chunk in _whole_chunks(samples, self._listener.chunk_samples)]
        n_frames = sum(n for _, n in heard)
        weighted: FloatArray = sum((voice * np.float32(n / max(n_frames, 1)) for voice, n in heard), np.float32(0))
        return weighted


def _whole_chunks(samples: FloatArray, chunk_samples: int) -> list[FloatArray]:
    """One chunk after the other; a shorter recording is repeated until it fills one, so that no silence is heard."""
    n_chunks = max(1, len(samples) // chunk_samples)
    return np.split(np.resize(samples, n_chunks * chunk_samples), n_chunks)


def _resolve_device(device: str) -> torch.device:
    has_cuda = torch.cuda.is_available()
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device: got {device!r}, allowed: auto, cpu, cuda")
    if device == "cuda" and not has_cuda:
        raise ConfigError("device: got 'cuda', but torch sees no CUDA device here; use 'auto' or 'cpu'")
    if device == "auto":
        device = "cuda" if has_cuda else "cpu"
    return torch.device(device)


def _check_dtype(dtype: str, device: torch.device) -> None:
    if dtype not in ("auto", "float32", "bfloat16", "float16"):
        raise ConfigError(f"dtype: got {dtype!r}, allowed: auto, float32, bfloat16, float16")
    if device.type == "cpu" and dtype == "float16":
        raise ConfigError(
            "dtype: got 'float16', allowed on 'cpu': 'float32' or 'bfloat16'; float16 is far slower there"
        )


def _default_dtype(config: PipelineConfig, device: torch.device) -> str:
    if device.type == "cuda":
        return "float16"
    return config.dtype if has_bfloat16() else "float32"
