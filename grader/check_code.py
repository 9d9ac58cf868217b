"""A check's own code, for people: the lines they are shown, and which of their functions a value comes from.

    layer = draw.fill(attention.CausalAttention(d_in=6, d_out=4, context_length=6, dropout=0.0))
    _, weights = layer(draw.normal(1, 6, 6))
    return weights[0]

What is returned there comes from CausalAttention.forward: `layer` was made by the class, and is called.
"""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from grader.checks import Check
from grader.own_line import header
from grader.wrapping import fill

MOST_LINES = 18
LONGEST = 20  # that a single statement may fill
BLOCKS = ("body", "handlers", "orelse", "finalbody")
ITSELF = ("to", "eval", "train", "float", "double", "cpu", "requires_grad_")  # they return their module
SPECIAL = ("__getitem__", "__len__")
Unit = tuple[ast.stmt, int, int]  # a simple statement, or the head of a compound one, with its lines


@functools.lru_cache(maxsize=16)
def _definitions(source: str) -> dict[str, ast.stmt]:
    return {node.name: node for node in ast.parse(source).body if hasattr(node, "name")}


@dataclass(frozen=True)
class Origin:
    """What of the student's module a value comes from.

    kind: "returned" by the function `name`, the "attribute" `name`, "made" by the class `name` or "inside" of
    what that made; and on the way the "piece" `name` itself, a function or class.
    """

    kind: str
    name: str


@functools.lru_cache(maxsize=1024)  # many submissions fail the same checks
def check_code(check: Check) -> "CheckCode":
    return CheckCode(check)


class CheckCode:
    """The code of a check's function."""

    def __init__(self, check: Check):
        source = check.path.read_text(encoding="utf-8")
        self.lines = source.splitlines()
        self.module = check.parameters[0]
        self.function = _definitions(source)[check.name]
        body = self.function.body
        self.units = _units(body[1:] or body)  # without the docstring

    # ---- the lines that are shown ----

    @functools.lru_cache(maxsize=1024)  # noqa: B019  (kept as long as check_code keeps it)
    def shown(self, width: int, marked: str = "") -> str:
        """Its lines, folded; of a long check those that use the student's module.

        marked: the header of a statement that gets a ">".
        """
        is_marked = [header(node) == marked for node, _, _ in self.units]
        texts = [self._text(unit, width, mark) for unit, mark in zip(self.units, is_marked, strict=True)]
        kept = set(range(len(texts)))
        if sum(map(len, texts)) > MOST_LINES:
            kept = self._using() | {i for i in kept if is_marked[i]}
        for i in sorted(kept)[:-1]:  # the last one returns
            if sum(len(texts[k]) for k in kept) > MOST_LINES and not is_marked[i]:
                kept.discard(i)
        shown: list[str] = []
        for i, text in enumerate(texts):
            if i in kept:
                shown += text[:LONGEST] + ["    ..."] * (len(text) > LONGEST)
            elif shown[-1:] != ["    ..."]:
                shown.append("    ...")
        return "\n".join(shown)

    def _text(self, unit: Unit, width: int, is_marked: bool) -> list[str]:
        _, first, last = unit
        folded: list[str] = []
        for line in self.lines[first - 1 : last]:
            if line.strip()[:1] not in ("", "#"):
                folded += fill(line, width, later=" " * (len(line) - len(line.lstrip()) + 4))
        return ["  > " + folded[0][4:], *folded[1:]] if is_marked else folded

    def _using(self) -> set[int]:
        """The units that use the student's module, or what came of it; and the last one."""
        touched, kept = {self.module}, {len(self.units) - 1}
        for i, (node, _, _) in enumerate(self.units):
            names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
            if touched & {name.id for name in names}:
                touched |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
                kept.add(i)
        return kept

    # ---- where a value comes from ----

    def origins_at(self, path: tuple) -> list[Origin]:
        """Where that comes from which the check returns at a path of keys and indices."""
        returns = [node for node in ast.walk(self.function) if isinstance(node, ast.Return)]
        last = max(returns, key=lambda node: node.lineno, default=None)
        return self.origins(_part_at(last.value, path)) if last and last.value else []

    def origins_in(self, statement: str, part: str) -> list[Origin]:
        """Where that comes from which stands in a part of a statement."""
        for unit, _, _ in self.units:
            if header(unit) == statement:
                for node in ast.walk(unit):
                    if isinstance(node, ast.expr) and ast.unparse(node) == part:
                        return self.origins(node)
        return []

    def origins(self, node: ast.expr) -> list[Origin]:
        """Every origin of a value; what is only made counts where nothing is returned or read."""
        found = list(dict.fromkeys(self._origins(node, frozenset())))
        return [one for one in found if one.kind in ("returned", "attribute")] or found

    def _origins(self, node: ast.AST, names: frozenset[str]) -> list[Origin]:
        match node:
            case ast.Name(name):
                if name == self.module or name in names:
                    return []
                value = self._assigned(name, node.lineno)
                return self._origins(value, names | {name}) if value is not None else []
            case ast.Attribute(ast.Name(module), name) if module == self.module:
                return [Origin("piece", name)]
            case ast.Attribute(value, name):
                return [_attribute(one, name) for one in self._origins(value, names)]
            case ast.Call(function, arguments, keywords):
                called = self._origins(function, names)
                if called:
                    return [_called(one) for one in called]
                parts = [*arguments, *(keyword.value for keyword in keywords)]
                found = [one for part in parts for one in self._origins(part, names)]
                return [_passed_to(ast.unparse(function), one) for one in found]
            case ast.Subscript(value):
                return [_passed_to("__getitem__", one) for one in self._origins(value, names)]
            case _:
                parts = list(ast.iter_child_nodes(node))
        return [one for part in parts for one in self._origins(part, names)]

    def _assigned(self, name: str, line: int) -> ast.expr | None:
        """The value that a name has on a line: of its last assignment before, else of the first."""
        values = list(_assignments(self.function, name))
        before = [value for at, value in values if at < line]
        return before[-1] if before else values[0][1] if values else None


