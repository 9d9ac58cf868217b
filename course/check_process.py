"""A process that has imported torch and runs chapters' checks when asked: `python -m course.check_process`.

A request is a line of JSON on its input, every answer one on its output. With fork, each run is a fresh child
of this process, which itself never runs a student's code, has one thread, and so stays safe to fork. Without,
the run is here and the modules are loaded anew; whoever asks ends the process if it does not come back.

    -> {"run": 1, "chapter": "ch3", "exercises": ["causal_mask", ...], "start": null, "plain": false}
    <- {"ready": true}                                      once torch is imported
    <- {"run": 1, "pid": 4711}                              with fork: the child's
    <- {"run": 1, "check": "mask_values", "exercise": "causal_mask", "seconds": 10, "states": {...}}
    <- {"run": 1, "first": {"exercise": ..., "outcome": ..., "text": ...}, "states": {...}}
    <- {"run": 1, "states": {...}, "passing": {"Attention": [2, 3]}, "sure": true}
    <- {"run": 1, "over": "done"}
    <- {"pid": 4711, "over": "crashed Python (SIGSEGV)"}    with fork: how the child ended

A "check" comes before each is run; "first" is the first that did not pass. At the end come how many checks of
each exercise pass, of how many, and whether it is sure: it would come out so again.
"""

import argparse
import ast
import contextlib
import gc
import importlib
import importlib.util
import io
import json
import linecache
import os
import signal
import sys
import textwrap
import warnings
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch

from grader.answers import Recorded
from grader.chapter_run import ChapterRun
from grader.chapters import RECORDING, Tree, read_source
from grader.checks import Check, checks_of
from grader.errors import GraderError
from grader.failure_text import failure_text
from grader.observations import pack, unpack
from grader.observe import Setting, observe
from grader.seeds import PUBLIC
from grader.summary import exercise_states, still_to_write
from grader.verdicts import Verdict

from .checker import how_it_ended
from .screen import WIDTH

NO_MORE = 75  # the exit code of a child that is not asked for anything any more
PRINTED, PRINTED_LINES = 2000, 12  # characters and lines kept of what a check's code printed
WARNINGS = 3
NOT_OF_THE_STUDENT = ("not started", "blocked", "grader fault")  # outcomes that say nothing of their code
UNSURE = ("timeout", "memory", "grader fault")  # outcomes that another time may bring another


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fork", action="store_true")
    fork = parser.parse_args().fork
    # Unbuffered: whoever reads a request takes no more than that line.
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)  # a student's input() and print() are not ours
    os.dup2(nothing, 1)
    sys.dont_write_bytecode = True
    torch.set_num_threads(1)

    def send(**message) -> None:
        replies.write(json.dumps(message).encode() + b"\n")
        replies.flush()

    _warm_up()
    send(ready=True)
    if fork:
        gc.collect()
        gc.freeze()  # so that a child's collector does not copy every page
        while _fork_once(requests, send) != NO_MORE:
            pass
    else:
        for line in requests:
            _run(json.loads(line), send)


def _warm_up() -> None:
    """What torch and the engine do only once, done before it is waited for."""

    def look(module, draw):
        layer = draw.fill(torch.nn.Linear(2, 2))
        return torch.softmax(layer(draw.normal(1, 2)), dim=-1)

    reply = observe(look, ("module", "draw"), None, Setting(seed=1, forbidden=("torch.nn.LayerNorm",)))
    unpack(pack({"seen": reply.observation}))


