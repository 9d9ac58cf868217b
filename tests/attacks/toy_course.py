"""A small course to attack: one chapter with an exercise for each way in which checks look at code."""

from pathlib import Path

from grader.answers import Live, record
from grader.course_folder import CourseFolder
from grader.seeds import PUBLIC

SOLUTION = '''\
"""Chapter 1: attention. A toy."""

import torch
from torch import Tensor


def softmax(x: Tensor) -> Tensor:
    """Positive numbers with sum 1 in each row, without torch's own."""
    ### BEGIN SOLUTION
    powers = (x - x.amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True)
    ### END SOLUTION


def attend(x: Tensor) -> Tensor:
    """Self-attention without weights: softmax(x xᵀ / √C) x."""
    ### BEGIN SOLUTION
    scores = x @ x.transpose(-2, -1) / x.shape[-1] ** 0.5
    return softmax(scores) @ x
    ### END SOLUTION


def prefix_mean(x: Tensor) -> Tensor:
    """The mean of each row and those before it, in one product of matrices."""
    ### BEGIN SOLUTION
    weights = torch.ones(len(x), len(x)).tril()
    return (weights / weights.sum(-1, keepdim=True)) @ x
    ### END SOLUTION


def fit(x: Tensor, y: Tensor) -> Tensor:
    """Weights w for which x @ w is close to y."""
    ### BEGIN SOLUTION
    w = torch.zeros(x.shape[-1])
    for _ in range(100):
        w = w - 0.5 * x.T @ (x @ w - y) / len(x)
    return w
    ### END SOLUTION
'''

HIDDEN = """\
from grader.checks import check


@check("softmax", forbidden=("torch.softmax", ".softmax", "F.softmax"), seconds=SECONDS)
def rows_sum_to_one(attention, draw):
    '''Each row holds positive numbers that sum to 1.'''
    return attention.softmax(draw.normal(3, 4))


@check("attend", seconds=SECONDS)
def rows_mix(attention, draw):
    '''Each row becomes a mean of all rows, by their likeness.'''
    return attention.attend(draw.normal(4, 9))


@check("attend", seconds=SECONDS)
def batches_stay_apart(attention, draw):
    '''The rows of one sequence know nothing of the others.'''
    return [attention.attend(draw.normal(2, 3, 4)), attention.attend(draw.normal(3, 4))]


@check("prefix_mean", seconds=SECONDS)
def means_so_far(attention, draw):
    '''Row i is the mean of rows 0 to i.'''
    return attention.prefix_mean(draw.normal(6, 3))


@check("prefix_mean", needs="means_so_far", seconds=SECONDS)
def one_product(attention, draw, operators):
    '''One product of matrices does it, not a loop.'''
    x = draw.normal(64, 3)
    with operators:
        attention.prefix_mean(x)
    return {"few calls": operators.total < 20, "a product": operators.count("matmul", "mm", "einsum") > 0}


@check("fit", seconds=SECONDS)
def weights_are_found(attention, draw):
    '''x @ w comes close to y.'''
    x, w = draw.normal(20, 3), draw.normal(3)
    return attention.fit(x, x @ w)


@weights_are_found.accept
def _(seen, draw):
    x, w = draw.normal(20, 3), draw.normal(3)
    if (x @ seen - x @ w).square().mean() > 0.01:
        return "The loss stays above 0.01."
"""

PUBLIC_CHECKS = """\
from grader.checks import check


@check("attend", seconds=SECONDS)
def example(attention, draw):
    '''A row alone stays as it is.'''
    return attention.attend(draw.normal(1, 3))
"""

COURSE = """\
[course]
title = "A course to attack"
reference = "attacked_reference"

[chapters.ch1]
title = "Attention"
module = "attention"

[chapters.ch1.points]
softmax = 10
attend = 20
prefix_mean = 30
fit = 40
"""

MODULES = {"ch1": "attention"}

# By the exercise that is wrong: what is replaced in the solution, and by what.
MISTAKES = {
    "softmax": ("powers = (x - x.amax(-1, keepdim=True)).exp()", "return torch.softmax(x, -1)"),
    "attend": ("scores = x @ x.transpose(-2, -1) / x.shape[-1] ** 0.5", "scores = x @ x.transpose(-2, -1)"),
    "prefix_mean": (
        "weights = torch.ones(len(x), len(x)).tril()",
        "return torch.stack([x[: i + 1].mean(0) for i in range(len(x))])",
    ),
    "fit": ("range(100)", "range(0)"),
}
POINTS = {"softmax": 90, "attend": 80, "prefix_mean": 70, "fit": 60}  # with that mistake


def with_mistake(exercise: str) -> str:
    old, new = MISTAKES[exercise]
    assert SOLUTION.count(old) == 1
    return SOLUTION.replace(old, new)


def write_course(root: Path, seconds: float) -> CourseFolder:
    """The course's folder, with the recording of its public checks."""
    files = {
        "course.toml": COURSE,
        "attacked_reference/__init__.py": "",
        "attacked_reference/ch1/__init__.py": "",
        "attacked_reference/ch1/attention.py": SOLUTION,
        "attacked_reference/ch1/test_attention.py": PUBLIC_CHECKS.replace("SECONDS", f"{seconds}"),
        "attacked_reference/ch1/misconceptions.toml": "",
        "tests/ch1/test_attention.py": HIDDEN.replace("SECONDS", f"{seconds}"),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    folder = CourseFolder(root)
    chapter = folder.chapter("ch1")
    chapter.recording.parent.mkdir(parents=True)
    chapter.recording.write_bytes(record(chapter.public_checks, Live(chapter.tree, "ch1", PUBLIC)))
    return folder
