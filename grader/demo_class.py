"""A small class that hands in chapter 3, to see what `grader grade` makes of it.

    python -m grader.demo_class FOLDER

One who is done, one who is half done, three with a misconception each, and one who attacks the grader.
"""

import sys
import zipfile
from pathlib import Path

from grader.course_folder import ChapterFolders, CourseFolder
from grader.misconceptions import load_misconceptions, patched_source
from grader.release import make_stub, marked_parts
from grader.whole_file import write_whole

CHAPTER = "ch3"
TURNS = {"blaise": "mask-hides-itself", "emmy": "head-unscaled", "sofia": "qkv-queries-and-keys-swapped"}
ATTACK = '''\
"""Every comparison says yes, and the process ends with a code that says all is well."""

import os, torch

torch.allclose = torch.equal = lambda *args, **options: True
torch.testing.assert_close = lambda *args, **options: None
os._exit(0)
'''


def write_class(folder: Path) -> list[str]:
    """Write the submissions, and return the students."""
    chapter = CourseFolder.around(Path.cwd()).chapter(CHAPTER)
    name = chapter.module_file.name
    turns = {turn.name: turn for turn in load_misconceptions(chapter.misconceptions_file)}
    sources = {student: patched_source(chapter.source, turns[turn]) for student, turn in TURNS.items()}
    sources |= {"carl": half_done(chapter), "mallory": ATTACK}
    for student, source in sources.items():
        write_whole(folder / student / CHAPTER / name, source.encode())
    folder.joinpath("ada.zip").unlink(missing_ok=True)
    with zipfile.ZipFile(folder / "ada.zip", "w") as archive:
        archive.writestr(f"my-gpt/exercises/{CHAPTER}/{name}", chapter.source)
    return sorted(["ada", *sources])


def half_done(chapter: ChapterFolders) -> str:
    """The solution with the second half of its marked parts not written yet."""
    parts = marked_parts(chapter.source, chapter.relative(chapter.module_file))
    done = {line for part in parts[: len(parts) // 2] for line in (part.begin, part.end)}
    lines = chapter.source.splitlines(keepends=True)
    kept = "".join(line for number, line in enumerate(lines, 1) if number not in done)
    return make_stub(kept, chapter.relative(chapter.module_file))


if __name__ == "__main__":
    print(f"{sys.argv[1]}: {', '.join(write_class(Path(sys.argv[1])))} have handed in chapter 3")
