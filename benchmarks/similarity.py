"""How well `grader similarity` finds planted copies among honest work, and what it finds besides.

The class is made up: 200 students a chapter, each with a mixture of the chapter's solution, its second one
(another_way.py) and its misconceptions, rewritten by habits of their own (rewrites.py); some did only the
first exercises. So there are but a few versions of each exercise to begin with, which makes the honest more
alike than people are; and the habits were thought up by whoever wrote the detector, which may make them less.

Copies are of students in the class, in three kinds: disguised (all own names new, functions and methods in
another order, docstrings, annotations and layout gone, other comments), disguised and reworked (each rule
once more, at one place in eight), and the half (every other exercise disguised, the rest honest).
"""

import argparse
import ast
import io
import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rewrites import RULES, Renamed, Rewritten, habits

from grader.code_tokens import tokens_of
from grader.course_folder import CourseFolder
from grader.misconceptions import load_misconceptions, patched_source
from grader.release import make_stub
from grader.similarity import AT_LEAST, Comparison, code
from grader.similarity_command import given_names

ROOT = Path(__file__).resolve().parent.parent
HONEST = 200
COPIES = 8  # of each kind
KINDS = ("disguised", "reworked", "half")
REWORKED = 1 / 8
COMMENTS = ("# ok", "# works now", "# see the lecture", "# step 2", "# not sure why")


@dataclass(frozen=True)
class Student:
    name: str
    source: str
    copied: str = ""  # whom
    kind: str = ""


class Chapter:
    """What students of a chapter write from."""

    def __init__(self, folder: CourseFolder, name: str):
        files = folder.chapter(name)
        self.name = name
        self.exercises = list(folder.course.chapters[name].points)
        self.solution = files.source
        self.stub = make_stub(files.source, files.module_file.name)
        self.another = files.another_way_file.read_text(encoding="utf-8")
        self.turns = load_misconceptions(files.misconceptions_file)
        self.kept = set(self.exercises) | {"torch", "nn", "F", "math", "self"}

    def honest(self, name: str, chance: random.Random) -> Student:
        """Each exercise from one of the versions there are, in the student's own style."""
        habit = chance.random()  # how often the second solution's way
        wrong = chance.choice((0.0, 0.1, 0.4))
        done = len(self.exercises) if chance.random() < 0.8 else chance.randrange(2, len(self.exercises))
        solution = ast.parse(self.solution)
        parts = _definitions(solution)
        another = _definitions(ast.parse(self.another))
        stubs = _definitions(ast.parse(self.stub))
        for number, exercise in enumerate(self.exercises):
            turns = [turn for turn in self.turns if turn.exercise == exercise]
            if number >= done:
                parts[exercise] = stubs[exercise]
            elif turns and chance.random() < wrong:
                patched = patched_source(self.solution, chance.choice(turns))
                parts[exercise] = _definitions(ast.parse(patched))[exercise]
            elif exercise in another and chance.random() < habit:
                parts[exercise] = another[exercise]
        helpers = [part for helper, part in another.items() if helper not in parts]
        body = [one for one in solution.body if not hasattr(one, "name")]
        module = ast.Module([*body, *helpers, *parts.values()], [])
        return Student(name, _written(Rewritten(chance, habits(chance)).visit(module)))

    def copy(self, name: str, of: Student, kind: str, chance: random.Random) -> Student:
        module = ast.parse(of.source)
        if kind == "half":
            own = _definitions(ast.parse(self.honest(name, chance).source))
            kept = chance.sample(self.exercises, len(self.exercises) // 2)
            module.body = [own[one.name] if getattr(one, "name", "") in kept else one for one in module.body]
        module = Renamed(chance, self.kept).visit(module)
        first = [one for one in module.body if not hasattr(one, "name")]
        rest = [one for one in module.body if hasattr(one, "name")]
        for one in rest:
            _strip(one, chance)
        chance.shuffle(rest)
        module.body = first + rest
        if kind == "reworked":
            module = Rewritten(chance, dict.fromkeys(RULES, REWORKED)).visit(module)
        lines = _written(module).split("\n")
        lines = [f"{line}  {chance.choice(COMMENTS)}" if chance.random() < 0.1 else line for line in lines]
        return Student(name, "\n".join(lines), of.name, kind)

    def a_class(self, chance: random.Random) -> list[Student]:
        honest = [self.honest(f"s{i:03}", chance) for i in range(HONEST)]
        whole = [one for one in honest if one.source.count("NotImplementedError") < 2]
        victims = chance.sample(whole, COPIES * len(KINDS))
        return honest + [
            self.copy(f"c{i:03}", victim, KINDS[i % len(KINDS)], chance) for i, victim in enumerate(victims)
        ]


def _definitions(module: ast.Module) -> dict[str, ast.stmt]:
    return {one.name: one for one in module.body if hasattr(one, "name")}


def _strip(node: ast.stmt, chance: random.Random) -> None:
    """No docstrings, and methods in another order."""
    if isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant):
        node.body = node.body[1:] or [ast.Pass()]
    if isinstance(node, ast.ClassDef):
        for one in node.body:
            if isinstance(one, ast.FunctionDef):
                _strip(one, chance)
        chance.shuffle(node.body)


