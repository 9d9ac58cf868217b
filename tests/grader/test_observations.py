"""What was seen is reduced to plain data, goes to bytes and back unchanged, and no bytes are trusted."""

import contextlib
import json
import struct
from collections import Counter, OrderedDict, namedtuple

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from grader.compare import compare
from grader.observations import (
    MAX_DEPTH,
    Foreign,
    MalformedObservation,
    ObservationError,
    foreign_in,
    freeze,
    pack,
    unpack,
)

numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
keys = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5)
shapes = st.lists(st.integers(0, 3), max_size=3)
dtypes = st.sampled_from([torch.float32, torch.float64, torch.int64, torch.bool, torch.bfloat16])
tensors = st.builds(lambda shape, dtype: torch.ones(shape).to(dtype), shapes, dtypes)
arrays = st.builds(lambda shape: np.ones(shape, dtype=np.int32), shapes)
leaves = keys | numbers | tensors | arrays
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys | st.tuples(keys, keys), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(trees)
def test_to_bytes_and_back(tree):
    frozen = freeze(tree)
    data = pack(frozen)
    assert compare(frozen, unpack(data)) is None
    assert pack(unpack(data)) == data


@settings(max_examples=200, deadline=None)
@given(trees, st.data())
def test_bytes_with_a_flaw_are_a_named_error_or_another_tree(tree, data):
    packed = bytearray(pack(freeze(tree)))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedObservation):
        freeze(unpack(bytes(packed)))


def packed_json(text: str, tensors: dict | None = None) -> bytes:
    return safetensors.torch.save(tensors or {}, {"tree": text})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        b"\xff" * 8 + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 4) + b"null",
        safetensors.torch.save({}, {"other": "1"}),
        packed_json(""),
        packed_json("NaN"),
        packed_json("[1e999]"),
        packed_json("[" * 5000 + "]" * 5000),
        packed_json("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2)),
        packed_json(json.dumps([0] * 600_000)),
        packed_json("9" * 5000),
        packed_json('{"a": 1, "b": 2}'),
        packed_json('{"code": "import os"}'),
        packed_json('{"float": "1.0"}'),
        packed_json('{"tensor": "0"}'),
        packed_json('{"tensor": ["0"]}'),
        packed_json('{"bytes": "!!"}'),
        packed_json('{"tuple": {"a": 1}}'),
        packed_json('{"dict": [[1]]}'),
        packed_json('{"dict": [[1, 2], [1, 3]]}'),
        packed_json('{"dict": [[1, 2], [true, 3]]}'),
        packed_json('{"dict": [[[1], 2]]}'),
        packed_json('{"dict": [[{"float": "nan"}, 2]]}'),
        packed_json("1", {"0": torch.zeros(2)}),
        packed_json('[{"tensor": "0"}, {"tensor": "0"}]', {"0": torch.zeros(2)}),
        packed_json('{"array": "0"}', {"0": torch.zeros(2, dtype=torch.bfloat16)}),
        packed_json('{"tensor": "0"}', {"0": torch.zeros(4)})[:-3],
        packed_json('{"tensor": "0"}', {"0": torch.zeros(4)}).replace(b'"shape":[4]', b'"shape":[9]'),
    ],
)
def test_hostile_bytes(data):
    with pytest.raises(MalformedObservation):
        unpack(data)


def test_the_bytes_of_a_tree_are_always_the_same():
    def tree():
        return freeze({"b": torch.arange(3.0), "a": [torch.ones(2, dtype=torch.int64), (1, "x")]})

    assert pack(tree()) == pack(tree())


class Liar(torch.Tensor):
    """Claims to equal everything."""

    def __eq__(self, other):
        return torch.ones((), dtype=torch.bool)

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return torch.ones((), dtype=torch.bool)


class Dispatching(torch.Tensor):
    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return torch.zeros(3)


class YesDict(dict):
    __hash__ = object.__hash__

    def __eq__(self, other):
        return True

    def items(self):
        return [("right", 1)]


class YesInt(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__

    def __int__(self):
        return 42


class Meta(type):
    def __eq__(cls, other):
        return True

    __hash__ = type.__hash__
    __name__ = property(lambda cls: "Tensor")


class Pretender(metaclass=Meta):
    __class__ = torch.Tensor


def test_subclasses_are_reduced_to_their_data():
    liar = freeze(torch.full((3,), 7.0).as_subclass(Liar))
    assert type(liar) is torch.Tensor and liar.tolist() == [7, 7, 7]
    assert freeze(nn.Parameter(torch.ones(2))).requires_grad is False
    assert freeze(YesDict(wrong=2)) == {"wrong": 2}
    number = freeze(YesInt(3))
    assert type(number) is int and number == 3
    assert type(freeze(Counter("aab"))) is dict and freeze(OrderedDict(a=1)) == {"a": 1}
    assert freeze(namedtuple("Point", "x y")(1, 2)) == (1, 2)
    assert type(freeze(np.float64(0.5))) is float and type(freeze(np.int32(3))) is int
    assert freeze(np.bool_(True)) is True
    array = freeze(np.ma.masked_array([1, 2], mask=[0, 1]))
    assert type(array) is np.ndarray


def test_instances_cannot_bring_methods_of_their_own():
    tensor = torch.zeros(2)
    tensor.detach = tensor.clone = tensor.cpu = lambda *a, **k: torch.ones(2)
    assert freeze(tensor).tolist() == [0, 0]


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(3).as_subclass(Dispatching),
        torch.zeros(3, device="meta"),
        torch.zeros(3).to_sparse(),
        torch.zeros(3, dtype=torch.complex128),
        np.array(["a"]),
        np.array([object()]),
        np.longdouble(1),
        Pretender(),
        {1, 2},
        (n for n in [1]),
        lambda: 1,
        10**5000,
        object(),
        {torch.float32: 1},
        {float("nan"): 1},
    ],
    ids=lambda value: type(value).__qualname__ if type(value) is not Pretender else "Pretender",
)
def test_what_is_no_observation_equals_nothing(value):
    frozen = freeze([value])
    assert foreign_in(frozen) is not None
    assert compare(frozen, freeze([value])) is not None
    assert foreign_in(unpack(pack(frozen))) == foreign_in(frozen)


def test_a_pretender_is_called_by_its_own_name():
    assert freeze(Pretender()) == Foreign("Pretender")


def test_too_much_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(ObservationError, match="nested"):
        freeze(loop)
    with pytest.raises(ObservationError, match="items"):
        freeze([[0] * 1000] * 1000)
    with pytest.raises(ObservationError, match="MiB"):
        freeze([torch.zeros(1).expand(2**25)])


def test_frozen_is_a_copy():
    tensor = torch.arange(6.0).reshape(2, 3).T
    frozen = freeze([tensor])[0]
    tensor.zero_()
    assert frozen.tolist() == [[0, 3], [1, 4], [2, 5]] and frozen.is_contiguous()


def test_the_tensors_are_there_for_every_reader_of_safetensors():
    tensors = {"float32": torch.randn(2, 3), "bfloat16": torch.ones(3, dtype=torch.bfloat16)}
    tensors |= {"turned": torch.randn(3, 4).T, "empty": torch.zeros(0, 4), "bool": torch.tensor(True)}
    read = safetensors.torch.load(pack(list(tensors.values())))
    for number, tensor in enumerate(tensors.values()):
        assert read[str(number)].dtype == tensor.dtype and torch.equal(read[str(number)], tensor)
