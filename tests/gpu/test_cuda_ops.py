"""The choice of operations on CUDA: Triton's where it works, torch's with a reason where it does not."""

from __future__ import annotations

import builtins

import pytest
import torch

from ifw.model.cuda_ops import choose_cuda_ops
from ifw.model.ops_choice import _plain_ops
from ifw.model.torch_ops import PlainLinear, sdpa_decode_attention, sdpa_encoder_attention

TORCH_OPS = _plain_ops(PlainLinear.make, sdpa_encoder_attention, sdpa_decode_attention)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_triton_is_chosen_where_it_gives_the_right_numbers(device, dtype, caplog):
    pytest.importorskip("triton", reason="triton is not installed")
    ops = choose_cuda_ops(TORCH_OPS, device, dtype)
    assert not caplog.records
    assert ops.decode_attention.__name__ == "triton_decode_attention"
    assert ops.reads_by_limit
    assert ops.eight_bit_attention is not None


@pytest.mark.parametrize("which", ["triton_decode_attention", "triton_eight_bit_attention"])
@pytest.mark.parametrize("fault", [0.5, float("nan"), RuntimeError("no C compiler")])
def test_wrong_numbers_or_a_failure_leave_torch_and_say_why(device, monkeypatch, caplog, which, fault):
    pytest.importorskip("triton", reason="triton is not installed")
    from ifw.model import triton_attention

    real = getattr(triton_attention, which)

    def faulty(*arguments):
        if isinstance(fault, Exception):
            raise fault
        return real(*arguments) + fault

    monkeypatch.setattr(triton_attention, which, faulty)
    assert choose_cuda_ops(TORCH_OPS, device, torch.float32) is TORCH_OPS
    assert ("no C compiler" if isinstance(fault, Exception) else "off by") in caplog.text


def test_without_triton_torch_is_left(device, monkeypatch, caplog):
    find = builtins.__import__

    def missing(name, *arguments, **kwargs):
        if name == "triton" or (name == "ifw.model" and "triton_attention" in arguments[2]):
            raise ModuleNotFoundError("No module named 'triton'")
        return find(name, *arguments, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert choose_cuda_ops(TORCH_OPS, device, torch.float32) is TORCH_OPS
    assert "No module named 'triton'" in caplog.text
