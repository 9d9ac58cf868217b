"""What did not fit a check's own line: for an exception with no line of the student's in its traceback.

`_, weights = layer(x)` raises in the check when `layer` returns one tensor, and the exception says little of
that. Here the part of the line that failed is found, and looked at again.
"""

import ast
import contextlib
import inspect
import io
import sys
import warnings
from collections.abc import Callable
from types import FrameType, ModuleType, TracebackType

from torch import nn

from grader.observations import freeze
from grader.observe import OwnLine, Setting, clean_state
from grader.time_limit import TimeUp, time_limit

SECONDS = 2.0  # for one more look
MAX_VALUES = 4
UNKNOWN = object()
Place = tuple[ast.stmt, ast.expr | ast.stmt]


def own_line(
    error: BaseException, function: Callable, module: ModuleType, setting: Setting
) -> OwnLine | None:
    """The line of the check's function that raised; None where its source is not at hand."""
    steps = _steps_in(error.__traceback__, function)
    try:
        tree = ast.parse(inspect.getsource(function))
    except (OSError, SyntaxError):
        return None
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 1)
    place = _place(steps[-1], tree.body[0]) if steps else None
    if not place:
        return None
    look = _Look([step.tb_frame for step in steps], module, (*setting.pass_through, TimeUp))
    try:
        with _quietly(setting):
            return look.at(*place, error)
    except setting.pass_through:
        raise
    except BaseException:  # of the student's code, which this may run once more
        return OwnLine("use", *map(header, place))


@contextlib.contextmanager
def _quietly(setting: Setting):
    """In silence, without a trace or a stop at a breakpoint, and not for long."""
    hook, sys.breakpointhook = sys.breakpointhook, lambda *_, **__: None
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(action="ignore"),
            clean_state(setting.seed),
            time_limit(min(setting.seconds, SECONDS)),
        ):
            yield
    finally:
        sys.breakpointhook = hook


def header(statement: ast.stmt) -> str:
    """A statement as ast.unparse writes it; of a compound one its first line.

    >>> header(ast.parse("for a  in b:\\n    pass").body[0])
    'for a in b:'
    """
    return ast.unparse(statement).partition("\n")[0]


def _steps_in(step: TracebackType | None, function: Callable) -> list[TracebackType]:
    """The steps of a traceback that are in the function, or in one inside of it."""
    code, found = function.__code__, []
    while step:
        here = step.tb_frame.f_code
        inside = here is code or here.co_qualname.startswith(f"{code.co_qualname}.<locals>.")
        if inside and here.co_filename == code.co_filename:
            found.append(step)
        step = step.tb_next
    return found


