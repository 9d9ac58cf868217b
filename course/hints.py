"""`course hint`: a question, then a pointer, then the shape of the answer; one at a time.

The hints stand in hints/chN.toml:

    [[hint]]
    exercise = "CausalAttention"
    levels = ["a question", "a pointer", "the shape of the answer"]
"""

import json
import re
import textwrap
import tomllib
from pathlib import Path

from .errors import CourseError
from .progress import all_states, next_exercise, state_file
from .screen import WIDTH, fill, say, showable
from .whole_file import write_whole
from .workplace import Workplace, named

HINTS = Path(__file__).with_name("hints")


def hint(place: Workplace, typed: str | None, everything: bool, again: bool) -> None:
    """The next hint of an exercise, or of the one that is next in the course.

    typed: the exercise's name, or how it begins.
    """
    exercise = named(typed, place.exercise_names, "exercise") if typed else _next_exercise(place)
    levels = levels_of(place.exercise_names[exercise].name, exercise)
    shown = _shown(place)
    before = min(shown.get(exercise, 0), len(levels))
    after = len(levels) if everything else before if again and before else before + 1
    if after > len(levels):
        say(fill(f"Those were all {len(levels)} hints. To see them again: course hint {exercise} --again"))
        return
    first = 0 if everything or again else before
    say("\n\n".join(_text(exercise, number, levels) for number in range(first, after)))
    if after < len(levels):
        say(f"\n`course hint {exercise}` gives the next one.")
    if after > before:
        with write_whole(state_file(place, "hints.json"), "w") as file:
            json.dump(shown | {exercise: after}, file, indent=1)


def _next_exercise(place: Workplace) -> str:
    for chapter, states in all_states(place, lambda name: None).items():
        exercise = next_exercise(place.chapters[chapter], states)
        if exercise is not None:
            return exercise
    raise CourseError("every exercise has passed; name one: course hint CausalAttention")


def levels_of(chapter: str, exercise: str) -> list[str]:
    file = HINTS / f"{chapter}.toml"
    if file.is_file():
        for entry in tomllib.loads(file.read_text(encoding="utf-8")).get("hint", []):
            if entry["exercise"] == exercise:
                return entry["levels"]
    raise CourseError(f"there are no hints for {exercise}; its docstring in {chapter} is the assignment")


def lines_of(hint: str) -> list[str]:
    """A hint with its numbered steps on lines of their own."""
    return re.sub(r"(?<=[.:;)]) (?=\d\. )", "\n", hint.strip()).splitlines()


def _text(exercise: str, number: int, levels: list[str]) -> str:
    """One hint, filled to the screen's width, its numbered steps on lines of their own."""
    head = f"{exercise}, hint {number + 1} of {len(levels)}:"
    filled = (
        textwrap.fill(line, WIDTH, initial_indent="  ", subsequent_indent="  " + _hanging(line))
        for line in lines_of(showable(levels[number]))
    )
    return "\n".join([head, "", *filled])


def _hanging(line: str) -> str:
    """What stands under the number of a step."""
    return " " * 3 if re.match(r"\d\. ", line) else ""


def _shown(place: Workplace) -> dict[str, int]:
    """How many of each exercise's hints were shown."""
    try:
        shown = json.loads(state_file(place, "hints.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(shown, dict):
        return {}
    return {name: count for name, count in shown.items() if type(count) is int and count >= 0}
