"""What students get: `exercises/`, made from the solutions, and the hand-out, a folder or zip around it.

A hand-out is put together from what it may hold (HANDED_OUT), never by leaving things out, so that a new file
at the top of the repository stays at home until someone decides otherwise.
"""

import io
import re
import secrets
import shutil
import tomllib
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from grader.answers import Live, Recorded, record
from grader.chapters import RECORDING
from grader.checks import Check
from grader.compare import compare, same_form
from grader.course_folder import EXERCISES, ChapterFolders, CourseFolder
from grader.errors import GraderError
from grader.leaves import nan_as_number
from grader.observations import unpack
from grader.observe import Reply
from grader.release import make_stub, marked_parts
from grader.seeds import PUBLIC, seed_for
from grader.verdicts import decide
from grader.whole_file import cannot_write, write_whole

HANDED_OUT = ("course", "grader", "course.toml", "constraints.txt", "LICENSE")
README = "grader/hand_out_readme.md"  # becomes the hand-out's README.md
FOR_INSTRUCTORS = re.compile(r"grader/\w+\.md")  # on grading, and on making exercises
# Students write into exercises/ itself, so what was there is here once more: stubs, which `course reset` puts
# back, and the chapters handed out solved, which `course start` takes in their place.
SPARE_STUBS = "course/stubs"
REVEALED = "course/revealed"
PACKAGES = ("course", "grader", EXERCISES)
NOT_FOR_STUDENTS = ("[project.optional-dependencies", "[tool.ruff")  # tables of pyproject.toml
A_DATE = (1980, 1, 1, 0, 0, 0)  # the same for every file of a zip, so that equal contents are equal bytes


# ---- exercises ----


def write_exercises(chapter: ChapterFolders, tell: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Write a chapter's part of exercises/, and return what was not yet so. tell: how far it is."""
    folder = chapter.exercises_folder
    files = {folder.parent / "__init__.py": b""}
    files |= {folder / name: text.encode() for name, text in chapter_texts(chapter).items()}
    written = [path for path, data in files.items() if not path.is_file() or path.read_bytes() != data]
    for path in written:
        write_whole(path, files[path])
    recording = record(chapter.public_checks, Live(chapter.tree, chapter.name, PUBLIC), tell)
    if not recording_is_current(chapter.recording, recording, chapter.public_checks):
        write_whole(chapter.recording, recording)
        written.append(chapter.recording)
    return written


def chapter_texts(chapter: ChapterFolders) -> dict[str, str]:
    """The text files of a chapter's exercises, by name."""
    if not chapter.public_file.is_file():
        raise GraderError(f"{chapter.name} has no public checks: there is no {chapter.public_file}")
    return {
        "__init__.py": "",
        chapter.module_file.name: make_stub(chapter.source, chapter.relative(chapter.module_file)),
        chapter.public_file.name: chapter.public_file.read_text(encoding="utf-8"),
    }


def strays(chapter: ChapterFolders) -> list[Path]:
    """What stands in a chapter's exercises and is not from here; nobody but its owner deletes it."""
    made = {*chapter_texts(chapter), RECORDING}
    folder = chapter.exercises_folder
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if path.name not in made and not _is_cache(path.name)]


def recording_is_current(path: Path, new: bytes, checks: list[Check]) -> bool:
    """Whether a file holds what would be recorded now, numbers within their tolerance.

    What an `accept` decides on may differ more from one machine to another; it must be acceptable to the old
    recording and have its form.
    """
    if not path.is_file():
        return False
    try:
        old = Recorded(path)
    except GraderError:
        return False
    fresh = nan_as_number(unpack(new))
    checks_before = nan_as_number(old.checks)
    for check in checks:
        before, after = checks_before.get(check.name), fresh["checks"][check.name]
        if check.accept_function is None or before is None or before["fingerprint"] != after["fingerprint"]:
            continue
        seen = Reply("seen", observation=after["expected"])
        accepted = decide(check, seen, old, seed_for(PUBLIC, path.parent.name, check.name)).passed
        if accepted and same_form(before, after) is None:
            fresh["checks"][check.name] = before
    return compare([fresh["checks"], fresh["misconceptions"]], [checks_before, old.says]) is None


# ---- the hand-out ----


