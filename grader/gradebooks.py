"""Grades into the files that Canvas and Moodle take back: one column of theirs, and nothing else.

A row belongs to a student whom one of its ids names, and none contradicts. What cannot be matched is left as
it is, and told.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from grader.csv_file import CsvFile
from grader.errors import GraderError
from grader.places import some
from grader.safe_names import printable, same_name

SHOWN = 20
CHAPTER = re.compile(r"\bch(?:apter)?\s*(\d+)\b", re.IGNORECASE)
WITH_ID = re.compile(r"(?P<title>.+) \(\d+\)", re.DOTALL)  # how Canvas heads an assignment's column
COMMA = re.compile(r"\d+,\d+")
NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
PARTICIPANT = re.compile(r"\D*(\d+)")
CANVAS_KINDS = {"ID": "canvas_id", "SIS User ID": "sid", "SIS Login ID": "login"}
MOODLE_KINDS = {
    "identifier": "moodle_id",
    "id number": "sid",
    "email address": "email",
    "username": "login",
}
AS_NAMES = ("login", "email", "sid")  # what students may be called in the results, too


@dataclass(frozen=True)
class Graded:
    """points: as they go out; None where there are none, because the grader failed."""

    student: str
    ids: dict[str, str]
    points: Decimal | None


@dataclass
class Merged:
    """written: rows with new points; same: those that had them already; others: without a grade here."""

    column: str
    written: int = 0
    same: int = 0
    others: int = 0
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    number: int
    name: str
    ids: dict[str, str]
    kept: str = ""  # why its cell is not to be touched


def into_canvas(
    file: CsvFile, graded: list[Graded], column: str | None, names: Iterable[str], most: float
) -> Merged:
    """Set a gradebook's column. names: what the column may be called without further ado."""
    header = [cell.strip() for cell in (file.rows or [[]])[0]]
    if "ID" not in header or not {"Student", "LastName"} & set(header):
        raise GraderError(f"{file.where} is no gradebook of Canvas: it has no columns Student and ID")
    at = _column(file, header, column, names, lambda title: WITH_ID.fullmatch(title) is not None)
    rows, possible = [], ""
    for number, cells in enumerate(file.rows[1:], 1):
        if len(cells) <= max(at, header.index("ID")):
            continue
        if cells[0].strip() == "Points Possible":
            possible = cells[at].strip()
        ids = {
            kind: cells[header.index(name)].strip() for name, kind in CANVAS_KINDS.items() if name in header
        }
        if not ids["canvas_id"]:
            continue  # a row above the students
        kept = {"EX": "excused", "N/A": "not assigned"}.get(cells[at].strip().upper(), "")
        rows.append(Row(number, cells[0].strip(), {k: v for k, v in ids.items() if v}, kept))
    _check_maximum(file, possible, most, "Points Possible")
    return _set(file, at, rows, graded, possible)


def into_moodle(
    file: CsvFile, graded: list[Graded], column: str | None, names: Iterable[str], most: float
) -> Merged:
    """Set the grades of a grading worksheet."""
    header = [cell.strip() for cell in (file.rows or [[]])[0]]
    folded = [cell.casefold() for cell in header]
    if "identifier" not in folded:
        raise GraderError(f"{file.where} has no column Identifier: download the worksheet in English")
    at = _column(file, header, column, ["Grade"], lambda title: False)
    rows, maximum = [], ""
    for number, cells in enumerate(file.rows[1:], 1):
        cell = {name: text.strip() for name, text in zip(folded, cells, strict=False)}
        if len(cells) <= at or not cell["identifier"]:
            continue
        ids = {kind: cell.get(name, "") for name, kind in MOODLE_KINDS.items()}
        if participant := PARTICIPANT.fullmatch(ids["moodle_id"]):
            ids["moodle_id"] = participant[1]
        maximum = cell.get("maximum grade", "")
        kept = (
            "its grade cannot be changed" if cell.get("grade can be changed", "").casefold() == "no" else ""
        )
        name = cell.get("full name") or cell["identifier"]
        rows.append(Row(number, name, {k: v for k, v in ids.items() if v}, kept))
    _check_maximum(file, maximum, most, "Maximum grade")
    return _set(file, at, rows, graded, maximum)


