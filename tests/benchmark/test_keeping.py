"""Inputs that are made once."""

import pytest

from ifw.benchmark.keeping import kept


def test_what_is_there_is_not_made_again_and_what_was_made_otherwise_is(tmp_path):
    folder = tmp_path / "new"
    first = kept(folder, "one-0.npy", 1, lambda path: path.write_text("first"))
    again = kept(folder, "one-0.npy", 1, lambda path: path.write_text("again"))
    other = kept(folder, "one-0.npy", 2, lambda path: path.write_text("other"))
    assert again == first != other
    assert (first.name, other.name) == ("one-0-v1.npy", "one-0-v2.npy")
    assert (first.read_text(), other.read_text()) == ("first", "other")


def test_half_of_one_does_not_count(tmp_path):
    def fails(path):
        path.mkdir()
        (path / "weights").write_text("half")
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        kept(tmp_path, "checkpoint", 1, fails)

    def works(path):
        path.mkdir()
        (path / "weights").write_text("whole")

    assert (kept(tmp_path, "checkpoint", 1, works) / "weights").read_text() == "whole"
