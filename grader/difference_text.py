"""A difference in words: where it is, what was expected there and what came; only the part that differs."""

import textwrap

from grader.compare import Difference, type_name
from grader.picture import number, side_by_side

ITEMS = 5  # of a list, around the first that differs
TENSORS = ("tensor", "numpy array")


def difference_lines(difference: Difference, plain: bool, width: int) -> list[str]:
    """Paragraphs: the headline, and what it takes to see it."""
    first = textwrap.fill(headline(difference), width)
    shown = _shown_part(difference, plain)
    return [first + ":", shown] if shown else [first + "."]


def headline(difference: Difference) -> str:
    expected, seen = difference.expected, difference.seen
    where = (
        f" at {''.join(f'[{value_text(part, 30)}]' for part in difference.path)}" if difference.path else ""
    )
    match difference.kind:
        case "shape":
            return f"The shape{where} is {_shape(seen)}; expected {_shape(expected)}"
        case "dtype":
            return f"The dtype{where} is {dtype_text(seen)}; expected {dtype_text(expected)}"
        case "type":
            return f"The type{where} is {_type(seen)}; expected {_type(expected)}"
        case "length":
            return f"The {type_name(seen)}{where} has {len(seen)} items; expected {len(expected)}"
        case "keys":
            return f"The dict{where} {_keys(expected, seen)}"
        case "nan":
            return f"There is NaN{where}, where a number was expected"
    return f"The value{where} is not the expected one"


def _shown_part(difference: Difference, plain: bool) -> str:
    expected, seen = difference.expected, difference.seen
    if difference.wrong is not None:
        return "\n".join(
            f"  {line}".rstrip() for line in side_by_side(expected, seen, difference.wrong, plain)
        )
    if difference.kind in ("shape", "dtype", "keys") or type_name(expected) in TENSORS:
        return ""
    if difference.around is not None:
        return _items(*difference.around, difference.path[-1])
    if difference.kind == "length":
        pairs = zip(expected, seen, strict=False)
        parts = next((i for i, (a, b) in enumerate(pairs) if value_text(a) != value_text(b)), None)
        return _items(expected, seen, min(len(expected), len(seen)) if parts is None else parts)
    if isinstance(expected, str) and isinstance(seen, str):
        return _strings(expected, seen)
    return _both(value_text(expected, 60), value_text(seen, 60))


def _items(expected, seen, index: int) -> str:
    """The items around the first that differs."""
    low = max(0, index - 2)

    def row(items) -> str:
        texts = ["…"] * (low > 0) + [value_text(item, 14) for item in items[low : low + ITEMS]]
        return ", ".join(texts + ["…"] * (len(items) > low + ITEMS)) or "nothing"

    shown = f", shown from place {low}" if low else ""
    return f"  first at place {index}{shown}\n" + _both(row(expected), row(seen))


def _strings(expected: str, seen: str) -> str:
    """Both strings from a little before the character where they part."""
    pairs = enumerate(zip(expected, seen, strict=False))
    index = next((i for i, (a, b) in pairs if a != b), min(len(expected), len(seen)))
    if index == 0:
        return _both(value_text(expected, 64), value_text(seen, 64))
    low = max(0, index - 20)
    shown = f", shown from character {low}" if low else ""
    both = _both(value_text(expected[low:], 64), value_text(seen[low:], 64))
    return f"  they part at character {index}{shown}\n{both}"


def _both(expected: str, seen: str) -> str:
    return f"    expected  {expected}\n    actual    {seen}"


def _keys(expected: dict, seen: dict) -> str:
    missing = [value_text(key, 30) for key in expected if key not in seen][:ITEMS]
    extra = [value_text(key, 30) for key in seen if key not in expected][:ITEMS]
    if not missing and not extra:
        return "has keys of other types than expected"
    said = [f"lacks {', '.join(missing)}"] if missing else []
    return " and ".join([*said, f"has {', '.join(extra)}, not expected"] if extra else said)


# ---- words ----


def value_text(value, limit: int = 40) -> str:
    """A value in at most about `limit` characters.

    >>> value_text("a" * 50, 10), value_text((1, 2.5)), value_text([1] * 9)
    ("'aaaaaaaa…", '(1, 2.5000)', 'list of 9')
    """
    if isinstance(value, float):
        return number(value)
    if value is None or isinstance(value, str | bytes | int):
        text = clean(repr(value))
    elif isinstance(value, tuple) and len(value) <= 3:
        text = f"({', '.join(value_text(item, 12) for item in value)}{',' * (len(value) == 1)})"
    elif isinstance(value, list | tuple | dict):
        text = f"{type_name(value)} of {len(value)}"
    else:
        text = _type(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clean(text: str) -> str:
    """Without control characters, which could steer the terminal.

    >>> clean("a" + chr(27) + "[31mb")
    'a\\\\x1b[31mb'
    """
    return "".join(c if c == "\n" or c.isprintable() else ascii(c)[1:-1] for c in text)


def dtype_text(value) -> str:
    return str(value.dtype).removeprefix("torch.")


def _shape(value) -> str:
    return f"({', '.join(map(str, value.shape))}{',' * (value.ndim == 1)})"


def _type(value) -> str:
    name = type_name(value)
    return f"{name} of shape {_shape(value)}" if name in TENSORS else name
