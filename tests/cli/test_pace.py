"""Progress in seconds of audio, and a time left that is only told when it is known."""

from ifw.cli.pace import MEMORY_S, Pace, clock_of
from ifw.cli.progress_log import INTERVAL_S, ProgressLog
from ifw.types import Progress


def paced(steps, total_s=1000.0):
    """A pace after steps of (wall seconds, stage, seconds of audio)."""
    pace = Pace()
    for now_s, stage, done_s in steps:
        pace.advance(Progress(stage, done_s, total_s), now_s)
    return pace


def steady(stage, rate, until_s):
    return [(float(now_s), stage, rate * now_s) for now_s in range(until_s + 1)]


def test_the_slowest_stage_decides():
    pace = paced(sorted(steady("decode", 50.0, 10) + steady("transcribe", 10.0, 10)))
    assert pace.left_s(10.0) == 90.0
    assert paced(sorted(steady("decode", 10.0, 10) + steady("transcribe", 50.0, 10))).left_s(10.0) == 90.0
    assert pace.written(10.0) == "8:20 heard, 1:40 written of 16:40, 1:30 left"


def test_nothing_is_promised_before_there_is_evidence():
    assert Pace().left_s(1.0) is None
    assert paced(steady("decode", 50.0, 10)).left_s(10.0) is None, "nothing is written yet"
    assert paced(steady("transcribe", 10.0, 2)).left_s(2.0) is None, "too early"
    assert paced([(0.0, "transcribe", 5.0), (8.0, "transcribe", 9.0)]).left_s(8.0) is None, "too few steps"
    assert paced(steady("transcribe", 10.0, 10), total_s=None).left_s(10.0) is None, "nobody knows the end"
    assert paced(steady("transcribe", 10.0, 2)).written(2.0) == "0:20 written of 16:40"


def test_what_was_fast_at_first_does_not_count_for_ever():
    """As after `--resume`: the windows that are known already take no time."""
    jump = [(0.0, "transcribe", 100.0), (0.1, "transcribe", 300.0), (0.2, "transcribe", 500.0)]
    slow = [(float(now_s), "transcribe", 500.0 + now_s) for now_s in range(1, 101)]
    assert paced(jump + slow).left_s(100.0) == 400.0


def test_standing_still_takes_longer_while_one_watches():
    pace = paced(steady("transcribe", 10.0, 10))
    assert pace.left_s(10.0) < pace.left_s(20.0) < pace.left_s(20.0 + MEMORY_S)


def test_a_stage_that_is_done_holds_nothing_up():
    done = [(0.0, "decode", 1000.0)]
    assert paced(done + steady("transcribe", 10.0, 10)).left_s(10.0) == 90.0
    assert paced([*done, (1.0, "transcribe", 1000.0)]).left_s(1.0) == 0.0


def test_clocks():
    assert [clock_of(time_s) for time_s in (0, 59.9, 123, 3723.5, 36_000)] == [
        "0:00",
        "0:59",
        "2:03",
        "1:02:03",
        "10:00:00",
    ]


def test_the_log_has_a_line_a_minute_for_each_file_that_takes_longer():
    lines = []
    log = ProgressLog(["a.mp3", "b.mp3"], lines.append)
    for now_s in range(int(2.5 * INTERVAL_S)):
        log.advance(0, Progress("transcribe", now_s * 2.0, 1000.0), float(now_s))
        if now_s < INTERVAL_S - 1:
            log.advance(1, Progress("transcribe", now_s * 2.0, 1000.0), float(now_s))
    log.end(1)
    assert lines == [
        "progress: a.mp3: 2:00 written of 16:40, 7:20 left",
        "progress: a.mp3: 4:00 written of 16:40, 6:20 left",
    ]


def test_a_file_is_as_far_as_the_last_of_those_who_make_something_of_it():
    steps = [(0.0, "decode", 900.0), (1.0, "transcribe", 500.0)]
    assert paced(steps[:1]).done_s is None
    assert paced(steps).done_s == 500.0
    both = paced([*steps, (2.0, "diarize", 300.0)])
    assert both.done_s == 300.0
    assert both.written(2.0) == "15:00 heard, 8:20 written, 5:00 told apart of 16:40"
    assert paced([*steps, (2.0, "diarize", 700.0)]).done_s == 500.0
