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
from grader.failure_text import failure_text, one_line, short_line
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
    assert "Likely cause: The scores are not divided. (unscaled-scores)" in text
    assert text.endswith("Next: mend that, then `pytest exercises/ch3 -k weights_and_context`.")


@pytest.mark.parametrize(
    ("expected", "seen", "words"),
    [
        (1, 2.0, ["The result is a float; expected an int", "expected  1", "actual    2.0000"]),
        ([1, 2], None, ["The result is None; expected a list:", "expected  [1, 2]\n    actual    None"]),
        ({"a": 1}, {"a": None}, ["The value at ['a'] is None; expected an int"]),
        (torch.zeros(2), None, ["The result is None; expected a tensor of shape (2,)."]),
        (torch.zeros(2), [0.0, 0.0], ["The result is a list; expected a tensor of shape (2,)"]),
        (torch.zeros(2), torch.zeros(2).double(), ["The dtype is float64; expected float32"]),
        (
            torch.zeros(2),
            torch.tensor([0, float("nan")]),
            ["There is NaN", "1 of 2 numbers are NaN", "first at [1]"],
        ),
        ({"a": 1}, {"b": 1}, ["lacks 'a' and has 'b', not expected"]),
        ({1: 1}, {True: 1}, ["keys of other types"]),
        ([1, 2, 3], [1, 2], ["has 2 items; expected 3", "they part at [2]\n", "[1, 2, 3]\n", "[1, 2]\n"]),
        ([], [1], ["has 1 item; expected 0", "they part at [0]\n", "expected  []\n", "actual    [1]\n"]),
        (
            list(range(50)),
            [*range(40), *range(41, 51)],
            ["at [40]", "  shown from [38]\n", "  […, 38, 39, 40, 41,", "  […, 38, 39, 41,"],
        ),
        (
            ["a" * 70] * 5,
            ["a" * 70] * 4 + ["b"],
            ["shown from [4]", "expected  […, 'aaa", "actual    […, 'b']"],
        ),
        (
            [(torch.zeros(3), torch.zeros(3))] * 2,
            [torch.zeros(3)] * 2,
            ["expected  [(tensor of shape (3,), tensor of shape (3,)), …]"],
        ),
        ([[1, 2], [3]], [[1, 2], None], ["expected  [[1, 2], [3]]", "actual    [[1, 2], None]"]),
        (None, [1] * 300, ["expected  None\n    actual    [1, 1, 1,", "…] (300 items)"]),
        ({1: [2.5]}, (), ["is an empty tuple; expected a dict", "expected  {1: [2.5000]}", "actual    ()"]),
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
        (
            "ValueError",
            float("nan"),
            ["A ValueError was expected:", "expected  a ValueError is raised", "actual    nan is returned"],
        ),
        (
            {"width 7": "ValueError"},
            {"width 7": "AssertionError: width"},
            ["A ValueError was expected at ['width 7']:", "actual    an AssertionError is raised: width"],
        ),
        (["ValueError"], ["IndexError: "], ["actual    an IndexError is raised\n"]),
        (["ValueError"], ["no error"], ["expected at [0]:", "actual    nothing is raised"]),
        ("ValueError", torch.zeros(2), ["actual    a tensor of shape (2,) is returned"]),
        ("ValueError", "ValueError without 7", ["actual    a ValueError is raised without 7"]),
        (
            INF,
            "OverflowError",
            ["No exception was expected:", "expected  inf is returned", "an OverflowError is raised"],
        ),
    ],
    ids=range(38),
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


def test_beside_nan_all_else_that_differs_is_marked(check):
    """0 * inf: NaN below the diagonal, and a wrong -inf on it."""
    expected = torch.full((3, 3), -INF).triu(1)
    text = wrong(check, expected, torch.ones(3, 3).triu() * -INF)
    assert "6 of 9 numbers differ, 3 of them are NaN, first at [0, 0]" in text
    assert ["0", "0", "-inf", "nan*", "-inf*", "-inf"] in [line.split() for line in text.splitlines()]
    assert "Next: look for 0/0, 0 * inf, inf - inf, or a softmax" in text


def test_larger_matrices_have_a_picture_and_numbers(check):
    expected = torch.eye(6).expand(2, 6, 6).clone()
    seen = expected.clone()
    seen[1, 4] = torch.tensor([0.5, 0.25, 0, INF, 0, 0])
    text = wrong(check, expected, seen)
    assert "     4 ········██··         ▒▒░░··>>···· *" in text
    assert "     · is 0, █ is 1, > is inf\n" in text
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


def test_a_mask_of_infinities_has_a_true_legend(check):
    mask = torch.full((6, 6), -INF).triu(1)
    text = wrong(check, mask, mask.T)
    assert "     1 ····<<<<<<<<    <<·········· *\n" in text
    assert "\n       · is 0, < is -inf\n" in text
    assert "█ is 1e+09, < is -inf, signs aside" in wrong(check, mask, torch.full((6, 6), -1e9).triu(1))


def test_two_equal_pictures_are_none(check):
    expected = torch.full((5, 6), 11.0)
    text = wrong(check, expected, expected - torch.arange(30).view(5, 6) / 30)
    assert "█" not in text and "row [0]" in text and "10.9667" in text


def error(check, line: str, fault: str = "RuntimeError", message: str = "no", times: int = 1) -> str:
    file = str(Path.cwd() / "exercises" / "ch3" / "attention.py")
    lines = tuple(Line(file, 28, "Attention.forward", line) for _ in range(times))
    reply = Reply("error", fault=Fault(fault, message, lines))
    return text_of(Verdict(check, "error", message, reply=reply))


def test_errors_show_the_students_lines_and_a_short_message(check):
    message = "sizes\n" + "do not match " * 200 + "\x1b[31m"
    text = error(check, "x = y @ z", message=message)
    assert "  exercises/ch3/attention.py:28, in Attention.forward\n      x = y @ z\n" in text
    assert "RuntimeError: sizes do not match" in text and "…" in text
    assert len(text.splitlines()) < 30
    assert "--pdb` stops" in text.replace("\n  ", " ")


def test_a_long_line_of_the_students_is_folded_and_says_where_it_is_cut(check):
    text = error(check, f"scores = torch.matmul({', '.join(f'argument_{i}' for i in range(9))})")
    assert "      scores = torch.matmul(argument_0, argument_1," in text and "argument_8)\n" in text
    text = error(check, "x = y @ z  # " + "why " * 200)
    assert text.count("why") < 60 and "why …\n" in text


def test_what_grows_in_ascii_is_folded_again(check):
    turn = WrongTurn("a-turn", "Attention", "√ … " * 60)
    assert "sqrt  ... sqrt" in failure_text(Verdict(check, "wrong", wrong_turns=(turn,)), plain=True)
    wrong(check, {"√…√…": 1}, {"é" * 30: 1}, wrong_turns=(turn,))
    wrong(check, ["é" * 12] * 9, ["é" * 12] * 4 + ["b"] + ["é" * 12] * 4)


def test_a_line_that_calls_itself_is_told_once(check):
    text = error(check, "return merge(ids)", "RecursionError", "maximum recursion depth exceeded", times=900)
    assert text.count("return merge(ids)") == 1 and "(900 times)" in text
    assert text.endswith("Next: look at the call on that line: what makes it end?")


def test_a_line_with_a_comprehension_is_told_once(check):
    lines = [
        Line("a.py", 3, name, "return sum(x for x in y)") for name in ("count", "count.<locals>.<genexpr>")
    ]
    reply = Reply("error", fault=Fault("NameError", "no", (*lines, Line("a.py", 9, "other", "y"))))
    text = text_of(Verdict(check, "error", "no", reply=reply))
    assert "  a.py:3, in count\n      return sum(x for x in y)\n  a.py:9, in other\n      y\n" in text


def test_an_exception_without_words_has_no_colon(check):
    assert "\n  EOFError\n" in error(check, "x", "EOFError", "")


@pytest.mark.parametrize(
    ("fault", "line", "step"),
    [
        ("ImportError", "from ..ch3.attention import Nothing", "`from ..ch3.attention import"),
        ("ModuleNotFoundError", "from ch3.attention import Nothing", "`from ..ch3.attention import"),
        ("ModuleNotFoundError", "import pandas", "Next: mend that first."),
        ("SyntaxError", "def f(:", "Next: mend that first."),
    ],
)
def test_a_module_that_cannot_be_imported(check, fault, line, step):
    reply = Reply("error", fault=Fault(fault, "no", (Line("a.py", 1, "", line),)), importing=True)
    assert step in text_of(Verdict(check, "error", "no", reply=reply))


@pytest.mark.parametrize(
    ("returned", "expected", "seen", "step"),
    [
        ("attention.count_up(3)", [1], None, "look at what count_up returns; is there a `return`?"),
        ("attention.count_up(3)", [1], (1,), "look at what count_up returns."),
        ("attention.count_up(3)", torch.zeros(2), torch.zeros(3), "print the shapes in count_up, line by"),
        (
            "attention.count_up(3)",
            torch.zeros(2),
            torch.zeros(2).long(),
            "line of count_up where it becomes int64",
        ),
        (
            "attention.f(3)[0]",  # of a tuple that is the first tensor, with its batch
            torch.zeros(5, 6),
            torch.zeros(1, 5, 6),
            "look at what f returns: is it one tensor, or a tuple of several?",
        ),
        ("attention.Attention(2, 3).size", 1, "1", "look at Attention.size."),
        ("attention.Attention(2, 3).size", torch.zeros(2), torch.zeros(3), "look at Attention.size."),
        (
            "dict(attention.Attention(2, 3).named_parameters())",
            {"a": 1},
            {},
            "what Attention.__init__ makes.",
        ),
        ("[attention.f(1), attention.g(2)]", [1, 2], [1, "2"], "look at what g returns."),
        ("[attention.f(1), attention.g(2)]", [1, 2], (1, 2), "look at what f returns and what g returns."),
        ("draw.normal(3)", [1], {}, "look at Attention, with the lines above."),
        ("attention.count_up(3)", 1, 2, "`course hint Attention` gives a hint."),
        ("attention.count_up(3)", "ValueError", 2, "raise a ValueError where the docstring of Attention"),
    ],
)
def test_the_next_step_comes_from_the_checks_code(toy, returned, expected, seen, step):
    source = (
        "from grader.checks import check\n\n\n"
        f'@check("Attention")\ndef f(attention, draw):\n    """X."""\n    return {returned}\n'
    )
    [check] = toy.checks(source)
    assert step in wrong(check, expected, seen).replace("\n  ", " ")


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (80, "error: TypeError: cannot unpack"),
        (20, "error: TypeError"),
        (15, "error"),
        (4, ""),
    ],
)
def test_a_short_line_ends_with_a_whole_word(check, width, line):
    assert short_line(Verdict(check, "error", "TypeError: cannot unpack"), width) == line


def test_two_likely_causes(check):
    turns = tuple(WrongTurn(name, "Attention", f"It is {name}.") for name in ("a-a", "b-b", "c-c"))
    text = wrong(check, 1, 2, wrong_turns=turns)
    assert "Likely cause, one of these:\n\n  It is a-a. (a-a)\n\n  It is b-b. (b-b)\n\nNext" in text


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
        ("forbidden", "Next: write Attention without it, in the steps of its docstring."),
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
