"""The code cells of a notebook, as Python: without magics, and only those that a kernel would run at all."""

import ast
import hashlib
import json
import re
import symtable
from dataclasses import dataclass, field

from grader.places import BRACKETS, CELLS, CODE, PARSED_AGAIN, Refused, size_text
from grader.safe_names import printable

GIVEN = "given"  # in a cell's metadata: the mark of the text with which it was handed out
RUN_BY_MAGIC = ("time", "capture", "prun")  # %%time: the cell below it runs as it would without
MAGIC = re.compile(r"[%!?]|[\w\s,.\[\]]+=\s*[%!]|[\w.*\[\]]+\?{1,2}$")
# all that Python's parser raises for what is no Python, or too deep
NO_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


@dataclass
class Cell:
    """A code cell. number: its place among all cells, from 1; lines: its text, where magics are `pass`.

    given: whether it is the course's own, as it was handed out.
    """

    number: int
    lines: list[str]
    given: bool = False
    tree: ast.Module = field(default_factory=lambda: ast.Module([], []))
    magics: dict[int, str] = field(default_factory=dict)  # by line
    problem: str = ""  # why it is no Python

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def code_cells(data: bytes) -> list[Cell]:
    """Read a notebook's file and parse its code cells."""
    cells = []
    for number, cell in enumerate(_cells(data), 1):
        if not isinstance(cell, dict):
            raise Refused(f"is no notebook (cell {number} is no table)")
        if cell.get("cell_type") != "code":
            continue
        source = cell.get("source")
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if not isinstance(source, str):
            raise Refused(f"is no notebook (cell {number} has no source)")
        source = source.replace("\r\n", "\n").replace("\r", "\n")
        given = _inside(cell, "metadata", GIVEN) == given_mark(source)
        cells.append(Cell(number, source.split("\n"), given))
    if sum(len(line) + 1 for cell in cells for line in cell.lines) > CODE:
        raise Refused(f"holds more than {size_text(CODE)} of code")
    room = PARSED_AGAIN
    for cell in cells:
        room = _parse(cell, room)
    return cells


def given_mark(source: str) -> str:
    """By which a cell is known as long as nobody changes it."""
    return hashlib.sha256(source.strip().encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _cells(data: bytes) -> list:
    if b"\0" in data[:4]:
        raise Refused("is UTF-16 or UTF-32: save it as UTF-8")
    if data.count(b"[") + data.count(b"{") > BRACKETS:
        raise Refused(f"holds more than {BRACKETS:,} lists and tables: clear its outputs")
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Refused("is not UTF-8, as notebooks are") from None
    except json.JSONDecodeError as error:
        raise Refused(f"is no notebook (line {error.lineno}: {error.msg})") from None
    except (ValueError, RecursionError, MemoryError):
        raise Refused("is no notebook (its JSON is too deep or too large)") from None
    if isinstance(notebook, dict) and "worksheets" in notebook:
        raise Refused("is in a notebook format of before 2015: open it in Jupyter and save it")
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise Refused("is no notebook (it has no list of cells)")
    if len(cells) > CELLS:
        raise Refused(f"has more than {CELLS:,} cells")
    language = _inside(notebook, "metadata", "kernelspec", "language") or _inside(
        notebook, "metadata", "language_info", "name"
    )
    if isinstance(language, str) and "python" not in language.lower():
        raise Refused(f"is a notebook in {printable(language, 40)}, not in Python")
    return cells


def _inside(table: object, *keys: str) -> object:
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table


# ---- parsing ----


def _parse(cell: Cell, room: int) -> int:
    """Parse a cell, or note why not; return how much may still be parsed again."""
    _unindent(cell.lines)
    first = next((n for n, line in enumerate(cell.lines) if line.strip()), None)
    if first is not None and cell.lines[first].startswith("%%"):
        magic = cell.lines[first].strip()
        cell.magics[first + 1] = magic
        if magic[2:].split()[:1] and magic[2:].split()[0] in RUN_BY_MAGIC:
            cell.lines[first] = ""
        else:
            cell.lines = []
    while True:
        try:
            cell.tree = ast.parse(cell.text)
            symtable.symtable(cell.text, "<cell>", "exec")  # finds errors that the parser does not look for
            _check_placed(cell.tree)
            return room
        except NO_PYTHON as error:
            line = getattr(error, "lineno", None) or 0
            if isinstance(error, SyntaxError) and room > 0 and _take_magic(cell, line):
                room -= len(cell.text)
                continue
            cell.tree, cell.lines = ast.Module([], []), []
            what = printable(error.msg, 100) if isinstance(error, SyntaxError) else "it cannot be parsed"
            cell.problem = (
                f"cell {cell.number}, line {line}: {what}" if line else f"cell {cell.number}: {what}"
            )
            return room


def _unindent(lines: list[str]) -> None:
    """Take the first line's indentation off all lines, as a kernel does."""
    first = next((line for line in lines if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    for number, line in enumerate(lines):
        lines[number] = line.removeprefix(indent)


def _take_magic(cell: Cell, number: int) -> bool:
    """Replace the line where the parser stopped, if it is a magic (%time, !ls, x = !ls, ?f, f?)."""
    while 1 < number <= len(cell.lines) and cell.lines[number - 2].endswith("\\"):
        number -= 1
    if not 0 < number <= len(cell.lines) or not MAGIC.match(cell.lines[number - 1].strip()):
        return False
    line = cell.lines[number - 1]
    cell.magics[number] = line.strip()
    cell.lines[number - 1] = line[: len(line) - len(line.lstrip())] + "pass"
    while line.endswith("\\") and number < len(cell.lines):
        line, cell.lines[number] = cell.lines[number], ""
        number += 1
    return True


def _check_placed(tree: ast.Module) -> None:
    """Find the commonest errors that Python finds only when it makes code, which is not done here."""
    todo: list[tuple[ast.AST, str, bool]] = [(tree, "", False)]
    while todo:
        node, function, loop = todo.pop()
        match node:
            case ast.Return() | ast.Yield() | ast.YieldFrom() if not function:
                raise _misplaced(node, "outside a function")
            case ast.Break() | ast.Continue() if not loop:
                raise _misplaced(node, "outside a loop")
            case ast.Await() | ast.AsyncFor() | ast.AsyncWith() if function == "def":
                raise _misplaced(node, "in a function that is not async")
            case ast.FunctionDef() | ast.Lambda():
                function, loop = "def", False
            case ast.AsyncFunctionDef():
                function, loop = "async def", False
            case ast.ClassDef():
                function, loop = "", False
            case ast.For() | ast.AsyncFor() | ast.While():
                todo += [(child, function, loop) for child in node.orelse]
                todo += [(child, function, True) for child in node.body]
                continue  # what it loops over holds no statement
        todo += [(child, function, loop) for child in ast.iter_child_nodes(node)]


def _misplaced(node: ast.AST, where: str) -> SyntaxError:
    return SyntaxError(f"{type(node).__name__.lower()} {where}", ("", node.lineno, 0, ""))
