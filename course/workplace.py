"""The folder that a student works in: `exercises/` with its chapters, and the course.toml beside them."""

import difflib
import os
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
BEFORE_RESET = ".before-reset-"  # then a number: the end of a copy that course reset keeps

# The course's own copy, beside this package: stubs, public checks and recordings as handed out.
HANDED_OUT = Path(__file__).resolve().parent.parent / EXERCISES

# Where students work in that copy itself, as in a hand-out, it has its stubs here once more.
STUBS = Path(__file__).resolve().parent / "stubs"


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
            raise CourseError(
                f"there is no course.toml beside {self.exercises}; course start NAME makes both"
            )
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

    def chapter_with(self, exercise: str) -> Chapter:
        """The chapter of an exercise; a name that there is none of is refused, with the likely ones."""
        for chapter in self.chapters.values():
            if exercise in exercises_of(chapter):
                return chapter
        names = [name for chapter in self.chapters.values() for name in exercises_of(chapter)]
        raise CourseError(f"there is no exercise {exercise!r}{likely(exercise, names)}")

    def shown(self, path: Path) -> str:
        """A path as one would type it here."""
        try:
            return Path(os.path.relpath(path)).as_posix()
        except ValueError:  # another drive
            return str(path)

    def stub(self, chapter: str) -> Path | None:
        """A chapter's module as it was handed out; None if no copy of that is at hand."""
        module = self.module(chapter)
        found = handed_out(chapter, module.name)
        return None if not found.is_file() or found == module.resolve() else found


def handed_out(chapter: str, module: str) -> Path:
    kept = STUBS / chapter / module
    return kept if kept.is_file() else HANDED_OUT / chapter / module


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
    if name not in place.chapters:
        raise CourseError(f"there is no chapter {name!r}; there are {', '.join(place.chapters)}")
    return place.chapters[name]


def exercises_of(chapter: Chapter) -> list[str]:
    """Every exercise of a chapter, also those that are not taught this time."""
    return [*chapter.points, *chapter.dropped]


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
