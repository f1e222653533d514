"""What this machine can do at best: products of matrices, and reading memory. A driver; see `benchmark.driver_main`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

_N_ROWS: Final = 1_536
_WIDTH: Final = 2_048
_CUDA_WIDTH: Final = 8_192
_READ_BYTES: Final = 512 << 20
_N_ROUNDS: Final = 3


class Driver:
    """Measures with torch.

    Args:
        job: Of which the device and the threads count.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        torch.set_num_threads(job["n_threads"])
        self._device = torch.device(job["device"])
        self._least_s = 0.0
        self.versions = {"torch": torch.__version__}

    @torch.inference_mode()
    def ceilings(self, least_s: float) -> dict[str, Any]:
        """GFLOP/s of a large product by precision, GB/s of reading, and what the device calls itself."""
        self._least_s = least_s
        is_cuda = self._device.type == "cuda"
        names = ("float32", "bfloat16", "float16") if is_cuda else ("float32", "bfloat16", "int8")
        return {
            "gemm_gflops": {name: self._gemm(name) for name in names},
            "read_gb_s": self._read(),
            "device": torch.cuda.get_device_name(self._device) if is_cuda else "cpu",
        }

    def _gemm(self, name: str) -> float:
        n_rows, width = (_CUDA_WIDTH, _CUDA_WIDTH) if self._device.type == "cuda" else (_N_ROWS, _WIDTH)
        work = self._product(name, n_rows, width)
        return 2 * n_rows * width * width / self._fastest_s(work) / 1e9

    def _product(self, name: str, n_rows: int, width: int) -> Callable[[], Tensor]:
        generator = torch.Generator().manual_seed(0)
        if name == "int8":
            left = torch.randint(-127, 128, (n_rows, width), dtype=torch.int8, generator=generator)
            right = torch.randint(-127, 128, (width, width), dtype=torch.int8, generator=generator)
            return lambda: torch._int_mm(left, right)
        dtype: torch.dtype = getattr(torch, name)
        x = torch.randn(n_rows, width, generator=generator).to(self._device, dtype)
        weight = torch.randn(width, width, generator=generator).to(self._device, dtype)
        if name == "float32" and self._device.type == "cpu" and hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
            packed = torch.ops.mkldnn._reorder_linear_weight(weight, n_rows)  # twice as fast as MKL on AMD
            pointwise = torch.ops.mkldnn._linear_pointwise
            return lambda: pointwise(x, packed, None, "none", [], "")
        return lambda: torch.mm(x, weight)

    def _read(self) -> float:
        block = torch.ones(_READ_BYTES // 4, dtype=torch.float32, device=self._device)
        if self._device.type == "cuda":
            other = torch.empty_like(block)
            return 2 * _READ_BYTES / self._fastest_s(lambda: other.copy_(block)) / 1e9
        return _READ_BYTES / self._fastest_s(block.sum) / 1e9

    def _fastest_s(self, work: Callable[[], Tensor]) -> float:
        """The least mean over a few rounds: a ceiling is what nothing disturbed."""
        work()
        means = []
        for _ in range(_N_ROUNDS):
            self._wait()
            started, n_done = time.perf_counter(), 0
            while time.perf_counter() - started < self._least_s or not n_done:
                work()
                n_done += 1
                if n_done % 8 == 0:
                    self._wait()
            self._wait()
            means.append((time.perf_counter() - started) / n_done)
        return min(means)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
