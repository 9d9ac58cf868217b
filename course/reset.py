"""`course reset`: puts one stub back, or a whole chapter's, and keeps a copy of what was there."""

import ast
from pathlib import Path

from .errors import CourseError
from .handed_out import stub_of
from .screen import say, shown
from .whole_file import write_whole
from .workplace import Workplace, free_name, named

BEFORE_RESET = ".before-reset-"  # then a number: the end of a copy that is kept


def reset(place: Workplace, typed: str) -> None:
    """typed: the name of an exercise or of a chapter, or how it begins."""
    name = named(typed, [*place.chapters, *place.exercise_names], "exercise or chapter")
    chapter = name if name in place.chapters else place.exercise_names[name].name
    module = place.module(chapter)
    stub = stub_of(place, chapter)
    if stub is None:
        raise CourseError(
            f"there is no second copy of {shown(module)} to put back; work in a folder that"
            " `course start` makes"
        )
    before = module.read_bytes() if module.is_file() else b""
    if name == chapter or not before.strip():  # one definition alone would lack the imports
        after, back = stub.read_bytes(), f"{chapter} is as it was handed out."
    else:
        after = with_stub(before, stub.read_bytes(), name, shown(module), chapter)
        back = f"{name} is a stub again."
    if after == before:
        say(f"{shown(module)}: nothing to put back, {name} is as it was handed out.")
        return
    if before:
        kept = free_name(module, BEFORE_RESET)
        with write_whole(kept) as file:
            file.write(before)
        say(f"Kept what was there in {shown(kept)}.")
    with write_whole(module) as file:
        file.write(after)
    say(f"{back} Next: course watch {chapter}")


def with_stub(before: bytes, stub: bytes, name: str, shown: str, chapter: str) -> bytes:
    """A module with one definition replaced by the stub's; every other byte as it was.

    A definition that is gone comes back after the one that precedes it in the stub.
    """
    try:
        there = definitions(before)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if getattr(error, "lineno", None) else ""
        raise CourseError(
            f"{shown}{line}: {getattr(error, 'msg', error)}; mend that first,"
            f" or put the whole chapter back: course reset {chapter}"
        ) from None
    handed_out = definitions(stub)
    if name not in handed_out:
        raise CourseError(f"the installed course has no {name} in its {Path(shown).name}")
    first, last = handed_out[name]
    newline = b"\r\n" if b"\r\n" in before else b"\n"
    new = [line.rstrip(b"\r\n") + newline for line in _lines(stub)[first:last]]
    lines = _lines(before)
    if name in there:
        first, last = there[name]
        if last == len(lines) and not lines[-1].endswith((b"\n", b"\r")):
            new[-1] = new[-1].removesuffix(newline)
        return b"".join(lines[:first] + new + lines[last:])
    names = list(handed_out)
    precede = [there[each][1] for each in names[: names.index(name)] if each in there]
    at = precede[-1] if precede else len(lines)
    if at and not lines[at - 1].endswith((b"\n", b"\r")):
        lines[at - 1] += newline
    return b"".join([*lines[:at], newline, newline, *new, *lines[at:]])


def definitions(source: bytes) -> dict[str, tuple[int, int]]:
    """The functions and classes at a module's top level: where their lines begin, from 0, and end.

    Of two with one name the last, which is the one that Python uses.
    """
    places = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            places[node.name] = (first - 1, node.end_lineno)
    return places


def _lines(source: bytes) -> list[bytes]:
    r"""Lines as Python counts them: bytes break at \n, \r and \r\n only."""
    return source.splitlines(keepends=True)
