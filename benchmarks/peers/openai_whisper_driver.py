"""openai-whisper; see `ifw.benchmark.driver_main`."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
import whisper
from safetensors import safe_open
from whisper.decoding import DecodingOptions, DecodingTask, LogitFilter
from whisper.model import ModelDimensions, Whisper

PARTS = {
    "embed_positions.weight": "positional_embedding",
    "embed_tokens": "token_embedding",
    "layers": "blocks",
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "final_layer_norm": "mlp_ln",
    "self_attn": "attn",
    "encoder_attn": "cross_attn",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "out_proj": "out",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "encoder.layer_norm": "encoder.ln_post",
    "decoder.layer_norm": "decoder.ln",
}


class Driver:
    """Decodes windows with `whisper.decoding`."""

    stages = ("decode", "mel")

    def __init__(self, job: dict[str, Any]) -> None:
        torch.set_num_threads(job["n_threads"])
        self._job = job
        self.versions = {"openai-whisper": whisper.__version__, "torch": torch.__version__}
        if not job["checkpoint"]:
            return  # the front end needs none
        self._is_half = job["setup"]["compute_type"] == "float16"
        model = load(Path(job["checkpoint"]), model_dimensions(job["dims"]))
        model = model.to(job["device"])
        self._model = (model.half() if self._is_half else model).eval()
        self._mel = np.load(job["mel"], mmap_mode="r")

    @torch.inference_mode()
    def decode(self, batch: int, windows: list[int], lengths: list[int]) -> dict[str, Any]:
        """Decode windows, so many at once, each to its number of tokens; a batch lasts as long as its longest row."""
        tokens: list[list[int]] = []
        encode_s = 0.0
        for first in range(0, len(windows), batch):
            part, ends = windows[first : first + batch], lengths[first : first + batch]
            started = perf_counter()
            mel = torch.from_numpy(np.array(self._mel[part])).to(self._model.device)
            encoded = self._model.embed_audio(mel.half() if self._is_half else mel)
            if encoded.device.type == "cuda":
                torch.cuda.synchronize()
            encode_s += perf_counter() - started
            task = DecodingTask(self._model, self._options(max(ends)))
            task.logit_filters.append(ForcedLengths(ends, task.sample_begin, task.tokenizer.eot))
            results = task.run(encoded)
            tokens += [result.tokens for result in results]
        return {"tokens": tokens, "stages": {"encode_s": encode_s}}

    def transcribe(self, recordings: list[dict[str, Any]], batch: int, together: bool) -> dict[str, Any]:
        """Files to text, one window after the other."""
        del batch, together
        started, counts, ends = perf_counter(), [], []
        for recording in recordings:
            result = self._model.transcribe(
                recording["path"],
                language="en",
                temperature=0.0,
                compression_ratio_threshold=None,
                logprob_threshold=None,
                no_speech_threshold=None,
                condition_on_previous_text=False,
                sample_len=recording["n_tokens"],
                without_timestamps=True,
                suppress_blank=False,
                suppress_tokens=list(self._job["suppress_tokens"]),
                fp16=self._is_half,
            )
            counts.append(sum(len(segment["tokens"]) for segment in result["segments"]))
            ends.append(perf_counter() - started)
        return {"counts": counts, "ends_s": ends}

    def front_end(self, stage: str, audio: str, samples: str) -> int:
        """Do one stage: `decode` the file `audio`, or `mel` over `samples`, a numpy file; it hears no voices."""
        if stage == "decode":
            return len(whisper.load_audio(audio))
        assert stage == "mel"
        heard = np.load(samples)
        windows = [heard[first : first + 480_000] for first in range(0, len(heard), 480_000)]
        return sum(whisper.log_mel_spectrogram(window).shape[1] for window in windows)

    def _options(self, n_tokens: int) -> DecodingOptions:
        return DecodingOptions(
            language="en",
            temperature=0.0,
            sample_len=n_tokens,
            without_timestamps=True,
            suppress_blank=False,
            suppress_tokens=list(self._job["suppress_tokens"]),
            fp16=self._is_half,
        )


class ForcedLengths(LogitFilter):  # type: ignore[misc] # openai-whisper has no types
    """Only the end once a row has its length."""

    def __init__(self, lengths: list[int], n_prompt: int, eot: int) -> None:
        self._lengths = torch.tensor(lengths)
        self._n_prompt, self._eot = n_prompt, eot
        self._is_uniform = len(set(lengths)) == 1

    def apply(self, logits: torch.Tensor, tokens: torch.Tensor) -> None:
        """Change the logits in place."""
        if self._is_uniform:
            return
        ended = (self._lengths <= tokens.shape[1] - self._n_prompt).to(logits.device)
        logits[ended] = -float("inf")
        logits[ended, self._eot] = 0.0


def model_dimensions(dims: dict[str, int]) -> ModelDimensions:
    """The sizes as openai-whisper names them."""
    return ModelDimensions(
        n_mels=dims["n_mels"],
        n_audio_ctx=dims["n_positions"],
        n_audio_state=dims["d_model"],
        n_audio_head=dims["n_heads"],
        n_audio_layer=dims["n_encoder_layers"],
        n_vocab=dims["n_vocab"],
        n_text_ctx=dims["n_text_positions"],
        n_text_state=dims["d_model"],
        n_text_head=dims["n_heads"],
        n_text_layer=dims["n_decoder_layers"],
    )


def load(checkpoint: Path, dims: ModelDimensions) -> Whisper:
    """The checkpoint with the names that openai-whisper gives its tensors."""
    model = Whisper(dims)
    with safe_open(checkpoint / "model.safetensors", framework="pt") as file:
        weights = {renamed(name): file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no mapping
    model.load_state_dict(weights)
    return model


def renamed(name: str) -> str:
    """`model.encoder.layers.0.fc1.bias` is `encoder.blocks.0.mlp.0.bias`."""
    name = name.removeprefix("model.")
    for part, other in PARTS.items():
        name = name.replace(part, other)
    return name
