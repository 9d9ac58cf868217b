"""From what students handed in to the modules that are graded. Nothing of it is run, nothing is unpacked.

A folder holds one folder, archive (zip or tar, by its content) or file per student; how other systems lay
out a class is told in grader/layouts.py. Where in a student's work a chapter's module is looked for is told
in grader/places.py; of all else nothing is read. What is refused is named, and never keeps the rest from
being graded. What is ambiguous is a question to the instructor, never a guess.
"""

import datetime
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from grader.archives import SUFFIXES, format_of, look_in_archive, without_suffix
from grader.errors import GraderError
from grader.layouts import Piece, Work
from grader.notebook_source import notebook_module
from grader.places import (
    ARCHIVE,
    MODULE,
    NOTEBOOK,
    PROBLEMS,
    Found,
    Look,
    Places,
    Refused,
    is_ignored,
    shown,
    some,
)
from grader.safe_names import printable, safe_name, same_name
from grader.source_text import source_text
from grader.submission_folder import FILE, FOLDER, Folder, look_in_folder, read_whole
from grader.zip_folder import ZipFolder

LIMITS = {".py": MODULE, ".ipynb": NOTEBOOK}
ARCHIVES = (*SUFFIXES, ".7z", ".rar", ".gz", ".bz2", ".xz")
WHICH_ONE = "keep the one that counts"  # how a problem ends that only the instructor can decide
INNER_ARCHIVES = 5  # of one student's that are opened
AGAIN = re.compile(r"-\d{1,3}(?=\.\w+$)")  # what Canvas puts behind a name that the student has used before

__all__ = ["HandedIn", "Submission", "safe_name", "take_in", "take_in_one"]


@dataclass(frozen=True)
class HandedIn:
    """One chapter's module as handed in.

    name: its path in what was handed in. source: Python; of a notebook what grading keeps of it.
    notes: for the instructor and the student. problem: why it cannot be graded, in one line that names the
    file; then there is no source. cells: for each line of a notebook's source, the cell and the line in it.
    """

    chapter: str
    name: str
    source: str
    notes: tuple[str, ...] = ()
    problem: str = ""
    cells: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    def where(self, line: int) -> str:
        """Where the student finds a line: "attention.py:12", "ch3.ipynb, cell 5, line 3"."""
        if not self.cells:
            return f"{self.name}:{line}"
        cell, line = self.cells[min(max(line, 1), len(self.cells)) - 1]
        return f"{self.name}, cell {cell}, line {line}"


@dataclass(frozen=True)
class Submission:
    """What a student handed in. modules: by chapter; one that is not there was not handed in.

    student: safe to print. problems: about the whole, such as an unreadable archive. ids: what systems call
    the student, {"canvas_id": "123", ...}. times: when a chapter was handed in, where that is known. marked:
    whether the system marks it as late, where it has such marks.
    """

    student: str
    path: Path
    modules: dict[str, HandedIn] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    ids: dict[str, str] = field(default_factory=dict)
    times: dict[str, datetime.datetime] = field(default_factory=dict)
    marked: bool | None = None

    def handed_in(self, chapter: str, module: str) -> HandedIn:
        """What there is of a chapter; of one that was not handed in, why. module: its file without .py."""
        problem = "; ".join(self.problems) or f"there is no {module}.py in what was handed in"
        return self.modules.get(chapter) or HandedIn(chapter, "", "", problem=problem)

    def before(self, chapter: str) -> dict[str, HandedIn]:
        """What there is of earlier chapters."""
        return {name: one for name, one in self.modules.items() if int(name[2:]) < int(chapter[2:])}


def take_in(
    folder: Path, modules: Mapping[str, str], stubs: Mapping[str, str] | None = None
) -> list[Submission]:
    """Every student's submission, by name. modules: {"ch3": "attention"} for the chapters that are graded.

    stubs: the chapters' modules as they were handed out; a stub is no rival of what a student has written.
    """
    try:
        with Folder.at(Path(folder)) as opened:
            return one_each(take_in_folder(opened, Intake(Places(modules), stubs or {})))
    except (OSError, Refused) as error:
        raise GraderError(f"{folder} cannot be read as a folder of submissions ({error})") from None


def take_in_folder(folder: Folder | ZipFolder, intake: "Intake") -> list[Submission]:
    """What a folder with one entry a student holds, entry by entry."""
    entries = [(name, kind) for name, kind in folder.entries(limit=None) if not is_ignored([name])]
    if entries and all(intake.places.is_known(name) for name, _ in entries):
        raise GraderError(f"{folder.path} looks like one student's work: give the folder around it")
    return [intake.take(folder, name, kind) for name, kind in entries]


def one_each(taken: list[Submission]) -> list[Submission]:
    """One submission a student, by name."""
    by_student: dict[str, list[Submission]] = {}
    for submission in taken:
        by_student.setdefault(same_name(submission.student), []).append(submission)
    return [_one_of(same) for _, same in sorted(by_student.items())]


