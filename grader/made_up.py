"""Made-up observations: what someone sends who cannot compute the right one. An `accept` refuses them."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from grader.leaves import leaves_of, map_leaves, with_leaf

CHANGED_LEAVES = 12  # of a long list only so many, spread over it, are changed one at a time


def made_up(expected) -> Iterator[tuple[str, object]]:
    """Made-up observations with their names, most of them of the same form as the expected one."""
    generator = torch.Generator().manual_seed(0)
    yield "zeros", map_leaves(expected, lambda leaf: _filled(leaf, 0))
    yield "ones", map_leaves(expected, lambda leaf: _filled(leaf, 1))
    yield "one large number", map_leaves(expected, lambda leaf: _filled(leaf, 100))
    yield "random numbers", map_leaves(expected, lambda leaf: _random(leaf, generator))
    yield "infinities", map_leaves(expected, _infinite)
    yield "empty tensors", map_leaves(expected, lambda leaf: leaf[:0] if _is_array(leaf) else leaf)
    yield "a list around it", [expected]
    yield "a flat list", leaves_of(expected)
    for nothing in (None, False, True, 0, 0.0, "", [], {}, ()):
        yield repr(nothing), nothing
    leaves = leaves_of(expected)
    for place in range(0, len(leaves), max(1, len(leaves) // CHANGED_LEAVES)):
        for what, changed in _changed(leaves[place]):
            yield f"{what} in the place of value {place}", with_leaf(expected, place, changed)


def _is_array(leaf) -> bool:
    return isinstance(leaf, Tensor | np.ndarray) and leaf.ndim > 0


def _filled(leaf, number: int):
    match leaf:
        case Tensor():
            return torch.full_like(leaf, number)
        case np.ndarray():
            return np.full_like(leaf, number)
        case bool() | int() | float():
            return type(leaf)(number)
        case str():
            return "a" * number
        case bytes():
            return b"a" * number
    return leaf


def _random(leaf, generator: torch.Generator):
    """Of the same kind; integers and texts are made of those that came."""
    match leaf:
        case Tensor() if leaf.is_floating_point() or leaf.is_complex():
            return torch.randn(leaf.shape, generator=generator).to(leaf.dtype)
        case Tensor() if leaf.numel():
            low, high = int(leaf.min()), int(leaf.max())
            return torch.randint(low, high + 2, leaf.shape, generator=generator).to(leaf.dtype)
        case np.ndarray():
            return _random(torch.from_numpy(leaf), generator).numpy()
        case bool():
            return bool(torch.randint(2, (), generator=generator))
        case int():
            return leaf + int(torch.randint(1, 100, (), generator=generator))
        case float():
            return float(torch.randn((), generator=generator))
        case str() | bytes() if leaf:
            order = torch.randperm(len(leaf), generator=generator).tolist()
            return leaf[:0].join(leaf[i : i + 1] for i in order)
    return leaf


def _infinite(leaf):
    if isinstance(leaf, Tensor | np.ndarray):
        return _filled(leaf, float("inf")) if "float" in str(leaf.dtype) else leaf
    return float("inf") if isinstance(leaf, float) else leaf


def _changed(leaf) -> Iterator[tuple[str, object]]:
    """A leaf with one number far from what it was; of a tensor the first, and the last."""
    match leaf:
        case bool():
            yield str(not leaf), not leaf
        case int() | float():
            for number in (100 * leaf + 100, -leaf - 100):
                yield f"{number:g}", number
        case str():
            yield repr(leaf + "x"), leaf + "x"
        case bytes():
            yield repr(leaf + b"x"), leaf + b"x"
        case Tensor() if leaf.numel():
            for place in {0, leaf.numel() - 1}:
                copy = leaf.clone(memory_format=torch.contiguous_format)
                flat = copy.view(-1)
                flat[place] = _far(flat[place])
                yield f"{flat[place].item()} (number {place})", copy
        case np.ndarray():
            yield from ((what, copy.numpy()) for what, copy in _changed(torch.from_numpy(leaf)))


def _far(number: Tensor) -> Tensor:
    if number.dtype == torch.bool:
        return ~number
    return 255 - number if number.dtype == torch.uint8 else 100 * number + 100
