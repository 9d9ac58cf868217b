"""What `course watch` shows beside a verdict."""

import warnings

from course.check_process import _not_started, _printed, _run_checks
from grader.release import make_stub
from tests.grader.conftest import toy  # noqa: F401
from tests.grader.test_summary import MASK, STUB, WRITTEN, waiting
from tests.grader.test_verdicts import public_run
from tests.grader.toy import SOLUTION


def test_warnings_are_no_print():
    with _printed() as printed:
        print("size 3")
        for _ in range(3):
            warnings.warn("Using a target size that is different to the input size.\nMore " * 9, stacklevel=1)
    text = printed.end()
    said, _, warned = text.partition("It warned:")
    assert said == "\n\nIt printed:\n\n  size 3\n\n"
    assert warned.count("UserWarning: Using a target size") == 1 and "More" not in warned
    assert all(len(line) <= 80 for line in text.splitlines())


def test_nothing_printed_nothing_said():
    with _printed() as printed:
        pass
    assert printed.end() == ""


def test_a_long_line_says_that_it_goes_on():
    with _printed() as printed:
        print("x" * 200)
    assert printed.end() == "\n\nIt printed:\n\n  " + "x" * 77 + "…"


def test_what_is_left_to_write_is_shown_before_what_waits_for_it(toy):  # noqa: F811
    run = waiting(toy, "first")
    toy.student(STUB.replace(MASK, WRITTEN))
    told = []
    wanted = ["causal_mask", "count_up"]
    _run_checks(run, list(run.checks.values()), wanted, True, lambda **message: told.append(message))
    [first] = [message["first"] for message in told if "first" in message]
    assert (first["exercise"], first["outcome"]) == ("count_up", "not started")


def test_all_that_remains_of_an_exercise_is_told(toy):  # noqa: F811
    toy.student(make_stub(SOLUTION, "attention.py"))
    text = _not_started(public_run(toy), "Attention", "Attention.__init__")
    assert "attention.py, line 12; to write: __init__, forward\n" in text
    assert "line 7\n" in _not_started(public_run(toy), "causal_mask", "causal_mask")