def take_in_one(path: Path, modules: Mapping[str, str], stubs: Mapping[str, str] | None = None) -> Submission:
    """One submission that the user names: a folder, an archive or a file."""
    path = Path(os.path.realpath(path))
    try:
        with Folder.at(path.parent) as around:
            intake = Intake(Places(modules), stubs or {}, alone=True)
            return intake.take(around, path.name, around.kind(path.name))
    except (OSError, Refused) as error:
        raise GraderError(f"there is nothing to grade at {path} ({error})") from None


@dataclass(frozen=True)
class Intake:
    """alone: whether there is one submission, so that its name need not say whose it is."""

    places: Places
    stubs: Mapping[str, str]
    alone: bool = False

    def take(self, around: Folder, name: str, kind: str) -> Submission:
        """Take in one entry of a folder, whatever it is."""
        modules, problems = self._guarded(name, lambda: self._modules(around, name, kind))
        return Submission(printable(_student(name, kind)), around.path / name, modules, problems)

    def take_work(self, around: Folder | ZipFolder, work: Work) -> Submission:
        """Take in what a system lists as one student's work."""
        name = work.pieces[0].name if work.pieces else work.called
        modules, problems = self._guarded(name, lambda: self._pieces(around, work))
        problems = tuple(map(printable, work.problems)) or problems
        times = dict.fromkeys(modules, work.handed_in) if work.handed_in else {}
        path = around.path.joinpath(*work.within, name)
        return Submission(printable(work.called), path, modules, problems, work.ids, times, work.marked)

    def _guarded(self, name: str, take) -> tuple[dict[str, HandedIn], tuple[str, ...]]:
        try:
            return take()
        except Refused as refused:
            return {}, (f"{shown([name])} {refused}",)
        except Exception as error:  # the others are still to be graded
            fault = printable(f"{type(error).__name__}: {error}", 200)
            return {}, (f"{shown([name])} could not be taken in, and the grader is at fault ({fault})",)

    def _pieces(self, around: Folder | ZipFolder, work: Work) -> tuple[dict[str, HandedIn], tuple[str, ...]]:
        """The modules among the files and folders that a system made of one student's work."""
        together = Look()
        with ExitStack() as inner:
            for name in work.within:
                around = inner.enter_context(around.folder(name))
            if len(work.pieces) == 1 and (alone := self._alone(around, work.pieces[0])):
                return alone, ()
            for piece in work.pieces:
                try:
                    _add(together, self._look(around, piece))
                except Refused as refused:
                    together.problems.append(f"{shown([piece.called])} {refused}")
        return self._chosen(work.called, together)

    def _alone(self, around: Folder | ZipFolder, piece: Piece) -> dict[str, HandedIn]:
        """A single file, which need not be named after the module where one chapter alone is graded."""
        suffix = os.path.splitext(same_name(piece.called))[1]
        if piece.kind != FILE or suffix not in LIMITS or len(self.places.modules) > 1:
            return {}
        [chapter] = self.places.modules
        return {chapter: _handed_in(chapter, Found((piece.called,), around.read(piece.name, LIMITS[suffix])))}

    def _look(self, around: Folder | ZipFolder, piece: Piece) -> Look:
        if piece.kind == FOLDER:
            with around.folder(piece.name) as folder:
                return self._look_also_in_archives(folder)
        with around.file(piece.name, ARCHIVE) as file:
            if archive := format_of(file):
                return look_in_archive(file, archive, self.places)
            look, usual = Look(), (self._usual_name(piece.called),)
            look.see(usual, None, self.places.limit(usual), lambda limit: read_whole(file, limit))
            look.found = [replace(found, called=shown([piece.called])) for found in look.found]
            return look

    def _look_also_in_archives(self, folder: Folder | ZipFolder) -> Look:
        """A folder that a system made around the files of a student, which may be archives."""
        together = look = look_in_folder(folder, self.places)
        inside = [path[0] for path in look.others if len(path) == 1 and path[0].lower().endswith(ARCHIVES)]
        if inside and not look.top:
            together = Look()
            look.others = [path for path in look.others if path[0] not in inside[:INNER_ARCHIVES]]
            _add(together, look)
            for name in inside[:INNER_ARCHIVES]:
                try:
                    _add(together, self._look(folder, Piece(name, FILE, name)))
                except Refused as refused:
                    together.problems.append(f"{shown([name])} {refused}")
        return together

    def _usual_name(self, called: str) -> str:
        usual = AGAIN.sub("", called)
        return usual if self.places.limit((usual,)) else called

    def _modules(self, around: Folder, name: str, kind: str) -> tuple[dict[str, HandedIn], tuple[str, ...]]:
        if kind == FOLDER:
            with around.folder(name) as folder:
                return self._chosen(name, look_in_folder(folder, self.places))
        if kind != FILE:
            raise Refused(f"is {kind}, and is not read")
        with around.file(name, ARCHIVE) as file:
            if archive := format_of(file):
                return self._chosen(name, look_in_archive(file, archive, self.places))
            chapter, limit = self._chapter_of(name)
            found = Found((name,), read_whole(file, limit))
            return {chapter: _handed_in(chapter, found)}, ()

    def _chapter_of(self, name: str) -> tuple[str, int]:
        """The chapter that a single file stands for, and how large it may be."""
        suffix = os.path.splitext(same_name(name))[1]
        if suffix not in LIMITS:
            raise Refused("is neither a folder, a zip or tar archive, a .py file nor a notebook")
        chapter = self.places.chapter((name,))
        if chapter is not None and not self.alone:
            raise Refused("is named after a chapter: put it into a folder named after the student")
        if chapter is None and len(self.places.modules) > 1:
            chapters = ", ".join(self.places.modules)
            raise Refused(f"does not say its chapter, and {chapters} are graded: grade one at a time")
        return chapter or next(iter(self.places.modules)), LIMITS[suffix]

    def _chosen(self, name: str, look: Look) -> tuple[dict[str, HandedIn], tuple[str, ...]]:
        """Of each chapter the module that counts."""
        modules, problems = {}, list(some(look.problems, PROBLEMS, "problems"))
        files = sorted(look.found, key=lambda found: (len(found.path), found.path))
        for chapter in self.places.modules:
            found = [one for one in files if self.places.chapter(one.path[look.top :]) == chapter]
            further = [
                one for one in files if self.places.chapter_further_down(one.path[look.top :]) == chapter
            ]
            if found := found or further:
                modules[chapter] = self._one_of(chapter, found)
                continue
            paths = [one.path for one in files] + look.others
            alike = [shown(path) for path in paths if self.places.looks_like(path, chapter)]
            if alike:
                names = ", ".join(some(sorted(alike), 3, "files"))
                problems.append(
                    f"{chapter}: {names}: not where it is looked for, or not named {self._names(chapter)}"
                )
        archives = sorted(shown(path) for path in look.others if path[-1].lower().endswith(ARCHIVES))
        if archives and not modules:
            problems.append(f"{', '.join(some(archives, 3, 'archives'))}: an archive inside is not opened")
        if not modules and not problems:
            names = ", ".join(some([self._names(chapter) for chapter in self.places.modules], 3, "chapters"))
            problems.append(f"{shown([name])} holds nothing that is looked for: {names}")
        return modules, tuple(problems)

    def _names(self, chapter: str) -> str:
        return f"{self.places.modules[chapter]}.py or {chapter}.ipynb"

    def _one_of(self, chapter: str, found: list[Found]) -> HandedIn:
        """The one file, or several of the same content; else the question which one it is."""
        written = [one for one in found if not self._is_stub(chapter, one)] or found
        first, *others = written
        if all(not one.problem and one.data == first.data for one in others):
            return _handed_in(chapter, first)
        names = sorted({one.name for one in written})
        shown_names = " and ".join(some(names, 3, "files"))
        are = "are all there" if len(names) > 1 else f"is there {len(written)} times"
        problem = f"{shown_names} {are}, and not the same: {WHICH_ONE}"
        return HandedIn(chapter, shown_names, "", problem=problem)

    def _is_stub(self, chapter: str, found: Found) -> bool:
        try:
            stub = self.stubs.get(chapter)
            return stub is not None and source_text(found.data) == source_text(stub.encode())
        except Refused:
            return False