def _place(step: TracebackType, function: ast.AST) -> Place | None:
    """The statement that raised, and what in it did."""
    line, *rest = list(step.tb_frame.f_code.co_positions())[step.tb_lasti // 2]
    line = line or step.tb_lineno
    parts = [node for node in ast.walk(function) if node is not function and hasattr(node, "lineno")]
    around = [n for n in parts if isinstance(n, ast.stmt) and n.lineno <= line <= n.end_lineno]
    if not around:
        return None
    statement = max(around, key=lambda node: node.lineno)
    place = [line, *rest]
    exact = [n for n in parts if [n.lineno, n.end_lineno, n.col_offset, n.end_col_offset] == place]
    return statement, next((node for node in exact if isinstance(node, ast.expr)), statement)


class _Look:
    """Looks again at parts of a line that raised, with the names that it had."""

    def __init__(
        self, frames: list[FrameType], module: ModuleType, let_through: tuple[type[BaseException], ...]
    ):
        self.names = dict(frames[0].f_globals)
        for frame in frames:
            self.names |= frame.f_locals
        self.module = module
        self.let_through = let_through

    def at(self, statement: ast.stmt, node: ast.expr | ast.stmt, error: BaseException) -> OwnLine:
        where = header(statement), header(node)
        if isinstance(getattr(node, "ctx", None), ast.Store):
            targets, value = _unpacking(statement, node)
            if targets:
                return OwnLine("unpack", *where, self.values([value])[-1:], targets)
            return OwnLine("use", *where, self.values([value]))
        if isinstance(node, ast.Attribute) and isinstance(error, AttributeError):
            holder = self.value(node.value)
            if self.is_theirs(type(holder)):
                names = _attributes(holder)
                return OwnLine("attribute", *where, self.values([node.value])[-1:], names)
        if isinstance(node, ast.Call) and isinstance(error, TypeError):
            called = self.value(node.func)
            if called is not UNKNOWN and not callable(called):
                return OwnLine("use", where[0], header(node.func), self.values([node.func]))
            if self.is_theirs(called):
                return OwnLine("call", *where, names=_signature(called))
        return OwnLine("use", *where, self.values(_operands(node)))

    def values(self, parts: list[ast.expr]) -> tuple[tuple[str, object], ...]:
        """Parts, and names in them, with what they are; what is no data only if it is a part itself."""
        found = {}
        names = [one for part in parts for one in ast.walk(part) if isinstance(one, ast.Name)]
        for part in [*(name for name in names if name not in parts), *parts]:
            value = self.value(part)
            if value is UNKNOWN or isinstance(value, ModuleType | type) or inspect.isroutine(value):
                continue
            if type(value).__module__.startswith("grader."):  # what the check was given
                continue
            if part not in parts and (isinstance(value, nn.Module) or self.is_theirs(type(value))):
                continue
            found[header(part)] = freeze(value)
        return tuple(found.items())[-MAX_VALUES:]

    def value(self, part: ast.expr):
        try:
            return eval(compile(ast.Expression(part), "<again>", "eval"), dict(self.names))
        except self.let_through:
            raise
        except BaseException:
            return UNKNOWN

    def is_theirs(self, thing) -> bool:
        """Whether something is made in the student's module: a function, a class or an instance of one."""
        return getattr(thing, "__module__", None) == self.module.__name__


def _unpacking(statement: ast.stmt, target: ast.expr) -> tuple[tuple[str, ...], ast.expr]:
    """The names that a value is taken apart into, and the value; no names where only items of it are."""
    for node in ast.walk(statement):
        match node:
            case ast.Assign(targets=[one], value=value) if _holds(one, target):
                found = _beside(one, value, target)
                return (tuple(map(ast.unparse, target.elts)), found) if found else ((), value)
            case ast.For(target=one, iter=value) | ast.comprehension(target=one, iter=value):
                if _holds(one, target):
                    return (), value
    return (), ast.Constant(None)


def _holds(tree: ast.AST, node: ast.AST) -> bool:
    return any(part is node for part in ast.walk(tree))


def _beside(target: ast.expr, value: ast.expr, wanted: ast.expr) -> ast.expr | None:
    """What `wanted`, a part of the target, gets of the value; None if that is no expression of its own."""
    if target is wanted:
        return value
    both = (target, value)
    if not all(isinstance(one, ast.Tuple | ast.List) for one in both) or len(target.elts) != len(value.elts):
        return None
    pairs = zip(target.elts, value.elts, strict=True)
    return next((_beside(one, other, wanted) for one, other in pairs if _holds(one, wanted)), None)


def _operands(node: ast.expr | ast.stmt) -> list[ast.expr]:
    """The parts of an expression that it works with."""
    if isinstance(node, ast.Call):
        of = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        parts = [*of, *node.args, *(keyword.value for keyword in node.keywords)]
    elif isinstance(node, ast.Subscript):
        parts = [node.value] if isinstance(node.slice, ast.Tuple) else [node.value, node.slice]
    elif isinstance(node, ast.stmt | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        parts = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
    else:
        parts = [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
    parts = [part.value if isinstance(part, ast.Starred) else part for part in parts]
    return [part for part in parts if not isinstance(part, ast.Constant | ast.Slice)]


def _attributes(holder) -> tuple[str, ...]:
    """The names that an object of the student's has: what was set first, then what its class defines."""
    names = [*vars(holder), *vars(type(holder))]
    if isinstance(holder, nn.Module):
        names = [*holder._parameters, *holder._modules, *holder._buffers, *names]
    hidden = ("training", "forward")
    return tuple(dict.fromkeys(name for name in names if name not in hidden and not name.startswith("_")))


def _signature(called) -> tuple[str, str]:
    """A function, class or callable object of the student's, and its parameters without annotations."""
    if inspect.isroutine(called) or isinstance(called, type):
        name, function = called.__qualname__, called
    else:
        method = "forward" if isinstance(called, nn.Module) else "__call__"
        name, function = f"{type(called).__qualname__}.{method}", getattr(called, method)
    parameters = inspect.signature(function).parameters.values()
    return name, f"({', '.join(str(one.replace(annotation=one.empty)) for one in parameters)})"
