"""A small class that hands in chapter 3, to see what `grader grade` makes of it.

    python -m grader.demo_class FOLDER
    python -m grader.demo_class FOLDER --canvas    # as Canvas has it: submissions.zip and gradebook.csv
    python -m grader.demo_class FOLDER --overwrite # also into a folder with something in it

One who is done, one who is half done, three with a misconception each, and one who attacks the grader.
"""

import argparse
import csv
import io
import zipfile
from pathlib import Path

from grader.course_folder import ChapterFolders, CourseFolder
from grader.misconceptions import load_misconceptions, patched_source
from grader.release import make_stub, marked_parts
from grader.whole_file import write_whole

CHAPTER = "ch3"
TURNS = {"blaise": "mask-hides-itself", "emmy": "head-unscaled", "sofia": "qkv-queries-and-keys-swapped"}
NAMES = {"ada": "Lovelace, Ada", "blaise": "Pascal, Blaise", "carl": "Gauss, Carl", "emmy": "Noether, Emmy"}
NAMES |= {"mallory": "Mallory, Max", "sofia": "Kovalevskaya, Sofia"}
FIRST_ID = 101  # of a student in Canvas
ATTACK = '''\
"""Every comparison says yes, and the process ends with a code that says all is well."""

import os, torch

torch.allclose = torch.equal = lambda *args, **options: True
torch.testing.assert_close = lambda *args, **options: None
os._exit(0)
'''


def write_class(folder: Path) -> list[str]:
    """Write a folder or archive a student, and return the students."""
    made = submissions()
    for student, (name, data) in made.items():
        write_whole(
            folder / (f"{student}.zip" if name.endswith(".zip") else f"{student}/{CHAPTER}/{name}"), data
        )
    return sorted(made)


def write_canvas(folder: Path) -> list[str]:
    """Write what Canvas gives an instructor to download: all submissions, and the gradebook."""
    made = submissions()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for number, (student, (name, data)) in enumerate(made.items()):
            called = "".join(NAMES[student].lower().split(", "))
            file.writestr(f"{called}_{FIRST_ID + number}_{9001 + number}_{name}", data)
    gradebook = io.StringIO(newline="")
    rows = csv.writer(gradebook, lineterminator="\n")
    rows.writerow(["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Chapter 3 (4711)"])
    rows.writerow(["    Points Possible", "", "", "", "", 100])
    for number, student in enumerate(made):
        rows.writerow([NAMES[student], FIRST_ID + number, "", student, "Section 1", ""])
    write_whole(folder / "submissions.zip", archive.getvalue())
    write_whole(folder / "gradebook.csv", gradebook.getvalue().encode())
    return sorted(made)


def submissions() -> dict[str, tuple[str, bytes]]:
    """By student: the name of what is handed in, and its bytes."""
    chapter = CourseFolder.around(Path.cwd()).chapter(CHAPTER)
    turns = {turn.name: turn for turn in load_misconceptions(chapter.misconceptions_file)}
    sources = {student: patched_source(chapter.source, turns[turn]) for student, turn in TURNS.items()}
    sources |= {"carl": half_done(chapter), "mallory": ATTACK}
    name = chapter.module_file.name
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"my-gpt/exercises/{CHAPTER}/{name}", chapter.source)
    made = {student: (name, source.encode()) for student, source in sorted(sources.items())}
    return {"ada": ("my-gpt.zip", archive.getvalue())} | made


def half_done(chapter: ChapterFolders) -> str:
    """The solution with the second half of its marked parts not written yet."""
    parts = marked_parts(chapter.source, chapter.relative(chapter.module_file))
    done = {line for part in parts[: len(parts) // 2] for line in (part.begin, part.end)}
    lines = chapter.source.splitlines(keepends=True)
    kept = "".join(line for number, line in enumerate(lines, 1) if number not in done)
    return make_stub(kept, chapter.relative(chapter.module_file))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A small class that hands in chapter 3.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--canvas", action="store_true", help="as Canvas has it")
    parser.add_argument("--overwrite", action="store_true", help="also into a folder with something in it")
    args = parser.parse_args(arguments)
    there = args.folder.exists() and (not args.folder.is_dir() or any(args.folder.iterdir()))
    if there and not args.overwrite:
        parser.error(f"{args.folder} is there already: name a new folder, or give --overwrite")
    write = write_canvas if args.canvas else write_class
    print(f"{args.folder}: {', '.join(write(args.folder))} have handed in chapter 3")


if __name__ == "__main__":
    main()