def _column(file: CsvFile, header: list[str], wanted: str | None, names: Iterable[str], is_assignment) -> int:
    """The column to be set: the one that the user names, or the only one that it can be."""
    titles = {}
    for at, heading in enumerate(header):
        title = WITH_ID.fullmatch(heading)
        titles[at] = title["title"] if title and is_assignment(heading) else heading
    assignments = [at for at, heading in enumerate(header) if is_assignment(heading)]
    if wanted is not None:
        found = [at for at, heading in enumerate(header) if heading == wanted.strip()]
        found = found or [at for at, title in titles.items() if title == wanted.strip()]
    else:
        plain = {same_name(name) for name in names}
        found = [at for at, title in titles.items() if same_name(title) in plain]
        found = found or [at for at in assignments if len(assignments) == 1 and _may_be(titles[at], names)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f'"{header[at]}"' for at in assignments or titles)
    raise GraderError(f"{file.where}: say which column with --column; there are {printable(listed)}")


def _may_be(title: str, names: Iterable[str]) -> bool:
    """Whether a column may be for one of these chapters: "Homework 3" may, "Chapter 4" for ch3 may not."""
    named = {f"ch{number}" for number in CHAPTER.findall(title)}
    return not (named and names) or not named.isdisjoint(names)


def _check_maximum(file: CsvFile, text: str, most: float, what: str) -> None:
    number = float(text.replace(",", ".")) if NUMBER.fullmatch(text) else 0
    if number and number != most:
        raise GraderError(
            f"{file.where}: {what} is {text}, and the grades are out of {most:g}; say in course.toml what"
            " they are worth there, under [export.maxima]"
        )


def _set(file: CsvFile, at: int, rows: list[Row], graded: list[Graded], sample: str) -> Merged:
    merged = Merged(file.rows[0][at].strip())
    found = _matched(rows, graded, merged)
    comma = any(
        COMMA.fullmatch(text.strip()) for text in [sample, *(file.rows[row.number][at] for row in rows)]
    )
    kept, without = [], []
    for row in rows:
        one = found.get(row.number)
        if one is None:
            continue
        if row.kept:
            kept.append(f"{row.name} ({row.kept})")
        elif one.points is None:
            without.append(one.student)
        else:
            text = str(one.points).replace(".", ",") if comma else str(one.points)
            before = file.rows[row.number][at].strip()
            if before and _number(before) == one.points:
                merged.same += 1
            else:
                file.set(row.number, at, text)
                merged.written += 1
    lost = [one.student for one in graded if one not in found.values()]
    merged.others = sum(row.number not in found for row in rows)
    for names, what in (
        (lost, "not in the file"),
        (kept, "left as they are"),
        (without, "left as they are, without a grade because the grader failed (grade again)"),
    ):
        if names:
            listed = ", ".join(some(list(map(printable, names)), SHOWN, "students"))
            merged.remarks.append(f"{what}, {len(names)}: {listed}")
    return merged


def _matched(rows: list[Row], graded: list[Graded], merged: Merged) -> dict[int, Graded]:
    """Whose each row is."""
    index: dict[tuple[str, str], list[Graded]] = {}
    for one in graded:
        keys = {(kind, same_name(value)) for kind, value in one.ids.items()}
        keys |= {(kind, same_name(one.student)) for kind in AS_NAMES if kind not in one.ids}
        for key in keys:
            index.setdefault(key, []).append(one)
    found: dict[int, Graded] = {}
    for row in rows:
        named = [one for key in row.ids.items() for one in index.get((key[0], same_name(key[1])), ())]
        named = list({one.student: one for one in named if not _contradicts(row, one)}.values())
        if len(named) == 1:
            found[row.number] = named[0]
        elif named:
            who = " and ".join(sorted(one.student for one in named))
            merged.remarks.append(f"the row of {printable(row.name)} is of {printable(who)}: whose is it?")
    for one in graded:
        numbers = [number for number, whose in found.items() if whose is one]
        if len(numbers) > 1:
            merged.remarks.append(f"{printable(one.student)} has {len(numbers)} rows: which one is it?")
            for number in numbers:
                del found[number]
    return found


def _contradicts(row: Row, one: Graded) -> bool:
    return any(same_name(one.ids.get(kind, value)) != same_name(value) for kind, value in row.ids.items())


def _number(text: str) -> Decimal | None:
    return Decimal(text.replace(",", ".")) if NUMBER.fullmatch(text) else None
