"""The module that a notebook holds.

Grading keeps a notebook's functions and classes, and the imports and variables that they use. What else
happens when the notebook runs (experiments, plots, training) is left out. Plain values, and names for a
lambda or for another function, are kept, used or not; other variables never take a function's place. Of the
course's own experiments, as long as they stand there unchanged, only what the rest uses is kept.

As in a kernel, a later definition replaces an earlier one, and what fails leaves the rest alone: a cell that
is no Python is left out whole, and an import or a variable that fails is missing only where it is used.
"""

import __future__

import ast
import re
import symtable
import warnings
from collections import defaultdict
from dataclasses import dataclass

from grader.notebook_cells import NO_PYTHON, Cell, code_cells
from grader.places import EXERCISES, NOTES, Refused, some
from grader.safe_names import printable

NAMED = 5  # things left out of a cell that are named
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)
ASSIGNMENTS = (
    ast.Assign,
    ast.AnnAssign,
    ast.AugAssign,
    *([ast.TypeAlias] if hasattr(ast, "TypeAlias") else []),
)
BLOCKS = (ast.If, ast.Try)
SAFE = (ast.Constant, ast.Tuple, ast.List, ast.expr_context)  # no error comes of these
PLAIN = (*SAFE, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.unaryop, ast.operator)
PAUSES = (ast.Await, ast.Yield, ast.YieldFrom)
# What a notebook calls exercises.ch2.inputs is ..ch2.inputs in a module.
LONGEST = 300  # bytes of it
ABSOLUTE = re.compile(
    rf"from\s+{EXERCISES}(?:\.(?P<module>[\w.]+))?\s+import\b"
    rf"|import\s+{EXERCISES}(?:\.(?P<package>[\w.]+))?\.(?P<name>\w+)\s+as\b"
)


@dataclass(frozen=True)
class NotebookModule:
    """lines: for each line of the source the cell, and the line in it, that it comes from."""

    source: str
    lines: tuple[tuple[int, int], ...]
    notes: tuple[str, ...]


@dataclass(eq=False)
class _Statement:
    """A statement at the top of a cell.

    names: what it defines; None if it is of a kind that is left out. uses: the names of the module in it.
    given: whether its cell is the course's own.
    """

    cell: int
    given: bool
    line: int
    text: str
    node: ast.stmt
    names: frozenset[str] | None
    uses: frozenset[str]
    has_function: bool


