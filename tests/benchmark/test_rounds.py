"""Passes in turn and what they come to."""

import dataclasses
import time

import pytest

from ifw.benchmark.rounds import Contender, Pass, alternate, summarise


def passes(*walls, disturbed=()):
    return [
        Pass(wall, 2 * wall, {"encode_s": wall / 2}, is_disturbed=index in disturbed)
        for index, wall in enumerate(walls)
    ]


def contenders(log, *names):
    def made(name):
        return Contender(name, lambda: log.append(name) or Pass(1.0, 1.0))

    return [made(name) for name in names]


def test_contenders_take_turns_there_and_back():
    log = []
    found = alternate(contenders(log, "a", "b", "c"), 2, time.monotonic() + 1000)
    assert "".join(log) == "abccbaabccba"
    assert {name: len(made) for name, made in found.items()} == {"a": 4, "b": 4, "c": 4}


def test_who_is_far_behind_takes_part_on_the_way_back_of_the_first_round_only():
    log = []
    first, slow, third = contenders(log, "a", "b", "c")
    earlier = Pass(7.0, 7.0)
    found = alternate([first, dataclasses.replace(slow, earlier=earlier), third], 2, time.monotonic() + 1000)
    assert "".join(log) == "accba" + "acca"
    assert [one.wall_s for one in found["b"]] == [7.0, 1.0]
    assert len(found["a"]) == 4


@pytest.mark.parametrize(("is_disturbed", "order", "wall_s"), [(False, "aa", 7.0), (True, "aba", 1.0)])
def test_after_the_deadline_one_undisturbed_pass_of_who_is_far_behind_has_to_do(is_disturbed, order, wall_s):
    log = []
    first, slow = contenders(log, "a", "b")
    earlier = Pass(7.0, 7.0, is_disturbed=is_disturbed)
    found = alternate([first, dataclasses.replace(slow, earlier=earlier)], 2, time.monotonic() - 1)
    assert "".join(log) == order
    assert (summarise(found["b"]).wall_s, summarise(found["b"]).is_disturbed) == (wall_s, False)


def test_after_the_deadline_no_further_round_begins_but_the_first_is_whole():
    log = []
    alternate(contenders(log, "a", "b"), 5, time.monotonic() - 1)
    assert "".join(log) == "abba"


def test_the_median_counts_and_the_range_is_kept():
    found = summarise(passes(4.0, 1.0, 2.0, 3.0))
    assert (found.wall_s, found.low_s, found.high_s, found.cpu_s) == (2.5, 1.0, 4.0, 5.0)
    assert found.stages == {"encode_s": 1.25}
    assert (found.n_passes, found.n_disturbed, found.is_disturbed) == (4, 0, False)


def test_disturbed_passes_are_left_out():
    found = summarise(passes(1.0, 9.0, 2.0, 8.0, disturbed={1, 3}))
    assert (found.wall_s, found.high_s) == (1.5, 2.0)
    assert (found.n_passes, found.n_disturbed, found.is_disturbed) == (4, 2, False)
    assert [one.wall_s for one in found.counted] == [1.0, 2.0]
    assert "counted" not in found.figures()
    assert found.figures()["wall_s"] == 1.5


def test_where_too_few_are_left_all_count_and_it_says_so():
    found = summarise(passes(1.0, 9.0, 2.0, disturbed={1, 2}))
    assert (found.wall_s, found.is_disturbed) == (2.0, True)


@pytest.mark.parametrize(("disturbed", "expected"), [((), False), ({0}, True)])
def test_a_single_pass_may_be_disturbed_too(disturbed, expected):
    assert summarise(passes(1.0, disturbed=disturbed)).is_disturbed is expected
