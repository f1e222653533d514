"""Linkage in little memory against SciPy's."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from ifw.cancellation import CancelToken
from ifw.config import DiarizationOptions
from ifw.diarize import linkage as ours
from ifw.diarize.assembly import Assembler
from ifw.diarize.pipeline_config import AgglomerativeSettings, ModelPlace, VbxSettings
from ifw.diarize.votes import Grid
from ifw.errors import CancelledError


def drawn(seed, n_vectors, n_voices, spread):
    noise = np.random.RandomState(seed)
    vectors = noise.standard_normal((n_voices, 32))[noise.randint(n_voices, size=n_vectors)]
    vectors = vectors + spread * noise.standard_normal((n_vectors, 32))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(
    ("n_vectors", "n_voices", "spread"), [(2, 1, 1), (3, 1, 1), (60, 60, 1), (400, 5, 0.3), (700, 3, 1.5)]
)
def test_dendrogram_is_that_of_scipy(n_vectors, n_voices, spread):
    vectors = drawn(n_vectors, n_vectors, n_voices, spread)
    wanted, got = linkage(vectors, method="centroid"), ours.merge_all(vectors)
    np.testing.assert_array_equal(got[:, [0, 1, 3]], wanted[:, [0, 1, 3]])
    np.testing.assert_allclose(got[:, 2], wanted[:, 2], atol=1e-6)


def test_equal_vectors_merge_at_no_distance():
    vectors = np.repeat(drawn(1, 5, 5, 1), 4, axis=0)
    got = ours.merge_all(vectors)
    np.testing.assert_allclose(got[:15, 2], 0, atol=1e-3)
    assert len(set(fcluster(got, 0.01, criterion="distance").tolist())) == 5


def test_many_vectors_take_the_way_of_little_memory(monkeypatch):
    vectors = drawn(3, 80, 4, 0.3)
    wanted = ours.centroid_linkage(vectors)
    monkeypatch.setattr(ours, "_MAX_PAIRWISE", 79)
    monkeypatch.setattr(ours, "linkage", None)
    np.testing.assert_allclose(ours.centroid_linkage(vectors), wanted, atol=1e-6)


class CancelledLater(CancelToken):
    """Is cancelled when it is looked at for the third time."""

    n_looks = 0

    def raise_if_cancelled(self):
        self.n_looks += 1
        if self.n_looks == 3:
            self.cancel()
        super().raise_if_cancelled()


def test_merging_many_can_be_cancelled_on_the_way():
    cancel = CancelledLater()
    with pytest.raises(CancelledError):
        ours.merge_all(drawn(0, 40, 3, 0.3), cancel)
    assert cancel.n_looks == 3


@pytest.mark.parametrize("max_pairwise", [10, 5_000])
@pytest.mark.parametrize(
    ("settings", "plda"),
    [(AgglomerativeSettings(0.7, 1), None), (VbxSettings(0.6, 0.07, 0.8, ModelPlace("", "")), object())],
)
def test_what_takes_long_can_be_cancelled(monkeypatch, settings, plda, max_pairwise):
    """The end of a long recording is one piece of work; whichever way it clusters hands the token on."""
    monkeypatch.setattr(ours, "_MAX_PAIRWISE", max_pairwise)
    cancel = CancelToken()
    cancel.cancel()
    embeddings = drawn(0, 40, 3, 0.3)[:, None]
    assembler = Assembler(Grid(10.0, 1.0, 1.0, 1.0, 10), settings, plda, 0.0)
    with pytest.raises(CancelledError):
        assembler.assemble(np.ones((40, 10, 1), np.uint8), embeddings, DiarizationOptions(), 49.0, cancel=cancel)
