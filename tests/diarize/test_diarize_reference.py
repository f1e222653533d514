"""The same answer as pyannote.audio 4.0.7, recorded by tools/record_diarization.py on the same weights and samples."""

import numpy as np
import pytest
import random_models
import synthetic_chunks
from random_models import RATE

from ifw.config import DiarizationOptions
from ifw.diarize.assembly import Assembler
from ifw.diarize.clustering import Bounds
from ifw.diarize.pipeline_config import read_config
from ifw.diarize.plda import Plda
from ifw.diarize.votes import Grid, count_speakers

GRID = Grid(10.0, 1.0, 991 / RATE, 270 / RATE, 589)
FOREVER_S = 1e9


def recorded(rows):
    """Turns of the reference, its speakers renamed in order of appearance."""
    names = {}
    for speaker in rows[:, 2]:
        names.setdefault(speaker, f"SPEAKER_{len(names):02d}")
    return sorted((start_s, end_s, names[speaker]) for start_s, end_s, speaker in rows), names


def exclusive(rows, names):
    return sorted((start_s, end_s, names[speaker]) for start_s, end_s, speaker in rows)


def as_rows(turns):
    return sorted((turn.start_s, turn.end_s, turn.speaker) for turn in turns)


@pytest.fixture(scope="module")
def heard(diarizer):
    """Who speaks in each chunk, and how they sound."""
    stream = diarizer.stream()
    stream.feed(random_models.conversation())
    stream.finish()
    return np.concatenate(stream._speech), np.concatenate(stream._embeddings)


@pytest.fixture(scope="module")
def recorded_speech(reference):
    shape = tuple(reference["speech_shape"])
    return np.unpackbits(reference["speech"])[: np.prod(shape)].reshape(shape)


def test_the_conversation_has_silence_overlap_and_three_speakers(reference, recorded_speech):
    assert set(reference["counts"].tolist()) == {0, 1, 2}
    assert (recorded_speech.sum(2) == 2).any()
    assert len(set(reference["vbx_turns"][:, 2])) >= 2


def test_the_grid_is_that_of_pyannote(diarizer):
    assert diarizer._listener.grid == GRID


def test_segmentation_is_identical(heard, recorded_speech):
    np.testing.assert_array_equal(heard[0], recorded_speech)


def test_counts_are_identical(heard, reference):
    np.testing.assert_array_equal(count_speakers(heard[0], GRID), reference["counts"])


def test_embeddings_are_within_a_ten_thousandth(heard, reference):
    np.testing.assert_allclose(heard[1], reference["embeddings"], rtol=0, atol=1e-4)
    assert np.ptp(reference["embeddings"]) > 1, "the recorded embeddings say nothing"


@pytest.mark.parametrize("clustering", ["VBxClustering", "AgglomerativeClustering"])
def test_whole_pipeline_is_identical(heard, reference, folder, tmp_path, clustering):
    prefix = "vbx" if clustering == "VBxClustering" else "ahc"
    random_models.write_config(tmp_path, clustering)
    assembler = Assembler(GRID, read_config(tmp_path).clustering, Plda(folder / "plda"), 0.0)
    clusters = assembler.cluster(*heard, Bounds(1, None))
    speaks = heard[0].any(1)
    np.testing.assert_array_equal(clusters.owners[speaks], reference[f"{prefix}_clusters"][speaks])
    found = assembler.assemble(*heard, DiarizationOptions(), FOREVER_S)
    turns, names = recorded(reference[f"{prefix}_turns"])
    assert as_rows(found.turns) == turns
    assert as_rows(found.exclusive_turns) == exclusive(reference[f"{prefix}_exclusive"], names)
    for number, name in names.items():
        np.testing.assert_allclose(found.embeddings[name], reference[f"{prefix}_centroids"][int(number)], atol=1e-4)


@pytest.mark.parametrize("case", synthetic_chunks.CASES, ids=lambda case: case.name)
def test_clusters_and_turns_are_identical(case, reference, folder, tmp_path):
    random_models.write_config(tmp_path, case.clustering, case.min_duration_off)
    config = read_config(tmp_path)
    assembler = Assembler(GRID, config.clustering, Plda(folder / "plda"), config.min_duration_off_s)
    speech, embeddings = synthetic_chunks.draw(case)
    speech = speech.astype(np.uint8)
    options = DiarizationOptions(case.num_speakers, case.min_speakers, case.max_speakers)
    clusters = assembler.cluster(speech, embeddings, Bounds.of(options))
    speaks = speech.any(1)
    np.testing.assert_array_equal(clusters.owners[speaks], reference[f"{case.name}_clusters"][speaks])
    found = assembler.assemble(speech, embeddings, options, FOREVER_S)
    turns, names = recorded(reference[f"{case.name}_turns"])
    assert as_rows(found.turns) == turns
    assert as_rows(found.exclusive_turns) == exclusive(reference[f"{case.name}_exclusive"], names)
    for number, name in names.items():
        recorded_start = reference[f"{case.name}_centroids"][int(number)]
        np.testing.assert_allclose(found.embeddings[name][:4], recorded_start, atol=1e-5)
