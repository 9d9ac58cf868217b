"""Points as they count: the judge's, with the instructor's overrides; and grades.csv.

RESULTS/overrides.csv is the instructor's own and is only read here:

    student,chapter,exercise,points,reason
    alice,ch3,CausalAttention,20,right but for the dtype that we had not asked for

A name in a CSV file that a spreadsheet would take for a formula carries an apostrophe in front (`csv_name`),
and `plain_name` takes it off again; all other names stand as they are.
"""

import csv
import difflib
import io
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from grader.course_file import Course
from grader.errors import GraderError

OVERRIDE_COLUMNS = ("student", "chapter", "exercise", "points", "reason")
UNDECIDED = "grader fault"  # an exercise in this state has no points, not 0
# apostrophes may stand in front, so that a name that begins with one can be told from one that was given one
FORMULA = re.compile(r"'*\s*[=+\-@＝＋－＠\t\r\n]")


@dataclass(frozen=True)
class Override:
    """line: where it stands in the file."""

    points: float
    reason: str = ""
    line: int = field(default=0, compare=False)


Overrides = dict[tuple[str, str, str], Override]  # by student, chapter and exercise


@dataclass(frozen=True)
class ExercisePoints:
    """points: as judged, or as set by hand; None when only a grader fault stands there. factor: what remains
    of them in the sum, 1 but for work handed in late; what is set by hand counts in full.
    """

    name: str
    points: float | None
    max: float
    state: str = "missing"
    passed: int = 0
    checks: int = 0
    override: Override | None = None
    factor: float = 1.0

    @property
    def passed_as_it_counts(self) -> bool | None:
        """Whether it has all its points: by its checks, or by hand where that was set; None if undecided."""
        if self.override is not None:
            return self.points >= self.max
        return None if self.state == UNDECIDED else self.state == "passed"


# ---- points ----


def effective_points(
    student: str, chapter: str, report: dict | None, course: Course, overrides: Overrides
) -> list[ExercisePoints]:
    """A chapter's exercises, all that the course has, in its order, and what others the report has."""
    judged = {exercise["name"]: exercise for exercise in (report or {}).get("exercises", ())}
    maxima = dict(course.chapters[chapter].points) if chapter in course.chapters else {}
    maxima |= {name: exercise["max"] for name, exercise in judged.items()}
    late = ((report or {}).get("late") or {}).get("factor", 1.0)
    exercises = []
    for name, most in maxima.items():
        found = judged.get(name, {"points": 0, "state": "missing"})
        override = overrides.get((student, chapter, name))
        points = None if found["state"] == UNDECIDED else found["points"]
        if override is not None:
            points = override.points
        counts = found.get("passed") or 0, found.get("checks") or 0
        factor = late if override is None else 1.0
        exercises.append(ExercisePoints(name, points, most, found["state"], *counts, override, factor))
    return exercises


def total(exercises: Iterable[ExercisePoints]) -> float | None:
    """The sum that counts; None while an exercise has no points because of a grader fault."""
    exercises = list(exercises)
    if any(exercise.points is None for exercise in exercises):
        return None
    return round(sum(e.points * e.factor for e in exercises), 6)  # 0.1 + 0.2 is not quite 0.3


# ---- overrides.csv ----


