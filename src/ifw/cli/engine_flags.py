"""The flags that say how the engine uses its device."""

from __future__ import annotations

from typing import Annotated

import typer

from ifw.cli.flags import ComputeTypeName
from ifw.config import MAX_DRAFT_TOKENS, EngineConfig
from ifw.config import CrossKv as CrossKvName
from ifw.config import Device as DeviceName
from ifw.config import EncoderProducts as EncoderProductsName
from ifw.config import Steps as StepsName

DEFAULTS = EngineConfig()

Steps = Annotated[
    StepsName,
    typer.Option(
        "--steps",
        help="How decode steps are carried out: plain, static (on buffers that stay, read one step late) or, on CUDA, "
        "graphs. auto is graphs on CUDA, else plain. The text is the same.",
    ),
]
CrossKv = Annotated[
    CrossKvName,
    typer.Option(
        "--cross-kv",
        help="How keys and values of the audio are kept: same as the other numbers, or in 8 bits, which rounds (float8 "
        "more than int8) and halves what a step reads; on CPU only int8 saves time. auto is int8 with compute type "
        "int8, else same.",
    ),
]
EncoderProducts = Annotated[
    EncoderProductsName,
    typer.Option(
        "--encoder-products",
        help="How the encoder multiplies: same as the compute type says, or in 8 bits, which rounds; for CUDA: int8 "
        "from compute capability 8.0 on, float8 from 9.0 on.",
    ),
]
DraftModel = Annotated[
    str | None,
    typer.Option(
        "--draft-model",
        help="A checkpoint whose decoder proposes tokens to that of --model, which checks several at once: the text is "
        "the same. Both share the encoder, as distil-large-v3 and large-v3 do.",
        show_default=False,
    ),
]
DraftTokens = Annotated[
    int,
    typer.Option("--draft-tokens", min=1, max=MAX_DRAFT_TOKENS, help="Tokens that --draft-model proposes at a time."),
]


def engine_config(
    device: DeviceName,
    compute_type: ComputeTypeName,
    batch_size: int | None,
    threads: int,
    *,
    steps: StepsName = DEFAULTS.steps,
    cross_kv: CrossKvName = DEFAULTS.cross_kv,
    encoder_products: EncoderProductsName = DEFAULTS.encoder_products,
    draft_tokens: int = DEFAULTS.draft_tokens,
) -> EngineConfig:
    """What was asked for.

    Raises:
        ConfigError: A value is not allowed.
    """
    return EngineConfig(
        device=device,
        compute_type="auto" if compute_type == "default" else compute_type,
        n_slots=batch_size,
        n_threads=threads or None,
        steps=steps,
        cross_kv=cross_kv,
        encoder_products=encoder_products,
        draft_tokens=draft_tokens,
    )
