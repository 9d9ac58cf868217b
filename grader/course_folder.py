"""A course's own folder: where each part of a chapter stands around its course.toml."""

import ast
import importlib.util
import sys
from functools import cached_property
from pathlib import Path

from grader.chapters import RECORDING, Tree, read_source
from grader.checks import Check, checks_of
from grader.course_file import NAME, find_course_file, load_course
from grader.errors import GraderError
from grader.misconceptions import FILE_NAME
from grader.release import marked_parts

EXERCISES = "exercises"  # what students get of a chapter, all generated
HIDDEN = "tests"
HINTS = "course/hints"


class CourseFolder:
    """The folder that course.toml stands in."""

    def __init__(self, root: Path):
        self.root = root.resolve()
        self.course = load_course(self.root / NAME)

    @classmethod
    def around(cls, start: Path) -> "CourseFolder":
        file = find_course_file(start.resolve())
        if file is None:
            raise GraderError(f"there is no {NAME} here or above: run the command in the course's folder")
        return cls(file.parent)

    @cached_property
    def tree(self) -> Tree:
        """The reference's chapters, which become importable."""
        package = self.course.reference
        if not (self.root / package / "__init__.py").is_file():
            raise GraderError(
                f"{self.root} has no {package}/: this command needs the reference, and a hand-out has none"
            )
        if str(self.root) not in sys.path:
            sys.path.insert(0, str(self.root))
        return Tree.of_package(package)

    @property
    def stubs(self) -> dict[str, str]:
        """The modules as students got them."""
        files = {
            name: self.root / EXERCISES / name / f"{module}.py"
            for name, module in self.course.modules.items()
        }
        return {name: read_source(file) for name, file in files.items() if file.is_file()}

    @property
    def chapters(self) -> list[str]:
        """The chapters of course.toml and of the reference, in order."""
        return sorted({*self.course.chapters, *self.tree.files}, key=lambda chapter: int(chapter[2:]))

    def chapter(self, name: str) -> "ChapterFolders":
        if name not in self.chapters:
            raise GraderError(f"there is no chapter {name}; there are {', '.join(self.chapters)}")
        return ChapterFolders(self, name)


class ChapterFolders:
    """The files of one chapter."""

    def __init__(self, folder: CourseFolder, name: str):
        self.folder = folder
        self.name = name
        self.tree = folder.tree
        self.module_file = folder.tree.file(name)
        check_file = f"test_{self.module_file.name}"
        self.misconceptions_file = self.module_file.parent / FILE_NAME
        self.public_file = self.module_file.parent / check_file
        self.hidden_file = folder.root / HIDDEN / name / check_file
        self.another_way_file = self.hidden_file.with_name("another_way.py")
        self.one_liners_file = self.hidden_file.with_name("one_liners.py")
        self.hints_file = folder.root / HINTS / f"{name}.toml"
        self.exercises_folder = folder.root / EXERCISES / name
        self.recording = self.exercises_folder / RECORDING

    @cached_property
    def source(self) -> str:
        return read_source(self.module_file)

    @cached_property
    def exercises(self) -> list[str]:
        """The public functions and classes of the module that have a marked part, in its order."""
        begins = [part.begin for part in marked_parts(self.source, self.relative(self.module_file))]
        return [
            node.name
            for node in ast.parse(self.source).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and any(node.lineno < begin <= node.end_lineno for begin in begins)
        ]

    @cached_property
    def public_checks(self) -> list[Check]:
        return load_checks(self.public_file, f"{self.name}_public_checks")

    @cached_property
    def hidden_checks(self) -> list[Check]:
        return load_checks(self.hidden_file, f"{self.name}_hidden_checks")

    @property
    def points(self) -> dict[str, int]:
        chapter = self.folder.course.chapters.get(self.name)
        return chapter.points if chapter else {}

    def relative(self, path: Path) -> str:
        """A path as people read it: "solutions/ch3/attention.py"."""
        root = self.folder.root
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def load_checks(path: Path, name: str) -> list[Check]:
    """The checks of a file, which is run under a name of its own."""
    if not path.is_file():
        raise GraderError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except GraderError:
        raise
    except Exception as error:
        raise GraderError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return checks_of(module)
