"""Counting, voting and turns on frames that were written down by hand."""

import numpy as np
import pytest

from ifw.config import DiarizationOptions
from ifw.diarize.arrays import NOBODY
from ifw.diarize.assembly import Assembler
from ifw.diarize.clustering import LEAST_MARGIN, Clusters, margins
from ifw.diarize.pipeline_config import AgglomerativeSettings
from ifw.diarize.turns import ClusterTurn, find_turns, name_speakers
from ifw.diarize.votes import Grid, count_speakers, count_votes, elect

GRID = Grid(chunk_s=4.0, step_s=1.0, frame_s=0.5, frame_step_s=0.5, n_frames=8)
FOREVER_S = 1e9


def row(text):
    return np.array([letter == "x" for letter in text])


def spoken(*rows):
    return np.array([row(text) for text in rows]).T


def seconds(turns):
    return [(turn.start_s, turn.end_s, turn.cluster) for turn in turns]


def test_grid():
    assert [GRID.first_frame(chunk) for chunk in range(3)] == [0, 2, 4]
    assert GRID.n_frames_of(3) == 13
    np.testing.assert_allclose(GRID.times(3), [0.25, 0.75, 1.25])
    published = Grid(chunk_s=10.0, step_s=1.0, frame_s=991 / 16_000, frame_step_s=270 / 16_000, n_frames=589)
    assert [published.first_frame(chunk) for chunk in range(3)] == [0, 59, 119]
    assert published.n_frames_of(2) == 653


def test_count_is_the_mean_over_chunks_to_the_nearest_even():
    speech = np.zeros((2, 8, 2), np.uint8)
    speech[0, :, 0] = row("xxxxxxxx")
    speech[1, :, 1] = row("..xx..xx")
    # Frames 2 to 7 are heard twice: one voice in one of two chunks is a half, which rounds to 0.
    assert count_speakers(speech, GRID).tolist() == [1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0]


def test_halves_are_one_where_that_is_wanted():
    speech = np.zeros((2, 8, 3), np.uint8)
    speech[0] = spoken("xxxxxxxx", "..xx..xx", "..xxxx..")
    speech[1] = spoken("xxxx....", "xx.x....", "........")
    # Means over both chunks, in frames 2 to 7: 2.5, 2.5, 1.5, 2, 1, 1.
    assert count_speakers(speech, GRID)[2:8].tolist() == [2, 2, 2, 2, 1, 1]
    assert count_speakers(speech, GRID, halves_to_one=True).tolist() == [1, 1, 2, 2, 1, 2, 1, 1, 0, 0, 0]
    speech[1] = 0
    assert count_speakers(speech, GRID, halves_to_one=True).tolist() == [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]


def test_who_is_heard_by_one_of_two_chunks_speaks_where_votes_count_by_margin():
    speech = np.zeros((2, 8, 1), np.uint8)
    speech[0] = 1
    for by_margin, end_s in [(True, 4.25), (False, 1.25)]:
        assembler = Assembler(GRID, AgglomerativeSettings(0.7, 1), None, 0.0, by_margin)
        found = assembler.assemble(speech, np.ones((2, 1, 2), np.float32), DiarizationOptions(), 5.0)
        assert [turn.end_s for turn in found.turns] == [end_s]


def test_votes_follow_the_clusters_and_nobody_has_none():
    speech = np.zeros((2, 8, 3), np.uint8)
    speech[0, :, 0] = row("xx......")
    speech[0, :, 1] = row(".xx.....")
    speech[0, :, 2] = row("xxxxxxxx")
    speech[1, :, 0] = row("x.......")
    votes = count_votes(speech, np.array([[1, 1, NOBODY], [0, NOBODY, NOBODY]]), GRID)
    assert votes[:, 1].tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert votes[:, 0].tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]


def test_votes_count_what_they_weigh():
    speech = np.zeros((2, 8, 2), np.uint8)
    speech[0, :, 0] = row("xxxx....")
    speech[0, :, 1] = row("..xx....")
    speech[1, :, 1] = row("xxx.....")
    weights = np.array([[0.5, 0.75], [9.0, 0.25]], np.float32)
    votes = count_votes(speech, np.array([[1, 1], [NOBODY, 1]]), GRID, weights)
    assert votes[:, 1].tolist() == [0.5, 0.5, 1.0, 1.0, 0.25, 0, 0, 0, 0, 0, 0]