def notebook_module(data: bytes, name: str) -> NotebookModule:
    """What grading keeps of a notebook. name: the file's, to be shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's, of a student's code
        cells = code_cells(data)
        statements = {cell.number: _statements(cell) for cell in cells}
    kept = _kept([statement for of_cell in statements.values() for statement in of_cell])
    if not kept:
        why = next((f" ({cell.problem})" for cell in cells if cell.problem), "")
        raise Refused(f"has no code cell that defines anything{why}")
    notes = [note for cell in cells for note in _notes(cell, statements[cell.number], kept)]
    source, lines = _written([one for of_cell in statements.values() for one in of_cell], kept, name)
    return NotebookModule(source, lines, some(notes, NOTES, "notes"))


# ---- statements ----


def _statements(cell: Cell) -> list[_Statement]:
    try:
        lines = [line.encode() for line in cell.lines]
        changed = _make_relative(cell.tree, lines)
        tree = ast.parse(b"\n".join(lines).decode()) if changed else cell.tree
        return [_statement(cell, node, lines) for node in tree.body]
    except NO_PYTHON:
        cell.problem = f"cell {cell.number}: it cannot be parsed"
        return []


def _statement(cell: Cell, node: ast.stmt, lines: list[bytes]) -> _Statement:
    decorators = [decorator.lineno for decorator in getattr(node, "decorator_list", [])]
    first = min([node.lineno, *decorators])
    rows = lines[first - 1 : node.end_lineno]
    start, end = 0 if decorators else node.col_offset, node.end_col_offset
    rows = [rows[0][start:end]] if len(rows) == 1 else [rows[0][start:], *rows[1:-1], rows[-1][:end]]
    text = b"\n".join(rows).decode()
    names = _names(node)
    return _Statement(
        cell=cell.number,
        given=cell.given,
        line=first,
        text=text,
        node=node,
        names=names,
        uses=frozenset() if names is None else _uses(text),
        has_function=names is not None and any(isinstance(part, FUNCTIONS) for part in ast.walk(node)),
    )


def _names(node: ast.stmt) -> frozenset[str] | None:
    """What a statement defines, if it is of a kind that is kept."""
    if isinstance(node, FUNCTIONS):
        return frozenset([node.name])
    if isinstance(node, IMPORTS):
        if getattr(node, "module", None) == "__future__":
            return None
        return frozenset(alias.asname or alias.name.partition(".")[0] for alias in node.names)
    if isinstance(node, ASSIGNMENTS):
        targets = getattr(node, "targets", None) or [getattr(node, "target", None) or node.name]
        parts = [part for target in targets for part in ast.walk(target)]
        if node.value is None or any(isinstance(part, PAUSES) for part in ast.walk(node.value)):
            return None
        if not all(isinstance(part, (ast.Name, ast.Starred, *SAFE)) for part in parts):
            return None  # a part of something: settings["width"] = 3
        return frozenset(part.id for part in parts if isinstance(part, ast.Name))
    if isinstance(node, BLOCKS):
        handlers = [statement for handler in getattr(node, "handlers", []) for statement in handler.body]
        inner = [*node.body, *handlers, *node.orelse, *getattr(node, "finalbody", [])]
        names = [_names(statement) for statement in inner if not _says_nothing(statement)]
        return None if None in names else frozenset().union(*names)
    return None


def _uses(text: str) -> frozenset[str]:
    """Names that a statement takes from the module, whether now or when a function in it is called."""
    module = symtable.symtable(text, "<cell>", "exec")
    tables, names = [module], set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        names |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if (symbol.is_referenced() if table is module else symbol.is_global())
        }
    return frozenset(names)


def _make_relative(tree: ast.Module, lines: list[bytes]) -> bool:
    """Rewrite imports of earlier chapters as modules have them; whether there were any."""
    before = list(lines)
    imports = [node for node in ast.walk(tree) if isinstance(node, IMPORTS)]
    for node in sorted(imports, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        line, start = lines[node.lineno - 1], node.col_offset
        match = ABSOLUTE.match(line[start : start + LONGEST].decode(errors="replace"))
        if match and (isinstance(node, ast.ImportFrom) or len(node.names) == 1):
            relative = f"from ..{match['module'] or match['package'] or ''} import"
            if match["name"]:
                relative += f" {match['name']} as"
            lines[node.lineno - 1] = line[:start] + relative.encode() + line[start + match.end() :]
    return lines != before


# ---- what is kept ----


def _kept(statements: list[_Statement]) -> set[_Statement]:
    """Functions and classes, what stands for itself, and what any of it uses, and so on."""
    statements = [one for one in statements if one.names is not None]
    functions = {name for one in statements if one.has_function for name in one.names}
    imports = {name for one in statements if isinstance(one.node, IMPORTS) for name in one.names}
    lasting = functions | imports
    makers = defaultdict(list)
    todo = []
    for one in statements:
        is_function = one.has_function or _names_a_function(one.node, lasting)
        if isinstance(one.node, ASSIGNMENTS) and not is_function and one.names & functions:
            continue  # an experiment's result, called like the function
        if (is_function or _is_plain(one.node)) and not one.given:
            todo.append(one)
        for name in one.names:
            makers[name].append(one)
    kept = set()
    while todo:
        one = todo.pop()
        if one not in kept:
            kept.add(one)
            todo += [maker for name in one.uses for maker in makers[name]]
    return kept


def _names_a_function(node: ast.stmt, lasting: set[str]) -> bool:
    """Whether an assignment gives a name to a lambda, or another name to something defined or imported."""
    if not isinstance(node, (ast.Assign, ast.AnnAssign)):
        return False
    value = node.value
    while isinstance(value, ast.Attribute):
        value = value.value
    return isinstance(value, ast.Lambda) or (isinstance(value, ast.Name) and value.id in lasting)


def _is_plain(node: ast.stmt) -> bool:
    """Whether a statement is kept though nothing uses it: a plain value, or an import of all there is."""
    if isinstance(node, ast.ImportFrom):
        return node.names[0].name == "*"
    return isinstance(node, (ast.Assign, ast.AnnAssign)) and _only(PLAIN, node.value)


def _only(kinds: tuple[type, ...], node: ast.AST) -> bool:
    return all(isinstance(part, kinds) for part in ast.walk(node))


def _notes(cell: Cell, statements: list[_Statement], kept: set[_Statement]) -> list[str]:
    """What is left out of a cell."""
    if cell.given:
        return []
    if cell.problem:
        return [f"{cell.problem}; the cell is left out"]
    ignored = [one for one in statements if one not in kept and not _says_nothing(one.node)]
    left_out = [*cell.magics.items(), *((one.line, one.text) for one in ignored)]
    left_out.sort(key=lambda one: one[0])
    named = [f"`{_first_line(text)}` (line {line})" for line, text in left_out[:NAMED]]
    more = [f"and {len(left_out) - NAMED:,} more"] if len(left_out) > NAMED else []
    return [f"cell {cell.number}, left out: {', '.join(named + more)}"] if named else []


def _first_line(text: str) -> str:
    return printable(text[:200].partition("\n")[0], 60)


def _says_nothing(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Pass)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.AnnAssign) and node.value is None)
        or (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    )


# ---- the module ----


def _written(statements: list[_Statement], kept: set[_Statement], name: str) -> tuple[str, tuple]:
    """The source, and where each of its lines comes from."""
    source: list[str] = []
    lines: list[tuple[int, int]] = []
    for one in statements:
        features = _future(one.node)
        if features:
            source.append(f"from __future__ import {', '.join(features)}")
            lines.append((one.cell, one.line))
    for one in statements:
        if one not in kept:
            continue
        rows = one.text.split("\n")
        origins = [(one.cell, one.line + number) for number in range(len(rows))]
        if _may_fail(one.node):
            where = f"{name}, cell {one.cell}, line {one.line}:"
            rows = [
                "try: " + rows[0],
                *rows[1:],
                f"except Exception as error_: print({where!r}, repr(error_))",
            ]
            origins.append((one.cell, one.line))
        source += rows
        lines += origins
    return "\n".join([*source, ""]), tuple(lines)


def _future(node: ast.stmt) -> list[str]:
    """The features of a `from __future__ import`, which must come first in a module."""
    if not (isinstance(node, ast.ImportFrom) and node.module == "__future__" and node.level == 0):
        return []
    return [alias.name for alias in node.names if alias.name in __future__.all_feature_names]


def _may_fail(node: ast.stmt) -> bool:
    """Whether a statement of one line may fail: it must not keep what follows from being defined."""
    if isinstance(node, ast.Assign) and all(isinstance(target, ast.Name) for target in node.targets):
        return not _only(SAFE, node.value)
    return isinstance(node, IMPORTS + ASSIGNMENTS)
