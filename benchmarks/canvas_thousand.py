"""A thousand students through Canvas: its download in, its gradebook out, and nobody lost or mistaken.

    python benchmarks/canvas_thousand.py [--students 1000] [--workers N]

A class made by a seed, with names of many kinds and some of them twice, hands in chapter 3: solutions, whole
and with wrong turns, half done and untouched, as modules, archives and notebooks; three in a hundred hand in
nothing. `grader grade` takes the download with the gradebook as its roster, `grader export --canvas` writes
the new gradebook. Each module prints its author's number, so that a report shows whose work was judged.
Exit code 1 if anything is not as it should be.
"""

import argparse
import csv
import io
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from contenders import CHAPTER, MODULE, ROOT, cells_of, course_points, notebook, plain_cell
from made_submissions import HONEST, Maker

from tests.grader.downloads import canvas_gradebook, canvas_name

FIRST = ["Jane", "Zoë", "O'Neil", "Jean-Luc", "Li_Wei", "Анна", "José María", "X", "Thị Hồng", "Bo"]
LAST = ["Doe", "van der Berg", "Ŝmith", "_77_", "Nguyễn", "D’Arcy, Jr.", "=cmd", "李", "Müller-Lüdenscheidt"]
COLUMNS = {"Quiz (11)": "5.00", "Attention (12)": "100.00", "Attention, again (13)": "100.00"}
COLUMN = "Attention (12)"
ABSENT_EVERY = 33


@dataclass(frozen=True)
class Person:
    """number: Canvas's. least, most: the points that the work deserves, or None for no work."""

    name: str
    number: int
    login: str
    least: int | None
    most: int | None


# ---- the class ----


class Class:
    def __init__(self, students: int, seed: int):
        self.chance = random.Random(seed)
        self.maker = Maker(seed)
        self.points = course_points()
        self.files: dict[str, bytes] = {}
        self.people = [self._person(n) for n in range(students)]

    @property
    def at_work(self) -> list[Person]:
        return [one for one in self.people if one.least is not None]

    def gradebook(self) -> bytes:
        rows = [(one.name, one.number, one.login) for one in self.people]
        old = {one.number: [str(one.number % 6), "", "EX"] for one in self.people}
        return canvas_gradebook(rows, COLUMNS, "\ufeff", "\r\n", old)

    def download(self) -> bytes:
        return zipped(self.files)

    def _person(self, n: int) -> Person:
        name = f"{self.chance.choice(LAST)}, {self.chance.choice(FIRST)}"
        number, login = 100_000 + 7 * n, f"login{n}"
        if n % ABSENT_EVERY == ABSENT_EVERY - 1:
            return Person(name, number, login, None, None)
        source, right, unknown = self._work(self.chance.choices(list(HONEST), list(HONEST.values()))[0])
        mark = f"class Author:\n    print('by {number}.')\n"  # a class, which is kept of a notebook
        source = source.replace("\nimport ", f"\n{mark}\nimport ", 1)
        called, data = self._form(source)
        self.files[canvas_name(name, number, 5_000_000 + n, called)] = data
        least = sum(self.points[name] for name in right)
        return Person(name, number, login, least, least + sum(self.points[name] for name in unknown))

    def _work(self, kind: str) -> tuple[str, set[str], set[str]]:
        """A module, the exercises that are right in it, and those that may be."""
        maker, exercises = self.maker, self.maker.chapter.exercises
        if kind == "whole":
            return maker.source, {*exercises}, set()
        if kind == "untouched":
            return maker.stub, set(), set()
        if kind == "half done":
            done = self.chance.randrange(1, len(exercises))
            return maker.half(done), {*exercises[:done]}, set()
        source, wrong = maker.wrong(1 if kind == "one wrong turn" else self.chance.randint(2, 5))
        unknown = set()
        if "causal_mask" in wrong:  # which others use
            unknown = {*exercises[exercises.index("causal_mask") :]} - wrong
        return source, {*exercises} - wrong - unknown, unknown

    def _form(self, source: str) -> tuple[str, bytes]:
        """What the file is called, before Canvas puts its own name before it, and what is in it."""
        form = self.chance.choice(["module", "module", "again", "zip", "notebook"])
        if form == "module":
            return f"{MODULE}.py", source.encode()
        if form == "again":  # as Canvas calls a later one
            return f"{MODULE}-{self.chance.randrange(1, 9)}.py", source.encode()
        if form == "zip":
            return "my-gpt.zip", zipped({f"my-gpt/exercises/{CHAPTER}/{MODULE}.py": source.encode()})
        cells = [plain_cell(piece, title) for title, piece in cells_of(source).items()]
        return f"{CHAPTER}.ipynb", json.dumps(notebook(cells)).encode()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


