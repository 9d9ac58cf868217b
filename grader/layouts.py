"""How other systems lay out a class's work: whose each file is, and when it was handed in.

    canvas      doejane_LATE_12345_67890_attention.py, all in one folder
    moodle      Jane Doe_1234567_assignsubmission_file/..., or the same in front of each file's name
    gradescope  submission_metadata.yml beside submission_123456/...
    nbgrader    jane/ps1/..., with the time in jane/ps1/timestamp.txt
    classroom   ps1-janedoe/..., each a clone, as GitHub Classroom and its like make them
    folder      none of these: one folder, archive or file a student, named after the student

A download comes as its zip or unpacked. Names in it are partly the students' own choice, so what can be read
in two ways is a question to the instructor.
"""

import datetime
import re
import zoneinfo
from collections.abc import Callable, Set
from contextlib import ExitStack
from dataclasses import dataclass, field

from grader.commit_time import commit_time
from grader.errors import GraderError
from grader.gradescope_export import METADATA, read_metadata
from grader.places import KIB, WRAPPERS, Refused, is_ignored, shown, some
from grader.submission_folder import FILE, FOLDER, Folder
from grader.zip_folder import ZipFolder

Opened = Folder | ZipFolder
SYSTEMS = ("folder", "canvas", "moodle", "gradescope", "classroom", "nbgrader")
PEEKED = 20  # folders that are looked into to know a system
STAMP = "timestamp.txt"
# folders around a class's work, as systems and people name them
WRAPPER = re.compile(r"submitted|assignment_\d+_export|.*\bsubmissions\b.*", re.IGNORECASE)

# Canvas: [name in small letters, or none if anonymous] [LATE] the user's id, the file's id, the file's name
CANVAS = re.compile(
    r"(?:^|(?<=_))(?=(?P<late>LATE_)?(?P<id>\d+|anon_[0-9A-Za-z]+)_(?P<file>\d+)_(?P<called>.+))", re.DOTALL
)
CANVAS_TEXT = re.compile(r"(?P<who>.+)_(?P<what>text|link)\.html")
# Moodle: the full name without underscores, an id (of the student in this one assignment), the kind of answer
MOODLE = re.compile(
    r"(?P<name>[^_]+)(?:_(?P<id>\d+))?_assignsubmission_(?P<kind>[a-z]+)(?:_(?P<called>.*))?", re.DOTALL
)
NBGRADER_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)? *([A-Za-z_/+-]+|[+-]\d\d:?\d\d)")


@dataclass(frozen=True)
class Piece:
    """A file or folder that a system made. called: its name as the student gave it."""

    name: str
    kind: str
    called: str


@dataclass(frozen=True)
class Work:
    """What a system lists as one student's.

    called: whose it is, where no roster says more. within: the folders around the pieces. ids: what the
    system calls the student. marked: whether it marks the work as late; None where it has no such marks.
    problems: why there is nothing to grade.
    """

    called: str
    pieces: tuple[Piece, ...] = ()
    within: tuple[str, ...] = ()
    ids: dict[str, str] = field(default_factory=dict)
    handed_in: datetime.datetime | None = None
    marked: bool | None = None
    problems: tuple[str, ...] = ()


Listed = tuple[list[Work], list[str]]  # and questions to the instructor


def systems_of(folder: Opened) -> list[str]:
    """The systems that may have laid out a folder, by its names; none where nothing speaks for one."""
    entries = _entries(folder)
    files = [name for name, kind in entries if kind == FILE]
    folders = [name for name, kind in entries if kind == FOLDER]
    canvas = sum(bool(CANVAS.search(name) or CANVAS_TEXT.fullmatch(name)) for name in files)
    found = {
        "gradescope": METADATA in files,
        "moodle": any(MOODLE.fullmatch(name) for name, _ in entries),
        "canvas": canvas > 0,
        "folder": 0 < canvas <= len(entries) / 2,
        # most of them: one student's folder does not decide for a class
        "nbgrader": _most(folders, lambda name: _holds_stamp(folder, name)),
        "classroom": _most(folders, lambda name: _holds_git(folder, name)),
    }
    return [name for name, is_there in found.items() if is_there]


def unwrapped(folder: Opened, stack: ExitStack, system: str | None = None) -> tuple[Opened, str]:
    """The folder that a system laid out, which may stand in others that hold nothing else; and the system.

    system: what the user says that it is.
    """
    inner = folder
    for _ in range(0 if system == "folder" else WRAPPERS + 1):
        found = systems_of(inner)
        if system in found:
            return inner, system
        if found and system is None:
            return inner, _only_one(found, folder)
        entries = _entries(inner)
        if len(entries) != 1 or entries[0][1] != FOLDER or not _is_around(entries[0][0], folder):
            break
        inner = stack.enter_context(inner.folder(entries[0][0]))
    return inner, system or "folder"


def _is_around(name: str, folder: Opened) -> bool:
    """Whether a folder's name says that it stands around a class's work, and is no student's."""
    return WRAPPER.fullmatch(name) is not None or name == folder.path.stem


