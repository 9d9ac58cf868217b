"""A difference in words: where it is, what was expected there and what came; only the part that differs."""

import builtins

from grader.compare import Difference, type_name
from grader.picture import number, side_by_side
from grader.wrapping import fill

ITEMS = 12  # of a list, from a little before the first that differs
LINE = 60  # characters for them
LINES = 2  # for a value that takes more than one
TENSORS = ("tensor", "numpy array")


def difference_lines(difference: Difference, plain: bool, width: int) -> list[str]:
    """Paragraphs: the headline, and what it takes to see it."""
    shown = _shown_part(difference, plain, width)
    first = "\n".join(fill(headline(difference) + (":" if shown else "."), width))
    return [first, shown] if shown else [first]


def headline(difference: Difference) -> str:
    expected, seen = difference.expected, difference.seen
    where = (
        f" at {''.join(f'[{value_text(part, 30)}]' for part in difference.path)}" if difference.path else ""
    )
    if raised_name(expected):
        return f"A{_with_article(raised_name(expected))[1:]} was expected{where}"
    if _is_about_raising(difference):
        return f"No exception was expected{where}"
    match difference.kind:
        case "shape":
            return f"The shape{where} is {_shape(seen)}; expected {_shape(expected)}"
        case "dtype":
            return f"The dtype{where} is {dtype_text(seen)}; expected {dtype_text(expected)}"
        case "type":
            what = f"The value{where}" if where else "The result"
            return f"{what} is {kind_text(seen)}; expected {kind_text(expected)}"
        case "length":
            many = f"{len(seen)} item{'' if len(seen) == 1 else 's'}"
            return f"The {type_name(seen)}{where} has {many}; expected {len(expected)}"
        case "keys":
            return f"The dict{where} {_keys(expected, seen)}"
        case "nan":
            return f"There is NaN{where}, where a number was expected"
    return f"The value{where} is not the expected one"


def _shown_part(difference: Difference, plain: bool, width: int) -> str:
    expected, seen = difference.expected, difference.seen
    if difference.wrong is not None:
        lines = side_by_side(expected, seen, difference.wrong, plain)
        return "\n".join(f"  {line}".rstrip() for line in lines)
    if difference.kind in ("shape", "dtype", "keys"):
        return ""
    if _is_about_raising(difference):
        return both(_happened(expected), _happened(seen), width)
    if difference.kind == "length":
        pairs = zip(expected, seen, strict=False)
        parts = next((i for i, (a, b) in enumerate(pairs) if value_text(a) != value_text(b)), None)
        index = min(len(expected), len(seen)) if parts is None else parts
        return _items(expected, seen, index, f"they part at [{index}]")
    if difference.around is not None:
        return _items(*difference.around, difference.path[-1], "")
    if isinstance(expected, str) and isinstance(seen, str):
        return _strings(expected, seen)
    if difference.kind == "type" and not any(isinstance(one, PLAIN) for one in (expected, seen)):
        return ""
    return both(value_text(expected, LINES * LINE), value_text(seen, LINES * LINE), width)


def _is_about_raising(difference: Difference) -> bool:
    """Whether it is between an exception, which a check returns by its name, and something else."""
    expected, seen = difference.expected, difference.seen
    return bool(raised_name(expected) or (raised_name(seen) and not isinstance(expected, str)))


def raised_name(value) -> str:
    """The exception that a check tells of by returning its name; empty where it is none.

    >>> raised_name("ValueError: no"), raised_name("Value"), raised_name(7)
    ('ValueError', '', '')
    """
    name = value.partition(":")[0].partition(" without ")[0] if isinstance(value, str) else ""
    kind = getattr(builtins, name, None)
    return name if isinstance(kind, type) and issubclass(kind, Exception) else ""


def _happened(value) -> str:
    """What a call came to, of what a check returned about it.

    >>> _happened("ValueError"), _happened("no error"), _happened(1.5)
    ('a ValueError is raised', 'nothing is raised', '1.5000 is returned')
    """
    if isinstance(value, str) and value == "no error":
        return "nothing is raised"
    name = raised_name(value)
    if not name:
        plain = isinstance(value, PLAIN) or value is None
        return f"{value_text(value, LINE) if plain else kind_text(value)} is returned"
    words = value_text(value.removeprefix(name), LINES * LINE).strip("'\"")
    return f"{_with_article(name)} is raised{words}".removesuffix(": ")


def _with_article(name: str) -> str:
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"


PLAIN = (bool, int, float, str, bytes, list, tuple, dict)  # what can be shown itself


