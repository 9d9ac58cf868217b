"""`grader explain`: the full record of a check or an exercise, for a request to regrade; and a second run.

Without either it lists what did not pass, with the command for each.

It reads what `grader grade` wrote and changes nothing. What it prints is for instructors alone: hidden
checks' inputs can be made from their seeds.
"""

import difflib
import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.class_intake import take_in_class
from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.feedback import late_words
from grader.grades import ExercisePoints, effective_points, total
from grader.grading import chosen_tier, folder_of
from grader.hashes import chapter_hashes, round_hash, submission_hash
from grader.intake import Submission
from grader.page import counted, number, visible
from grader.places import some
from grader.pseudonyms import pseudonym
from grader.results import LOG, ROUND, Results
from grader.roster import read_roster
from grader.seeds import PUBLIC, seed_for
from grader.wrapping import fold

CHANGED_EXIT = 1
WIDTH = 80


@dataclass(frozen=True)
class Wanted:
    """What `grader explain` was asked for. what: a check or an exercise. submissions: to run again."""

    results: Path
    student: str
    what: str | None
    chapter: str | None = None
    rerun: bool = False
    submissions: Path | None = None
    system: str | None = None
    roster: Path | None = None


def explain(wanted: Wanted, folder: CourseFolder) -> int:
    """Print the record, and what a rerun says; the exit code."""
    results = Results(wanted.results)
    if not (results.path / ROUND).is_file():
        raise GraderError(f"{results.path} has no {ROUND}: name the folder that grader grade wrote")
    if wanted.rerun and wanted.submissions is None:
        raise GraderError(
            f"{results.path} keeps no submissions: say what was graded, with --submissions FOLDER"
        )
    if wanted.submissions is not None and not wanted.rerun:
        raise GraderError("--submissions is for --rerun: give both")
    if wanted.what is None and wanted.rerun:
        raise GraderError("--rerun is about a check or an exercise: name one")
    reports = _reports(wanted, results)
    if wanted.what is None:
        _print(line for one in reports for line in _not_passed(wanted, one, reports, results, folder))
        return 0
    report, checks = _find(wanted, reports)
    submission = _submission(wanted, folder, report["chapter"]) if wanted.rerun else None
    master = results.round()
    _print(_about(report, {wanted.what, *(one["exercise"] for one in checks)}, results, folder, master))
    for check in checks:
        _print(_about_check(check, report["chapter"], master))
    printed = report.get("printed") or ""
    _print(["", "what the student's code printed in all checks of the chapter:"] if printed else [])
    _print(f"  {line}" for line in printed.split("\n") if printed)
    if submission is None:
        return 0
    return _again(wanted, submission, folder, report, checks, master)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(visible(line))


# ---- what is asked for ----


def _reports(wanted: Wanted, results: Results) -> list[dict]:
    """The student's, of the chapter that is meant or of all."""
    reports = [one for one in results.reports() if one["student"] == wanted.student]
    if not reports:
        known = difflib.get_close_matches(wanted.student, results.students(), 5, 0.4)
        known = f"; there is {', '.join(known)}" if known else ""
        raise GraderError(f"{results.path} has nothing of {wanted.student!r}{known}")
    if wanted.chapter is not None:
        reports = [one for one in reports if one["chapter"] == wanted.chapter]
        if not reports:
            raise GraderError(f"{results.path} has no {wanted.chapter} of {wanted.student}")
    return reports


def _find(wanted: Wanted, reports: list[dict]) -> tuple[dict, list[dict]]:
    """The report, and of its checks the ones that are meant."""
    found = [(one, _checks(one, wanted.what)) for one in reports]
    exercises = [exercise["name"] for one in reports for exercise in one["exercises"]]
    meant = [(one, checks) for one, checks in found if checks or wanted.what in _exercises(one)]
    if not meant:
        names = [*exercises, *(check["name"] for one in reports for check in one["checks"])]
        close = difflib.get_close_matches(wanted.what, dict.fromkeys(names), 5, 0.4) or exercises
        raise GraderError(
            f"{wanted.student} has no check or exercise {wanted.what!r}; there are"
            f" {', '.join(some(close, 10, 'exercises'))}"
        )
    if len(meant) > 1:
        names = " and ".join(one["chapter"] for one, _ in meant)
        raise GraderError(f"{wanted.what} is in {names}: say which, with --chapter {meant[0][0]['chapter']}")
    return meant[0]


def _exercises(report: dict) -> list[str]:
    return [exercise["name"] for exercise in report["exercises"]]


def _checks(report: dict, what: str) -> list[dict]:
    return [check for check in report["checks"] if what in (check["name"], check["exercise"])]


# ---- what did not pass ----


