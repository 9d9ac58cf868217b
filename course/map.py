"""A bare `course`: every chapter, the points earned, and what to do next."""

import sys

from grader.course_file import Chapter

from . import update
from .pieces import has_reference, unwritten_names
from .progress import (
    States,
    all_states,
    earned,
    next_exercise,
    passing_checks,
    what_counts,
)
from .screen import WIDTH, is_terminal, say, shown
from .workplace import Workplace, find_workplace

OVERVIEW = """\
Build a GPT from nothing, piece by piece.

{}

Each command explains itself: course train --help"""
FIRST = {"course start my-gpt": "make a folder of your own to work in; go on there"}
WITH_REFERENCE = {
    'course generate "ROMEO:"': "let a small GPT write; it comes with the course",
    "course train": "train one yourself, on tiny Shakespeare",
}
WITHOUT_REFERENCE = {
    "course train": "train your GPT, once its pieces are written",
    'course generate "ROMEO:"': "let it write",
}
DATA = {"course data": "the texts and vocabularies the course knows"}

CHECKING = "Checking {} ..."
BAR = 10  # characters
TRAIN = {"course train --pieces exercises": "train what you have built"}
GENERATE = 'course generate "ROMEO:"'


def show() -> None:
    place = find_workplace()
    if place is None:
        commands = FIRST | (WITH_REFERENCE if has_reference() else WITHOUT_REFERENCE) | DATA
        say(OVERVIEW.format("\n".join(_aligned(commands))))
        return
    states = all_states(place, _checking)
    if is_terminal():
        print(f"\r{'':<{len(CHECKING) + 4}}\r", end="")
    say(text(place, states))


def text(place: Workplace, states: dict[str, States]) -> str:
    chapters = place.chapters
    points = {name: earned(chapter, states[name]) for name, chapter in chapters.items()}
    current = next((name for name in chapters if next_exercise(chapters[name], states[name])), None)
    total = f"{sum(points.values())} of {sum(chapter.total for chapter in chapters.values())} points"
    lines = [f"{place.course.title:<{WIDTH - len(total) - 1}} {total}", ""]
    for name, chapter in chapters.items():
        mark = ">" if name == current else " "
        row = _row(chapter, points[name], _remark(place, chapter, states[name]))
        lines.append(f"{mark} {row}"[:WIDTH].rstrip())
    if update.is_there(place):
        lines += ["", "This folder is not up to the installed course: course update"]
    lines.append("")
    if current is None:
        lines += ["Every chapter has passed. Now let it learn, and talk to it:", ""]
    else:
        lines += [*_next(place, chapters[current], states[current]), ""]
        lines += [*_aligned(_commands(place, chapters[current], states[current])), ""]
    return "\n".join(lines + _aligned(_always()))


def _row(chapter: Chapter, points: int, remark: str) -> str:
    bar = "#" * (points * BAR // max(1, chapter.total))
    title = chapter.title if len(chapter.title) <= 24 else chapter.title[:21] + "..."
    return f"{chapter.name:<4} {title:<24} {points:>3} {bar:.<{BAR}} {remark}"


def _remark(place: Workplace, chapter: Chapter, states: States) -> str:
    """One kind for every row: passed, not started, what is next, or why nothing can be said."""
    exercise = next_exercise(chapter, states)
    if exercise is None:
        return "passed"
    try:
        unwritten = unwritten_names(place.module(chapter.name))
    except SyntaxError as error:
        return f"syntax error in line {error.lineno}"
    except (OSError, ValueError):
        return "cannot be read"
    return "not started" if set(chapter.points) <= set(unwritten) else f"next: {exercise}"


def _next(place: Workplace, chapter: Chapter, states: States) -> list[str]:
    module, remark = shown(place.module(chapter.name)), _remark(place, chapter, states)
    if not remark.startswith(("next", "not")):
        return [f"Next: mend {module}, {remark}"]
    exercise = next_exercise(chapter, states)
    counts = what_counts(chapter, exercise, passing_checks(place, chapter.name))
    return [f"Next: {exercise}, in {module}", *([f"      {counts}"] if counts else [])]


def _commands(place: Workplace, chapter: Chapter, states: States) -> dict[str, str]:
    exercise = next_exercise(chapter, states)
    folder = shown(place.exercises / chapter.name)
    return {
        "course watch": "check it each time you save",
        f"pytest {folder} -k {exercise}": "check it once",
        f"course hint {exercise}": "a hint, if you are stuck",
        f"course reset {exercise}": "start it over",
    }


def _always() -> dict[str, str]:
    """Without the reference it is the student's pieces that write."""
    write = "let the course's own small GPT write" if has_reference() else "let it write, once ch7 is done"
    return TRAIN | {GENERATE: write, "course data": "texts and vocabularies"}


def _aligned(commands: dict[str, str]) -> list[str]:
    width = max(map(len, commands))
    return [f"  {command:<{width}}  {what}" for command, what in commands.items()]


def _checking(chapter: str) -> None:
    """Shown while checks run: on a terminal the map will take its place."""
    if is_terminal():
        print("\r" + CHECKING.format(chapter), end="", flush=True)
    else:
        print(CHECKING.format(chapter), flush=True, file=sys.stderr)
