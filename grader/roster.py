"""The roster: a CSV file that says who is who in the systems that students hand in to.

    student,name,canvas_id,moodle_id,sid,email,github,login,submitted_at
    jdoe,Jane Doe,12345,,,jane@university.edu,jane-d,,2026-10-02T08:00:00+02:00

Any of the columns will do. `student` is the name in the results; without it, the login, the email address or
the sid is. `submitted_at` is when the work at hand was handed in, and goes before what a system says. A
gradebook exported by Canvas, a grading worksheet of Moodle and a roster of GitHub Classroom can be given as
they are.
"""

import datetime
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from grader.csv_file import CsvFile
from grader.errors import GraderError
from grader.grades import plain_name
from grader.safe_names import printable, same_name

IDS = ("canvas_id", "moodle_id", "sid", "email", "github", "login")
NAMES = ("student", "login", "email", "sid", "github", "canvas_id", "moodle_id")  # who gives a student's name
COLUMNS = ("student", "name", *IDS, "submitted_at")
CANVAS = {
    "student": "name",
    "id": "canvas_id",
    "sis user id": "sid",
    "sis login id": "login",
}
MOODLE = {
    "identifier": "moodle_id",
    "full name": "name",
    "id number": "sid",
    "email address": "email",
    "username": "login",
}
CLASSROOM = {"identifier": "student", "github_username": "github", "name": "name"}
PARTICIPANT = re.compile(r"\D*(\d+)")  # "Participant 1234567", in whatever language


@dataclass(frozen=True)
class Person:
    """A line of the roster. ids: what systems call the student."""

    student: str
    name: str
    ids: dict[str, str] = field(default_factory=dict)
    submitted: datetime.datetime | None = None

    @property
    def all_ids(self) -> dict[str, str]:
        return ({"name": self.name} if self.name else {}) | self.ids


class Roster:
    def __init__(self, people: Iterable[Person] = (), where: str = "the roster"):
        self.people = list(people)
        self.where = where
        self._by_id: dict[tuple[str, str], Person] = {}
        self._by_student: dict[str, Person] = {}
        self._by_name: dict[str, list[Person]] = {}
        self._kinds = {kind for person in self.people for kind in person.ids}
        for person in self.people:
            if same_name(person.student) in self._by_student:
                raise GraderError(f"{where}: two rows are of the student {person.student}; keep one")
            self._by_student[same_name(person.student)] = person
            self._by_name.setdefault(_plain(person.name), []).append(person)
            for kind, value in person.ids.items():
                if (kind, _plain(value)) in self._by_id:
                    raise GraderError(f"{where}, column {kind}: two rows have {value}; mend one")
                self._by_id[kind, _plain(value)] = person

    def known(self, kind: str) -> frozenset[str]:
        """All ids of a kind."""
        return frozenset(person.ids[kind] for person in self.people if kind in person.ids)

    def find(self, called: str, ids: dict[str, str]) -> tuple[Person | None, str]:
        """Who that is; else why that cannot be told. called: what the work is named after."""
        people = [self._with_id(kind, value) for kind, value in ids.items() if kind in IDS]
        if not ids:  # a folder's name may be any of them
            people = [self._by_student.get(same_name(called)), *(self._with_id(kind, called) for kind in IDS)]
        found = {person.student: person for person in people if person}
        if not found and (name := _plain(ids.get("name", ""))):
            # one whose row has another id of a kind that the system names is another of that name
            named = [p for p in self._by_name.get(name, ()) if not any(kind in ids for kind in p.ids)]
            if len(named) > 1:
                return None, f"{len(named)} students are called {printable(ids['name'])}: whose is {called}?"
            found = {person.student: person for person in named}
        if len(found) == 1:
            return next(iter(found.values())), ""
        if found:
            people = printable(" and ".join(sorted(found)))
            return None, f"{called} is {people} in {self.where}: whose is it?"
        return None, f"{called} is not in {self.where}: whose is it?"

    def _with_id(self, kind: str, value: str) -> Person | None:
        """Whose id that is; where the roster has no such column, `student` may be one."""
        if kind in self._kinds:
            return self._by_id.get((kind, _plain(value)))
        return self._by_student.get(same_name(value))


def users_of(repositories: Iterable[str], users: Iterable[str]) -> dict[str, str]:
    """The GitHub users that repositories named assignment-user belong to, where that is clear.

    All repositories of an assignment begin alike; a user's name may end with another's.

    >>> users_of(["ps-1-ann", "ps-1-mc-ann", "ps-1-x"], ["ann", "mc-ann"])
    {'ps-1-ann': 'ann', 'ps-1-mc-ann': 'mc-ann'}
    """
    readings = [
        (repository, repository[: -len(user) - 1], user)
        for repository in repositories
        for user in users
        if repository.casefold().endswith(f"-{user.casefold()}")
    ]
    counts = Counter(assignment for _, assignment, _ in readings).most_common(2)
    if not counts or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return {}
    return {repository: user for repository, assignment, user in readings if assignment == counts[0][0]}


def read_roster(path: Path) -> Roster:
    file = CsvFile.read(path)
    if not file.rows or not file.rows[0]:
        raise GraderError(f"{path} is empty: its first line names the columns, {', '.join(COLUMNS)}")
    header = [cell.strip().casefold() for cell in file.rows[0]]
    names = _names(header)
    columns: dict[str, int] = {}
    for place, heading in enumerate(header):
        name = names.get(heading)
        if name in columns:
            raise GraderError(f"{path}, line 1: two columns are {name}")
        if name:
            columns[name] = place
    if not any(name in columns for name in NAMES):
        raise GraderError(f"{path}, line 1: none of its columns says who it is: {', '.join(NAMES)}")
    people = []
    for number, row in enumerate(file.rows[1:], 2):
        cells = {name: plain_name(row[at].strip()) for name, at in columns.items() if at < len(row)}
        if any(cells.values()) and not _is_no_student(names, cells):
            people.append(_person(cells, f"{path}, row {number}"))
    return Roster(people, str(path))


def _names(header: list[str]) -> dict[str, str]:
    """What the columns' headings mean here."""
    if "student" in header and "id" in header and "section" in header:
        return CANVAS | {"submitted_at": "submitted_at"}
    if "github_username" in header:
        return CLASSROOM | {"submitted_at": "submitted_at"}
    if "identifier" in header and "full name" in header:
        return MOODLE | {"submitted_at": "submitted_at"}
    return {name: name for name in COLUMNS}


def _is_no_student(names: dict[str, str], cells: dict[str, str]) -> bool:
    """Whether a row of Canvas's gradebook is one of those above the students."""
    return names.get("student") == "name" and not cells.get("canvas_id")


def _person(cells: dict[str, str], where: str) -> Person:
    if participant := PARTICIPANT.fullmatch(cells.get("moodle_id", "")):
        cells["moodle_id"] = participant[1]
    student = next((cells[name] for name in NAMES if cells.get(name)), "")
    if not student:
        raise GraderError(f"{where} says nothing of who that is: fill in {NAMES[0]} or an id")
    ids = {name: cells[name] for name in IDS if cells.get(name)}
    return Person(student, cells.get("name", ""), ids, _time(cells.get("submitted_at", ""), where))


def _time(text: str, where: str) -> datetime.datetime | None:
    if not text:
        return None
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise GraderError(
            f"{where}, column submitted_at: {text!r} is no time with its offset: 2026-10-01T23:59:00+02:00"
        )
    return time


def _plain(text: str) -> str:
    return " ".join(same_name(text).split())
