"""What `grader selftest` proves of a chapter.

A proof is a function that yields what is wrong, a line each. Submissions are made of the chapter's own
solution; the checks that look at them are the real ones, with the real way to a verdict.
"""

import ast
import doctest
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from functools import cache
from inspect import signature
from pathlib import Path
from types import ModuleType

import torch

from grader.answers import Live
from grader.chapter_run import ChapterRun
from grader.chapters import read_source
from grader.checks import Check
from grader.compare import compare
from grader.course_folder import ChapterFolders, CourseFolder
from grader.failure_text import one_line
from grader.hand_out import chapter_texts, hand_out_texts, recording_is_current, strays
from grader.lazy import KINDS, make_lazy
from grader.leaks import HandOutIndex
from grader.made_up import made_up
from grader.misconceptions import FILE_NAME, load_misconceptions, patched_source
from grader.observe import Reply
from grader.own_chapters import OwnChapters, Piece, needed_chapters
from grader.suites import Subject, Suite, entered_lines, exercises_at
from grader.summary import exercise_states
from grader.travel import unresolved_names
from grader.verdicts import Verdict

OTHER = "other inputs"  # of the hidden checks, than those that all proofs look at


def layout(subject: Subject) -> Iterator[str]:
    """Markers in order; points, hints, a public and a hidden check for each exercise; every check travels."""
    chapter = subject.chapter
    taught = subject.folder.course.chapters.get(chapter.name)
    if taught is None:
        yield f"course.toml has no [chapters.{chapter.name}]"
    else:
        if taught.module != chapter.module_file.stem:
            yield f"course.toml names the module {taught.module!r}, and it is {chapter.module_file.stem!r}"
        with_points = [*taught.points, *taught.dropped]
        yield from _not_the_same("points in course.toml", with_points, chapter.exercises)
    if not chapter.exercises:
        yield f"{chapter.relative(chapter.module_file)} has no exercise"
    for checks, file in (
        (chapter.public_checks, chapter.public_file),
        (chapter.hidden_checks, chapter.hidden_file),
    ):
        where = f"checks in {chapter.relative(file)}"
        yield from _not_the_same(where, [check.exercise for check in checks], chapter.exercises)
        for check in checks:
            missing = unresolved_names(check)
            if missing:
                yield f"{where}: {check.name} uses {', '.join(missing)}, which would not travel with it"
    if not chapter.another_way_file.is_file():
        yield f"there is no {chapter.relative(chapter.another_way_file)}"
    yield from _hints(chapter)


def _not_the_same(what: str, found: list[str], exercises: list[str]) -> Iterator[str]:
    for name in exercises:
        if name not in found:
            yield f"{name} has no {what}"
    for name in dict.fromkeys(found):
        if name not in exercises:
            yield f"{what}: {name} is no exercise of the chapter"


def _hints(chapter: ChapterFolders) -> Iterator[str]:
    file = chapter.relative(chapter.hints_file)
    if not chapter.hints_file.is_file():
        yield f"there is no {file}"
        return
    try:
        hints = tomllib.loads(chapter.hints_file.read_text(encoding="utf-8"))["hint"]
        levels = {hint["exercise"]: hint["levels"] for hint in hints}
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        yield f"{file}: {type(error).__name__}: {error}"
        return
    yield from _not_the_same(f"hints in {file}", list(levels), chapter.exercises)
    for exercise, texts in levels.items():
        if len(texts) < 2 or not all(isinstance(text, str) and text.strip() for text in texts):
            yield f"{file}: {exercise} needs two or more levels, each a text"


def stub(subject: Subject) -> Iterator[str]:
    """The stub scores 0: no check passes on it, and none fails otherwise than by "not started"."""
    source = chapter_texts(subject.chapter)[subject.chapter.module_file.name]
    for suite in (subject.public, subject.hidden):
        run = suite.run(lambda: subject.load("stub", source))
        for verdict in map(run.verdict, run.checks):
            if verdict.outcome not in ("not started", "blocked"):
                yield f"{suite.kind} {_told(verdict)}"


def lazy(subject: Subject) -> Iterator[str]:
    """Lazy answers to an exercise score 0, with the other exercises solved."""
    for exercise in subject.chapter.exercises:
        for kind in KINDS:
            module = subject.load("lazy", subject.chapter.source)
            make_lazy(module, exercise, kind)
            for suite in (subject.public, subject.hidden):
                yield from _unfoiled(suite, suite.run(lambda m=module: m), exercise, kind)


