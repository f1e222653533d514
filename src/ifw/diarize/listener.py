"""The networks at work: chunks in, who speaks in them and how they sound out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ifw.cancellation import CancelToken
from ifw.constants import HOP_LENGTH, SAMPLE_RATE
from ifw.diarize.arrays import FloatArray
from ifw.diarize.embedding import EmbeddingDims, ResNet
from ifw.diarize.filter_bank import FRAME_SAMPLES, FilterBank
from ifw.diarize.groups import Groups, Heard
from ifw.diarize.native_networks import energies_of, front_of, lstm_of, native_trunk_of
from ifw.diarize.segmentation import SegmentationNetwork
from ifw.diarize.votes import Grid
from ifw.errors import EngineMemoryError
from ifw.model.cores import give_way, use_cores
from ifw.model.memory import is_out_of_memory

# On CPU small networks are faster on several chunks at once, large ones only need more memory.
_TRUNK_BYTES_ON_CPU: Final = 5 << 20  # of one layer
_MOST_ON_CPU: Final = 8  # chunks
_GROUP_ON_CPU: Final = 4  # chunks of large networks


class Listener:
    """Both networks on their device. Holds no state of a recording, so recordings can share it.

    Args:
        segmentation: Who speaks.
        embedding: How they sound.
        step_ratio: Distance of chunks, as a part of their length.
        exclude_overlap: Embeddings hear a speaker where nobody else speaks, if there is enough of that.
        device: Where both run.
        dtype: float32; or the precision, on CUDA, of the convolutions of the embedding network, and on CPU of the LSTM
            of the segmentation network, and of those convolutions where there are no native kernels. All else is
            float32.
        batch_size: Chunks that are heard together, in one pass of a network; on CPU at most, since few fit its caches.

    Attributes:
        chunk_samples: Samples of a chunk.
        step_samples: Samples from one chunk to the next.
        batch_size: Chunks that are heard together, a group.
        grid: When chunks and frames are.
    """

    def __init__(
        self,
        segmentation: SegmentationNetwork,
        embedding: ResNet,
        *,
        step_ratio: float,
        exclude_overlap: bool,
        device: torch.device,
        dtype: torch.dtype,
        batch_size: int,
    ) -> None:
        self._device = device
        self._segmentation = segmentation.to(device)
        self._embedding = embedding.to(device)
        native_trunk: Callable[[Tensor], Tensor] | None = None
        self._front: Callable[[Tensor, int, int], Tensor] = segmentation.sincnet.features
        self._lstm: Callable[[Tensor], Tensor] = segmentation.hidden
        if device.type == "cpu":
            self._front = front_of(segmentation.sincnet)
            native_trunk = native_trunk_of(embedding)
            segmentation.lstm.to(dtype)
            self._lstm = lstm_of(segmentation)
        if native_trunk is None:
            for name, part in embedding.named_children():
                if name != "seg_1":
                    part.to(dtype)
        self._trunk = native_trunk or embedding.trunk
        embedding.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch leaves it out
        self._filter_bank: Callable[[Tensor], Tensor] = FilterBank(embedding.dims.n_mels, device)
        if device.type == "cpu":
            self._filter_bank = energies_of(self._filter_bank)
        self._exclude_overlap = exclude_overlap
        step_s = step_ratio * segmentation.dims.chunk_s
        self.chunk_samples = segmentation.dims.chunk_samples
        self.step_samples = round(step_s * SAMPLE_RATE)
        sincnet = segmentation.sincnet
        self.grid = Grid(
            chunk_s=segmentation.dims.chunk_s,
            step_s=step_s,
            frame_s=sincnet.frame_samples / SAMPLE_RATE,
            frame_step_s=sincnet.step_samples / SAMPLE_RATE,
            n_frames=segmentation.n_frames,
        )
        # The least that an embedding can be made of: one frame of the filter bank.
        self._min_frames = math.ceil(segmentation.n_frames * FRAME_SAMPLES / self.chunk_samples)
        self.batch_size = self._trunk_batch = batch_size
        if device.type == "cpu":
            fitting = _chunks_at_once(embedding.dims, self.chunk_samples)
            self._trunk_batch = min(fitting, batch_size)
            self.batch_size = min(max(_GROUP_ON_CPU, fitting), batch_size)
        self._pool: ThreadPoolExecutor | None = None

    @property
    def n_at_once(self) -> int:
        """How many groups to hear at once: on CPU as many as torch has threads in the calling thread."""
        return torch.get_num_threads() if self._device.type == "cpu" else 1

    def begin(self, samples: FloatArray, cancel: CancelToken) -> Future[Heard]:
        """Have a group of chunks heard by another thread; recordings share those.

        On CPU each group is heard on one core, so that threads do not wait for each other, and their number changes no
        bit of the result; and other threads of the process go first. Whoever begins `n_at_once` of them waits for one
        before the next.

        Args:
            samples: [n] float32: the first chunk, and a step more for each other. They must not change.
            cancel: Ends it, if the group is not being heard yet.

        Returns:
            Holds what was heard, `CancelledError`, or `EngineMemoryError` where the device has no room.
        """
        if self._pool is None:
            is_cpu = self._device.type == "cpu"
            self._pool = ThreadPoolExecutor(
                os.cpu_count() if is_cpu else 1, "ifw-voices", initializer=_work_beside if is_cpu else None
            )
        return self._pool.submit(self._hear_unless_cancelled, samples, cancel)

    def hear(self, samples: FloatArray, cancel: CancelToken | None = None) -> Heard:
        """Hear chunks that follow one another, any number of them, and wait until all are heard.

        Args:
            samples: [n] float32: the first chunk, and a step more for each other.
            cancel: On CPU ends it as soon as the groups are done that are being heard.

        Raises:
            CancelledError: `cancel` was cancelled.
            EngineMemoryError: The device has no room for what is heard at once.
        """
        groups = Groups(self, cancel or CancelToken())
        n_chunks = 1 + (len(samples) - self.chunk_samples) // self.step_samples
        heard = []
        for first in range(0, n_chunks, self.batch_size):
            n_more = min(self.batch_size, n_chunks - first) - 1
            start = first * self.step_samples
            groups.begin(samples[start : start + self.chunk_samples + n_more * self.step_samples])
            heard += groups.done()
        heard += groups.rest()
        speech, embeddings = zip(*heard, strict=True)
        return np.concatenate(speech), np.concatenate(embeddings)

    def hear_voice(self, samples: FloatArray) -> tuple[FloatArray, int]:
        """Describe the voice of whoever speaks in a chunk.

        Args:
            samples: [n] float32: one chunk.

        Returns:
            [D] how it sounds, and in how many frames there is speech.

        Raises:
            EngineMemoryError: The device has no room.
        """
        with self._bounded_by_memory():
            heard = torch.from_numpy(samples).to(self._device)
            speech = self.segment(heard).amax(2, keepdim=True)  # [1, F, 1]
            return self.embed(heard, speech)[0, 0].cpu().numpy(), int(speech.sum())

    def _hear_unless_cancelled(self, samples: FloatArray, cancel: CancelToken) -> Heard:
        cancel.raise_if_cancelled()
        with self._bounded_by_memory():
            return self._hear_group(samples)

    def _hear_group(self, samples: FloatArray) -> Heard:
        heard = torch.from_numpy(samples).to(self._device)
        speech = self.segment(heard)
        return speech.cpu().numpy(), self.embed(heard, speech).cpu().numpy()

    @contextmanager
    def _bounded_by_memory(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if self._device.type == "cpu":
                what, way_out = "what all threads hear at once", "give fewer threads"
            else:
                what, way_out = f"{self.batch_size} chunks at once", "give a smaller batch_size"
            raise EngineMemoryError(f"diarization: the device has no room for {what}; {way_out}") from error

    @torch.inference_mode()
    def segment(self, heard: Tensor) -> Tensor:
        """Find who speaks: samples of all chunks, [n] on the device, to [C, F, S] uint8."""
        features = self._front(heard, self.chunk_samples, self.step_samples)
        return self._segmentation.speech(self._lstm(features))

    @torch.inference_mode()
    def embed(self, heard: Tensor, speech: Tensor) -> Tensor:
        """Embed those who speak: the trunk hears each chunk once, and none in which nobody speaks.

        Args:
            heard: [n] samples of all chunks, on the device.
            speech: [C, F, S] uint8, 1 where a local speaker speaks.

        Returns:
            [C, S, D].
        """
        speech = speech.transpose(1, 2)
        embeddings = self._embedding.silent.repeat(*speech.shape[:2], 1)
        spoken = torch.nonzero(speech.any(2).any(1)).flatten()
        if not len(spoken):
            return embeddings
        energies = self._energies(heard)
        weights = self._weights(speech).float()
        for chunks in torch.split(spoken, self._trunk_batch):
            part = energies[chunks]
            features = self._trunk(part - part.mean(1, keepdim=True))
            embeddings[chunks] = self._embedding.embed(features, weights[chunks])
        return embeddings

    def _energies(self, heard: Tensor) -> Tensor:
        """[C, frames, n_mels] of each chunk; where they overlap, computed once."""
        if self.step_samples % HOP_LENGTH:
            return self._filter_bank(heard.unfold(0, self.chunk_samples, self.step_samples))
        n_frames = 1 + (self.chunk_samples - FRAME_SAMPLES) // HOP_LENGTH
        return self._filter_bank(heard).unfold(0, n_frames, self.step_samples // HOP_LENGTH).transpose(1, 2)

    def _weights(self, speech: Tensor) -> Tensor:
        """[C, S, F] the frames that describe each speaker: alone, if that is enough, else all."""
        if not self._exclude_overlap:
            return speech
        alone = speech * (speech.sum(1, keepdim=True) < 2)
        is_enough = alone.sum(2, keepdim=True) > self._min_frames
        return torch.where(is_enough, alone, speech)


def _chunks_at_once(dims: EmbeddingDims, chunk_samples: int) -> int:
    """How many chunks the embedding network hears in one pass on CPU."""
    layer_bytes = 4 * dims.n_channels * dims.n_mels * chunk_samples // HOP_LENGTH
    return max(1, min(_TRUNK_BYTES_ON_CPU // layer_bytes, _MOST_ON_CPU))


def _work_beside() -> None:
    use_cores(1)
    give_way()
