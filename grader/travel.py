"""How a check's function travels: as its own source, made from its syntax tree.

Without decorators, docstring and comments; with the imports it uses and the names that its file declares in
`SHARED`. `unresolved_names` says what would be missing where it arrives.
"""

import ast
import builtins
import functools
import hashlib
import marshal
import symtable
import sys
from pathlib import Path

from grader.checks import Check
from grader.errors import GraderError

BUILTINS = frozenset(name for name in dir(builtins) if not name.startswith("__"))
# what a worker has: the chapters' own imports and Python's library
IMPORTABLE = frozenset({"torch", "numpy", "regex", "tiktoken", "safetensors"}) | sys.stdlib_module_names


@functools.cache
def check_source(check: Check) -> str:
    """Source that defines the check's function, on its own, under its own name."""
    file = _read(check.path)
    missing = unresolved_names(check)
    if missing:
        raise GraderError(
            f"{check.where}: {check.name} uses {', '.join(missing)}, which would not travel with it;"
            " import it absolutely, or list it in SHARED"
        )
    pieces, _ = _closure(file, check)
    return "\n\n".join(ast.unparse(_bare(piece)) for piece in pieces) + "\n"


@functools.cache
def check_bytecode(check: Check) -> bytes:
    """check_source compiled, for a worker that runs the same Python."""
    return marshal.dumps(compile(check_source(check), "<check>", "exec", dont_inherit=True))


def unresolved_names(check: Check) -> list[str]:
    """Names that the check's function uses and that would not be there where it arrives.

    Covers what it uses by way of shared functions.
    """
    _, missing = _closure(_read(check.path), check)
    return sorted(missing)


def fingerprint(check: Check) -> str:
    """Changes when the check's function, or what it shares, does. The same on every Python and platform."""
    pieces, _ = _closure(_read(check.path), check)
    lines = _read(check.path).lines
    text = "\n".join(
        line.rstrip()
        for piece in pieces
        for line in lines[piece.lineno - 1 : piece.end_lineno]
        if line.strip()
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _File:
    """A check file's top level: what defines or imports each name."""

    def __init__(self, source: str, path: Path):
        self.lines = source.splitlines()
        self.imports: dict[str, ast.stmt] = {}
        self.definitions: dict[str, ast.stmt] = {}
        self.shared: tuple[str, ...] = ()
        for node in ast.parse(source, filename=str(path)).body:
            match node:
                case ast.Import(names) | ast.ImportFrom(names=names):
                    self.imports |= {(a.asname or a.name.split(".")[0]): _one_import(node, a) for a in names}
                case ast.FunctionDef(name) | ast.ClassDef(name):
                    if name != "_":
                        self.definitions[name] = node
                case ast.Assign(targets=[ast.Name("SHARED")], value=value):
                    self.shared = _literal_names(value, path)
                case ast.Assign(targets) if all(isinstance(t, ast.Name) for t in targets):
                    self.definitions |= {t.id: node for t in targets}
                case ast.AnnAssign(target=ast.Name(name), value=ast.expr()):
                    self.definitions[name] = node
        for name in self.shared:
            if name not in self.definitions:
                raise GraderError(f"{path}: SHARED lists {name!r}, which the file does not define")


@functools.lru_cache(maxsize=64)
def _parse(source: str, path: Path) -> _File:
    return _File(source, path)


def _read(path: Path) -> _File:
    return _parse(path.read_text(encoding="utf-8"), path)


def _closure(file: _File, check: Check) -> tuple[list[ast.stmt], set[str]]:
    """The statements that travel (imports, shared definitions, the function last), and the names missing."""
    function = file.definitions.get(check.name)
    if not isinstance(function, ast.FunctionDef):
        raise GraderError(f"{check.where}: {check.name} is not a function at the top level of its file")
    wanted = sorted(_free_names(function))
    seen: set[str] = set()
    imports, shared, missing = [], [], set()
    while wanted:
        name = wanted.pop(0)
        if name in seen or name in BUILTINS:
            continue
        seen.add(name)
        if name in file.imports and _importable(file.imports[name]):
            imports.append(file.imports[name])
        elif name in file.shared:
            shared.append(file.definitions[name])
            wanted += sorted(_free_names(file.definitions[name]))
        else:
            missing.add(name)
    imports.sort(key=ast.unparse)
    shared = sorted(dict.fromkeys(shared), key=lambda node: node.lineno)
    return [*imports, *shared, function], missing


def _free_names(statement: ast.stmt) -> set[str]:
    """Names that a top-level statement takes from the module around it."""
    table = symtable.symtable(ast.unparse(_bare(statement)), "<check>", "exec")
    own = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    free = {s.get_name() for s in table.get_symbols() if s.is_referenced()} - own
    pending = list(table.get_children())
    while pending:
        scope = pending.pop()
        free |= {s.get_name() for s in scope.get_symbols() if s.is_global() and s.is_referenced()} - own
        pending += scope.get_children()
    return free


def _bare(statement: ast.stmt) -> ast.stmt:
    """A function without its decorators and docstring; other statements as they are."""
    if not isinstance(statement, ast.FunctionDef):
        return statement
    body = statement.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:] or [ast.Pass()]
    bare = ast.FunctionDef(**{**dict(ast.iter_fields(statement)), "decorator_list": [], "body": body})
    return ast.copy_location(bare, statement)


def _one_import(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> ast.stmt:
    one = (
        ast.Import([alias])
        if isinstance(node, ast.Import)
        else ast.ImportFrom(node.module, [alias], node.level)
    )
    return ast.copy_location(one, node)


def _importable(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return node.names[0].name.split(".")[0] in IMPORTABLE
    return node.level == 0 and node.module.split(".")[0] in IMPORTABLE


def _literal_names(value: ast.expr, path: Path) -> tuple[str, ...]:
    try:
        names = ast.literal_eval(value)
    except ValueError:
        names = None
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        raise GraderError(f"{path}:{value.lineno}: SHARED must be a plain tuple of names")
    return tuple(names)
