"""The graders that graders.py compares: how each gets a class, is run, and says its points.

All of them get the same modules. Ours gets the hidden checks of tests/ch3, the others plain_asserts.py: as
test cells with hidden tests (nbgrader), as a test file for each exercise (otter), or as it is (pytest).
"""

import ast
import csv
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from grader.course_folder import CourseFolder

ROOT = Path(__file__).resolve().parent.parent
ASSERTS = Path(__file__).with_name("plain_asserts.py")
CHAPTER, MODULE = "ch3", "attention"
TORCH = f"torch=={version('torch').partition('+')[0]}"


@dataclass(frozen=True)
class Student:
    name: str
    source: str


@dataclass(frozen=True)
class Exercise:
    """An exercise as the other graders test it: the functions of plain_asserts.py."""

    name: str
    points: int
    tests: str  # source of its functions
    calls: tuple[str, ...]


class Contender:
    """A grader. needs: what is installed for it, in an environment of its own; nothing for ours."""

    name = ""
    needs: tuple[str, ...] = ()

    def __init__(self, cache: Path):
        self.cache = cache
        self.python = environment(self.name, self.needs, cache) if self.needs else Path(sys.executable)

    @property
    def says(self) -> str:
        """Its name and version."""
        return f"{self.name} {installed_version(self.python, self.needs[0])}"

    def prepare(self, folder: Path, students: list[Student]) -> None:
        """Write what is graded into a new folder."""
        raise NotImplementedError

    def commands(self, folder: Path, students: list[Student]) -> list[list[str]]:
        """What is run there, one after another, and timed."""
        raise NotImplementedError

    def where(self, folder: Path) -> Path:
        """The folder in which they are run."""
        return folder

    def done(self, folder: Path, student: Student) -> Path:
        """The file that is last written when a student is graded."""
        raise NotImplementedError

    def points(self, folder: Path, student: Student) -> dict[str, float]:
        """By exercise."""
        raise NotImplementedError

    def variables(self, folder: Path) -> dict[str, str]:
        """All of the environment's variables that count; each program finds its own environment first."""
        return {
            "PATH": f"{self.python.parent}:/usr/bin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "passive",
        }


class Ours(Contender):
    name = "grader grade"

    @property
    def says(self) -> str:
        return f"{self.name} (this repository)"

    def prepare(self, folder: Path, students: list[Student]) -> None:
        for student in students:
            (folder / "submissions" / student.name).mkdir(parents=True)
            (folder / "submissions" / student.name / f"{MODULE}.py").write_text(student.source)

    def commands(self, folder: Path, students: list[Student]) -> list[list[str]]:
        arguments = ["--to", str(folder / "results"), "--chapter", CHAPTER, "--workers", "1"]
        return [[str(self.python), "-m", "grader.cli", "grade", str(folder / "submissions"), *arguments]]

    def done(self, folder: Path, student: Student) -> Path:
        return folder / "results" / student.name / f"{CHAPTER}.json"

    def points(self, folder: Path, student: Student) -> dict[str, float]:
        with (folder / "results/grades.csv").open(newline="") as file:
            row = next(row for row in csv.DictReader(file) if row["student"] == student.name)
        return {name: float(row[name]) for name in course_points()}

    def where(self, folder: Path) -> Path:
        return ROOT


class Pytest(Contender):
    name = "pytest"
    needs = ("pytest", TORCH, "numpy")

    @property
    def says(self) -> str:
        return f"{super().says}, a process each"

    def prepare(self, folder: Path, students: list[Student]) -> None:
        for student in students:
            (folder / student.name).mkdir(parents=True)
            (folder / student.name / f"{MODULE}.py").write_text(student.source)
            shutil.copy(ASSERTS, folder / student.name / f"test_{MODULE}.py")

    def commands(self, folder: Path, students: list[Student]) -> list[list[str]]:
        command = "cd {} && exec python -m pytest -q --tb=line -rf -p no:cacheprovider > said.txt"
        return [["sh", "-c", command.format(one.name)] for one in students]

    def done(self, folder: Path, student: Student) -> Path:
        return folder / student.name / "said.txt"

    def points(self, folder: Path, student: Student) -> dict[str, float]:
        said = self.done(folder, student).read_text()
        if not re.search(r"\d+ (passed|failed)", said):
            raise ValueError(f"pytest has no result for {student.name}: {said[-300:]}")
        failed = set(re.findall(rf"(?m)^FAILED test_{MODULE}\.py::(\w+)", said))
        return {one.name: 0 if failed.intersection(one.calls) else one.points for one in exercises()}


