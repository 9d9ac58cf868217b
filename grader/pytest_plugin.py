"""Checks under pytest: every `@check` function of a `test_*.py` file is a test like any other.

Beside a recording (`expected.safetensors`) the checks are public: the module is the one next to them, and the
recording has the answers. Elsewhere they are hidden: the reference runs live on this run's inputs, and the
module is `--submission PATH`'s, or the reference's own without it.

A student's own code runs in this process, so that breakpoints, --pdb and full tracebacks (--tb=long) work. A
submission runs in a worker, as `grader grade` has it, unless --in-process is given.
"""

import bdb
import textwrap
from pathlib import Path

import pytest

from grader.checks import Check, checks_of
from grader.errors import GraderError

OUTCOMES = {  # outcomes that are failures, but have their own letter and need no report of their own
    "not started": ("not started", "n", ("NOT STARTED", {"yellow": True})),
    "blocked": ("blocked", "b", ("BLOCKED", {"yellow": True})),
}


class CheckFailed(bdb.BdbQuit):
    """A check did not pass, and no exception of the student's says why; --pdb passes over this kind."""


class NotReached(bdb.BdbQuit):
    """Not started, or blocked. --pdb passes over it too: there is nothing to look at."""


def pytest_addoption(parser):
    group = parser.getgroup("course", "course checks")
    group.addoption(
        "--submission", type=Path, metavar="PATH", help="what a student handed in, for hidden checks"
    )
    group.addoption(
        "--in-process", action="store_true", help="run the submission in this process, unprotected: no grade"
    )
    group.addoption("--device", default="cpu", help="where the student's code runs: cpu, cuda, mps")
    group.addoption("--reference", metavar="PACKAGE", help="the reference's package (course.toml names it)")
    group.addoption("--seed", help="the round of inputs for hidden checks, to repeat a run")
    group.addoption(
        "--github",
        action="store_true",
        help="mark what fails for GitHub Actions; what is not begun is no failure",
    )


def pytest_configure(config):
    config.stash[RUNS] = Runs(config)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector, name, obj):
    if not isinstance(obj, Check):
        return None
    if obj.module_name != collector.obj.__name__ or obj.name != name:
        return []  # imported from elsewhere
    try:
        collector.config.stash[RUNS].add(collector.path, checks_of(collector.obj))
    except GraderError as error:
        raise collector.CollectError(str(error)) from None
    return CheckItem.from_parent(collector, name=name, check=obj)


class CheckItem(pytest.Item):
    """One check. `-k` finds it by its own name and by its exercise's."""

    def __init__(self, *, check, **kwargs):
        super().__init__(**kwargs)
        self.check = check
        self.verdict = None
        self.extra_keyword_matches.add(check.exercise)
        self.user_properties.append(("exercise", check.exercise))

    def runtest(self):
        __tracebackhide__ = True
        self.verdict = self.config.stash[RUNS].verdict(self.path, self.check)
        self.user_properties.append(("outcome", self.verdict.outcome))
        if self.verdict.passed:
            return
        if self.verdict.outcome in OUTCOMES:
            raise NotReached(self.verdict.outcome)
        error = self.verdict.reply.exception if self.verdict.reply else None
        if error is not None and self.config.getoption("usepdb"):
            self._end_at_the_students_line(error)
        raise error or CheckFailed(self.verdict.outcome)  # the student's own, so that --pdb stops there

    def _end_at_the_students_line(self, error: BaseException) -> None:
        """Cut off the frames of torch and of the grader below it; without one, those below the check's."""
        run = self.config.stash[RUNS].runs[self.path]
        steps, step = [], error.__traceback__
        while step:
            steps.append((step, step.tb_frame.f_code.co_filename))
            step = step.tb_next
        ends = [step for step, file in steps if run.is_student_file(file)]
        ends = ends or [step for step, file in steps if file == str(self.check.path)]
        if ends:
            ends[-1].tb_next = None

    def repr_failure(self, excinfo):
        if self.verdict is None:
            return super().repr_failure(excinfo)
        folder = self.path.parent
        if folder.is_relative_to(self.config.invocation_params.dir):
            folder = folder.relative_to(self.config.invocation_params.dir)
        command = f"pytest {folder.as_posix()} -k {self.check.name}"
        traceback = ""
        if self.verdict.outcome == "error" and self.config.getoption("tbstyle") in ("long", "native"):
            traceback = str(super().repr_failure(excinfo))
        return FailureReport(self.verdict, command, traceback)

    def reportinfo(self):
        return self.path, self.check.line - 1, f"{self.check.exercise}: {self.name}"


