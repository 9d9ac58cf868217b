"""What a report depends on: it is current while these are the same."""

import hashlib
from pathlib import Path

from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.intake import HandedIn


def submission_hash(handed_in: HandedIn, earlier: dict[str, HandedIn] | None = None) -> str:
    """Of a chapter's module, and of the earlier ones that are looked at together with it."""
    parts = [handed_in, *(earlier or {}).values()]
    return _hash("\0".join(f"{one.chapter}\0{one.name}\0{one.problem}\0{one.source}" for one in parts))


def chapter_hashes(folder: CourseFolder, chapter: str, master: str) -> dict[str, str]:
    """Of a chapter's checks, of the grader and of the round."""
    files = folder.chapter(chapter)
    sources = [files.hidden_file, files.public_file, files.misconceptions_file, files.recording]
    number = int(chapter[2:])
    sources += [file for name, file in sorted(files.tree.files.items()) if int(name[2:]) <= number]
    grader = sorted(Path(__file__).parent.glob("*.py"))
    return {
        "checks": _hash("\0".join([*map(_of_file, sources), repr(folder.course.chapters[chapter])])),
        "grader": _hash("\0".join(map(_of_file, grader))),
        "round": round_hash(master),
    }


def round_hash(master: str) -> str:
    """What a round may be known by."""
    return _hash(f"round {master}")


def _of_file(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise GraderError(f"cannot read {path}: {error.strerror}") from None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
