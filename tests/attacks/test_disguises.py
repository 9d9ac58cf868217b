"""What is found of calls in disguise and of tricks on the checks that watch, and that no honest code is taken for it."""

import types
from pathlib import Path

import pytest
import torch

from grader.forbidden import ForbiddenCalls, find_tools, find_uses
from tests.attacks.disguises import OPERATORS, SOFTMAX

FORBIDDEN = ("torch.softmax", ".softmax", "F.softmax")
REPOSITORY = Path(__file__).parents[2]
HONEST = sorted([*REPOSITORY.glob("solutions/ch*/[!_]*.py"), *REPOSITORY.glob("tests/ch*/another_way.py")])
HONEST = [file for file in HONEST if not file.name.startswith("test_")]


def where_found(source: str, exercise: str, forbidden: tuple[str, ...], argument: torch.Tensor) -> str:
    if find_uses(source, exercise, forbidden) or find_tools(source):
        return "text"
    module = types.ModuleType("attention")
    calls = ForbiddenCalls(forbidden, lambda name: name == "attention.py")
    with calls:
        exec(compile(source, "attention.py", "exec"), vars(module))
        getattr(module, exercise)(argument)
    return "trace" if calls.use else "nowhere"


@pytest.mark.parametrize("name", SOFTMAX)
def test_forbidden_call_in_disguise(name):
    where, source = SOFTMAX[name]
    assert where_found(source, "softmax", FORBIDDEN, torch.ones(2, 3)) == where


@pytest.mark.parametrize("name", [name for name, (where, _) in OPERATORS.items() if where == "text"])
def test_trick_on_a_counter(name):
    assert find_tools(OPERATORS[name][1])


@pytest.mark.parametrize("file", HONEST, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_solution_needs_such_tools(file):
    assert find_tools(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import re\nWORD = re.compile('a')",
        "import sys\nsys.setrecursionlimit(5000)\nsys.path.insert(0, '.')",
        "import torch\ntorch.backends.cuda.matmul.allow_tf32 = True\ntorch._dynamo.config.cache_size_limit = 32",
        "import torch\ndef load(config): return getattr(torch, config['torch_dtype'])",
        "def scored(model):\n    model.eval()\n    return model",
        "import torch\nstep = torch.compile(lambda x: x + 1)",
        "class Own:\n    pass\nown = Own()\nsetattr(own, 'mask', 3)\nown.weights = 4",
    ],
)
def test_honest_lines_are_left_alone(line):
    assert find_tools(line) == []
