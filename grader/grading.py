"""`grader grade`: a folder of submissions becomes a folder of results."""

import contextlib
import dataclasses
import difflib
import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from grader.class_intake import UNMATCHED, downloads_in, take_in_class
from grader.class_page import class_page
from grader.cluster import Tls
from grader.cluster_pool import ClusterPool
from grader.course_file import Course
from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.feedback import feedback_page
from grader.grades import check_names, effective_points, total
from grader.hand_in import hand_in_questions, with_hand_in
from grader.hashes import chapter_hashes, round_hash, submission_hash
from grader.intake import HandedIn, Submission
from grader.page import number
from grader.places import some
from grader.pool import Pool
from grader.pseudonyms import pseudonym
from grader.results import OVERRIDES, QUESTIONS, Results
from grader.roster import Roster, read_roster
from grader.sandbox import Tier, best_tier
from grader.task import make_task
from grader.whole_file import write_whole

EVERY_SECONDS = 10.0  # a line of progress where there is no terminal
FAULTS_EXIT = 3


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `grader grade` was asked for."""

    submissions: Path
    to: Path
    chapters: tuple[str, ...] = ()
    workers: int | None = None
    require_sandbox: bool = False
    seed: str | None = None
    force: bool = False
    pseudonyms: bool = False
    system: str | None = None
    roster: Path | None = None
    dask: str | None = None
    tls: Tls | None = None
    students: tuple[str, ...] = ()  # all, if none is named


def grade(settings: Settings) -> int:
    """Grade what is not graded yet; the exit code."""
    console = Console(stderr=True, highlight=False)
    folder = CourseFolder.around(Path.cwd())
    course = folder.course
    chapters = _chapters(course, settings.chapters)
    if not settings.submissions.exists():
        raise GraderError(f"{settings.submissions} is no folder and no zip: name what holds the submissions")
    roster = read_roster(settings.roster) if settings.roster else None
    with pool_of(settings, folder, console) as pool:
        return _grade(settings, folder, chapters, roster, pool, console)


def _grade(
    settings: Settings,
    folder: CourseFolder,
    chapters: list[str],
    roster: Roster | None,
    pool: Pool | ClusterPool,
    console: Console,
) -> int:
    course, tier = folder.course, pool.tier
    results = Results(settings.to)
    grading = Grading(folder, tier, results, results.round(settings.seed), settings)
    console.print(f"{tier.name}: {tier.says}")
    if tier.why_not_better:
        console.print(f"  {tier.why_not_better}")
    modules = course.modules
    taken = take_in_class(settings.submissions, modules, folder.stubs, system=settings.system, roster=roster)
    submissions = taken.submissions
    if not submissions:
        raise GraderError(
            f"{settings.submissions} is empty: it should hold one folder, archive or file a student"
        )
    handed_in = [name for name in modules if any(name in one.modules for one in submissions)]
    if not set(chapters) & set(handed_in):
        wanted = some([f"{modules[name]}.py ({name})" for name in chapters], 3, "chapters")
        there = f"what there is, is of {', '.join(handed_in)}" if handed_in else "is this the right folder?"
        for path, system in downloads_in(settings.submissions):
            there = (
                f"{path} looks like a download from {system.capitalize()}: give that in place of the folder"
            )
        raise GraderError(f"nobody in {settings.submissions} handed in {', '.join(wanted)}: {there}")
    if not settings.chapters:
        chapters = [name for name in chapters if name in handed_in]
    grading.questions = taken.questions + hand_in_questions(submissions, chapters, course, taken.system)
    grading.everyone = {one.student for one in submissions}
    grading.absent = taken.absent
    if grading.overrides:
        known = grading.everyone | set(taken.absent) | set(results.students())
        check_names(grading.overrides, known, str(results.path / OVERRIDES))
    with only_one(settings.to):
        return grading.run(_named(settings, submissions), chapters, pool, console)


def _named(settings: Settings, submissions: list[Submission]) -> list[Submission]:
    """Those of the students that --student names, or all."""
    there = {one.student: one for one in submissions}
    for name in settings.students:
        if name not in there:
            close = difflib.get_close_matches(name, there, 5, 0.4)
            known = f"; there is {', '.join(close)}" if close else ""
            raise GraderError(f"--student {name}: nobody of that name is in {settings.submissions}{known}")
    return [one for name, one in there.items() if not settings.students or name in settings.students]


def pool_of(settings: Settings, folder: CourseFolder, console: Console) -> Pool | ClusterPool:
    """The judges of this machine, or those of a cluster."""
    if settings.dask is None:
        return Pool(settings.workers or cores(), chosen_tier(settings.require_sandbox))
    if settings.workers is not None:
        raise GraderError("--workers is for this machine's judges: give it to each grader worker instead")
    say = functools.partial(console.print, soft_wrap=True, markup=False)
    return ClusterPool(settings.dask, settings.tls, folder, settings.require_sandbox, say)


def chosen_tier(require_sandbox: bool) -> Tier:
    tier = best_tier()
    if require_sandbox and tier.name != "bubblewrap":
        raise GraderError(f"--require-sandbox: there is no sandbox here: {tier.why_not_better}")
    return tier


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """One grading at a time writes into a RESULTS folder."""
    lock = FileLock(folder / ".lock")
    try:
        with lock.acquire(timeout=0):
            yield
    except Timeout:
        raise GraderError(
            f"{folder} is being written by another grader: wait for it, or name another folder"
        ) from None


class Grading:
    """One run of `grader grade`."""

    def __init__(self, folder: CourseFolder, tier: Tier, results: Results, master: str, settings: Settings):
        self.folder = folder
        self.course = folder.course
        self.tier = tier
        self.results = results
        self.master = master
        self.settings = settings
        self.overrides = results.overrides(self.course)
        self.graded, self.kept, self.faulty = 0, 0, 0
        self.fault = ""  # the first of this run
        self.questions: list[str] = []
        self.everyone: set[str] = set()  # who handed in, named by --student or not
        self.absent: list[str] = []

    def run(
        self,
        submissions: list[Submission],
        chapters: list[str],
        pool: Pool | ClusterPool,
        console: Console,
    ) -> int:
        start = time.monotonic()
        facts = {"pseudonyms": self.settings.pseudonyms}
        self.results.log(
            "begun", submissions=len(submissions), chapters=chapters, tier=self.tier.name, **facts
        )
        with _Shown(console, len(submissions) * len(chapters)) as shown:
            for chapter in chapters:
                self._chapter(chapter, submissions, pool, shown)
        pool.close()
        self._pages(submissions, chapters)
        seconds = time.monotonic() - start
        self.results.log(
            "ended", graded=self.graded, kept=self.kept, faults=self.faulty, seconds=round(seconds, 1)
        )
        self._summary(submissions, chapters, seconds)
        return FAULTS_EXIT if self.faulty else 0

    def _chapter(
        self, chapter: str, submissions: list[Submission], pool: Pool | ClusterPool, shown: "_Shown"
    ) -> None:
        module_name = self.course.chapters[chapter].module
        handed_in = {one.student: one.handed_in(chapter, module_name) for one in submissions}
        works = {one.student: one for one in submissions}
        hidden = (folder_of(self.settings.submissions), self.settings.to.resolve())
        hashes = chapter_hashes(self.folder, chapter, self.master)
        tasks = {}
        for student, module in handed_in.items():
            earlier = works[student].before(chapter)
            own = hashes | {"submission": submission_hash(module, earlier)}
            if not self.settings.force and self.results.is_current(student, chapter, own):
                self.kept += 1
                self._write(self.results.report(student, chapter), works[student])
                shown.step()
            else:
                round_ = (self.folder, chapter, self.master, self.tier, hidden)
                tasks[student] = make_task(*round_, student, module, earlier, hashes=own)
        for student, result in pool.run(tasks):
            if isinstance(result, Exception):
                report = self._fault_report(student, chapter, handed_in[student], result)
            else:
                report = json.loads(result)
            self._write(report, works[student])
            self.graded += 1
            logged = self._logged(student)
            facts = {"student": logged, "chapter": chapter, "points": report["points"]}
            self.results.log("graded", **facts, seconds=report["times"]["seconds"])
            for fault in report["faults"][:3]:
                fault = fault.replace(student, logged)[:500]
                self.results.log("grader fault", student=logged, chapter=chapter, fault=fault)
                self.fault = self.fault or fault
            shown.step()
        for student in handed_in:
            report = self.results.report(student, chapter)
            self.faulty += bool(report and report["faults"])

    def _write(self, report: dict, submission: Submission) -> None:
        """The report, with what the hand-in says, unless just that stands there already."""
        report = with_hand_in(report, submission, self.course)
        if report != self.results.report(report["student"], report["chapter"]):
            self.results.write_report(report)

    def _logged(self, student: str) -> str:
        """What the log calls a student."""
        return pseudonym(student, round_hash(self.master)) if self.settings.pseudonyms else student

    def _fault_report(self, student: str, chapter: str, module: HandedIn, error: Exception) -> dict:
        """A report where no judge could make one."""
        taught = self.course.chapters[chapter]
        rows = [
            {"name": name, "points": 0, "max": points, "state": "grader fault", "passed": 0, "checks": 0}
            for name, points in taught.points.items()
        ]
        fault = f"the judge failed on this submission: {type(error).__name__}: {error}"
        return {
            "format": 1,
            "student": student,
            "chapter": chapter,
            "title": taught.title,
            "module": taught.module,
            "points": 0,
            "max": taught.total,
            "submission": {
                "name": module.name,
                "sha256": submission_hash(module),
                "notes": [],
                "problem": "",
            },
            "exercises": rows,
            "checks": [],
            "printed": "",
            "tier": {"name": self.tier.name, "says": self.tier.says},
            "hashes": {"submission": "", "checks": "", "grader": "", "round": ""},  # of none: tried again
            "faults": [fault],
            "times": {"graded": "", "seconds": 0.0, "import_seconds": 0.0},
        }

    # ---- what people read ----

    def _pages(self, submissions: list[Submission], chapters: list[str]) -> None:
        for one in submissions:
            reports = [self.results.report(one.student, chapter) for chapter in self.course.chapters]
            reports = [report for report in reports if report is not None]
            page = feedback_page(one.student, reports, self.course, self.overrides, chapters)
            write_whole(self.results.folder(one.student) / "feedback.html", page.encode())
        self.remarks = self.results.write_grades(self.course, self.course.chapters)
        for student in self.results.students():
            if student.endswith(UNMATCHED) and student not in self.everyone:
                self.questions.append(
                    f"{student} is from an earlier run: if that is settled now, `grader forget` that name"
                )
        self.results.write_questions(self.questions)
        page = class_page(self.results.reports(), self.course, self.settings.pseudonyms, self.overrides)
        write_whole(self.results.path / "class.html", page.encode())

    def _summary(self, submissions: list[Submission], chapters: list[str], seconds: float) -> None:
        print(f"{self.graded} graded, {self.kept} unchanged, in {seconds:.1f} s")
        for chapter in chapters:
            print(f"  {chapter}: {self._mean(submissions, chapter)}")
        for one in submissions:
            for problem in one.problems:
                print(f"  {one.student}: {problem}")
        for remark in self.remarks:
            print(f"  {remark}")
        if self.absent and not self.settings.students:
            names = ", ".join(some(self.absent, 20, "students"))
            print(f"  {len(self.absent)} of the roster handed in nothing: {names}")
        if self.questions:
            print(f"{len(self.questions)} to be asked, also in {self.results.path / QUESTIONS}:")
            for question in self.questions:
                print(f"  {question}")
        if self.faulty:
            print(f"  {self.faulty} with a grader fault: see log.jsonl; the next run tries them again")
            if self.fault:
                print(f"    the first: {self.fault}")
        for name in ("grades.csv", "class.html", "log.jsonl"):
            print(f"{self.results.path / name}")
        print(f"{self.results.path}/<student>/feedback.html")

    def _mean(self, submissions: list[Submission], chapter: str) -> str:
        """The mean of what counts, as in grades.csv and class.html, over those who handed the chapter in.

        Of students whom --student names, what each has.
        """
        there = [one for one in submissions if chapter in one.modules]
        graded = []
        for one in there:
            report = self.results.report(one.student, chapter)
            exercises = effective_points(one.student, chapter, report, self.course, self.overrides)
            graded.append(total(exercises))
        most = self.course.chapters[chapter].total
        if self.settings.students:
            each = [
                f"{one.student} " + ("has no grade" if own is None else f"{number(own)} of {most}")
                for one, own in zip(there, graded, strict=True)
            ]
            absent = [f"{one.student} did not hand in" for one in submissions if one not in there]
            return f"{', '.join(each + absent)}; after late days and overrides"
        points = [one for one in graded if one is not None]
        mean = f"mean {statistics.fmean(points):.1f}" if points else "no mean"
        told = [f"{len(there)} handed in"]
        told += [f"{len(submissions) - len(there)} did not"] if len(there) < len(submissions) else []
        told += [f"{len(graded) - len(points)} without a grade"] if len(points) < len(graded) else []
        return f"{mean} of {most}, after late days and overrides; {', '.join(told)}"


class _Shown:
    """Progress on a terminal, and a line now and then elsewhere."""

    def __init__(self, console: Console, total: int):
        self.total, self.done = total, 0
        self._console = console
        self._said = time.monotonic()
        columns = (TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> "_Shown":
        self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        self._bar.stop()

    def step(self) -> None:
        self.done += 1
        self._bar.advance(self._task)
        if not self._console.is_terminal and time.monotonic() - self._said > EVERY_SECONDS:
            self._said = time.monotonic()
            print(f"{self.done} of {self.total} graded", file=sys.stderr)


def folder_of(submissions: Path) -> Path:
    """What a worker must not see: the folder, or the one that a download lies in if it is somebody's own."""
    path = submissions.resolve()
    return path if path.is_dir() or len(path.parts) <= 3 else path.parent


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chapters(course: Course, wanted: tuple[str, ...]) -> list[str]:
    course.refuse_unknown(wanted)
    return [name for name in course.chapters if not wanted or name in wanted]