def _add(together: Look, look: Look) -> None:
    """What one more look found; the folders around everything in it are left out."""
    together.found += [replace(one, path=one.path[look.top :], called=one.name) for one in look.found]
    together.others += [path[look.top :] for path in look.others]
    together.problems += look.problems


def _handed_in(chapter: str, found: Found) -> HandedIn:
    try:
        if found.problem:
            return HandedIn(chapter, found.name, "", problem=found.problem)
        if same_name(found.path[-1]).endswith(".ipynb"):
            module = notebook_module(found.data, found.name)
            return HandedIn(chapter, found.name, module.source, module.notes, cells=module.lines)
        return HandedIn(chapter, found.name, source_text(found.data))
    except Refused as refused:
        return HandedIn(chapter, found.name, "", problem=f"{found.name} {refused}")


def _student(name: str, kind: str) -> str:
    """Whose a submission is, by its name."""
    if kind == FOLDER:
        return name
    start, suffix = os.path.splitext(without_suffix(name))
    return start if same_name(suffix) in LIMITS else without_suffix(name)


def _one_of(same: list[Submission]) -> Submission:
    """A student's submission, where there may be a folder and the archive that it was in, say."""
    first, *others = same
    sources = [{chapter: module.source for chapter, module in one.modules.items()} for one in same]
    if not others or (sources[0] and sources.count(sources[0]) == len(sources) and all(map(_is_clear, same))):
        return first
    names = " and ".join(some(sorted(shown([one.path.name]) for one in same), 3, "entries"))
    problem = f"{names} are one student's by their names, and differ: {WHICH_ONE}"
    return Submission(first.student, first.path, {}, (problem,), first.ids)


def _is_clear(submission: Submission) -> bool:
    return not submission.problems and not any(module.problem for module in submission.modules.values())
