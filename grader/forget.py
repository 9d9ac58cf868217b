"""`grader forget`: all of a student out of a RESULTS folder; or a chapter, graded by mistake.

A student's folder goes, and so do the lines about them in overrides.csv and log.jsonl and their name in
questions.txt; grades.csv and class.html are made anew from what is left. Of a chapter the reports go and what
was set by hand, and the feedback pages are made anew, too; the log stays, and says so. A second run finishes
what a killed one began.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from grader.class_page import class_page
from grader.course_file import Course
from grader.csv_file import CsvFile
from grader.errors import GraderError
from grader.feedback import feedback_page
from grader.grades import Overrides, plain_name
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
            (OVERRIDES, _out_of_overrides(results.path / OVERRIDES, student=student)),
            (LOG, _out_of_log(results.path / LOG, names, text)),
            (QUESTIONS, _out_of_questions(results.path / QUESTIONS, text)),
        )
        if count
    ]
    if not found:
        known = ", ".join(results.students()[:10])
        raise GraderError(f"{results.path} has nothing of {student!r}; it has {known or 'nobody'}")
    _write_pages(results, course)
    results.log("forgotten")
    for what in found:
        print(f"deleted: {what}")
    print("made anew: grades.csv, class.html")
    for path in _still_named(results.path, text):
        print(f"STILL NAMED in {path}: look at it, and delete it")
    print("not reached, and yours to see to:")
    for what in ELSEWHERE:
        print(f"  {what}")


def forget_chapter(
    chapter: str, results: Results, course: Course, student: str | None, sure: Callable[[str], bool]
) -> None:
    """Delete a chapter, of all or of one student. sure: whether the user wants what it says."""
    course.refuse_unknown((chapter,))
    if not (results.path / ROUND).is_file():
        raise GraderError(f"{results.path} has no {ROUND}: name the folder that grader grade wrote")
    graded = [one["student"] for one in results.reports() if one["chapter"] == chapter]
    by_hand = [name for name, of, _ in results.overrides() if of == chapter]
    students = sorted({*graded, *by_hand} & ({student} if student else {*graded, *by_hand}))
    if students:
        whose = students[0] if student else counted(len(students), "student")
        lines = counted(sum(name in students for name in by_hand), "line")
        if not sure(
            f"delete {chapter} of {whose} from {results.path}: reports, points, feedback and"
            f" {lines} of {OVERRIDES}"
        ):
            raise GraderError("nothing is deleted")
        _out_of_overrides(results.path / OVERRIDES, student=student, chapter=chapter)
    overrides = results.overrides(course)
    for name in students:
        _out_of_folder(name, chapter, results, course, overrides)
    _write_pages(results, course)  # a killed run may have left these alone to be done
    if not students:
        there = ", ".join(sorted({one["chapter"] for one in results.reports()}))
        raise GraderError(
            f"{results.path} has no {chapter}{f' of {student}' if student else ''}; it has {there}"
        )
    results.log("taken back", chapter=chapter, students=len(students))
    print(f"deleted: {chapter} of {whose}, with {lines} of {results.path / OVERRIDES}")
    print("made anew: grades.csv, class.html, feedback.html of each")
    print("not reached: what was exported or sent; what was handed in can be graded again")


def _out_of_folder(
    student: str, chapter: str, results: Results, course: Course, overrides: Overrides
) -> None:
    """A student's report on the chapter; their page goes with the last one."""
    folder = results.folder(student)
    (folder / f"{chapter}.json").unlink(missing_ok=True)
    reports = [results.report(student, name) for name in course.chapters]
    reports = [report for report in reports if report is not None]
    if reports:
        write_whole(folder / "feedback.html", feedback_page(student, reports, course, overrides).encode())
        return
    (folder / "feedback.html").unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _write_pages(results: Results, course: Course) -> None:
    """grades.csv and class.html of what is left."""
    results.write_grades(course, course.chapters)
    page = class_page(results.reports(), course, _had_pseudonyms(results), results.overrides(course))
    write_whole(results.path / "class.html", page.encode())


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


def _out_of_overrides(path: Path, **meant: str | None) -> int:
    """The instructor's own file: other lines stay, byte for byte. meant: cells by column, None for any."""
    if not path.is_file():
        return 0
    file = CsvFile.read(path)
    header = [cell.strip().lower() for cell in file.rows[0]]
    wanted = {header.index(name): cell for name, cell in meant.items() if cell is not None and name in header}
    gone = [
        number
        for number, row in enumerate(file.rows)
        if number
        and len(row) > max(wanted, default=0)
        and all(plain_name(row[column].strip()) == cell for column, cell in wanted.items())
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
