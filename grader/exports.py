"""`grader export`: grades as other systems take them. Nothing is sent; files are written or changed."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

from grader.course_file import Course
from grader.csv_file import CsvFile
from grader.errors import GraderError
from grader.gradebooks import Graded, into_canvas, into_moodle
from grader.grades import Overrides, csv_name, effective_points, total
from grader.gradescope_results import results_json
from grader.page import visible
from grader.places import some
from grader.results import Results, folder_name
from grader.whole_file import write_whole


@dataclass(frozen=True)
class Wanted:
    """What `grader export` was asked for: one of canvas, moodle, gradescope, junit, csv and nbgrader.

    to: what is written; nbgrader's gradebook is changed in its place.
    """

    results: Path
    to: Path | None
    canvas: Path | None = None
    moodle: Path | None = None
    gradescope: bool = False
    junit: bool = False
    csv: bool = False
    chapters: tuple[str, ...] = ()
    column: str | None = None
    overwrite: bool = False
    nbgrader: Path | None = None


@dataclass
class Class:
    """The grades of a RESULTS folder; an empty report stands for points that were set by hand alone."""

    course: Course
    overrides: Overrides
    reports: dict[str, dict[str, dict]] = field(default_factory=dict)  # by student and chapter

    @classmethod
    def of(cls, results: Results, course: Course, chapters: Iterable[str]) -> "Class":
        found = cls(course, results.overrides(course))
        chapters = set(chapters)
        for report in results.reports():
            if report["chapter"] in chapters:
                found.reports.setdefault(report["student"], {})[report["chapter"]] = report
        if not found.reports:
            names = ", ".join(sorted(chapters))
            raise GraderError(f"{results.path} has no grades of {names}: run grader grade first")
        for student, chapter, _ in found.overrides:  # points set by hand for what was not handed in
            if student in found.reports and chapter in chapters:
                found.reports[student].setdefault(chapter, {})
        return found

    def points(self, student: str, chapter: str) -> tuple[Decimal | None, float]:
        """As exported, and out of how many; None where there are none because the grader failed."""
        exercises = effective_points(
            student, chapter, self.reports[student].get(chapter), self.course, self.overrides
        )
        most, points = sum(exercise.max for exercise in exercises), total(exercises)
        export = self.course.export
        exported = None if points is None else export.points(points, most, chapter)
        return exported, export.most(most, chapter)

    def ids(self, student: str) -> dict[str, str]:
        """What systems call a student, by the last report that says so."""
        found: dict[str, str] = {}
        for report in self.reports[student].values():
            found |= report.get("ids") or {}
        return found

    def ungraded(self) -> list[str]:
        """Remarks on those who handed in nothing that could be looked at, and who have no points for that."""
        refused, absent = [], []
        for student, reports in self.reports.items():
            for chapter, report in reports.items():
                submission = report.get("submission") or {}
                if submission.get("problem"):
                    (refused if submission.get("name") else absent).append(f"{student} ({chapter})")
        points = "so with 0 points but those set by hand"
        return [
            f"{what}, {points}, {len(names)}: {', '.join(some(names, 20, 'students'))}"
            for what, names in (
                ("handed in what could not be graded (the feedback page says why)", refused),
                ("did not hand in", absent),
            )
            if names
        ]

    def undecided(self) -> list[str]:
        """A remark on those who have no grade at all."""
        found = [
            f"{student} ({chapter})"
            for student, reports in self.reports.items()
            for chapter in reports
            if self.points(student, chapter)[0] is None
        ]
        listed = ", ".join(some(found, 20, "students"))
        return [f"left empty, since the grader failed (grade again), {len(found)}: {listed}"] if found else []

    def graded(self, chapter: str) -> list[Graded]:
        return [
            Graded(student, self.ids(student), self.points(student, chapter)[0])
            for student in self.reports
            if chapter in self.reports[student]
        ]


def export(wanted: Wanted, course: Course) -> None:
    """Write what is wanted, and say what could not be matched."""
    kinds = ("canvas", "moodle", "gradescope", "junit", "csv", "nbgrader")
    chosen = [name for name in kinds if getattr(wanted, name)]
    if len(chosen) != 1:
        raise GraderError(
            "say one of --canvas FILE, --moodle FILE, --gradescope, --junit, --csv and --nbgrader FILE"
        )
    if (wanted.to is None) != bool(wanted.nbgrader):
        raise GraderError(
            "--nbgrader changes that very gradebook: leave out --to"
            if wanted.nbgrader
            else "say what to write: --to FILE"
        )
    course.refuse_unknown(wanted.chapters)
    if wanted.to and wanted.to.exists() and not wanted.overwrite:
        raise GraderError(f"{wanted.to} is there already: name another, or give --overwrite")
    if not wanted.results.is_dir():
        raise GraderError(f"there is no {wanted.results}: name the folder that grader grade wrote")
    grades = Class.of(Results(wanted.results), course, wanted.chapters or tuple(course.chapters))
    if wanted.canvas or wanted.moodle:
        _merge(wanted, grades)
        return
    if wanted.nbgrader:
        from grader.nbgrader_book import into_nbgrader  # late: nbgrader need not be there

        done = into_nbgrader(wanted.nbgrader, grades.reports, course, grades.overrides)
        print(f"{wanted.nbgrader}: {done.written} set, {done.same} so already")
        _tell(done.remarks + grades.ungraded())
        return
    files, remarks = {
        "gradescope": _gradescope,
        "junit": lambda grades: ({"": _junit(grades)}, []),
        "csv": lambda grades: ({"": _table(grades)}, grades.undecided()),
    }[chosen[0]](grades)
    for name, data in files.items():
        write_whole(wanted.to / name if name else wanted.to, data)
    print(f"{wanted.to}: {len(grades.reports)} students")
    _tell(remarks + grades.ungraded())


def _merge(wanted: Wanted, grades: Class) -> None:
    there = [c for c in grades.course.chapters if any(c in own for own in grades.reports.values())]
    if len(there) != 1:
        raise GraderError(f"there are grades of {', '.join(there)}: say which, with --chapter {there[0]}")
    [chapter] = there
    most = max(grades.points(student, chapter)[1] for student in grades.reports)
    file = CsvFile.read(wanted.canvas or wanted.moodle)
    into = into_canvas if wanted.canvas else into_moodle
    names = {chapter, grades.course.chapters[chapter].title, f"Chapter {chapter[2:]}"}
    merged = into(file, grades.graded(chapter), wanted.column, names, most)
    write_whole(wanted.to, file.data())
    print(f"{wanted.to}: {chapter} as {merged.column!r}, {merged.written} rows set, {merged.same} so already")
    if merged.others:
        merged.remarks.append(f"rows without a grade here, which stay as they are: {merged.others}")
    _tell(merged.remarks + grades.ungraded())


def _tell(remarks: list[str]) -> None:
    for remark in remarks:
        print(f"  {remark}")


def _gradescope(grades: Class) -> tuple[dict[str, bytes], list[str]]:
    files, without = {}, []
    for student, reports in grades.reports.items():
        own = [report for report in reports.values() if report]
        found = results_json(student, own, grades.course, grades.overrides)
        if found is None:
            without.append(student)
            continue
        files[f"{folder_name(student)}/results.json"] = json.dumps(found, indent=1).encode()
    names = ", ".join(some(without, 20, "students"))
    return files, [f"without a grade, because the grader failed: {names}"] if without else []


def _table(grades: Class) -> bytes:
    """A line a student, a column a chapter."""
    chapters = [c for c in grades.course.chapters if any(c in own for own in grades.reports.values())]
    kinds = ["name", "canvas_id", "moodle_id", "sid", "email", "github", "login"]
    kinds = [kind for kind in kinds if any(kind in grades.ids(student) for student in grades.reports)]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["student", *kinds, *chapters])
    for student in sorted(grades.reports):
        ids = grades.ids(student)
        points = [
            grades.points(student, chapter)[0] if chapter in grades.reports[student] else None
            for chapter in chapters
        ]
        cells = ["" if one is None else str(one) for one in points]
        writer.writerow([csv_name(student), *(csv_name(ids.get(kind, "")) for kind in kinds), *cells])
    return out.getvalue().encode()


FAILURES = ("wrong", "timeout", "memory", "forbidden", "missing", "not started")


def _junit(grades: Class) -> bytes:
    """A suite for each student and chapter, a case for each hidden check; for instructors."""
    suites = ElementTree.Element("testsuites")
    for student in sorted(grades.reports):
        for chapter, report in sorted(grades.reports[student].items()):
            checks = [check for check in report.get("checks", ()) if check["hidden"]]
            suite = ElementTree.SubElement(suites, "testsuite", name=visible(f"{student} {chapter}"))
            counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
            for check in checks:
                case = ElementTree.SubElement(
                    suite,
                    "testcase",
                    classname=visible(f"{student}.{chapter}.{check['exercise']}"),
                    name=visible(check["name"]),
                    time=f"{check.get('seconds') or 0:.3f}",
                )
                counts["tests"] += 1
                outcome = check["outcome"]
                if outcome == "passed":
                    continue
                kind = "skipped" if outcome == "blocked" else "failure" if outcome in FAILURES else "error"
                counts[{"failure": "failures", "error": "errors"}.get(kind, kind)] += 1
                message = visible(f"{outcome}: {check.get('message') or check.get('says') or ''}")
                ElementTree.SubElement(case, kind, message=message).text = visible(check.get("shown") or "")
            for name, count in counts.items():
                suite.set(name, str(count))
    return ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
