"""What a chapter's notebook begins with: earlier chapters, and `check`, which runs public checks.

    pieces, check = begin("ch3")

In a notebook of chapter 3 `pieces("ch3")` is what its own cells define, and `check("CausalAttention")` looks
at just that. Earlier chapters are the reader's own once they are written, else the reference's, as in the
book.
"""

import ast
import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from types import ModuleType

from grader.answers import Recorded
from grader.chapter_run import ChapterRun
from grader.chapters import RECORDING
from grader.checks import NOT_WRITTEN, Check, checks_of
from grader.failure_html import failure_html
from grader.failure_text import failure_text, one_line
from grader.forbidden import Use, find_uses
from grader.observe import Reply, Setting, observe
from grader.seeds import PUBLIC
from grader.verdicts import Verdict

from . import book_pieces
from .errors import CourseError
from .pieces import MODULES
from .workplace import EXERCISES

NO_FAULT = ("not started", "blocked", "waits for")  # how outcomes begin that say nothing of the code
WAITS = "waits for"
BLOCKED = re.compile(rf"by (\w+), which is{re.escape(NOT_WRITTEN[1:])}")
Bound = dict[str, object]


class NotYet(Exception):
    """Ends "Run all" at an exercise that is not done; a notebook shows this line, and no traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def begin(chapter: str) -> tuple[Callable[[str], ModuleType], Callable[[str], None]]:
    """`pieces` and `check` for the notebook of a chapter that calls this."""
    if chapter not in MODULES:
        raise CourseError(f"there is no chapter {chapter}; there are {', '.join(MODULES)}")
    names = sys._getframe(1).f_globals
    own = OwnCells(names, list(dict.fromkeys(check.exercise for check in public_checks(chapter))))
    _put_earlier_chapters(chapter)

    def pieces(name: str) -> ModuleType:
        try:
            return own if name == chapter else book_pieces.pieces(name)
        except CourseError as error:
            raise NotYet(str(error)) from None

    def check(exercise: str) -> None:
        show(chapter, exercise, own)

    return pieces, check


class OwnCells(ModuleType):
    """What the cells of a notebook have defined, as if it were the chapter's module.

    An exercise whose cell was not run yet is there as its stub would be. waiting: checks that need a later
    exercise, by its name.
    """

    def __init__(self, names: Bound, exercises: list[str]):
        super().__init__(str(names.get("__name__", "__main__")))  # where its classes say that they are from
        self._names = names
        self._exercises = exercises
        self.waiting: dict[str, dict[str, Check]] = {}

    def __getattr__(self, name: str):
        if name in self._names:
            return self._names[name]
        if name in self._exercises:
            return partial(_not_written, name)
        raise AttributeError(f"{name} is not defined yet: run the cell that defines it")


def _not_written(name: str, *_, **__):
    raise NotImplementedError(f"{name}{NOT_WRITTEN}")


def _put_earlier_chapters(chapter: str) -> None:
    """Let `from exercises.ch2.inputs import …` find what `pieces("ch2")` is."""
    for name, module in MODULES.items():
        if name == chapter:
            return
        try:
            found = book_pieces.pieces(name)
            package = importlib.import_module(f"{EXERCISES}.{name}")
        except (CourseError, ImportError):
            continue  # the import that needs it says what is missing
        sys.modules[f"{EXERCISES}.{name}.{module}"] = found
        setattr(package, module, found)


# ---- check ----


def show(chapter: str, exercise: str, own: OwnCells) -> None:
    """Run the public checks of an exercise and show what they say; NotYet if they do not all pass."""
    if exercise not in own._exercises:
        raise NotYet(f"{chapter} has no exercise {exercise!r}; it has {', '.join(own._exercises)}")
    folder = Path(importlib.import_module(f"{EXERCISES}.{chapter}").__path__[0])
    checks = public_checks(chapter)
    wanted = [check for check in checks if check.exercise == exercise and not check.assembled]
    wanted += own.waiting.pop(exercise, {}).values()
    run = OwnRun(chapter, checks, own, Recorded(folder / RECORDING))
    verdicts = [run.verdict(check.name) for check in wanted]
    for verdict in verdicts:
        if later := _waits_for(verdict, exercise, own):
            verdict.outcome = f"{WAITS} {later}"
            own.waiting.setdefault(later, {})[verdict.check.name] = verdict.check
    shown = Shown(exercise, verdicts)
    _display(shown)
    if shown.failed:
        raise NotYet(f"{exercise}: {_state(shown.failed, len(verdicts))}")


def public_checks(chapter: str) -> list[Check]:
    return checks_of(importlib.import_module(f"{EXERCISES}.{chapter}.test_{MODULES[chapter]}"))


def _waits_for(verdict: Verdict, exercise: str, own: OwnCells) -> str | None:
    """The later exercise of the notebook that blocks a check."""
    blocked = BLOCKED.fullmatch(verdict.message) if verdict.outcome == "blocked" else None
    order = own._exercises
    later = blocked[1] if blocked and blocked[1] in order else exercise
    return later if order.index(later) > order.index(exercise) else None


def _state(failed: list[Verdict], count: int) -> str:
    outcomes = {verdict.outcome for verdict in failed}
    if "missing" in outcomes <= {"missing", "blocked"}:
        return "not defined; run the cell above, where it is to be written"
    if outcomes <= {"not started", "blocked"}:
        return "not written yet"
    return f"{len(failed)} of {count} public checks {'does' if len(failed) == 1 else 'do'} not pass"


class OwnRun(ChapterRun):
    """A run on a notebook's own cells."""

    def __init__(self, chapter: str, checks: list[Check], own: OwnCells, answers: Recorded):
        chapter_of = dict(zip(MODULES.values(), MODULES, strict=True))
        super().__init__(
            chapter,
            checks,
            Path("this notebook"),
            lambda: own,
            answers,
            master=PUBLIC,
            other_module=lambda name: book_pieces.pieces(chapter_of[name]),
        )

    def _absence(self) -> str:
        return ""

    def _defines(self, exercise: str) -> bool:
        return exercise in self._module._names

    def is_student_file(self, name: str) -> bool:
        return _cell_of(name) is not None

    def _observe(self, check: Check, seed: int) -> Reply:
        texts = executed_cells(self._module._names)
        source = "\n".join(texts)
        uses = find_uses(source, check.exercise, check.forbidden)
        if uses:
            return Reply("forbidden", use=Use(uses[0].name, _line_in_cell(texts, uses[0].line)))
        setting = Setting(
            seed=seed,
            seconds=check.seconds,
            forbidden=check.forbidden,
            other_module=self._other_module,
            is_student_file=self.is_student_file,
        )
        reply = observe(check.function, check.parameters, self._module, setting)
        if reply.fault is not None:  # lines are told by the cell's number, not by a file that nobody knows
            lines = tuple(replace(line, file=_cell_of(line.file) or line.file) for line in reply.fault.lines)
            reply.fault = replace(reply.fault, lines=lines)
        return reply