def _written(module: ast.Module) -> str:
    return ast.unparse(ast.fix_missing_locations(module))


@dataclass(frozen=True)
class Found:
    """Of one class. found and planted: pairs by kind. others: listed, and not planted; likest: their most."""

    found: dict[str, int]
    planted: dict[str, int]
    others: int
    likest: float
    seconds: float


def ours(chapter: Chapter, students: list[Student]) -> list[tuple[str, str, float]]:
    given = given_names([chapter.stub])
    codes = [code(one.name, one.source, given) for one in students]
    pairs = Comparison(codes, [tokens_of(chapter.stub, given)]).pairs(0.1)
    return [(pair.left.name, pair.right.name, pair.figure) for pair in pairs]


def copydetects(chapter: Chapter, students: list[Student]) -> list[tuple[str, str, float]]:
    """copydetect's figures, which are the shares of either file; the larger one is taken."""
    import numpy as np
    from copydetect import CodeFingerprint, compare_files

    def fingerprint(name: str, source: str, boilerplate=()) -> CodeFingerprint:
        return CodeFingerprint(f"{name}.py", 25, 1, np.array(boilerplate), fp=io.StringIO(source))

    given = sorted(fingerprint("stub", chapter.stub).hashes)
    prints = {one.name: fingerprint(one.name, one.source, given) for one in students}
    return [
        (left, right, min(1.0, float(max(compare_files(prints[left], prints[right])[1]))))
        for left, right in itertools.combinations(prints, 2)
    ]


def measure(chapter: Chapter, chance: random.Random, at_least: float, figures: Callable) -> Found:
    students = chapter.a_class(chance)
    planted = {frozenset((one.name, one.copied)): one.kind for one in students if one.copied}
    start = time.process_time()
    pairs = figures(chapter, students)
    seconds = time.process_time() - start
    kinds = [(planted.get(frozenset(names)), figure) for *names, figure in pairs]
    listed = [kind for kind, figure in kinds if figure >= at_least]
    return Found(
        {kind: listed.count(kind) for kind in KINDS},
        {kind: list(planted.values()).count(kind) for kind in KINDS},
        listed.count(None),
        max((figure for kind, figure in kinds if kind is None), default=0.0),
        seconds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chapter", action="append", help="ch1, ch3, ...; all if not given")
    parser.add_argument("--seed", type=int, action="append", help="of a class; can be given again")
    parser.add_argument("--at-least", type=float, default=100 * AT_LEAST, metavar="PERCENT")
    parser.add_argument("--copydetect", action="store_true", help="copydetect 0.5.0, if it is installed")
    asked = parser.parse_args()
    figures = copydetects if asked.copydetect else ours
    folder = CourseFolder(ROOT)
    seeds = asked.seed or [11]
    print(f"{HONEST} honest students, {COPIES} copies of each kind; pairs from {asked.at_least:g} % on")
    print(f"     precision; recall of {', '.join(KINDS)}; other pairs listed; the likest other pair")
    everything: list[Found] = []
    for name in asked.chapter or folder.course.chapters:
        chapter = Chapter(folder, name)
        chances = [random.Random(f"{name} {seed}") for seed in seeds]
        found = [measure(chapter, chance, asked.at_least / 100, figures) for chance in chances]
        _print(name, found)
        everything += found
    _print("all", everything)
    print(f"{sum(one.seconds for one in everything) / len(everything):.1f} s a class, of one core")


def _print(name: str, found: list[Found]) -> None:
    right = sum(sum(one.found.values()) for one in found)
    others = sum(one.others for one in found)
    recall = [
        f"{sum(one.found[kind] for one in found)}/{sum(one.planted[kind] for one in found)}" for kind in KINDS
    ]
    precision = f"{right / (right + others):.1%}" if right + others else "-"
    likest = max(one.likest for one in found)
    print(f"{name:4} {precision:>9}; {', '.join(recall)}; {others}; {likest:.0%}", flush=True)


if __name__ == "__main__":
    main()
