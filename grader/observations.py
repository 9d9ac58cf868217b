"""What a check saw: a tree of tensors, numpy arrays, numbers, strings, bytes, bools, None and containers.

`freeze` copies what a student's code returned into exactly these types. A subclass (a dict that claims to
equal everything, a tensor with its own `==`) is reduced to the plain data in it; what has no plain data
becomes a `Foreign`, which equals nothing. Methods of student classes are never called.

`pack` writes a tree as one safetensors file whose only metadata is the tree as tagged JSON; the same tree
gives the same bytes. `unpack` reads it back and trusts nothing.
"""

import base64
import json
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

MAX_DEPTH = 32
MAX_NODES = 500_000
MAX_JSON_BYTES = 8 << 20
MAX_BYTES = 64 << 20
MAX_INT_BITS = 4096
MAX_EQUAL_HASHES = 16

TENSOR_DTYPES = frozenset(
    {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
    | {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64}
)
ARRAY_KINDS = "biuf"


class ObservationError(Exception):
    """What was seen is too big, or nested too deeply, to be an observation."""


class MalformedObservation(Exception):
    """The bytes are not a packed observation."""


@dataclass(frozen=True)
class Foreign:
    """In the place of something that is no observation: what it was, in words."""

    what: str


def freeze(tree):
    """A plain copy of what was seen, detached and on the CPU."""
    return _Freezer().freeze(tree, 0)


class _Freezer:
    def __init__(self):
        self.nodes = 0
        self.bytes = 0

    def freeze(self, value, depth: int):
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise ObservationError(f"nested more than {MAX_DEPTH} deep (does it contain itself?)")
        if self.nodes > MAX_NODES:
            raise ObservationError(f"more than {MAX_NODES:,} items")
        kind = type(value)  # not isinstance, which asks value.__class__, and that can lie
        if value is None or kind is bool:
            return value
        if issubclass(kind, Tensor):
            return self._tensor(value)
        if issubclass(kind, np.ndarray):
            return self._array(value)
        if issubclass(kind, np.generic):
            return self._numpy_scalar(value, depth)
        if issubclass(kind, int):
            plain = int.__int__(value)
            return plain if plain.bit_length() <= MAX_INT_BITS else Foreign("an int of thousands of digits")
        if issubclass(kind, float):
            return float.__float__(value)
        if issubclass(kind, str):
            return self._counted(str.__str__(value), 4 * str.__len__(value))
        if issubclass(kind, bytes):
            return self._counted(bytes.__getitem__(value, slice(None)), bytes.__len__(value))
        if issubclass(kind, list):
            return [self.freeze(item, depth + 1) for item in list.__iter__(value)]
        if issubclass(kind, tuple):
            return tuple(self.freeze(item, depth + 1) for item in tuple.__iter__(value))
        if issubclass(kind, dict):
            return self._dict(value, depth)
        return Foreign(_name(kind))

    def _counted(self, value, nbytes: int):
        self.bytes += nbytes
        if self.bytes > MAX_BYTES:
            raise ObservationError(f"more than {MAX_BYTES >> 20} MiB")
        return value

    def _tensor(self, value: Tensor):
        kind = type(value)
        if kind.__torch_dispatch__ is not Tensor.__torch_dispatch__:
            return Foreign(_name(kind))
        with torch._C.DisableTorchFunctionSubclass():
            if kind is not Tensor and kind is not nn.Parameter:
                value = Tensor.as_subclass(value, Tensor)
            plain = Tensor.detach(value)  # unbound: an instance may carry a `detach` of its own
            if type(plain) is not Tensor:
                return Foreign(_name(kind))
            if plain.layout is not torch.strided:
                return Foreign("a sparse tensor")
            if plain.is_meta:
                return Foreign("a tensor without data (on the meta device)")
            if plain.dtype not in TENSOR_DTYPES:
                return Foreign(f"a tensor of {plain.dtype}")
            self._counted(None, plain.numel() * plain.element_size())
            plain = plain.resolve_conj().resolve_neg().cpu()
            return plain.clone(memory_format=torch.contiguous_format)

    def _array(self, value: np.ndarray):
        plain = np.ndarray.view(value, np.ndarray)
        if plain.dtype.kind not in ARRAY_KINDS or plain.dtype.itemsize > 8:
            return Foreign(f"a numpy array of {plain.dtype}")
        self._counted(None, plain.nbytes)
        return np.array(plain, dtype=plain.dtype.newbyteorder("="), order="C", copy=True)

    def _numpy_scalar(self, value: np.generic, depth: int):
        plain = np.generic.item(value)
        return Foreign(_name(type(value))) if isinstance(plain, np.generic) else self.freeze(plain, depth + 1)

    def _dict(self, value: dict, depth: int) -> dict | Foreign:
        frozen = {}
        for key, item in dict.items(value):
            plain = self.freeze(key, depth + 1)
            if not _can_be_key(plain):
                return Foreign(f"dict with a key of type {_name(type(key))}")
            frozen[plain] = self.freeze(item, depth + 1)
        return frozen


def _name(kind: type) -> str:
    return type.__dict__["__name__"].__get__(kind)[:60]  # a metaclass may claim another name


def _can_be_key(key) -> bool:
    if isinstance(key, tuple):
        return all(_can_be_key(part) for part in key)
    return key is None or (type(key) in (str, int, bool, float, bytes) and key == key)


def foreign_in(tree) -> Foreign | None:
    """The first thing in a frozen tree that is no observation."""
    if isinstance(tree, Foreign):
        return tree
    parts = ()
    if isinstance(tree, dict):
        parts = tree.values()
    elif isinstance(tree, list | tuple):
        parts = tree
    return next((found for part in parts if (found := foreign_in(part)) is not None), None)


# ---- bytes ----


def pack(tree) -> bytes:
    """A frozen tree as bytes: those of safetensors.torch.save, in a fraction of its time."""
    import safetensors

    tensors: dict[str, Tensor] = {}
    text = json.dumps(_to_json(tree, tensors), ensure_ascii=True, separators=(",", ":"))
    specs = {
        name: safetensors.TensorSpec(
            dtype=str(tensor.dtype).removeprefix("torch."),
            shape=tensor.shape,
            data_ptr=tensor.data_ptr(),
            data_len=tensor.nbytes,
        )
        for name, tensor in tensors.items()
    }
    return bytes(safetensors.serialize(specs, {"tree": text}))


def unpack(data: bytes):
    """The tree that `pack` wrote. Anything else raises MalformedObservation."""
    import safetensors
    import safetensors.torch

    if len(data) > MAX_BYTES + MAX_JSON_BYTES:
        raise MalformedObservation(f"{len(data):,} bytes are too many")
    header_length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or header_length > min(MAX_JSON_BYTES, len(data) - 8):
        raise MalformedObservation("its header is cut short or too long")
    try:
        header = json.loads(data[8 : 8 + header_length])
        tree = json.loads(header["__metadata__"]["tree"])
        if len(header) == 1 and len(data) > 8 + header_length:
            raise MalformedObservation("more follows on a tree without tensors")
        tensors = safetensors.torch.load(data) if len(header) > 1 else {}
        reader = _Reader(tensors)
        value = reader.value(tree, 0)
    except MalformedObservation:
        raise
    except RecursionError:
        raise MalformedObservation("it is nested too deeply") from None
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, AssertionError) as error:
        raise MalformedObservation(f"it cannot be read ({type(error).__name__})") from None
    except safetensors.SafetensorError:
        raise MalformedObservation("its tensors cannot be read") from None
    if reader.unused:
        raise MalformedObservation("it holds tensors that its tree does not name")
    return value