def library(subject: Subject) -> Iterator[str]:
    """Library one-liners score 0, each with the other exercises solved.

    They stand in one_liners.py beside the hidden checks.
    """
    file = subject.chapter.one_liners_file
    exercises = subject.chapter.exercises
    if not file.is_file():
        return
    solved = vars(subject.chapter.tree.module(subject.chapter.name))
    with tempfile.TemporaryDirectory() as folder:
        for exercise in exercises:
            source = _without(read_source(file), [name for name in exercises if name != exercise])
            alone = Path(folder) / f"{exercise}.py"
            alone.write_text(source, encoding="utf-8")
            module = subject.load("one_liner", source, alone)
            if not hasattr(module, exercise):
                continue
            vars(module).update((name, value) for name, value in solved.items() if name != exercise)
            for suite in (subject.public, subject.hidden):
                run = suite.run(lambda m=module: m, alone)
                yield from _unfoiled(suite, run, exercise, "a library one-liner")


def _without(source: str, names: list[str]) -> str:
    """A module's source without the functions and classes of these names."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if getattr(node, "name", None) not in names]
    return ast.unparse(tree)


def _unfoiled(suite: Suite, run: ChapterRun, exercise: str, what: str) -> Iterator[str]:
    """A line if every check of an exercise passes."""
    for check in suite.of(exercise):
        verdict = run.verdict(check.name)
        if verdict.outcome == "grader fault":
            yield f"{suite.kind} {_told(verdict)}"
        if not verdict.passed:
            return
    yield f"{exercise}: {what} passes every {suite.kind} check"


def solution(subject: Subject) -> Iterator[str]:
    """The solution scores 100."""
    for suite in (subject.public, subject.hidden):
        yield from _full_points(suite, lambda: subject.load("solution", subject.chapter.source))


def another_way(subject: Subject) -> Iterator[str]:
    """A second, differently written solution scores 100, whatever the inputs."""
    file = subject.chapter.another_way_file
    for suite in (subject.public, subject.hidden, subject.hidden_with(OTHER)):
        yield from _full_points(suite, lambda: subject.load("another_way", read_source(file), file), file)


def _full_points(suite: Suite, load: Callable[[], ModuleType], file: Path | None = None) -> Iterator[str]:
    run = suite.run(load, file)
    for verdict in map(run.verdict, run.checks):
        if not verdict.passed:
            yield f"{suite.kind}, inputs {suite.master!r}: {_told(verdict)}"
    states = exercise_states(run)
    points = suite.chapter.points
    earned = sum(points[exercise] for exercise in points if states.get(exercise) == "passed")
    if earned != sum(points.values()):
        yield f"{suite.kind}, inputs {suite.master!r}: {earned} of {sum(points.values())} points"


def wrong_turns(subject: Subject) -> Iterator[str]:
    """Every misconception is caught by both suites, and told apart from the others by the public one.

    Assembled checks are to find earlier chapters' misconceptions too.
    """
    for turn in subject.misconceptions:
        for suite in (subject.public, subject.hidden):
            verdicts = suite.verdicts_on(turn)
            yield from (f"{suite.kind} {_told(v)}" for v in verdicts if v.outcome == "grader fault")
            if all(verdict.passed for verdict in verdicts):
                yield f"{turn.name} ({turn.exercise}) passes every {suite.kind} check"
            elif suite is subject.public and not _named(verdicts, turn.name):
                yield f"{turn.name} ({turn.exercise}) is not named, or never without another"

    for suite in (subject.public, subject.hidden):
        for check in suite.checks:
            if check.assembled:
                yield from _early_turns(subject, suite, check)


def _early_turns(subject: Subject, suite: Suite, check: Check) -> Iterator[str]:
    """An assembled check finds earlier chapters' misconceptions, and blames each on its own chapter."""
    tree, chapter = subject.chapter.tree, subject.chapter.name
    needed = needed_chapters(tree, chapter, check.other_modules)
    files = {one: tree.file(one) for one in [*needed, chapter]}
    pieces = {one: Piece(file.stem, str(file), read_source(file)) for one, file in files.items()}
    module = subject.load("assembled", subject.chapter.source)
    alone = copy(check)
    alone.needs = ()
    for early in needed:
        with entered_lines(pieces[early].file) as lines:
            suite.live.reply(check, module)
        entered = exercises_at(lines, pieces[early].source)
        found = False
        for turn in load_misconceptions(files[early].parent / FILE_NAME):
            # the hidden check is the public one on other inputs: one turn shows that it sees the chapter
            if turn.exercise not in entered or (found and suite is subject.hidden):
                continue
            piece = replace(pieces[early], source=patched_source(pieces[early].source, turn))
            own = OwnChapters(tree, pieces | {early: piece})
            verdict = replace(suite, checks=[alone]).run(lambda: module, own=own).verdict(check.name)
            own.forget()
            if not verdict.passed:
                found = True
                if not _blames(verdict, early, piece.file):
                    yield f"{suite.kind} {_told(verdict)}, and not blamed on {early}, which has {turn.name}"
        if not found:
            yield f"{suite.kind} {check.name} passes with every misconception of {early}"


