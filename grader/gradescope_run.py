"""What runs on Gradescope for each submission: judge it, and write results/results.json.

    /autograder/source/         the zip of `grader gradescope`
    /autograder/submission/     what the student handed in
    /autograder/submission_metadata.json
    /autograder/results/

A fault of the grader's own writes no results, so that it costs nobody points: Gradescope then shows
instructors what was printed.
"""

import datetime
import json
import sys
from pathlib import Path

from grader.course_file import Course
from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.gradescope_results import results_json
from grader.hand_in import lateness
from grader.intake import Submission, take_in_one
from grader.judge import ChapterJudge
from grader.sandbox import best_tier
from grader.whole_file import write_whole


def run(root: Path) -> int:
    """Grade what lies in root/submission; the exit code."""
    source = root / "source"
    settings = json.loads((source / "round.json").read_text(encoding="utf-8"))
    folder = CourseFolder(source / "files")
    metadata = _metadata(root / "submission_metadata.json")
    people = metadata.get("users") or []
    student = ", ".join(str(person.get("email") or person.get("name")) for person in people) or "the student"
    submission = take_in_one(root / "submission", folder.course.modules, folder.stubs)
    reports = [
        _judged(folder, chapter, settings["master"], student, submission, metadata, root)
        for chapter in settings["chapters"]
    ]
    faults = [f"{report['chapter']}: {fault}" for report in reports for fault in report["faults"]]
    results = None if faults else results_json(student, reports, folder.course, {})
    if results is None:
        print("the grader failed, and no results are written:", *faults, sep="\n  ")
        return 1
    write_whole(root / "results" / "results.json", json.dumps(results, indent=1).encode())
    for report in reports:
        print(f"{report['chapter']}: {report['points']} of {report['max']}; {report['tier']['says']}")
    return 0


def _judged(
    folder: CourseFolder,
    chapter: str,
    master: str,
    student: str,
    submission: Submission,
    metadata: dict,
    root: Path,
) -> dict:
    handed_in = submission.handed_in(chapter, folder.course.chapters[chapter].module)
    earlier = submission.before(chapter)
    hidden = (root / "source", root / "submission", root / "results")
    judge = ChapterJudge(folder, chapter, master, best_tier(), hidden)
    try:
        report = judge.judge(student, handed_in, earlier)
    finally:
        judge.close()
    late = late_on_gradescope(folder.course, chapter, metadata) if submission.modules.get(chapter) else None
    return report | ({"late": late} if late else {})


def late_on_gradescope(course: Course, chapter: str, metadata: dict) -> dict | None:
    """How late by course.toml; but a due date that Gradescope has for one of the students extends that."""
    late = lateness(course, chapter, _time(metadata.get("created_at")))
    people = metadata.get("users") or []
    extended = [_time((person.get("assignment") or {}).get("due_date")) for person in people]
    kept = late and any(due and _time(late["handed_in"]) <= due for due in extended)
    return late | {"factor": 1.0} if kept else late


def _metadata(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _time(text) -> datetime.datetime | None:
    try:
        time = datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else None


if __name__ == "__main__":
    try:
        sys.exit(run(Path(sys.argv[1])))
    except GraderError as error:
        print(f"grader: {error}")
        sys.exit(1)
