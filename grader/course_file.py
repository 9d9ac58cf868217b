"""`course.toml`: chapters, points per exercise, dropped exercises, deadlines, the late policy, and exports.

[course]
title = "Build a GPT"
reference = "solutions"          # the package that holds the reference

[late]
percent_per_day = 10             # off for each day begun
days = 5                         # after which nothing is left
grace_minutes = 15

[export]
decimals = 1                     # of points that go to another system; halves are rounded up

[export.maxima]
ch3 = 20                         # what all of a chapter's points are worth there; 100 if not said

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
import decimal
import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
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
class Export:
    """How points go to other systems. maxima: by chapter; others keep their own."""

    decimals: int = 2
    maxima: dict[str, int] = field(default_factory=dict)

    def points(self, points: float, most: float, chapter: str) -> decimal.Decimal:
        """A chapter's points as they are exported.

        >>> Export(1, {"ch3": 20}).points(81.25, 100, "ch3"), Export(0).points(62.5, 100, "ch3")
        (Decimal('16.3'), Decimal('63'))
        """
        exact = decimal.Decimal(str(points))
        if most and chapter in self.maxima:
            exact = exact * self.maxima[chapter] / decimal.Decimal(str(most))
        return exact.quantize(decimal.Decimal(1).scaleb(-self.decimals), decimal.ROUND_HALF_UP)

    def most(self, most: float, chapter: str) -> float:
        return self.maxima.get(chapter, most)


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
    export: Export = Export()

    @property
    def modules(self) -> dict[str, str]:
        """{"ch3": "attention"}"""
        return {name: one.module for name, one in self.chapters.items()}

    def refuse_unknown(self, chapters: Iterable[str]) -> None:
        for name in chapters:
            if name not in self.chapters:
                raise GraderError(f"course.toml has no chapter {name}; it has {', '.join(self.chapters)}")


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
    file.only("course", "late", "export", "chapters")
    course = file.table("course")
    course.only("title", "reference")
    chapters = file.table("chapters")
    return Course(
        title=course.get("title", str),
        reference=course.get("reference", str),
        chapters={name: _chapter(name, chapters.table(name)) for name in chapters.values},
        late=_late(file.table("late")) if "late" in table else LatePolicy(),
        export=_export(file.table("export"), chapters.values),
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


def _export(table: _Table, chapters: Iterable[str]) -> Export:
    table.only("decimals", "maxima")
    decimals = table.get("decimals", int, Export.decimals)
    if not 0 <= decimals <= 6:
        table.fail("decimals", "must be from 0 to 6")
    maxima = table.table("maxima")
    maxima.only(*chapters)
    for chapter in maxima.values:
        if maxima.get(chapter, int) <= 0:
            maxima.fail(chapter, "must be more than 0")
    return Export(decimals, maxima.values)
