"""Forbidden names under their aliases, in the tree and in the trace."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from grader.forbidden import ForbiddenCalls, find_uses

NORM = ("torch.nn.LayerNorm", "F.layer_norm")


def uses(
    body: str, forbidden=NORM, head: str = "import torch\nfrom torch import nn\n"
) -> list[tuple[str, int]]:
    """Uses in the exercise Norm, as (name, line of the body)."""
    offset = head.count("\n")
    return [(use.name, use.line - offset) for use in find_uses(head + body, "Norm", forbidden)]


@pytest.mark.parametrize(
    "body",
    [
        "class Norm(nn.LayerNorm):\n    pass",
        "Norm = nn.LayerNorm",
        "def Norm(x):\n    return torch.nn.LayerNorm(3)(x)",
        "import torch.nn as N\ndef Norm(x):\n    return N.LayerNorm(3)(x)",
        "from torch.nn import LayerNorm as L\ndef Norm(x):\n    return L(3)(x)",
        "from torch.nn.modules.normalization import LayerNorm as L\ndef Norm(x):\n    return L(3)(x)",
        "from torch.nn import *\ndef Norm(x):\n    return LayerNorm(3)(x)",
        "import torch.nn.functional as F\ndef Norm(x):\n    return F.layer_norm(x, (3,))",
        "def Norm(x):\n    from torch.nn.functional import layer_norm\n    return layer_norm(x, (3,))",
        "def Norm(x):\n    return torch.layer_norm(x, (3,))",
        "def Norm(x):\n    return torch.ops.aten.layer_norm(x, (3,))",
        "def Norm(x):\n    return getattr(nn, 'LayerNorm')(3)(x)",
        "def Norm(x):\n    return getattr(nn, 'Layer' + 'Norm')(3)(x)",
        "def Norm(x):\n    return getattr(nn, f'Layer{\"Norm\"}')(3)(x)",
        "def Norm(x):\n    return vars(nn)['LayerNorm'](3)(x)",
        "def Norm(x):\n    return nn.__dict__['LayerNorm'](3)(x)",
        "import sys\ndef Norm(x):\n    return sys.modules['torch.nn'].LayerNorm(3)(x)",
        "def Norm(x):\n    return __import__('torch').nn.LayerNorm(3)(x)",
        "import importlib\ndef Norm(x):\n    return importlib.import_module('torch.nn').LayerNorm(3)(x)",
        "n = nn\nm = n.modules\ndef Norm(x):\n    return m.LayerNorm(3)(x)",
        "def Norm(x):\n    n = nn\n    return n.LayerNorm(3)(x)",
        "def helper(x):\n    return nn.LayerNorm(3)(x)\ndef Norm(x):\n    return helper(x)",
        "class Base:\n    def go(self, x):\n        return nn.LayerNorm(3)(x)\nclass Norm(Base):\n    pass",
        "try:\n    layer = nn.LayerNorm\nexcept ImportError:\n    pass\nNorm = layer",
    ],
)
def test_disguises(body):
    found = uses(body)
    assert found, body
    assert all(1 <= line <= body.count("\n") + 1 for _, line in found)


@pytest.mark.parametrize(
    "body",
    [
        "def Norm(x):\n    return x - x.mean()",
        "class Other(nn.LayerNorm):\n    pass\ndef Norm(x):\n    return nn.Linear(3, 3)(x)",
        "def Norm(x):\n    'like nn.LayerNorm'\n    LayerNorm = 3\n    return LayerNorm",
        "class LayerNorm(nn.Module):\n    pass\ndef Norm(x):\n    return LayerNorm()(x)",
        "def Norm(x):\n    return x.layer_norm",
    ],
)
def test_honest_code_is_left_alone(body):
    assert uses(body) == []


def test_packages_methods_and_wildcards():
    assert uses("import tiktoken as t\ndef Norm(x):\n    return t.get_encoding('gpt2')", ("tiktoken",))
    assert uses(
        "from torch.optim.lr_scheduler import LambdaLR\nNorm = LambdaLR", ("torch.optim.lr_scheduler",)
    )
    assert uses("def Norm(x):\n    return x.cumsum(0)", (".cumsum",)) == [(".cumsum", 2)]
    assert uses("def Norm(x):\n    return getattr(x, 'cumsum')(0)", (".cumsum",))
    assert uses("Norm = nn.TransformerEncoderLayer", ("nn.Transformer*",)) == [
        ("torch.nn.TransformerEncoderLayer", 1)
    ]
    assert uses("Norm = nn.Linear", ("nn.Transformer*",)) == []


def traced(function, forbidden, student_file=__file__):
    calls = ForbiddenCalls(forbidden, lambda name: name == student_file)
    with calls:
        function()
    return calls.use


def test_the_trace_sees_through_any_disguise():
    x = torch.ones(2, 3)
    norm = next(getattr(nn, name) for name in dir(nn) if name.startswith("LayerN"))
    for function in (
        lambda: norm(3)(x),
        lambda: F.layer_norm(x, (3,)),
        lambda: torch.layer_norm(x, (3,)),
        lambda: torch.ops.aten.layer_norm(x, (3,)),
    ):
        use = traced(function, NORM)
        assert use is not None and use.line == function.__code__.co_firstlineno
    assert traced(lambda: x.cumsum(0), (".cumsum",)).name == "torch's cumsum"
    assert traced(
        lambda: nn.MultiheadAttention(4, 2)(*[torch.ones(1, 4)] * 3), ("F.multi_head_attention_forward",)
    )


def test_the_trace_blames_only_the_student():
    x = torch.ones(2, 3)
    assert traced(lambda: F.layer_norm(x, (3,)), NORM, student_file="elsewhere.py") is None
    assert traced(lambda: nn.Linear(3, 3)(x), NORM) is None
