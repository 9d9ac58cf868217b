"""Whether what was seen equals what was expected, and if not, where and how the first difference lies.

Structure, types, shapes and dtypes must be the same. A NaN equals nothing, infinities must stand in the same
places with the same sign, and the rest may differ by atol + rtol * |expected|.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from grader.observations import Foreign

# dtype: (rtol, atol). Integers, bools, strings and bytes are exact.
TOLERANCES = {
    "float64": (1e-7, 1e-9),
    "float32": (1e-4, 1e-5),
    "float16": (2e-3, 1e-3),
    "bfloat16": (2e-2, 1e-2),
    "complex64": (1e-4, 1e-5),
    "float": (1e-4, 1e-7),  # Python's, which mostly holds what a float32 tensor's .item() gave
}


@dataclass(frozen=True, eq=False)
class Difference:
    """The first difference between two observations.

    kind: "type", "length", "keys", "shape", "dtype", "nan" or "value".
    path: the keys and indices that lead to it. expected, seen: what stands there.
    wrong: for tensors and arrays, which elements differ. around: for an item of a list, both lists.
    """

    kind: str
    path: tuple
    expected: object
    seen: object
    wrong: Tensor | None = None
    around: tuple | None = None


def compare(expected, seen) -> Difference | None:
    """None if the frozen trees are equal, else their first difference.

    >>> compare([1, 2], [1, 2.0]).kind
    'type'
    """
    return _compare(expected, seen, (), True)


def same_form(expected, seen) -> Difference | None:
    """As compare, but only for structure, types, shapes, dtypes and NaN; numbers may differ."""
    return _compare(expected, seen, (), False)


def type_name(value) -> str:
    """What a value is, in a word.

    >>> type_name(torch.zeros(2)), type_name(None)
    ('tensor', 'None')
    """
    if isinstance(value, Foreign):
        return value.what
    if value is None:
        return "None"
    return {Tensor: "tensor", np.ndarray: "numpy array"}.get(type(value), type(value).__name__)


def _compare(expected, seen, path: tuple, values: bool) -> Difference | None:
    if type(expected) is not type(seen) or isinstance(expected, Foreign):
        return Difference("type", path, expected, seen)
    if isinstance(expected, dict):
        return _compare_dicts(expected, seen, path, values)
    if isinstance(expected, list | tuple):
        return _compare_sequences(expected, seen, path, values)
    if isinstance(expected, Tensor | np.ndarray):
        return _compare_tensors(expected, seen, path, values)
    if isinstance(expected, float):
        if expected == seen:
            return None
        wrong = _wrong(
            torch.tensor(expected, dtype=torch.float64), torch.tensor(seen, dtype=torch.float64), "float"
        )
        if seen != seen or expected != expected:
            return Difference("nan", path, expected, seen)
        return Difference("value", path, expected, seen) if values and wrong.item() else None
    return Difference("value", path, expected, seen) if values and expected != seen else None


def _compare_dicts(expected: dict, seen: dict, path: tuple, values: bool) -> Difference | None:
    # 1, 1.0 and True are the same key to Python, and not to us
    theirs = {_exact(key): key for key in seen}
    if {_exact(key) for key in expected} != theirs.keys():
        return Difference("keys", path, expected, seen)
    for key, value in expected.items():
        found = _compare(value, seen[theirs[_exact(key)]], (*path, key), values)
        if found:
            return found
    return None


def _exact(key):
    if isinstance(key, tuple):
        return tuple(_exact(part) for part in key)
    return type(key), key


def _compare_sequences(expected, seen, path: tuple, values: bool) -> Difference | None:
    if len(expected) != len(seen):
        return Difference("length", path, expected, seen)
    for index, (one, other) in enumerate(zip(expected, seen, strict=True)):
        found = _compare(one, other, (*path, index), values)
        if found and found.path == (*path, index) and found.kind in ("value", "nan", "type"):
            return Difference(found.kind, found.path, one, other, found.wrong, around=(expected, seen))
        if found:
            return found
    return None


def _compare_tensors(expected, seen, path: tuple, values: bool) -> Difference | None:
    if tuple(expected.shape) != tuple(seen.shape):
        return Difference("shape", path, expected, seen)
    if expected.dtype != seen.dtype:
        return Difference("dtype", path, expected, seen)
    dtype = str(expected.dtype).removeprefix("torch.")
    one, other = torch.as_tensor(expected), torch.as_tensor(seen)
    if torch.equal(one, other):  # mostly so, and much quicker than to look how near they are
        return None
    if dtype in TOLERANCES:
        nan = other.isnan() | one.isnan()
        if nan.any():
            wrong = nan | _wrong(one, other, dtype) if values else nan
            return Difference("nan", path, expected, seen, wrong=wrong)
    wrong = _wrong(one, other, dtype)
    return Difference("value", path, expected, seen, wrong=wrong) if values and wrong.any() else None


def _wrong(expected: Tensor, seen: Tensor, dtype: str) -> Tensor:
    if dtype not in TOLERANCES:
        return expected != seen
    rtol, atol = TOLERANCES[dtype]
    wide = torch.complex128 if expected.is_complex() else torch.float64
    expected, seen = expected.to(wide), seen.to(wide)
    near = (expected - seen).abs() <= atol + rtol * expected.abs()
    near &= expected.isfinite() & seen.isfinite()
    return ~(near | (expected == seen))
