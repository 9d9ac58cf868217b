"""Which module a check file looks at, and how modules are loaded: a chapter's, a submission's, a patched one.

A tree of chapters is a package with one folder per chapter, `ch3/`, and one module in each, `attention.py`.
Exercises, solutions and a student's own folder are such trees; none is known here by name.
"""

import importlib
import importlib.util
import linecache
import re
import sys
from functools import cached_property
from pathlib import Path
from types import ModuleType

from grader.errors import GraderError

CHAPTER = re.compile(r"ch\d+")
RECORDING = "expected.safetensors"  # beside public checks: what they expect
NOT_A_CHAPTERS_MODULE = ("test_", "__", "another_way", "conftest")


def chapter_of(check_file: Path) -> str:
    """The chapter that a check file belongs to: the name of its folder."""
    if not CHAPTER.fullmatch(check_file.parent.name):
        raise GraderError(f"{check_file}: a check file belongs in a chapter's folder, such as ch3/")
    return check_file.parent.name


def module_file(folder: Path) -> Path | None:
    """The one module of a chapter's folder."""
    files = [f for f in sorted(folder.glob("*.py")) if not f.name.startswith(NOT_A_CHAPTERS_MODULE)]
    if len(files) > 1:
        raise GraderError(
            f"{folder}: a chapter has one module, and here are {', '.join(f.name for f in files)}"
        )
    return files[0] if files else None


class Tree:
    """A package of chapters."""

    def __init__(self, package: str, folder: Path):
        self.package = package
        self.folder = folder

    @classmethod
    def of_package(cls, package: str) -> "Tree":
        """A tree by the name of its package, which can be imported."""
        try:
            module = importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise GraderError(f"there is no package of chapters named {package!r} ({error})") from None
        return cls(package, Path(module.__path__[0]))

    @classmethod
    def around(cls, chapter_folder: Path) -> "Tree":
        """The tree that a chapter's folder belongs to; it becomes importable."""
        root = chapter_folder.resolve().parent
        names = [root.name]
        while (root / "__init__.py").exists() and (root.parent / "__init__.py").exists():
            root = root.parent
            names.insert(0, root.name)
        if str(root.parent) not in sys.path:
            sys.path.insert(0, str(root.parent))
        return cls(".".join(names), chapter_folder.resolve().parent)

    @cached_property
    def files(self) -> dict[str, Path]:
        """Each chapter's module file, by chapter."""
        folders = [f for f in sorted(self.folder.iterdir()) if CHAPTER.fullmatch(f.name)]
        found = {folder.name: module_file(folder) for folder in folders}
        return {chapter: file for chapter, file in found.items() if file is not None}

    def file(self, chapter: str) -> Path:
        if chapter not in self.files:
            raise GraderError(f"{self.folder / chapter} has no module")
        return self.files[chapter]

    def module(self, chapter: str) -> ModuleType:
        """A chapter's module, imported as any other."""
        return importlib.import_module(f"{self.package}.{chapter}.{self.file(chapter).stem}")

    def module_named(self, name: str) -> ModuleType:
        """A chapter's module by its own name: "attention"."""
        for chapter, file in self.files.items():
            if file.stem == name:
                return self.module(chapter)
        raise GraderError(f"no chapter of {self.folder} has a module named {name!r}")

    def load(self, chapter: str, source: str, filename: str, label: str) -> ModuleType:
        """Other source in the place of a chapter's module: its relative imports find this tree's chapters."""
        package = f"{self.package}.{chapter}"
        importlib.import_module(package)
        name = f"{package}.{self.file(chapter).stem}__{label}"
        module = ModuleType(name)
        module.__package__ = package
        module.__file__ = filename
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        sys.modules[name] = module  # dataclasses look there
        try:
            exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
        return module


def find_submission(path: Path, chapter: str, file_name: str) -> Path | None:
    """A chapter's module in what a student handed in: the file itself, or in a folder."""
    if path.is_file():
        return path
    candidates = [path / file_name, path / chapter / file_name, path / "exercises" / chapter / file_name]
    return next((c for c in candidates if c.is_file()), None)


def read_source(path: Path) -> str:
    """A module's text, decoded as Python would; SyntaxError or UnicodeDecodeError if it cannot be."""
    return importlib.util.decode_source(path.read_bytes())
