"""Grades of `grader grade` into an existing gradebook of nbgrader's, through nbgrader's own API.

What the judge gave for an exercise becomes the score that nbgrader's autograde would have set. Nothing else
changes: manual scores, extra credit and comments stay, nobody is added, and nothing is written before all of
it is known to fit.
"""

from dataclasses import dataclass, field
from pathlib import Path

from nbgrader.api import Course as CourseRow
from nbgrader.api import Gradebook, MissingEntry
from sqlalchemy import create_engine, select

from grader.course_file import Course
from grader.errors import GraderError
from grader.gradebooks import AS_NAMES
from grader.grades import ExercisePoints, Overrides, effective_points
from grader.notebooks import CHECK
from grader.places import some
from grader.safe_names import printable, same_name

SHOWN = 20
Reports = dict[str, dict[str, dict]]  # by student and chapter


@dataclass
class Imported:
    """written: students with points in a chapter; same: those of them that had just those already."""

    written: int = 0
    same: int = 0
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Entry:
    """A student's points in a chapter. known: their id in the gradebook. penalty: None if time is unknown."""

    known: str
    chapter: str
    exercises: list[ExercisePoints]
    penalty: float | None


def into_nbgrader(path: Path, reports: Reports, course: Course, overrides: Overrides) -> Imported:
    if not path.is_file():
        raise GraderError(f"there is no {path}: name the gradebook.db of an nbgrader course")
    done = Imported()
    url = f"sqlite:///{path.resolve()}"
    with Gradebook(url, _course_id(url, path)) as book:
        entries = _entries(book, path, reports, course, overrides, done)
        for entry in entries:
            book.update_or_create_submission(entry.chapter, entry.known)
        for entry in entries:
            changed = _write(book, entry)
            done.written += changed
            done.same += not changed
        book.db.commit()
    return done


def _course_id(url: str, path: Path) -> str:
    """The gradebook's own course: nbgrader would add another one to it."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.execute(select(CourseRow.id)).scalars().first() or "default_course"
    except Exception:
        raise GraderError(f"{path} is no gradebook of nbgrader's, or of another version of it") from None
    finally:
        engine.dispose()


def _entries(
    book: Gradebook, path: Path, reports: Reports, course: Course, overrides: Overrides, done: Imported
) -> list[Entry]:
    """All that is to be written, after a look at whether it fits."""
    maxima = {
        chapter: _maxima(book, chapter)
        for chapter in course.chapters
        if any(chapter in own for own in reports.values())
    }
    there = [chapter for chapter, points in maxima.items() if points]
    if not there:
        raise GraderError(
            f"{path} has none of {', '.join(maxima)}:"
            f" `nbgrader generate_assignment {next(iter(maxima))}` puts the first there"
        )
    if absent := [chapter for chapter in maxima if chapter not in there]:
        done.remarks.append(f"no assignments in the gradebook, and left out: {', '.join(absent)}")
    known = {same_name(student.id): student.id for student in book.students}
    entries = []
    strangers, undecided = [], []
    for student, own in reports.items():
        identifier = _known(student, own, known)
        if identifier is None:
            strangers.append(student)
            continue
        for chapter in there:
            if chapter not in own:
                continue
            exercises = effective_points(student, chapter, own[chapter], course, overrides)
            _check_maxima(path, chapter, exercises, maxima[chapter])
            if any(exercise.points is None for exercise in exercises):
                undecided.append(f"{student} ({chapter})")
            lost = sum((one.points or 0) * (1 - one.factor) for one in exercises)
            penalty = round(lost, 6) if own[chapter].get("late") else None
            entries.append(Entry(identifier, chapter, exercises, penalty))
    for names, what in (
        (strangers, "not in the gradebook (`nbgrader db student add` adds them)"),
        (undecided, "not decided in full, because the grader failed"),
    ):
        if names:
            listed = ", ".join(some(list(map(printable, names)), SHOWN, "students"))
            done.remarks.append(f"{what}, {len(names)}: {listed}")
    return entries


def _maxima(book: Gradebook, chapter: str) -> dict[str, float]:
    """What the gradebook says that each exercise of a chapter is worth; nothing if it lacks the chapter."""
    try:
        cells = book.find_notebook(chapter, chapter).grade_cells
    except MissingEntry:
        return {}
    return {cell.name.removeprefix(CHECK): cell.max_score for cell in cells if cell.name.startswith(CHECK)}


def _check_maxima(
    path: Path, chapter: str, exercises: list[ExercisePoints], maxima: dict[str, float]
) -> None:
    for one in exercises:
        if one.name not in maxima:
            raise GraderError(f"{path}: {chapter} has no cell with the points of {one.name}")
        if maxima[one.name] != one.max:
            raise GraderError(
                f"{path}: {one.name} is worth {maxima[one.name]:g} there, and {one.max:g} here; release the"
                " assignment anew, or grade with the course.toml that it was made from"
            )


def _known(student: str, own: dict[str, dict], known: dict[str, str]) -> str | None:
    """A student's id in the gradebook: by name, or by the one id of theirs that stands there."""
    if same_name(student) in known:
        return known[same_name(student)]
    ids = {
        known.get(same_name((report.get("ids") or {}).get(kind) or ""))
        for report in own.values()
        for kind in AS_NAMES
    }
    ids.discard(None)
    return ids.pop() if len(ids) == 1 else None


def _write(book: Gradebook, entry: Entry) -> bool:
    """Whether anything of it was not there already."""
    changed = False
    for one in entry.exercises:
        if one.points is None:
            continue
        grade = book.find_grade(f"{CHECK}{one.name}", entry.chapter, entry.chapter, entry.known)
        if grade.auto_score != one.points:
            grade.auto_score = one.points
            # as nbgrader's autograde has it: who graded by hand looks again
            grade.needs_manual_grade = grade.manual_score is not None
            changed = True
    notebook = book.find_submission_notebook(entry.chapter, entry.chapter, entry.known)
    if entry.penalty is not None and (notebook.late_submission_penalty or 0) != entry.penalty:
        notebook.late_submission_penalty = entry.penalty or None
        changed = True
    return changed
