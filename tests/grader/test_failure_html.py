"""A failure as HTML: both sides in full, what differs marked by a sign, and nothing of it is markup."""

import html
import re

import pytest
import torch

from grader.compare import compare
from grader.failure_html import failure_html
from grader.verdicts import Verdict


def shown(expected, seen) -> str:
    difference = compare(expected, seen)
    return failure_html(Verdict(None, "wrong", difference=difference), "Some words.")


def cells(page: str) -> list[list[str]]:
    """The tables' rows as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.S)
    return [
        [html.unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall(r"<t[dh].*?</t[dh]>", row)]
        for row in rows
    ]


def test_two_matrices_stand_side_by_side():
    page = shown(torch.eye(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    assert cells(page) == [
        *(["", "[0]", "[1]"], ["[0]", "1.0000", "0"], ["[1]", "0", "1.0000"]),
        *(["", "[0]", "[1]"], ["[0]", "1.0000", "≠ 0.5000"], ["[1]", "0", "1.0000"]),
    ]
    assert "1 of 4 numbers differ, first at [0, 1], by up to 0.5" in page
    assert "color" not in page


def test_of_a_large_tensor_the_part_that_differs():
    expected = torch.zeros(3, 40, 30)
    seen = expected.clone()
    seen[1, 20, 29] = 7
    page = shown(expected, seen)
    assert "here [1, :, :]; rows 19 to 26 of 40, columns 24 to 29 of 30" in page
    rows = cells(page)
    assert len(rows) == 2 * (1 + 8) and sum("≠ 7.0000" in row for row in rows) == 1


@pytest.mark.parametrize("small", [1e-3, 1e-7, 1e-12])
def test_numbers_that_differ_never_look_the_same(small):
    page = shown(
        torch.tensor([1.0, small], dtype=torch.float64), torch.tensor([1.0, 2 * small], dtype=torch.float64)
    )
    if "<table" in page:  # the smallest are within the tolerance
        rows = cells(page)
        assert rows[1][2] != rows[3][2].removeprefix("≠ ")


@pytest.mark.parametrize(
    "expected, seen, rows",
    [
        (torch.zeros(2, 3), torch.zeros(3, 2), [["(2, 3)", "(3, 2)"]]),
        (torch.zeros(2), torch.zeros(2, dtype=torch.int64), [["float32", "int64"]]),
        (1.5, "1.5", [["a float: 1.5000", "a str: '1.5'"]]),
        (torch.zeros(2), None, [["a tensor of shape (2,)", "None"]]),
        ({"a": 1}, {"b": 1}, [["['a']", "['b']"]]),
        ([1, 2, 3], [1, 4, 3], [["[0]", "1", "1"], ["[1]", "2", "≠ 4"], ["[2]", "3", "3"]]),
        ([1, 2], [1], [["[0]", "1", "1"], ["[1]", "2", "≠ nothing"]]),
        ("abc", "abd", [["'abc'", "'abd'"]]),
        (True, False, [["True", "False"]]),
        (torch.tensor(2.0), torch.tensor(3.0), [["2.0000", "3.0000"]]),
    ],
)
def test_both_sides(expected, seen, rows):
    assert cells(shown(expected, seen))[1:] == rows


def test_what_comes_from_a_student_is_no_markup():
    evil = "<img src=x onerror=alert(1)>\x1b[2J"
    for page in (shown("abc", evil), shown(["a"], [evil]), shown({"a": 1}, {evil: 1}), shown(1, evil)):
        assert "<img" not in page and "&lt;img" in page and "\x1b" not in page
    page = failure_html(Verdict(None, "error"), f"AttributeError: {evil}")
    assert "<img" not in page and page.startswith("<pre")
