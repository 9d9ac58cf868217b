"""A class's work, from whatever system it comes: the submissions, whose they are, and what is to be asked.

Nobody's work is taken for another's: where the roster does not say whose something is, it is graded under the
name that the system gives it, marked as unmatched, and the instructor is asked.
"""

import datetime
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from grader.errors import GraderError
from grader.intake import WHICH_ONE, Intake, Submission, one_each, take_in_folder
from grader.layouts import SYSTEMS, Work, unwrapped, works_of
from grader.places import Places, Refused, some
from grader.roster import Person, Roster, users_of
from grader.safe_names import printable, same_name
from grader.zip_folder import opened

UNMATCHED = " (unmatched)"
QUESTIONS = 200
ZIPS = 20  # of a folder that are looked into for a download


@dataclass(frozen=True)
class Class:
    """submissions: one a student, by name. questions: to the instructor, a line each. absent: those of the
    roster who handed nothing in.
    """

    system: str
    submissions: list[Submission]
    questions: list[str]
    absent: list[str]


def take_in_class(
    path: Path,
    modules: Mapping[str, str],
    stubs: Mapping[str, str] | None = None,
    *,
    system: str | None = None,
    roster: Roster | None = None,
) -> Class:
    """All submissions of a folder or of a system's download. system: where it cannot be told by looking."""
    if system is not None and system not in SYSTEMS:
        raise GraderError(f"--from {system}: there are {', '.join(SYSTEMS)}")
    places = Places(modules)
    try:
        with opened(path) as (folder, problems), ExitStack() as inner:
            folder, found = unwrapped(folder, inner, system)
            intake = Intake(places, stubs or {})
            questions = list(problems)
            if found == "folder":
                taken = take_in_folder(folder, intake)
            else:
                works, asked = works_of(found, folder, roster.known("canvas_id") if roster else frozenset())
                questions += asked
                if found == "classroom" and roster:
                    works = _with_users(works, roster)
                taken = [intake.take_work(folder, work) for work in works]
            if found == "nbgrader":
                taken = _assignments_together(taken)
    except (OSError, Refused) as error:
        raise GraderError(f"{path} cannot be read as a class's submissions ({error})") from None
    absent = []
    if roster is not None:
        taken = [_known(submission, roster, questions) for submission in taken]
        there = {submission.student for submission in taken}
        absent = [p.student for p in roster.people if printable(p.student) not in there]
    return Class(found, one_each(taken), list(some(questions, QUESTIONS, "questions")), absent)


def downloads_in(folder: Path) -> list[tuple[Path, str]]:
    """Zips in a folder that are a system's download of a whole class, and the system."""
    found = []
    for path in sorted(folder.glob("*.zip"))[:ZIPS] if folder.is_dir() else []:
        try:
            with opened(path) as (inside, _), ExitStack() as inner:
                _, system = unwrapped(inside, inner)
        except (OSError, Refused, GraderError):
            continue
        if system != "folder":
            found.append((path, system))
    return found


def _known(submission: Submission, roster: Roster, questions: list[str]) -> Submission:
    """The submission under the roster's name for the student."""
    person, question = roster.find(submission.student, submission.ids)
    if person is None:
        questions.append(question)
        return replace(submission, student=submission.student + UNMATCHED)
    return _named(submission, person)


def _named(submission: Submission, person: Person) -> Submission:
    times = submission.times
    if person.submitted is not None:
        times = dict.fromkeys(submission.modules, person.submitted.astimezone(datetime.UTC))
    ids = submission.ids | person.all_ids
    return replace(submission, student=printable(person.student), ids=ids, times=times)


def _with_users(works: list[Work], roster: Roster) -> list[Work]:
    """Clones with the GitHub user that each belongs to by the roster."""
    known = roster.known("github") or {person.student for person in roster.people}
    users = users_of([work.ids["repository"] for work in works], known)
    return [
        replace(work, ids=work.ids | {"github": users[work.ids["repository"]]})
        if work.ids["repository"] in users
        else work
        for work in works
    ]


def _assignments_together(taken: list[Submission]) -> list[Submission]:
    """nbgrader has a folder for each assignment of a student: the modules of all of them together."""
    together: dict[str, Submission] = {}
    for one in taken:
        key = same_name(one.student)
        before = together.get(key)
        if before is None or not before.modules:
            together[key] = one if before is None or one.modules else before
        elif one.modules:
            both = before.modules | one.modules
            twice = [chapter for chapter in one.modules if chapter in before.modules]
            more = [f"{name} is in two assignments: {WHICH_ONE}" for name in twice]
            together[key] = replace(
                before,
                modules={name: module for name, module in both.items() if name not in twice},
                problems=(*before.problems, *one.problems, *more),
                times=before.times | one.times,
            )
    return list(together.values())
