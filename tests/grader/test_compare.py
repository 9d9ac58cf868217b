"""Comparing cannot pass by accident."""

import math

import numpy as np
import pytest
import torch

from grader.compare import compare, same_form
from grader.observations import Foreign, freeze

NAN, INF = float("nan"), float("inf")


def t(*numbers, dtype=torch.float32):
    return torch.tensor(numbers, dtype=dtype)


@pytest.mark.parametrize(
    "tree",
    [
        None,
        True,
        0,
        1.5,
        INF,
        "a",
        b"a",
        [],
        (),
        {},
        t(1, 2, INF, -INF),
        t(),
        torch.tensor(3),
        np.arange(4),
        {"a": [1, (t(1), b"x")], 2: None, (b"a", 1): 1.0},
        t(1, 2, dtype=torch.complex64),
    ],
)
def test_equal_trees(tree):
    assert compare(freeze(tree), freeze(tree)) is None


@pytest.mark.parametrize(
    ("expected", "seen", "kind"),
    [
        (1, 1.0, "type"),
        (1, True, "type"),
        (0, None, "type"),
        (0, False, "type"),
        ("a", b"a", "type"),
        ([1], (1,), "type"),
        ([], {}, "type"),
        ({}, [], "type"),
        (None, [], "type"),
        ([1.0], t(1), "type"),
        (t(1), np.ones(1, dtype=np.float32), "type"),
        (torch.tensor(1.0), 1.0, "type"),
        (Foreign("set"), Foreign("set"), "type"),
        ([1, 2], [1], "length"),
        ([], [1], "length"),
        ([1], [], "length"),
        ({"a": 1}, {}, "keys"),
        ({}, {"a": 1}, "keys"),
        ({"a": 1}, {"a": 1, "b": 2}, "keys"),
        ({"a": 1, "b": 2}, {"a": 1}, "keys"),
        ({1: 0}, {1.0: 0}, "keys"),
        ({1: 0}, {True: 0}, "keys"),
        ({(0, 1): 0}, {(0, True): 0}, "keys"),
        (t(1, 1), t(1), "shape"),
        (t(1, 1), torch.tensor(1.0), "shape"),
        (torch.ones(2, 1), torch.ones(1, 2), "shape"),
        (torch.ones(2, 2), torch.ones(1, 2), "shape"),
        (torch.zeros(0), torch.zeros(0, 3), "shape"),
        (torch.zeros(0), torch.zeros(1), "shape"),
        (t(1), t(1, dtype=torch.float64), "dtype"),
        (t(1), t(1, dtype=torch.int64), "dtype"),
        (t(1, dtype=torch.int64), t(1, dtype=torch.int32), "dtype"),
        (t(1, dtype=torch.bool), t(1, dtype=torch.uint8), "dtype"),
        (np.ones(2), np.ones(2, dtype=np.float32), "dtype"),
        (t(1, NAN), t(1, NAN), "nan"),
        (t(1, 2), t(1, NAN), "nan"),
        (t(1, NAN), t(1, 2), "nan"),
        (NAN, NAN, "nan"),
        (1.0, NAN, "nan"),
        (np.array([NAN]), np.array([NAN]), "nan"),
        (t(INF), t(-INF), "value"),
        (t(INF), t(3e38), "value"),
        (t(3e38), t(INF), "value"),
        (t(1, -INF), t(-INF, 1), "value"),
        (INF, -INF, "value"),
        (1e308, INF, "value"),
        (t(1), t(1.001), "value"),
        (t(0), t(1e-4), "value"),
        (1.0, 1.001, "value"),
        (0.0, 1e-6, "value"),
        (2**60, 2**60 + 1, "value"),
        (t(2**60, dtype=torch.int64), t(2**60 + 1, dtype=torch.int64), "value"),
        (t(0, 1, dtype=torch.bool), t(1, 1, dtype=torch.bool), "value"),
        (t(1j, dtype=torch.complex64), t(1, dtype=torch.complex64), "value"),
        ("a", "b", "value"),
        (b"a", b"b", "value"),
        ([1, 2], [2, 1], "value"),
    ],
)
def test_differences(expected, seen, kind):
    for wrap in (lambda x: x, lambda x: {"k": [x]}):
        found = compare(wrap(expected), wrap(seen))
        assert found is not None and found.kind == kind
    assert found.path[:2] == ("k", 0)


def test_minus_zero_is_zero_and_rounding_is_forgiven():
    assert compare(t(0.0), t(-0.0)) is None
    assert compare(0.0, -0.0) is None
    assert compare(t(1.0), t(1.0) + 3e-6) is None
    assert compare(t(1000.0), t(1000.01)) is None
    assert compare(0.1 + 0.2, 0.3) is None
    half = torch.tensor([1.0], dtype=torch.bfloat16)
    assert compare(half, half * 1.0078125) is None


def test_order_of_keys_does_not_matter_but_of_items_does():
    assert compare({"a": 1, "b": 2}, {"b": 2, "a": 1}) is None
    assert compare([1, 2], [2, 1]).path == (0,)


def test_the_first_difference_is_found_where_it_is():
    expected = {"x": [t(1, 2), {"y": (1, 2.0)}]}
    seen = {"x": [t(1, 2), {"y": (1, 2.5)}]}
    found = compare(expected, seen)
    assert (found.path, found.expected, found.seen) == (("x", 1, "y", 1), 2.0, 2.5)
    assert found.around == ((1, 2.0), (1, 2.5))
    assert compare(t(1, 2, 3), t(1, 9, 9)).wrong.tolist() == [False, True, True]


def test_same_form_wants_all_but_the_numbers():
    assert same_form({"a": t(1, 2), "n": 1.0}, {"a": t(5, -7), "n": 3.0}) is None
    assert same_form([t(1)], [t(INF)]) is None
    for other in ([t(NAN)], [t(1, 2)], [t(1, dtype=torch.int64)], [], [1.0], [t(1), t(1)]):
        assert same_form([t(1)], other) is not None
    assert same_form(math.pi, NAN).kind == "nan"
