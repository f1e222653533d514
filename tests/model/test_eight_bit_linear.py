"""Linear layers that multiply in 8 bits: the numbers are those of whole numbers, and only the encoder has them."""

from __future__ import annotations

from typing import get_args

import pytest
import tiny_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from ifw.audio.whole import decode
from ifw.config import DecodeOptions, EncoderProducts, EngineConfig
from ifw.engine.cache import DecoderCache
from ifw.engine.device import resolve_config
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest
from ifw.errors import ConfigError
from ifw.model.checkpoint import load_whisper
from ifw.model.compute_type import ops_for
from ifw.model.eight_bit_linear import EightBitLinear, Products, eight_bit_encoder, round_rows
from ifw.model.mel import log_mel
from ifw.model.ops import LayerNorm
from ifw.model.ops_choice import choose_ops
from ifw.model.random_weights import random_whisper

CPU = torch.device("cpu")
each_kind = pytest.mark.parametrize("products", get_args(Products))


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer(products: str, n_in: int = 32, n_out: int = 48, *, dtype=torch.float32, norm=None) -> EightBitLinear:
    ops = eight_bit_encoder(choose_ops(CPU, dtype), products, CPU, dtype)
    made = ops.encoder_linear(numbers(n_out, n_in, seed=1).to(dtype), numbers(n_out, seed=2).to(dtype), 8, norm)
    assert isinstance(made, EightBitLinear)
    return made


@given(st.integers(0, 10_000), st.integers(1, 40), st.sampled_from([16, 64, 208]), st.sampled_from([16, 80]))
@settings(max_examples=40, deadline=None)
def test_int8_is_the_sum_of_products_of_whole_numbers(seed, n_rows, n_in, n_out):
    """By other arithmetic: 64-bit integers."""
    linear, x = layer("int8", n_in, n_out), numbers(n_rows, n_in, seed=seed) * (1 + seed % 7)
    scales = x.abs().amax(1) / 127
    rows = torch.round(x / scales[:, None]).long()
    sums = (rows[:, None] * linear.weight.long()).sum(-1)
    assert sums.abs().max() <= 127 * 127 * n_in
    assert torch.equal(linear(x), sums.float() * scales[:, None] * linear.scales + linear.bias)


@given(st.integers(0, 10_000), st.integers(1, 20), st.sampled_from([16, 64, 208]))
@settings(max_examples=30, deadline=None)
def test_float8_is_the_sum_of_products_of_what_is_kept(seed, n_rows, n_in):
    linear, x = layer("float8", n_in), numbers(n_rows, n_in, seed=seed)
    rows, scales = round_rows(x, torch.float8_e4m3fn)
    exact = (rows.double() * scales[:, None].double()) @ (linear.weight.double() * linear.scales[:, None].double()).T
    got = (linear(x) - linear.bias).double()
    assert ((got - exact).abs() <= exact.abs() * 2**-7 + 1e-3).all(), "bfloat16 comes out"


@each_kind
def test_how_far_a_product_is_from_the_exact_one(products):
    weight, x = numbers(256, 512, seed=1), numbers(300, 512)
    linear = eight_bit_encoder(choose_ops(CPU, torch.float32), products, CPU, torch.float32).encoder_linear
    exact = F.linear(x, weight)
    error = float((linear(weight, None, 300)(x) - exact).norm() / exact.norm())
    assert 1e-4 < error < {"int8": 0.015, "float8": 0.045}[products]


@each_kind
def test_norm_gelu_and_residual_are_as_in_other_layers(products):
    norm = LayerNorm(1 + numbers(32, seed=4) / 9, numbers(32, seed=5))
    x, residual = numbers(2, 7, 32), numbers(2, 7, 48, seed=6)
    plain, normed = layer(products), layer(products, norm=norm)
    assert torch.equal(normed(x), plain(norm(x)))
    assert torch.equal(plain(x, gelu=True), F.gelu(plain(x)))
    assert torch.equal(plain(x, residual=residual), plain(x) + residual)
    assert plain(x).shape == (2, 7, 48)
    assert layer(products, dtype=torch.bfloat16)(x.bfloat16()).dtype == torch.bfloat16


@each_kind
def test_a_row_stands_for_itself_also_where_its_neighbour_is_not_finite(products):
    linear, x = layer(products), numbers(20, 32)
    alone = torch.cat([linear(x[index : index + 1]) for index in range(20)])
    assert torch.allclose(linear(x), alone, rtol=0, atol=0 if products == "int8" else 1e-6)
    x[3, 4], x[5, 6] = float("nan"), float("inf")
    got = linear(x)
    assert not torch.isfinite(got[[3, 5]]).any()
    assert torch.equal(got[6:], linear(numbers(20, 32))[6:])


def test_rows_of_zeros_and_rows_beside_large_ones():
    x = torch.stack((torch.zeros(32), numbers(32), numbers(32, seed=9) * 1e5))
    for products in get_args(Products):
        linear = layer(products)
        assert torch.equal(linear(x)[0], linear.bias)
        assert torch.equal(linear(x)[1], linear(x[1:2])[0])


