"""`grader release`: exercises/ from the solutions, and the hand-out."""

import re
import warnings
from pathlib import Path

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
        with warnings.catch_warnings(action="ignore"):  # torch's, about what wrong turns do
            written = write_exercises(chapter)
        print(f"{name}: {', '.join(path.name for path in written) if written else 'nothing to change'}")
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