class FailureReport:
    """What pytest prints for a failed check."""

    def __init__(self, verdict, command: str, traceback: str):
        from _pytest._code.code import ReprFileLocation

        from grader.failure_text import one_line

        self.verdict = verdict
        self.command = command
        self.traceback = traceback
        self.reprcrash = ReprFileLocation(str(verdict.check.path), verdict.check.line, one_line(verdict))

    def toterminal(self, writer):
        encoding = getattr(getattr(writer, "_file", None), "encoding", None) or "utf-8"
        writer.line(self.text(plain=not _writes_unicode(encoding)))

    def text(self, plain: bool = False) -> str:
        from grader.failure_text import failure_text

        text = failure_text(self.verdict, self.command, plain)
        return f"{text}\n\n{self.traceback}" if self.traceback else text

    def shorten(self, line: str) -> None:
        """Give pytest's summary another line than JUnit had, or none."""
        self.reprcrash.message = line
        if not line:
            self.reprcrash = None

    def __str__(self):
        return self.text()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if isinstance(item, CheckItem) and call.when == "call" and item.verdict is not None:
        report.check_outcome = item.verdict.outcome
        if (
            not item.verdict.passed and not report.failed
        ):  # the student's code raised what pytest takes for a skip
            report.outcome = "failed"
            report.longrepr = item.repr_failure(call.excinfo)
            vars(report).pop("wasxfail", None)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report):
    return OUTCOMES.get(getattr(report, "check_outcome", ""))


def pytest_sessionfinish(session):
    """Under --github a push is red only for what was begun and is wrong."""
    runs = session.config.stash[RUNS]
    if session.config.getoption("--github") and session.exitstatus == pytest.ExitCode.TESTS_FAILED:
        quiet = sum(verdict.outcome in OUTCOMES for run in runs.runs.values() for verdict in run.verdicts)
        if session.testsfailed == quiet:
            session.exitstatus = pytest.ExitCode.OK


def pytest_unconfigure(config):
    config.stash[RUNS].close()


def pytest_terminal_summary(terminalreporter, config):
    _shorten_failed_lines(terminalreporter)
    lines = config.stash[RUNS].summary()
    if lines:
        terminalreporter.write_sep("=", "course")
        for line in lines:
            terminalreporter.write_line(line)
    if config.getoption("--github"):
        from grader.annotations import annotations

        for line in annotations(list(config.stash[RUNS].runs.values()), config.rootpath):
            terminalreporter.write_line(line)