def executed_cells(names: Bound) -> list[str]:
    """The text of the cells that were run, where of a function or class only the newest text is left."""
    texts, newer = [], set()
    for text in reversed([text for text in names.get("In", ()) if isinstance(text, str)]):
        try:
            body = ast.parse(text).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        lines = text.split("\n")
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if node.name in newer:
                    start = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                    lines[start - 1 : node.end_lineno] = [""] * (node.end_lineno - start + 1)
                newer.add(node.name)
        texts.append("\n".join(lines))
    return texts[::-1]


def _line_in_cell(texts: list[str], line: int) -> int:
    for text in texts:
        length = text.count("\n") + 1
        if line <= length:
            return line
        line -= length
    return line


def _cell_of(file: str) -> str | None:
    """ "In[5]" for the name that the kernel gave a cell's code; None for a real file."""
    shell = _shell()
    named = shell.compile.format_code_name(file) if shell is not None else None
    return named[1] if named else None


def _shell():
    """The kernel, if this is one."""
    interactive = sys.modules.get("IPython")
    return interactive.get_ipython() if interactive is not None else None


# ---- what is shown ----


class Shown:
    """An exercise's checks; the first that failed in full, what follows it folded up or named."""

    def __init__(self, exercise: str, verdicts: list[Verdict]):
        self.exercise = exercise
        self.verdicts = verdicts
        self.failed = [one for one in verdicts if not one.passed and not one.outcome.startswith(WAITS)]

    def __repr__(self) -> str:
        lines = [f"{_sign(one)} {one.check.says}" for one in self.verdicts]
        if self._untouched():
            lines = [f"{self.exercise} is not written yet. Its checks:", *lines]
        text = "\n".join(lines)
        first = self._first()
        return f"{text}\n\n{_words(first)}" if first is not None else text

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<li>{_sign(one)} {escape(one.check.says)}"
            f"{f' <i>({escape(one.outcome)})</i>' if not one.passed else ''}</li>"
            for one in self.verdicts
        )
        head = "not written yet; its checks:" if self._untouched() else self._count()
        parts = [
            f"<p><b>{escape(self.exercise)}</b>: {escape(head)}</p>"
            f'<ul style="list-style: none; padding-left: 0.5em">{rows}</ul>'
        ]
        first = self._first()
        if first is not None:
            parts.append(failure_html(first, _words(first)))
        for other in [one for one in self._begun() if one is not first]:
            summary = f"<summary>{escape(other.check.says)} {escape(one_line(other))}</summary>"
            parts.append(f"<details>{summary}{failure_html(other, _words(other))}</details>")
        return "\n".join(parts)

    def _count(self) -> str:
        passed = sum(one.passed for one in self.verdicts)
        return f"{passed} of {len(self.verdicts)} public checks pass"

    def _begun(self) -> list[Verdict]:
        return [one for one in self.failed if one.outcome not in ("not started", "blocked", "missing")]

    def _first(self) -> Verdict | None:
        return next(iter(self._begun()), None)

    def _untouched(self) -> bool:
        return bool(self.failed) and all(one.outcome in ("not started", "blocked") for one in self.failed)


def _sign(verdict: Verdict) -> str:
    return "✓" if verdict.passed else "–" if verdict.outcome.startswith(NO_FAULT) else "✗"


def _words(verdict: Verdict) -> str:
    """The failure in words, without what only a student's folder has."""
    exercise = verdict.check.exercise
    text = failure_text(verdict)
    return text.replace(f"`course hint {exercise}` gives a hint.", "the hints above its cell fold open.")


def _display(shown: Shown) -> None:
    if _shell() is None:
        print(repr(shown))
    else:
        from IPython.display import display

        display(shown)
