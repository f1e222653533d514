"""What people call the library's parameters on the command line: error messages speak of flags."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_FLAG_OF: Final[Mapping[str, str]] = MappingProxyType(
    {
        "model": "--model",
        "language": "--language",
        "mode": "--task",
        "preset": "--preset",
        "initial_prompt": "--initial-prompt",
        "hotwords": "--hotwords",
        "condition_on_previous_text": "--condition-on-previous-text",
        "multilingual": "--multilingual",
        "beam_size": "--beam-size",
        "best_of": "--best-of",
        "word_timestamps": "--word-timestamps",
        "token_logprobs": "--token-logprobs",
        "temperatures": "--temperature",
        "compression_ratio_threshold": "--compression-ratio-threshold",
        "logprob_threshold": "--logprob-threshold",
        "no_speech_threshold": "--no-speech-threshold",
        "seed": "--seed",
        "clip": "--clip",
        "channels": "--channels",
        "diarize": "--diarize",
        "num_speakers": "--num-speakers",
        "min_speakers": "--min-speakers",
        "max_speakers": "--max-speakers",
        "onset": "--vad-onset",
        "offset": "--vad-offset",
        "min_speech_ms": "--vad-min-speech-ms",
        "min_silence_ms": "--vad-min-silence-ms",
        "pad_ms": "--vad-pad-ms",
        "max_window_s": "--chunk-size",
        "max_line_width": "--max-line-width",
        "max_line_count": "--max-line-count",
        "max_words_per_line": "--max-words-per-line",
        "highlight_words": "--highlight-words",
        "min_cue_s": "--min-cue-s",
        "layout": "--cue-layout",
        "device": "--device",
        "compute_type": "--compute-type",
        "n_slots": "--batch-size",
        "n_threads": "--threads",
        "steps": "--steps",
        "cross_kv": "--cross-kv",
        "encoder_products": "--encoder-products",
        "draft_model": "--draft-model",
        "draft_tokens": "--draft-tokens",
    }
)


def in_flags(message: str) -> str:
    """Put the flag for the name of the library's parameter with which a message begins."""
    name, colon, rest = message.partition(": ")
    return f"{_FLAG_OF.get(name, name)}{colon}{rest}"
