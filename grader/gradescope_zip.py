"""`grader gradescope`: the autograder that Gradescope runs on each submission, as the zip that it asks for.

setup.sh, run_autograder    what Gradescope calls
requirements.txt            what the grader needs, pinned as in constraints.txt
round.json                  the round's secret, so that all students get the same inputs, and the chapters
files/                      the course: course.toml, grader, reference, hidden checks, recordings
"""

import io
import json
import re
import zipfile
from pathlib import Path

from grader.course_folder import EXERCISES, HIDDEN, CourseFolder
from grader.errors import GraderError
from grader.hand_out import A_DATE
from grader.seeds import new_master
from grader.whole_file import write_whole

PLATFORMS = Path(__file__).parent / "platforms"
NEEDED = ("torch", "numpy", "tiktoken", "regex", "safetensors", "jinja2", "pyyaml")
EXECUTABLE = ("setup.sh", "run_autograder")
CONSTRAINTS = "constraints.txt"


def build(
    folder: CourseFolder, chapters: tuple[str, ...], to: Path, seed: str | None, overwrite: bool
) -> None:
    """Write the zip."""
    if to.exists() and not overwrite:
        raise GraderError(f"{to} is there already: name another, or give --overwrite")
    files = zip_files(folder, chapters, seed or new_master())
    write_whole(to, zipped(files))
    size = to.stat().st_size / 2**20
    print(f"{to}: {len(files)} files, {size:.1f} MiB, for {', '.join(chapters)}")
    print("  It holds the solutions and the hidden checks: upload it to Gradescope, and give it to nobody.")
    print("  Choose Ubuntu 22.04 or newer there, and a container of 2 GB of memory or more.")


def zip_files(folder: CourseFolder, chapters: tuple[str, ...], master: str) -> dict[str, bytes]:
    """The files of the zip, by name."""
    for chapter in chapters:
        folder.chapter(chapter).hidden_checks  # noqa: B018  (an error now is better than one there)
    files = {
        "setup.sh": (PLATFORMS / "gradescope_setup.sh").read_bytes(),
        "run_autograder": (PLATFORMS / "gradescope_run_autograder").read_bytes(),
        "requirements.txt": _requirements(folder.root / CONSTRAINTS),
        "round.json": json.dumps({"master": master, "chapters": list(chapters)}).encode(),
        "files/course.toml": (folder.root / "course.toml").read_bytes(),
    }
    parts = [folder.root / folder.course.reference, Path(__file__).parent]
    parts += [folder.root / HIDDEN / chapter for chapter in chapters]
    for part in parts:
        inside = f"{HIDDEN}/{part.name}" if part.parent.name == HIDDEN else part.name
        files |= {f"files/{inside}/{name}": data for name, data in _below(part).items()}
    for chapter in folder.course.chapters:  # stubs and recordings
        for name, data in _below(folder.root / EXERCISES / chapter).items():
            files[f"files/{EXERCISES}/{chapter}/{name}"] = data
    return files


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip without a folder around its files, as Gradescope wants it. Equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, A_DATE)
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = (0o100755 if name in EXECUTABLE else 0o100600) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return buffer.getvalue()


def _requirements(constraints: Path) -> bytes:
    """What is needed, in the versions that the course is tested with."""
    try:
        lines = constraints.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise GraderError(f"cannot read {constraints}: {error.strerror}") from None
    pins = {re.split(r"[=<>!~ \[]", line)[0].lower().replace("_", "-"): line.strip() for line in lines}
    missing = sorted(set(NEEDED) - pins.keys(), key=NEEDED.index)
    if missing:
        raise GraderError(f"{constraints} has no version of {', '.join(missing)}: write it down there")
    return "".join(f"{pins[name]}\n" for name in NEEDED).encode()


def _below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
