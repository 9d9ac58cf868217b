"""A student's feedback: what they have, what to do next, and why each exercise that failed did.

This is where a report is divided: of a hidden check only its own words, its outcome, the misconceptions, the
type of a built-in exception and the student's own lines go on to the template; never its name, message, text
or inputs. What the student's code printed is not looked at.
"""

import builtins
import datetime
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from grader.course_file import Course
from grader.grades import ExercisePoints, Overrides, effective_points, total
from grader.page import counted, cut, number, render

SHOWN = 20_000  # characters of a public check's text
LINE = 160  # of a line of source
NOTE = 400
NOTES = 30
SAYS = 12  # hidden checks told of in a group
LINES = 3  # of a traceback, the innermost ones
MARKS = {"passed": "✓", "failed": "✗", "missing": "✗"}

BLOCKED = re.compile(
    r"by (\w+), which (did not pass|is not written yet|was not handed in|cannot be imported)"
)

NOT_IMPORTED = re.compile(r"by .+\.\w+, which cannot be imported")  # a file; an earlier chapter has no dot

OUTCOMES = {
    "wrong": "Wrong result",
    "timeout": "Ran too long",
    "memory": "Took too much memory",
    "forbidden": "Uses what an answer has to do without",
    "missing": "Not in the module",
    "not started": "Not started",
}
KINDS = {  # the grader's own names for what is no exception
    "no reply": "No reply: the process ended, or was ended",
    "what it returned": "Returned what cannot be compared",
}
STATES = {
    "passed": "passed",
    "failed": "not passed yet",
    "not started": "not started",
    "missing": "missing",
    "blocked": "blocked by another exercise",
    "grader fault": "not decided: the grader failed here, not you",
}


@dataclass(frozen=True)
class Public:
    """A public check that failed; its whole text is the student's."""

    name: str
    outcome: str
    text: str


@dataclass(frozen=True)
class Hidden:
    """Hidden checks that failed alike. says: their own words; more: how many are left out of that."""

    outcome: str
    lines: tuple[tuple[int, str], ...]
    says: list[str]
    more: int


@dataclass
class Block:
    """What to tell about an exercise that failed, or about a module that cannot be imported."""

    heading: str
    step: str
    causes: list[str] = field(default_factory=list)
    public: list[Public] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    faults: int = 0


@dataclass
class ChapterView:
    name: str
    title: str
    file: str
    points: str  # "" while there is no grade
    of: str
    exercises: list[ExercisePoints]
    handed_in: str = ""
    problem: str = ""
    notes: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    waiting: list[tuple[list[str], str, str]] = field(default_factory=list)  # who, for what, how many checks
    fault: bool = False
    late: str = ""
    graded: str = ""
    tier: str = ""
    next: str = ""
    here: bool = True  # handed in, even if it could not be graded
    looked_at: bool = True  # by the checks
    table: bool = True


def feedback_page(
    student: str,
    reports: list[dict],
    course: Course,
    overrides: Overrides,
    chapters: Iterable[str] = (),
) -> str:
    """A student's page over all chapters graded. chapters: those that are told of even if not handed in."""
    graded = {report["chapter"]: report for report in reports}
    set_by_hand = {chapter for name, chapter, _ in overrides if name == student}
    names = [n for n in course.chapters if n in graded or n in set(chapters) or n in set_by_hand]
    views = [chapter_view(student, n, graded.get(n), course, overrides) for n in names]
    steps = [(view, view.next) for view in views if view.next]
    return render(
        "feedback.html.j2",
        title=f"{cut(student, 100)}: feedback",
        course=course.title,
        student=cut(student, 100),
        chapters=views,
        first=steps[0] if steps else None,
        complete=all(e.points == e.max for view in views for e in view.exercises),
        tiers=list(dict.fromkeys(view.tier for view in views if view.tier)),
        marks=MARKS,
        states=STATES,
    )


