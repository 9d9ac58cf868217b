"""A toy course with everything that release and selftest ask for, and nothing wrong with it."""

from pathlib import Path

MODULE = '''\
"""Chapter 1: sums. A toy."""

import torch
from torch import Tensor, nn


def standardise(x: Tensor) -> Tensor:
    """Mean 0 and spread 1.

    Example:
        >>> standardise(torch.tensor([1.0, 3.0]))
        tensor([-1.,  1.])
    """
    ### BEGIN SOLUTION
    spread = x.std(unbiased=False)
    return (x - x.mean()) / (spread + 1e-9)
    ### END SOLUTION


class Mixer(nn.Module):
    """A map, then a softmax over the last dimension.

    Example:
        >>> Mixer(2)(torch.zeros(1, 2)).sum().round()
        tensor(1., grad_fn=<RoundBackward0>)
    """

    def __init__(self, width: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.mix = nn.Linear(width, width)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return torch.softmax(self.mix(x), dim=-1)
        ### END SOLUTION


def coin(n: int) -> Tensor:
    """n numbers, 0 or 1, each as likely.

    Example:
        >>> coin(3).shape
        torch.Size([3])
    """
    ### BEGIN SOLUTION
    return torch.randint(0, 2, (n,), dtype=torch.int64)
    ### END SOLUTION
'''

CHECKS = '''\
import torch

from grader.checks import check

SHARED = ("WIDTH",)
WIDTH = 4


@check("standardise", forbidden="F.layer_norm")
def mean_and_spread(sums, draw):
    """The mean becomes 0, the spread 1."""
    return sums.standardise(draw.normal(6))


@check("Mixer")
def mixes(sums, draw):
    """Each row is a softmax."""
    return draw.fill(sums.Mixer(WIDTH))(draw.normal(2, WIDTH))


@check("coin")
def fair(sums):
    """Zeros and ones come about equally often."""
    return sums.coin(1000)


@fair.accept
def _(seen):
    if seen.min() < 0 or seen.max() > 1:
        return "There are only 0 and 1."
    if not 400 < seen.sum() < 600:
        return "They do not come equally often."
'''

MISCONCEPTIONS = """\
[[misconception]]
name = "not-centred"
exercise = "standardise"
replace = "(x - x.mean())"
with = "x"
says = "The mean stays in."

[[misconception]]
name = "wrong-axis"
exercise = "Mixer"
replace = "dim=-1"
with = "dim=0"
says = "The softmax runs over the batch."

[[misconception]]
name = "three-sides"
exercise = "coin"
replace = "(0, 2,"
with = "(0, 3,"
says = "There are three sides."
"""

ANOTHER_WAY = """\
import torch
from torch import nn


def standardise(x):
    centred = x - x.sum() / x.numel()
    return centred / centred.square().mean().sqrt()


class Mixer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mix = nn.Linear(width, width)

    def forward(self, x):
        powers = self.mix(x).exp()
        return powers / powers.sum(-1, keepdim=True)


def coin(n):
    return (torch.rand(n) < 0.5).long()
"""

ONE_LINERS = """\
import torch.nn.functional as F


def standardise(x):
    return F.layer_norm(x, x.shape)
"""

HINTS = """\
[[hint]]
exercise = "standardise"
levels = ["What is the mean of what you return?", "Look at mean and std."]

[[hint]]
exercise = "Mixer"
levels = ["What sums to 1?", "Look at softmax and its dimension."]

[[hint]]
exercise = "coin"
levels = ["How likely is each side?", "Look at randint."]
"""

COURSE = """\
[course]
title = "Toy course"
reference = "toy_reference"

[chapters.ch1]
title = "Sums"
module = "sums"

[chapters.ch1.points]
standardise = 20
Mixer = 50
coin = 30
"""

PYPROJECT = """\
[project]
name = "toy"
version = "1"
dependencies = ["torch"]

[project.optional-dependencies]
dev = ["ruff"]

[project.scripts]
course = "course.cli:main"

[tool.hatch.build.targets.wheel]
packages = ["course", "grader", "toy_reference"]

[tool.pytest.ini_options]
testpaths = ["tests"]

[tool.ruff]
line-length = 110

[tool.ruff.lint]
select = ["E"]
"""

FILES = {
    "toy_reference/__init__.py": "",
    "toy_reference/ch1/__init__.py": "",
    "toy_reference/ch1/sums.py": MODULE,
    "toy_reference/ch1/test_sums.py": CHECKS,
    "toy_reference/ch1/misconceptions.toml": MISCONCEPTIONS,
    "tests/ch1/test_sums.py": CHECKS,
    "tests/ch1/another_way.py": ANOTHER_WAY,
    "tests/ch1/one_liners.py": ONE_LINERS,
    "course/__init__.py": "",
    "course/hints/ch1.toml": HINTS,
    "grader/ADDING.md": "How to.\n",
    "grader/hand_out_readme.md": "# {title}\n\n{chapters}\n",
    "course.toml": COURSE,
    "pyproject.toml": PYPROJECT,
    "constraints.txt": "torch==2\n",
    "LICENSE": "MIT\n",
    "README.md": "The makers' own.\n",
    ".git/config": "secret\n",
}


# a second chapter, that builds on the first

TWICE = '''\
"""Chapter 2: twice. A toy."""

from torch import Tensor

from ..ch1.sums import standardise


def twice(x: Tensor) -> Tensor:
    """Mean 0 and spread 2.

    Example:
        >>> import torch
        >>> twice(torch.tensor([1.0, 3.0]))
        tensor([-2.,  2.])
    """
    ### BEGIN SOLUTION
    return 2 * standardise(x)
    ### END SOLUTION
'''

TWICE_CHECKS = '''\
from grader.checks import check


@check("twice")
def spread_of_2(twice, draw):
    """The spread becomes 2."""
    return twice.twice(draw.normal(6))


@check("twice", needs="spread_of_2", assembled=True)
def pieces_together(twice, sums, draw):
    """Your own pieces together."""
    x = draw.normal(6)
    return {"ch1, standardise": sums.standardise(x), "ch2, twice": twice.twice(x)}
'''

SECOND_CHAPTER = {
    "toy_reference/ch2/__init__.py": "",
    "toy_reference/ch2/twice.py": TWICE,
    "toy_reference/ch2/test_twice.py": TWICE_CHECKS,
    "tests/ch2/test_twice.py": TWICE_CHECKS,
    "tests/ch2/another_way.py": "from ..ch1 import sums\n\n\ntwice = lambda x: 2.0 * sums.standardise(x)\n",
    "course/hints/ch2.toml": '[[hint]]\nexercise = "twice"\nlevels = ["What is twice 1?", "Look at sums."]\n',
    "course.toml": COURSE
    + '\n[chapters.ch2]\ntitle = "Twice"\nmodule = "twice"\n\n[chapters.ch2.points]\ntwice = 100\n',
}


def write_toy_course(root: Path, files: dict[str, str] = FILES) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
