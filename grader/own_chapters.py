"""A student's own chapters together, for the checks marked `assembled`.

Chapters are graded apart, each with the reference's earlier ones. An assembled check asks whether the
student's own pieces work together; it carries no points, since every piece already has its own.
"""

import ast
import functools
import itertools
import linecache
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from grader.chapters import Tree, find_submission, read_source
from grader.time_limit import time_limit

IMPORT_SECONDS = 20.0
numbers = itertools.count(1)


def needed_chapters(reference: Tree, chapter: str, modules: Iterable[str] = ()) -> list[str]:
    """The chapters that a chapter and these modules import, and what those import in turn, in order."""
    chapter_of = {file.stem: name for name, file in reference.files.items()}
    needed: set[str] = set()
    pending = [chapter, *(chapter_of[name] for name in modules)]
    while pending:
        one = pending.pop()
        if one not in needed:
            needed.add(one)
            pending += _imported_chapters(read_source(reference.file(one)))
    return sorted(needed - {chapter}, key=_number)


@functools.cache
def _imported_chapters(source: str) -> list[str]:
    """Chapters named as in `from ..ch3.attention import MultiHeadAttention`."""
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return [node.module.partition(".")[0] for node in imports if node.level == 2 and node.module]


def _number(chapter: str) -> int:
    return int(chapter.removeprefix("ch"))


@dataclass(frozen=True)
class Piece:
    """A chapter's module: its own name, and where its source stands."""

    name: str
    file: str
    source: str


class OwnChapters:
    """A tree of the chapters that were handed in; they are imported when first asked for."""

    def __init__(self, reference: Tree, pieces: dict[str, Piece]):
        self.reference = reference
        self.pieces = pieces
        self._package = f"own_chapters_{next(numbers)}"
        self._failed: dict[str, BaseException] = {}

    @classmethod
    def handed_in(cls, reference: Tree, path: Path, chapter: str | None = None) -> "OwnChapters":
        """What a submission holds: the chapters in a folder, or the one chapter that a file is."""
        pieces = {}
        for one, reference_file in reference.files.items():
            file = find_submission(path, one, reference_file.name)
            if file is not None and (path.is_dir() or one == chapter):
                pieces[one] = Piece(reference_file.stem, str(file), _readable(file))
        return cls(reference, pieces)

    def blocked_by(self, chapter: str, modules: Iterable[str]) -> str | None:
        """Why an assembled check of a chapter cannot run, if it cannot: "ch3, which was not handed in"."""
        needed = [*needed_chapters(self.reference, chapter, modules), chapter]
        for one in needed:
            if one not in self.pieces:
                return f"{one}, which was not handed in"
        self._import_all()
        return next((f"{one}, which cannot be imported" for one in needed if one in self._failed), None)

    def module(self, chapter: str) -> ModuleType:
        self._import_all()
        return sys.modules[f"{self._package}.{chapter}.{self.pieces[chapter].name}"]

    def module_named(self, name: str) -> ModuleType:
        """A chapter's module by its own name: "attention"."""
        return next(self.module(chapter) for chapter, piece in self.pieces.items() if piece.name == name)

    def is_file(self, name: str) -> bool:
        return any(name == piece.file for piece in self.pieces.values())

    def forget(self) -> None:
        """Take the modules out of the process."""
        for name in [name for name in sys.modules if name.partition(".")[0] == self._package]:
            del sys.modules[name]

    def _import_all(self) -> None:
        """In order, as a chapter imports earlier ones; one that fails may be one that nobody needs."""
        if self._package in sys.modules:
            return
        _make_package(self._package)
        for chapter in sorted(self.pieces, key=_number):
            try:
                with time_limit(IMPORT_SECONDS):
                    self._import(chapter)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                self._failed[chapter] = error

    def _import(self, chapter: str) -> None:
        piece, package = self.pieces[chapter], f"{self._package}.{chapter}"
        _make_package(package)
        module = ModuleType(f"{package}.{piece.name}")
        module.__package__, module.__file__ = package, piece.file
        linecache.cache[piece.file] = (
            len(piece.source),
            None,
            piece.source.splitlines(keepends=True),
            piece.file,
        )
        sys.modules[module.__name__] = module
        try:
            exec(_compiled(piece), module.__dict__)
        except BaseException:
            del sys.modules[module.__name__]
            raise
        setattr(sys.modules[package], piece.name, module)


@functools.lru_cache(maxsize=64)
def _compiled(piece: Piece):
    return compile(piece.source, piece.file, "exec", dont_inherit=True)


def _make_package(name: str) -> None:
    package = ModuleType(name)
    package.__path__ = []  # nothing is looked for on a disk
    sys.modules[name] = package


def _readable(file: Path) -> str:
    try:
        return read_source(file)
    except (SyntaxError, UnicodeDecodeError):
        return file.read_text(encoding="utf-8", errors="replace")