def _only_one(systems: list[str], folder: Opened) -> str:
    if len(systems) > 1:
        raise GraderError(
            f"{folder.path} looks like {' and like '.join(systems)}: say which, such as --from {systems[0]};"
            " --from folder is one folder, archive or file a student"
        )
    return systems[0]


def _most(folders: list[str], holds: Callable[[str], bool]) -> bool:
    looked_at = folders[:PEEKED]
    return sum(map(holds, looked_at)) > len(looked_at) / 2


def works_of(system: str, folder: Opened, known: Set[str] = frozenset()) -> Listed:
    """All works of a download. known: Canvas's ids of the students, as far as a roster has them."""
    if system == "canvas":
        return _canvas(folder, known)
    return {"moodle": _moodle, "gradescope": _gradescope, "nbgrader": _nbgrader, "classroom": _classroom}[
        system
    ](folder)


# ---- Canvas ----


def _canvas(folder: Opened, known: Set[str]) -> Listed:
    works, strange, texts = {}, [], []
    files: dict[str, list[CanvasName]] = {}
    for name, kind in _entries(folder):
        if kind == FILE and (readings := canvas_names(name)):
            files[name] = readings
        elif kind == FILE and (text := CANVAS_TEXT.fullmatch(name)):
            texts.append((name, text))
        else:
            strange.append(shown([name]))
    read, questions = _whose(files, known)
    users: dict[str, set[str]] = {}
    for one in read.values():
        users.setdefault(one.id, set()).add(one.user)
    for identifier, names in sorted(users.items()):
        if len(names) > 1:
            both = " and ".join(shown([name]) for name in sorted(names))
            questions.append(f"{both} have one Canvas id, {identifier}: whose is it?")
    for name, readings in files.items():
        if name not in read:
            works[name] = Work(f"{name} (whose?)", (Piece(name, FILE, readings[-1].called),))
            continue
        one = read[name]
        called = "_".join(filter(None, (one.user, one.id)))
        is_known = len(users[one.id]) == 1 and not one.id.startswith("anon_")
        before = works.get(called, Work(called))
        works[called] = Work(
            called,
            (*before.pieces, Piece(name, FILE, one.called)),
            ids={"canvas_id": one.id} if is_known else {},
            marked=bool(before.marked) or one.late,
        )
    for name, text in texts:
        called = text["who"].replace("_LATE_", "_")
        if called not in works:
            problem = f"{shown([name])} is a {text['what']}, not a file"
            works[name] = Work(called, problems=(problem,))
    return list(works.values()), questions + _strange(strange, "canvas")


@dataclass(frozen=True)
class CanvasName:
    """One way to read the name of a file."""

    user: str
    late: bool
    id: str
    file: str
    called: str


def canvas_names(name: str) -> list[CanvasName]:
    """All ways to read the name of a file of Canvas, the likeliest first.

    >>> [(one.user, one.id, one.called) for one in canvas_names("doejane_LATE_12_345_attention.py")]
    [('doejane', '12', 'attention.py')]
    >>> [(one.user, one.id, one.called) for one in canvas_names("doejane_12_345_6_x.py")]
    [('doejane', '12', '6_x.py'), ('doejane_12', '345', 'x.py')]
    """
    found: dict[str, CanvasName] = {}
    for match in CANVAS.finditer(name):
        user = name[: match.start()].rstrip("_")
        one = CanvasName(user, bool(match["late"]), match["id"], match["file"], match["called"])
        found.setdefault(one.file, one)
    return list(found.values())


def _whose(files: dict[str, list[CanvasName]], known: Set[str]) -> tuple[dict[str, CanvasName], list[str]]:
    """How each name is to be read; a name for which two ways are likely is left out, and asked about.

    Canvas takes care that no student's name has an id in it, but for one at its end; so the first way is the
    right one, unless somebody chose a name to be taken for somebody else.
    """
    ids = known or {readings[0].id for readings in files.values()}
    users: dict[str, set[str]] = {}
    for readings in files.values():
        users.setdefault(readings[0].id, set()).add(readings[0].user)
    read, questions = {}, []
    for name, readings in files.items():
        likely = [one for one in readings if one.id in ids] or readings[:1]
        if len(likely) > 1 or (len(readings) > 1 and len(users.get(likely[0].id, ())) > 1):
            others = " or ".join(one.id for one in readings)
            questions.append(f"{shown([name])} can be of the user {others}: whose is it?")
        else:
            read[name] = likely[0]
    return read, questions


# ---- Moodle ----


def _moodle(folder: Opened) -> Listed:
    pieces: dict[str, list[Piece]] = {}
    ids, without, strange = {}, {}, []
    for name, kind in _entries(folder):
        match = MOODLE.fullmatch(name)
        if not match or kind not in (FILE, FOLDER):
            strange.append(shown([name]))
            continue
        called = "_".join(filter(None, (match["name"], match["id"])))
        ids[called] = {"name": match["name"]} | ({"moodle_id": match["id"]} if match["id"] else {})
        if match["kind"] == "file":
            pieces.setdefault(called, []).append(Piece(name, kind, match["called"] or name))
        else:
            without.setdefault(called, f"{shown([name])} is no file that was handed in")
    works = [Work(called, tuple(found), ids=ids[called]) for called, found in pieces.items()]
    works += [
        Work(called, ids=ids[called], problems=(problem,))
        for called, problem in without.items()
        if called not in pieces
    ]
    return works, _strange(strange, "moodle")


