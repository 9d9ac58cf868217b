"""What a student reads: 80 columns, ASCII where it must be, nothing that steers the terminal."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import numpy as np
import pytest
import torch

import grader
from grader.answers import WrongTurn
from grader.compare import compare
from grader.failure_text import failure_text, one_line
from grader.observations import freeze
from grader.observe import Fault, Line, Reply
from grader.verdicts import Verdict

INF = float("inf")


@pytest.fixture
def check(toy):
    return toy.checks()[1]


def wrong(check, expected, seen, **options) -> str:
    difference = compare(freeze(expected), freeze(seen))
    assert difference is not None
    return text_of(Verdict(check, "wrong", difference=difference, **options))


def text_of(verdict: Verdict) -> str:
    """The text, after the checks that hold for each."""
    text = failure_text(verdict, "pytest exercises/ch3 -k weights_and_context")
    plain = failure_text(verdict, "pytest exercises/ch3 -k weights_and_context", plain=True)
    assert plain.isascii()
    for line in [*text.splitlines(), *plain.splitlines()]:
        assert len(line) <= 80, line
        assert line.isprintable() and line == line.rstrip()
    assert one_line(verdict).isprintable()
    return text


def test_it_says_what_is_looked_at_what_was_called_and_what_to_do(check):
    turns = (WrongTurn("unscaled-scores", "Attention", "The scores are not divided."),)
    text = wrong(check, torch.zeros(2, 3), torch.zeros(3, 2), wrong_turns=turns)
    assert text.startswith("Attention: The softmax of the scaled scores, applied to the values.\n")
    assert "    context, weights = layer(draw.normal(2, 6, 6))\n" in text
    assert "The shape is (3, 2); expected (2, 3)." in text
    assert "This is what comes of unscaled-scores. The scores are not divided." in text
    assert text.endswith("Next: mend that, then `pytest exercises/ch3 -k weights_and_context`.")


@pytest.mark.parametrize(
    ("expected", "seen", "words"),
    [
        (1, 2.0, ["The type is float; expected int", "expected  1", "actual    2.0000"]),
        ([1, 2], None, ["The type is None; expected list"]),
        (torch.zeros(2), [0.0, 0.0], ["The type is list; expected tensor of shape (2,)"]),
        (torch.zeros(2), torch.zeros(2).double(), ["The dtype is float64; expected float32"]),
        (torch.zeros(2), torch.tensor([0, float("nan")]), ["There is NaN", "nan", "first at [1]"]),
        ({"a": 1}, {"b": 1}, ["lacks 'a' and has 'b', not expected"]),
        ({1: 1}, {True: 1}, ["keys of other types"]),
        ([1, 2, 3], [1, 2], ["has 2 items; expected 3", "first at place 2", "1, 2, 3"]),
        (
            list(range(50)),
            [*range(40), *range(41, 51)],
            ["at [40]", "place 40, shown from place 38", "38, 39, 40"],
        ),
        ("hello world", "hello w0rld", ["they part at character 7", "'hello w0rld'"]),
        ("a" * 100 + "b", "a" * 100, ["part at character 100, shown from character 80"]),
        (b"ab", b"ac", ["expected  b'ab'", "actual    b'ac'"]),
        ({"loss": 4.17}, {"loss": 3.2}, ["The value at ['loss']", "4.1700", "3.2000"]),
        (torch.tensor(1.0), torch.tensor(1.5), ["expected  1.0000", "actual    1.5000"]),
        (1.00001, 1.0003, ["1.0000", "1.0003"]),
        (torch.tensor([0.1, 5.00001]), torch.tensor([0.1, 5.001]), ["5.0000", "5.0010", "1 of 2 numbers"]),
        (torch.tensor([1, 2, 3]), torch.tensor([1, 5, 3]), ["1 2 3", "1 5 3", "^"]),
        ([(b"a", b"b")], [(b"a", b"c")], ["at [0][1]"]),
        (np.ones(3), np.zeros(3), ["3 of 3 numbers differ"]),
        (torch.tensor([True, False]), torch.tensor([True, True]), ["True", "False"]),
        (torch.ones(1, dtype=torch.bfloat16), torch.zeros(1, dtype=torch.bfloat16), ["1.0000"]),
        (torch.ones(3, 3, dtype=torch.complex64), torch.ones(3, 3, dtype=torch.complex64) * 1j, ["1j"]),
        (torch.ones(6, 6, dtype=torch.complex64), torch.ones(6, 6, dtype=torch.complex64) * 1j, ["1j"]),
    ],
    ids=range(23),
)
def test_each_kind_of_difference_shows_the_part_that_differs(check, expected, seen, words):
    text = wrong(check, expected, seen)
    for word in words:
        assert word in text, text


def test_small_matrices_stand_side_by_side(check):
    mask = torch.full((4, 4), -INF).triu(1)
    text = wrong(check, mask, mask.T)
    assert "        0  -inf  -inf  -inf         0     0*    0*    0*\n" in text
    assert "12 of 16 numbers differ, first at [0, 1]" in text


def test_larger_matrices_have_a_picture_and_numbers(check):
    expected = torch.eye(6).expand(2, 6, 6).clone()
    seen = expected.clone()
    seen[1, 4] = torch.tensor([0.5, 0.25, 0, INF, 0, 0])
    text = wrong(check, expected, seen)
    assert "     4 ········██··         ▒▒░░··>>···· *" in text
    assert "· is 0, █ is 1, > is inf, signs aside" in text
    assert "row [1, 4]" in text and "0.5000" in text and "inf" in text
    plain = failure_text(Verdict(check, "wrong", difference=compare(expected, seen)), plain=True)
    assert "     4 ........##..         ++::..>>.... *" in plain


def test_big_tensors_show_a_window(check):
    expected = torch.zeros(1, 30, 50_257)
    seen = expected.clone()
    seen[0, 3, 40_000] = 1e-3
    text = wrong(check, expected, seen)
    assert "1 of 1,507,710" in text or "1 of 1507710" in text
    assert "row [0, 3], from 39999 to 40005 of 50257" in text
    assert text.count("\n") < 25


def test_errors_show_the_students_lines_and_a_short_message(check):
    line = Line(
        str(Path.cwd() / "exercises" / "ch3" / "attention.py"), 28, "Attention.forward", "x = y @ z" * 20
    )
    fault = Fault("RuntimeError", "sizes\n" + "do not match " * 200 + "\x1b[31m", (line,) * 9)
    text = text_of(Verdict(check, "error", "x\x1b[2J", reply=Reply("error", fault=fault)))
    assert text.count("attention.py:28, in Attention.forward") == 3
    assert "RuntimeError: sizes do not match" in text and "…" in text
    assert len(text.splitlines()) < 30
    assert "--pdb` stops" in text.replace("\n  ", " ")


def test_what_a_student_wrote_cannot_steer_the_terminal(check):
    evil = "\x1b[2J\x07\u202e\r"
    text = wrong(check, {"a": "x"}, {"a": evil})
    assert "\\x1b[2J" in text and "\u202e" not in text
    text_of(Verdict(check, "wrong", evil))
    wrong(check, {"a": 1}, {evil: 1})
    text_of(Verdict(check, "grader fault", "x \x1b"))


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("timeout", "stopped"),
        ("forbidden", "the exercise itself"),
        ("missing", "course reset Attention"),
        ("not started", "Not started."),
        ("blocked", "Blocked."),
        ("grader fault", "not your fault"),
    ],
)
def test_other_outcomes(check, outcome, words):
    fault = Fault("TimeUp", "still running after 2 s")
    assert words in text_of(Verdict(check, outcome, "by this", reply=Reply(outcome, fault=fault)))


def test_long_checks_show_what_uses_the_module(toy):
    body = "\n".join(f"    unrelated_{i} = {i}" for i in range(14))
    source = f'''from grader.checks import check


@check("count_up")
def long(attention, draw):
    """Words."""
    start = {{"a": 1}}
{body}
    counted = attention.count_up(3)
    more = [counted[0], "a very long line that goes on and on beyond what fits", "into eighty columns"]
    return more
'''
    [check] = toy.checks(source)
    text = wrong(check, 1, 2)
    assert "unrelated" not in text and "    counted = attention.count_up(3)\n" in text
    assert "    more = [counted[0]," in text and "    return more\n" in text


def test_docstring_examples():
    tried = 0
    for module in pkgutil.iter_modules(grader.__path__):
        result = doctest.testmod(importlib.import_module(f"grader.{module.name}"))
        assert result.failed == 0, module.name
        tried += result.attempted
    assert tried >= 10
