"""`grader forget`: all of a student out of a RESULTS folder.

Their folder goes, and so do the lines about them in overrides.csv and log.jsonl and their name in
questions.txt; grades.csv and class.html are made anew from what is left. A second run finishes what a killed
one began.
"""

import json
import re
import shutil
from pathlib import Path

from grader.class_page import class_page
from grader.course_file import Course
from grader.csv_file import CsvFile
from grader.errors import GraderError
from grader.grades import plain_name
from grader.hashes import round_hash
from grader.page import counted
from grader.pseudonyms import pseudonym
from grader.results import LOG, OVERRIDES, QUESTIONS, ROUND, Results
from grader.whole_file import write_whole

TEXT = 64 << 20  # larger files are not searched for the name
ELSEWHERE = (
    "what was handed in (the submissions folder and its system)",
    "files exported or copied from here, and what others were sent",
    "backups, the trash, and deleted blocks of the disk",
)


def forget(student: str, results: Results, course: Course) -> None:
    """Delete a student; say what that cannot reach."""
    names, text = _names(student, results)
    folder = results.folder(student)
    found = [f"{folder}"] if folder.is_dir() else []
    if folder.is_dir():
        shutil.rmtree(folder)
    found += [
        f"{counted(count, 'line')} of {results.path / name}"
        for name, count in (
            (OVERRIDES, _out_of_overrides(results.path / OVERRIDES, student)),
            (LOG, _out_of_log(results.path / LOG, names, text)),
            (QUESTIONS, _out_of_questions(results.path / QUESTIONS, text)),
        )
        if count
    ]
    if not found:
        known = ", ".join(results.students()[:10])
        raise GraderError(f"{results.path} has nothing of {student!r}; it has {known or 'nobody'}")
    results.write_grades(course, course.chapters)
    page = class_page(results.reports(), course, _had_pseudonyms(results), results.overrides(course))
    write_whole(results.path / "class.html", page.encode())
    results.log("forgotten")
    for what in found:
        print(f"deleted: {what}")
    print("made anew: grades.csv, class.html")
    for path in _still_named(results.path, text):
        print(f"STILL NAMED in {path}: look at it, and delete it")
    print("not reached, and yours to see to:")
    for what in ELSEWHERE:
        print(f"  {what}")


def _names(student: str, results: Results) -> tuple[set[str], re.Pattern]:
    """What the log calls the student; and that, with what other systems do, as it may stand in a text."""
    names = {student}
    if (results.path / ROUND).is_file():
        names.add(pseudonym(student, round_hash(results.round())))
    known = set()
    for report in results.reports():
        if report["student"] == student:
            ids = report.get("ids") or {}
            known |= {
                ids[kind] for kind in ("name", "email", "login", "github") if len(ids.get(kind, "")) > 2
            }
    listed = [re.escape(name) for name in names]
    listed += [rf"{re.escape(name)}(?:_\d+)?" for name in known]  # Moodle puts a number behind a name
    text = re.compile(rf"(?<![\w@.-])(?:{'|'.join(sorted(listed, key=len, reverse=True))})(?![\w@-])")
    return names, text


def _out_of_overrides(path: Path, student: str) -> int:
    """The instructor's own file: all other lines stay, byte for byte."""
    if not path.is_file():
        return 0
    file = CsvFile.read(path)
    column = next((n for n, cell in enumerate(file.rows[0]) if cell.strip().lower() == "student"), 0)
    gone = [
        number
        for number, row in enumerate(file.rows)
        if number and len(row) > column and plain_name(row[column].strip()) == student
    ]
    if gone:
        write_whole(path, file.without(gone))
    return len(gone)


def _out_of_log(path: Path, names: set[str], text: re.Pattern) -> int:
    """Lines about the student go; so do those about nobody, or that cannot be read, with the name in them."""
    if not path.is_file():
        return 0
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if not _is_about(line, names, text)]
    if len(kept) < len(lines):
        write_whole(path, b"".join(kept))
    return len(lines) - len(kept)


def _is_about(line: bytes, names: set[str], text: re.Pattern) -> bool:
    plain = line.decode("utf-8", "surrogateescape")
    try:
        entry = json.loads(plain)
    except ValueError:
        return bool(text.search(plain))
    if isinstance(entry, dict) and entry.get("student") in names:
        return True
    return bool(text.search(json.dumps(entry, ensure_ascii=False)))  # the log itself spells odd letters out


def _out_of_questions(path: Path, names: re.Pattern) -> int:
    if not path.is_file():
        return 0
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    new, count = names.subn("(forgotten)", text)
    if count:
        write_whole(path, new.encode("utf-8", "surrogateescape"))
    return count


def _had_pseudonyms(results: Results) -> bool:
    """Whether the last run was asked for a page without names."""
    try:
        lines = (results.path / LOG).read_text(encoding="utf-8").splitlines()
    except OSError:
        return True
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("event") == "begun":
            return bool(entry.get("pseudonyms"))
    return True  # where it is not known, rather without names


def _still_named(folder: Path, names: re.Pattern) -> list[Path]:
    """Files of the folder with one of the names in them, of which this command knows nothing."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < TEXT:
            text = path.read_bytes().decode("utf-8", "surrogateescape")
            if names.search(text) or names.search(str(path.relative_to(folder))):
                found.append(path)
    return found
