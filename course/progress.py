"""Where a student stands: the state of every exercise, from running the public checks.

What a chapter's checks said is kept under a hash of everything that it depends on, so that it is never out of
date: a changed file is another hash, and the checks run again.
"""

import functools
import hashlib
import json
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import grader
from grader.course_file import Chapter

from .checker import Checker
from .errors import CourseError
from .handed_out import is_the_courses_own, stub_of
from .pieces import unwritten_names
from .screen import shown
from .whole_file import write_whole
from .workplace import STATE, Workplace

PASSED = "passed"
FAILED = "failed"
NOT_STARTED = "not started"

CHECK_PARAMETERS = re.compile(r"^def \w+\(([^)]*)\)", re.MULTILINE)
IMPORTED_CHAPTER = re.compile(r"^\s*(?:from|import)\b.*?\b(ch\d+)\b", re.MULTILINE)

States = dict[str, str]  # of a chapter's exercises: passed, not started, failed, not run


def known(place: Workplace) -> dict[str, States]:
    """The states of the chapters that need no run: nothing changed since the last, or nothing was begun."""
    kept = _read(place)
    found = {}
    for name, chapter in place.chapters.items():
        if _is_untouched(place, chapter):
            found[name] = dict.fromkeys(chapter.points, NOT_STARTED)
        elif kept.get(name, {}).get("key") == key(place, name):
            found[name] = kept[name]["states"]
    return found


def all_states(place: Workplace, checking: Callable[[str], None]) -> dict[str, States]:
    """The states of every chapter; `checking` is told of each whose checks have to run."""
    states = known(place)
    missing = [name for name in place.chapters if name not in states]
    if missing:
        with Checker(place.folder) as checker:
            for name in missing:
                checking(name)
                states[name] = states_by_running(place, name, checker)
    return {name: states[name] for name in place.chapters}


def states_by_running(place: Workplace, chapter: str, checker: Checker) -> States:
    """Those of one chapter. After an exercise that takes the process down, the rest is run without it."""
    key_before, sure = key(place, chapter), True
    states: States = {}
    passing: dict[str, list[int]] = {}
    left = list(place.chapters[chapter].points)
    while left:
        run = checker.wait(chapter, left)
        if run.problem:
            raise CourseError(cannot_run(place, chapter, run.problem))
        states |= run.states
        passing |= run.passing
        sure = sure and run.sure
        left = left[left.index(run.exercise) + 1 :] if run.over != "done" and run.exercise else []
    if sure:
        remember(place, chapter, key_before, states, passing)
    return states


def cannot_run(place: Workplace, chapter: str, problem: str) -> str:
    problem = problem.replace(str(place.exercises), shown(place.exercises))
    said = f"the checks of {chapter} cannot be run: {problem}"
    if is_the_courses_own(place):
        return said
    return f"{said}; course update brings back what is missing (delete a check file that you have changed)"


def remember(
    place: Workplace, chapter: str, key_before: str, states: States, passing: dict[str, list[int]]
) -> None:
    """Keep what a run said, unless a file was saved meanwhile. Where nothing can be written, nothing is.

    passing: of an exercise, how many checks pass, and how many there are.
    """
    if key(place, chapter) != key_before:
        return
    kept = _read(place) | {chapter: {"key": key_before, "states": states, "passing": passing}}
    with suppress(CourseError), write_whole(state_file(place, "progress.json"), "w") as file:
        json.dump(kept, file, indent=1)


def state_file(place: Workplace, name: str) -> Path:
    """A file of what the commands remember; its folder keeps itself out of version control."""
    folder = place.folder / STATE
    if not folder.is_dir():
        with suppress(CourseError), write_whole(folder / ".gitignore", "w") as file:
            file.write("*\n")
    return folder / name


def earned(chapter: Chapter, states: States) -> int:
    return sum(points for name, points in chapter.points.items() if states.get(name) == PASSED)


def what_counts(chapter: Chapter, exercise: str, passing: dict[str, list[int]]) -> str | None:
    """Of an exercise with some checks passed, why that is no points yet."""
    passed, of = passing.get(exercise, (0, 0))
    if not 0 < passed < of:
        return None
    return f"{passed} of its {of} checks passed; its {chapter.points[exercise]} points need all of them."


def passing_checks(place: Workplace, chapter: str) -> dict[str, list[int]]:
    """Of a chapter as it is now, how many checks of each exercise pass, as far as remember was told."""
    kept = _read(place).get(chapter, {})
    passing = kept.get("passing")
    return passing if isinstance(passing, dict) and kept.get("key") == key(place, chapter) else {}


def next_exercise(chapter: Chapter, states: States) -> str | None:
    return next((name for name in chapter.points if states.get(name) != PASSED), None)


def _read(place: Workplace) -> dict:
    try:
        kept = json.loads((place.folder / STATE / "progress.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) and all(isinstance(v, dict) for v in kept.values()) else {}


def _is_untouched(place: Workplace, chapter: Chapter) -> bool:
    """Whether the module is still the one handed out, with nothing written: its checks need not run."""
    stub, module = stub_of(place, chapter.name), place.module(chapter.name)
    if stub is None or not module.is_file() or stub.read_bytes() != module.read_bytes():
        return False
    return set(chapter.points) <= set(unwritten_names(module))


# ---- what a chapter's states depend on ----


def key(place: Workplace, chapter: str) -> str:
    """A hash of a chapter's files, of the chapters it uses, and of the grader."""
    total = hashlib.sha256(f"{_grader_hash()} {sys.version_info[:2]}".encode())
    total.update(" ".join(place.chapters[chapter].points).encode())
    folder = place.exercises / chapter
    used = [place.module(name) for name in sorted(_used(place, chapter) - {chapter})]
    for file in [*sorted(folder.glob("*.py")), *sorted(folder.glob("*.safetensors")), *used]:
        content = file.read_bytes() if file.is_file() else b"missing"
        total.update(f"\n{file.name} {len(content)}\n".encode() + content)
    return total.hexdigest()


def _used(place: Workplace, chapter: str) -> set[str]:
    """A chapter, those whose modules its checks ask for by name, and what all of these import."""
    by_module = {c.module: name for name, c in place.chapters.items()}
    pending = [chapter]
    for file in (place.exercises / chapter).glob("test_*.py"):
        for parameters in CHECK_PARAMETERS.findall(_text(file)):
            names = (each.strip() for each in parameters.split(","))
            pending += [by_module[name] for name in names if name in by_module]
    found = set()
    while pending:
        name = pending.pop()
        if name in place.chapters and name not in found:
            found.add(name)
            pending += IMPORTED_CHAPTER.findall(_text(place.module(name)))
    return found


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


@functools.cache
def _grader_hash() -> str:
    total = hashlib.sha256()
    for file in sorted(Path(grader.__file__).parent.glob("*.py")):
        total.update(file.read_bytes())
    return total.hexdigest()
