"""Answers that are no submissions: the course's own, and folders of what can be found on the web."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.notebook_source import notebook_module
from grader.places import MODULE, NOTEBOOK, Refused, is_ignored, shown, size_text
from grader.source_text import source_text

LIMITS = {".py": MODULE, ".ipynb": NOTEBOOK}
FILES = 2000  # of all folders together

Answer = tuple[str, str, tuple[tuple[int, int], ...]]  # name, source, cells as in HandedIn


def own_answers(folder: CourseFolder, chapter: str) -> list[Answer]:
    """The solution of a chapter and its second one, as far as they are here."""
    if not (folder.root / folder.course.reference / "__init__.py").is_file():
        return []
    files = folder.chapter(chapter)
    found = [file for file in (files.module_file, files.another_way_file) if file.is_file()]
    return [(files.relative(file), source_text(file.read_bytes()), ()) for file in found]


def known_answers(folders: tuple[Path, ...]) -> tuple[list[Answer], list[str]]:
    """All Python files and notebooks of folders; and what of them could not be read."""
    answers, problems = [], []
    for folder in folders:
        if not folder.exists():
            raise GraderError(f"--known {folder}: there is no such folder or file")
        for path in _files(folder):
            name = shown([folder.name, *path.relative_to(folder).parts])
            try:
                answers.append((name, *_read(path)))
            except Refused as refused:
                problems.append(f"{name} {refused}")
            except OSError as error:
                problems.append(f"{name} cannot be read ({error.strerror or error})")
            if len(answers) > FILES:
                raise GraderError(f"--known: there are more than {FILES:,} files; name a smaller folder")
    return answers, problems


def _files(folder: Path) -> Iterator[Path]:
    """Files to compare with, no links among them."""
    if folder.is_file():
        yield folder
        return
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_ignored([name]))
        for name in sorted(names):
            path = Path(root, name)
            if path.suffix.lower() in LIMITS and not path.is_symlink() and path.is_file():
                yield path


def _read(path: Path) -> tuple[str, tuple[tuple[int, int], ...]]:
    suffix = path.suffix.lower()
    limit = LIMITS.get(suffix, MODULE)
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise Refused(f"is larger than {size_text(limit)}")
    if suffix != ".ipynb":
        return source_text(data), ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = notebook_module(data, path.name)
    return module.source, module.lines
