"""A chapter to be proved: its public and hidden checks, and what is known of the answers."""

import ast
import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

from grader.answers import Live, Recorded, record, still_possible
from grader.chapter_run import ChapterRun
from grader.chapters import RECORDING, read_source
from grader.checks import Check
from grader.course_folder import ChapterFolders, CourseFolder
from grader.misconceptions import Misconception
from grader.observe import Reply
from grader.own_chapters import OwnChapters
from grader.seeds import PUBLIC, seed_for
from grader.verdicts import Verdict, decide

MASTER = "selftest"  # of the hidden checks' inputs: what fails here fails again


class Subject:
    """A chapter, its two suites of checks, and their answers."""

    def __init__(self, folder: CourseFolder, name: str):
        self.folder = folder
        self.chapter: ChapterFolders = folder.chapter(name)

    @cached_property
    def recording(self) -> bytes:
        """What release would record now."""
        return record(self.chapter.public_checks, self.public_live)

    @cached_property
    def public_live(self) -> "Remembered":
        return Remembered(self.chapter.tree, self.chapter.name, PUBLIC)

    @cached_property
    def public(self) -> "Suite":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / RECORDING
            path.write_bytes(self.recording)
            answers = Recorded(path)
        return Suite("public", self.chapter, self.chapter.public_checks, answers, self.public_live)

    @cached_property
    def hidden(self) -> "Suite":
        return self.hidden_with(MASTER)

    def hidden_with(self, master: str) -> "Suite":
        live = OwnTurns(self.chapter.tree, self.chapter.name, master)
        live.misconceived = self.public_live.misconceived
        return Suite("hidden", self.chapter, self.chapter.hidden_checks, live, live)

    @property
    def misconceptions(self) -> list[Misconception]:
        return self.public_live.misconceived.all

    def load(self, label: str, source: str, file: Path | None = None) -> ModuleType:
        """Other source in the place of the chapter's module."""
        chapter = self.chapter
        return chapter.tree.load(chapter.name, source, str(file or chapter.module_file), label)

    @property
    def counts(self) -> dict[str, int]:
        chapter = self.chapter
        return {
            "exercise": len(chapter.exercises),
            "check": len(chapter.public_checks) + len(chapter.hidden_checks),
            "misconception": len(self.misconceptions),
        }


@dataclass
class Suite:
    """The public or the hidden checks of a chapter."""

    kind: str
    chapter: ChapterFolders
    checks: list[Check]
    answers: Recorded | Live
    live: "Remembered"

    @property
    def master(self) -> str:
        return self.live.master

    def run(
        self, load: Callable[[], ModuleType], file: Path | None = None, own: OwnChapters | None = None
    ) -> ChapterRun:
        return ChapterRun(
            self.chapter.name,
            self.checks,
            file or self.chapter.module_file,
            load,
            self.answers,
            master=self.master,
            other_module=self.chapter.tree.module_named,
            own=own,
        )

    def of(self, exercise: str) -> list[Check]:
        return [check for check in self.checks if check.exercise == exercise]

    def decide(self, check: Check, reply: Reply) -> Verdict:
        return decide(check, reply, self.answers, seed_for(self.master, self.chapter.name, check.name))

    def verdicts_on(self, turn: Misconception) -> list[Verdict]:
        """What a student with a misconception is told by the checks of its exercise, but for blocked ones."""
        verdicts: list[Verdict] = []
        failed: set[str] = set()
        by_name = {check.name: check for check in self.checks}
        for check in self.of(turn.exercise):
            if failed.intersection(check.needs):
                failed.add(check.name)
                continue
            verdict = self.decide(check, self.live.misconception_reply(check, turn))
            verdict.wrong_turns = still_possible(verdict.wrong_turns, check, by_name, self.answers)
            verdicts.append(verdict)
            if not verdict.passed:
                failed.add(check.name)
        return verdicts


class Remembered(Live):
    """Live answers that run each misconception once for each check, and only where it can matter.

    A check that never enters an exercise of the reference sees nothing of that exercise's misconceptions.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._replies: dict[tuple[str, str], Reply] = {}
        self._entered: dict[str, set[str]] = {}

    def expected(self, check: Check):
        if check.name not in self._entered:
            with entered_lines(self.reference.__file__) as lines:
                super().expected(check)
            source = read_source(self.tree.file(self.chapter))
            self._entered[check.name] = exercises_at(lines, source)
        return super().expected(check)

    def misconception_reply(self, check: Check, misconception: Misconception) -> Reply:
        expected = self.expected(check)
        if misconception.exercise not in self._entered[check.name]:
            return Reply("seen", observation=expected)
        key = check.name, misconception.name
        if key not in self._replies:
            self._replies[key] = super().misconception_reply(check, misconception)
        return self._replies[key]


class OwnTurns(Remembered):
    """... and only those of the check's own exercise, which is all that naming one asks for."""

    def misconception_reply(self, check: Check, misconception: Misconception) -> Reply:
        if misconception.exercise != check.exercise:
            return Reply("not run")
        return super().misconception_reply(check, misconception)


@contextlib.contextmanager
def entered_lines(file: str) -> Iterator[set[int]]:
    """The first lines of the functions of a file that are entered meanwhile."""
    lines: set[int] = set()

    def note(frame, event, argument):
        if event == "call" and frame.f_code.co_filename == file:
            lines.add(frame.f_code.co_firstlineno)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield lines
    finally:
        sys.setprofile(before)


def exercises_at(lines: set[int], source: str) -> set[str]:
    """The functions and classes of a module that hold some of these lines."""
    return {
        node.name
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and any(first_line(node) <= line <= node.end_lineno for line in lines)
    }


def first_line(node: ast.FunctionDef | ast.ClassDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
