"""VBx beyond the recorded cases: what keeps long recordings in memory, and that thrift removes speakers."""

import numpy as np
import pytest

from ifw.diarize import vbx
from ifw.diarize.arrays import product
from ifw.diarize.linkage import centroid_linkage
from ifw.diarize.pipeline_config import ModelPlace, VbxSettings

SETTINGS = VbxSettings(threshold=0.6, sharpness=0.07, thrift=0.8, plda=ModelPlace(""))


@pytest.fixture
def scattered():
    """Vectors that are all far from each other, so that none merge."""
    vectors = np.random.RandomState(0).standard_normal((120, 64))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_clusters_are_those_of_the_threshold_where_there_is_room(scattered):
    assert len(set(vbx.first_clusters(centroid_linkage(scattered), 0.6).tolist())) == 120


def test_more_merges_are_accepted_where_there_is_none(scattered, monkeypatch):
    monkeypatch.setattr(vbx, "_MAX_RESPONSIBILITIES", 120 * 10)
    labels = vbx.first_clusters(centroid_linkage(scattered), 0.6)
    assert len(set(labels.tolist())) == 10
    assert set(labels.tolist()) == set(range(labels.max() + 1))


def test_speakers_that_explain_nothing_are_gone():
    noise = np.random.RandomState(1)
    centres = 3 * noise.standard_normal((2, 16))
    owners = np.arange(60) % 2
    points = centres[owners] + noise.standard_normal((60, 16))
    first = np.arange(60) % 6  # six clusters to begin with, three for each speaker
    responsibilities, shares = vbx.infer(points, np.full(16, 9.0), first, SETTINGS)
    kept = shares > 1e-3
    assert kept.sum() == 2
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(responsibilities.sum(1), 1)
    found = responsibilities[:, kept].argmax(1)
    assert len(set(zip(found.tolist(), owners.tolist(), strict=True))) == 2


def test_products_are_those_of_numpy():
    random = np.random.default_rng(0)
    left, right = random.standard_normal((50, 7))[::-1], random.standard_normal((9, 7)).astype(np.float32).T
    left.flags.writeable = False
    found = product(left, right)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, left @ right, rtol=0, atol=1e-12)
    assert product(right.T, right).dtype == np.float32
    np.testing.assert_allclose(product(left, left[0]), left @ left[0], rtol=0, atol=1e-12)
