"""Native voice detection against its definition, for any weights, on every instruction set."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_kernels import each_level, noise
from torch.nn import functional as F

from ifw.errors import ShapeError
from ifw.kernels.voice_network import NativeVoiceNetwork, VoiceWeights, can_fold

ANY_SIZE = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fourier():
    """[258, 256], symmetric and antisymmetric to the bit."""
    angles = torch.arange(129)[:, None] * torch.arange(256) * (2 * torch.pi / 256)
    window = torch.hann_window(256, dtype=torch.float64)
    cosines, sines = window * angles.cos(), window * angles.sin()
    cosines[:, 129:], sines[:, 129:] = cosines[:, 1:128].flip(1), -sines[:, 1:128].flip(1)
    cosines[:, 0] = 0
    sines[[0, -1]] = 0
    sines[:, [0, 128]] = 0
    return torch.cat([cosines, sines]).float()


def make(seed=0):
    shapes = ((128, 129, 3), (64, 128, 3), (64, 64, 3), (128, 64, 3))
    encoder = [
        (noise(*shape, seed=seed + place) * (2 / (3 * shape[1])) ** 0.5, 0.2 * noise(shape[0], seed=seed - place))
        for place, shape in enumerate(shapes, 1)
    ]
    gates = [(noise(512, 128, seed=place) / 11, 0.5 * noise(512, seed=place + 2)) for place in (5, 6)]
    return VoiceWeights(fourier(), encoder, gates[0], gates[1], (noise(128, seed=9) / 8, noise(1, seed=10)))


def twin(weights, samples, state):
    """The same in float64, frame by frame."""
    probabilities = []
    hidden, cell = state.double()
    for frame in samples.double().unfold(0, 576, 512):
        wave = torch.cat([frame, frame[-65:-1].flip(0)])
        real, imaginary = F.conv1d(wave[None, None], weights.basis.double()[:, None], stride=128)[0].split(129)
        x = (real.square() + imaginary.square()).sqrt()
        for stride, (weight, bias) in zip((1, 2, 2, 1), weights.encoder, strict=True):
            x = F.conv1d(x[None], weight.double(), bias.double(), stride, padding=1)[0].relu()
        gates = sum(
            weight.double() @ value + bias.double()
            for value, (weight, bias) in ((x[:, 0], weights.input_gates), (hidden, weights.hidden_gates))
        )
        now, kept, new, out = gates.split(128)
        cell = kept.sigmoid() * cell + now.sigmoid() * new.tanh()
        hidden = out.sigmoid() * cell.tanh()
        probabilities.append((weights.head[0].double() @ hidden.relu() + weights.head[1].double()).sigmoid())
    return torch.cat(probabilities), torch.stack([hidden, cell])


@each_level
@ANY_SIZE
@given(n_frames=st.integers(1, 70), level=st.sampled_from([0.0, 1e-3, 0.1, 10.0]), seed=st.integers(0, 99))
def test_any_audio(kernels, n_frames, level, seed):
    weights, samples = make(seed), level * noise(64 + 512 * n_frames, seed=seed)
    state = 0.5 * noise(2, 128, seed=seed)
    expected, expected_state = twin(weights, samples, state)
    found = NativeVoiceNetwork(kernels, weights)(samples, state)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)
    torch.testing.assert_close(state.double(), expected_state, rtol=1e-4, atol=1e-4)


@each_level
@ANY_SIZE
@given(n_frames=st.integers(2, 70), data=st.data())
def test_a_frame_does_not_depend_on_how_many_come_with_it(kernels, n_frames, data):
    network, samples = NativeVoiceNetwork(kernels, make()), 0.1 * noise(64 + 512 * n_frames)
    cut = data.draw(st.integers(0, n_frames))
    whole_state, state = torch.zeros(2, 2, 128)
    whole = network(samples, whole_state)
    parts = [network(samples[: 64 + 512 * cut], state), network(samples[512 * cut :], state)]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(state, whole_state)


@each_level
def test_what_is_no_number_stays_so(kernels):
    samples = 0.1 * noise(64 + 512 * 3)
    samples[700] = torch.nan
    found = NativeVoiceNetwork(kernels, make())(samples, torch.zeros(2, 128))
    assert found.isnan().tolist() == [False, True, True]


def test_only_a_basis_that_is_symmetric_to_the_bit_can_be_folded():
    assert can_fold(fourier())
    assert not can_fold(fourier()[:, :255])
    for row, column in ((3, 0), (3, 40), (3, 200), (129, 7), (257, 7), (140, 0), (140, 128), (140, 255)):
        basis = fourier()
        basis[row, column] += 1e-3
        assert not can_fold(basis), (row, column)
    basis = fourier()
    basis[3, 128] += 1e-3  # the middle of a cosine is its own mirror image
    assert can_fold(basis)


@each_level
def test_shapes_that_do_not_fit_are_refused(kernels):
    network = NativeVoiceNetwork(kernels, make())
    state = torch.zeros(2, 128)
    assert network(torch.zeros(64), state).shape == (0,)
    for samples in (torch.zeros(63), torch.zeros(575), torch.zeros(1, 576), torch.zeros(576, dtype=torch.float64)):
        with pytest.raises(ShapeError, match=r"^samples: got .*, allowed: float32 \[64 \+ 512 T\] on cpu$"):
            network(samples, state)
    for wrong in (torch.zeros(128, 2), torch.zeros(2, 128, dtype=torch.float64), torch.zeros(128, 2).T):
        with pytest.raises(ShapeError, match=r"^state: got .*, allowed: float32 \[2, 128\] on cpu$"):
            network(torch.zeros(576), wrong)


@each_level
def test_the_default_device_of_the_process_does_not_matter(kernels):
    weights, samples, states = make(), 0.1 * noise(64 + 512 * 5), torch.zeros(2, 2, 128)
    expected = NativeVoiceNetwork(kernels, weights)(samples, states[0])
    with torch.device("meta"):
        found = NativeVoiceNetwork(kernels, weights)(samples, states[1])
    assert torch.equal(found, expected)


@each_level
def test_weights_are_not_changed(kernels):
    weights = make()
    before = dataclasses.replace(weights, basis=weights.basis.clone())
    NativeVoiceNetwork(kernels, weights)
    assert torch.equal(weights.basis, before.basis)