class Runs:
    """The chapters that this session's check files look at, each with its run, made when first needed."""

    def __init__(self, config):
        self.config = config
        self.checks: dict[Path, list] = {}
        self.runs: dict[Path, object] = {}
        self.seed = config.getoption("--seed")
        self.servers: list = []

    def add(self, path: Path, checks: list) -> None:
        self.checks.setdefault(path, checks)

    def verdict(self, path: Path, check):
        from grader.verdicts import Verdict

        try:
            if path not in self.runs:
                self.runs[path] = self._make(path)
            return self.runs[path].verdict(check.name)
        except GraderError as error:
            return Verdict(check, "grader fault", str(error))

    def _make(self, path: Path):
        from grader.answers import Live, Recorded
        from grader.chapter_run import ChapterRun
        from grader.chapters import RECORDING, Tree, chapter_of, find_submission, read_source
        from grader.own_chapters import OwnChapters
        from grader.seeds import PUBLIC, new_master

        chapter = chapter_of(path)
        options = {"device": self.config.getoption("--device"), "pass_through": _pass_through()}
        if (path.parent / RECORDING).exists():
            tree = Tree.around(path.parent)
            return ChapterRun(
                chapter,
                self.checks[path],
                tree.file(chapter),
                lambda: tree.module(chapter),
                Recorded(path.parent / RECORDING),
                master=PUBLIC,
                other_module=tree.module_named,
                student_folder=tree.folder,
                **options,
            )
        self.seed = self.seed or new_master()
        tree = Tree.of_package(self._reference(path))
        file, load = tree.file(chapter), lambda: tree.module(chapter)
        submission = self.config.getoption("--submission")
        if submission is not None and not self.in_process:
            return self._judged(chapter, self.checks[path], tree, submission)
        if submission is not None:
            name = file.name
            file = find_submission(submission, chapter, name) or submission / name
            load = lambda: tree.load(chapter, read_source(file), str(file), "submission")  # noqa: E731
            options["own"] = OwnChapters.handed_in(tree, submission, chapter)
        return ChapterRun(
            chapter,
            self.checks[path],
            file,
            load,
            Live(tree, chapter, self.seed),
            master=self.seed,
            other_module=tree.module_named,
            **options,
        )

    @property
    def in_process(self) -> bool:
        return self.config.getoption("--in-process")

    def _judged(self, chapter: str, checks: list, tree, submission: Path):
        """The submission in a worker, as `grader grade` has it."""
        from grader.answers import Live
        from grader.intake import HandedIn, take_in_one
        from grader.judge import worker_job
        from grader.judged_run import JudgedRun
        from grader.sandbox import best_tier
        from grader.server import Server

        if self.config.getoption("--device") != "cpu":
            raise GraderError("a sandbox has the CPU alone: add --in-process for another device")
        if not submission.exists():
            raise GraderError(f"there is no {submission}: --submission names what a student handed in")
        taken = take_in_one(submission, {name: file.stem for name, file in tree.files.items()})
        problem = "; ".join(taken.problems) or f"there is no {tree.file(chapter).name} in {submission}"
        handed_in = taken.modules.get(chapter) or HandedIn(chapter, "", "", problem=problem)
        live = Live(tree, chapter, self.seed)
        for check in checks:  # so that the worker imports what the reference needs
            live.expected(check)
        self.tier = best_tier()
        self.servers.append(Server(self.tier, worker_job(tree, chapter), (tree.folder.parent,)))
        return JudgedRun(
            chapter,
            checks,
            handed_in,
            self.servers[-1],
            live,
            master=self.seed,
            tree=tree,
            earlier=taken.before(chapter),
        )

    def close(self) -> None:
        for server in self.servers:
            server.stop()

    def _reference(self, path: Path) -> str:
        from grader.course_file import find_course_file, load_course

        course_file = find_course_file(path.parent)
        if self.config.getoption("--reference"):
            return self.config.getoption("--reference")
        if course_file is None:
            raise GraderError(
                f"{path}: hidden checks need --reference PACKAGE, or a course.toml that names it"
            )
        return load_course(course_file).reference

    def summary(self) -> list[str]:
        if not self.runs:
            return []
        from grader.summary import chapter_lines

        lines = []
        for path, run in self.runs.items():
            lines += chapter_lines(path.parent, run)
        if self.seed:
            lines.append(f"hidden checks: repeat these inputs with --seed {self.seed}")
        if self.config.getoption("--submission") and self.in_process:
            lines.append("warning: the submission ran in this process, unprotected; this is no grade")
        elif self.servers:
            lines += textwrap.wrap(f"{self.tier.name}: {self.tier.says}", 80, subsequent_indent="  ")
        return lines


def _shorten_failed_lines(terminalreporter) -> None:
    """Pytest's lines "FAILED exercises/ch3/...::name - wrong: looks like ..." end with a whole word."""
    from grader.failure_text import short_line

    for report in terminalreporter.stats.get("failed", ()):
        if isinstance(report.longrepr, FailureReport):
            width = terminalreporter._tw.fullwidth - len(f"FAILED {report.nodeid} - ")
            line = short_line(report.longrepr.verdict, width)
            report.longrepr.shorten(line)


def _pass_through() -> tuple[type[BaseException], ...]:
    """What a student's code may raise and we do not keep: the keyboard's, and a debugger's end."""
    return (KeyboardInterrupt, bdb.BdbQuit, pytest.exit.Exception)


def _writes_unicode(encoding: str) -> bool:
    try:
        "·░▒▓█…".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


RUNS = pytest.StashKey[Runs]()
