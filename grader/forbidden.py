"""Names that would be the exercise itself: found in the syntax tree, and in a trace of the calls made.

A check lists them: "torch.nn.LayerNorm" (`nn.` and `F.` may stand for torch.nn. and torch.nn.functional.),
with wildcards, "nn.Transformer*"; a whole package or module, "tiktoken", "torch.optim.lr_scheduler"; or a
method of anything, ".cumsum". A dotted name also covers its namesakes elsewhere in the same package, so
"F.layer_norm" is `torch.layer_norm` and `torch.ops.aten.layer_norm` too.

Beside them stand the tools with which code gets behind a check that watches how it works: other modules'
names set anew, frames, the grader's own modules. No solution needs them, so such a check takes none.

This is detection, not a wall.
"""

import ast
import builtins
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch.overrides import TorchFunctionMode

TOOLS = ("grader", "ctypes", "builtins", "sys.modules", "torch.overrides", "torch.library")
TOOL_ATTRIBUTES = frozenset(
    {
        "_getframe",
        "_current_frames",
        "settrace",
        "setprofile",
        "get_objects",
        "get_referrers",
        "get_referents",
    }
    | {"f_back", "f_globals", "f_locals", "tb_frame", "gi_frame", "__globals__", "__code__", "__closure__"}
    | {"__subclasses__", "__builtins__", "__torch_function__", "__torch_dispatch__"}
    | {"DisableTorchFunction", "DisableTorchFunctionSubclass"}
)
TOOL_CALLS = frozenset({"exec", "eval", "compile", "__import__", "globals"})
OTHERS = ("torch", "numpy", "builtins", "sys", "math")  # modules whose names are not a student's to set
SWITCHES = ("torch.backends", "torch._dynamo.config", "torch._inductor.config")  # but these are

NAMING = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Import, ast.ImportFrom, ast.FunctionDef)
PATHS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript)
BINDING = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.NamedExpr)
BUILTINS = frozenset(dir(builtins))

SHORT = {"nn.": "torch.nn.", "F.": "torch.nn.functional.", "np.": "numpy."}


@dataclass(frozen=True)
class Use:
    """A forbidden name, and the line of the student's module that uses it."""

    name: str
    line: int


def find_uses(source: str, exercise: str, forbidden: tuple[str, ...]) -> list[Use]:
    """Uses of forbidden names in an exercise, and in what it uses of the same module."""
    if not forbidden:
        return []
    paths = _parse(source).paths_in(exercise)
    patterns = [_full(pattern) for pattern in forbidden]
    matching = {path for path in dict(paths) if any(_matches(path, pattern) for pattern in patterns)}
    uses = {}
    for path, line in paths:
        if path in matching:
            uses.setdefault(line, Use(path.removeprefix("?"), line))
    return [uses[line] for line in sorted(uses)]


def find_tools(source: str) -> list[Use]:
    """Uses of the tools, anywhere in a module."""
    module = _parse(source)
    nodes = [node for statement in module.tree.body for node in module.nodes_in(statement)]
    aliases, _ = _bindings(nodes, {})
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    uses = {}
    for node in nodes:
        if isinstance(node, NAMING) and (name := _tool(node, aliases, own)) is not None:
            uses.setdefault(node.lineno, Use(name, node.lineno))
    return [uses[line] for line in sorted(uses)]


def _tool(node: ast.AST, aliases: dict[str, str], own: set[str]) -> str | None:
    """The tool that a node is, if it is one."""
    match node:
        case ast.Import(names):
            return next((a.name for a in names if _is_tool(a.name)), None)
        case ast.ImportFrom(module=str(module), names=names, level=0):
            return next((f"{module}.{a.name}" for a in names if _is_tool(f"{module}.{a.name}")), None)
        case ast.FunctionDef(name) | ast.Attribute(attr=name) if name in TOOL_ATTRIBUTES:
            return name
        case ast.Name(name, ast.Load()) if name in TOOL_CALLS and name not in aliases.keys() | own:
            return name
        case ast.Attribute(value, name, ast.Store() | ast.Del()) if _is_others(_resolve(value, aliases)):
            return f"{_resolve(value, aliases)}.{name} ="
        case ast.Call(ast.Name("setattr" | "delattr" as name), [value, *_]) if _is_others(
            _resolve(value, aliases)
        ):
            return f"{name}({_resolve(value, aliases)}, …)"
        case ast.expr():
            path = _resolve(node, aliases)
            return path if path is not None and _is_tool(path) else None
    return None


