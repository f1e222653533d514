"""The native linear layers against the same arithmetic in torch, for any sizes, on every instruction set."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_kernels import each_level, noise, relative_error
from torch.nn import functional as F

from ifw.errors import ShapeError
from ifw.kernels.linear import NativeLinear

FLOATS = [torch.float32, torch.bfloat16]
ANY_SIZE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def quantised(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row as integers in [-127, 127], and the size of a step."""
    step = x.abs().amax(-1, keepdim=True).clamp_min(1e-30) / 127
    return torch.round(x / step), step


def twin(x, weight, bias, norm, *, is_int8, gelu=False, residual=None):
    """What the kernel computes, in float64 behind the quantisation."""
    x = x.float() if norm is None else F.layer_norm(x.float(), x.shape[-1:], *(part.float() for part in norm))
    x, weight = x.double(), weight.double()
    if is_int8:
        (x, x_step), (weight, weight_step) = quantised(x), quantised(weight)
        y = (x @ weight.T) * x_step * weight_step.T
    else:
        y = x @ weight.T
    y = y if bias is None else y + bias.double()
    y = F.gelu(y) if gelu else y
    return y if residual is None else y + residual.double()


def make(kernels, *, n_in, n_out, dtype, is_int8, has_norm=True, has_bias=True, output_dtype=None):
    weight = noise(n_out, n_in, seed=1) * (1 + torch.arange(n_out)[:, None] % 5) / n_in**0.5
    bias = noise(n_out, seed=2) if has_bias else None
    norm = (1 + 0.1 * noise(n_in, seed=3), 0.1 * noise(n_in, seed=4)) if has_norm else None
    layer = NativeLinear(kernels, weight, bias, norm=norm, is_int8=is_int8, dtype=dtype, output_dtype=output_dtype)
    return layer, (weight, bias, norm)


@contextmanager
def threads(n_threads):
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@each_level
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("is_int8", [True, False])
@ANY_SIZE
@given(
    n_rows=st.integers(1, 70),
    n_in=st.integers(1, 200),
    n_out=st.integers(1, 200),
    has_norm=st.booleans(),
    has_bias=st.booleans(),
    gelu=st.booleans(),
    has_residual=st.booleans(),
)
def test_any_size(kernels, dtype, is_int8, *, n_rows, n_in, n_out, has_norm, has_bias, gelu, has_residual):
    layer, parts = make(
        kernels, n_in=n_in, n_out=n_out, dtype=dtype, is_int8=is_int8, has_norm=has_norm, has_bias=has_bias
    )
    x = (3 * noise(n_rows, n_in, seed=5)).to(dtype)
    residual = noise(n_rows, n_out, seed=6).to(dtype) if has_residual else None
    found = layer(x, gelu=gelu, residual=residual)
    expected = twin(x, *parts, is_int8=is_int8, gelu=gelu, residual=residual)
    assert found.dtype == dtype
    assert found.shape == (n_rows, n_out)
    # A value half way between two integers may go either way, so that one step of one input is the allowance of int8.
    allowed = 0.01 if is_int8 else 1e-5 if dtype == torch.float32 else 0.005
    scale = expected.abs().max() + 1
    assert ((found.double() - expected).abs().max() / scale) < allowed + (0.01 if dtype == torch.bfloat16 else 0)


@each_level
def test_sums_of_int8_are_exact(kernels):
    """Inputs and weights that are integers already, at their extremes: nothing saturates, nothing is rounded."""
    generator = torch.Generator().manual_seed(7)
    for n_in in (4, 64, 1000):
        weight = torch.randint(-127, 128, (96, n_in), generator=generator).float()
        x = torch.randint(-127, 128, (9, n_in), generator=generator).float()
        weight[:, 0], x[:, 0] = 127, -127
        weight[3], x[2], x[4] = -127, 127, -127
        layer = NativeLinear(kernels, weight, None, is_int8=True, dtype=torch.float32)
        expected = x.double() @ weight.double().T
        assert relative_error(layer(x), expected) < 1e-6
        assert float((layer(x) - expected).abs().max()) < 0.5


