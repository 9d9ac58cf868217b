"""`grader release`: exercises/ from the solutions, and the hand-out."""

import re
import sys
import time
import warnings
from pathlib import Path

from rich.console import Console

from grader.course_folder import EXERCISES, CourseFolder
from grader.errors import GraderError
from grader.hand_out import (
    HANDED_OUT,
    hand_out_files,
    refuse_existing,
    strays,
    write_exercises,
    write_folder,
    write_whole,
    zipped,
)

EVERY_SECONDS = 10.0  # a line of progress where there is no terminal
RANGE = re.compile(r"(ch\d+)(?:\.\.(ch\d+))?")


def release(chapters: list[str] | None, to: Path | None, as_zip: bool, reveal: str | None) -> None:
    if to is None and (as_zip or reveal):
        raise GraderError(f"{'--zip' if as_zip else '--reveal'} is about the hand-out: give --to FOLDER")
    folder = CourseFolder.around(Path.cwd())
    taught = list(folder.course.chapters)
    revealed = chapters_in(reveal, taught) if reveal else []
    if to is not None:
        _refuse_inside(folder.root, to)
        refuse_existing(to)  # now, not after minutes of recording
    for name in chapters or taught:
        chapter = folder.chapter(name)
        with Progress() as progress, warnings.catch_warnings(action="ignore"):  # torch's, about wrong turns
            written = write_exercises(chapter, progress.tell)
        names = ", ".join(path.name for path in written)
        print(f"{name}: wrote {names}" if written else f"{name}: up to date", flush=True)
        for path in strays(chapter):
            print(
                f"{name}: {chapter.relative(path)} does not come from release; delete it if nobody needs it"
            )
    if to is not None:
        files = hand_out_files(folder, revealed)
        write_folder(files, to)
        print(f"{to}: the hand-out, {len(files)} files")
        if as_zip:
            archive = to.with_name(to.name + ".zip")
            write_whole(archive, zipped(files, to.name))
            print(f"{archive}: the same")


class Progress:
    """What is being done, on a terminal; elsewhere a line now and then."""

    def __init__(self):
        self._console = Console(stderr=True, highlight=False)
        self._status = self._console.status("")
        self._said = time.monotonic()

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_) -> None:
        self._status.stop()

    def tell(self, what: str) -> None:
        self._status.update(what)
        if not self._console.is_terminal and time.monotonic() - self._said > EVERY_SECONDS:
            self._said = time.monotonic()
            print(what, file=sys.stderr, flush=True)


def chapters_in(text: str, taught: list[str]) -> list[str]:
    """
    >>> chapters_in("ch1..ch3,ch5", ["ch1", "ch2", "ch3", "ch4", "ch5"])
    ['ch1', 'ch2', 'ch3', 'ch5']
    """
    found = []
    for part in text.split(","):
        match = RANGE.fullmatch(part.strip())
        if not match:
            raise GraderError(f"{part.strip()!r} names no chapters: ch2, ch1..ch3 or ch1,ch4")
        first, last = match[1], match[2] or match[1]
        for name in (first, last):
            if name not in taught:
                raise GraderError(f"course.toml has no chapter {name}; it has {', '.join(taught)}")
        found += taught[taught.index(first) : taught.index(last) + 1]
    return found


def _refuse_inside(root: Path, to: Path) -> None:
    for name in (*HANDED_OUT, EXERCISES):
        if to.resolve().is_relative_to(root / name):
            raise GraderError(f"{to} is inside of {name}, which is handed out itself: name another folder")
