"""Run a chapter's checks against one module, in this process."""

import os.path
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from grader.answers import Live, Recorded, still_possible
from grader.chapters import read_source
from grader.checks import Check
from grader.forbidden import find_tools, find_uses
from grader.observe import Fault, Reply, Setting, exception_message, exception_name, observe, student_lines
from grader.own_chapters import OwnChapters
from grader.seeds import seed_for
from grader.time_limit import TimeUp, time_limit
from grader.verdicts import Verdict, decide

IMPORT_SECONDS = 20.0


class ChapterRun:
    """One run: verdicts are made when asked for, in the order that `needs` wants, and remembered."""

    def __init__(
        self,
        chapter: str,
        checks: list[Check],
        file: Path,
        load: Callable[[], ModuleType],
        answers: Recorded | Live,
        *,
        master: str,
        other_module: Callable[[str], ModuleType],
        student_folder: Path | None = None,
        device: str = "cpu",
        pass_through: tuple[type[BaseException], ...] = (KeyboardInterrupt,),
        own: OwnChapters | None = None,  # where other_module is not the student's already
    ):
        self.chapter = chapter
        self.checks = {check.name: check for check in checks}
        self.file = file
        self.answers = answers
        self.master = master
        self.device = device
        self._load = load
        self._other_module = other_module
        self._student_folder = student_folder
        self._pass_through = pass_through
        self._own = own
        self._imported = False
        self._module: ModuleType | None = None
        self._import_reply: Reply | None = None
        self._verdicts: dict[str, Verdict] = {}

    def verdict(self, name: str) -> Verdict:
        """The verdict of one check; what it needs is run first, if it was not yet."""
        if name not in self._verdicts:
            self._verdicts[name] = self._run(self.checks[name])
        return self._verdicts[name]

    @property
    def verdicts(self) -> list[Verdict]:
        """Those of the checks that ran, in the order of their file."""
        return [self._verdicts[name] for name in self.checks if name in self._verdicts]

    def is_student_file(self, name: str) -> bool:
        """Whether a traceback's file is the student's: the module, or another one in the student's folder."""
        path = os.path.realpath(name)
        if path == os.path.realpath(self.file) or (self._own is not None and self._own.is_file(name)):
            return True
        if self._student_folder is None or os.path.basename(path).startswith("test_"):
            return False
        return path.startswith(os.path.join(os.path.realpath(self._student_folder), ""))

    def _run(self, check: Check) -> Verdict:
        absence = self._absence()
        if absence:
            return Verdict(check, "missing", absence)
        if self._import_reply is not None:
            return Verdict(check, "blocked", f"by {self.file.name}, which cannot be imported")
        if not self._imported:
            self._imported = True
            self._import()
        if self._import_reply is not None:
            fault = self._import_reply.fault
            message = f"{fault.type}: {fault.message}"
            return Verdict(check, self._import_reply.outcome, message, reply=self._import_reply)
        for need in check.needs:
            before = self.verdict(need)
            if not before.passed:
                return _blocked(check, before)
        if not self._defines(check.exercise):
            return Verdict(check, "missing", f"{self.file.name} defines no {check.exercise}")
        lacking = self._lacking(check) if check.assembled else None
        if lacking:
            return Verdict(check, "blocked", f"by {lacking}")
        seed = seed_for(self.master, self.chapter, check.name)
        verdict = self._decide(check, self._observe(check, seed), seed)
        verdict.place = self._place(verdict)
        verdict.wrong_turns = still_possible(verdict.wrong_turns, check, self.checks, self.answers)
        if check.assembled and verdict.difference is not None and verdict.difference.path:
            verdict.message = f"the first that differs: {verdict.difference.path[0]}"
        return verdict

    def _place(self, verdict: Verdict) -> str:
        """Where in the student's folder that is which a check waits for, if it is not in this module."""
        lines = verdict.reply.fault.lines if verdict.waits_for and verdict.reply.fault else ()
        if self._student_folder is None or not lines or lines[-1].file == str(self.file):
            return ""
        path, folder = Path(lines[-1].file), self._student_folder.parent
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ""

    # what a run elsewhere than in this process does otherwise

    def _decide(self, check: Check, reply: Reply, seed: int) -> Verdict:
        return decide(check, reply, self.answers, seed)

    def _lacking(self, check: Check) -> str | None:
        """What an assembled check lacks of the student's own chapters: "ch3, which was not handed in"."""
        return self._own.blocked_by(self.chapter, check.other_modules) if self._own is not None else None

    def _absence(self) -> str:
        return "" if self.file.is_file() else f"there is no {self.file.name} in {self.file.parent}"

    def _defines(self, exercise: str) -> bool:
        return hasattr(self._module, exercise)

    def _observe(self, check: Check, seed: int) -> Reply:
        source = read_source(self.file)
        uses = find_uses(source, check.exercise, check.forbidden)
        if check.watches:
            uses += find_tools(source)
        if uses:
            return Reply("forbidden", use=uses[0])
        own = check.assembled and self._own is not None
        setting = Setting(
            seed=seed,
            device=self.device,
            seconds=check.seconds,
            forbidden=check.forbidden,
            other_module=self._own.module_named if own else self._other_module,
            is_student_file=self.is_student_file,
            pass_through=self._pass_through,
        )
        module = self._own.module(self.chapter) if own else self._module
        return observe(check.function, check.parameters, module, setting)

    def _import(self) -> None:
        try:
            with time_limit(IMPORT_SECONDS):
                self._module = self._load()
        except self._pass_through:
            raise
        except TimeUp as error:
            fault = Fault("TimeUp", "importing it does not end", student_lines(error, self.is_student_file))
            self._import_reply = Reply("timeout", fault=fault, importing=True, exception=error)
        except BaseException as error:
            lines = student_lines(error, self.is_student_file)
            fault = Fault(exception_name(error), exception_message(error), lines)
            self._import_reply = Reply("error", fault=fault, importing=True, exception=error)


def _blocked(check: Check, before: Verdict) -> Verdict:
    """Blocked at the root: by the check that failed itself, not by one that it blocked."""
    if before.outcome == "blocked":
        return Verdict(check, "blocked", before.message, waits_for=before.waits_for, place=before.place)
    if before.outcome == "not started" and before.check.exercise == check.exercise:
        return Verdict(check, "not started", before.message)
    state = "which is not written yet" if before.outcome == "not started" else "which did not pass"
    what = before.check.exercise if before.outcome == "not started" else before.check.name
    return Verdict(check, "blocked", f"by {what}, {state}", waits_for=what)
