"""A bare `course`: every chapter, the points earned, and what to do next."""

import ast
import sys

from grader.course_file import Chapter

from .progress import FAILED, NOT_STARTED, States, all_states, earned, next_exercise
from .screen import WIDTH, is_terminal, say
from .workplace import Workplace, find_workplace

OVERVIEW = """\
Build a GPT from nothing, piece by piece.

  course start my-gpt         make a folder of your own to work in; go on there
  course generate "ROMEO:"    let a small GPT write; it comes with the course
  course train                train one yourself, on tiny Shakespeare
  course data                 the texts and vocabularies the course knows

Each command explains itself: course train --help"""

CHECKING = "Checking {} ..."
BAR = 10  # characters
ALWAYS = {
    "course train --pieces exercises": "train what you have built",
    'course generate "ROMEO:"': "let the course's own small GPT write",
    "course data": "texts and vocabularies",
}


def show() -> None:
    place = find_workplace()
    if place is None:
        say(OVERVIEW)
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
    lines.append("")
    if current is None:
        lines += ["Every chapter has passed. Now let it learn, and talk to it:", ""]
    else:
        lines += [_next(place, chapters[current], states[current]), ""]
        lines += [*_aligned(_commands(place, chapters[current], states[current])), ""]
    return "\n".join(lines + _aligned(ALWAYS))


def _row(chapter: Chapter, points: int, remark: str) -> str:
    bar = "#" * (points * BAR // max(1, chapter.total))
    title = chapter.title if len(chapter.title) <= 24 else chapter.title[:21] + "..."
    return f"{chapter.name:<4} {title:<24} {points:>3} {bar:.<{BAR}} {remark}"


def _remark(place: Workplace, chapter: Chapter, states: States) -> str:
    exercise = next_exercise(chapter, states)
    if exercise is None:
        return "passed"
    if set(states.values()) <= {NOT_STARTED}:
        return ""
    if set(states.values()) == {FAILED}:
        try:
            ast.parse(place.module(chapter.name).read_bytes())
        except SyntaxError as error:
            return f"syntax error in line {error.lineno}"
        except (OSError, ValueError):
            return "cannot be read"
    return f"next: {exercise}"


def _next(place: Workplace, chapter: Chapter, states: States) -> str:
    module, remark = place.shown(place.module(chapter.name)), _remark(place, chapter, states)
    if remark and not remark.startswith("next"):
        return f"Next: mend {module}, {remark}"
    return f"Next: {next_exercise(chapter, states)}, in {module}"


def _commands(place: Workplace, chapter: Chapter, states: States) -> dict[str, str]:
    exercise = next_exercise(chapter, states)
    folder = place.shown(place.exercises / chapter.name)
    return {
        "course watch": "check it each time you save",
        f"pytest {folder} -k {exercise}": "check it once",
        f"course hint {exercise}": "a hint, if you are stuck",
        f"course reset {exercise}": "start it over",
    }


def _aligned(commands: dict[str, str]) -> list[str]:
    width = max(map(len, commands))
    return [f"  {command:<{width}}  {what}" for command, what in commands.items()]


def _checking(chapter: str) -> None:
    """Shown while checks run: on a terminal the map will take its place."""
    if is_terminal():
        print("\r" + CHECKING.format(chapter), end="", flush=True)
    else:
        print(CHECKING.format(chapter), flush=True, file=sys.stderr)