def _blames(verdict: Verdict, chapter: str, file: str) -> bool:
    if verdict.outcome == "wrong":
        return verdict.message.endswith(f" {chapter}") or f" {chapter}," in verdict.message
    lines = verdict.reply.fault.lines if verdict.reply and verdict.reply.fault else ()
    return bool(lines) and lines[-1].file == file


def _named(verdicts: list[Verdict], name: str) -> bool:
    return any([turn.name for turn in verdict.wrong_turns] == [name] for verdict in verdicts)


def made_up_observations(subject: Subject) -> Iterator[str]:
    """No `accept` takes an observation that was made up; no hidden one that belongs to other inputs."""
    for suite in (subject.public, subject.hidden):
        for check in suite.checks:
            if check.accept_function is None:
                continue
            expected = suite.answers.expected(check)
            tries = list(made_up(expected))
            if suite is subject.hidden and "draw" in signature(check.accept_function).parameters:
                other = Live(subject.chapter.tree, subject.chapter.name, OTHER)
                tries.append(("what other inputs yield", other.expected(check)))
            for what, observation in tries:
                verdict = suite.decide(check, Reply("seen", observation=observation))
                if verdict.outcome == "grader fault":
                    yield f"{suite.kind} {check.name}, {what}: {verdict.message}"
                elif verdict.passed and compare(expected, observation) is not None:
                    yield f"{suite.kind} {check.name} accepts {what}"


def leaks(subject: Subject) -> Iterator[str]:
    """No expression of the solution stands in the hand-out."""
    chapter = subject.chapter
    index = _hand_out_index(subject.folder)
    yield from map(str, index.leaks(chapter.source, chapter.relative(chapter.module_file)))


@cache
def _hand_out_index(folder: CourseFolder) -> HandOutIndex:
    return HandOutIndex(hand_out_texts(folder))


def current(subject: Subject) -> Iterator[str]:
    """exercises/ is what release would write: texts byte for byte, recordings within tolerance."""
    chapter = subject.chapter
    for name, text in chapter_texts(chapter).items():
        path = chapter.exercises_folder / name
        if not path.is_file() or path.read_bytes() != text.encode():
            yield f"{chapter.relative(path)} is not what release writes: run grader release"
    if not recording_is_current(chapter.recording, subject.recording, chapter.public_checks):
        yield f"{chapter.relative(chapter.recording)} is out of date: run grader release"
    for path in strays(chapter):
        yield f"{chapter.relative(path)} does not come from release: delete it"


def examples(subject: Subject) -> Iterator[str]:
    """The examples in the solution's docstrings run, and every exercise has one."""
    chapter = subject.chapter
    module = chapter.tree.module(chapter.name)
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    with torch.random.fork_rng(devices=[]):
        for test in doctest.DocTestFinder().find(module, chapter.module_file.stem):
            if runner.run(test, out=lambda text: None).failed:
                yield f"{chapter.relative(chapter.module_file)}: the example of {test.name} fails"
    for exercise in chapter.exercises:
        if "Example" not in (getattr(module, exercise).__doc__ or ""):
            yield f"the docstring of {exercise} has no example"


def _told(verdict: Verdict) -> str:
    return f"{verdict.check.name} ({verdict.check.exercise}): {one_line(verdict)}"


PROOFS: dict[str, Callable[[Subject], Iterator[str]]] = {
    "layout": layout,
    "stub": stub,
    "lazy": lazy,
    "library": library,
    "solved": solution,
    "again": another_way,
    "turns": wrong_turns,
    "made-up": made_up_observations,
    "leaks": leaks,
    "current": current,
    "docs": examples,
}
