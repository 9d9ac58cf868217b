"""Observing the work: which torch functions and tensor methods are called, and how often.

A check asks for `operators` by name:

    def one_matmul_not_a_loop(attention, draw, operators):
        '''...'''
        x = draw.normal(2, 64, 8)
        with operators:
            attention.prefix_mean_matmul(x)
        return {"few calls": operators.total < 20, "matmul": operators.count("matmul", "bmm", "einsum") >= 1}

It counts the calls that the code makes, not the kernels below them, so the numbers are the same on every
device and with every version of torch. Names are the last part: `x @ y`, `torch.matmul` and `Tensor.matmul`
are "matmul".
"""

from collections import Counter

from torch.overrides import TorchFunctionMode

# attribute access (x.shape) goes the same way as a call, and is no work
NOT_WORK = frozenset({"__get__", "__set__", "_set_grad_enabled", "dim", "size"})


class Operators(TorchFunctionMode):
    """Counts calls while it is entered; entering again goes on counting."""

    def __init__(self):
        super().__init__()
        self.names: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return self.names.total()

    def count(self, *names: str) -> int:
        return sum(self.names[name] for name in names)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name not in NOT_WORK:
            self.names[name] += 1
        return function(*args, **(kwargs or {}))
