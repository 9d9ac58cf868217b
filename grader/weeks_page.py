"""The page about the class over several rounds: drawings with their numbers beside them."""

from collections.abc import Sequence
from pathlib import Path

from grader.course_file import Course
from grader.errors import GraderError
from grader.page import counted, cut, number, render
from grader.plots import SHAPES, Box, boxes, marks
from grader.pseudonyms import pseudonym
from grader.weeks import Column, Weeks, count_weeks, handed_in_again
from grader.whole_file import write_whole

NAME = 80
TURNS = 12  # misconceptions that are listed
SMALL = 12  # students; so few are drawn one by one, since quartiles would say little
SAYS = 300


def weeks(folders: Sequence[Path], to: Path, course: Course, pseudonyms: bool) -> None:
    """`grader class`: count, and write the page."""
    if to.suffix.lower() not in (".html", ".htm"):
        raise GraderError(f"--to {to}: the page's name must end in .html")
    counted_weeks = count_weeks(folders, course)
    write_whole(to, weeks_page(counted_weeks, course, pseudonyms).encode())
    students = counted(len(counted_weeks.students), "student")
    print(f"{to}: {students}, {counted(len(folders), 'round')}; points as in each grades.csv")


def weeks_page(weeks: Weeks, course: Course, pseudonyms: bool = False) -> str:
    """pseudonyms: those of the first round's own pages."""
    several = len(weeks.rounds) > 1
    turns = weeks.turns(TURNS)
    turn_rounds = [
        name
        for name in weeks.rounds
        if any(
            column.round == name and column.chapter == turn[0] for column in weeks.columns for turn in turns
        )
    ]
    rows = _turns(weeks, turns, turn_rounds)
    return render(
        "weeks.html.j2",
        title=f"{course.title}: the class over the weeks",
        course=course.title,
        rounds=weeks.rounds,
        students=len(weeks.students),
        pseudonyms=pseudonyms,
        columns=[_column(column) for column in weeks.columns],
        points=_points(weeks),
        one_by_one=_one_by_one(weeks),
        by_hand=any(column.count.by_hand for column in weeks.columns),
        again=handed_in_again(weeks),
        chapters=[_chapter(weeks, name, course) for name in weeks.chapters],
        turns=rows,
        turn_rounds=turn_rounds,
        turns_drawing=_turns_drawing(rows, turn_rounds),
        shapes=[*SHAPES],
        several=several,
        who=_who(weeks, pseudonyms),
    )


def _column(column: Column) -> dict:
    five = column.five
    count = column.count
    shown = [number(round(value, 1)) for value in five] if five else ["–"] * 5
    return {
        "round": column.round,
        "chapter": column.chapter,
        "day": column.day,
        "handed_in": column.handed_in,
        "median": shown[2],
        "quartiles": f"{shown[1]}–{shown[3]}" if five else "–",
        "range": f"{shown[0]}–{shown[4]}" if five else "–",
        "most": number(count.most),
        "full": sum(points >= count.most for points in count.points),
        "late": count.late,
        "undecided": count.undecided,
    }


def _points(weeks: Weeks):
    columns = [column for column in weeks.columns if column.five]
    if not columns:
        return ""
    small = _one_by_one(weeks)
    rows = [
        Box(_label(column, weeks), column.five, tuple(column.count.points) if small else ())
        for column in columns
    ]
    most = max(column.count.most for column in columns)
    shown = "each student, and the median" if small else "least, quartiles, median and most"
    title = f"Points by chapter and round: {shown}; the tables have the numbers"
    return boxes(rows, most, "points-drawing", title)


def _one_by_one(weeks: Weeks) -> bool:
    return all(column.handed_in <= SMALL for column in weeks.columns)


def _label(column: Column, weeks: Weeks) -> str:
    return f"{column.chapter}, {column.round}" if len(weeks.rounds) > 1 else column.chapter


def _chapter(weeks: Weeks, name: str, course: Course) -> dict:
    """The exercises' pass rates, a series for each round that has the chapter."""
    columns = weeks.of(name)
    exercises = list(course.chapters[name].points)
    rates = [[_rate(column, exercise) for exercise in exercises] for column in columns]
    title = f"Percent that passed each exercise of {name}, by round; the table has the numbers"
    return {
        "name": name,
        "title": course.chapters[name].title,
        "rounds": [column.round for column in columns],
        "drawing": marks(exercises, rates, 100, "percent passed", f"{name}-drawing", title),
        "exercises": [
            (exercise, [_passed(column, exercise) for column in columns]) for exercise in exercises
        ],
    }


def _rate(column: Column, exercise: str) -> float | None:
    decided = column.count.decided[exercise]
    return 100 * column.count.passed[exercise] / decided if decided else None


def _passed(column: Column, exercise: str) -> str:
    rate = _rate(column, exercise)
    if rate is None:
        return "–"
    return f"{column.count.passed[exercise]} of {column.count.decided[exercise]}, {rate:.0f} %"


def _turns(weeks: Weeks, turns: list[tuple[str, str, str]], rounds: list[str]) -> list[dict]:
    """How many students took each in each round; "" where the round does not have its chapter."""
    found = []
    for chapter, exercise, says in turns:
        by_round = {column.round: column.count.turns[exercise, says] for column in weeks.of(chapter)}
        times = [by_round.get(name, "") for name in rounds]
        found.append({"chapter": chapter, "exercise": exercise, "says": cut(says, SAYS), "times": times})
    return found


def _turns_drawing(turns: list[dict], rounds: list[str]):
    if not turns:
        return ""
    names = [f"{number}. {turn['exercise']}" for number, turn in enumerate(turns, 1)]
    series = [
        [None if turn["times"][i] == "" else turn["times"][i] for turn in turns] for i in range(len(rounds))
    ]
    most = 1.05 * max(times for one in series for times in one if times is not None)
    title = "How many students took each of the commonest wrong turns, by round; the table has the numbers"
    return marks(names, series, most, "students", "turns-drawing", title, whole=True)


def _who(weeks: Weeks, pseudonyms: bool) -> list[tuple[str, list[str]]]:
    """Each student's points, column by column."""
    rows = []
    for student in weeks.students:
        name = pseudonym(student, weeks.key) if pseudonyms else student
        cells = [
            "" if student not in column.points else _or_dash(column.points[student])
            for column in weeks.columns
        ]
        rows.append((cut(name, NAME), cells))
    return sorted(rows)


def _or_dash(points: float | None) -> str:
    return "–" if points is None else number(points)
