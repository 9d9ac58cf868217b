"""Where a chapter's module stands in what a student hands in, and how much of it is read at all.

Looked for are `attention.py` and `ch3.ipynb`, in the folder itself, in `ch3/` and in `exercises/ch3/`. The
folder itself is what was handed in or, as archives often have it, the one folder in it. Where a chapter is
in none of these places, one folder further down is looked into, whatever its name.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from grader.safe_names import printable, same_name

KIB, MIB = 2**10, 2**20

# The limits of a submission.
MODULE = 1 * MIB
NOTEBOOK = 20 * MIB  # with its outputs
CODE = 256 * KIB  # of a notebook, all cells together; it is parsed several times
PARSED_AGAIN = 1 * MIB  # of a notebook's code, while magics are found one by one
BRACKETS = 1_000_000  # of a notebook's JSON; each may become an object many times its size
CELLS = 10_000
ARCHIVE = 200 * MIB  # the file that was handed in
UNPACKED = 500 * MIB  # all that is in an archive
RATIO = 200  # unpacked to packed, counted from 10 MiB on; honest text reaches 10, zeros 1,000
RATIO_FROM = 10 * MIB
ENTRIES = 10_000  # of an archive, or of a folder that is looked into
DEPTH = 32  # folders in folders
NAME = 1024  # characters of a path
READ = 64 * MIB  # of one submission, all files of the right name together
LONG_HEADER = 64 * KIB  # a tar archive's long name
DIRECTORY = 4 * MIB  # a zip archive's table of contents
WRAPPERS = 3  # folders that hold nothing but one folder
SIBLINGS = 50  # folders side by side that are looked into when their names say nothing
PROBLEMS = 10  # of one kind, before the rest is only counted
NOTES = 50

EXERCISES = "exercises"
# what systems and tools leave behind, beside all that begins with a dot
IGNORED = {"__macosx", "__pycache__", "thumbs.db", "desktop.ini", "ehthumbs.db"}
NOT_WRAPPERS = {"course", "grader", "solutions", "tests"}  # the course's own folders in a hand-out
LINK, HARD_LINK, OTHER = "a symbolic link", "a hard link", "neither a file nor a folder"


class Refused(Exception):
    """Why something is not read: the rest of a sentence that begins with its name."""


@dataclass(frozen=True)
class Found:
    """A file of a name that is looked for: its bytes, or the problem with it. called: as people know it."""

    path: tuple[str, ...]
    data: bytes = b""
    problem: str = ""
    called: str = ""

    @property
    def name(self) -> str:
        return self.called or shown(self.path)


@dataclass
class Look:
    """What a folder or an archive holds.

    others: files that are not looked for. top: how many folders stand around everything.
    """

    found: list[Found] = field(default_factory=list)
    others: list[tuple[str, ...]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    top: int = 0
    room: int = field(default_factory=lambda: READ)

    def see(self, path: tuple[str, ...], odd: str | None, limit: int, read: Callable[[int], bytes]) -> None:
        """Note a file. odd: what it is in place of an ordinary one; limit: 0 if it is not looked for.

        Only an ordinary file that is looked for is read.
        """
        if is_ignored(path):
            return
        try:
            if odd is not None:
                raise Refused(f"is {odd}, and is not read")
            if limit == 0:
                self.others.append(path)
                return
            data = read(limit)
            self.room -= len(data)
            if self.room < 0:
                raise Refused("is one of too many files of such a name, and is not read")
            self.found.append(Found(path, data))
        except Refused as refused:
            problem = f"{shown(path)} {refused}"
            if limit:
                self.found.append(Found(path, problem=problem))
            else:
                self.problems.append(problem)


class Places:
    """The paths that count, for some chapters: modules["ch3"] is "attention"."""

    def __init__(self, modules: Mapping[str, str]):
        self.modules = modules
        self._folders = {same_name(EXERCISES), *map(same_name, modules)}
        self._files: dict[tuple[str, ...], tuple[str, int]] = {}
        for chapter, module in modules.items():
            for file, limit in ((f"{module}.py", MODULE), (f"{chapter}.ipynb", NOTEBOOK)):
                for folders in ((), (chapter,), (EXERCISES, chapter)):
                    self._files[folded((*folders, file))] = (chapter, limit)

    def chapter(self, parts: tuple[str, ...]) -> str | None:
        """The chapter that a path stands for, if it is one of those that count."""
        return self._files.get(folded(parts), (None, 0))[0]

    def chapter_further_down(self, parts: tuple[str, ...]) -> str | None:
        return self.chapter(parts[1:]) if same_name(parts[0]) not in NOT_WRAPPERS else None

    def limit(self, parts: tuple[str, ...]) -> int:
        """How many bytes of a file are read at most; 0 if its name is none of those looked for."""
        names = folded(parts[-3:])
        return max(self._files.get(names[start:], ("", 0))[1] for start in range(len(names)))

    def is_known(self, name: str) -> bool:
        """Whether a name is one that a student's work has at its top."""
        return self.is_known_folder(name) or self.chapter((name,)) is not None

    def is_known_folder(self, name: str) -> bool:
        return same_name(name) in self._folders

    def leads_on(self, parts: tuple[str, ...], siblings: int) -> bool:
        """Whether a folder is looked into. siblings: how many folders stand side by side there."""
        if self.is_known_folder(parts[-1]):
            return len(parts) <= 3
        return len(parts) == 1 and siblings <= SIBLINGS and same_name(parts[0]) not in NOT_WRAPPERS

    def looks_like(self, parts: tuple[str, ...], chapter: str) -> bool:
        """Whether a file could be meant for a chapter, by its name: attention (1).py, ch3-final.ipynb."""
        stems = f"{re.escape(same_name(self.modules[chapter]))}|{re.escape(same_name(chapter))}"
        return bool(re.fullmatch(rf"({stems})([\W_].*)?\.(py|ipynb)(\.txt)?", same_name(parts[-1])))


