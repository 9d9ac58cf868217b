"""How long `nbgrader autograde ch3` takes with this repository's judge, and with nbgrader's own kernel.

    python benchmarks/nbgrader_judge.py [--students 10] [--rounds 2] [--core 0]

Both grade the same class on one core and take turns. The notebook with the judge is the chapter's, with its
text and experiments; nbgrader's own gets the bare exercises, with plain asserts as hidden tests. nbgrader is
installed into an environment of its own for that, in a cache folder (2 GB). Linux only.
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from contenders import CHAPTER, ROOT, Contender, Nbgrader, Student, cells_of
from graders import Turn, make_class, one_turn, print_agreement, print_ratios, print_table
from platformdirs import user_cache_path
from process_cost import Tree

POINTS = """
    SELECT base_cell.name, grade.auto_score FROM grade
    JOIN base_cell ON grade.cell_id = base_cell.id
    JOIN submitted_notebook ON grade.notebook_id = submitted_notebook.id
    JOIN submitted_assignment ON submitted_notebook.assignment_id = submitted_assignment.id
    WHERE submitted_assignment.student_id = ? AND base_cell.name LIKE 'check-%'"""


class Judged(Contender):
    """nbgrader's autograde in a course that `grader nbgrader init` made."""

    name = "nbgrader"

    @property
    def says(self) -> str:
        return "nbgrader autograde, our judge"

    def prepare(self, folder: Path, students: list[Student]) -> None:
        folder.rmdir()  # init makes it
        for where, command in (
            (ROOT, ["grader.cli", "nbgrader", "init", str(folder), "--chapter", CHAPTER]),
            (folder, ["nbgrader", "generate_assignment", CHAPTER]),
        ):
            environment = os.environ | self.variables(folder)
            command = [sys.executable, "-m", *command]
            subprocess.run(command, cwd=where, env=environment, check=True, capture_output=True)
        released = json.loads((folder / f"release/{CHAPTER}/{CHAPTER}.ipynb").read_text())
        for student in students:
            pieces = cells_of(student.source)
            for cell in released["cells"]:
                mark = cell["metadata"].get("nbgrader", {})
                if mark.get("solution") and mark["grade_id"] in pieces:
                    cell["source"] = pieces[mark["grade_id"]]
            place = folder / "submitted" / student.name / CHAPTER
            place.mkdir(parents=True)
            (place / f"{CHAPTER}.ipynb").write_text(json.dumps(released))

    def commands(self, folder: Path, students: list[Student]) -> list[list[str]]:
        return [[sys.executable, "-m", "nbgrader", "autograde", CHAPTER]]

    def done(self, folder: Path, student: Student) -> Path:
        return folder / "autograded" / student.name / CHAPTER / f"{CHAPTER}.ipynb"

    def variables(self, folder: Path) -> dict[str, str]:
        return super().variables(folder) | {"PYTHONPATH": str(ROOT)}  # this copy, whatever is installed

    def points(self, folder: Path, student: Student) -> dict[str, float]:
        with sqlite3.connect(folder / "gradebook.db") as book:
            rows = book.execute(POINTS, [student.name]).fetchall()
        return {name.removeprefix("check-"): score for name, score in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=10, help="how many of a class are graded in a turn")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each")
    parser.add_argument("--core", type=int, default=0, help="the core that both get")
    parser.add_argument("--cache", type=Path, default=user_cache_path("build-a-gpt") / "graders")
    args = parser.parse_args()
    contenders = [Judged(args.cache), Nbgrader(args.cache)]
    students = make_class(args.students, seed=1)
    turns: dict[str, list[Turn]] = {one.says: [] for one in contenders}
    points: dict[str, dict] = {one.says: {} for one in contenders}
    tree = Tree()
    for number in range(args.rounds):
        for one in contenders:
            turn, own, _ = one_turn(one, students, tree, args.core)
            turns[one.says].append(turn)
            points[one.says] |= own
            load = os.getloadavg()[0]
            print(f"round {number + 1}: {one.says:<34} {turn.each:7.3f} s each, load {load:.1f}", flush=True)
    print_table(turns, dict.fromkeys(turns, args.students))
    print_ratios(turns, contenders[0].says)
    print("\npoints")
    print_agreement(points, contenders[0].says)


if __name__ == "__main__":
    main()