def _to_json(value, tensors: dict[str, Tensor]):
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            return value if value - value == 0 else {"float": repr(value)}  # inf and nan are not JSON
        case list():
            return [_to_json(item, tensors) for item in value]
        case tuple():
            return {"tuple": [_to_json(item, tensors) for item in value]}
        case dict():
            return {"dict": [[_to_json(k, tensors), _to_json(v, tensors)] for k, v in value.items()]}
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case Foreign(what):
            return {"foreign": what}
        case Tensor() | np.ndarray():
            name = str(len(tensors))
            kind = "tensor" if isinstance(value, Tensor) else "array"
            tensors[name] = (value if kind == "tensor" else torch.from_numpy(value)).contiguous()
            return {kind: name}
    raise ObservationError(f"{_name(type(value))} cannot be packed; freeze it first")


class _Reader:
    """Builds the tree from its JSON, counting as it goes."""

    def __init__(self, tensors: dict[str, Tensor]):
        self.unused = tensors
        self.nodes = 0

    def value(self, node, depth: int):
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise MalformedObservation("it is nested too deeply")
        if self.nodes > MAX_NODES:
            raise MalformedObservation("it has too many items")
        if isinstance(node, list):
            return [self.value(item, depth + 1) for item in node]
        if isinstance(node, dict):
            return self._tagged(node, depth)
        if isinstance(node, float) and node - node != 0:
            raise MalformedObservation("a number is out of range")
        return node

    def _tagged(self, node: dict, depth: int):
        if len(node) != 1:
            raise MalformedObservation("an object has no single tag")
        [(tag, content)] = node.items()
        if tag == "float" and content in ("inf", "-inf", "nan"):
            return float(content)
        if tag == "tuple" and isinstance(content, list):
            return tuple(self.value(item, depth + 1) for item in content)
        if tag == "dict" and isinstance(content, list):
            return self._dict(content, depth)
        if tag == "bytes" and isinstance(content, str):
            return base64.b64decode(content, validate=True)
        if tag == "foreign" and isinstance(content, str):
            return Foreign(content[:200])
        if tag in ("tensor", "array") and content in self.unused:
            tensor = self.unused.pop(content)
            if tensor.dtype not in TENSOR_DTYPES and tag == "tensor":
                raise MalformedObservation(f"a tensor of {tensor.dtype}")
            return tensor if tag == "tensor" else tensor.numpy()
        raise MalformedObservation(f"an unknown tag or its content: {str(tag)[:20]!r}")

    def _dict(self, pairs: list, depth: int) -> dict:
        result = {}
        hashes: Counter[int] = Counter()  # without many that are equal, which would take for ever
        for key, item in pairs:
            key = self.value(key, depth + 1)
            if not _can_be_key(key):
                raise MalformedObservation("a dict's key cannot be one")
            hashes[hash(key)] += 1
            if hashes[hash(key)] > MAX_EQUAL_HASHES or key in result:
                raise MalformedObservation("a dict's key comes twice, or is made to look like others")
            result[key] = self.value(item, depth + 1)
        return result
