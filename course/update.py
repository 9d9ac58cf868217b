"""`course update`: brings a student's folder up to the installed course, except for what the student writes.

Checks, recordings and course.toml are replaced, all of them or none, and what was edited by hand is kept
under another name. A module is never written to: where its stub has changed, the change is shown.
"""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from grader.chapters import RECORDING
from grader.course_file import NAME

from . import handed_out
from .changes import Changes, check_changes, docstring_changes, point_changes, stub_changes
from .errors import CourseError
from .handed_out import RECORD, HandOut, Record, digest, hand_out, is_the_courses_own
from .pieces import unwritten_names
from .screen import fill, say, shown
from .start import own_files
from .whole_file import cannot_write
from .workplace import STATE, Workplace, free_name

BEFORE_UPDATE = ".before-update-"  # then a number: the end of a copy that is kept
IGNORE = f"{STATE}/.gitignore"
SHOWN = 5  # changed assignments that are shown with their lines
LINES = 8  # of each, at most


@dataclass
class Plan:
    """What there is to do, by path in the student's folder."""

    writes: dict[str, bytes] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)  # what was edited by hand, and where it goes
    assignments: dict[str, Changes] = field(default_factory=dict)


def update(place: Workplace) -> None:
    if is_the_courses_own(place):
        raise CourseError(
            "this is the installed course's own copy of the exercises; unpack and install a newer hand-out in"
            " another folder, and course update brings this one up to it"
        )
    made = hand_out()
    plan, record = plan_for(place, made), Record.of(made, own_files(made.course.title))
    said = [*_news(place, plan), *_assignments(place, plan)]  # of what is there before anything is written
    if plan.writes or Record.read(place.folder) != record:
        copies = {copy: _content(place, path) for path, copy in plan.copies.items()}
        _write_all(place.folder, {**copies, **plan.writes, IGNORE: b"*\n", RECORD: record.to_json()})
    if not said:
        say("Nothing to do: this folder has all that the installed course hands out.")
        return
    say("\n".join(said))
    say("\nWhat you have written is as it was. A bare `course` shows where you stand.")


def is_there(place: Workplace) -> bool:
    """Whether the installed course has something that the folder has not."""
    with suppress(CourseError):
        plan = None if is_the_courses_own(place) else plan_for(place, hand_out())
        return bool(plan and (plan.writes or plan.assignments))
    return False


def plan_for(place: Workplace, made: HandOut) -> Plan:
    plan, record = Plan(), Record.read(place.folder)
    left_out = _left_out(place, record)
    for path, new in {**made.files, **made.modules}.items():
        before = _content(place, path)
        if _chapter(path) in left_out:
            continue
        if before is None:
            plan.writes[path] = new
        elif path in made.modules:
            changes = _assignment_changes(before, record.stubs.get(path), made.stubs[path])
            if changes:
                plan.assignments[path] = changes
        elif before != new and record.hashes.get(path) != digest(new):  # else only the student changed it
            plan.writes[path] = new
            if _edited(path, before, record):
                plan.copies[path] = _copy_of(place, path)
    for path, new in own_files(made.course.title).items():
        before = _content(place, path)
        if before not in (None, new) and record.hashes.get(path) == digest(before):
            plan.writes[path] = new
    return plan


def _left_out(place: Workplace, record: Record) -> set[str]:
    """The chapters that the student has deleted: those that the folder had once."""
    had = {_chapter(path) for path in record.stubs}
    if not had:
        with suppress(CourseError):
            had = set(place.course.chapters)
    return {name for name in had if not (place.exercises / name).is_dir()}


def _chapter(path: str) -> str:
    """The chapter that a file belongs to, or an empty string."""
    parts = path.split("/")
    return parts[1] if len(parts) == 3 else ""


