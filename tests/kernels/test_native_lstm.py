"""The native LSTM against that of torch and against its definition, for any sizes, on every instruction set."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_kernels import each_level, noise
from torch import nn

from ifw.errors import ShapeError
from ifw.kernels.lstm import LstmWeights, NativeLstm, can_step

ANY_SIZE = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
SIZES = {
    "n_in": st.sampled_from([1, 7, 60, 64, 65]),
    "width": st.sampled_from([16, 48, 128]),
    "n_layers": st.integers(1, 4),
    "is_bidirectional": st.booleans(),
    "n_chunks": st.sampled_from([1, 2, 7, 8, 25]),
    "n_frames": st.sampled_from([1, 2, 3, 5, 30]),
}


def make(n_in=60, width=32, n_layers=2, *, is_bidirectional=True, dtype=torch.float32):
    """Gates that are often nearly open or shut, and biases that are not the same on both sides."""
    lstm = nn.LSTM(n_in, width, n_layers, batch_first=True, bidirectional=is_bidirectional)
    for seed, (name, weight) in enumerate(lstm.named_parameters()):
        scale = 0.5 if "bias" in name else (2.0 if "ih" in name else 1.0) * weight.shape[1] ** -0.5
        weight.data = scale * noise(*weight.shape, seed=seed)
    return lstm.to(dtype)


def directions(lstm):
    """Weights and biases, of inputs and of hidden values, by layer and direction."""
    sides = ("", "_reverse") if lstm.bidirectional else ("",)
    return [
        [
            [
                (getattr(lstm, f"weight_{part}_l{layer}{side}"), getattr(lstm, f"bias_{part}_l{layer}{side}"))
                for part in ("ih", "hh")
            ]
            for side in sides
        ]
        for layer in range(lstm.num_layers)
    ]


def native(kernels, lstm):
    layers = [[LstmWeights(*parts) for parts in layer] for layer in directions(lstm)]
    return NativeLstm(kernels, layers, lstm.weight_hh_l0.dtype)


def rounding(kernels, dtype):
    """What becomes of the inputs of products."""
    is_rounded = dtype == torch.bfloat16 and kernels.has_bfloat16
    return (lambda values: values.bfloat16().double()) if is_rounded else lambda values: values


@torch.no_grad()
def twin(lstm, x, rounded):
    """The definition in float64; inputs of products go through `rounded`."""
    x = x.double()
    for layer in directions(lstm):
        sides = []
        for index, parts in enumerate(layer):
            (input_weight, input_bias), (hidden_weight, hidden_bias) = (
                [part.double() for part in one] for one in parts
            )
            hidden = cell = torch.zeros(len(x), lstm.hidden_size, dtype=torch.float64)
            found = {}
            for frame in sorted(range(x.shape[1]), reverse=index == 1):
                gates = rounded(x[:, frame]) @ input_weight.T + input_bias
                gates = gates + rounded(hidden) @ hidden_weight.T + hidden_bias
                now, kept, new, out = gates.chunk(4, 1)
                cell = kept.sigmoid() * cell + now.sigmoid() * new.tanh()
                hidden = found[frame] = out.sigmoid() * cell.tanh()
            sides.append(torch.stack([found[frame] for frame in range(x.shape[1])], 1))
        x = torch.cat(sides, 2)
    return x


@torch.no_grad()
def assert_as_torch(kernels, lstm, x):
    found = native(kernels, lstm)(x)
    expected = lstm.double()(x.double())[0]
    assert found.shape == expected.shape
    # sums of float32 are as far off as they are large
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5 * max(1.0, float(x.abs().max()) / 20))


@each_level
@ANY_SIZE
@given(level=st.sampled_from([0.0, 1e-3, 1.0, 30.0]), **SIZES)
def test_any_size(kernels, *, n_in, width, n_layers, is_bidirectional, n_chunks, n_frames, level):
    lstm = make(n_in, width, n_layers, is_bidirectional=is_bidirectional)
    assert_as_torch(kernels, lstm, level * noise(n_chunks, n_frames, n_in, seed=n_frames))


@each_level
@ANY_SIZE
@given(**SIZES)
def test_any_size_in_bfloat16(kernels, *, n_in, width, n_layers, is_bidirectional, n_chunks, n_frames):
    """Where a sum of float32 falls on the other side of a rounding, a hidden value is 2^-9 off, on few places."""
    lstm = make(n_in, width, n_layers, is_bidirectional=is_bidirectional, dtype=torch.bfloat16)
    x = noise(n_chunks, n_frames, n_in, seed=n_frames)
    found = native(kernels, lstm)(x)
    expected = twin(lstm, x, rounding(kernels, torch.bfloat16))
    error = (found.double() - expected).abs()
    assert float(error.max()) <= 2**-7
    assert float(error.mean()) <= 1e-4


@each_level
@each_dtype
def test_real_sizes(kernels, dtype):
    lstm, x = make(60, 128, 4, dtype=dtype), noise(9, 589, 60)
    found = native(kernels, lstm)(x)
    assert found.shape == (9, 589, 256)
    with torch.no_grad():
        expected = lstm.double()(x.double())[0]
    is_rounded = dtype == torch.bfloat16 and kernels.has_bfloat16
    error = (found.double() - expected).abs()
    assert float(error.max()) <= (0.02 if is_rounded else 1e-5)
    assert float(error.mean()) <= (1e-3 if is_rounded else 1e-6)


@each_level
@each_dtype
@ANY_SIZE
@given(n_chunks=st.integers(2, 60), n_frames=st.integers(1, 30), data=st.data())
def test_a_chunk_does_not_depend_on_those_beside_it(kernels, dtype, n_chunks, n_frames, data):
    lstm, x = native(kernels, make(dtype=dtype)), noise(n_chunks, n_frames, 60)
    cut = data.draw(st.integers(1, n_chunks - 1))
    assert torch.equal(torch.cat([lstm(x[:cut]), lstm(x[cut:])]), lstm(x))


@each_level
@each_dtype
def test_nothing_is_left_of_other_calls(kernels, dtype):
    lstm, x = native(kernels, make(dtype=dtype)), noise(8, 30, 60)
    expected = lstm(x)
    native(kernels, make(65, 48, 3, dtype=dtype))(1e30 * noise(25, 40, 65))
    assert torch.equal(lstm(x), expected)


@each_level
@each_dtype
@pytest.mark.parametrize("level", [1e4, 1e30])
def test_large_inputs_open_and_shut_gates(kernels, dtype, level):
    """Few gates are between: a sum of such inputs is not exact."""
    lstm, x = make(n_layers=1, dtype=dtype), level * noise(3, 40, 60)
    found = native(kernels, lstm)(x)
    expected = twin(lstm, x, rounding(kernels, dtype))
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-3)


@each_level
def test_cells_that_grow_for_long(kernels):
    lstm = make(n_layers=1, is_bidirectional=False)
    lstm.weight_ih_l0.data.zero_()
    lstm.weight_hh_l0.data.zero_()
    lstm.bias_ih_l0.data = torch.tensor([50.0, 50.0, 50.0, 0.5]).repeat_interleave(32)
    assert_as_torch(kernels, lstm, torch.zeros(1, 3000, 60))


@each_level
@each_dtype
def test_what_is_no_number_stays_so(kernels, dtype):
    lstm, x = native(kernels, make(n_layers=1, dtype=dtype)), noise(3, 7, 60)
    x[1, 4, 5] = torch.nan
    forward, backward = lstm(x).isnan().any(2), lstm(x.flip(1)).isnan().any(2)
    assert forward.any(1).tolist() == backward.any(1).tolist() == [False, True, False]
    is_lost = lstm(x)[1].isnan()
    assert is_lost[:, :32].all(1).tolist() == is_lost[:, :32].any(1).tolist() == [False] * 4 + [True] * 3
    assert is_lost[:, 32:].all(1).tolist() == is_lost[:, 32:].any(1).tolist() == [True] * 5 + [False] * 2


@each_level
def test_shapes_that_do_not_fit_are_refused(kernels):
    lstm = native(kernels, make())
    for x in (torch.zeros(3, 60), torch.zeros(1, 3, 59), torch.zeros(1, 3, 60, dtype=torch.bfloat16)):
        with pytest.raises(ShapeError, match=r"^x: got .*, allowed: float32 \[B, F, 60\] on cpu$"):
            lstm(x)
    assert lstm(torch.zeros(0, 3, 60)).shape == (0, 3, 64)
    assert lstm(torch.zeros(2, 0, 60)).shape == (2, 0, 64)
    x = noise(4, 10, 120)
    assert torch.equal(lstm(x[::2, ::3, ::2]), lstm(x[::2, ::3, ::2].contiguous()))


def test_widths():
    assert [width for width in range(15, 50) if can_step(width)] == [16, 32, 48]


@each_level
@each_dtype
def test_the_default_device_of_the_process_does_not_matter(kernels, dtype):
    lstm, x = make(dtype=dtype), noise(2, 5, 60)
    expected = native(kernels, lstm)(x)
    with torch.device("meta"):
        found = native(kernels, lstm)(x)
    assert torch.equal(found, expected)


@each_level
def test_weights_are_not_changed(kernels):
    lstm = make()
    before = {name: weight.clone() for name, weight in lstm.state_dict().items()}
    native(kernels, lstm)(noise(1, 3, 60))
    assert all(torch.equal(weight, before[name]) for name, weight in lstm.state_dict().items())
