"""When work was handed in, and what that means for its points by course.toml."""

import datetime
from collections.abc import Iterable

from grader.course_file import Course
from grader.intake import WHICH_ONE, Submission
from grader.places import some

SHOWN = 20  # names in a question
ADVICE = "give a --roster with a column submitted_at"


def lateness(course: Course, chapter: str, handed_in: datetime.datetime | None) -> dict | None:
    """The report's "late": nothing where there is no deadline, or no time to hold against it."""
    deadline = course.chapters[chapter].deadline
    if deadline is None or handed_in is None:
        return None
    return {
        "handed_in": handed_in.astimezone(datetime.UTC).isoformat(timespec="seconds"),
        "deadline": deadline.isoformat(timespec="seconds"),
        "factor": round(course.late.factor(deadline, handed_in), 6),
    }


def with_hand_in(report: dict, submission: Submission, course: Course) -> dict:
    """A report with what the hand-in says beside the work itself; the judge knows nothing of that."""
    chapter = report["chapter"]
    rest = {key: value for key, value in report.items() if key not in ("ids", "late")}
    late = lateness(course, chapter, submission.times.get(chapter))
    ids = {key: value for key, value in submission.ids.items() if key != "repository"}
    return rest | ({"ids": ids} if ids else {}) | ({"late": late} if late else {})


def hand_in_questions(
    submissions: Iterable[Submission], chapters: Iterable[str], course: Course, system: str
) -> list[str]:
    """What cannot be decided without the instructor: which file counts, and late days.

    Until it is known when work was handed in, it counts in full.
    """
    submissions, chapters = list(submissions), list(chapters)
    questions = []
    for one in submissions:
        handed_in = [one.modules[chapter] for chapter in chapters if chapter in one.modules]
        problems = [*one.problems, *(f"{module.chapter}: {module.problem}" for module in handed_in)]
        questions += [f"{one.student}: {problem}" for problem in problems if problem.endswith(WHICH_ONE)]
    for chapter in chapters:
        if course.chapters[chapter].deadline is None:
            continue
        here = [one for one in submissions if chapter in one.modules]
        unknown = [one.student for one in here if chapter not in one.times and one.marked is None]
        late = [one.student for one in here if chapter not in one.times and one.marked]
        if late:
            questions.append(
                f"{chapter}: {system} marks {_listed(late)} as late, and does not say when that came; it"
                f" counts in full: {ADVICE}"
            )
        if unknown:
            questions.append(
                f"{chapter} has a deadline, and nothing says when {_listed(unknown)} handed it in; it counts"
                f" in full: {ADVICE}"
            )
        if system == "classroom" and any(chapter in one.times for one in here):
            questions.append(
                f"{chapter}: the times are those of the newest commits, by the students' own clocks; where it"
                f" matters, {ADVICE}"
            )
    return questions


def _listed(students: list[str]) -> str:
    return ", ".join(some(students, SHOWN, "students"))
