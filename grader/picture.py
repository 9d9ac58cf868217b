"""Two tensors side by side in a terminal: the part that differs, in numbers, and for matrices a picture too.

Everything that a picture shows also stands beside it in numbers, for those who do not see it.
"""

import numpy as np
import torch

SHADES = "·░▒▓█"  # 0, then up to a quarter, a half, three quarters, all of the largest
ASCII_SHADES = ".:+*#"
ODD = {"<": "-inf", ">": "inf", "?": "nan"}
SMALL_ROWS, SMALL_COLUMNS = 8, 4  # up to here all numbers fit side by side
PICTURE_SIDE = 16
WINDOW = 7  # numbers in a line
LINE = 66  # characters for them


def side_by_side(expected, seen, wrong: torch.Tensor, plain: bool) -> list[str]:
    """Lines that show where `seen` differs. plain: only ASCII."""
    one, other, wrong = _array(expected), _array(seen), wrong.numpy()
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    if one.ndim == 0:
        return _pair(one.reshape(1), other.reshape(1), None)
    lines = [_summary(one, other, wrong, first), ""]
    if one.ndim >= 2:
        outer = first[:-2]
        where = f"[{', '.join([*map(str, outer), ':', ':'])}]" if outer else ""
        rows, columns = one.shape[-2:]
        if rows <= SMALL_ROWS and 1 < columns <= SMALL_COLUMNS:
            return [*lines, *_grids(one[outer], other[outer], wrong[outer], where)]
        if 1 < rows <= PICTURE_SIDE and 1 < columns <= PICTURE_SIDE and not np.iscomplexobj(one):
            picture = _shaded(one[outer], other[outer], wrong[outer], where, plain)
            lines += [*picture, ""] if picture else []
    row = first[:-1]
    return [*lines, *_numbers(one[row], other[row], wrong[row], first)]


def _array(value) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return value


def _numbers(one: np.ndarray, other: np.ndarray, wrong: np.ndarray, first: tuple[int, ...]) -> list[str]:
    """A row that differs; of a long one the part around the first number that does."""
    name = [f"row [{', '.join(map(str, first[:-1]))}]"] if first[:-1] else []
    if len(one) <= WINDOW:
        pair = _pair(one, other, wrong)
        if _shown_in(pair) == len(one):
            return [*name, *pair]
    low = max(0, first[-1] - 1)
    window = slice(low, low + WINDOW)
    pair = _pair(one[window], other[window], wrong[window])
    span = f"from {low} to {low + _shown_in(pair) - 1} of {len(one)}"
    return [", ".join([*name, span]), *pair]


def _shown_in(pair: list[str]) -> int:
    return len(pair[0].split()) - 1


def _summary(one: np.ndarray, other: np.ndarray, wrong: np.ndarray, first: tuple) -> str:
    nans, differ = int(np.isnan(other[wrong]).sum()), int(wrong.sum())
    count = f"{differ} of {wrong.size} numbers {'are NaN' if nans == differ else 'differ'}"
    if 0 < nans < differ:
        count += f", {nans} of them {'is' if nans == 1 else 'are'} NaN"
    place = f"first at [{', '.join(map(str, first))}]"
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = np.abs(one.astype(complex) - other.astype(complex))[wrong]
    gaps = gaps[np.isfinite(gaps)]
    return f"{count}, {place}" + (f", by up to {gaps.max():.4g}" if gaps.size else "")


def _pair(one: np.ndarray, other: np.ndarray, wrong: np.ndarray | None) -> list[str]:
    """A line of expected numbers and one of actual ones; if only some differ, with marks under those."""
    expected, actual = _written(one, other)
    width = max(map(len, expected + actual))
    keep = LINE // (width + 1)
    lines = [
        "  expected " + "".join(f" {text:>{width}}" for text in expected[:keep]),
        "  actual   " + "".join(f" {text:>{width}}" for text in actual[:keep]),
    ]
    if wrong is not None and not wrong[:keep].all():
        marks = ["^" * len(text) if bad else "" for text, bad in zip(actual, wrong[:keep], strict=False)]
        lines.append("           " + "".join(f" {mark:>{width}}" for mark in marks))
    return lines


