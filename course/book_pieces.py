"""The pieces that the book's cells use: the reader's own chapter once it is written, else the reference's."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from .errors import CourseError
from .pieces import MODULES, REFERENCE, has_reference, unwritten_names

OWN = "exercises"


def pieces(chapter: str) -> ModuleType:
    """A chapter's module: `attention = pieces("ch3")`."""
    name = f"{chapter}.{MODULES[chapter]}"
    own = importlib.util.find_spec(f"{OWN}.{name}")
    lacking = unwritten_names(Path(own.origin)) if own else [MODULES[chapter]]
    if not lacking:
        return importlib.import_module(f"{OWN}.{name}")
    if has_reference():
        return importlib.import_module(f"{REFERENCE}.{name}")
    raise CourseError(
        f"these exercises of {chapter} come first: {', '.join(lacking)} (pytest {OWN}/{chapter})"
    )
