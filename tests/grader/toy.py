"""A toy chapter, written into a temporary folder: solution, misconceptions, checks, recording, course.toml.

Packages have names of their own so that the real `solutions` and `exercises` are never meant.
"""

import importlib
import sys
from pathlib import Path

SOLUTION = '''\
"""A toy chapter."""

import torch
from torch import nn


def causal_mask(size):
    """0 where a token may look, -inf where it may not."""
    ### BEGIN SOLUTION
    return torch.full((size, size), float("-inf")).triu(1)
    ### END SOLUTION


class Attention(nn.Module):
    """One head. (B, T, C) to the context and the weights."""

    def __init__(self, d_in, d_out):
        super().__init__()
        ### BEGIN SOLUTION
        self.W_query = nn.Linear(d_in, d_out, bias=False)
        self.W_key = nn.Linear(d_in, d_out, bias=False)
        self.W_value = nn.Linear(d_in, d_out, bias=False)
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        queries, keys, values = self.W_query(x), self.W_key(x), self.W_value(x)
        scores = queries @ keys.mT / keys.shape[-1] ** 0.5
        weights = torch.softmax(scores + causal_mask(x.shape[1]), dim=-1)
        return weights @ values, weights
        ### END SOLUTION


def count_up(n):
    """The numbers from 0 to n - 1."""
    ### BEGIN SOLUTION
    return list(range(n))
    ### END SOLUTION
'''

MISCONCEPTIONS = """\
[[misconception]]
name = "unscaled-scores"
exercise = "Attention"
replace = " / keys.shape[-1] ** 0.5"
with = ""
says = "The scores go into the softmax undivided, so that it saturates as the head grows."

[[misconception]]
name = "mask-hides-itself"
exercise = "causal_mask"
replace = "triu(1)"
with = "triu(0)"
says = "The diagonal is hidden too: a token may look at itself."
"""

CHECKS = '''\
import torch

from grader.checks import check

SHARED = ("SIZE",)
SIZE = 3


@check("causal_mask")
def mask_values(attention, draw):
    """Zeros on and below the diagonal, -inf above it."""
    return attention.causal_mask(SIZE)


@check("Attention", needs="mask_values", forbidden="F.scaled_dot_product_attention")
def weights_and_context(attention, draw):
    """The softmax of the scaled scores, applied to the values."""
    layer = draw.fill(attention.Attention(6, 4))
    context, weights = layer(draw.normal(2, 6, 6))
    return {"weights": weights, "context": context}


@check("Attention", needs="weights_and_context")
def rows_sum_to_one(attention, draw):
    """Each row of the weights sums to 1."""
    layer = draw.fill(attention.Attention(6, 4))
    return layer(draw.normal(2, 6, 6))[1].sum(-1)


@check("count_up", seconds=0.5)
def counts(attention):
    """Counting starts at 0 and stops before n."""
    return attention.count_up(12)


@counts.accept
def _(seen, expected):
    if seen != expected:
        return "Those are not the numbers from 0 to 11."
'''

COURSE = """\
[course]
title = "Toy"
reference = "toy_solutions"

[chapters.ch3]
title = "Attention"
module = "attention"

[chapters.ch3.points]
causal_mask = 20
Attention = 70
count_up = 10
"""


class Toy:
    """The chapter's folders: `toy_solutions/ch3`, `toy_exercises/ch3` (public), `toy_hidden/ch3`."""

    def __init__(self, root: Path):
        self.root = root
        self.solutions = self._package("toy_solutions")
        self.exercises = self._package("toy_exercises")
        self.hidden = self._package("toy_hidden")
        (self.solutions / "attention.py").write_text(SOLUTION)
        (self.solutions / "misconceptions.toml").write_text(MISCONCEPTIONS)
        (self.exercises / "attention.py").write_text(SOLUTION)
        (self.exercises / "test_attention.py").write_text(CHECKS)
        (self.hidden / "test_attention.py").write_text(CHECKS)
        (root / "course.toml").write_text(COURSE)

    def _package(self, name: str) -> Path:
        folder = self.root / name / "ch3"
        folder.mkdir(parents=True)
        for each in (folder.parent, folder):
            (each / "__init__.py").touch()
        return folder

    def student(self, source: str) -> Path:
        """Write the student's module."""
        path = self.exercises / "attention.py"
        path.write_text(source)
        return path

    def patched(self, replace: str, with_: str) -> Path:
        assert SOLUTION.count(replace) == 1, replace
        return self.student(SOLUTION.replace(replace, with_))

    def record(self) -> None:
        """Record the public checks from the solution."""
        from grader.answers import Live, record, write_recording
        from grader.chapters import RECORDING, Tree
        from grader.seeds import PUBLIC

        live = Live(Tree.of_package("toy_solutions"), "ch3", PUBLIC)
        write_recording(self.exercises / RECORDING, record(self.checks(), live))

    def checks(self, source: str = CHECKS) -> list:
        """The checks of a check file, by importing it as pytest would."""
        from grader.checks import checks_of

        (self.exercises / "test_attention.py").write_text(source)
        name = "toy_exercises.ch3.test_attention"
        sys.modules.pop(name, None)
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        return checks_of(module)
