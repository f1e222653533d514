"""Every implementation of an op seam against the plainest one."""

from __future__ import annotations

import pytest
import torch
from hf_reference import CPU, relative_error
from torch.nn import functional as F

from ifw.model import ops, ops_choice, torch_ops
from ifw.model.ops import KeyLimit
from ifw.model.torch_ops import PackedLinear, PlainLinear

DTYPES = [torch.float32, torch.bfloat16]
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2}

needs_packing = pytest.mark.skipif(
    not (torch_ops.can_pack(torch.float32) and torch_ops.can_pack(torch.bfloat16)),
    reason="torch has no packed linear layers here",
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@needs_packing
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [noise(96, seed=1), None])
@pytest.mark.parametrize("shape", [(40, 64), (2, 20, 64), (1, 1, 64)])
def test_packed_linear_equals_plain(dtype: torch.dtype, bias: torch.Tensor | None, shape: tuple[int, ...]) -> None:
    weight = noise(96, 64, seed=2).to(dtype)
    bias = None if bias is None else bias.to(dtype)
    packed, plain = PackedLinear.make(weight, bias, 8), PlainLinear.make(weight, bias, 8)
    x, residual = noise(*shape, seed=3).to(dtype), noise(*shape[:-1], 96, seed=4).to(dtype)
    for arguments in ({}, {"gelu": True}, {"residual": residual}):
        assert relative_error(packed(x, **arguments), plain(x, **arguments)) < TOLERANCE[dtype]


@needs_packing
@pytest.mark.parametrize("dtype", DTYPES)
def test_packed_rows_do_not_depend_on_their_number(dtype: torch.dtype) -> None:
    layer = PackedLinear.make(noise(512, 512, seed=1).to(dtype) / 20, noise(512, seed=2).to(dtype), 16)
    x = noise(64, 512, seed=3).to(dtype)
    together = layer(x)
    for n_rows in (1, 2, 3, 8, 16, 31):
        assert torch.equal(torch.cat([layer(part) for part in x.split(n_rows)]), together)


@pytest.mark.parametrize("make", [PlainLinear.make, pytest.param(PackedLinear.make, marks=needs_packing)])
def test_a_linear_layer_leaves_its_inputs_alone(make: ops.MakeLinear) -> None:
    layer = make(noise(8, 8), None, 4)
    x, residual = noise(3, 8, seed=5), noise(3, 8, seed=6)
    before = x.clone(), residual.clone()
    layer(x, residual=residual)
    layer(x, gelu=True)
    assert torch.equal(x, before[0])
    assert torch.equal(residual, before[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "attention",
    [
        torch_ops.sdpa_encoder_attention,
        torch_ops.matmul_encoder_attention,
        pytest.param(torch_ops.packed_encoder_attention, marks=needs_packing),
    ],
)
def test_encoder_attention(attention: ops.EncoderAttention, dtype: torch.dtype) -> None:
    qkv = noise(2, 150, 3, 3, 32).to(dtype)
    qkv[:, :, 0] *= 32**-0.5
    query, key, value = qkv.double().permute(2, 0, 3, 1, 4)
    expected = torch.softmax(query @ key.transpose(-1, -2), -1) @ value
    found = attention(qkv)
    assert found.dtype == dtype
    assert relative_error(found, expected.transpose(1, 2).flatten(2)) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("attention", [torch_ops.sdpa_decode_attention, torch_ops.matmul_decode_attention])
@pytest.mark.parametrize(("n_new", "is_limited"), [(1, False), (1, True), (5, False), (5, True)])
def test_decode_attention(attention: ops.DecodeAttention, n_new: int, is_limited: bool, dtype: torch.dtype) -> None:
    """On a range of slots and keys of a larger cache, rows at different positions."""
    cache = noise(2, 4, 3, 40, 32).to(dtype)
    query = noise(2, n_new, 3, 32, seed=9).to(dtype) * 32**-0.5
    keys, values = cache[:, 1:3, :, :30]
    positions = torch.tensor([[3], [24]]) + torch.arange(n_new)
    visible = (torch.arange(30) <= positions[..., None]).unsqueeze(1)
    scores = query.double().transpose(1, 2) @ keys.double().transpose(-1, -2)
    if is_limited:
        scores = scores.masked_fill(~visible, float("-inf"))
    expected = (torch.softmax(scores, -1) @ values.double()).transpose(1, 2).flatten(2)
    found = attention(query, keys, values, KeyLimit(positions, visible) if is_limited else None)
    assert found.dtype == dtype
    assert relative_error(found, expected) < TOLERANCE[dtype]


def test_choice_without_packed_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops_choice, "can_pack", lambda dtype: False)
    chosen = ops_choice.choose_ops(CPU, torch.float32)
    layer = chosen.linear(noise(8, 8), None, 4)
    x = noise(3, 8, seed=5)
    assert torch.equal(layer(x), F.linear(x, noise(8, 8)))


def test_float16_is_never_packed() -> None:
    assert not torch_ops.can_pack(torch.float16)


def test_other_devices_use_fused_attention() -> None:
    chosen = ops_choice.choose_ops(torch.device("cuda"), torch.float16)
    assert chosen.encoder_attention is torch_ops.sdpa_encoder_attention
    assert chosen.decode_attention is torch_ops.sdpa_decode_attention
