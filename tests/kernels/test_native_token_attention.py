"""The native smoothing of a head's attention against torch, for any sizes, on every instruction set."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_kernels import KERNELS, each_level, noise

from ifw.engine import alignment_attention
from ifw.engine.alignment_attention import add_attention, smoothed_attention
from ifw.errors import ShapeError
from ifw.kernels.library import Loaded

ANY_SIZE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@each_level
@ANY_SIZE
@given(
    n_tokens=st.integers(1, 40),
    n_positions=st.integers(1, 120) | st.integers(1480, 1500),
    scale=st.sampled_from([0.0, 1.0, 8.0]),
    seed=st.integers(0, 999),
)
def test_any_size(kernels, monkeypatch, *, n_tokens, n_positions, scale, seed):
    monkeypatch.setattr(alignment_attention, "load", lambda: Loaded((kernels,), ""))
    scores = scale * noise(n_tokens, n_positions, seed=seed)
    if n_tokens > 2:
        scores[1] = scores[0]
    before = noise(n_tokens, n_positions, seed=seed + 1)
    given_scores, total = scores.clone(), before.clone()
    add_attention(scores, total)
    # Where all tokens say nearly the same, a rounding error is as large as what is left.
    weights = scores.double().softmax(-1)
    spread = weights.std(0, correction=0).clamp_min(1e-30)
    tolerance = 1e-4 + 1e-6 * (weights.amax(0) / spread)
    around = torch.nn.functional.max_pool1d(tolerance[None, None], 7, 1, 3)[0, 0]
    assert ((total - before - smoothed_attention(scores)).abs() <= around).all()
    assert torch.equal(scores, given_scores)


@each_level
@pytest.mark.parametrize("depth", [30, 44, 50, 60, 70, 80])
def test_positions_at_which_nobody_looks(kernels, monkeypatch, depth):
    monkeypatch.setattr(alignment_attention, "load", lambda: Loaded((kernels,), ""))
    scores = noise(12, 200)
    scores[:, 50:80] -= depth
    total = torch.zeros(12, 200)
    add_attention(scores, total)
    torch.testing.assert_close(total, smoothed_attention(scores), rtol=1e-3, atol=1e-3)


@each_level
@pytest.mark.parametrize("n_positions", [4, 18, 100])
def test_a_position_that_all_tokens_look_at_says_nothing(kernels, monkeypatch, n_positions):
    monkeypatch.setattr(alignment_attention, "load", lambda: Loaded((kernels,), ""))
    for n_tokens in range(1, 41):
        total = torch.zeros(n_tokens, n_positions)
        add_attention(noise(n_positions).expand(n_tokens, -1), total)
        assert not total.any()


@pytest.mark.parametrize(
    ("scores", "total"), [((3, 4), (3, 5)), ((3, 4), (4, 3)), ((12,), (12,)), ((3, 4, 1), (3, 4, 1))]
)
def test_shapes_that_do_not_fit_are_refused(scores, total):
    with pytest.raises(ShapeError, match=r"got torch.float32 .*, allowed: float32 \[n_tokens, n_positions\]$"):
        add_attention(torch.zeros(scores), torch.zeros(total))
    with pytest.raises(ShapeError, match=r"^total: got torch.bfloat16"):
        add_attention(torch.zeros(3, 4), torch.zeros(3, 4, dtype=torch.bfloat16))


@each_level
@pytest.mark.parametrize(("n_tokens", "n_positions"), [(3, 0), (0, 3), (5, 40)])
def test_what_is_hardly_there_harms_nobody(kernels, monkeypatch, *, n_tokens, n_positions):
    monkeypatch.setattr(alignment_attention, "load", lambda: Loaded((kernels,), ""))
    total = torch.zeros(n_tokens, n_positions)
    add_attention(1e4 * noise(n_tokens, n_positions), total)
    assert total.isfinite().all()


@pytest.mark.skipif(not KERNELS, reason="there are no kernels")
def test_rows_of_a_larger_tensor():
    scores = noise(9, 200)[:, ::2]
    total = torch.zeros(9, 100)
    add_attention(scores, total)
    torch.testing.assert_close(total, smoothed_attention(scores), rtol=1e-4, atol=1e-4)
