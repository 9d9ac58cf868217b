"""What is left of Python once names, comments, words, annotations and layout are taken off.

tree-sitter reads the code, broken code too, and nothing of it is run. A token is a kind of syntax ("call",
"for_in_clause", "+") or a name that its writer could not choose: a library's, a built-in's, the course's own.
All other names are one token, so that renaming changes nothing; imports, parameters and docstrings go.
"""

import builtins
import functools
from dataclasses import dataclass

import tree_sitter
import tree_sitter_python

LARGEST = 256 << 10  # bytes; the chapters' own modules have up to 30 KiB
NAME, OWN, TEXT = "a name", "self.", "text"
BUILT_IN = frozenset(dir(builtins))
# with all that is in them: given by the stub, or easily changed
LEFT_OUT = {
    "comment",
    "import_statement",
    "import_from_statement",
    "future_import_statement",
    "parameters",
    "lambda_parameters",
    "type",
}
# only around others, or there or not as one likes: a tuple's brackets, say
TRANSPARENT = {
    "module",
    "block",
    "expression_statement",
    "argument_list",
    "parenthesized_expression",
    "pattern_list",
    "tuple_pattern",
    "expression_list",
    "tuple",
    "ERROR",
}
PUNCTUATION = {"(", ")", "[", "]", "{", "}", ",", ":", ";", ".", "=", "->"}
WORDS = {"not", "and", "or", "in", "is", "not in", "is not"}  # that stand between two others
APART = {"function_definition", "class_definition"}


@dataclass(frozen=True)
class Tokens:
    """kinds: None stands between functions, whose order is nobody's. lines: of each token, from 1. broken:
    whether it is no Python in places, which are read as well as they can be.
    """

    kinds: list[str | None]
    lines: list[int]
    broken: bool = False


def tokens_of(source: str, given: frozenset[str] = frozenset()) -> Tokens:
    """The tokens of a module. given: names that the course gives, which are kept.

    >>> tokens_of("total = total + F.softmax(scores, dim=-1)  # rows").kinds
    ['assignment', 'a name', 'binary_operator', 'a name', '+', 'call', 'attribute', 'a name', '.softmax', \
'a name', 'keyword_argument', 'dim=', 'unary_operator', '-', '1']
    """
    kinds: list[str | None] = []
    lines: list[int] = []
    names = BUILT_IN | given
    tree = _parser().parse(source.encode("utf-8", "surrogatepass"))
    cursor = tree.walk()
    around: list[tree_sitter.Node] = []  # not node.parent, which searches for it from the top
    while True:
        node = cursor.node
        kind, enter = _token(node, cursor.field_name, around[-1] if around else node, names)
        if kind is not None:
            kinds.append(kind)
            lines.append(node.start_point.row + 1)
        if enter and cursor.goto_first_child():
            around.append(node)
            _part(kinds, lines, node)
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return Tokens(kinds, lines, tree.root_node.has_error)
            _part(kinds, lines, around.pop())


def _part(kinds: list[str | None], lines: list[int], node: tree_sitter.Node) -> None:
    """A mark where a function or class begins and where it ends."""
    if node.type in APART and kinds and kinds[-1] is not None:
        kinds.append(None)
        lines.append(lines[-1])


def _token(
    node: tree_sitter.Node, field: str | None, around: tree_sitter.Node, names: frozenset[str]
) -> tuple[str | None, bool]:
    """The token that a node stands for, if any, and whether what is in it is looked at."""
    kind = node.type
    if not node.is_named:
        is_sign = kind not in PUNCTUATION and not kind[0].isalpha()
        return (kind if is_sign or kind in WORDS else None), False
    if kind in LEFT_OUT or _is_docstring(node):
        return None, False
    if kind in TRANSPARENT:
        return None, True
    if kind in ("string", "concatenated_string"):
        return TEXT, False
    if kind in ("integer", "float"):
        return node.text.decode(errors="replace")[:20], False
    if kind == "identifier":
        return _name(node, field, around, names), False
    if kind in APART:
        return None, True
    return kind, True


def _name(
    node: tree_sitter.Node, field: str | None, around: tree_sitter.Node, names: frozenset[str]
) -> str | None:
    name = node.text.decode(errors="replace")
    if around.type in APART:
        return None
    if around.type == "attribute" and field == "attribute":
        return OWN if around.children[0].text == b"self" else f".{name}"
    if around.type == "keyword_argument" and field == "name":
        return f"{name}="
    return name if name in names else NAME


def _is_docstring(node: tree_sitter.Node) -> bool:
    """A text that stands alone, wherever that is."""
    return (
        node.type == "expression_statement"
        and node.child_count == 1
        and node.children[0].type in ("string", "concatenated_string")
    )


@functools.cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_python.language()))
