"""How many windows and tokens a second the engine decodes, by number of slots.

    python benchmarks/engine_throughput.py --size base --slots 1 4 8 16 --threads 2

Random weights of a published size, distinct windows of noise, the end suppressed so that every window has exactly the
tokens asked for (`--skewed`: half to twice as many). Mel, encoder and decoder are in the figures; audio decoding and
voice detection are not. Every number of slots has its own warm engine; rounds go there and back, A B C C B A, and the
median counts. On a busy machine trust the CPU seconds, not the wall seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

import ifw
from ifw.config import DecodeOptions, EngineConfig
from ifw.constants import WINDOW_S, WINDOW_SAMPLES
from ifw.engine.device import resolve_config
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest
from ifw.model.checkpoint import Checkpoint, load_checkpoint
from ifw.model.compute_type import DTYPES, ops_for
from ifw.model.dims import ModelDims
from ifw.model.languages import LANGUAGES
from ifw.model.random_weights import random_whisper
from ifw.model.tokenizer import N_TIMESTAMPS, WhisperTokenizer

SIZES = {  # mels, width, heads, encoder layers, decoder layers
    "tiny": (80, 384, 6, 4, 4),
    "base": (80, 512, 8, 6, 6),
    "small": (80, 768, 12, 12, 12),
    "medium": (80, 1024, 16, 24, 24),
    "large-v3": (128, 1280, 20, 32, 32),
    "turbo": (128, 1280, 20, 32, 4),
}
N_TEXT = 50_257


def random_checkpoint(size: str) -> Checkpoint:
    """A checkpoint of a published size, with that of the real vocabulary and meaningless text tokens."""
    n_mels, d_model, n_heads, n_encoder_layers, n_decoder_layers = SIZES[size]
    special = ["endoftext", "startoftranscript", *list(LANGUAGES)[: 100 if n_mels == 128 else 99]]
    special += ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
    vocab = {f"t{token}": token for token in range(N_TEXT)}
    vocab |= {f"<|{name}|>": N_TEXT + index for index, name in enumerate(special)}
    demo = load_checkpoint(Path(ifw.__file__).parent / "demo", size)
    dims = ModelDims(
        n_mels=n_mels,
        n_vocab=len(vocab) + N_TIMESTAMPS,
        d_model=d_model,
        n_heads=n_heads,
        n_encoder_layers=n_encoder_layers,
        n_decoder_layers=n_decoder_layers,
        encoder_ffn=4 * d_model,
        decoder_ffn=4 * d_model,
    )
    tokenizer = WhisperTokenizer(demo.tokenizer._plain, vocab, frozenset(), is_multilingual=True)
    generation = replace(
        demo.generation,
        suppress_tokens=(),
        begin_suppress_tokens=(220, N_TEXT),
        lang_to_id=tokenizer.language_ids,
    )
    return replace(demo, dims=dims, tokenizer=tokenizer, generation=generation)


def make_requests(arguments: argparse.Namespace, eot: int) -> list[DecodeRequest]:
    """The windows of one round; the same in every round."""
    random = np.random.default_rng(0)
    requests = []
    for _ in range(arguments.windows):
        n_tokens = round(arguments.tokens * random.uniform(0.5, 2)) if arguments.skewed else arguments.tokens
        options = DecodeOptions(
            temperatures=(0.0,), timestamps=arguments.timestamps, max_tokens=n_tokens, suppress_tokens=(eot,)
        )
        samples = (0.1 * random.standard_normal(WINDOW_SAMPLES)).astype(np.float32)
        requests.append(DecodeRequest(samples=samples, language="en", options=options))
    return requests


@dataclass(frozen=True)
class Round:
    """What one pass over all windows took."""

    wall_s: float
    cpu_s: float
    encode_s: float
    decode_s: float
    n_steps: int
    n_tokens: int


def run_round(engine: Engine, requests: list[DecodeRequest]) -> Round:
    """Decode all windows once."""
    before = engine.stats()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    futures = [engine.submit(replace(request, request_id=str(index))) for index, request in enumerate(requests)]
    for future, request in zip(futures, requests, strict=True):
        assert len(future.result().token_ids) == request.options.max_tokens
    after = engine.stats()
    return Round(
        wall_s=time.perf_counter() - wall_s,
        cpu_s=time.process_time() - cpu_s,
        encode_s=after.encode_s - before.encode_s,
        decode_s=after.decode_s - before.decode_s,
        n_steps=after.n_steps - before.n_steps,
        n_tokens=after.n_tokens - before.n_tokens,
    )


def print_row(n_slots: int, rounds: list[Round], n_windows: int) -> None:
    """One number of slots: medians over the rounds."""
    middle = {field.name: statistics.median(getattr(r, field.name) for r in rounds) for field in fields(Round)}
    wall_s = middle["wall_s"]
    columns = [
        f"{n_slots:5d}",
        f"{n_windows / wall_s:9.2f}",
        f"{middle['n_tokens'] / wall_s:9.0f}",
        f"{n_windows * WINDOW_S / wall_s:7.1f}",
        f"{middle['cpu_s'] / n_windows:10.3f}",
        f"{1e3 * middle['encode_s'] / n_windows:11.1f}",
        f"{1e3 * middle['decode_s'] / n_windows:11.1f}",
        f"{1e3 * middle['decode_s'] / max(middle['n_steps'], 1):8.2f}",
    ]
    print(" ".join(columns))


def main() -> None:
    """Print a row for each number of slots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--skewed", action="store_true")
    parser.add_argument("--timestamps", action="store_true")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compute-type", default="auto")
    parser.add_argument("--no-kernels", action="store_true", help="torch's operations alone")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()

    config = resolve_config(
        EngineConfig(device=arguments.device, compute_type=arguments.compute_type, n_threads=arguments.threads)
    )
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    checkpoint = random_checkpoint(arguments.size)
    device = torch.device(config.device)
    ops = None if arguments.no_kernels else ops_for(device, config.compute_type)
    model = random_whisper(checkpoint.dims, 0, device, DTYPES[config.compute_type], ops)
    requests = make_requests(arguments, checkpoint.tokenizer.eot)
    rounds: dict[int, list[Round]] = {n_slots: [] for n_slots in arguments.slots}
    engines = {n_slots: Engine(model, checkpoint, replace(config, n_slots=n_slots)) for n_slots in arguments.slots}
    for engine in engines.values():
        run_round(engine, requests[:2])
    for index in range(arguments.rounds):
        for n_slots in arguments.slots if index % 2 == 0 else reversed(arguments.slots):
            rounds[n_slots].append(run_round(engines[n_slots], requests))
    for engine in engines.values():
        engine.close()

    n_threads = torch.get_num_threads()
    print(f"{arguments.size}, {config.compute_type}, {config.device}, {n_threads} threads, torch {torch.__version__}")
    print("slots windows/s  tokens/s  x-real cpu-s/win. enc-ms/win. dec-ms/win.  ms/step")
    for n_slots, measured in rounds.items():
        print_row(n_slots, measured, arguments.windows)


if __name__ == "__main__":
    main()
