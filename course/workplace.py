"""The folder that a student works in: `exercises/` with its chapters, and the course.toml beside them."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from grader.chapters import CHAPTER
from grader.course_file import Chapter, Course, find_course_file, load_course
from grader.errors import GraderError

from .errors import CourseError

EXERCISES = "exercises"
STATE = ".course"  # what the commands remember, in the student's folder
CANDIDATES = 8  # of a name that is not clear, at most so many are listed


@dataclass(frozen=True)
class Workplace:
    """A student's folder. Chapters that course.toml lists but that are not there are left out."""

    folder: Path

    @property
    def exercises(self) -> Path:
        return self.folder / EXERCISES

    @cached_property
    def course(self) -> Course:
        file = find_course_file(self.exercises)
        if file is None:
            raise CourseError(f"{self.folder} has no course.toml; course update brings it back")
        try:
            return load_course(file)
        except GraderError as error:
            raise CourseError(str(error)) from None

    @cached_property
    def chapters(self) -> dict[str, Chapter]:
        there = {name: c for name, c in self.course.chapters.items() if (self.exercises / name).is_dir()}
        if not there:
            raise CourseError(f"{self.exercises} has none of the chapters that course.toml lists")
        return there

    def module(self, chapter: str) -> Path:
        """A chapter's module, where it is or should be."""
        return self.exercises / chapter / f"{self.chapters[chapter].module}.py"

    @cached_property
    def exercise_names(self) -> dict[str, Chapter]:
        """Every exercise, also those that are not taught this time, with its chapter."""
        return {name: c for c in self.chapters.values() for name in (*c.points, *c.dropped)}


def find_workplace(start: Path | None = None) -> Workplace | None:
    """The student's folder around the current one."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        exercises = folder / EXERCISES
        if exercises.is_dir() and any(CHAPTER.fullmatch(f.name) for f in exercises.iterdir()):
            return Workplace(folder)
    return None


def workplace() -> Workplace:
    """The student's folder, or a refusal that says how to get one."""
    found = find_workplace()
    if found is None:
        raise CourseError("there is no exercises/ here: course start my-gpt makes a folder that has it")
    return found


def chapter_named(place: Workplace, name: str) -> Chapter:
    """By its name, or its number alone."""
    found = place.chapters.get(f"ch{name}" if name.isdecimal() else name.lower())
    if found is None:
        where = place.exercise_names.get(name)
        there = f"{name} is in {where.name}" if where else f"there are {', '.join(place.chapters)}"
        raise CourseError(f"there is no chapter {name!r}; {there}")
    return found


def named(name: str, known: Iterable[str], kind: str) -> str:
    """The one of the known names that is meant: in any case of letters, and no more of it than is clear.

    >>> named("multi", ["MultiHeadAttention", "generate", "generate_text"], "exercise")
    'MultiHeadAttention'
    >>> named("Generate", ["MultiHeadAttention", "generate", "generate_text"], "exercise")
    'generate'
    """
    known, typed = list(known), name.lower()
    meant = [name] if name in known else [each for each in known if each.lower() == typed]
    meant = meant or [each for each in known if typed and each.lower().startswith(typed)]
    if len(meant) == 1:
        return meant[0]
    if not meant:
        raise CourseError(f"there is no {kind} {name!r}{likely(name, known)}")
    more = f" and {len(meant) - CANDIDATES} more" if len(meant) > CANDIDATES else ""
    raise CourseError(f"{name!r} can be {', '.join(meant[:CANDIDATES])}{more}: type more of the name")


def free_name(file: Path, end: str) -> Path:
    """Beside a file, a name for a copy of it that there is nothing under yet: attention.py.before-reset-1."""
    number = 1
    while (free := file.with_name(f"{file.name}{end}{number}")).exists():
        number += 1
    return free


def likely(name: str, known: Iterable[str]) -> str:
    """
    >>> likely("causalattention", ["CausalAttention", "GELU"])
    ': did you mean CausalAttention?'
    >>> likely("x", ["GELU"])
    '; a bare course lists the chapters'
    """
    by_lower = {each.lower(): each for each in known}
    close = [by_lower[each] for each in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.7)]
    return f": did you mean {' or '.join(close)}?" if close else "; a bare course lists the chapters"