def _units(body: list, end: int | None = None) -> list[Unit]:
    units: list[Unit] = []
    for node in body:
        inner = [part for name in BLOCKS for part in getattr(node, name, [])]
        first = node.lineno if end is None else end + 1  # an `else:` goes with what follows it
        if not inner or inner[0].lineno == node.lineno:
            units.append((node, first, node.end_lineno))
        else:
            units.append((node, first, inner[0].lineno - 1))
            units += _units(inner, inner[0].lineno - 1)
        end = node.end_lineno
    return units


def _part_at(node: ast.expr, path: tuple) -> ast.expr:
    """The part of a returned expression that is found at a path, as far as it is written out."""
    if not path:
        return node
    match node:
        case ast.Dict(keys, values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and key.value == path[0]:
                    return _part_at(value, path[1:])
        case ast.List(parts) | ast.Tuple(parts):
            if path[0] in range(len(parts)) and not any(isinstance(part, ast.Starred) for part in parts):
                return _part_at(parts[path[0]], path[1:])
        case ast.BinOp(left, ast.BitOr(), right):  # of two dicts
            found = [part for side in (left, right) if (part := _part_at(side, path)) is not side]
            return found[0] if found else node
    return node


def _assignments(function: ast.AST, name: str) -> Iterator[tuple[int, ast.expr]]:
    """What a name is given in a function, and on which lines."""
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets, value):
                yield from ((node.lineno, one) for target in targets for one in _given(target, value, name))
            case ast.NamedExpr(target, value):
                yield from ((node.lineno, one) for one in _given(target, value, name))
            case ast.For(target, value) | ast.comprehension(target, value):
                yield from ((value.lineno - 1, one) for one in _given(target, value, name))
            case ast.withitem(value, ast.expr() as target):
                yield from ((value.lineno - 1, one) for one in _given(target, value, name))


def _given(target: ast.expr, value: ast.expr, name: str) -> Iterator[ast.expr]:
    """What a name in a target is given of the value."""
    match target, value:
        case ast.Name(found), _:
            if found == name:
                yield value
        case ast.Tuple(targets) | ast.List(targets), ast.Tuple(values) | ast.List(values):
            for one, other in zip(targets, values, strict=False):
                yield from _given(one, other, name)
        case ast.Tuple(targets) | ast.List(targets), _:
            for one in targets:
                yield from _given(one, value, name)


def _attribute(of: Origin, name: str) -> Origin:
    if of.kind == "piece" and name.startswith("from_"):  # another constructor
        return Origin("piece", of.name)
    return Origin("attribute", f"{of.name}.{name}") if of.kind in ("made", "piece") else of


def _called(called: Origin) -> Origin:
    match called:
        case Origin("piece", name):
            return Origin("made" if name[:1].isupper() else "returned", name)
        case Origin("made", name):
            return Origin("returned", f"{name}.forward")
        case Origin("attribute", name):
            made, _, method = name.rpartition(".")
            if method in ITSELF:
                return Origin("made", made)
            of_torch = method != "forward" and hasattr(nn.Module, method)  # named_parameters, state_dict ...
            return Origin("inside", made) if of_torch else Origin("returned", name)
    return called


def _passed_to(function: str, one: Origin) -> Origin:
    """What comes back when a function of the check's, or of Python's, gets it."""
    match one:
        case Origin("piece", name):  # as in refused(sampling.top_k_filter, 0)
            return Origin("inside" if name[:1].isupper() else "returned", name)
        case Origin("made", name) if not function.endswith(".fill"):
            special = {"len": "__len__"}.get(function, function)
            return Origin("attribute", f"{name}.{special}") if special in SPECIAL else Origin("inside", name)
    return one
