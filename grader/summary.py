"""After a run: points per chapter, and what is next."""

import ast
import textwrap
from pathlib import Path

from grader.chapter_run import ChapterRun
from grader.chapters import read_source
from grader.course_file import find_course_file, load_course
from grader.errors import GraderError
from grader.failure_text import waiting_text
from grader.observe import NOT_WRITTEN

WIDTH = 80


def chapter_lines(folder: Path, run: ChapterRun) -> list[str]:
    """A chapter's points, its next exercise, what is not started and what is blocked by what."""
    states = exercise_states(run)
    points, problem = _points(folder, run.chapter, states)
    ran = [name for name in points if states.get(name, "not run") != "not run"]
    earned = sum(points[name] for name in ran if states.get(name) == "passed")
    possible = sum(points[name] for name in ran)
    unit = "points" if problem is None else "exercises"
    part = "" if len(ran) == len(points) else f" in the {_exercises(len(ran))} run"
    line = f"{run.chapter}: {earned} of {possible} {unit}{part}"
    nexts = [name for name in ran if states.get(name) != "passed"]
    line += f"; next: {_next(run, nexts)}" if nexts else "; all passed" if ran else ""
    lines = [line] if ran else []
    for told, command in _partly_run(folder, run, states)[-1:] if not nexts else []:
        lines += [*_wrapped(f"  {told}" if ran else f"{run.chapter}: {told}"), f"    {command}"]
    begun = {name: _rest_of_begun(run, name) for name in nexts}
    idle = [name for name in nexts if states[name] == "not started" and not begun[name]]
    if idle:
        lines += _wrapped(f"  not started: {', '.join(idle)}")
    rest = [name for names in begun.values() for name in names]
    if rest:
        lines += _wrapped(f"  begun, still to write: {', '.join(rest)}")
    lines += [part for told in _blocked(run) for part in _wrapped(f"  {told}")]
    return lines + (_wrapped(f"  {problem}") if problem else [])


def still_to_write(source: str, exercise: str) -> list[str]:
    """What of an exercise is still as the stub has it, in the order of the file.

    >>> still_to_write('def f():\\n    raise NotImplementedError("f: not written yet")', "f")
    ['f']
    """
    found = []
    for node in _nodes(source, exercise):
        match node:
            case ast.Raise(ast.Call(ast.Name("NotImplementedError"), [ast.Constant(str(message))])):
                if message.endswith(NOT_WRITTEN):
                    found.append((node.lineno, message.removesuffix(NOT_WRITTEN)))
    return [name for _, name in sorted(found)]


def _nodes(source: str, exercise: str) -> list[ast.AST]:
    definitions = [node for node in ast.parse(source).body if getattr(node, "name", None) == exercise]
    return [part for definition in definitions for part in ast.walk(definition)]


def _rest_of_begun(run: ChapterRun, exercise: str) -> list[str]:
    """What is still to write of an exercise, if some of its functions are written."""
    try:
        source = read_source(run.file)
        functions = [node for node in _nodes(source, exercise) if isinstance(node, ast.FunctionDef)]
        rest = still_to_write(source, exercise)
    except (OSError, SyntaxError, UnicodeDecodeError):  # in a sandbox, or unreadable; a verdict says so
        return []
    return rest if len(rest) < len(functions) else []


def _exercises(number: int) -> str:
    return "one exercise" if number == 1 else f"{number} exercises"


def _partly_run(folder: Path, run: ChapterRun, states: dict[str, str]) -> list[tuple[str, str]]:
    """Of exercises that were asked some of their checks, and passed them, and the command for all."""
    folder = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    told = []
    for exercise in [name for name, state in states.items() if state == "not run"]:
        done = sum(v.check.exercise == exercise and not v.check.assembled for v in run.verdicts)
        if done:
            command = f"pytest {folder.as_posix()} -k {exercise}"
            of = _own(run, exercise)
            told.append((f"{exercise}: {done} of its {of} checks passed; to run all of them:", command))
    return told


def _own(run: ChapterRun, exercise: str) -> int:
    """How many checks an exercise has that points depend on."""
    return sum(check.exercise == exercise and not check.assembled for check in run.checks.values())


def _next(run: ChapterRun, open_ones: list[str]) -> str:
    """The first of the open exercises that waits for nothing else; where all of them wait, what for."""
    waits = {}
    for name in open_ones:
        verdicts = [v for v in run.verdicts if v.check.exercise == name and not v.check.assembled]
        if not all(verdict.passed or verdict.outcome == "blocked" for verdict in verdicts):
            return name
        waits[name] = next((v for v in verdicts if v.waits_for), None)
    first = next((verdict for verdict in waits.values() if verdict), None)
    if first is None:
        return open_ones[0]
    check = run.checks.get(first.waits_for)
    what = check.exercise if check else first.waits_for
    return f"{what}, in {first.place}" if first.place else what


def _blocked(run: ChapterRun) -> list[str]:
    """What blocks exercises, or some checks of an exercise, or checks that carry no points."""
    exercises: dict[str, list[str]] = {}
    own: dict[tuple[str, str], int] = {}
    others = []
    for verdict in run.verdicts:
        if verdict.outcome != "blocked":
            continue
        check, reason = verdict.check, waiting_text(verdict)
        by = run.checks.get(verdict.waits_for)
        if check.assembled:
            others.append(f"one check, {check.name} (no points), waits for {reason.removeprefix('by ')}")
        elif by is not None and by.exercise == check.exercise:
            own[check.exercise, reason] = own.get((check.exercise, reason), 0) + 1
        elif check.exercise not in exercises.setdefault(reason, []):
            exercises[reason].append(check.exercise)
    told = [f"blocked {reason}: {', '.join(names)}" for reason, names in exercises.items()]
    for (exercise, reason), waiting in own.items():
        many = "waits" if waiting == 1 else "wait"
        what = reason.removeprefix("by ")
        told.append(f"{exercise}: {waiting} of its {_own(run, exercise)} checks {many} for {what}")
    return told + others


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, subsequent_indent="    ", break_long_words=False)


def exercise_states(run: ChapterRun) -> dict[str, str]:
    """passed when all of an exercise's checks passed, not started when all of those that ran are that.

    Assembled checks carry no points, so they do not count here.
    """
    outcomes: dict[str, list[str]] = {}
    done = {verdict.check.name: verdict.outcome for verdict in run.verdicts}
    for check in run.checks.values():
        if check.assembled:
            continue
        outcomes.setdefault(check.exercise, []).append(done.get(check.name, "not run"))
    return {exercise: _state(seen) for exercise, seen in outcomes.items()}


def _state(outcomes: list[str]) -> str:
    for state in ("passed", "not started"):
        if all(outcome == state for outcome in outcomes):
            return state
    ran = [outcome for outcome in outcomes if outcome != "not run"]
    return "not run" if len(ran) < len(outcomes) and all(o == "passed" for o in ran) else "failed"


def _points(folder: Path, chapter: str, states: dict[str, str]) -> tuple[dict[str, int], str | None]:
    """Points by exercise from course.toml; without it every exercise counts one, and a line says why."""
    each = dict.fromkeys(states, 1)
    file = find_course_file(folder)
    if file is None:
        return each, "no course.toml above, so exercises are counted, not points"
    try:
        course = load_course(file)
    except GraderError as error:
        return each, str(error)
    if chapter not in course.chapters:
        return each, f"{file} has no chapter {chapter}"
    points = course.chapters[chapter].points
    return {name: points[name] for name in points}, None
