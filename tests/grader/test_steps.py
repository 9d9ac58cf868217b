"""Counting the lines that a call runs."""

import sys
import time
from types import ModuleType

import pytest

from grader.observe import Setting, observe
from grader.steps import Steps
from grader.time_limit import TimeUp, time_limit


def a_loop(n):
    total = 0
    for i in range(n):
        total += i
    return total


def a_comprehension(n):
    return [i + 1 for i in range(n)]


def a_generator(n):
    return sum(i + 1 for i in range(n))


def calls_another(n):
    return a_loop(n) + a_loop(n)


@pytest.mark.parametrize(
    ("function", "lines_an_item"), [(a_loop, 2), (a_comprehension, 1), (a_generator, 1), (calls_another, 4)]
)
def test_each_item_costs_its_lines(function, lines_an_item):
    steps = Steps()
    more = steps.of(function, 1500) - steps.of(function, 500)
    assert more == lines_an_item * 1000


def test_every_call_is_counted_by_itself():
    steps = Steps()
    assert steps.of(a_loop, 9) == steps.of(a_loop, n=9) == Steps().of(a_loop, 9)


def test_the_tracer_of_before_is_back_even_after_an_exception():
    def other(frame, event, argument):
        return None

    before = sys.gettrace()
    sys.settrace(other)
    try:
        with pytest.raises(ZeroDivisionError):
            Steps().of(lambda: 1 / 0)
        assert sys.gettrace() is other
        Steps().of(a_loop, 3)
        assert sys.gettrace() is other
    finally:
        sys.settrace(before)


def test_who_switches_the_counting_off_gets_no_number():
    def hides():
        sys.settrace(None)
        a_loop(1000)

    with pytest.raises(RuntimeError, match="could not be counted"):
        Steps().of(hides)


def test_counting_does_not_pass_for_a_debugger():
    def endless():
        while True:
            pass

    start = time.perf_counter()
    with pytest.raises(TimeUp), time_limit(0.2):
        Steps().of(endless)
    assert time.perf_counter() - start < 5


def test_a_check_is_given_it_by_name():
    def check(module, steps):
        return steps.of(a_loop, 10) - steps.of(a_loop, 5)

    reply = observe(check, ("module", "steps"), ModuleType("student"), Setting(seed=1))
    assert reply.observation == 10