def chapter_view(
    student: str, name: str, report: dict | None, course: Course, overrides: Overrides
) -> ChapterView:
    chapter = course.chapters[name]
    exercises = effective_points(student, name, report, course, overrides)
    points, most = total(exercises), number(sum(exercise.max for exercise in exercises))
    view = ChapterView(
        name=name,
        title=chapter.title,
        file=f"{chapter.module}.py",
        points="" if points is None else number(points),
        of=f"no grade yet, of {most} points" if points is None else f"of {most} points",
        exercises=exercises,
    )
    submission = (report or {}).get("submission") or {}
    view.problem = cut(submission.get("problem") or "", NOTE)
    view.handed_in = cut(submission.get("name") or "", NOTE)
    view.here = bool(view.handed_in)
    if view.handed_in.endswith(".ipynb"):
        view.file = view.handed_in.rpartition("/")[2]
    view.looked_at = view.here and not view.problem
    view.table = view.looked_at or any(exercise.override for exercise in exercises)
    notes = submission.get("notes") or []
    view.notes = [cut(note, NOTE) for note in notes[:NOTES]]
    if len(notes) > NOTES:
        view.notes.append(f"… and {counted(len(notes) - NOTES, 'more note')}")
    if report is None:
        return view
    if report.get("late") and view.here:
        view.late = late_words(report["late"])
    view.graded = ((report.get("times") or {}).get("graded") or "")[:16].replace("T", " ")
    tier = report.get("tier") or {}
    view.tier = f"{tier.get('says') or 'in a tier without a description'} ({tier.get('name') or 'unnamed'})"
    view.fault = bool(report.get("faults")) or any(c["outcome"] == "grader fault" for c in report["checks"])
    if view.problem and view.here:
        view.next = f"Mend this, and hand it in again: {view.problem}"
    elif view.here:
        _tell(view, report, course)
    return view


def late_words(late: dict) -> str:
    """What a student is told of the deadline; nothing if it was kept.

    >>> late = {"handed_in": "2026-10-03T09:00:00+00:00", "deadline": "2026-10-01T23:59:00+02:00"}
    >>> late_words(late | {"factor": 0.8}).partition("after ")[2]
    'the deadline on 2026-10-01 at 21:59 UTC: 80 % of the points count.'
    """
    handed_in, deadline = (
        datetime.datetime.fromisoformat(late[key]).astimezone(datetime.UTC)
        for key in ("handed_in", "deadline")
    )
    if handed_in <= deadline:
        return ""
    times = [f"{time:%Y-%m-%d} at {time:%H:%M} UTC" for time in (handed_in, deadline)]
    counts = "still in the time of grace, so all points count."
    if late["factor"] < 1:
        counts = f"{number(100 * late['factor'])} % of the points count."
    return f"Handed in on {times[0]}, after the deadline on {times[1]}: {counts}"


def _tell(view: ChapterView, report: dict, course: Course) -> None:
    """What is not passed, and the next step."""
    broken = _importing(report["checks"])
    if broken:
        view.blocks.append(_not_imported(broken, view))
        view.next = view.blocks[0].step
        view.looked_at = False
        return
    checks: dict[str, list[dict]] = {}
    for check in report["checks"]:
        checks.setdefault(check["exercise"], []).append(check)
    waiting: dict[str, list[str]] = {}
    for exercise in view.exercises:
        if exercise.state == "passed":
            continue
        own = checks.get(exercise.name, [])
        failed = [check for check in own if check["outcome"] not in ("passed", "blocked", "not started")]
        if exercise.state == "not started":
            step = (
                f"Write {exercise.name} in {view.file}: its docstring says what it does."
                f" Then run `pytest exercises/{view.name} -k {exercise.name}`."
            )
        elif exercise.state == "missing":
            step = f"{view.file} has no {exercise.name}: `course reset {exercise.name}` puts its stub back."
            view.blocks.append(Block(_heading(exercise), step))
        elif not failed and exercise.state == "grader fault":
            step = ""  # what is to be said of it stands above
        elif not failed:
            blockers = _blockers(exercise.name, own, report["checks"], course)
            waiting.setdefault(blockers, []).append(exercise.name)
            step = f"First see to {blockers}: {exercise.name} waits for it."
        else:
            block = _block(exercise, own, failed, view)
            view.blocks.append(block)
            step = block.step
        if not view.next and exercise.points != exercise.max and exercise.state != "grader fault":
            view.next = step
    view.waiting = [(names, blockers, _blocked(names, checks)) for blockers, names in waiting.items()]


def _importing(checks: list[dict]) -> list[dict]:
    """The checks, if any, at which the module itself failed, before they could look at it."""
    if any(NOT_IMPORTED.fullmatch(check.get("message") or "") for check in checks):
        return [check for check in checks if check["outcome"] not in ("passed", "blocked")]
    failed = [(check, (check.get("fault") or {}).get("lines")) for check in checks]
    return [check for check, lines in failed if lines and lines[0].get("function") in ("", "<module>")]


