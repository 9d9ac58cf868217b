"""A toy course of two chapters: what a hand-out holds, and the answers to fill it in with.

ch3 has `causal_mask`, `Attention` and `count_up`; ch4 has `double_mask`, which uses ch3's.
"""

import importlib
import sys
from pathlib import Path

from course.reset import with_stub
from grader.answers import Live, record, write_recording
from grader.chapters import RECORDING, Tree
from grader.checks import checks_of
from grader.release import make_stub
from grader.seeds import PUBLIC
from tests.grader import toy

BLOCK = '''\
"""A toy chapter on top of the other."""

from ..ch3.attention import causal_mask


def double_mask(size):
    """Twice the mask of chapter 3, above zeros."""
    ### BEGIN SOLUTION
    return 2 * causal_mask(size)
    ### END SOLUTION
'''

BLOCK_CHECKS = '''\
from grader.checks import check


@check("double_mask")
def doubled(block):
    """Infinities stay, and so do the zeros."""
    return block.double_mask(4)
'''

COURSE = (
    toy.COURSE.replace('reference = "toy_solutions"', 'reference = "watched_solutions"')
    + """
[chapters.ch4]
title = "The block"
module = "block"

[chapters.ch4.points]
double_mask = 100
"""
)

CHAPTERS = {
    "ch3": ("attention", toy.SOLUTION, toy.CHECKS),
    "ch4": ("block", BLOCK, BLOCK_CHECKS),
}


def make_hand_out(root: Path) -> Path:
    """root/exercises with stubs, checks and recordings, and root/course.toml. Returns root/exercises."""
    for package in ("watched_solutions", "exercises"):
        for chapter, (module, solution, checks) in CHAPTERS.items():
            folder = root / package / chapter
            folder.mkdir(parents=True)
            (folder.parent / "__init__.py").touch()
            (folder / "__init__.py").touch()
            stub = make_stub(solution, module)
            (folder / f"{module}.py").write_text(stub if package == "exercises" else solution)
            (folder / f"test_{module}.py").write_text(checks)
    (root / "watched_solutions/ch3/misconceptions.toml").write_text(toy.MISCONCEPTIONS)
    (root / "course.toml").write_text(COURSE)
    sys.path.insert(0, str(root))
    try:
        for chapter, (module, _, _) in CHAPTERS.items():
            live = Live(Tree.of_package("watched_solutions"), chapter, PUBLIC)
            checks = checks_of(importlib.import_module(f"watched_solutions.{chapter}.test_{module}"))
            write_recording(root / "exercises" / chapter / RECORDING, record(checks, live))
    finally:
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.split(".")[0] == "watched_solutions"]:
            del sys.modules[name]
    return root / "exercises"


def solve(folder: Path, *exercises: str) -> None:
    """Write the answers to some exercises of ch3 into a student's folder."""
    file = folder / "exercises/ch3/attention.py"
    source = file.read_bytes()
    for exercise in exercises:
        source = with_stub(source, toy.SOLUTION.encode(), exercise, "attention.py", "ch3")
    file.write_bytes(source)


def solve_block(folder: Path) -> None:
    (folder / "exercises/ch4/block.py").write_text(BLOCK)