def _grids(one: np.ndarray, other: np.ndarray, wrong: np.ndarray, where: str) -> list[str]:
    """All numbers of two small matrices; those that differ carry a star."""
    expected, actual = _written(one.ravel(), other.ravel())
    starred = [f"{text}*" if bad else f"{text} " for text, bad in zip(actual, wrong.ravel(), strict=True)]
    width = max(map(len, expected + starred)) + 1
    columns = one.shape[1]
    side = columns * width
    head = f"  expected{where}".ljust(side + 6) + f"actual{where}, * differs"
    lines = [head]
    for row in range(one.shape[0]):
        cells = slice(row * columns, (row + 1) * columns)
        left = "".join(f"{text:>{width - 1}} " for text in expected[cells])
        right = "".join(f"{text:>{width}}" for text in starred[cells])
        lines.append(f"  {left}    {right}".rstrip())
    return lines


def _shaded(one: np.ndarray, other: np.ndarray, wrong: np.ndarray, where: str, plain: bool) -> list[str]:
    """Two pictures of the sizes of the numbers; none where the two would be the same."""
    shades = ASCII_SHADES if plain else SHADES
    sizes = np.abs(np.stack([one, other]).astype(np.float64))
    largest = sizes.max(where=np.isfinite(sizes), initial=0.0)
    left, right = ([_row(numbers, largest, shades) for numbers in matrix] for matrix in (one, other))
    if left == right:
        return []
    side = max(2 * one.shape[1], len("expected" + where))
    lines = [f"     {'expected' + where:<{side}}    actual{where}, * differs"]
    for row, pictures in enumerate(zip(left, right, strict=True)):
        mark = " *" if wrong[row].any() else ""
        lines.append(f"  {row:>2} {pictures[0]:<{side}}    {pictures[1]}{mark}")
    drawn = "".join([*left, *right])
    signs = [f"{shades[0]} is 0"] if shades[0] in drawn else []
    signs += [f"{shades[-1]} is {largest:.4g}"] if largest else []
    signs += [f"{sign} is {name}" for sign, name in ODD.items() if sign in drawn]
    negative = any((np.isfinite(numbers) & (numbers < 0)).any() for numbers in (one, other))
    return [*lines, f"     {', '.join(signs)}{', signs aside' if negative else ''}"]


def _row(numbers: np.ndarray, largest: float, shades: str) -> str:
    cells = []
    for value in numbers.astype(np.float64):
        if np.isnan(value):
            cells.append("?")
        elif np.isinf(value):
            cells.append("<" if value < 0 else ">")
        else:
            cells.append(shades[int(np.ceil(4 * abs(value) / largest - 1e-9)) if largest else 0])
    return "".join(cell * 2 for cell in cells)


def _written(one, other) -> tuple[list[str], list[str]]:
    """Numbers as text, with as many digits as it takes to tell different ones apart."""
    sizes = np.abs(np.concatenate([one, other]))
    largest = sizes.max(where=np.isfinite(sizes), initial=0)
    for digits in (4, 6, 8):
        small = largest < 100 * 10.0**-digits  # beside large numbers the small ones need no exponent
        expected, actual = ([number(n, digits, small) for n in numbers] for numbers in (one, other))
        if not any(a == b and x != y for a, b, x, y in zip(expected, actual, one, other, strict=True)):
            break
    return expected, actual


def number(value, digits: int = 4, small: bool = True) -> str:
    """A number in few characters; an exact 0 is "0".

    >>> number(0.5), number(3), number(float("-inf")), number(123456.789), number(2e-7)
    ('0.5000', '3', '-inf', '1.235e+05', '2.0000e-07')
    >>> number(2e-7, small=False)
    '0.0000'
    """
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return str(value)
    if isinstance(value, complex | np.complexfloating):
        return f"{value:.{digits}g}"
    value = float(value)
    if value == 0 or not np.isfinite(value):
        return str(value) if value else "0"
    if abs(value) >= 1e4:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{digits}e}" if small and abs(value) < 10.0**-digits else f"{value:.{digits}f}"
