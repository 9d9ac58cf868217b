"""Does any part of a solution stand in what is handed out?

A solution's marked parts are taken apart into statements and expressions, and so is all code in the hand-out:
Python files, and in their strings and comments, in pages and hints whatever reads as Python. Two of them are
the same if they differ only in layout, names of variables, annotations, and whether an argument is given by
name. Text is searched as it stands, too, for formulas in the middle of a sentence.
"""

import ast
import builtins
import io
import re
import textwrap
import tokenize
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from grader.release import marked_parts

# Below so many nodes an expression is what anyone writes: x.shape[-1], torch.zeros(n, n), nn.Linear(a, b).
MIN_NODES = 8
MIN_WHOLE = 5  # of what is all that an exercise asks for
SEARCHED = (".py", ".md", ".toml", ".txt", ".ipynb", ".html")
KEPT_NAMES = frozenset(dir(builtins)) | {"torch", "nn", "F", "math", "np", "numpy"}
NOT_PARTS = frozenset({"ctx", "annotation", "returns", "type_comment", "type_params", "kind"})
SIGNS = ast.operator | ast.unaryop | ast.cmpop | ast.boolop | ast.expr_context
BACKTICKS = re.compile(r"`+([^`]+)`+")
PROMPT = re.compile(r"^(>>> ?|\.\.\. ?|[-*+] |\d+\. |#+ ?)")


@dataclass(frozen=True)
class Leak:
    """A part of a solution, where it stands there (file:line), and where it was found."""

    solution: str
    found: str
    text: str

    def __str__(self) -> str:
        return f"{self.found}: {textwrap.shorten(self.text, 100)} ({self.solution})"


class HandOutIndex:
    """Everything in a hand-out that a solution's parts are compared with."""

    def __init__(self, files: dict[str, bytes]):
        self.forms: dict[int, list[tuple[str, ast.AST]]] = defaultdict(list)
        self.texts: list[_Compact] = []
        for name, data in files.items():
            if name.endswith(SEARCHED):
                text = data.decode("utf-8")
                self.texts.append(_Compact(name, text))
                for line, tree in _code_in(name, text):
                    for node, form, _ in _forms(tree, MIN_WHOLE):
                        self.forms[form].append((f"{name}:{line + node.lineno - 1}", node))

    def leaks(self, source: str, filename: str) -> list[Leak]:
        """The marked parts of a solution that stand in the hand-out: each largest one, not its own parts."""
        found, covered = [], set()
        for node, form in _marked(source, filename):
            if id(node) in covered:
                continue
            spelling = _spelling(node)
            places = [where for where, other in self.forms.get(form, ()) if _spelling(other) == spelling]
            code = ast.get_source_segment(source, node)
            for text in dict.fromkeys((ast.unparse(node), code)):
                places += [place for each in self.texts if (place := each.find(text))]
            if places:
                covered |= {id(part) for part in ast.walk(node)}
                where = f"{filename}:{node.lineno}"
                found += [Leak(where, place, ast.unparse(node)) for place in dict.fromkeys(places)]
        return found


class _Compact:
    """A text without white space, to be searched whatever its layout."""

    def __init__(self, name: str, text: str):
        self.name = name
        lines = ["".join(line.split()) for line in text.splitlines()]
        self.text = "".join(lines)
        self.starts = [0, *accumulate(len(line) for line in lines)]

    def find(self, text: str) -> str | None:
        at = self.text.find("".join(text.split()))
        return None if at < 0 else f"{self.name}:{bisect_right(self.starts, at)}"


def _marked(source: str, filename: str) -> list[tuple[ast.AST, int]]:
    """What stands between a solution's markers, the largest first; of a part with one statement also that."""
    inside: dict[int, tuple[ast.AST, int]] = {}
    tree = ast.parse(source)
    forms = _forms(tree, MIN_WHOLE)
    for part in marked_parts(source, filename):
        within = [
            (node, form, size)
            for node, form, size in forms
            if part.begin < node.lineno and node.end_lineno < part.end
        ]
        statements = [node for node, _, _ in within if isinstance(node, ast.stmt)]
        whole = [statements[0], getattr(statements[0], "value", None)] if len(statements) == 1 else []
        inside |= {
            id(node): (node, form) for node, form, size in within if size >= MIN_NODES or node in whole
        }
    return sorted(inside.values(), key=lambda pair: -len(_spelling(pair[0])))


