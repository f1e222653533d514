"""faster-whisper on CTranslate2; see `ifw.benchmark.driver_main`.

`decode` calls CTranslate2 as faster-whisper's batched pipeline does, without the pipeline's own work: greedy, features
given. A set-up with several workers is called from as many threads, which is how CTranslate2 is fastest on CPU.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import ctranslate2
import faster_whisper
import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.vad import VadOptions, get_speech_timestamps


class Driver:
    """Decodes windows with CTranslate2."""

    stages = ("decode", "vad", "mel")

    def __init__(self, job: dict[str, Any]) -> None:
        self._job, setup = job, job["setup"]
        self.versions = {"faster-whisper": faster_whisper.__version__, "ctranslate2": ctranslate2.__version__}
        if not job["checkpoint"]:
            return  # the front end needs none
        self._n_workers = setup.get("workers", 1)
        device = "cpu" if job["device"] == "cpu" else "cuda"
        self._whisper = faster_whisper.WhisperModel(
            str(converted(Path(job["checkpoint"]))),
            device=device,
            compute_type=setup["compute_type"],
            cpu_threads=max(1, job["n_threads"] // self._n_workers),
            num_workers=self._n_workers,
        )
        self._model = self._whisper.model
        self._mel = np.load(job["mel"], mmap_mode="r")
        self._pool = ThreadPoolExecutor(self._n_workers)

    def decode(self, batch: int, windows: list[int], lengths: list[int]) -> dict[str, Any]:
        """Decode windows, so many at once; CTranslate2 knows one number of tokens for all."""
        (n_tokens,) = set(lengths)
        batches = [windows[first : first + batch] for first in range(0, len(windows), batch)]
        ended = list(self._pool.map(lambda part: self._decode_batch(part, n_tokens), batches))
        stages = {} if self._n_workers > 1 else {"encode_s": sum(one[1] for one in ended)}
        return {"tokens": [tokens for one in ended for tokens in one[0]], "stages": stages}

    def _decode_batch(self, windows: list[int], n_tokens: int) -> tuple[list[list[int]], float]:
        started = perf_counter()
        features = ctranslate2.StorageView.from_array(np.ascontiguousarray(self._mel[windows]))
        encoded = self._model.encode(features)
        encode_s = perf_counter() - started
        prompt = self._job["prompt"]
        results = self._model.generate(
            encoded,
            [prompt] * len(windows),
            beam_size=1,
            max_length=2 * n_tokens,  # it decodes half of it: min(max_length / 2, max_length - prompt)
            suppress_blank=False,
            suppress_tokens=self._job["suppress_tokens"],
        )
        return [result.sequences_ids[0] for result in results], encode_s

    def transcribe(self, recordings: list[dict[str, Any]], batch: int, together: bool) -> dict[str, Any]:
        """Files to text through the batched pipeline, which takes one file at a time."""
        del together
        pipeline = faster_whisper.BatchedInferencePipeline(self._whisper)
        started, counts, ends = perf_counter(), [], []
        for recording in recordings:
            starts = [0.0, *recording["ends_s"]]
            segments, _ = pipeline.transcribe(
                recording["path"],
                language="en",
                beam_size=1,
                temperature=0.0,
                batch_size=batch,
                vad_filter=False,
                clip_timestamps=[{"start": start, "end": end} for start, end in pairwise(starts)],
                without_timestamps=True,
                suppress_blank=False,
                suppress_tokens=self._job["suppress_tokens"],
                max_new_tokens=2 * recording["n_tokens"] + 2 - len(self._job["prompt"]),  # as in `decode`, less one
            )
            counts.append(sum(len(segment.tokens) for segment in segments))
            ends.append(perf_counter() - started)
        return {"counts": counts, "ends_s": ends}

    def front_end(self, stage: str, audio: str, samples: str) -> int:
        """Do one stage: `decode` the file `audio`, or `vad` or `mel` over `samples`, a numpy file."""
        if stage == "decode":
            return len(faster_whisper.decode_audio(audio))
        heard = np.load(samples)
        if stage == "vad":
            return len(get_speech_timestamps(heard, VadOptions(max_speech_duration_s=30, min_silence_duration_ms=160)))
        extract = FeatureExtractor()
        return sum(extract(heard[first : first + 480_000]).shape[1] for first in range(0, len(heard), 480_000))


def converted(checkpoint: Path) -> Path:
    """The checkpoint in CTranslate2's format, beside the original."""
    target = checkpoint.with_name(f"{checkpoint.name}-ctranslate2")
    if not target.is_dir():
        from ctranslate2.converters import TransformersConverter  # noqa: PLC0415 - needs torch, which decoding does not

        partial = target.with_name(f"{target.name}.partial")
        files = ["tokenizer.json", "preprocessor_config.json"]
        TransformersConverter(str(checkpoint), copy_files=files).convert(
            str(partial), quantization="float32", force=True
        )
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    return target
