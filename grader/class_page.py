"""The whole class on one page: how the points lie, what is hard, common wrong turns, and what went wrong.

Reports are read one after the other and only counted; of a student nothing goes onto the page but the name,
or the pseudonym, and what was odd in the grading.
"""

import math
import re
import secrets
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from grader.course_file import Course
from grader.feedback import NOT_IMPORTED
from grader.grades import Overrides, effective_points, total
from grader.page import counted, cut, number, render
from grader.pseudonyms import pseudonym

BINS = 10
TOP = 10  # rows of a table of the commonest
SLOWEST = 5
ODD = 40  # rows of what went wrong
FORBIDDEN_NAME = re.compile(r"[\w.']+( [\w.']+)?(?=, on line |$)")

# how a submission's process was lost, in the grader's own words; whatever else it was is not repeated here
ENDED = re.compile(r"its process (ended( with exit code \d{1,3})?|was ended by SIG\w{1,12})")
NO_REPLY = "no reply"  # as in grader/observe.py, which takes torch to import

# one chapter's picture: a drawing of 400 x 190, the bars on a floor at 150
WIDTH, FLOOR, HIGH = 400, 150, 120


@dataclass
class Count:
    """What is counted of a chapter."""

    points: list[float] = field(default_factory=list)
    most: float = 0
    undecided: int = 0
    refused: int = 0
    late: int = 0
    by_hand: int = 0  # students with points that were set by hand
    passed: Counter = field(default_factory=Counter)
    begun: Counter = field(default_factory=Counter)
    decided: Counter = field(default_factory=Counter)
    failed: Counter = field(default_factory=Counter)  # by exercise and the check's own words
    turns: Counter = field(default_factory=Counter)  # by exercise and words
    odd: list[tuple[str, str]] = field(default_factory=list)
    seconds: list[tuple[float, str]] = field(default_factory=list)
    tiers: Counter = field(default_factory=Counter)


def class_page(
    reports: Iterable[dict], course: Course, pseudonyms: bool = False, overrides: Overrides | None = None
) -> str:
    """The page. pseudonyms: in place of names, and in their order; the same throughout a round."""
    counts: dict[str, Count] = {}
    students = set()
    spare = secrets.token_hex()
    for report in reports:
        handed_in = (report.get("submission") or {}).get("name")
        if report["chapter"] not in course.chapters or not handed_in:
            continue
        # without a hash is a report from outside a round, made because the judge itself failed
        key = report["hashes"].get("round") or spare
        name = pseudonym(report["student"], key) if pseudonyms else report["student"]
        students.add(name)
        count = counts.setdefault(report["chapter"], Count())
        add(count, report, cut(name, 80), course, overrides or {})
    return render(
        "class.html.j2",
        title=f"{course.title}: the class",
        course=course.title,
        students=len(students),
        pseudonyms=pseudonyms,
        chapters=[_view(name, counts[name], course) for name in course.chapters if name in counts],
    )


# ---- counting ----


def add(count: Count, report: dict, name: str, course: Course, overrides: Overrides) -> None:
    exercises = effective_points(report["student"], report["chapter"], report, course, overrides)
    points = total(exercises)
    count.most = max(count.most, sum(exercise.max for exercise in exercises))
    count.seconds.append(((report.get("times") or {}).get("seconds") or 0, name))
    count.tiers[(report.get("tier") or {}).get("name") or "unnamed"] += 1
    if points is None:
        count.undecided += 1
    else:
        count.points.append(points)
    refused = bool((report.get("submission") or {}).get("problem"))
    count.refused += refused
    count.late += any(exercise.factor < 1 for exercise in exercises)
    count.by_hand += any(exercise.override for exercise in exercises)
    for exercise in exercises:
        passed = exercise.passed_as_it_counts
        begun = exercise.state not in ("not started", "missing", "grader fault")
        count.decided[exercise.name] += passed is not None
        count.passed[exercise.name] += passed is True
        count.begun[exercise.name] += begun or passed is True
    hidden = [check for check in report["checks"] if check["hidden"]]
    for check in hidden:
        if check["outcome"] not in ("passed", "blocked", "not started", "missing", "grader fault"):
            count.failed[check["exercise"], check.get("says") or check["name"]] += 1
    turns = {
        (turn.get("exercise") or check["exercise"], turn["says"])
        for check in report["checks"]
        for turn in check.get("misconceptions") or []
    }
    count.turns.update(turns)
    odd = _odd(report, hidden)
    if refused:
        odd.insert(0, "could not be graded")
    if odd:
        count.odd.append((name, "; ".join(odd)))