def _not_passed(
    wanted: Wanted, report: dict, reports: list[dict], results: Results, folder: CourseFolder
) -> Iterator[str]:
    """A chapter's exercises that did not pass, and the command for each check that failed."""
    chapter = report["chapter"]
    overrides = results.overrides(folder.course)
    exercises = effective_points(wanted.student, chapter, report, folder.course, overrides)
    yield f"{wanted.student}, {chapter}, {_points(exercises)}"
    if problem := (report.get("submission") or {}).get("problem"):
        yield from _said("problem", problem)
    for exercise in exercises:
        if exercise.state == "passed":
            continue
        by_hand = "" if exercise.override is None else "; set by hand"
        yield from _said("", _of_exercise(exercise) + by_hand, later="    ")
        failed: dict[str, str] = {}  # by name; where a hidden and a public check share one, the hidden one's
        for check in _checks(report, exercise.name):
            if check["outcome"] not in ("passed", "blocked", "not started", "missing"):
                failed.setdefault(check["name"], check["outcome"] + ("" if check["hidden"] else ", public"))
        for name, outcome in failed.items():
            command = ["grader", "explain", str(wanted.results), wanted.student, name]
            if sum(bool(_checks(one, name)) for one in reports) > 1 or wanted.chapter:
                command += ["--chapter", chapter]
            yield f"    {shlex.join(command)}  # {outcome}"
    if all(exercise.state == "passed" for exercise in exercises):
        yield "  all passed"


# ---- the record ----


def _said(label: str, text: str, later: str = " " * 14) -> list[str]:
    """A line of the record, folded."""
    return fold(f"  {label:<12}{text}" if label else f"  {text}", later=later)


def _points(exercises: list[ExercisePoints]) -> str:
    points, most = total(exercises), sum(exercise.max for exercise in exercises)
    return f"{'no grade' if points is None else number(points)} of {number(most)} points"


def _of_exercise(exercise: ExercisePoints) -> str:
    own = "no grade" if exercise.points is None else number(exercise.points)
    counts = f"{exercise.passed} of {counted(exercise.checks, 'hidden check')} passed"
    return f"{exercise.name}: {own} of {number(exercise.max)} points; {exercise.state}, {counts}"


def _about(
    report: dict, meant: set[str], results: Results, folder: CourseFolder, master: str
) -> Iterator[str]:
    """The hand-in, the points, how they came about, and what has changed since. meant: exercises told of."""
    student, chapter = report["student"], report["chapter"]
    overrides = results.overrides(folder.course)
    submission, times, tier = (report.get(key) or {} for key in ("submission", "times", "tier"))
    yield f"{student}, {chapter}, {report.get('title') or ''}"
    handed_in = submission.get("name") or "nothing was handed in"
    yield from _said("handed in", f"{handed_in}, sha256 {submission.get('sha256') or 'unknown'}")
    for note in submission.get("notes") or []:
        yield from _said(" ", note)
    if submission.get("problem"):
        yield from _said("problem", submission["problem"])
    if report.get("late") and (words := late_words(report["late"])):
        yield from _said("late", words)
    exercises = effective_points(student, chapter, report, folder.course, overrides)
    yield from _said("chapter", _points(exercises))
    for exercise in exercises:
        if exercise.name not in meant:
            continue
        yield from _said("exercise", _of_exercise(exercise))
        if exercise.override is not None:
            reason = f", because {exercise.override.reason}" if exercise.override.reason else ""
            yield from _said(" ", f"set by hand in overrides.csv{reason}")
    graded = (times.get("graded") or "at an unknown time").replace("T", " ")
    yield from _said("graded", f"{graded}, in {times.get('seconds') or 0:g} s")
    yield from _said("tier", f"{tier.get('name') or 'unnamed'}: {tier.get('says') or ''}")
    now = chapter_hashes(folder, chapter, master)
    for name, found in report["hashes"].items():
        since = ", and is another one by now" if name in now and now[name] != found else ""
        yield from _said("hash", f"of the {name}: {found or 'none'}{since}")
    for fault in report.get("faults") or []:
        yield from _said("fault", f"of the grader: {fault}")
    yield from _history(student, chapter, results, master)


