"""An exception in the check's own line says what came of the student's code, and what to do."""

import random
import sys

import pytest
import torch

from grader.answers import Live
from grader.chapter_run import ChapterRun
from grader.chapters import Tree
from grader.failure_text import failure_text
from grader.observe import Setting, observe
from grader.verdicts import decide
from tests.grader.toy import SOLUTION

HEAD = "import torch\nfrom torch import nn\nfrom grader.checks import check\n\n\n"
LAYER = "    layer = attention.Attention(6, 4)\n"
FORWARD = "return weights @ values, weights"


def report(toy, body: str, module: str = SOLUTION, shared: str = "") -> tuple[str, object]:
    """What a student reads when a check of this body fails on their module, and the verdict."""
    parts = [
        HEAD,
        shared,
        '@check("Attention", seconds=0.5)\n',
        'def f(attention, draw):\n    """X."""\n',
        body,
    ]
    [check] = toy.checks("".join(parts))
    tree = Tree.of_package("toy_solutions")
    file = toy.student(module)
    run = ChapterRun(
        "ch3",
        [check],
        file,
        lambda: tree.load("ch3", module, str(file), "student"),
        Live(tree, "ch3", "x"),
        master="x",
        other_module=tree.module_named,
        student_folder=toy.exercises.parent,
    )
    verdict = run.verdict("f")
    assert verdict.outcome == "error"
    text = failure_text(verdict, "pytest -k f")
    assert all(len(line) <= 80 and line == line.rstrip() for line in text.splitlines()), text
    return text, verdict


def returning(what: str) -> str:
    assert SOLUTION.count(FORWARD) == 1
    return SOLUTION.replace(FORWARD, what)


@pytest.mark.parametrize(
    ("what", "came", "step"),
    [
        ("return weights @ values", "a tensor of shape (1, 5, 4)", "Attention.forward returns."),
        ("weights @ values, weights", "None", "Attention.forward returns; is there a `return`?"),
        (
            "return values, weights, scores[0, 0]",
            "a tuple of 3: (tensor of shape (1, 5, 4), tensor of shape\n"
            "              (1, 5, 5), tensor of shape (5,))",
            "Attention.forward returns.",
        ),
        ("return {1: 2}", "a dict of 1: {1: 2}", "Attention.forward returns."),
        ("return 5", "5, an int", "Attention.forward returns."),
        ("return (v for v in [1])", "a generator", "Attention.forward returns."),
    ],
)
def test_a_result_that_cannot_be_taken_apart(toy, what, came, step):
    text, verdict = report(
        toy, f"{LAYER}    _, weights = layer(draw.normal(1, 5, 6))\n    return weights\n", returning(what)
    )
    assert "  > _, weights = layer(draw.normal(1, 5, 6))\n    return weights\n" in text
    assert "What Attention.forward returned does not fit the line marked >:\n" in text
    assert f"    expected  2 values: _, weights\n    actual    {came}\n" in text
    assert f"  {verdict.message[:40]}" in text
    assert text.endswith(f"Next: look at what {step}")


def test_several_at_once(toy):
    body = f"{LAYER}    x = draw.normal(1, 5, 6)\n    (a, b), (c, d) = (1, 2), layer(x)\n    return a\n"
    text, _ = report(toy, body, returning("return weights"))
    assert "    expected  2 values: c, d\n    actual    a tensor of shape (1, 5, 5)\n" in text


def test_items_of_a_result(toy):
    body = "    return [a + b for a, b in attention.count_up(3)]\n"
    text, _ = report(toy, body)
    assert "The line marked > cannot work with what came:\n\n    attention.count_up(3)  a list of 3:" in text
    assert text.endswith("Next: look at what count_up returns.")
    text, _ = report(toy, "    for a, b in attention.count_up(3):\n        pass\n    return 1\n")
    assert "  > for a, b in attention.count_up(3):\n        pass\n    return 1\n" in text


def test_an_attribute_that_is_not_there(toy):
    text, _ = report(toy, f"{LAYER}    return layer.W_query.weight\n", SOLUTION.replace("W_query", "W_q"))
    assert "  > return layer.W_query.weight\n" in text
    assert "The line marked > asks for an attribute that is not there:\n" in text
    assert "    expected  layer.W_query\n    actual    an Attention with W_q, W_key, W_value\n" in text
    assert text.endswith("Next: give Attention `W_query`, as its docstring says.")


def test_none_where_a_tensor_was_to_come(toy):
    body = f"{LAYER}    weights = layer(draw.normal(1, 5, 6))\n    return weights.sum()\n"
    text, _ = report(toy, body, returning("weights @ values"))
    assert "  > return weights.sum()\n" in text
    assert "cannot work with what came:\n\n    weights  None\n\n  AttributeError: 'NoneType'" in text
    assert text.endswith("Next: look at what Attention.forward returns; is there a `return`?")


@pytest.mark.parametrize(
    ("body", "replace", "with_", "called", "yours"),
    [
        (
            "    return attention.Attention(d_in=6, d_out=4, bias=False)\n",
            "",
            "",
            "attention.Attention(d_in=6, d_out=4, bias=False)",
            "Attention(d_in, d_out)",
        ),
        (
            f"{LAYER}    return layer(draw.normal(1, 5, 6))\n",
            "def forward(self, x):",
            "def forward(self, x, mask: bool, p=0.1):",
            "layer(draw.normal(1, 5, 6))",
            "Attention.forward(x, mask, p=0.1)",
        ),
        (
            "    return attention.count_up()\n",
            "",
            "",
            "attention.count_up()",
            "count_up(n)",
        ),
    ],
)
def test_other_parameters_than_the_check_gives(toy, body, replace, with_, called, yours):
    text, _ = report(toy, body, SOLUTION.replace(replace, with_) if replace else SOLUTION)
    name = yours.partition("(")[0]
    assert f"The line marked > gives {name} arguments that yours does not take:\n" in text
    assert f"    called    {called}\n    yours     {yours}\n" in text
    assert text.endswith(f"Next: give {name} the parameters and decorators of its stub.")