def folded(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(same_name, parts))


def is_ignored(parts: Iterable[str]) -> bool:
    """What systems and tools leave behind; nobody means to hand it in."""
    return any(part.startswith(".") or same_name(part) in IGNORED for part in parts)


def path_of(entry: str) -> tuple[str, ...]:
    """The parts of an archive's entry, if it is a path that stays inside."""
    for bad, is_bad in {
        "a NUL": "\0" in entry,
        "a backslash": "\\" in entry,
        "a path from the root": entry.startswith("/"),
        "a drive": re.match("[A-Za-z]:", entry) is not None,
        "..": ".." in entry.split("/"),
        f"more than {NAME} characters": len(entry) > NAME,
        f"more than {DEPTH} folders": entry.count("/") > DEPTH,
    }.items():
        if is_bad:
            raise Refused(f"has {bad} in its name, and is not read")
    return tuple(part for part in entry.split("/") if part not in ("", "."))


def check_size(unpacked: int, packed: int) -> None:
    """Stop where an archive turns out to be a bomb."""
    if unpacked > UNPACKED:
        raise Refused(f"holds more than {size_text(UNPACKED)}, and is not read")
    if unpacked > RATIO_FROM and unpacked > RATIO * packed:
        raise Refused(f"unpacks to more than {RATIO} times its size, and is not read")


def shown(path: Iterable[str]) -> str:
    return printable("/".join(path), 100)


def size_text(size: int) -> str:
    return f"{size // MIB:,} MiB" if size >= MIB else f"{size / KIB:,.0f} KiB"


def some(lines: list[str], limit: int, what: str) -> tuple[str, ...]:
    """Lines, and how many more there are."""
    more = len(lines) - limit
    return (*lines[:limit], f"and {more:,} more {what}") if more > 0 else tuple(lines)
