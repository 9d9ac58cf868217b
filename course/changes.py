"""What is different in a newer version of a course's files, in few words."""

import ast
import difflib
import tomllib

from .reset import definitions

Changes = dict[str, list[str] | None]  # by definition the lines of a diff; None: it was not there before


def check_changes(before: bytes, after: bytes) -> str:
    """
    >>> check_changes(b"@check('a')\\ndef zero(m): return 1", b"@check('a')\\ndef one(m): return 1")
    '1 new (one), 1 gone (zero)'
    """
    old, new = _checks(before), _checks(after)
    changes = {
        "new": [name for name in new if name not in old],
        "changed": [name for name in new if name in old and new[name] != old[name]],
        "gone": [name for name in old if name not in new],
    }
    return ", ".join(f"{len(names)} {what} ({', '.join(names)})" for what, names in changes.items() if names)


def point_changes(before: bytes, after: bytes) -> str:
    """Of two versions of course.toml."""
    old, new = _points(before), _points(after)
    both = [name for name in new if name in old]
    changes = [f"{name} {old[name]} -> {new[name]} points" for name in both if new[name] != old[name]]
    changes += [f"{name} is new" for name in new if old and name not in old]
    changes += [f"{name} is not taught any more" for name in old if name not in new]
    return ", ".join(changes)


def stub_changes(before: bytes, after: bytes) -> Changes:
    """Of two versions of a stub. The name "" is for what stands around its definitions."""
    return _changes(_parts(before), _parts(after))


def docstring_changes(module: bytes, stub: bytes) -> Changes:
    """Where nothing is left of the older stub but its docstrings in a student's module."""
    before = _docstrings(module)
    return _changes(before, _docstrings(stub)) if before else {}  # a syntax error hides them all


def _changes(before: dict[str, list[str]], after: dict[str, list[str]]) -> Changes:
    changed = {}
    for name, lines in after.items():
        if name not in before:
            changed[name] = None
        elif lines != before[name]:
            diff = difflib.unified_diff(before[name], lines, n=0, lineterm="")
            changed[name] = [line for line in diff if not line.startswith(("---", "+++", "@@"))]
    return changed


def _checks(source: bytes) -> dict[str, str]:
    """The text of each check, with its accept."""
    found = {}
    for node in _tree(source).body:
        for decorator in getattr(node, "decorator_list", []):
            function = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(function, ast.Name) and function.id == "check":
                name = node.name
            elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
                name = function.value.id  # @name.accept
            else:
                continue
            found[name] = found.get(name, "") + ast.unparse(node)
    return found


def _points(course_file: bytes) -> dict[str, int]:
    try:
        chapters = tomllib.loads(course_file.decode())["chapters"].values()
        return {
            name: points
            for chapter in chapters
            for name, points in chapter["points"].items()
            if name not in chapter.get("dropped", [])
        }
    except (ValueError, LookupError, AttributeError, TypeError):
        return {}


def _parts(stub: bytes) -> dict[str, list[str]]:
    lines, places = stub.decode().splitlines(), definitions(stub)
    parts = {name: lines[first:last] for name, (first, last) in places.items()}
    inside = {number for first, last in places.values() for number in range(first, last)}
    return parts | {"": [line for number, line in enumerate(lines) if line and number not in inside]}


def _docstrings(source: bytes) -> dict[str, list[str]]:
    """Those of a function, or of a class and its methods, one after the other."""
    found = {}
    for node in _tree(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            members = [node, *(part for part in node.body if isinstance(part, ast.FunctionDef))]
            found[node.name] = "\n".join(ast.get_docstring(part) or "" for part in members).splitlines()
    return found


def _tree(source: bytes) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return ast.Module([], [])