def _not_imported(broken: list[dict], view: ChapterView) -> Block:
    public = [_public(check) for check in broken if not check["hidden"]]
    lines = _lines(broken[0])
    place = f"Mend line {lines[-1][0]} of {view.file}" if lines else f"Mend {view.file}"
    return Block(
        f"{view.file} cannot be imported",
        f"{place}: until it can be imported, no check can look at it."
        f" `pytest exercises/{view.name}` says why.",
        public=public[:1],
        hidden=[] if public else [Hidden(_outcome(broken[0]), lines, [], 0)],
    )


def _blockers(exercise: str, own: list[dict], all_checks: list[dict], course: Course) -> str:
    """What blocks an exercise: another, named or one of its checks named in a message, or an earlier chapter.

    Of a message only what is the course's own is taken.
    """
    owner = {check["name"]: check["exercise"] for check in all_checks}
    owner |= {name: name for chapter in course.chapters.values() for name in chapter.points}
    found = {}
    for check in own:
        message = BLOCKED.fullmatch(check.get("message") or "")
        by, why = message.groups() if message and check["outcome"] == "blocked" else ("", "")
        if by in course.chapters:
            found[f"{by}, which {why}"] = None
        elif owner.get(by) not in (None, exercise):
            found[owner[by]] = None
    return " and ".join(list(found)[:3]) or "what comes before"


def _blocked(names: list[str], checks: dict[str, list[dict]]) -> str:
    blocked = sum(check["outcome"] == "blocked" for name in names for check in checks.get(name, []))
    return counted(blocked, "check")


def _heading(exercise: ExercisePoints) -> str:
    points = "no points yet," if exercise.points is None else number(exercise.points)
    return f"{exercise.name}: {points} of {number(exercise.max)}"


# ---- an exercise that failed ----


def _block(exercise: ExercisePoints, own: list[dict], failed: list[dict], view: ChapterView) -> Block:
    faults = [check for check in failed if check["outcome"] == "grader fault"]
    public = [_public(check) for check in failed if not check["hidden"] and check not in faults]
    hidden = _hidden([check for check in failed if check["hidden"] and check not in faults])
    turns = Counter(turn["says"] for check in failed for turn in check.get("misconceptions") or [])
    return Block(
        _heading(exercise),
        _step(exercise.name, own, public, hidden, view),
        causes=[cut(says, NOTE) for says, _ in turns.most_common(2)],
        public=public,
        hidden=hidden,
        faults=len(faults),
    )


def _step(name: str, own: list[dict], public: list[Public], hidden: list[Hidden], view: ChapterView) -> str:
    if public:
        return f"Run `pytest exercises/{view.name} -k {public[0].name}`, and mend {name} until it passes."
    if not hidden:
        return "Nothing: the course's staff look at this, and nothing of yours needs to change."
    passing = any(check["outcome"] == "passed" for check in own if not check["hidden"])
    begins = "The checks that you have pass, but hidden ones ask for more. " if passing else ""
    return (
        f"{begins}Read the docstring of {name} in {view.file} again, word by word,"
        " and try what is listed below in code of your own."
    )


def _public(check: dict) -> Public:
    text = (check.get("shown") or "").strip("\n")
    if not text:
        text = "\n".join(filter(None, [check.get("says"), _outcome(check), check.get("message")]))
    return Public(check["name"], _outcome(check), cut(text, SHOWN))


def _hidden(checks: list[dict]) -> list[Hidden]:
    """The failed hidden checks, those together that failed in the same way at the same place."""
    groups: dict[tuple, list[str]] = {}
    for check in checks:
        says = groups.setdefault((_outcome(check), _lines(check)), [])
        says.append(cut(check.get("says") or "", NOTE))
    return [
        Hidden(outcome, lines, says[:SAYS], max(0, len(says) - SAYS))
        for (outcome, lines), says in groups.items()
    ]


def _outcome(check: dict) -> str:
    if check["outcome"] != "error":
        return OUTCOMES.get(check["outcome"], "Not passed")
    name = (check.get("fault") or {}).get("type") or ""
    if name in KINDS:
        return KINDS[name]
    kind = getattr(builtins, name, None)
    known = isinstance(kind, type) and issubclass(kind, BaseException)
    return f"Raised {name}" if known else "Raised an exception"


def _lines(check: dict) -> tuple[tuple[int, str], ...]:
    """Lines by number, as far as they are the student's: a number beside no text could tell anything."""
    lines = (check.get("fault") or {}).get("lines") or []
    own = [(int(line["number"]), line["text"].strip()) for line in lines if (line.get("text") or "").strip()]
    return tuple((number, cut(text, LINE)) for number, text in own[-LINES:])