def read_overrides(data: bytes, where: str) -> Overrides:
    """Overrides by student, chapter and exercise. A row that cannot be meant so is an error that names it."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise GraderError(f"{where}, line {line}: not UTF-8; save it as CSV in UTF-8") from None
    header = text.partition("\n")[0]
    delimiter = (
        ";" if header.count(";") > header.count(",") else ","
    )  # what spreadsheets write in much of Europe
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    overrides, lines = {}, {}
    try:
        columns = [cell.strip().lower() for cell in next(rows, OVERRIDE_COLUMNS)]
        for column in OVERRIDE_COLUMNS[:-1]:
            if columns.count(column) != 1:
                raise GraderError(
                    f"{where}, line 1: there must be one column {column}; the columns are"
                    f" {', '.join(OVERRIDE_COLUMNS)}"
                )
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            at = f"{where}, line {rows.line_num}"
            if len(row) > len(columns):
                raise GraderError(
                    f"{at}: {len(row)} cells, but {len(columns)} columns; put a reason with commas in quotes"
                )
            cells = dict(zip(columns, row, strict=False))
            key = tuple(_cell(cells, column, at) for column in ("student", "chapter", "exercise"))
            if key in lines:
                raise GraderError(f"{at}, column exercise: line {lines[key]} has this exercise already")
            lines[key] = rows.line_num
            reason = plain_name(cells.get("reason", "").strip())
            points = _points(_cell(cells, "points", at), delimiter, at)
            overrides[key] = Override(points, reason, rows.line_num)
    except csv.Error as error:
        raise GraderError(f"{where}, line {rows.line_num}: {error}") from None
    return overrides


def check_overrides(overrides: Overrides, course: Course, where: str) -> None:
    """Refuse what the course does not have: a misspelt exercise would be passed over in silence."""
    for (_, chapter, exercise), override in overrides.items():
        row = f"{where}, line {override.line}"
        if chapter not in course.chapters:
            known = ", ".join(course.chapters)
            raise GraderError(f"{row}, column chapter: there is no {chapter}; there are {known}")
        points = course.chapters[chapter].points
        if exercise not in points:
            known = ", ".join(points)
            raise GraderError(f"{row}, column exercise: {chapter} has no {exercise}; it has {known}")
        if override.points > points[exercise]:
            raise GraderError(
                f"{row}, column points: {override.points:g} is more than the {points[exercise]} it is worth"
            )


def check_names(overrides: Overrides, known: Iterable[str], where: str) -> None:
    """Refuse a student whom nobody knows: misspelt, the points would go to nobody."""
    known = set(known)
    for (student, _, _), override in overrides.items():
        if student not in known:
            close = difflib.get_close_matches(student, known, 3, 0.6)
            meant = f": is it {' or '.join(close)}?" if close else ", nor in the roster"
            raise GraderError(
                f"{where}, line {override.line}, column student: there is no {student} among those who handed"
                f" something in{meant}"
            )


def _cell(cells: dict[str, str], column: str, at: str) -> str:
    text = plain_name(cells.get(column, "").strip())
    if not text:
        raise GraderError(f"{at}, column {column}: it is empty")
    return text


def _points(text: str, delimiter: str, at: str) -> float:
    try:
        points = float(text.replace(",", ".") if delimiter == ";" else text)
    except ValueError:
        points = math.nan
    if not math.isfinite(points) or points < 0:
        raise GraderError(
            f"{at}, column points: {text!r} is no number of points; write 0 or more, as 7 or 7.5"
        )
    return int(points) if points == int(points) else points


# ---- grades.csv ----


def csv_name(name: str) -> str:
    """A name as a CSV cell that no spreadsheet computes.

    >>> csv_name("=1+1"), csv_name("'=1+1"), csv_name("O'Brien"), csv_name("'t Hooft")
    ("'=1+1", "''=1+1", "O'Brien", "'t Hooft")
    """
    name = name.encode("utf-8", "backslashreplace").decode()  # a file name's bytes may be no characters
    return f"'{name}" if FORMULA.match(name) else name


def plain_name(cell: str) -> str:
    """The name that csv_name wrote.

    >>> plain_name("'=1+1"), plain_name("''=1+1"), plain_name("'t Hooft")
    ('=1+1', "'=1+1", "'t Hooft")
    """
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell[1:]) else cell


def grades_csv(rows: Iterable[tuple[str, str, list[ExercisePoints]]], course: Course) -> str:
    """A line for each student and chapter; the columns are the exercises of all those chapters.

    An exercise has its points as if it had been in time; only the sum is less for work that came late.
    """
    rows = list(rows)
    chapters = {chapter for _, chapter, _ in rows}
    names = [
        name for chapter in course.chapters if chapter in chapters for name in course.chapters[chapter].points
    ]
    names += [exercise.name for _, _, exercises in rows for exercise in exercises]
    columns = ["student", "chapter", "points", "max", *dict.fromkeys(names)]
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for student, chapter, exercises in rows:
        row = {"student": csv_name(student), "chapter": chapter}
        row |= {"points": _number(total(exercises)), "max": _number(sum(e.max for e in exercises))}
        row |= {exercise.name: _number(exercise.points) for exercise in exercises}
        writer.writerow(row)
    return out.getvalue()


def _number(points: float | None) -> str:
    return "" if points is None else f"{points:.10g}"