# ---- what makes two pieces of code the same ----


def _forms(tree: ast.AST, least: int) -> list[tuple[ast.AST, int, int]]:
    """Statements and expressions of `least` nodes or more, the number that equal ones share, and the size."""
    found = []

    def walk(node: ast.AST) -> tuple[int, int]:
        below = [walk(child) for child in _children(node)]
        size = 1 + sum(size for size, _ in below)
        form = hash((type(node).__name__, _own(node), *(form for _, form in below)))
        if size >= least and isinstance(node, ast.expr | ast.stmt):
            found.append((node, form, size))
        return size, form

    walk(tree)
    return found


def _spelling(node: ast.AST) -> list:
    """A node in full, its variables numbered in the order in which they come."""
    numbers: dict[str, int] = {}
    spelt: list = []

    def walk(node: ast.AST) -> None:
        own = _own(node)
        if own is None:
            name = node.id if isinstance(node, ast.Name) else node.arg
            own = numbers.setdefault(name, len(numbers))
        spelt.append((type(node).__name__, own))
        for child in _children(node):
            walk(child)
        spelt.append(None)

    walk(node)
    return spelt


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for name, value in ast.iter_fields(node):
        if name in NOT_PARTS:
            continue
        parts = value if isinstance(value, list) else [value]
        if name == "body" and _is_docstring(parts):
            parts = parts[1:]
        for part in parts:
            if isinstance(part, ast.keyword):
                yield part.value
            elif isinstance(part, ast.AST) and not isinstance(part, SIGNS):
                yield part


def _is_docstring(body: list) -> bool:
    first = body[0] if body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)


def _own(node: ast.AST) -> tuple | None:
    """What tells a node from others of its type, its children aside; None for a variable."""
    match node:
        case ast.Name(name):
            return (name,) if name in KEPT_NAMES else None
        case ast.arg():
            return None
        case ast.Call(ast.Name(name)) | ast.Attribute(attr=name):
            return (name,)
        case ast.Constant(value):
            return type(value).__name__, repr(value)
        case ast.BinOp(op=op) | ast.UnaryOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op):
            return (type(op).__name__,)
        case ast.Compare(ops=ops):
            return tuple(type(op).__name__ for op in ops)
    return ()


# ---- code, wherever it stands ----


def _code_in(name: str, text: str) -> Iterator[tuple[int, ast.AST]]:
    """Every syntax tree in a file, with the line where it begins."""
    if not name.endswith(".py"):
        yield from _code_in_text(text, 1)
        return
    tree = ast.parse(text)
    yield 1, tree
    yield from _code_in_strings(tree, 1)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield from _code_in_text(token.string, token.start[0])


def _code_in_strings(tree: ast.AST, first: int) -> Iterator[tuple[int, ast.AST]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _code_in_text(node.value, first + node.lineno - 1)


def _code_in_text(text: str, first: int) -> Iterator[tuple[int, ast.AST]]:
    """What reads as Python in a text: its lines, its paragraphs, and what stands in backticks."""
    for number, snippet in dict.fromkeys(_snippets(text)):
        if len(snippet) < MIN_NODES or snippet.isidentifier():
            continue
        try:
            tree = ast.parse(snippet)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        yield first + number, tree
        yield from _code_in_strings(tree, first + number)


def _snippets(text: str) -> Iterator[tuple[int, str]]:
    """(line from 0, text)."""
    for match in BACKTICKS.finditer(text):
        yield text.count("\n", 0, match.start()), match[1].strip()
    lines = [PROMPT.sub("", line.strip()) for line in text.splitlines()]
    for number, line in enumerate(lines):
        yield number, line
        yield number, line.rpartition("= ")[2] if "= " in line else ""
    number = 0
    for paragraph in re.split(r"\n\s*\n", text):
        block = textwrap.dedent(re.sub(r"(?m)^(\s*)(>>> ?|\.\.\. ?)", r"\1", paragraph).strip("\n"))
        yield number, block
        number += paragraph.count("\n") + 2