def _is_tool(path: str) -> bool:
    return (
        any(path == one or path.startswith(f"{one}.") for one in TOOLS)
        or path.rpartition(".")[2] in TOOL_ATTRIBUTES
    )


def _is_others(path: str | None) -> bool:
    return path is not None and path.partition(".")[0] in OTHERS and not path.startswith(SWITCHES)


class ForbiddenCalls(TorchFunctionMode):
    """While entered, notes the first forbidden torch function that a line of the student's code leads to.

    Unlike the syntax tree this sees through any disguise of the name, but only what is called in this run.
    """

    def __init__(self, forbidden: tuple[str, ...], is_student_file: Callable[[str], bool]):
        super().__init__()
        self.patterns, self._is_forbidden = _watched(tuple(forbidden))
        self.is_student_file = is_student_file
        self.use: Use | None = None

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name not in self._is_forbidden:
            self._is_forbidden[name] = any(fnmatchcase(name, pattern) for pattern in self.patterns)
        if self.use is None and self._is_forbidden[name]:
            line = self._student_line()
            if line is not None:
                self.use = Use(f"torch's {name}", line)
        return function(*args, **(kwargs or {}))

    def _student_line(self) -> int | None:
        """The innermost line outside torch, and outside text run by `exec`, if it is the student's."""
        frame = sys._getframe(2)
        while frame and (frame.f_globals.get("__name__", "").split(".")[0] == "torch" or _is_text(frame)):
            frame = frame.f_back
        if frame and self.is_student_file(frame.f_code.co_filename):
            return frame.f_lineno
        return None


@functools.cache
def _watched(forbidden: tuple[str, ...]) -> tuple[list[str], dict[str, bool]]:
    """The last names of what torch calls by one, and what is known of names, so that each is matched once."""
    full = [_full(pattern) for pattern in forbidden]
    return [p.rpartition(".")[2] for p in full if p.startswith((".", "torch."))], {}


def _is_text(frame) -> bool:
    return frame.f_code.co_filename in ("<string>", "<unknown>", "<stdin>")


class _Module:
    """A module's top level: its definitions by name, and what its names stand for."""

    def __init__(self, source: str):
        self.tree = ast.parse(source)
        self.definitions: dict[str, list[ast.stmt]] = {}
        self._nodes: dict[ast.stmt, list[ast.AST]] = {}
        self._paths: dict[ast.stmt, list[tuple[str, int]]] = {}
        self._names: dict[ast.stmt, set[str]] = {}
        top_level = []
        for node in _statements(self.tree.body):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.definitions.setdefault(node.name, []).append(node)
            else:
                top_level.append(node)
                for name in _assigned(node):
                    self.definitions.setdefault(name, []).append(node)
        self.aliases, self.stars = _bindings(top_level, {})

    def paths_in(self, exercise: str) -> list[tuple[str, int]]:
        """Dotted paths that the exercise's code mentions, with their lines: "torch.nn.Linear", "?.cumsum"."""
        return [path for node in self._reachable(exercise) for path in self._paths_of(node)]

    def _paths_of(self, node: ast.stmt) -> list[tuple[str, int]]:
        if node in self._paths:
            return self._paths[node]
        parts = self.nodes_in(node)
        aliases, stars = _bindings(parts, self.aliases)
        paths = []
        for part in parts:
            path = _resolve(part, aliases) if isinstance(part, PATHS) else None
            if path is None and isinstance(part, ast.Attribute):
                path = f"?.{part.attr}"
            if path is not None:
                paths.append((path, part.lineno))
            elif isinstance(part, ast.Name) and not self._is_known(part.id, aliases):
                paths += [(f"{star}.{part.id}", part.lineno) for star in self.stars + stars]
        self._paths[node] = paths
        return paths

    def _is_known(self, name: str, aliases: dict[str, str]) -> bool:
        return name in aliases or name in self.definitions or name in BUILTINS

    def _reachable(self, exercise: str) -> list[ast.stmt]:
        wanted, seen, nodes = [exercise], set(), []
        while wanted:
            name = wanted.pop()
            if name in seen:
                continue
            seen.add(name)
            for node in self.definitions.get(name, []):
                nodes.append(node)
                wanted += self._names_in(node)
        return nodes

    def _names_in(self, node: ast.stmt) -> set[str]:
        if node not in self._names:
            self._names[node] = {part.id for part in self.nodes_in(node) if isinstance(part, ast.Name)}
        return self._names[node]

    def nodes_in(self, statement: ast.stmt) -> list[ast.AST]:
        """The statement and all below it."""
        if statement not in self._nodes:
            self._nodes[statement] = _walk(statement)
        return self._nodes[statement]


