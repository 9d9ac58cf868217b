"""The class over several rounds: what `class.html` counts of one, counted of each and set side by side."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from grader.class_page import Count, add
from grader.course_file import Course
from grader.errors import GraderError
from grader.grades import effective_points, total
from grader.results import Results

Points = dict[str, float | None]  # by student; None where the grader failed


@dataclass
class Column:
    """A chapter in a round. day: when the first was graded."""

    round: str
    chapter: str
    count: Count = field(default_factory=Count)
    points: Points = field(default_factory=dict)
    day: str = ""

    @property
    def handed_in(self) -> int:
        return len(self.points)

    @property
    def five(self) -> tuple[float, float, float, float, float] | None:
        """The least, the quartiles with the median, and the most; None where nobody has a grade."""
        points = sorted(self.count.points)
        if not points:
            return None
        inner = statistics.quantiles(points, n=4, method="inclusive") if len(points) > 1 else points * 3
        return points[0], *inner, points[-1]


@dataclass
class Weeks:
    """columns: in the order of the rounds, and within one in that of the course. key: of the pseudonyms."""

    rounds: list[str]
    columns: list[Column]
    key: str

    @property
    def students(self) -> list[str]:
        return sorted({student for column in self.columns for student in column.points})

    @property
    def chapters(self) -> list[str]:
        return list(dict.fromkeys(column.chapter for column in self.columns))

    def of(self, chapter: str) -> list[Column]:
        return [column for column in self.columns if column.chapter == chapter]

    def turns(self, most: int) -> list[tuple[str, str, str]]:
        """The commonest misconceptions, as chapter, exercise and words."""
        counted: Counter = Counter()
        for column in self.columns:
            for (exercise, says), times in column.count.turns.items():
                counted[column.chapter, exercise, says] += times
        return [key for key, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:most]]


@dataclass(frozen=True)
class Again:
    """Those who handed a chapter in twice, in a round and in the next one that has it."""

    chapter: str
    first: str
    second: str
    both: int
    better: int
    worse: int
    median: float


def count_weeks(folders: Sequence[Path], course: Course) -> Weeks:
    """Count each RESULTS folder as a round."""
    names = round_names(folders)
    columns: list[Column] = []
    key = ""
    for folder, name in zip(folders, names, strict=True):
        if not folder.is_dir():
            raise GraderError(f"there is no {folder}: name a folder that grader grade wrote")
        results = Results(folder)
        overrides = results.overrides(course)
        found: dict[str, Column] = {}
        for report in results.reports():
            student, chapter = report["student"], report["chapter"]
            handed_in = (report.get("submission") or {}).get("name")
            if chapter not in course.chapters or not handed_in:
                continue
            key = key or report["hashes"].get("round", "")
            column = found.setdefault(chapter, Column(name, chapter))
            add(column.count, report, "", course, overrides)
            column.points[student] = total(effective_points(student, chapter, report, course, overrides))
            day = ((report.get("times") or {}).get("graded") or "")[:10]
            column.day = min(filter(None, (column.day, day)), default="")
        if not found:
            raise GraderError(f"{folder} has no grades of this course: name a folder that grader grade wrote")
        columns += [found[chapter] for chapter in course.chapters if chapter in found]
    return Weeks(names, columns, key)


def round_names(folders: Iterable[Path]) -> list[str]:
    """A name for each round: its folder's, or as much of the path as tells it from the others.

    >>> round_names([Path("term/week1"), Path("term/week2")]), round_names([Path("a/r"), Path("b/r")])
    (['week1', 'week2'], ['a/r', 'b/r'])
    """
    paths = [folder.resolve() for folder in folders]
    if any(times > 1 for times in Counter(paths).values()):
        raise GraderError("a folder is named twice: each is a round of its own")
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def handed_in_again(weeks: Weeks) -> list[Again]:
    found = []
    for chapter in weeks.chapters:
        for first, second in pairwise(weeks.of(chapter)):
            changes = [
                second.points[student] - points
                for student, points in first.points.items()
                if points is not None and second.points.get(student) is not None
            ]
            if changes:
                better, worse = sum(c > 0 for c in changes), sum(c < 0 for c in changes)
                median = statistics.median(changes)
                found.append(Again(chapter, first.round, second.round, len(changes), better, worse, median))
    return found