# ---- through the grader ----


def grader(*arguments) -> tuple[str, float]:
    """What a command printed, and its seconds."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "grader.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        sys.exit(f"grader {arguments[0]} ended with exit code {done.returncode}\n{done.stdout}")
    return done.stdout, time.monotonic() - began


def through(work: Path, made: Class, workers: int | None) -> list[str]:
    """Grade and export; what is not as it should be."""
    download, old, new = work / "submissions.zip", work / "gradebook.csv", work / "new.csv"
    download.write_bytes(made.download())
    old.write_bytes(made.gradebook())
    total, at_work = len(made.people), len(made.at_work)
    megabytes = download.stat().st_size / 1e6
    print(f"in: {total} in the gradebook, {len(made.files)} files of {at_work} students, {megabytes:.1f} MB")
    names = Counter(one.name for one in made.people)
    print(f"  {sum(number for number in names.values() if number > 1)} share their name with another")
    more = ("--workers", workers) if workers else ()
    said, seconds = grader(
        *("grade", download, "--to", work / "results", "--roster", old, "--chapter", CHAPTER),
        *("--seed", "canvas", *more),
    )
    print(f"graded in {seconds:.0f} s, {at_work / seconds * 60:.0f} a minute: {said.splitlines()[0]}")
    told, seconds = grader(
        *("export", work / "results", "--canvas", old, "--column", COLUMN, "--to", new, "--chapter", CHAPTER)
    )
    print(f"exported in {seconds:.1f} s: {told.splitlines()[0].partition(': ')[2]}")
    mistaken = not_their_own(work / "results", made)
    problems = [*mistaken, *changes(old.read_bytes(), new.read_bytes(), made)]
    questions = work / "results" / "questions.txt"  # there if there are any
    asked = questions.read_text(encoding="utf-8").splitlines() if questions.exists() else []
    problems += [f"a question: {question}" for question in asked]
    rows = rows_of(new.read_bytes())
    cell = rows[0].index(COLUMN)
    written = {row[1] for row in rows[3:] if row[cell]}
    lost = sum(str(one.number) not in written for one in made.at_work)
    given = len(written - {str(one.number) for one in made.at_work})
    print(f"out: {len(rows) - 3} in the gradebook, {len(written)} with points; lost {lost}, too many {given}")
    return problems


def not_their_own(results: Path, made: Class) -> list[str]:
    """Those whose report is missing, or is on another's work."""
    problems = []
    for one in made.at_work:
        try:
            report = json.loads((results / one.login / f"{CHAPTER}.json").read_text(encoding="utf-8"))
        except OSError:
            problems.append(f"{one.login} has no report")
            continue
        if set(re.findall(r"by (\d+)\.", report["printed"])) != {str(one.number)}:
            problems.append(f"{one.login}, {one.number}, has a report on what printed {report['printed']!r}")
    return problems


def changes(before: bytes, after: bytes, made: Class) -> list[str]:
    """What differs in the new gradebook beside the points, and points that are not those deserved."""
    old, new = rows_of(before), rows_of(after)
    if len(old) != len(new):
        return [f"the gradebook had {len(old)} rows, and has {len(new)}"]
    cell, problems = old[0].index(COLUMN), []
    for one, old_row, new_row in zip([None] * 3 + made.people, old, new, strict=True):
        points = new_row[cell]
        if old_row[:cell] + old_row[cell + 1 :] != new_row[:cell] + new_row[cell + 1 :]:
            problems.append(f"the row of {old_row[0]} has changed: {new_row}")
        if one is None or one.least is None:
            if points != old_row[cell]:
                problems.append(f"{old_row[0]} handed in nothing, and has {points!r}")
        elif not points or not one.least <= float(points) <= one.most:
            problems.append(f"{one.login} has {points!r}, and deserves {one.least} to {one.most}")
    return problems


def rows_of(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=1000)
    parser.add_argument("--workers", type=int, help="one a core if not given")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    with tempfile.TemporaryDirectory(prefix="canvas-") as work:
        problems = through(Path(work), Class(args.students, args.seed), args.workers)
    print(f"{os.cpu_count()} cores, load now {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    print(f"Python {platform.python_version()}, torch {version('torch')}, {platform.machine()}")
    for problem in problems[:40]:
        print(f"NOT AS IT SHOULD BE: {problem}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