# ---- Gradescope ----


def _gradescope(folder: Opened) -> Listed:
    kinds = dict(_entries(folder))
    metadata = read_metadata(folder)
    works, questions = [], []
    for key, one in metadata.items():
        if key not in kinds:
            who = ", ".join(person.get("name") or "somebody" for person in one.people) or "nobody"
            questions.append(f"{shown([key])} of {shown([who])} stands in {METADATA}, and is not there")
            continue
        pieces = (Piece(key, kinds[key], key),)
        for person in one.people:
            called = person.get("email") or person.get("sid") or f"{person.get('name', '')} {key}".strip()
            works.append(Work(called, pieces, ids=person, handed_in=one.created))
        if not one.people:
            questions.append(f"{shown([key])}: {METADATA} names nobody who handed it in")
            works.append(Work(key, pieces, handed_in=one.created))
    strange = [name for name in kinds if name not in metadata and name != METADATA]
    works += [Work(name, (Piece(name, kinds[name], name),)) for name in strange if kinds[name] == FOLDER]
    questions += [f"{shown([name])} is not in {METADATA}: whose is it?" for name in strange]
    return works, questions


# ---- nbgrader ----


def _nbgrader(folder: Opened) -> Listed:
    works, questions = [], []
    for student, kind in _entries(folder):
        if kind != FOLDER:
            questions.append(f"{shown([student])} is no student's folder, and is not read")
            continue
        try:
            with folder.folder(student) as inner:
                for assignment, inner_kind in _entries(inner):
                    if inner_kind == FOLDER:
                        works.append(_nbgrader_work(inner, student, assignment))
        except Refused as refused:
            questions.append(f"{shown([student])} {refused}")
    return works, questions


def _nbgrader_work(folder: Opened, student: str, assignment: str) -> Work:
    stamp = None
    with folder.folder(assignment) as inner:
        if (STAMP, FILE) in inner.entries():
            stamp = nbgrader_time(inner.read(STAMP, KIB).decode(errors="replace"))
    return Work(student, (Piece(assignment, FOLDER, assignment),), (student,), handed_in=stamp)


def nbgrader_time(text: str) -> datetime.datetime | None:
    """The time in a timestamp.txt, if it is one with its zone.

    >>> nbgrader_time("2026-10-01 21:58:23.948203 UTC").isoformat()
    '2026-10-01T21:58:23+00:00'
    """
    match = NBGRADER_TIME.fullmatch(text.strip())
    try:
        time = datetime.datetime.fromisoformat(match[1])
        if match[2][0] in "+-":
            return datetime.datetime.fromisoformat(f"{match[1]}{match[2]}")
        return time.replace(tzinfo=zoneinfo.ZoneInfo(match[2]))
    except (TypeError, ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return None


def _holds_stamp(folder: Opened, student: str) -> bool:
    def look(inner: Opened) -> bool:
        return any(
            _inside(inner, name, lambda deeper: (STAMP, FILE) in deeper.entries())
            for name, kind in inner.entries()
            if kind == FOLDER and not is_ignored([name])
        )

    return _inside(folder, student, look)


# ---- clones ----


def _classroom(folder: Opened) -> Listed:
    """One clone a student. Folders are named assignment-user, and both may hold hyphens: see roster.py."""
    entries = _entries(folder)
    clones = [name for name, kind in entries if kind == FOLDER]
    start = 0
    while len(clones) > 1 and len({clone[: start + 1] for clone in clones}) == 1:
        start += 1
    start = clones[0].rfind("-", 0, start) + 1 if clones else 0
    works = []
    for name in clones:
        user = name[start:] or name
        with folder.folder(name) as clone:
            time = commit_time(clone) if isinstance(clone, Folder) else None
        works.append(Work(user, (Piece(name, FOLDER, name),), ids={"repository": name}, handed_in=time))
    return works, _strange([shown([name]) for name, kind in entries if kind != FOLDER], "classroom")


def _holds_git(folder: Opened, name: str) -> bool:
    return _inside(folder, name, lambda inner: any(entry == ".git" for entry, _ in inner.entries()))


# ---- all ----


def _entries(folder: Opened) -> list[tuple[str, str]]:
    return [(name, kind) for name, kind in folder.entries(limit=None) if not is_ignored([name])]


def _inside(folder: Opened, name: str, look: Callable[[Opened], bool]) -> bool:
    try:
        with folder.folder(name) as inner:
            return look(inner)
    except Refused:
        return False


def _strange(names: list[str], system: str) -> list[str]:
    return [
        f"{name} is not named as {system} names a student's work, and is not read"
        for name in some(names, 20, "entries")
    ]
