"""How long grading chapter 3 takes: this repository's grader, nbgrader, a pytest process each, otter-grader.

    python benchmarks/graders.py [--students 400] [--few 5] [--rounds 2] [--core 0]

All grade the same class on one core, and take turns, so that a busy machine slows all. The others grade its
first few. The class repeats: all right, one wrong turn, half done, three wrong turns, untouched. The others'
programs are installed into environments of their own in a cache folder (some 3 GB). Linux only.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from contenders import Contender, Nbgrader, Otter, Ours, Pytest, Student
from made_submissions import Maker
from platformdirs import user_cache_path
from process_cost import Cost, Tree, run

CLASSES = (30, 400)


@dataclass
class Turn:
    """One turn of a contender.

    each: seconds a student, from the first that is graded to the last; around: seconds for all else.
    """

    each: float
    around: float
    processor_each: float
    processor_around: float
    peak: int

    @classmethod
    def of(cls, cost: Cost, moments: list[float]) -> "Turn":
        """moments: when each student was graded."""
        first, last, others = min(moments), max(moments), len(moments) - 1
        each = (last - first) / others
        processor = (cost.processor_until(last) - cost.processor_until(first)) / others
        around = max(0.0, cost.seconds - each * len(moments))
        return cls(each, around, processor, max(0.0, cost.processor - processor * len(moments)), cost.peak)

    @classmethod
    def of_processes(cls, costs: list[Cost]) -> "Turn":
        """Where each student is graded by a process: all of it is for the student."""
        each = statistics.mean(cost.seconds for cost in costs)
        processor = statistics.mean(cost.processor for cost in costs)
        return cls(each, 0.0, processor, 0.0, max(cost.peak for cost in costs))


def make_class(number: int, seed: int) -> list[Student]:
    """Right and wrong submissions, in an order that repeats. Only the untouched ones are the same text."""
    maker = Maker(seed)
    half = len(maker.chapter.exercises) // 2
    kinds = (
        lambda: maker.source,
        lambda: maker.wrong(1)[0],
        lambda: maker.half(half),
        lambda: maker.wrong(3)[0],
        lambda: maker.stub,
    )
    sources = [kinds[i % len(kinds)]() for i in range(number)]
    return [
        Student(f"student{i:03}", source if source == maker.stub else f"{source}\n# by student{i:03}\n")
        for i, source in enumerate(sources)
    ]


def one_turn(
    contender: Contender, students: list[Student], tree: Tree, core: int
) -> tuple[Turn, dict, list[dict]]:
    """Let a contender grade some students; with their points, and our reports where it is ours."""
    folder = Path(tempfile.mkdtemp(prefix="graders-"))
    try:
        contender.prepare(folder, students)
        costs = []
        for command in contender.commands(folder, students):
            where, variables, log = contender.where(folder), contender.variables(folder), folder / "log.txt"
            costs.append(run(command, tree=tree, cwd=where, variables=variables, core=core, log=log))
        files = [contender.done(folder, student) for student in students]
        if missing := [file for file in files if not file.is_file()]:
            said = (folder / "log.txt").read_text(errors="replace")[-2000:]
            sys.exit(f"{contender.name} has no result {missing[0]}:\n{said}")
        if len(costs) > 1:
            turn = Turn.of_processes(costs)
        else:
            turn = Turn.of(costs[0], [file.stat().st_mtime for file in files])
        points = {student.name: contender.points(folder, student) for student in students}
        reports = [json.loads(file.read_text()) for file in files] if isinstance(contender, Ours) else []
        return turn, points, reports
    finally:
        shutil.rmtree(folder)


def print_table(turns: dict[str, list[Turn]], graded: dict[str, int]) -> None:
    """A line for each contender, with medians of its turns."""
    classes = [f"all in, of {size}" for size in CLASSES]
    heads = ("graded", "start, s", "each, s", *classes, "CPU each, s", "CPU start, s", "peak, MB", "x ours")
    print(f"\n{'':<34}" + "".join(f"{head:>15}" for head in heads))
    ours = None
    for name, own in turns.items():
        each, around, processor, processor_around = (
            statistics.median(getattr(turn, key) for turn in own)
            for key in ("each", "around", "processor_each", "processor_around")
        )
        ours = ours or each
        row = [f"{graded[name]}", f"{around:.2f}", f"{each:.3f}"]
        row += [f"{around / size + each:.3f}" for size in CLASSES]
        row += [f"{processor:.3f}", f"{processor_around:.2f}"]
        row += [f"{max(turn.peak for turn in own) / 1e6:,.0f}", f"{each / ours:.1f}"]
        print(f"{name:<34}" + "".join(f"{cell:>15}" for cell in row))
        spread = ", ".join(f"{turn.each:.3f}" for turn in own)
        print(f"{'  each, turn by turn':<34}  {spread}")


def print_ratios(turns: dict[str, list[Turn]], ours: str) -> None:
    """Against ours, turn by turn, so that both sides of a ratio had the same neighbours."""
    print("\ntimes ours, turn by turn: seconds each (CPU seconds each); for a whole class, start included")
    for name, own in turns.items():
        if name == ours:
            continue
        pairs = list(zip(own, turns[ours], strict=True))
        wall = ", ".join(f"{turn.each / our.each:.1f}" for turn, our in pairs)
        processor = ", ".join(f"{turn.processor_each / our.processor_each:.1f}" for turn, our in pairs)
        classes = {
            size: statistics.median(
                (turn.around + size * turn.each) / (our.around + size * our.each) for turn, our in pairs
            )
            for size in CLASSES
        }
        whole = ", ".join(f"{ratio:.1f} for {size}" for size, ratio in classes.items())
        print(f"  {name:<32} {wall} ({processor}); {whole}")


def print_where_time_goes(reports: list[dict], each: float) -> None:
    """Our seconds a student, as the reports have them: means."""
    judged = statistics.mean(report["times"]["seconds"] for report in reports)
    begun = statistics.mean(report["times"]["import_seconds"] for report in reports)
    asked = statistics.mean(sum(check["seconds"] for check in report["checks"]) for report in reports)
    print(f"\nours, seconds a student: {each:.3f}, of which judging {judged:.3f}:")
    print(f"  a fresh process with the submission imported {begun:.3f}, asking the checks {asked:.3f},")
    print(f"  comparing, public checks' processes and ending {judged - begun - asked:.3f};")
    print(f"  tasks and files beside the judge {each - judged:.3f}")


def print_agreement(points: dict[str, dict[str, dict[str, float]]], ours: str) -> None:
    for name, own in points.items():
        if name == ours:
            continue
        other = {
            f"{student} {exercise} {seen:g} (ours {points[ours][student][exercise]:g})"
            for student, exercises in own.items()
            for exercise, seen in exercises.items()
            if seen != points[ours][student][exercise]
        }
        cells = sum(len(exercises) for exercises in own.values())
        print(f"  {name}: {cells - len(other)} of {cells} exercises have the points that ours gives")
        for line in sorted(other):
            print(f"    {line}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=400, help="how many ours grades in a turn")
    parser.add_argument("--few", type=int, default=5, help="how many of them the others grade in a turn")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each")
    parser.add_argument("--core", type=int, default=0, help="the core that all of them get")
    parser.add_argument("--seed", type=int, default=1, help="of the class")
    parser.add_argument(
        "--without", action="append", default=[], help="a contender to leave out: otter-grader"
    )
    parser.add_argument("--cache", type=Path, default=user_cache_path("build-a-gpt") / "graders")
    args = parser.parse_args()
    if min(args.students, args.few) < 2:
        sys.exit("two students at least")

    kinds = [kind for kind in (Ours, Nbgrader, Pytest, Otter) if kind.name not in args.without]
    contenders = [kind(args.cache) for kind in kinds]
    students = make_class(args.students, args.seed)
    tree = Tree()
    turns: dict[str, list[Turn]] = {one.says: [] for one in contenders}
    points: dict[str, dict] = {one.says: {} for one in contenders}
    graded: dict[str, int] = {}
    reports: list[dict] = []
    for number in range(args.rounds):
        for one in contenders:
            some = students if isinstance(one, Ours) else students[: args.few]
            turn, own, own_reports = one_turn(one, some, tree, args.core)
            turns[one.says].append(turn)
            points[one.says] |= own
            graded[one.says] = len(some)
            reports += own_reports[1:]  # the first one waits for the judge's start
            load = os.getloadavg()[0]
            print(f"round {number + 1}: {one.says:<34} {turn.each:7.3f} s each, load {load:.1f}", flush=True)

    ours = contenders[0].says
    print_table(turns, graded)
    print_ratios(turns, ours)
    print_where_time_goes(reports, statistics.mean(turn.each for turn in turns[ours]))
    print("\npoints")
    print_agreement(points, ours)
    print(f"\n{os.cpu_count()} cores, load now {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    print(f"Python {platform.python_version()}, torch {version('torch')}, {platform.machine()}")


if __name__ == "__main__":
    main()
