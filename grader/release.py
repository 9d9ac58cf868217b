"""From solution to stub.

A solution's body stands between nbgrader's own markers, each alone on its line and indented as the body:

    def double(x):
        '''...'''
        ### BEGIN SOLUTION
        return 2 * x
        ### END SOLUTION

In a function the stub raises NotImplementedError in its place, naming what is not written yet. Outside of
functions (a solution's own constants and inner functions) a marked part just goes. Imports stay: the student
will want most of them.
"""

import ast
import difflib
import re
import tokenize
from dataclasses import dataclass
from io import StringIO

from grader.checks import NOT_WRITTEN
from grader.errors import GraderError

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"
ALIKE = 0.8  # a comment this much like a marker was meant as one


@dataclass(frozen=True)
class MarkedPart:
    """A marked part: the lines of its two markers, from 1, and their indentation."""

    begin: int
    end: int
    indent: str


def make_stub(source: str, filename: str) -> str:
    """A solution's source without its marked parts; markers that are not in order are refused."""
    tree = _parsed(source, filename)
    lines = source.splitlines(keepends=True)
    kept, position = [], 0
    for part in marked_parts(source, filename):
        kept += lines[position : part.begin - 1]
        function = _function_around(part, tree, lines, filename)
        if function:
            kept.append(f'{part.indent}raise NotImplementedError("{function}{NOT_WRITTEN}")\n')
        position = part.end
    stub = "".join(kept + lines[position:])
    _parsed(stub, f"the stub of {filename}")
    return stub


def marked_parts(source: str, filename: str) -> list[MarkedPart]:
    """The marked parts of a source, in order."""
    parts: list[MarkedPart] = []
    begin = None
    for line, column, text, alone in _comments(source):
        where = f"{filename}:{line}"
        if text not in (BEGIN, END):
            if _was_meant(text):
                raise GraderError(f"{where}: {text!r} is no marker; those are {BEGIN!r} and {END!r}")
            continue
        if not alone:
            raise GraderError(f"{where}: {text!r} must stand alone on its line")
        if text == BEGIN and begin is not None:
            raise GraderError(f"{where}: {BEGIN!r} inside of the part that began on line {begin[0]}")
        if text == BEGIN:
            begin = (line, column)
            continue
        if begin is None:
            raise GraderError(f"{where}: {END!r} without a {BEGIN!r} before it")
        if column != begin[1]:
            raise GraderError(f"{where}: {END!r} is not indented as its {BEGIN!r} on line {begin[0]}")
        parts.append(MarkedPart(begin[0], line, " " * column))
        begin = None
    if begin is not None:
        raise GraderError(f"{filename}:{begin[0]}: {BEGIN!r} without an {END!r}")
    return parts


def _comments(source: str):
    """Every comment: its line, column and text, and whether it stands alone. Strings are not searched."""
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            yield line, column, token.string.rstrip(), not token.line[:column].strip()


def _was_meant(comment: str) -> bool:
    """Whether a comment was meant as a marker. Three hashes are for markers only."""
    letters = re.sub("[^A-Z]", "", comment.upper())
    return comment.startswith("###") or any(
        difflib.SequenceMatcher(None, letters, marker).ratio() >= ALIKE
        for marker in ("BEGINSOLUTION", "ENDSOLUTION")
    )


def _function_around(part: MarkedPart, tree: ast.Module, lines: list[str], filename: str) -> str | None:
    """The dotted name of the function that a part stands in: "CausalAttention.forward"."""
    where = f"{filename}:{part.begin}"
    for line in lines[part.begin : part.end - 1]:
        if line.strip() and not line.startswith(part.indent):
            raise GraderError(f"{where}: the marked part holds a line indented less than its markers")
    inside = [(node, names) for node, names in _statements(tree, ()) if part.begin < node.lineno < part.end]
    if not inside:
        raise GraderError(f"{where}: nothing stands between the markers")
    if any(node.end_lineno > part.end for node, _ in inside):
        raise GraderError(f"{where}: the marked part ends in the middle of a statement")
    _, around = inside[0]
    return ".".join(name for name, _ in around) if around and around[-1][1] else None


def _statements(node: ast.AST, around: tuple[tuple[str, bool], ...]):
    """Every statement in the order of the source, with the (name, is a function) of what it stands in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child, around
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _statements(child, (*around, (child.name, not isinstance(child, ast.ClassDef))))
        else:
            yield from _statements(child, around)


def _parsed(source: str, filename: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise GraderError(f"{filename}:{error.lineno}: {error.msg}") from None