@functools.lru_cache(maxsize=16)
def _parse(source: str) -> _Module:
    return _Module(source)


def _walk(node: ast.AST) -> list[ast.AST]:
    """As ast.walk, quicker, and without saying of each name whether it is read or written."""
    found = [node]
    for one in found:  # which grows meanwhile
        for name in one._fields:
            value = getattr(one, name, None)
            if type(value) is list:
                found += [part for part in value if isinstance(part, ast.AST)]
            elif name != "ctx" and isinstance(value, ast.AST):
                found.append(value)
    return found


def _statements(body: list[ast.stmt]):
    """Statements of a body, and of the ifs, tries and withs in it."""
    for node in body:
        yield node
        for field in ("body", "orelse", "finalbody", "handlers"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from _statements(getattr(node, field, []))


def _assigned(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _bindings(nodes, outer: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """What names stand for, from imports and plain assignments, and the modules imported with a star."""
    aliases, stars, assignments = dict(outer), [], []
    for node in nodes:
        if not isinstance(node, BINDING):
            continue
        if isinstance(node, ast.Import):
            for a in node.names:
                aliases[a.asname or a.name.split(".")[0]] = a.name if a.asname else a.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            names = node.names if node.level == 0 else []
            stars += [node.module for a in names if a.name == "*"]
            aliases |= {(a.asname or a.name): f"{node.module}.{a.name}" for a in names if a.name != "*"}
        elif node.value is not None:
            assignments.append(node)
    for node in assignments:
        path = _resolve(node.value, aliases)
        if path is not None:
            aliases |= dict.fromkeys(_assigned(node), path)
    return aliases, stars


def _resolve(node: ast.AST, aliases: dict[str, str]) -> str | None:
    """The dotted path that an expression stands for, if it begins at an import."""
    match node:
        case ast.Name(name):
            return aliases.get(name)
        case ast.Attribute(value, attribute):
            return _join(_resolve(value, aliases), attribute)
        case ast.Call(ast.Name("getattr"), [value, name, *_]):
            return _join(_resolve(value, aliases) or "?", _text(name))
        case ast.Call(ast.Name("vars"), [value]):
            return _join(_resolve(value, aliases), "__dict__")
        case ast.Call(ast.Name("__import__"), [name, *_]):
            return _text(name)
        case ast.Call(function, [name, *_]) if _resolve(function, aliases) == "importlib.import_module":
            return _text(name)
        case ast.Subscript(value, name):
            base = _resolve(value, aliases)
            if base == "sys.modules":
                return _text(name)
            if base is not None and base.endswith(".__dict__"):
                return _join(base.removesuffix(".__dict__"), _text(name))
    return None


def _join(base: str | None, name: str | None) -> str | None:
    return f"{base}.{name}" if base and name else None


def _text(node: ast.expr) -> str | None:
    """A string put together from literals."""
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.BinOp(left, ast.Add(), right):
            one, other = _text(left), _text(right)
            return one + other if one is not None and other is not None else None
        case ast.JoinedStr(values):
            parts = [_text(v.value if isinstance(v, ast.FormattedValue) else v) for v in values]
            return "".join(parts) if None not in parts else None
    return None


def _full(pattern: str) -> str:
    for short, full in SHORT.items():
        if pattern.startswith(short):
            return full + pattern.removeprefix(short)
    return pattern


@functools.lru_cache(maxsize=4096)
def _matches(path: str, pattern: str) -> bool:
    last = path.rpartition(".")[2]
    if pattern.startswith("."):
        return "." in path and fnmatchcase(last, pattern[1:])
    if path == pattern or path.startswith(pattern + ".") or fnmatchcase(path, pattern):
        return True
    root, dot, _ = pattern.partition(".")
    return bool(dot) and path.partition(".")[0] == root and fnmatchcase(last, pattern.rpartition(".")[2])