def _fork_once(requests, send) -> int:
    """A child for one run, made before it is asked for; its exit code when it has ended."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()  # whoever ends this run ends what it started
            _warm_up()  # has the pages copied that a run will write to
            line = requests.readline()
            if line:
                request = json.loads(line)
                send(run=request["run"], pid=os.getpid())
                _run(request, send)
            code = 0 if line else NO_MORE
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status)
    send()  # ends the line that a killed child may have left
    send(pid=pid, over=how_it_ended(code))
    return code


# ---- one run ----


def _run(request: dict, send) -> None:
    number, wanted = request["run"], request["exercises"]

    def tell(**message) -> None:
        send(run=number, **message)

    try:
        run = _chapter_run(Path.cwd() / "exercises" / request["chapter"])
        order = [request["start"], *wanted]  # of work; the exercise in hand goes first, for a quick verdict
        checks = sorted(
            (check for check in run.checks.values() if check.exercise in wanted),
            key=lambda check: order.index(check.exercise),
        )
        _run_checks(run, checks, wanted, request["plain"], tell)
    except GraderError as error:
        tell(problem=str(error))
    except BaseException as error:  # of a check file; a student's own became a verdict
        tell(problem=f"{type(error).__name__}: {error}")
    tell(over="done")


def _run_checks(run: ChapterRun, checks: list[Check], wanted: list[str], plain: bool, tell) -> None:
    def states() -> dict[str, str]:
        return {name: state for name, state in exercise_states(run).items() if name in wanted}

    def show(verdict: Verdict, printed: str) -> None:
        text = _text(run, verdict, plain) + printed
        first = {"exercise": verdict.check.exercise, "outcome": verdict.outcome, "text": text}
        first["importing"] = verdict.reply is not None and verdict.reply.importing
        tell(first=first, states=states())

    shown, waiting, endless = False, None, set()
    for check in checks:
        if check.exercise in endless:  # its other checks would run as long
            continue
        tell(check=check.name, exercise=check.exercise, seconds=check.seconds, states=states())
        with _printed() as printed:
            verdict = run.verdict(check.name)
        if verdict.outcome == "timeout":
            endless.add(check.exercise)
        if verdict.outcome == "blocked":  # show what blocks it, if that is of this chapter
            verdict = next((v for v in run.verdicts if v.outcome not in ("passed", "blocked")), verdict)
        if verdict.passed or shown:
            continue
        if verdict.outcome in NOT_OF_THE_STUDENT:  # what was begun is of more interest
            told = waiting.outcome if waiting else "grader fault"
            if told == "grader fault" or (told == "blocked" and verdict.outcome == "not started"):
                waiting = verdict
        else:
            show(verdict, printed.end())
            shown = True
    if waiting and not shown:
        show(waiting, "")
    of = Counter(check.exercise for check in checks if not check.assembled)  # those that points depend on
    passed = Counter(v.check.exercise for v in run.verdicts if v.passed and not v.check.assembled)
    tell(
        states=states(),
        passing={name: [passed[name], of[name]] for name in of},
        sure=not any(verdict.outcome in UNSURE for verdict in run.verdicts),
    )


def _chapter_run(folder: Path) -> ChapterRun:
    """The run of one chapter's public checks, everything of the student's loaded anew."""
    if sys.path[:1] != [str(folder.parent.parent)]:
        sys.path.insert(0, str(folder.parent.parent))
    tree = Tree.around(folder)
    for name in [name for name in sys.modules if name.split(".")[0] == tree.package]:
        del sys.modules[name]
    importlib.invalidate_caches()
    linecache.clearcache()
    for file in tree.files.values():
        # A file saved twice in a second at the same size looks unchanged to Python's bytecode cache.
        Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)
    found = []
    for file in sorted(folder.glob("test_*.py")):
        found += checks_of(importlib.import_module(f"{tree.package}.{folder.name}.{file.stem}"))
    if not found:
        raise GraderError(f"{folder} has no checks")
    return ChapterRun(
        folder.name,
        found,
        tree.file(folder.name),
        lambda: tree.module(folder.name),
        Recorded(folder / RECORDING),
        master=PUBLIC,
        other_module=tree.module_named,
        student_folder=tree.folder,
    )


class _Tail(io.TextIOBase):
    """Keeps the end of what is written to it: a loop may print for ten seconds. And what was warned of."""

    def __init__(self):
        self.text = ""
        self.warned: list[warnings.WarningMessage] = []

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text = (self.text + text)[-2 * PRINTED :]
        return len(text)

    def end(self) -> str:
        """The last lines of what was printed, and the warnings."""
        lines = self.text[-PRINTED:].strip("\n").splitlines()[-PRINTED_LINES:]
        cut = [line if len(line) <= WIDTH - 2 else line[: WIDTH - 3] + "…" for line in lines]
        printed = "".join(f"\n  {line}" for line in cut)
        told = [f"{one.category.__name__}: {str(one.message).partition(chr(10))[0]}" for one in self.warned]
        warned = "".join(f"\n{_wrap(line)}" for line in dict.fromkeys(told[:WARNINGS]))
        parts = (("It printed", printed), ("It warned", warned))
        return "".join(f"\n\n{head}:\n{text}" for head, text in parts if text)


@contextlib.contextmanager
def _printed():
    tail = _Tail()
    with (
        contextlib.redirect_stdout(tail),
        contextlib.redirect_stderr(tail),
        warnings.catch_warnings(record=True, action="default") as tail.warned,
    ):
        yield tail


# ---- what is shown ----


def _text(run: ChapterRun, verdict: Verdict, plain: bool) -> str:
    check = verdict.check
    if verdict.outcome == "not started":
        return _not_started(run, check.exercise, verdict.message)
    return failure_text(verdict, f"pytest exercises/{run.chapter} -k {check.name}", plain)


def _not_started(run: ChapterRun, exercise: str, unwritten: str) -> str:
    """What there is to do: the assignment's first line, where it is, and what its checks look at."""
    tree = ast.parse(run.file.read_bytes())
    place = next((node for node in tree.body if getattr(node, "name", None) == exercise), None)
    where = f"exercises/{run.chapter}/{run.file.name}"
    assignment = ""
    if place is not None:
        where += f", line {place.lineno}"
        assignment = " ".join((ast.get_docstring(place) or "").split("\n\n")[0].split())
    parts = still_to_write(read_source(run.file), exercise) if unwritten != exercise else []
    part = f"; to write: {', '.join(name.removeprefix(f'{exercise}.') for name in parts)}" if parts else ""
    looks = [_wrap(check.says, "- ") for check in run.checks.values() if check.exercise == exercise]
    return "\n\n".join(
        [
            f"{exercise}: not started.",
            *([_wrap(assignment)] if assignment else []),
            _wrap(f"{where}{part}"),
            "Its checks:",
            "\n".join(looks),
            f"Next: write it and save. `course hint {exercise}` gives a hint.",
        ]
    )


def _wrap(text: str, bullet: str = "") -> str:
    later = "  " + " " * len(bullet)
    return textwrap.fill(text, WIDTH, initial_indent="  " + bullet, subsequent_indent=later)


if __name__ == "__main__":
    main()