def _items(expected, seen, index: int, where: str) -> str:
    """The items around the first that differs, as many as fit on a line."""
    for low in (index - 2, index - 1, index):
        low = max(0, low)
        rows = [_row(items, low) for items in (expected, seen)]
        if all(low + shown > min(index, len(items) - 1) for _, shown, items in rows):
            break
    said = [where] if where else []
    said += [f"shown from [{low}]"] if low else []
    head = [f"  {', '.join(said)}"] if said else []
    return "\n".join([*head, f"    expected  {rows[0][0]}", f"    actual    {rows[1][0]}"])


def _row(items: list | tuple, low: int) -> tuple[str, int, list | tuple]:
    """Items from one on, and how many of them fit."""
    parts, shown = ["…"] * (low > 0), 0
    for item in items[low : low + ITEMS]:
        one = value_text(item, LINE - len("[…, , …]"))
        if len(_bracketed(items, [*parts, one, "…"])) > LINE:
            break
        parts, shown = [*parts, one], shown + 1
    return _bracketed(items, parts + ["…"] * (low + shown < len(items))), shown, items


def _strings(expected: str, seen: str) -> str:
    """Both strings from a little before the character where they part."""
    pairs = enumerate(zip(expected, seen, strict=False))
    index = next((i for i, (a, b) in pairs if a != b), min(len(expected), len(seen)))
    low = max(0, index - 20)
    where = f"  they part at character {index}" + (f", shown from character {low}" if low else "")
    texts = [value_text(text[low:], LINE) for text in (expected, seen)]
    lines = [f"    expected  {texts[0]}", f"    actual    {texts[1]}"]
    return "\n".join([where, *lines] if index else lines)


def both(expected: str, seen: str, width: int, names: tuple[str, str] = ("expected", "actual")) -> str:
    """Two values under each other, folded."""
    lines = []
    for name, text in zip(names, (expected, seen), strict=True):
        lines += fill(text, width, f"    {name:<8}  ", " " * 14)
    return "\n".join(lines)


def _keys(expected: dict, seen: dict) -> str:
    missing = [value_text(key, 30) for key in expected if key not in seen]
    extra = [value_text(key, 30) for key in seen if key not in expected]
    if not missing and not extra:
        return "has keys of other types than expected"
    said = [f"lacks {_listed(missing)}"] if missing else []
    return " and ".join([*said, f"has {_listed(extra)}, not expected"] if extra else said)


def _listed(texts: list[str], most: int = 5) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


# ---- words ----


def value_text(value, limit: int = 40) -> str:
    """A value in at most about `limit` characters.

    >>> value_text("a" * 50, 10), value_text((1, 2.5)), value_text([1] * 99, 20)
    ("'aaaaaaaa…", '(1, 2.5000)', '[1, 1, …] (99 items)')
    """
    if isinstance(value, float):
        return number(value)
    if value is None or isinstance(value, str | bytes | int):
        text = clean(repr(value))
    elif isinstance(value, list | tuple | dict):
        return _container_text(value, limit)
    else:
        text = _type(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _container_text(value: list | tuple | dict, limit: int) -> str:
    counted = f" ({len(value)} items)"
    parts: list[str] = []
    for item in value:
        part = value_text(item, limit // 2)
        if isinstance(value, dict):
            part = f"{part}: {value_text(value[item], limit // 2)}"
        last = len(parts) + 1 == len(value)
        if len(_bracketed(value, [*parts, part] + ["…"] * (not last)) + counted * (not last)) > limit:
            cut = _bracketed(value, [*parts, "…"]) + counted
            return cut if parts or len(cut) <= limit else f"{type_name(value)} of {len(value)}"
        parts.append(part)
    return _bracketed(value, parts)


def _bracketed(value: list | tuple | dict, parts: list[str]) -> str:
    left, right = {list: "[]", tuple: "()", dict: "{}"}[type(value)]
    return f"{left}{', '.join(parts)}{',' * (left == '(' and len(value) == 1)}{right}"


def clean(text: str) -> str:
    """Without control characters, which could steer the terminal.

    >>> clean("a" + chr(27) + "[31mb")
    'a\\\\x1b[31mb'
    """
    return "".join(c if c == "\n" or c.isprintable() else ascii(c)[1:-1] for c in text)


def dtype_text(value) -> str:
    return str(value.dtype).removeprefix("torch.")


def kind_text(value) -> str:
    """What a value is, in words.

    >>> kind_text(1.5), kind_text(None), kind_text(())
    ('a float', 'None', 'an empty tuple')
    """
    name = clean(_type(value))
    if name == "None" or name.startswith(("a ", "an ")):
        return name
    if isinstance(value, list | tuple | dict) and not value:
        name = f"empty {name}"
    return _with_article(name)


def _shape(value) -> str:
    return f"({', '.join(map(str, value.shape))}{',' * (value.ndim == 1)})"


def _type(value) -> str:
    name = type_name(value)
    return f"{name} of shape {_shape(value)}" if name in TENSORS else name