def _content(place: Workplace, path: str) -> bytes | None:
    try:
        return (place.folder / path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CourseError(f"cannot read {shown(place.folder / path)}: {error.strerror}") from None


def _edited(path: str, before: bytes, record: Record) -> bool:
    """Whether a student has changed a file; without a record, any text may have been."""
    if path in record.hashes:
        return record.hashes[path] != digest(before)
    return bool(before) and not path.endswith(RECORDING)


def _copy_of(place: Workplace, path: str) -> str:
    return free_name(place.folder / path, BEFORE_UPDATE).relative_to(place.folder).as_posix()


def _assignment_changes(module: bytes, old_stub: bytes | None, stub: bytes) -> Changes:
    return docstring_changes(module, stub) if old_stub is None else stub_changes(old_stub, stub)


# ---- what is said ----


def _news(place: Workplace, plan: Plan) -> list[str]:
    """A line for each chapter and each other file that is written."""
    changes: dict[str, list[str]] = {}
    for path, new in plan.writes.items():
        chapter, name, before = _chapter(path), Path(path).name, _content(place, path)
        if chapter and not (place.exercises / chapter).is_dir():
            changes[chapter] = ["a new chapter"]
            continue
        if before is None:
            what = f"{name} was missing" if chapter else "was missing"
        elif path == NAME:
            what = point_changes(before, new) or "renewed"
        elif name.startswith("test_"):
            what = f"checks, {check_changes(before, new) or 'renewed'}"
        else:
            what = "recorded answers" if name == RECORDING else "renewed"
        changes.setdefault(chapter or name, []).append(what)
    lines = [f"{subject}: {'; '.join(what)}" for subject, what in changes.items()]
    for path, copy in plan.copies.items():
        lines.append(
            f"You had changed {shown(place.folder / path)}: yours is now {shown(place.folder / copy)}"
        )
    return [fill(line) for line in lines]


def _assignments(place: Workplace, plan: Plan) -> list[str]:
    """What is new of the assignments: the first few in full, the others by name."""
    lines, unread = [], False
    found = [(path, *change) for path, changes in plan.assignments.items() for change in changes.items()]
    for number, (path, name, diff) in enumerate(found):
        where = f"{shown(place.folder / path)}, {name or 'beside the exercises'}:"
        if diff is None:
            lines += ["", fill(f"{where} new"), f"  `course reset {name}` puts its stub there"]
            continue
        lines += ["", fill(f"{where} changed")]
        if name in _unwritten(place.folder / path):
            lines += [f"  not written yet: `course reset {name}` takes the new stub"]
        diff = [line for line in diff if line[1:].strip()]
        if number < SHOWN:
            lines += [fill(f"  {line[0]} {line[1:].strip()}", "      ") for line in diff[:LINES]]
        unread = unread or number >= SHOWN or len(diff) > LINES
    if unread:
        lines += ["", fill(f"The new stubs, whole: {_stubs_folder()}")]
    return ["", "New in the assignments; your files are as they were:", *lines] if lines else []


def _stubs_folder() -> Path:
    return handed_out.STUBS if handed_out.STUBS.is_dir() else handed_out.HANDED_OUT


def _unwritten(module: Path) -> list[str]:
    try:
        return unwritten_names(module)
    except (SyntaxError, ValueError):
        return []


# ---- writing ----


def _write_all(folder: Path, files: dict[str, bytes]) -> None:
    """All of the files or none: each under a temporary name beside its place, then all moved there."""
    end = f".{secrets.token_hex(4)}.tmp"
    temporary = {folder / path: (folder / path).with_name(f".{Path(path).name}{end}") for path in files}
    made = [each for each in {path.parent for path in temporary} if not each.is_dir()]
    moved: dict[Path, bytes | None] = {}
    path = folder
    try:
        for path, data in zip(temporary, files.values(), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary[path], "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, unfinished in temporary.items():
            before = path.read_bytes() if path.is_file() else None
            os.replace(unfinished, path)
            moved[path] = before
    except BaseException as error:
        for done, before in moved.items():
            done.unlink() if before is None else done.write_bytes(before)
        _remove(temporary.values(), made)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from None
        raise


def _remove(files: Iterable[Path], folders: list[Path]) -> None:
    for file in files:
        with suppress(OSError):
            file.unlink()
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