def test_a_number_that_is_called(toy):
    module = SOLUTION.replace("super().__init__()", "super().__init__()\n        self.length = 3")
    text, _ = report(toy, f"{LAYER}    return layer.length()\n", module)
    assert "    layer.length  3, an int\n\n  TypeError: 'int' object is not callable" in text
    assert text.endswith("Next: look at Attention.length.")


def test_only_what_is_the_students_is_shown(toy):
    body = f"{LAYER}    x, y = draw.normal(2), layer(draw.normal(1, 5, 6))\n    return x @ y\n"
    text, _ = report(toy, body)
    came = "(tensor of shape (1, 5, 4), tensor of shape (1, 5, 5))"
    assert f"what came:\n\n    y  a tuple of 2: {came}\n\n  TypeError" in text


def test_in_a_helper_and_in_a_lambda_the_checks_own_line_is_shown(toy):
    helper = "SHARED = ('total',)\ndef total(layer):\n    return layer(torch.ones(1, 5, 6)).sum()\n\n\n"
    text, _ = report(toy, f"{LAYER}    return total(layer)\n", shared=helper)
    assert "  > return total(layer)\n" in text and "    layer  an Attention\n" in text
    text, _ = report(toy, f"{LAYER}    f = lambda: layer(1, 2, 3)\n    return f()\n")
    assert "  > f = lambda: layer(1, 2, 3)\n    return f()\n" in text
    assert "    yours     Attention.forward(x)\n" in text


def test_a_long_check_shows_its_marked_line_and_whole_statements(toy):
    noise = "".join(f"    unrelated_{i} = {i}\n" for i in range(20))
    body = f"    other = [draw.normal(2)]\n{noise}    a, b = other\n{LAYER}    return layer.x\n"
    text, _ = report(toy, body)
    assert "  > a, b = other\n" in text and "unrelated" not in text and "    return layer.x\n" in text


def test_with_a_line_of_the_students_nothing_changes(toy):
    body = f"{LAYER}    return layer(draw.normal(1, 5, 6))\n"
    text, verdict = report(toy, body, returning("return weights @ nothing"))
    assert verdict.reply.fault.own_line is None and ">" not in text
    assert "This raised an exception:" in text and "return weights @ nothing" in text


def test_the_second_look_is_silent_short_and_leaves_no_trace(toy, capfd):
    torch.manual_seed(5)
    random.seed(5)
    for what in (
        "print('again'); torch.manual_seed(1); torch.warn = 1; return weights",
        "import sys; sys.exit(3)",
        "import warnings; warnings.warn('again'); return weights",
    ):
        again = f"self.calls = getattr(self, 'calls', 0) + 1\n        if self.calls > 1:\n            {what}"
        report(
            toy, f"{LAYER}    _, w = layer(draw.normal(1, 5, 6))\n", returning(f"{again}\n        return 1")
        )
    endless = again.replace(what, "\n                ".join(["while True:", "pass"]))
    text, _ = report(
        toy, f"{LAYER}    _, w = layer(draw.normal(1, 5, 6))\n", returning(f"{endless}\n        return 1")
    )
    assert "The line marked > raised an exception:\n" in text
    assert "again" not in "".join(capfd.readouterr())
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(5)))
    assert random.random() == random.Random(5).random()


def test_the_second_look_stops_at_no_breakpoint(toy, monkeypatch):
    stops = []
    monkeypatch.setattr("sys.breakpointhook", lambda *_, **__: stops.append(1))
    text, _ = report(
        toy, f"{LAYER}    _, w = layer(draw.normal(1, 5, 6))\n", returning("breakpoint(); return 1")
    )
    assert len(stops) == 1 and "    actual    1, an int\n" in text
    sys.breakpointhook()
    assert len(stops) == 2


@pytest.mark.parametrize(
    "evil",
    [
        "class Evil:\n    __module__ = property(lambda self: 1 / 0)",
        "class Evil:\n    def __getattr__(self, name):\n        raise SystemExit",
        "class Meta(type):\n    def __getattr__(cls, name):\n        1 / 0\nclass Evil(metaclass=Meta): pass",
        "class Evil:\n    __slots__ = ()\n    __signature__ = 3\n    def __repr__(self):\n        1 / 0",
        "class Evil:\n    def __init__(self):\n        self.__dict__['\\x1b[2J' * 50] = 1",
    ],
)
@pytest.mark.parametrize("use", ["a, b = evil", "evil.x", "evil()", "evil + 1", "float(evil)", "evil[0]"])
def test_nothing_of_a_students_object_gets_through(toy, evil, use):
    module = f"{SOLUTION}\n\n{evil}\n"
    body = f"    evil = attention.Evil()\n    {use}\n    return 1\n"
    text, verdict = report(toy, body, module)
    assert "\x1b" not in text
    assert f"  > {use}\n" in text or verdict.reply.fault.lines


def test_where_the_source_is_not_at_hand_nothing_is_said(toy):
    source = "def f(module):\n    a, b = module.count_up(3)\n"
    space: dict = {}
    exec(compile(source, "<check>", "exec"), space)
    module = Tree.of_package("toy_solutions").module("ch3")
    reply = observe(space["f"], ("module",), module, Setting(seed=1))
    assert reply.outcome == "error" and reply.fault.own_line is None
    [check, *_] = toy.checks()
    decide(check, reply, Live(Tree.of_package("toy_solutions"), "ch3", "x"), 1)