@each_level
@pytest.mark.parametrize("is_int8", [True, False])
def test_large_layers(kernels, is_int8):
    layer, parts = make(kernels, n_in=512, n_out=1000, dtype=torch.bfloat16, is_int8=is_int8)
    x = noise(700, 512, seed=8).to(torch.bfloat16)
    with threads(2):
        assert relative_error(layer(x), twin(x, *parts, is_int8=is_int8)) < 0.01


@each_level
def test_quantising_costs_what_it_should(kernels):
    """Against the layer without quantisation: the error of eight bits, not more."""
    layer, parts = make(kernels, n_in=512, n_out=256, dtype=torch.bfloat16, is_int8=True)
    x = noise(64, 512, seed=8).to(torch.bfloat16)
    assert 0.002 < relative_error(layer(x), twin(x, *parts, is_int8=False)) < 0.015


@each_level
@pytest.mark.parametrize("is_int8", [True, False])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_rows_do_not_depend_on_their_number_or_on_threads(kernels, is_int8, n_threads):
    layer, _ = make(kernels, n_in=192, n_out=330, dtype=torch.bfloat16, is_int8=is_int8)
    x, residual = noise(100, 192, seed=5).to(torch.bfloat16), noise(100, 330, seed=6).to(torch.bfloat16)
    with threads(1):
        together = layer(x, gelu=True, residual=residual)
    with threads(n_threads):
        for n_rows in (1, 2, 3, 5, 7, 16, 23, 25, 100):
            parts = zip(x.split(n_rows), residual.split(n_rows), strict=True)
            assert torch.equal(torch.cat([layer(a, gelu=True, residual=b) for a, b in parts]), together)


@each_level
@pytest.mark.parametrize("is_int8", [True, False])
def test_a_result_may_be_float32(kernels, is_int8):
    layer, parts = make(kernels, n_in=64, n_out=50, dtype=torch.bfloat16, is_int8=is_int8, output_dtype=torch.float32)
    x = noise(5, 64, seed=5).to(torch.bfloat16)
    found = layer(x)
    assert found.dtype == torch.float32
    assert relative_error(found, found.bfloat16()) > 1e-4
    assert relative_error(found, twin(x, *parts, is_int8=is_int8)) < 0.01


@each_level
@pytest.mark.parametrize("is_int8", [True, False])
@pytest.mark.parametrize("has_norm", [True, False])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_stays_so_and_in_its_row(kernels, is_int8, has_norm, bad):
    layer, _ = make(kernels, n_in=70, n_out=40, dtype=torch.float32, is_int8=is_int8, has_norm=has_norm)
    x = noise(3, 70, seed=5)
    expected = layer(x)
    x[1, 69] = bad
    found = layer(x)
    assert not found[1].isfinite().any()
    assert torch.equal(found[[0, 2]], expected[[0, 2]])


@each_level
def test_rows_of_zeros(kernels):
    layer, (_, bias, _) = make(kernels, n_in=70, n_out=40, dtype=torch.float32, is_int8=True, has_norm=False)
    assert torch.allclose(layer(torch.zeros(2, 70)), bias.expand(2, -1))
    assert layer(torch.zeros(0, 70)).shape == (0, 40)


@each_level
def test_inputs_are_left_alone_and_may_be_views(kernels):
    layer, parts = make(kernels, n_in=32, n_out=16, dtype=torch.float32, is_int8=False)
    wide, residual = noise(2, 5, 64, seed=5), noise(2, 5, 16, seed=6)
    before = wide.clone(), residual.clone()
    found = layer(wide[..., ::2], residual=residual)
    assert relative_error(found, twin(before[0][..., ::2], *parts, is_int8=False, residual=residual)) < 1e-6
    assert torch.equal(wide, before[0])
    assert torch.equal(residual, before[1])


@each_level
def test_what_does_not_fit_is_refused(kernels):
    layer, _ = make(kernels, n_in=32, n_out=16, dtype=torch.float32, is_int8=False)
    for x, residual in [
        (noise(2, 31), None),
        (noise(2, 32).bfloat16(), None),
        (noise(2, 32).to("meta"), None),
        (noise(2, 32), noise(3, 16)),
        (noise(2, 32), noise(2, 16).bfloat16()),
    ]:
        with pytest.raises(ShapeError, match=r"x: got|residual: got"):
            layer(x, residual=residual)