def test_a_margin_is_how_much_closer_the_own_speaker_is_than_any_other():
    clusters = Clusters(np.array([[0, 1, 2], [1, NOBODY, 0]]), np.eye(3))
    embeddings = np.array(
        [[[2, 0, 0], [0.6, 0.8, 0], [0, 0.6, -0.8]], [[0.8, 0.6, 0], [0, 0, 1], [np.nan] * 3]], np.float32
    )
    least = LEAST_MARGIN
    np.testing.assert_allclose(margins(embeddings, clusters)[0], [1, 0.2, least], atol=1e-6)
    assert margins(embeddings, clusters)[1, [0, 2]].tolist() == pytest.approx([least, least])


def test_of_one_speaker_all_margins_are_the_same():
    clusters = Clusters(np.zeros((2, 1), np.int64), np.array([[1.0, 0.0]]))
    assert np.ptp(margins(np.array([[[1, 0]], [[0, 1]]], np.float32), clusters)) == 0


@pytest.mark.parametrize(("middle", "lower_number_s"), [([0.8, 0.5], 6.25), ([0.5, 0.8], 2.25)])
def test_of_two_chunks_that_disagree_the_surer_one_is_believed(middle, lower_number_s):
    """The chunk in the middle is not sure whose its speaker is, those beside it are."""
    grid = Grid(chunk_s=4.0, step_s=2.0, frame_s=0.5, frame_step_s=0.5, n_frames=8)
    embeddings = np.array([[1, 0], middle, [0, 1]], np.float32)[:, None]
    for by_margin, change_s in [(True, 4.25), (False, lower_number_s)]:
        assembler = Assembler(grid, AgglomerativeSettings(0.7, 1), None, 0.0, by_margin)
        found = assembler.assemble(np.ones((3, 8, 1), np.uint8), embeddings, DiarizationOptions(), 8.0)
        assert [turn.speaker for turn in found.turns] == ["SPEAKER_00", "SPEAKER_01"]
        assert [turn.start_s for turn in found.turns] == [0.25, change_s]


def test_those_with_the_most_votes_speak_and_of_equals_the_first():
    votes = np.array([[1, 3, 2], [2, 2, 2], [0, 0, 1], [5, 1, 2]], np.float32)
    assert elect(votes, np.array([2, 1, 0, 3])).tolist() == [
        [False, True, True],
        [True, False, False],
        [False, False, False],
        [True, True, True],
    ]


def test_more_may_be_counted_than_there_are_speakers():
    assert elect(np.array([[1.0], [0.0]], np.float32), np.array([2, 0])).tolist() == [[True, True], [False, False]]


def test_turns_begin_and_end_in_the_middle_of_frames():
    turns = find_turns(spoken("..xxx...x.", "....xx..xx"), GRID, 0.0, FOREVER_S)
    assert seconds(turns) == [(1.25, 2.75, 0), (2.25, 3.25, 1), (4.25, 4.75, 0), (4.25, 4.75, 1)]


def test_a_last_frame_alone_has_no_length():
    assert find_turns(spoken(".........x"), GRID, 0.0, FOREVER_S) == []


@pytest.mark.parametrize(("shortest_s", "n_turns"), [(0.0, 3), (0.5, 3), (0.51, 2), (2.0, 1)])
def test_pauses_that_are_shorter_are_closed(shortest_s, n_turns):
    assert len(find_turns(spoken("xx.xx...xx..", "............"), GRID, shortest_s, FOREVER_S)) == n_turns


def test_nothing_lies_beyond_the_audio():
    assert seconds(find_turns(spoken(".xxxxx...xxx"), GRID, 0.0, 2.0)) == [(0.75, 2.0, 0)]


def test_speakers_are_named_in_order_of_appearance():
    turns = [ClusterTurn(0.0, 1.0, 7), ClusterTurn(0.5, 2.0, 0), ClusterTurn(3.0, 4.0, 7)]
    found = name_speakers(turns, turns[:1], np.array([[1.0, 2.0]]))
    assert [turn.speaker for turn in found.turns] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"]
    assert found.speakers == ("SPEAKER_00", "SPEAKER_01")
    assert found.embeddings["SPEAKER_01"].tolist() == [1.0, 2.0]
    assert found.embeddings["SPEAKER_00"].tolist() == [0.0, 0.0]  # cluster 7 has no centroid
