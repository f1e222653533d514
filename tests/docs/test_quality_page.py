"""Every complaint that `docs/quality.md` answers for has a row, and every test that a row names exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (\d+) \|(.*)\|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
CANNOT = "Cannot occur"
ROWS = ROW.findall((ROOT / "docs" / "quality.md").read_text(encoding="utf-8"))


@cache
def names_in(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_complaint_has_one_row():
    assert [int(number) for number, _ in ROWS] == [*range(1, 21), 31]


@pytest.mark.parametrize(("number", "row"), ROWS, ids=[number for number, _ in ROWS])
def test_a_row_names_tests_that_exist_or_says_why_it_needs_none(number, row):
    named = TEST.findall(row)
    assert named or CANNOT in row, number
    for path, name in named:
        assert name in names_in(path), f"{path}::{name}"


def test_nothing_that_looks_like_a_test_escapes_the_check():
    for _, row in ROWS:
        assert len(re.findall(r"test_\w+`", row)) == len(TEST.findall(row)), row
