"""How far the numbers of each compute type are from float32, and how often the next token is another.

    python benchmarks/compute_types.py build/evalset

The windows are those of an evaluation set (`python -m recipes.demo_model evalset`). Tokens are chosen by float32 and
given to every other compute type, so that each sees the same text before each token.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ifw.audio import decode
from ifw.constants import WINDOW_SAMPLES
from ifw.engine.cache import DecoderCache, KeptKv
from ifw.errors import ConfigError
from ifw.model.checkpoint import load_checkpoint, load_whisper
from ifw.model.mel import log_mel
from ifw.model.registry import resolve_checkpoint
from ifw.model.whisper import Whisper

CPU = torch.device("cpu")
# Name, compute type, and what keys and values of the audio are kept as.
SETUPS: tuple[tuple[str, str, KeptKv], ...] = (
    ("bfloat16", "bfloat16", "same"),
    ("int8, keys and values in bfloat16", "int8", "same"),
    ("int8, as `--cross-kv auto` has it", "int8", "int8"),
)


@dataclass(frozen=True)
class Seen:
    """What a model makes of a window: encoder outputs [S, D], and logits [T, V] behind each token of a text."""

    audio: Tensor
    logits: Tensor


def see(
    model: Whisper,
    mel: Tensor,
    prompt: list[int],
    n_tokens: int,
    *,
    text: list[int] | None = None,
    kept_as: KeptKv = "same",
) -> Seen:
    """Encode a window and decode `text`, or what the model says itself."""
    cache = DecoderCache.allocate(model.dims, 1, CPU, model.dtype, cross_kv=kept_as)
    audio = model.encode(mel)
    model.cross_kv(audio, cache.cross_kv)
    rows, next_ids = [], prompt
    offset = 0
    for step in range(n_tokens):
        hidden = model.decode(
            torch.tensor([next_ids]), torch.tensor([offset]), cache.self_kv, cache.cross_kv, offset + len(next_ids)
        )
        rows.append(model.logits(hidden[:, -1])[0])
        offset += len(next_ids)
        next_ids = [int(rows[-1].argmax()) if text is None else text[step]]
    return Seen(audio[0].float(), torch.stack(rows))


def relative_error(found: Tensor, exact: Tensor) -> float:
    """Length of the difference, by the length of what is right."""
    return float(torch.linalg.vector_norm(found - exact) / torch.linalg.vector_norm(exact))


def main() -> None:
    """Print a row for each compute type."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="evaluation set with a manifest.json")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--windows", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=60)
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(resolve_checkpoint(arguments.model))
    entries = json.loads((arguments.folder / "manifest.json").read_text())
    dense = [entry for entry in entries if entry["kind"].startswith("dense")]
    dense = dense[:: max(1, len(dense) // arguments.windows)][: arguments.windows]
    mel_of = log_mel(checkpoint.dims.n_mels, CPU)
    tokenizer = checkpoint.tokenizer
    exact_model = load_whisper(checkpoint, CPU, "float32")
    models: dict[str, tuple[Whisper, KeptKv]] = {}
    for name, compute_type, kept_as in SETUPS:
        try:
            models[name] = load_whisper(checkpoint, CPU, compute_type), kept_as
        except ConfigError as error:
            print(f"{name}: {error}")
    sums: dict[str, list[float]] = {name: [0.0, 0.0, 0.0] for name in models}
    for entry in dense:
        samples = decode(arguments.folder / entry["file"]).samples[:WINDOW_SAMPLES]
        mel = mel_of([samples])
        prompt = [tokenizer.sot, tokenizer.language_ids[entry["language"]], tokenizer.transcribe]
        exact = see(exact_model, mel, prompt, arguments.tokens)
        text = exact.logits.argmax(-1).tolist()
        for name, (model, kept_as) in models.items():
            found = see(model, mel, prompt, arguments.tokens, text=text, kept_as=kept_as)
            sums[name][0] += relative_error(found.audio, exact.audio)
            sums[name][1] += relative_error(found.logits, exact.logits)
            sums[name][2] += float((found.logits.argmax(-1) != exact.logits.argmax(-1)).float().mean())
    print(f"{arguments.model}, {len(dense)} windows of {arguments.tokens} tokens, torch {torch.__version__}")
    print("| compute type | error of encoder outputs | error of logits | other next token |")
    print("|---|---|---|---|")
    for name, (audio, logits, other) in sums.items():
        n = len(dense)
        print(f"| {name} | {audio / n:.4f} | {logits / n:.4f} | {other / n:.2%} |")


if __name__ == "__main__":
    main()
