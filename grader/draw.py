"""Seeded inputs for checks: the same numbers on every machine and with every version of torch.

The bits are splitmix64's, a counter-based generator in plain 64-bit integers. What becomes of them uses only
operations that IEEE 754 rounds exactly (+, -, *, /, sqrt), so no logarithm or cosine: a normal is a sum of
twelve uniforms, which is close enough and never beyond 6.

The n-th call of each method has a stream of its own, derived from the seed, the method and n. So `accept` can
draw a check's inputs again without repeating its other calls.
"""

import functools
import hashlib
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

LETTERS = "abcdefghijklmnopqrstuvwxyz "
SHIFTS = tuple(map(np.uint64, (30, 27, 31)))  # splitmix64's
STEP = np.uint64(0x9E3779B97F4A7C15)
FACTORS = tuple(map(np.uint64, (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)))
PLACES = tuple(map(np.uint64, (43, 22, 1)))  # where the three 21-bit uniforms of a word begin
LOW = np.uint64(2**21 - 1)
FEW = 1 << 14  # numbers that are worth keeping, or drawing together
AROUND_ONE = frozenset({"weight", "scale", "gain", "gamma", "g"})  # last names of vectors that multiply


class Draw:
    """A source of inputs; `device` is where its tensors and the modules that it fills end up."""

    def __init__(self, seed: int | str, device: str | torch.device = "cpu"):
        self.seed = seed
        self.device = torch.device(device)
        self._calls: dict[str, int] = {}

    def normal(self, *shape: int) -> Tensor:
        """Float32 numbers with mean 0 and standard deviation 1."""
        return self._tensor(_normal(self._stream("normal"), math.prod(shape)), shape)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Float32 numbers in [low, high)."""
        return self._tensor(low + (high - low) * _unit(self._stream("uniform"), math.prod(shape)), shape)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Int64 numbers from low to high - 1."""
        return self._tensor(_below(self._stream("integers"), math.prod(shape), high - low) + low, shape)

    def integer(self, low: int, high: int) -> int:
        """One Python int from low to high - 1."""
        return int(_below(self._stream("integer"), 1, high - low)[0]) + low

    def number(self, low: float = 0.0, high: float = 1.0) -> float:
        """One Python float in [low, high)."""
        return low + (high - low) * float(_unit(self._stream("number"), 1)[0])

    def permutation(self, n: int) -> Tensor:
        """0 to n - 1 in any order, int64."""
        return self._tensor(np.argsort(_bits(self._stream("permutation"), n), kind="stable"), (n,))

    def choice(self, options):
        """One of a sequence."""
        return options[int(_below(self._stream("choice"), 1, len(options))[0])]

    def text(self, length: int, alphabet: str = LETTERS) -> str:
        """`length` characters of the alphabet."""
        return "".join(alphabet[i] for i in _below(self._stream("text"), length, len(alphabet)))

    def tensor(self, data, dtype: torch.dtype | None = None) -> Tensor:
        """Given numbers as a tensor on the device of this run."""
        return torch.tensor(data, dtype=dtype, device=self.device)

    def generator(self) -> torch.Generator:
        """A seeded generator of torch's own: the same numbers on one machine, not on every one."""
        return torch.Generator(self.device).manual_seed(self._stream("generator") >> 1)

    def fill(self, module: nn.Module) -> nn.Module:
        """Set every parameter by its name, and return the module, on the device of this run.

        By name, so that the order in which a constructor makes its layers does not matter. Matrices are
        scaled by 1 / sqrt(fan in); vectors that multiply are around 1, the others around 0. Buffers stay.
        """
        if not isinstance(module, nn.Module):
            raise TypeError(f"expected a torch.nn.Module, got {type(module).__name__}")
        stream = self._stream("fill")
        if self.device.type != "cpu":
            module = module.to(self.device)
        named = _named_once(module)
        drawn = _normals([(_key(stream, name), parameter.numel()) for name, parameter in named])
        with torch.no_grad():
            for (name, parameter), values in zip(named, drawn, strict=True):
                if parameter.ndim >= 2:
                    values = values / math.sqrt(math.prod(parameter.shape[1:]))
                else:
                    values = 0.25 * values + (name.rpartition(".")[2] in AROUND_ONE)
                parameter.copy_(self._tensor(values, parameter.shape))
        return module

    def _stream(self, method: str) -> int:
        self._calls[method] = self._calls.get(method, 0) + 1
        return _key(self.seed, method, self._calls[method])

    def _tensor(self, values: np.ndarray, shape: tuple[int, ...]) -> Tensor:
        kind = np.int64 if values.dtype.kind in "iu" else np.float32
        tensor = torch.from_numpy(values.reshape(shape).astype(kind))
        return tensor if self.device.type == "cpu" else tensor.to(self.device)


def _named_once(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Every parameter once; one with several names (a tied head) has the first of them in the alphabet."""
    named: dict[int, tuple[str, nn.Parameter]] = {}
    for name, parameter in sorted(module.named_parameters(remove_duplicate=False), key=lambda pair: pair[0]):
        named.setdefault(id(parameter), (name, parameter))
    return list(named.values())


def _key(*parts) -> int:
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")


def _bits(key: int, n: int) -> np.ndarray:
    """n words of 64 bits: splitmix64 (Steele, Lea and Flood, 2014) started at `key`."""
    return _mixed(_counters(n) + np.uint64(key))


def _mixed(z: np.ndarray) -> np.ndarray:
    """splitmix64's output for each of its states."""
    z ^= z >> SHIFTS[0]
    z *= FACTORS[0]
    z ^= z >> SHIFTS[1]
    z *= FACTORS[1]
    z ^= z >> SHIFTS[2]
    return z


def _counters(n: int) -> np.ndarray:
    return _few_counters(n) if n <= FEW else np.arange(1, n + 1, dtype=np.uint64) * STEP


@functools.lru_cache(maxsize=256)
def _few_counters(n: int) -> np.ndarray:
    return np.arange(1, n + 1, dtype=np.uint64) * STEP


def _unit(key: int, n: int) -> np.ndarray:
    """Multiples of 2^-24 in [0, 1): exact in float32."""
    return (_bits(key, n) >> np.uint64(40)).astype(np.float64) * 2.0**-24


def _below(key: int, n: int, bound: int) -> np.ndarray:
    if bound < 1:
        raise ValueError(f"there is no integer in a range of {bound}")
    return (_bits(key, n) % np.uint64(bound)).astype(np.int64)


def _normal(key: int, n: int) -> np.ndarray:
    """Sums of twelve 21-bit uniforms less their mean: multiples of 2^-21 up to 6, exact in float32."""
    return _sums(_bits(key, 4 * n))


def _normals(streams: list[tuple[int, int]]) -> Iterator[np.ndarray]:
    """_normal of each (key, n); of many small ones at once, which is quicker."""
    if sum(n for _, n in streams) > FEW or not streams:
        yield from (_normal(key, n) for key, n in streams)
        return
    together = _sums(_mixed(np.concatenate([_counters(4 * n) + np.uint64(key) for key, n in streams])))
    end = 0
    for _, n in streams:
        begin, end = end, end + n
        yield together[begin:end]


def _sums(words: np.ndarray) -> np.ndarray:
    three = words >> PLACES[0]
    for place in PLACES[1:]:
        uniform = words >> place
        uniform &= LOW
        three += uniform
    total = three[0::4] + three[1::4]  # quicker than a sum over rows
    total += three[2::4]
    total += three[3::4]
    return (total.astype(np.float64) - 6 * (2**21 - 1)) * 2.0**-21
