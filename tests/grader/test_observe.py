"""Running a check's function: what comes back, whatever the code does."""

import random
import sys
import threading
import time
from types import ModuleType

import pytest
import torch

from grader.observe import Setting, observe
from grader.time_limit import TimeUp, time_limit

MODULE = ModuleType("student")
MODULE.__file__ = __file__


def run(function, *parameters, **options):
    return observe(function, ("module", *parameters), MODULE, Setting(seed=1, **options))


def test_it_is_given_what_it_asks_for():
    def check(module, operators, draw, model, folder):
        (folder / "file").write_text("x")
        with operators:
            draw.normal(2, 3) @ torch.ones(3, 1)
        return [model.__name__, operators.count("matmul"), draw.seed, folder.name]

    reply = run(check, "operators", "draw", "model", "folder", other_module=ModuleType)
    assert reply.outcome == "seen"
    assert reply.observation[:3] == ["model", 1, 1]


def test_operators_count_calls_and_not_looks():
    def check(module, operators):
        x = torch.ones(4, 3)
        with operators:
            x.shape, x.dtype, x.T.dim()
            for row in range(4):
                x[row].sum()
        with operators:
            torch.softmax(x, -1) + 1
        return dict(operators.names)

    first = run(check, "operators").observation
    names = run(check, "operators").observation
    assert names == first
    assert names["sum"] == 4 and names["__getitem__"] == 4 and names["softmax"] == 1
    assert "__get__" not in names


def test_errors_are_told_with_the_students_lines_only():
    def deep(x):
        return torch.ones(2, 3) @ torch.ones(2, 3) + x

    reply = run(lambda module: deep(1))
    assert reply.outcome == "error" and reply.fault.type == "RuntimeError"
    assert reply.fault.lines[-1].text == "return torch.ones(2, 3) @ torch.ones(2, 3) + x"
    assert reply.fault.lines[-1].function.endswith("deep")
    assert {line.file for line in reply.fault.lines} == {__file__}


class Unspeakable(KeyError):
    def __str__(self):
        raise ValueError("no")


class RuntimeErrorOfMine(BaseException):
    pass


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (SystemExit(0), "SystemExit"),
        (Unspeakable(), "KeyError"),
        (RuntimeErrorOfMine("x"), "BaseException"),
        (pytest.skip.Exception("skip me"), "BaseException"),
        (GeneratorExit(), "GeneratorExit"),
        (NotImplementedError("later"), "NotImplementedError"),
    ],
)
def test_any_exception_is_an_error(error, name):
    def check(module):
        raise error

    reply = run(check)
    assert (reply.outcome, reply.fault.type) == ("error", name)


def test_the_keyboard_is_ours():
    def check(module):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(check)


def test_a_stub_is_not_started():
    def check(module):
        raise NotImplementedError("Attention.forward: not written yet")

    assert run(check).outcome == "not started"


def test_a_run_leaves_the_process_as_it_was():
    def check(module):
        torch.manual_seed(99)
        random.seed(99)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        return torch.ones(1).dtype == torch.float64

    torch.manual_seed(5)
    random.seed(5)
    expected = torch.Generator().manual_seed(5)
    assert run(check).observation is True
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
    assert torch.equal(torch.rand(3), torch.rand(3, generator=expected))
    assert random.random() == random.Random(5).random()


def test_a_run_begins_the_same_each_time():
    def check(module):
        return [torch.rand(3), random.random(), torch.is_grad_enabled()]

    first = run(check).observation
    torch.manual_seed(1234)
    with torch.no_grad():
        second = run(check).observation
    assert torch.equal(first[0], second[0]) and first[1:] == second[1:]


def endless():
    while True:
        try:
            while True:
                pass
        except Exception:
            pass


def stubborn():
    for _ in range(3):
        try:
            while True:
                pass
        except BaseException:
            pass
    while True:
        pass


@pytest.mark.parametrize("function", [endless, lambda: time.sleep(60)])
def test_what_runs_too_long_stops_and_names_its_line(function):
    start = time.monotonic()
    reply = run(lambda module: function(), seconds=0.1)
    assert time.monotonic() - start < 20
    assert reply.outcome == "timeout" and reply.fault.message == "still running after 0.1 s"
    assert any(word in reply.fault.lines[-1].text for word in ("while True", "pass", "sleep"))


def test_catching_it_does_not_help(monkeypatch):
    monkeypatch.setattr("grader.time_limit.REPEAT_SECONDS", 0.05)
    assert run(lambda module: stubborn(), seconds=0.05).outcome == "timeout"


def test_the_limit_holds_in_other_threads_too():
    outcome = []

    def limited():
        try:
            with time_limit(0.05):
                endless()
        except TimeUp:
            outcome.append("stopped")

    thread = threading.Thread(target=limited)
    thread.start()
    thread.join(20)
    assert outcome == ["stopped"]


def test_nothing_is_stopped_under_a_debugger():
    sys.settrace(lambda *args: None)
    try:
        with time_limit(0.01):
            time.sleep(0.1)
    finally:
        sys.settrace(None)


def test_time_at_a_breakpoint_does_not_count_nor_what_follows():
    debugger = {"__name__": "pdb", "time": time}
    exec("def wait(): time.sleep(0.1)", debugger)
    with time_limit(0.02):
        debugger["wait"]()
        time.sleep(0.05)


def test_what_is_too_big_is_an_error():
    reply = run(lambda module: [[0] * 1000] * 1000)
    assert reply.outcome == "error" and "items" in reply.fault.message


def test_forbidden_calls_in_the_run():
    def check(module):
        return torch.softmax(torch.ones(3), 0)

    reply = run(check, forbidden=("torch.softmax",))
    assert reply.outcome == "forbidden" and reply.use.line == check.__code__.co_firstlineno + 1
    assert run(check, forbidden=("torch.softmin", "tiktoken")).outcome == "seen"
