"""A failure for a notebook: the words of failure_text.py, and expected and actual side by side as a table.

What differs is marked with a sign and bold type. There is no colour: it would have to suit every theme.
"""

from html import escape
from itertools import zip_longest

import numpy as np
import torch

from grader.compare import Difference
from grader.difference_text import clean, difference_lines, dtype_text, kind_text, value_text
from grader.failure_text import WIDTH
from grader.picture import number, side_by_side
from grader.verdicts import Verdict

ROWS, COLUMNS = 8, 6  # of a matrix that are shown, around the first number that differs
ITEMS = 8  # of a list
CHARACTERS = 200  # of a string, or of one value
DIFFERS = "≠"
PRE = '<pre style="font-family: monospace; white-space: pre-wrap; margin: 0.5em 0">{}</pre>'
CELL = "padding: 0.1em 0.6em; border: 1px solid; text-align: {}"


def failure_html(verdict: Verdict, text: str) -> str:
    """text: the whole failure in words."""
    shown = difference_lines(verdict.difference, False, WIDTH)[1:] if verdict.difference else []
    if not verdict.difference:
        return PRE.format(escape(text))
    before, _, after = text.partition(shown[0]) if shown else (text, "", "")
    parts = [PRE.format(escape(before.rstrip())), _comparison(verdict.difference)]
    if after.strip():
        parts.append(PRE.format(escape(after.strip("\n"))))
    return "\n".join(parts)


def _comparison(difference: Difference) -> str:
    expected, seen = difference.expected, difference.seen
    if difference.wrong is not None:
        return _numbers(difference)
    if difference.kind == "length":
        return _items(expected, seen)
    if difference.around is not None:
        return _items(*difference.around)
    if isinstance(expected, str) and isinstance(seen, str):
        return _strings(expected, seen)
    if difference.kind == "shape":
        return _pair(str(tuple(expected.shape)), str(tuple(seen.shape)))
    if difference.kind == "dtype":
        return _pair(dtype_text(expected), dtype_text(seen))
    if difference.kind == "keys":
        return _pair(value_text(list(expected), CHARACTERS), value_text(list(seen), CHARACTERS))
    if difference.kind == "type":
        return _pair(_kind_and_value(expected), _kind_and_value(seen))
    return _pair(value_text(expected, CHARACTERS), value_text(seen, CHARACTERS))


def _kind_and_value(value) -> str:
    plain = isinstance(value, bool | int | float | str | bytes | list | tuple | dict)
    return f"{kind_text(value)}: {value_text(value, CHARACTERS)}" if plain else kind_text(value)


# ---- numbers ----


def _numbers(difference: Difference) -> str:
    one, other = _array(difference.expected), _array(difference.seen)
    wrong = difference.wrong.numpy()
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    if one.ndim == 0:
        digits = _digits(one.reshape(1), other.reshape(1))
        return _pair(_text(one[()], digits), _text(other[()], digits))
    summary = side_by_side(difference.expected, difference.seen, difference.wrong, False)[0]
    outer = first[:-2]
    if outer:
        summary += f"; here [{', '.join(map(str, outer))}, :, :]"
    one, other, wrong = (np.atleast_2d(values[outer]) for values in (one, other, wrong))
    row, column = (0, *first)[-2:]
    rows, columns = _window(row, one.shape[0], ROWS), _window(column, one.shape[1], COLUMNS)
    if len(rows) < one.shape[0] or len(columns) < one.shape[1]:
        summary += f"; rows {rows[0]} to {rows[-1]} of {one.shape[0]}"
        summary += f", columns {columns[0]} to {columns[-1]} of {one.shape[1]}"
    part = np.ix_(rows, columns)
    digits = _digits(one[part][wrong[part]], other[part][wrong[part]])
    tables = [
        _matrix("Expected", one[part], digits, rows, columns, None),
        _matrix("Actual", other[part], digits, rows, columns, wrong[part]),
    ]
    return f"<p>{escape(summary)}</p>\n{_beside(*tables)}"


def _array(value) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return value


def _window(at: int, size: int, most: int) -> list[int]:
    low = max(0, min(at - 1, size - most))
    return list(range(low, min(size, low + most)))


def _matrix(name: str, values: np.ndarray, digits: int, rows: list[int], columns: list[int], wrong) -> str:
    head = "".join(_header(f"[{column}]", "col") for column in columns)
    lines = [f"<tr><td></td>{head}</tr>"]
    for at, row in enumerate(rows):
        cells = []
        for place, value in enumerate(values[at]):
            text = escape(_text(value, digits))
            differs = wrong is not None and wrong[at, place]
            cells.append(_cell(f"<b>{DIFFERS} {text}</b>" if differs else text))
        lines.append(f"<tr>{_header(f'[{row}]', 'row')}{''.join(cells)}</tr>")
    return _table(f"<b>{name}</b>" + (f", {DIFFERS} differs" if wrong is not None else ""), lines)


def _digits(one: np.ndarray, other: np.ndarray) -> int:
    """As many as it takes to tell apart what differs."""
    for digits in (4, 6, 8):
        pairs = zip(one, other, strict=True)
        if all(_text(a, digits) != _text(b, digits) for a, b in pairs):
            break
    return digits


def _text(value, digits: int) -> str:
    return number(value, digits, small=digits == 8)


# ---- lists, strings and single values ----


def _items(expected, seen) -> str:
    texts = [[value_text(item, CHARACTERS) for item in items] for items in (expected, seen)]
    longest = max(map(len, texts))
    pairs = list(zip_longest(*texts))
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
    lines = [f"<tr><td></td>{_header('Expected', 'col')}{_header('Actual', 'col')}</tr>"]
    for place in _window(at, longest, ITEMS):
        a, b = ("nothing" if text is None else text for text in pairs[place])
        mark = f"<b>{DIFFERS} {escape(b)}</b>" if pairs[place][0] != pairs[place][1] else escape(b)
        left = _cell(escape(a), "left")
        lines.append(f"<tr>{_header(f'[{place}]', 'row')}{left}{_cell(mark, 'left')}</tr>")
    note = f"{DIFFERS} differs; {len(expected)} items expected, {len(seen)} came"
    return _table(note, lines)


def _strings(expected: str, seen: str) -> str:
    pairs = enumerate(zip(expected, seen, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(expected), len(seen)))
    low = max(0, at - 40)
    note = f"<p>They part at character {at}" + (f"; shown from character {low}" if low else "") + ".</p>"
    return note + _pair(*(value_text(text[low:], CHARACTERS) for text in (expected, seen)))


def _pair(expected: str, seen: str) -> str:
    head = f"<tr>{_header('Expected', 'col')}{_header('Actual', 'col')}</tr>"
    cells = f"{_cell(escape(clean(expected)), 'left')}{_cell(f'<b>{escape(clean(seen))}</b>', 'left')}"
    return _table("", [head, f"<tr>{cells}</tr>"])


def _table(caption: str, lines: list[str]) -> str:
    return f'<table style="border-collapse: collapse"><caption>{caption}</caption>{"".join(lines)}</table>'


def _beside(*tables: str) -> str:
    boxes = "".join(f'<div style="margin-right: 2em">{table}</div>' for table in tables)
    return f'<div style="display: flex; flex-wrap: wrap; overflow-x: auto">{boxes}</div>'


def _header(text: str, scope: str) -> str:
    return f'<th scope="{scope}" style="{CELL.format("right")}">{text}</th>'


def _cell(html: str, align: str = "right") -> str:
    return f'<td style="{CELL.format(align)}"><code style="white-space: pre-wrap">{html}</code></td>'