def _history(student: str, chapter: str, results: Results, master: str) -> Iterator[str]:
    """What the log says of this chapter of the student: each grading, with its points."""
    names = {student, pseudonym(student, round_hash(master))}
    try:
        lines = (results.path / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if (
            not isinstance(entry, dict)
            or entry.get("student") not in names
            or entry.get("chapter") != chapter
        ):
            continue
        time = str(entry.get("time", ""))[:19].replace("T", " ")
        if entry.get("event") == "graded":
            points = f"{entry.get('points')} points before late days and overrides"
            yield from _said("log", f"{time} graded, {points}")
        else:
            yield from _said("log", f"{time} {entry.get('event')} {entry.get('fault', '')}".rstrip())


def _about_check(check: dict, chapter: str, master: str) -> Iterator[str]:
    hidden = check["hidden"]
    kind = "hidden" if hidden else "public"
    yield ""
    yield f"{kind} check {check['name']} of {check['exercise']}: {check['outcome']}"
    yield from _said("says", check.get("says") or "")
    seed = seed_for(master if hidden else PUBLIC, chapter, check["name"])
    yield from _said("seed", str(seed))
    again = ", asked again in a fresh worker" if check.get("repeated") else ""
    yield from _said("took", f"{check.get('seconds') or 0:g} s{again}")
    if check.get("message"):
        yield from _said("message", check["message"])
    for turn in check.get("misconceptions") or []:
        yield from _said("likely", f"{turn['name']}: {turn['says']}")
    fault = check.get("fault") or {}
    if fault:
        yield from _said("raised", f"{fault.get('type')}: {fault.get('message')}")
    for line in fault.get("lines") or []:
        where = (
            f"{line.get('file') or ''} line {line['number']}, {line.get('function') or 'at the top'}".strip()
        )
        yield f"              {where}: {line.get('text') or ''}"
    yield from _quoted(check.get("shown") or "")


def _quoted(shown: str) -> Iterator[str]:
    """What a check shows, indented, so that no line of it passes for one of the record; prose folded anew."""
    for i, paragraph in enumerate(shown.strip("\n").split("\n\n") if shown else ()):
        lines = paragraph.split("\n")
        is_prose = not any(line.startswith(" ") for line in lines)
        if is_prose and max(map(len, lines)) > WIDTH - 4:
            lines = fold(" ".join(lines), later="", width=WIDTH - 4)
        yield from [""] * (i > 0)
        yield from (f"    {line}".rstrip() for line in lines)


# ---- once more ----


def _again(
    wanted: Wanted,
    submission: Submission,
    folder: CourseFolder,
    report: dict,
    checks: list[dict],
    master: str,
) -> int:
    """Judge the chapter again, in the same round and by the same judge, and compare."""
    import torch

    from grader.judge import ChapterJudge

    chapter = report["chapter"]
    module = submission.modules[chapter]
    earlier = submission.before(chapter)
    tier = chosen_tier(require_sandbox=False)
    hidden = folder_of(wanted.submissions), wanted.results.resolve()
    torch.set_num_threads(1)  # as in the processes of grader grade
    judge = ChapterJudge(folder, chapter, master, tier, hidden)
    try:
        found = judge.judge(wanted.student, module, earlier)
    except GraderError:
        raise
    except Exception as error:
        raise GraderError(f"the judge failed, and is at fault: {type(error).__name__}: {error}") from None
    finally:
        judge.close()
    lines = ["", f"run again now, in the tier {tier.name}, with the same seeds:"]
    if submission_hash(module, earlier) != report["hashes"].get("submission"):
        lines.append("  NOT what was graded: the submission is another one than that of the record")
    for name in ("checks", "grader"):
        if found["hashes"][name] != report["hashes"].get(name):
            lines.append(f"  the {name} {'are' if name == 'checks' else 'is'} no longer what it was then")
    _print(lines)
    return _compared(report, checks, found)


def _submission(wanted: Wanted, folder: CourseFolder, chapter: str) -> Submission:
    if not wanted.submissions.exists():
        raise GraderError(f"--submissions {wanted.submissions}: there is no such folder or file")
    roster = read_roster(wanted.roster) if wanted.roster else None
    taken = take_in_class(
        wanted.submissions, folder.course.modules, folder.stubs, system=wanted.system, roster=roster
    )
    for one in taken.submissions:
        if one.student == wanted.student and chapter in one.modules:
            return one
    raise GraderError(
        f"{wanted.submissions} has no {chapter} of {wanted.student}: give it as it was graded, --roster and"
        " --from too if they were given then"
    )


def _compared(report: dict, checks: list[dict], found: dict) -> int:
    """Whether each verdict is the same, and the whole record of those that are not."""
    now = {(check["name"], check["hidden"]): check for check in found["checks"]}
    then = {(check["name"], check["hidden"]): check for check in report["checks"]}
    changed = 0
    for check in checks:
        key = check["name"], check["hidden"]
        kind = "hidden" if check["hidden"] else "public"
        other = now.get(key)
        if other is None:
            _print([f"  {kind} check {check['name']}: ANOTHER VERDICT: it is not run any more"])
        elif other["outcome"] != check["outcome"]:
            words = f"{other['outcome']}, not {check['outcome']}"
            _print([f"  {kind} check {check['name']}: ANOTHER VERDICT: {words}"])
        else:
            same = other.get("message") == check.get("message")
            words = "" if same else f", in other words: {other.get('message') or 'none'}"
            _print([f"  {kind} check {check['name']}: the same verdict, {other['outcome']}{words}"])
            continue
        changed += 1
        _print(_quoted((other or {}).get("shown", "")))
    meant = {(check["name"], check["hidden"]) for check in checks}
    others = [  # public ones are run or not, as the hidden ones of their exercise pass
        key
        for key in then.keys() | now.keys()
        if key[1] and key not in meant and _outcome(then, key) != _outcome(now, key)
    ]
    if others:
        names = ", ".join(some(sorted(name for name, _ in others), 10, "checks"))
        _print([f"  {counted(len(others), 'other check')} of the chapter with another verdict: {names}"])
    before, after = number(report["points"]), number(found["points"])
    _print([f"  {report['chapter']}: {after} points, {'as before' if before == after else f'not {before}'}"])
    if changed or others or before != after:
        _print(["nothing is changed in the results: `grader grade --force` grades anew"])
    return CHANGED_EXIT if changed else 0


def _outcome(checks: dict[tuple[str, bool], dict], key: tuple[str, bool]) -> str:
    return checks[key]["outcome"] if key in checks else "not run"