def hand_out_files(folder: CourseFolder, reveal: Iterable[str] = ()) -> dict[str, bytes]:
    """Every file of the hand-out, by its path in it; in the chapters of `reveal`, solved."""
    files = hand_out_texts(folder, reveal)
    for name in folder.course.chapters:
        recording = folder.chapter(name).recording
        if not recording.is_file():
            raise GraderError(f"there is no {recording}: run grader release")
        files[f"{EXERCISES}/{name}/{RECORDING}"] = recording.read_bytes()
    return dict(sorted(files.items()))


def hand_out_texts(folder: CourseFolder, reveal: Iterable[str] = ()) -> dict[str, bytes]:
    """The hand-out without its recordings. Stubs are made anew, not read from exercises/."""
    files = {"README.md": _readme(folder), "pyproject.toml": _project(folder)}
    for name in HANDED_OUT:
        files |= _files_below(folder.root, folder.root / name)
    files = {name: data for name, data in files.items() if not FOR_INSTRUCTORS.fullmatch(name)}
    files[f"{EXERCISES}/__init__.py"] = b""
    for name in folder.course.chapters:
        chapter = folder.chapter(name)
        texts = chapter_texts(chapter)
        stub = texts[chapter.module_file.name]
        files[f"{SPARE_STUBS}/{name}/{chapter.module_file.name}"] = stub.encode()
        if name in reveal:
            texts[chapter.module_file.name] = without_markers(chapter)
            files[f"{REVEALED}/{name}/{chapter.module_file.name}"] = texts[chapter.module_file.name].encode()
        files |= {f"{EXERCISES}/{name}/{file}": text.encode() for file, text in texts.items()}
    return files


def without_markers(chapter: ChapterFolders) -> str:
    """A chapter's solution as it is revealed."""
    parts = marked_parts(chapter.source, chapter.relative(chapter.module_file))
    markers = {line for part in parts for line in (part.begin, part.end)}
    lines = chapter.source.splitlines(keepends=True)
    return "".join(line for number, line in enumerate(lines, 1) if number not in markers)


def refuse_existing(to: Path) -> None:
    """A new folder may take the place of an empty one, and of nothing else."""
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise GraderError(f"{to} is there already: delete it, or name another folder")


def write_folder(files: dict[str, bytes], to: Path) -> None:
    """Write files as a new folder, which appears when all of them are in it."""
    refuse_existing(to)
    unfinished = to.with_name(f".{to.name}.{secrets.token_hex(4)}.tmp")
    try:
        for name, data in files.items():
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if to.exists():
            to.rmdir()
        unfinished.rename(to)
    except OSError as error:
        raise cannot_write(to, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def zipped(files: dict[str, bytes], top: str) -> bytes:
    """Files as a zip with one folder in it, `top`. Equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{top}/{name}", A_DATE)
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return buffer.getvalue()


def _files_below(root: Path, path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {path.relative_to(root).as_posix(): path.read_bytes()}
    if not path.is_dir():
        raise GraderError(f"{root} has no {path.name}, which belongs in the hand-out")
    files: dict[str, bytes] = {}
    for child in sorted(path.iterdir()):
        if not _is_cache(child.name):
            files |= _files_below(root, child)
    return files


def _is_cache(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__" or name.endswith((".pyc", ".tmp"))


def _readme(folder: CourseFolder) -> bytes:
    text = (folder.root / README).read_text(encoding="utf-8")
    rows = [
        f"| {name[2:]} | {chapter.title} | `{EXERCISES}/{name}/{chapter.module}.py` |"
        for name, chapter in folder.course.chapters.items()
    ]
    return text.replace("{title}", folder.course.title).replace("{chapters}", "\n".join(rows)).encode()


def _project(folder: CourseFolder) -> bytes:
    """pyproject.toml without what only the course's makers need, and with the exercises for a package."""
    text = (folder.root / "pyproject.toml").read_text(encoding="utf-8")
    tables = re.split(r"(?m)^(?=\[)", text)
    text = "".join(table for table in tables if not table.startswith(NOT_FOR_STUDENTS)).rstrip() + "\n"
    text = re.sub(r"(?m)^packages = .*$", f"packages = {_listed(PACKAGES)}", text)
    text = re.sub(r"(?m)^testpaths = .*$", f"testpaths = {_listed([EXERCISES])}", text)
    tools = tomllib.loads(text)["tool"]
    if tools["hatch"]["build"]["targets"]["wheel"]["packages"] != list(PACKAGES):
        raise GraderError("pyproject.toml has no line `packages = [...]` for the wheel")
    return text.encode()


def _listed(names: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