@each_kind
def test_only_the_blocks_of_the_encoder_multiply_in_8_bits(products):
    sizes = tiny_models.dims(layers=(2, 2), d_model=64, n_heads=1)
    model = random_whisper(sizes, 0, ops=ops_for(CPU, "float32", products))
    plain = random_whisper(sizes, 0, ops=ops_for(CPU, "float32"))
    for block in model.encoder_layers:
        for name in ("qkv", "attention_out", "mlp_in", "mlp_out"):
            assert getattr(block, name).weight.dtype == {"int8": torch.int8, "float8": torch.float8_e4m3fn}[products]
    products_of_keys = [getattr(out, "linear", None) or out.values for out in model.cross_kv_out]
    others = (model.conv1.linear, model.output, *products_of_keys, model.decoder_layers[0].self_qkv)
    assert not any(isinstance(one, EightBitLinear) for one in others)
    mel = numbers(1, sizes.n_mels, 3000)
    exact = plain.encode(mel)
    assert 0 < float((model.encode(mel) - exact).norm() / exact.norm()) < {"int8": 0.03, "float8": 0.1}[products]
    assert model.ops.encoder_products == products


def test_sizes_that_do_not_suit_the_products_are_left_alone():
    ops = eight_bit_encoder(choose_ops(CPU, torch.float32), "int8", CPU, torch.float32)
    odd = ops.encoder_linear(numbers(48, 40), None, 8)
    assert not isinstance(odd, EightBitLinear)
    assert torch.allclose(odd(numbers(3, 40)), F.linear(numbers(3, 40), numbers(48, 40)), atol=1e-4)


def demo_logits(products: EncoderProducts) -> torch.Tensor:
    checkpoint = tiny_models.demo_checkpoint()
    samples = [decode(tiny_models.DEMO / "sample.mp3").samples[: 30 * 16_000]]
    tokens = checkpoint.tokenizer.encode(" Good morning. The letter is here, and the train leaves at noon.")
    fed = torch.tensor([[checkpoint.tokenizer.sot, *tokens]])
    model = load_whisper(checkpoint, "cpu", "float32", products)
    cache = DecoderCache.allocate(checkpoint.dims, 1, CPU, model.dtype)
    with torch.inference_mode():
        model.cross_kv(model.encode(log_mel(checkpoint.dims.n_mels, CPU)(samples)), cache.cross_kv)
        offsets = torch.zeros(1, dtype=torch.int64)
        return model.logits(model.decode(fed, offsets, cache.self_kv, cache.cross_kv, n_keys=fed.shape[1]))


def test_how_far_the_logits_of_real_speech_move():
    exact = demo_logits("same")
    errors = {name: float((demo_logits(name) - exact).norm() / exact.norm()) for name in get_args(Products)}
    assert 0 < errors["int8"] < 0.02
    assert 0 < errors["float8"] < 0.06
    assert errors["int8"] < errors["float8"]


@each_kind
def test_the_text_of_the_sample_stays(products):
    checkpoint = tiny_models.demo_checkpoint()
    samples, texts = decode(tiny_models.DEMO / "sample.mp3").samples[: 30 * 16_000], []
    for how in ("same", products):
        config = resolve_config(EngineConfig("cpu", "float32", n_slots=1, n_threads=1, encoder_products=how))
        model = load_whisper(checkpoint, config.device, config.compute_type, config.encoder_products)
        with Engine(model, checkpoint, config) as engine:
            request = DecodeRequest(samples=samples, language="en", options=DecodeOptions(temperatures=(0.0,)))
            texts.append(engine.submit(request).result(120))
            assert engine.arithmetic == ("cpu float32" if how == "same" else f"cpu float32, encoder {how}")
    assert texts[0].text == texts[1].text
    assert len(texts[0].text) > 100
    assert texts[0].avg_logprob != texts[1].avg_logprob, "or nothing was rounded"


def test_what_cannot_be_is_refused_in_words(monkeypatch):
    with pytest.raises(ConfigError, match="encoder_products: got 'int4', allowed: same, int8, float8"):
        EngineConfig(encoder_products="int4")
    config = EngineConfig(device="cpu", compute_type="float32", encoder_products="int8")

    def cannot(rows, weight):
        raise RuntimeError("CUBLAS_STATUS_NOT_SUPPORTED\nwhen calling this and that")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "_int_mm", cannot)
        with pytest.raises(ConfigError, match=r"encoder_products: got 'int8'.*cpu: CUBLAS_STATUS_NOT_SUPPORTED\), all"):
            resolve_config(config)
        patch.setattr(torch, "_int_mm", lambda rows, weight: torch.zeros(len(rows), weight.shape[1], dtype=torch.int32))
        with pytest.raises(ConfigError, match="its products are off by 1"):
            resolve_config(config)
    resolve_config(config)


def test_not_beside_a_compute_type_that_is_int8_already():
    class Already:
        compute_type = "int8"

    with pytest.raises(ConfigError, match="encoder_products: got 'float8' beside compute_type 'int8'"):
        eight_bit_encoder(Already(), "float8", CPU, torch.bfloat16)