def _odd(report: dict, hidden: list[dict]) -> list[str]:
    """Faults, limits, forbidden uses, a process that ended; no text of the student's but a forbidden name."""
    outcomes = Counter(check["outcome"] for check in hidden)
    odd = []
    if outcomes["grader fault"] or report.get("faults"):
        faults = max(outcomes["grader fault"], len(report.get("faults") or []))
        odd.append(counted(faults, "grader fault"))
    for outcome, words in (("timeout", "ran too long"), ("memory", "took too much memory")):
        if outcomes[outcome]:
            odd.append(f"{counted(outcomes[outcome], 'check')} {words}")
    ends = Counter(filter(None, (_end(check.get("fault") or {}) for check in hidden)))
    importing = any(NOT_IMPORTED.fullmatch(check.get("message") or "") for check in hidden)
    for words, times in ends.most_common():
        odd.append(f"{words}, {'when it was imported' if importing else 'in ' + counted(times, 'check')}")
    uses = Counter(_forbidden_name(check) for check in hidden if check["outcome"] == "forbidden")
    if uses:
        odd.append(f"forbidden: {', '.join(name for name, _ in uses.most_common(5))}")
    return odd


def _end(fault: dict) -> str:
    """How a submission was lost, or was refused something; empty for all that it may have raised itself."""
    if fault.get("type") == NO_REPLY:
        found = ENDED.fullmatch(fault.get("message") or "")
        return found[0] if found else "it gave no proper reply"
    return "it tried what the sandbox refuses" if fault.get("type") == "PermissionError" else ""


def _forbidden_name(check: dict) -> str:
    found = FORBIDDEN_NAME.match(check.get("message") or "")
    return found[0][:60] if found else "in another form"


# ---- what the page shows ----


def _view(name: str, count: Count, course: Course) -> dict:
    handed_in = len(count.points) + count.undecided
    bins = _bins(count.points, count.most)
    slowest = sorted(count.seconds, key=lambda item: (-item[0], item[1]))[:SLOWEST]
    return {
        "name": name,
        "title": course.chapters[name].title,
        "handed_in": handed_in,
        "refused": count.refused,
        "late": count.late,
        "by_hand": count.by_hand,
        "undecided": count.undecided,
        "median": number(statistics.median(count.points)) if count.points else "–",
        "mean": f"{statistics.fmean(count.points):.1f}" if count.points else "–",
        "full": sum(points >= count.most for points in count.points),
        "most": number(count.most),
        "bins": bins,
        "bars": _bars(bins, count.most),
        "width": WIDTH,
        "floor": FLOOR,
        "exercises": [
            {
                "name": exercise,
                "points": worth,
                "passed": count.passed[exercise],
                "begun": count.begun[exercise],
                "of": count.decided[exercise],
                "percent": _percent(count.passed[exercise], count.decided[exercise]),
            }
            for exercise, worth in course.chapters[name].points.items()
        ],
        "failed": _top(count.failed),
        "turns": _top(count.turns),
        "odd": sorted(count.odd)[:ODD],
        "odd_more": max(0, len(count.odd) - ODD),
        "slowest": [(who, f"{seconds:.2f}") for seconds, who in slowest if seconds],
        "usual": f"{statistics.median(seconds for seconds, _ in count.seconds):.2f}"
        if count.seconds
        else "–",
        "tiers": sorted(count.tiers.items()),
    }


def _top(counter: Counter) -> list[tuple[str, str, int]]:
    rows = sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:TOP]
    return [(exercise, cut(says, 400), times) for (exercise, says), times in rows]


def _percent(part: int, whole: int) -> int:
    return round(100 * part / whole) if whole else 0


def _bins(points: list[float], most: float) -> list[tuple[str, int]]:
    """How many have how many points, in ten steps; full points are in the last."""
    if not most:
        return []
    size = most / BINS
    found = Counter(min(BINS - 1, max(0, math.floor(p / size + 1e-9))) for p in points)
    ends = [number(i * size) for i in range(BINS + 1)]
    labels = [f"under {ends[1]}", *(f"from {end}" for end in ends[1:-1])]
    return [(label, found[i]) for i, label in enumerate(labels)]


def _bars(bins: list[tuple[str, int]], most: float) -> list[dict]:
    """The bars of the drawing, as tall as there are students."""
    step = WIDTH / BINS
    tallest = max((students for _, students in bins), default=0) or 1
    return [
        {
            "begins": number(index * most / BINS),
            "students": students,
            "x": f"{index * step + 2:.1f}",
            "y": f"{FLOOR - HIGH * students / tallest:.1f}",
            "width": f"{step - 4:.1f}",
            "height": f"{HIGH * students / tallest:.1f}",
            "middle": f"{(index + 0.5) * step:.1f}",
            "above": f"{FLOOR - HIGH * students / tallest - 5:.1f}",
        }
        for index, (_, students) in enumerate(bins)
    ]
