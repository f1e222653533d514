"""Who runs the LSTM of a segmentation network on CPU."""

from __future__ import annotations

import pytest
import torch

from ifw.diarize import native_networks
from ifw.diarize.diarizer import Diarizer
from ifw.diarize.native_networks import find_kernels, lstm_of
from ifw.diarize.segmentation import SegmentationDims, SegmentationNetwork
from ifw.kernels.lstm import NativeLstm

needs_kernels = pytest.mark.skipif(find_kernels() is None, reason="there are no native kernels here")


def make(width=32, *, is_bidirectional=True):
    torch.manual_seed(0)
    return SegmentationNetwork(SegmentationDims(10, width, 3, is_bidirectional, 16, 2, 3, 2, 5.0)).eval()


@needs_kernels
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-3)])
@pytest.mark.parametrize("is_bidirectional", [True, False])
@torch.inference_mode()
def test_the_kernels_do_as_torch(dtype, atol, is_bidirectional):
    network, features = make(is_bidirectional=is_bidirectional), torch.randn(3, 50, 60)
    network.lstm.to(dtype)
    lstm = lstm_of(network)
    assert isinstance(lstm, NativeLstm)
    found, expected = lstm(features), network.hidden(features)
    assert found.dtype == expected.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def test_other_widths_are_left_to_torch():
    network = make(24)
    assert lstm_of(network) == network.hidden


def test_without_kernels_torch_does_it(monkeypatch):
    monkeypatch.setattr(native_networks, "find_kernels", lambda: None)
    network = make()
    assert lstm_of(network) == network.hidden


@needs_kernels
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_listener_has_the_kernels(dtype):
    listener = Diarizer("demo", device="cpu", dtype=dtype)._listener
    assert isinstance(listener._lstm, NativeLstm)
    samples = 0.1 * torch.randn(listener.chunk_samples + 2 * listener.step_samples)
    alone = samples[listener.step_samples :][: listener.chunk_samples]
    assert torch.equal(listener.segment(samples)[1], listener.segment(alone)[0])
