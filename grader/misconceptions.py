"""Named wrong turns, each a small patch of the solution, in `misconceptions.toml` beside it.

    [[misconception]]
    name = "unscaled-scores"
    exercise = "CausalAttention"
    replace = "attn_scores / keys.shape[-1] ** 0.5"
    with = "attn_scores"
    says = "The scores go into the softmax undivided: divide them by the square root of the key dimension."

`replace` must stand exactly once in the exercise's own function or class. A patch in several places has more
pairs, each as `[[misconception.also]]` with `replace` and `with`.
"""

import ast
import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from grader.chapters import Tree, read_source
from grader.errors import GraderError

FILE_NAME = "misconceptions.toml"
KEYS = {"name", "exercise", "replace", "with", "says", "also"}


@dataclass(frozen=True)
class Misconception:
    name: str
    exercise: str
    says: str
    patches: tuple[tuple[str, str], ...]  # (replace, with)
    where: str  # file:line, for errors


def load_misconceptions(path: Path) -> list[Misconception]:
    """The misconceptions of a chapter; none if there is no such file."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise GraderError(f"{path}: {error}") from None
    if set(entries) - {"misconception"}:
        raise GraderError(f"{path}: only [[misconception]] belongs here, not {sorted(entries)}")
    found = [_read(entry, path, text) for entry in entries.get("misconception", [])]
    for one in found:
        if [other.name for other in found].count(one.name) > 1:
            raise GraderError(f"{one.where}: the name {one.name!r} is taken twice")
    return found


def patched_source(source: str, misconception: Misconception) -> str:
    """The solution's source with the misconception in it."""
    first, last = _lines_of(source, misconception)
    lines = source.splitlines(keepends=True)
    before, inside, after = (
        "".join(part) for part in (lines[: first - 1], lines[first - 1 : last], lines[last:])
    )
    definition = inside
    for replace, with_ in misconception.patches:
        times = inside.count(replace)
        if times != 1:
            raise GraderError(
                f"{misconception.where}: {misconception.name}: {replace!r} stands {times} times in"
                f" {misconception.exercise}, and must stand once"
            )
        inside = inside.replace(replace, with_)
    try:
        same = _is_same(ast.parse(inside), ast.parse(definition))
    except SyntaxError as error:
        raise GraderError(
            f"{misconception.where}: {misconception.name}: the patched solution is no Python"
            f" (line {first - 1 + (error.lineno or 1)}: {error.msg})"
        ) from None
    if same:
        raise GraderError(f"{misconception.where}: {misconception.name} changes nothing")
    return before + inside + after


def _is_same(one, other) -> bool:
    """Whether two syntax trees, or parts of them, say the same; as ast.dump would, but for its time."""
    if isinstance(one, ast.AST):
        return type(one) is type(other) and all(
            _is_same(getattr(one, name, None), getattr(other, name, None)) for name in one._fields
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(_is_same, one, other))
    return type(one) is type(other) and one == other


class MisconceivedModules:
    """A chapter's solution with each of its misconceptions, as modules made when they are asked for."""

    def __init__(self, tree: Tree, chapter: str):
        self.tree = tree
        self.chapter = chapter
        self.all = load_misconceptions(tree.file(chapter).parent / FILE_NAME)
        self._modules: dict[str, ModuleType] = {}

    def module(self, misconception: Misconception) -> ModuleType:
        if misconception.name not in self._modules:
            source = patched_source(read_source(self.tree.file(self.chapter)), misconception)
            label = misconception.name.replace("-", "_")
            module = self.tree.load(self.chapter, source, f"<{misconception.name}>", label)
            self._modules[misconception.name] = module
        return self._modules[misconception.name]


def _read(entry: dict, path: Path, text: str) -> Misconception:
    where = f"{path}:{_line_of(entry.get('name'), text)}"
    for key in KEYS - {"also"}:
        if not isinstance(entry.get(key), str) or (not entry[key].strip() and key != "with"):
            raise GraderError(f"{where}: a misconception needs {key!r}, a string")
    unknown = sorted(set(entry) - KEYS)
    if unknown:
        raise GraderError(f"{where}: {unknown[0]!r} is no key of a misconception")
    pairs = [entry, *entry.get("also", [])]
    for pair in pairs[1:]:
        if set(pair) != {"replace", "with"}:
            raise GraderError(f"{where}: [[misconception.also]] has 'replace' and 'with'")
    patches = tuple((pair["replace"], pair["with"]) for pair in pairs)
    return Misconception(entry["name"], entry["exercise"], " ".join(entry["says"].split()), patches, where)


def _line_of(name: object, text: str) -> int:
    """tomllib keeps no lines; a misconception's is where its name stands."""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        key, _, value = line.partition("=")
        if key.strip() == "name" and isinstance(name, str) and value.strip().strip("\"'").startswith(name):
            return number
    return 1


def _lines_of(source: str, misconception: Misconception) -> tuple[int, int]:
    lines = _definitions(source)
    if misconception.exercise not in lines:
        raise GraderError(
            f"{misconception.where}: {misconception.name}: the solution has no {misconception.exercise}"
        )
    return lines[misconception.exercise]


@functools.lru_cache(maxsize=16)
def _definitions(source: str) -> dict[str, tuple[int, int]]:
    """The first and last line of each function and class."""
    return {
        node.name: (min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.end_lineno)
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
