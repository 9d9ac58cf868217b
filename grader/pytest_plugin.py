"""Checks under pytest: every `@check` function of a `test_*.py` file is a test like any other.

Beside a recording (`expected.safetensors`) the checks are public: the module is the one next to them, and the
recording has the answers. Elsewhere they are hidden: the reference runs live on this run's inputs, and the
module is `--submission PATH`'s, or the reference's own without it.

Student code runs in this process, so that breakpoints, --pdb and full tracebacks (--tb=long) work.
"""

import bdb
from pathlib import Path

import pytest

from grader.checks import Check, checks_of
from grader.errors import GraderError

OUTCOMES = {  # outcomes that are failures, but have their own letter and need no report of their own
    "not started": ("not started", "n", ("NOT STARTED", {"yellow": True})),
    "blocked": ("blocked", "b", ("BLOCKED", {"yellow": True})),
}


class CheckFailed(Exception):
    """A check did not pass, and no exception of the student's says why."""


class NotReached(bdb.BdbQuit):
    """Not started, or blocked. Of this kind because --pdb passes over it: there is nothing to look at."""


def pytest_addoption(parser):
    group = parser.getgroup("course", "course checks")
    group.addoption(
        "--submission", type=Path, metavar="PATH", help="what a student handed in, for hidden checks"
    )
    group.addoption(
        "--in-process", action="store_true", help="run the submission in this process, unprotected"
    )
    group.addoption("--device", default="cpu", help="where the student's code runs: cpu, cuda, mps")
    group.addoption("--reference", metavar="PACKAGE", help="the reference's package (course.toml names it)")
    group.addoption("--seed", help="the round of inputs for hidden checks, to repeat a run")


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
        raise error or CheckFailed(
            self.verdict.outcome
        )  # the student's own, so that --pdb stops at their line

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


def pytest_terminal_summary(terminalreporter, config):
    lines = config.stash[RUNS].summary()
    if lines:
        terminalreporter.write_sep("=", "course")
        for line in lines:
            terminalreporter.write_line(line)


class Runs:
    """The chapters that this session's check files look at, each with its run, made when first needed."""

    def __init__(self, config):
        self.config = config
        self.checks: dict[Path, list] = {}
        self.runs: dict[Path, object] = {}
        self.seed = config.getoption("--seed")

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
        from grader.answers import RECORDING, Live, Recorded
        from grader.chapter_run import ChapterRun
        from grader.chapters import Tree, chapter_of, find_submission, read_source
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
        if submission is not None:
            name = file.name
            file = find_submission(submission, chapter, name) or submission / name
            load = lambda: tree.load(chapter, read_source(file), str(file), "submission")  # noqa: E731
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
        if self.config.getoption("--submission"):
            lines.append("warning: the submission ran in this process, unprotected; this is no grade")
        return lines


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
