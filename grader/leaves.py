"""Walking an observation's tree, leaf by leaf."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

STANDS_FOR_NAN = 12345.0


def map_leaves(tree, function: Callable):
    """The same containers around function(leaf).

    >>> map_leaves({"a": [1, (2, 3)]}, lambda n: n + 1)
    {'a': [2, (3, 4)]}
    """
    if isinstance(tree, dict):
        return {key: map_leaves(value, function) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(map_leaves(item, function) for item in tree)
    return function(tree)


def leaves_of(tree) -> list:
    """
    >>> leaves_of({"a": [1, (2, 3)]})
    [1, 2, 3]
    """
    found: list = []
    map_leaves(tree, found.append)
    return found


def with_leaf(tree, place: int, leaf):
    """A copy of the tree with another leaf at a place, counted from 0.

    >>> with_leaf({"a": [1, (2, 3)]}, 1, 9)
    {'a': [1, (9, 3)]}
    """
    places = iter(range(len(leaves_of(tree))))
    return map_leaves(tree, lambda old: leaf if next(places) == place else old)


def nan_as_number(tree):
    """The tree with a number in the place of each NaN, so that two trees can be compared."""
    return map_leaves(tree, _numbered)


def _numbered(leaf):
    match leaf:
        case float():
            return leaf if leaf == leaf else STANDS_FOR_NAN
        case np.ndarray():
            return _numbered(torch.from_numpy(leaf)).numpy()
        case Tensor() if leaf.is_floating_point():
            return leaf.masked_fill(leaf.isnan(), STANDS_FOR_NAN)
    return leaf
