from hypothesis import given
from hypothesis import strategies as st

from ifw.cli.printer import Printer, stamp
from ifw.types import Segment, Transcript


def segment(text, start_s=0.0, end_s=1.0):
    return Segment(0, start_s, end_s, text, (), "en", 0.0, 0.0, 1.0, 0.0)


def test_the_first_unfinished_input_is_printed_at_once():
    out = []
    printer = Printer(["a", "b"], out.append)
    printer.segment(0, segment("a1"))
    printer.segment(1, segment("b1"))
    assert out == ["a1\n"]
    printer.skip(0)
    assert out == ["a1\n", "b1\n"]
    printer.segment(1, segment("b2"))
    assert out[-1] == "b2\n"


@given(st.permutations([(index, part) for index in range(4) for part in range(3)]))
def test_output_is_that_of_one_file_after_another(events):
    """Whatever the order in which files take turns, nothing is lost, doubled or mixed."""
    out = []
    printer = Printer("abcd", out.append)
    parts_left = dict.fromkeys(range(4), 3)
    for index, _ in events:
        parts_left[index] -= 1
        printer.segment(index, segment(f"{index}{parts_left[index]}"))
        if parts_left[index] == 0:
            printer.skip(index)
    assert out == [f"{index}{part}\n" for index in range(4) for part in (2, 1, 0)]


def test_people_see_which_file_it_is():
    """A file without text is named too, one that failed before any text is not."""
    out = []
    printer = Printer(["a", "b", "c"], out.append, stamps=True)
    assert out == []
    printer.segment(1, segment("Hi."))
    printer.skip(0)
    printer.segment(1, segment("You."))
    printer.skip(1)
    printer.finish(2, Transcript("", (), "en", 1.0, 1.0))
    assert "".join(out) == ("==> b <==\n[00:00.000 --> 00:01.000] Hi.\n[00:00.000 --> 00:01.000] You.\n==> c <==\n")


def test_other_formats_wait_for_the_end():
    out = []
    printer = Printer(["a"], out.append, format_name="srt")
    printer.segment(0, segment("Hi."))
    assert out == []
    printer.finish(0, Transcript("Hi.", (segment("Hi."),), "en", 1.0, 1.0))
    assert out == ["1\n00:00:00,000 --> 00:00:01,000\nHi.\n\n"]


def test_stamp():
    assert stamp(segment("", 59.9996, 3600.0)) == "[01:00.000 --> 01:00:00.000]"
