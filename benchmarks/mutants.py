"""Small mistakes put into a solution one at a time, by the operators of cosmic-ray.

All of its operators that need no arguments; the two that do (VariableReplacer and VariableInserter) choose at
random. Only what a student writes is changed, the marked parts, and no annotation in them. None of the
operators touches a string, so docstrings stay too.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from grader.release import marked_parts

Position = tuple[int, int]  # line from 1, column from 0


@dataclass(frozen=True)
class Mutant:
    """A solution with one mistake, and what the mistake is."""

    within: str  # the function or method it is in: "BPETokenizer.encode"
    line_number: int
    line: str  # of the solution; several are joined to one
    becomes: str
    operator: str
    source: str

    @property
    def exercise(self) -> str:
        return self.within.partition(".")[0]


def make_mutants(source: str, filename: str) -> list[Mutant]:
    """Every mutant of a solution that is Python and says something else, in the order of its lines."""
    parts = marked_parts(source, filename)
    tree = ast.parse(source)
    annotations = list(_annotations(tree))
    seen = {ast.dump(tree)}
    mutants = []
    for statement in tree.body:
        if not any(statement.lineno <= part.begin <= statement.end_lineno for part in parts):
            continue
        # Each statement by itself, as parsing is what takes the time; blank lines keep the line numbers.
        lines = source.splitlines(keepends=True)
        begin = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))])
        end = statement.end_lineno
        text = "\n" * (begin - 1) + "".join(lines[begin - 1 : end])
        for operator, occurrence, position in _places(text):
            if not any(part.begin < position[0] < part.end for part in parts):
                continue
            if any(first <= position < last for first, last in annotations):
                continue
            changed = mutate_code(text, operator, occurrence)
            whole = "".join(lines[: begin - 1]) + changed[begin - 1 :] + "".join(lines[end:])
            try:
                meaning = ast.dump(ast.parse(whole))
            except SyntaxError:
                continue
            if meaning in seen:
                continue
            seen.add(meaning)
            before, after = _difference(text, changed)
            within = _name_around(statement, position[0])
            name = type(operator).__name__
            mutants.append(Mutant(within, position[0], before, after, name, whole))
    return sorted(mutants, key=lambda mutant: mutant.line_number)


def _places(text: str) -> Iterator[tuple[object, int, Position]]:
    """Each operator with the places where it applies, counted in the order in which cosmic-ray walks."""
    nodes = list(ast_nodes(get_ast(text)))
    for name in operator_names():
        if get_operator(name).arguments():
            continue
        operator = get_operator(name)()
        positions = [position for node in nodes for position, _ in operator.mutation_positions(node)]
        for occurrence, position in enumerate(positions):
            yield operator, occurrence, position


def _annotations(tree: ast.Module) -> Iterator[tuple[Position, Position]]:
    for node in ast.walk(tree):
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if annotation is not None:
                first = annotation.lineno, annotation.col_offset
                yield first, (annotation.end_lineno, annotation.end_col_offset)


def _name_around(statement: ast.stmt, line: int) -> str:
    names = [getattr(statement, "name", "")]
    for node in getattr(statement, "body", ()):
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= node.end_lineno:
            names += [node.name] if isinstance(statement, ast.ClassDef) else []
    return ".".join(names)


def _difference(before: str, after: str) -> tuple[str, str]:
    """The lines that differ, as one line each, without comments."""
    old, new = ([line.partition("  #")[0] for line in text.splitlines()] for text in (before, after))
    head = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False))))
    old, new = old[head:], new[head:]
    pairs = zip(reversed(old), reversed(new), strict=False)
    tail = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    return tuple(" ".join(" ".join(part[: len(part) - tail]).split()) for part in (old, new))
