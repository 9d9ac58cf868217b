"""One submission of an nbgrader course judged as `grader grade` does, and the verdict as a cell's output."""

import atexit
import contextlib
import json
import sys
from pathlib import Path
from types import ModuleType

from nbformat import NotebookNode
from nbformat.v4 import new_output

from grader.course_file import Course
from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.feedback import STATES, chapter_view
from grader.grading import chosen_tier
from grader.hashes import chapter_hashes
from grader.intake import Intake, Submission
from grader.layouts import Piece, Work
from grader.page import render
from grader.places import Places
from grader.pool import Pool
from grader.results import Results
from grader.submission_folder import FOLDER, Folder
from grader.task import make_task

# A judge with its worker for all students of a run; formgrader's server keeps it between runs.
_pool: Pool | None = None
_pool_of: tuple | None = None


def judged(
    root: Path, submitted: Path, results: Path, chapter: str, require_sandbox: bool
) -> tuple[dict, Course]:
    """The report on a student's folder, kept in the results. root: the folder with course.toml."""
    folder = CourseFolder(root)
    if chapter not in folder.course.chapters:
        known = ", ".join(folder.course.chapters)
        raise GraderError(f"the notebook {chapter} is no chapter of the course; it has {known}")
    kept = Results(results)
    master = kept.round()
    submission = _taken_in(folder, submitted)
    handed_in = submission.handed_in(chapter, folder.course.chapters[chapter].module)
    pool = _pool_for((chapter_hashes(folder, chapter, master), require_sandbox))
    hidden = (submitted.parent.parent.parent.resolve(), results.resolve())
    task = make_task(folder, chapter, master, pool.tier, hidden, submission.student, handed_in)
    with _nothing_to_import():
        [(_, result)] = pool.run({submission.student: task})
    if isinstance(result, Exception):
        close()  # a pool whose judge was lost for good takes no more work
        raise GraderError(f"the judge was lost: {type(result).__name__}: {result}")
    report = json.loads(result)
    kept.write_report(report)
    return report, folder.course


def _taken_in(folder: CourseFolder, submitted: Path) -> Submission:
    """As grading a whole nbgrader folder does. submitted: submitted/jane/ch3."""
    student, assignment = submitted.parent.name, submitted.name
    work = Work(student, (Piece(assignment, FOLDER, assignment),), (student,))
    with Folder.at(submitted.parent.parent) as around:
        return Intake(Places(folder.course.modules), folder.stubs).take_work(around, work)


def _pool_for(of: tuple) -> Pool:
    """of: the checks, the grader and the round, and whether a sandbox is required."""
    global _pool, _pool_of
    if _pool is None or _pool_of != of:
        close()
        _pool, _pool_of = Pool(1, chosen_tier(of[1])), of
    return _pool


@contextlib.contextmanager
def _nothing_to_import():
    """A new process imports the main script of its parent: here nbgrader or Jupyter, which no judge needs."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@atexit.register
def close() -> None:
    global _pool, _pool_of
    if _pool is not None:
        _pool.kill()
    _pool, _pool_of = None, None


def output_of(row: dict, report: dict, course: Course) -> NotebookNode:
    """An exercise's verdict as the output of the cell with its points: nbgrader reads those from the text."""
    name = row["name"]
    report = report | {"checks": [_for_notebooks(check, report["chapter"]) for check in report["checks"]]}
    view = chapter_view(report["student"], report["chapter"], report, course, {})
    exercise = next(one for one in view.exercises if one.name == name)
    html = render(
        "exercise.html.j2",
        exercise=exercise,
        states=STATES,
        file=view.file,
        problem=view.problem,
        notes=view.notes if name == view.exercises[0].name else [],
        looked_at=view.looked_at,
        blocks=[one for one in view.blocks if _is_about(one.heading, name, view.looked_at)],
        waiting=[blockers for names, blockers, _ in view.waiting if name in names],
    )
    return new_output("execute_result", {"text/plain": str(row["points"]), "text/html": html})


def _for_notebooks(check: dict, chapter: str) -> dict:
    """A check's text with what runs it in a notebook."""
    command = f"pytest exercises/{chapter} -k {check['name']}"
    shown = (check.get("shown") or "").replace(command, f'check("{check["exercise"]}")')
    return check | {"shown": shown} if shown else check


def _is_about(heading: str, name: str, looked_at: bool) -> bool:
    """Whether a block of feedback is about an exercise, or about a module that cannot be imported at all."""
    return heading.startswith(f"{name}: ") or not looked_at
