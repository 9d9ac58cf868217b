"""The RESULTS folder: one place for a round's reports, grades, overrides and log.

    round.json              the round's master secret; for its owner's eyes only
    overrides.csv           the instructor's own (grader/grades.py)
    grades.csv, class.html
    questions.txt           what the last run could not decide, a question a line
    log.jsonl               one JSON object a line
    <student>/chN.json      the judge's report on a chapter; what stands in it is in REPORT
    <student>/feedback.html

Files appear whole or not at all, and what lies here is believed only as far as it has its form: a report that
cannot be read back counts as not there, and is made again.
"""

import base64
import datetime
import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from grader.course_file import Course
from grader.errors import GraderError
from grader.grades import Overrides, check_overrides, effective_points, grades_csv, read_overrides
from grader.seeds import new_master
from grader.whole_file import write_whole

FORMAT = 1
ROUND, OVERRIDES, GRADES, LOG = "round.json", "overrides.csv", "grades.csv", "log.jsonl"
QUESTIONS = "questions.txt"
UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")  # what write_whole leaves behind when it is killed

# What a report must hold to be read back; a name that ends in "?" may be missing or null.
EXERCISE = {"name": str, "points": float, "max": float, "state": str, "passed?": float, "checks?": float}
FAULT = {"type?": str, "message?": str, "lines?": [{"number": float, "function?": str, "text?": str}]}
CHECK = {
    "name": str,
    "exercise": str,
    "hidden": bool,
    "outcome": str,
    "says?": str,
    "message?": str,
    "misconceptions?": [{"name": str, "says": str}],
    "fault?": FAULT,
    "shown?": str,
    "seconds?": float,
}
REPORT = {
    "format": float,
    "student": str,
    "chapter": str,
    "points": float,
    "max": float,
    "submission?": {"name?": str, "notes?": [str], "problem?": str},
    "exercises": [EXERCISE],
    "checks": [CHECK],
    "tier?": {"name?": str, "says?": str},
    "hashes": {"round": str},
    "faults?": [str],
    "times?": {"graded?": str, "seconds?": float},
    # by grader/hand_in.py: what systems call the student, and how late the chapter was handed in
    "ids?": dict.fromkeys(("name?", "canvas_id?", "moodle_id?", "sid?", "email?", "github?", "login?"), str),
    "late?": {"handed_in": str, "deadline": str, "factor": float},
}

PLAIN = re.compile(r"[a-z0-9_][a-z0-9_.@+-]{0,59}(?<!\.)")
CHAPTER = re.compile(r"\w{1,60}", re.ASCII)
# files of this folder, and what Windows takes for a device
TAKEN = re.compile(
    r"(grades|overrides)\.csv|class\.html|log\.jsonl|questions\.txt|round\.json|(con|prn|aux|nul|com\d|lpt\d)(\..*)?"
)


