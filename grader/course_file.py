"""`course.toml`: chapters, points per exercise, dropped exercises, deadlines and the late policy.

[course]
title = "Build a GPT"
reference = "solutions"          # the package that holds the reference

[late]
percent_per_day = 10             # off for each day begun
days = 5                         # after which nothing is left
grace_minutes = 15

[chapters.ch3]
title = "Attention"
module = "attention"
deadline = 2026-10-01T23:59:00+02:00
dropped = ["prefix_mean_loop"]   # not taught this time; its points do not count

[chapters.ch3.points]            # 100 in all, in the order of work
prefix_mean_loop = 5
CausalAttention = 95
"""

import datetime
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path

from grader.errors import GraderError

NAME = "course.toml"
CHAPTER_TOTAL = 100


@dataclass(frozen=True)
class LatePolicy:
    """Percent of the points lost for each day begun after the deadline."""

    percent_per_day: float = 0
    days: int = 0
    grace_minutes: int = 0

    def factor(self, deadline: datetime.datetime | None, handed_in: datetime.datetime) -> float:
        """What remains of the points: 1.0 in time, 0.0 when it is too late.

        >>> noon = datetime.datetime(2026, 10, 1, 12, tzinfo=datetime.UTC)
        >>> LatePolicy(10, 5, 15).factor(noon, noon + datetime.timedelta(hours=30))
        0.8
        """
        if deadline is None or handed_in <= deadline + datetime.timedelta(minutes=self.grace_minutes):
            return 1.0
        days = math.ceil((handed_in - deadline) / datetime.timedelta(days=1))
        return 0.0 if days > self.days else max(0.0, 1 - days * self.percent_per_day / 100)


@dataclass(frozen=True)
class Chapter:
    """points: of every exercise taught this time, in the order of work."""

    name: str
    title: str
    module: str
    points: dict[str, int]
    dropped: tuple[str, ...] = ()
    deadline: datetime.datetime | None = None

    @property
    def total(self) -> int:
        return sum(self.points.values())


@dataclass(frozen=True)
class Course:
    title: str
    reference: str
    chapters: dict[str, Chapter]
    late: LatePolicy


def find_course_file(start: Path) -> Path | None:
    """The nearest course.toml in a folder or above it."""
    return next((folder / NAME for folder in [start, *start.parents] if (folder / NAME).is_file()), None)


def load_course(path: Path) -> Course:
    """Read and check a course.toml; every error names the file and the key."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise GraderError(f"{path}: {error}") from None
    file = _Table(path, "", table)
    file.only("course", "late", "chapters")
    course = file.table("course")
    course.only("title", "reference")
    chapters = file.table("chapters")
    return Course(
        title=course.get("title", str),
        reference=course.get("reference", str),
        chapters={name: _chapter(name, chapters.table(name)) for name in chapters.values},
        late=_late(file.table("late")) if "late" in table else LatePolicy(),
    )


class _Table:
    """A table of the file that knows where it stands, for errors."""

    def __init__(self, path: Path, key: str, values: dict):
        self.path = path
        self.key = key
        self.values = values

    def get(self, name: str, kind: type, default=None):
        value = self.values.get(name, default)
        if type(value) is not kind and not (value is None and name not in self.values and kind is not str):
            self.fail(name, f"must be {_KINDS[kind]}" if name in self.values else "is missing")
        return value

    def table(self, name: str) -> "_Table":
        return _Table(self.path, self.full(name), self.get(name, dict, {}))

    def only(self, *names: str) -> None:
        for name in self.values:
            if name not in names:
                self.fail(name, f"is no key of this table; it has {', '.join(names)}")

    def full(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name

    def fail(self, name: str, what: str):
        raise GraderError(f"{self.path}: {self.full(name)} {what}")


_KINDS = {
    str: "a string",
    dict: "a table",
    list: "a list",
    int: "a whole number",
    datetime.datetime: "a date and time with its offset, 2026-10-01T23:59:00+02:00",
}


def _chapter(name: str, table: _Table) -> Chapter:
    table.only("title", "module", "deadline", "dropped", "points")
    points = table.table("points")
    for exercise in points.values:
        if points.get(exercise, int) < 0:
            points.fail(exercise, "must not be negative")
    total = sum(points.values.values())
    if total != CHAPTER_TOTAL:
        table.fail("points", f"sum to {total}, and must sum to {CHAPTER_TOTAL}")
    dropped = table.get("dropped", list, [])
    for exercise in dropped:
        if exercise not in points.values:
            table.fail("dropped", f"names {exercise!r}, which has no points in this chapter")
    deadline = table.get("deadline", datetime.datetime)
    if deadline is not None and deadline.tzinfo is None:
        table.fail("deadline", "needs an offset from UTC: 2026-10-01T23:59:00+02:00")
    return Chapter(
        name=name,
        title=table.get("title", str),
        module=table.get("module", str),
        points={exercise: p for exercise, p in points.values.items() if exercise not in dropped},
        dropped=tuple(dropped),
        deadline=deadline,
    )


def _late(table: _Table) -> LatePolicy:
    table.only("percent_per_day", "days", "grace_minutes")
    values = {name: table.get(name, int, 0) for name in ("percent_per_day", "days", "grace_minutes")}
    for name, value in values.items():
        if value < 0:
            table.fail(name, "must not be negative")
    return LatePolicy(**values)
