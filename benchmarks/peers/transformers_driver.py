"""transformers; see `ifw.benchmark.driver_main`."""

from __future__ import annotations

from itertools import takewhile
from time import perf_counter
from typing import Any

import numpy as np
import torch
import transformers
from transformers import (
    AutoTokenizer,
    LogitsProcessor,
    LogitsProcessorList,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)


class Driver:
    """Decodes windows with `generate`."""

    stages = ("mel",)

    def __init__(self, job: dict[str, Any]) -> None:
        torch.set_num_threads(job["n_threads"])
        transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call] # as transformers has it
        self._job = job
        self.versions = {"transformers": transformers.__version__, "torch": torch.__version__}
        if not job["checkpoint"]:
            return  # the front end needs none
        self._device = torch.device(job["device"])
        self._dtype = getattr(torch, job["setup"]["compute_type"])
        model = WhisperForConditionalGeneration.from_pretrained(
            job["checkpoint"], dtype=self._dtype, attn_implementation="sdpa"
        )
        self._model: Any = model.to(self._device).eval()  # type: ignore[arg-type] # their wrapper hides the method's own
        self._mel = np.load(job["mel"], mmap_mode="r")

    @torch.inference_mode()
    def decode(self, batch: int, windows: list[int], lengths: list[int]) -> dict[str, Any]:
        """Decode windows, so many at once, each to its number of tokens; a batch lasts as long as its longest row."""
        tokens: list[list[int]] = []
        encode_s = 0.0
        for first in range(0, len(windows), batch):
            part, ends = windows[first : first + batch], lengths[first : first + batch]
            started = perf_counter()
            mel = torch.from_numpy(np.array(self._mel[part])).to(self._device, self._dtype)
            encoded = self._model.model.encoder(mel)
            self._wait()
            encode_s += perf_counter() - started
            tokens += self._generate(mel, encoded, ends)
        return {"tokens": tokens, "stages": {"encode_s": encode_s}}

    @torch.inference_mode()
    def transcribe(self, recordings: list[dict[str, Any]], batch: int, together: bool) -> dict[str, Any]:
        """Files to text through the pipeline, which takes one file at a time; without its strides."""
        del together
        pipe = transformers.pipeline(
            "automatic-speech-recognition",
            model=self._model,
            tokenizer=AutoTokenizer.from_pretrained(self._job["checkpoint"]),
            feature_extractor=WhisperFeatureExtractor.from_pretrained(self._job["checkpoint"]),
            device=self._device,
        )
        started, counts, ends = perf_counter(), [], []
        for recording in recordings:
            n_tokens, n_windows = recording["n_tokens"], len(recording["ends_s"])
            stop = ForcedLengths([n_tokens], len(self._job["prompt"]), self._job["eot"], self._job["suppress_tokens"])
            pipe(
                recording["path"],
                chunk_length_s=recording["ends_s"][0] if n_windows > 1 else 30,
                stride_length_s=0,
                batch_size=min(batch, n_windows),
                generate_kwargs={
                    "language": "en",
                    "task": "transcribe",
                    "max_new_tokens": n_tokens,
                    "logits_processor": LogitsProcessorList([stop]),
                    "do_sample": False,
                    "num_beams": 1,
                },
            )
            counts.append(stop.n_rows)
            ends.append(perf_counter() - started)
        return {"counts": counts, "ends_s": ends}

    def front_end(self, stage: str, audio: str, samples: str) -> int:
        """Compute the log-mel of `samples`, a numpy file; the other stages are not its own."""
        del audio
        assert stage == "mel"
        extract: Any = WhisperFeatureExtractor()  # type: ignore[no-untyped-call] # as transformers has it
        heard = np.load(samples)
        windows = [heard[first : first + 480_000] for first in range(0, len(heard), 480_000)]
        return sum(extract(window, sampling_rate=16_000).input_features[0].shape[1] for window in windows)

    def _generate(self, mel: torch.Tensor, encoded: Any, lengths: list[int]) -> list[list[int]]:
        prompt, n_most = self._job["prompt"], max(lengths)
        stop = ForcedLengths(lengths, len(prompt), self._job["eot"], self._job["suppress_tokens"])
        generated = self._model.generate(
            input_features=mel,
            encoder_outputs=encoded,
            language="en",
            task="transcribe",
            max_new_tokens=n_most,
            logits_processor=LogitsProcessorList([stop]),
            do_sample=False,
            num_beams=1,
            return_timestamps=False,
        )
        rows = [row[len(prompt) :] if len(row) > n_most else row for row in generated.tolist()]
        return [list(takewhile(lambda token: token != self._job["eot"], row)) for row in rows]

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


class ForcedLengths(LogitsProcessor):
    """Only text tokens until a row has its length, then only the end."""

    def __init__(self, lengths: list[int], n_prompt: int, eot: int, suppressed: list[int]) -> None:
        self._lengths = torch.tensor(lengths)
        self._n_prompt, self._eot = n_prompt, eot
        self._suppressed = torch.tensor(suppressed)
        self._is_uniform = len(set(lengths)) == 1
        self.n_rows = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Change the scores in place."""
        self.n_rows += scores.shape[0]
        scores[:, self._suppressed.to(scores.device)] = float("-inf")
        if not self._is_uniform:
            ended = (self._lengths <= input_ids.shape[1] - self._n_prompt).to(scores.device)
            scores[ended] = float("-inf")
            scores[ended, self._eot] = 0.0
        return scores