class Nbgrader(Contender):
    name = "nbgrader"
    needs = ("nbgrader", "ipykernel", TORCH, "numpy")

    @property
    def says(self) -> str:
        return f"{super().says} autograde"

    def prepare(self, folder: Path, students: list[Student]) -> None:
        course = self.cache / "nbgrader-course"
        if not course.exists():
            self._make_course(course)
        shutil.copytree(course, folder, dirs_exist_ok=True)
        released = json.loads((folder / f"release/{CHAPTER}/{CHAPTER}.ipynb").read_text())
        for student in students:
            pieces = cells_of(student.source)
            for cell in released["cells"]:
                name = cell["metadata"]["nbgrader"]["grade_id"]
                if name in pieces:
                    cell["source"] = pieces[name]
            place = folder / "submitted" / student.name / CHAPTER
            place.mkdir(parents=True)
            (place / f"{CHAPTER}.ipynb").write_text(json.dumps(released))

    def commands(self, folder: Path, students: list[Student]) -> list[list[str]]:
        return [["nbgrader", "autograde", CHAPTER]]

    def done(self, folder: Path, student: Student) -> Path:
        return folder / "autograded" / student.name / CHAPTER / f"{CHAPTER}.ipynb"

    def points(self, folder: Path, student: Student) -> dict[str, float]:
        query = """
            SELECT base_cell.name, grade.auto_score FROM grade
            JOIN base_cell ON grade.cell_id = base_cell.id
            JOIN submitted_notebook ON grade.notebook_id = submitted_notebook.id
            JOIN submitted_assignment ON submitted_notebook.assignment_id = submitted_assignment.id
            WHERE submitted_assignment.student_id = ?"""
        with sqlite3.connect(folder / "gradebook.db") as book:
            rows = book.execute(query, [student.name]).fetchall()
        return {name.removeprefix("test_"): score for name, score in rows}

    def variables(self, folder: Path) -> dict[str, str]:
        return super().variables(folder) | {"JUPYTER_CONFIG_DIR": str(folder), "IPYTHONDIR": str(folder)}

    def _make_course(self, course: Path) -> None:
        """The instructor's folder with the assignment, released once."""
        unfinished = course.with_name(f"{course.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        source = unfinished / "source" / CHAPTER
        source.mkdir(parents=True)
        pieces = cells_of(CourseFolder(ROOT).chapter(CHAPTER).source)
        cells = [_cell(pieces.pop("start"), "start")]
        cells += [_cell(piece, name, solution=True) for name, piece in pieces.items()]
        cells.append(_cell(shared_asserts(), "asserts", locked=True))
        for one in exercises():
            tests = f"{one.tests}\n\n" + "\n".join(f"{call}()" for call in one.calls)
            tests = f"### BEGIN HIDDEN TESTS\n{tests}\n### END HIDDEN TESTS"
            cells.append(_cell(tests, f"test_{one.name}", locked=True, points=one.points))
        (source / f"{CHAPTER}.ipynb").write_text(json.dumps(notebook(cells)))
        (unfinished / "nbgrader_config.py").write_text(
            'c = get_config()\nc.CourseDirectory.course_id = "gpt"\n'
        )
        command = ["nbgrader", "generate_assignment", CHAPTER]
        run = subprocess.run(
            command, cwd=unfinished, env=self.variables(unfinished), capture_output=True, text=True
        )
        if run.returncode != 0:
            raise RuntimeError(f"nbgrader generate_assignment fails: {run.stderr[-1000:]}")
        os.replace(unfinished, course)


class Otter(Contender):
    name = "otter-grader"
    needs = ("otter-grader", "ipykernel", TORCH, "numpy")

    @property
    def says(self) -> str:
        return f"{super().says} run"

    def prepare(self, folder: Path, students: list[Student]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / "autograder.zip", "w") as file:
            file.writestr("otter_config.json", json.dumps({"pdf": False, "lang": "python"}))
            for one in exercises():
                file.writestr(f"tests/{one.name}.py", self._test_file(one))
        for student in students:
            cells = [plain_cell(piece, name) for name, piece in cells_of(student.source).items()]
            (folder / student.name).mkdir()
            (folder / student.name / f"{CHAPTER}.ipynb").write_text(json.dumps(notebook(cells)))

    def commands(self, folder: Path, students: list[Student]) -> list[list[str]]:
        command = ["otter", "run", "--no-logo", "-a", "autograder.zip", "-o"]
        return [[*command, one.name, f"{one.name}/{CHAPTER}.ipynb"] for one in students]

    def done(self, folder: Path, student: Student) -> Path:
        return folder / student.name / "results.json"

    def points(self, folder: Path, student: Student) -> dict[str, float]:
        results = json.loads(self.done(folder, student).read_text())
        scores = {test["name"].split()[0]: test["score"] for test in results["tests"] if "score" in test}
        return {one.name: scores[one.name] for one in exercises()}

    def _test_file(self, one: Exercise) -> str:
        """otter's exception-based format: one case, which is given the student's names."""
        names = [other.name for other in exercises()]
        calls = "\n".join(f"    {call}()" for call in one.calls)
        return (
            "OK_FORMAT = False\nfrom otter.test_files import test_case\n\n"
            f"{shared_asserts()}\n\n{one.tests}\n\n"
            f"name, points, all_or_nothing = {one.name!r}, {one.points}, True\n\n"
            f"@test_case(points={one.points}, hidden=True)\ndef passes(env):\n"
            f"    globals().update({{name: env[name] for name in {names}}})\n{calls}\n"
        )


# ---- environments ----


def environment(name: str, needs: tuple[str, ...], cache: Path) -> Path:
    """The Python of a virtual environment with some packages, made if it is not there."""
    folder = cache / name
    python, note = folder / "bin/python", folder / "installed.txt"
    if not note.is_file() or note.read_text() != "\n".join(needs):
        print(f"installing {', '.join(needs)} into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "--constraint", str(ROOT / "constraints.txt"), *needs], check=True)
        note.write_text("\n".join(needs))
    return python


def installed_version(python: Path, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


# ---- the exercises and their asserts ----


def course_points() -> dict[str, int]:
    return CourseFolder(ROOT).chapter(CHAPTER).points


def exercises() -> list[Exercise]:
    """The exercises with the asserts that stand for their hidden checks."""
    checks = {f"test_{one.name}": one.exercise for one in CourseFolder(ROOT).chapter(CHAPTER).hidden_checks}
    text = ASSERTS.read_text(encoding="utf-8")
    tests = {
        node.name: ast.get_source_segment(text, node)
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    if tests.keys() != checks.keys():
        sys.exit(f"{ASSERTS.name} and the hidden checks differ: {sorted(tests.keys() ^ checks.keys())}")
    return [
        Exercise(
            name,
            points,
            "\n\n".join(text for test, text in tests.items() if checks[test] == name),
            tuple(test for test in tests if checks[test] == name),
        )
        for name, points in course_points().items()
    ]


def shared_asserts() -> str:
    """What the tests share, without the import of the module, whose names a notebook has already."""
    text = ASSERTS.read_text(encoding="utf-8")
    return "\n\n".join(
        ast.get_source_segment(text, node)
        for node in ast.parse(text).body[1:]
        if not (isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))
        and not (isinstance(node, ast.ImportFrom) and node.module == MODULE)
    )


# ---- notebooks ----


def cells_of(source: str) -> dict[str, str]:
    """A module as cells: "start" with what comes before the first exercise, then one for each."""
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    lines = source.splitlines()
    starts = [node.lineno - 1 for node in nodes]
    pieces = ["\n".join(lines[a:b]).strip() for a, b in pairwise([0, *starts, len(lines)])]
    return dict(zip(["start", *(node.name for node in nodes)], pieces, strict=True))


def notebook(cells: list[dict]) -> dict:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def plain_cell(source: str, name: str) -> dict:
    return {
        "cell_type": "code",
        "id": name,
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": source,
    }


def _cell(source: str, name: str, *, solution: bool = False, locked: bool = False, points: int = 0) -> dict:
    """A cell with nbgrader's marks."""
    mark = {"schema_version": 3, "grade_id": name, "solution": solution, "locked": locked, "task": False}
    mark |= {"grade": bool(points)} | ({"points": points} if points else {})
    return plain_cell(source, name) | {"metadata": {"nbgrader": mark}}