class Results:
    """A RESULTS folder. One grading at a time writes into it."""

    def __init__(self, folder: Path):
        self.path = Path(folder)

    # ---- the round ----

    def round(self, seed: str | None = None) -> str:
        """The round's master secret: begun here, from `seed` if given, or gone on with."""
        path = self.path / ROUND
        self._sweep()
        if path.exists():
            found = _read_json(path)
            master = found.get("master") if isinstance(found, dict) else None
            if not isinstance(master, str) or not master:
                raise GraderError(
                    f"{path} cannot be read: put it back, or delete it, and a new round grades all anew"
                )
            if seed is not None and seed != master:
                raise GraderError(
                    f"{path} was begun with another seed: leave out --seed to go on, or name a new folder"
                )
            return master
        master = new_master() if seed is None else seed
        if not master:
            raise GraderError("--seed is empty: name any word or number, or leave it out")
        self._make()
        _write_private(path, _json({"format": FORMAT, "master": master, "created": _now()}))
        return master

    # ---- students and their reports ----

    def folder(self, student: str) -> Path:
        """A student's own folder."""
        return self.path / folder_name(student)

    def students(self) -> list[str]:
        """Everyone with a report, in order."""
        return sorted({report["student"] for report in self.reports()})

    def reports(self) -> Iterator[dict]:
        """All reports that can be read, student by student."""
        folders = sorted(path for path in self.path.iterdir() if path.is_dir()) if self.path.is_dir() else []
        for folder in folders:
            for path in sorted(folder.glob("*.json")):
                report = _read_report(path)
                if report is not None and (folder.name, path.stem) == (
                    folder_name(report["student"]),
                    report["chapter"],
                ):
                    yield report

    def report(self, student: str, chapter: str) -> dict | None:
        """A student's report on a chapter, if there is one that can be read."""
        report = _read_report(self._report_path(student, chapter))
        if report is None or (report["student"], report["chapter"]) != (student, chapter):
            return None
        return report

    def write_report(self, report: dict) -> Path:
        problem = misfit(report, REPORT, "the report")
        if problem:
            raise GraderError(f"a report is not what grader/results.py says: {problem}")
        path = self._report_path(report["student"], report["chapter"])
        self._make()
        write_whole(path, _json(report))
        return path

    def is_current(self, student: str, chapter: str, hashes: dict[str, str]) -> bool:
        """Whether a report stands for just this; after a grader fault never, so that it is tried again."""
        report = self.report(student, chapter)
        return report is not None and report["hashes"] == hashes and not report.get("faults")

    def _report_path(self, student: str, chapter: str) -> Path:
        if not CHAPTER.fullmatch(chapter):
            raise GraderError(f"{chapter!r} is no chapter's name")
        return self.folder(student) / f"{chapter}.json"

    # ---- grades ----

    def overrides(self, course: Course | None = None) -> Overrides:
        """What the instructor set by hand; with a course, also checked against what that has."""
        path = self.path / OVERRIDES
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise GraderError(f"cannot read {path}: {error.strerror or error}") from None
        overrides = read_overrides(data, str(path))
        if course is not None:
            check_overrides(overrides, course, str(path))
        return overrides

    def write_grades(self, course: Course, chapters: Iterable[str]) -> list[str]:
        """Write grades.csv, and return what to tell the instructor: overrides that apply to nobody.

        A chapter that a student has neither a report nor an override for has no line. Where only a grader
        fault stands, the cell is empty, and so is the sum.
        """
        overrides = self.overrides(course)
        wanted = [chapter for chapter in course.chapters if chapter in set(chapters)]
        graded: dict[tuple[str, str], list] = {}
        students = set()
        for report in self.reports():
            student, chapter = report["student"], report["chapter"]
            students.add(student)
            if chapter in wanted:
                graded[student, chapter] = effective_points(student, chapter, report, course, overrides)
        strangers = sorted({student for student, _, _ in overrides} - students)
        for student, chapter, _ in overrides:
            if student in students and chapter in wanted and (student, chapter) not in graded:
                graded[student, chapter] = effective_points(student, chapter, None, course, overrides)
        order = sorted(graded, key=lambda key: (key[0], wanted.index(key[1])))
        text = grades_csv(((*key, graded[key]) for key in order), course)
        self._make()
        write_whole(self.path / GRADES, text.encode())
        return [
            f"{self.path / OVERRIDES}: no submission of {student} is graded here" for student in strangers
        ] + self._misnamed()

    def _misnamed(self) -> list[str]:
        """What was meant as overrides.csv, as spreadsheets and hands name it, and would have no effect."""
        if (self.path / OVERRIDES).exists():
            return []
        meant = [path for path in sorted(self.path.iterdir()) if path.name.lower().startswith("overrid")]
        return [f"{path} is not read: overrides are read from {OVERRIDES}" for path in meant]

    def write_questions(self, questions: list[str]) -> None:
        """What the instructor is asked; no file where there is nothing."""
        path = self.path / QUESTIONS
        if questions:
            write_whole(path, "".join(f"{question}\n" for question in questions).encode())
        else:
            path.unlink(missing_ok=True)

    # ---- the log ----

    def log(self, event: str, **facts) -> None:
        """Append one line. A line that a killed run left half written is taken off first."""
        line = json.dumps({"time": _now(), "event": event, **facts}, default=str).encode() + b"\n"
        path = self.path / LOG
        try:
            self._make()
            with path.open("ab+") as file:
                _end_whole(file)
                file.write(line)
        except OSError as error:
            raise GraderError(f"cannot write {path}: {error.strerror or error}") from error

    # ---- the folder itself ----

    def _make(self) -> None:
        """Closed to others from the start: it would help a submission that runs as somebody else."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise GraderError(f"cannot make {self.path}: {error.strerror or error}") from None

    def _sweep(self) -> None:
        """Remove the unfinished files of a killed run."""
        for pattern in (".*.tmp", "*/.*.tmp"):
            for path in self.path.glob(pattern):
                if UNFINISHED.fullmatch(path.name):
                    path.unlink(missing_ok=True)


def folder_name(student: str) -> str:
    """A folder's name for a student: the name itself where it is plain, else one with a mark of its own.

    Two names never share a folder, on a system that takes A for a, or é for another é, neither.

    >>> folder_name("alice"), folder_name("../Bob Ŝ.")
    ('alice', 'Bob Ŝ~qzzhmwjmmk67g')
    """
    if PLAIN.fullmatch(student) and not TAKEN.fullmatch(student):
        return student
    digest = hashlib.sha256(student.encode("utf-8", "surrogatepass")).digest()
    mark = base64.b32encode(digest).decode()[:13].lower()
    readable = " ".join("".join(c if c.isalnum() or c in "-_" else " " for c in student).split())
    return f"{readable[:40].strip(' -') or 'student'}~{mark}"


def misfit(value, form, where: str) -> str | None:
    """Where a value read from JSON is not of a form, in words; None where it is.

    >>> misfit({"points": "7"}, {"points": float, "notes?": [str]}, "it")
    'it.points is a str, not a number'
    """
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return f"{where} is a {type(value).__name__}, not a table"
        for key, inner in form.items():
            name = key.removesuffix("?")
            if key.endswith("?") and value.get(name) is None:
                continue
            problem = (
                misfit(value[name], inner, f"{where}.{name}") if name in value else f"{where} has no {name}"
            )
            if problem:
                return problem
        return None
    if isinstance(form, list):
        if not isinstance(value, list):
            return f"{where} is a {type(value).__name__}, not a list"
        return next(
            filter(None, (misfit(item, form[0], f"{where}[{i}]") for i, item in enumerate(value))), None
        )
    if form is float:
        good = type(value) in (int, float) and math.isfinite(value)
        return None if good else f"{where} is a {type(value).__name__}, not a number"
    return None if type(value) is form else f"{where} is a {type(value).__name__}, not a {form.__name__}"


def _read_report(path: Path) -> dict | None:
    report = _read_json(path)
    return report if misfit(report, REPORT, "") is None and report["format"] == FORMAT else None


def _read_json(path: Path):
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _json(value) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"  # ASCII, so that a name's odd characters survive


def _write_private(path: Path, data: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(unfinished, path)
    except OSError as error:
        raise GraderError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _end_whole(file) -> None:
    """Let a log end with a whole line."""
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return
    file.seek(end - 1)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    torn = file.read()
    file.truncate(torn.rfind(b"\n") + 1)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
