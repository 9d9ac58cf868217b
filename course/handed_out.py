"""What the installed course hands out, and what of it a student's folder was made with."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from grader.chapters import RECORDING
from grader.course_file import NAME, Course, find_course_file, load_course
from grader.errors import GraderError

from .errors import CourseError
from .workplace import EXERCISES, STATE, Workplace

# The course's own copy, beside this package: modules, public checks and recordings.
HANDED_OUT = Path(__file__).resolve().parent.parent / EXERCISES

# Where students work in that copy itself, as in a hand-out, its modules are here once more as they were: the
# stubs, and the solutions of chapters that were handed out solved.
STUBS = Path(__file__).resolve().parent / "stubs"
REVEALED = Path(__file__).resolve().parent / "revealed"

RECORD = f"{STATE}/handed-out.json"


@dataclass(frozen=True)
class HandOut:
    """Contents by their path in a student's folder.

    modules: what students write into; stubs: the same, nothing of it solved; files: checks, recordings, and
    course.toml.
    """

    course: Course
    modules: dict[str, bytes]
    stubs: dict[str, bytes]
    files: dict[str, bytes]


def hand_out() -> HandOut:
    """As installed. Chapters of course.toml that are not there are left out."""
    course_file = find_course_file(HANDED_OUT)
    if not HANDED_OUT.is_dir() or course_file is None:
        raise CourseError(
            "this installation has no exercises to start from; install the course from its own folder, with"
            " python -m pip install -e ."
        )
    try:
        course = load_course(course_file)
    except GraderError as error:
        raise CourseError(str(error)) from None
    made = HandOut(course, {}, {}, {NAME: _read(course_file)})
    made.files[f"{EXERCISES}/__init__.py"] = _read(HANDED_OUT / "__init__.py")
    for name, chapter in course.chapters.items():
        if not (HANDED_OUT / name).is_dir():
            continue
        module = f"{chapter.module}.py"
        path, revealed = f"{EXERCISES}/{name}/{module}", REVEALED / name / module
        made.stubs[path] = _read(stub_file(name, module))
        made.modules[path] = _read(revealed) if revealed.is_file() else made.stubs[path]
        for file in ("__init__.py", f"test_{module}", RECORDING):
            made.files[f"{EXERCISES}/{name}/{file}"] = _read(HANDED_OUT / name / file)
    return made


def is_the_courses_own(place: Workplace) -> bool:
    """Whether somebody works in the very copy that is handed out, as in an unpacked hand-out."""
    return place.exercises.resolve() == HANDED_OUT.resolve()


def stub_file(chapter: str, module: str) -> Path:
    kept = STUBS / chapter / module
    return kept if kept.is_file() else HANDED_OUT / chapter / module


def stub_of(place: Workplace, chapter: str) -> Path | None:
    """A chapter's stub, to put back; None if the student's module is the only copy of it."""
    module = place.module(chapter)
    found = stub_file(chapter, module.name)
    return None if not found.is_file() or found == module.resolve() else found


@dataclass(frozen=True)
class Record:
    """What a folder was made with, or last brought up to: hashes of its files, and the stubs themselves."""

    hashes: dict[str, str]
    stubs: dict[str, bytes]

    @classmethod
    def of(cls, made: HandOut, own: dict[str, bytes]) -> "Record":
        return cls({path: digest(data) for path, data in {**made.files, **own}.items()}, made.stubs)

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """An empty one where there is none: the folder is older than records, or came without its .course."""
        try:
            kept = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            return cls(dict(kept["hashes"]), {path: text.encode() for path, text in kept["stubs"].items()})
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return cls({}, {})

    def to_json(self) -> bytes:
        stubs = {path: data.decode() for path, data in self.stubs.items()}
        return json.dumps({"hashes": self.hashes, "stubs": stubs}, indent=1).encode()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise CourseError(
            f"the installed course has lost its {source.name} ({source}: {error.strerror}); install it anew"
        ) from None
