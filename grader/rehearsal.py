"""What checks and submissions mostly do, done in a warm process until its forks are quick at it.

After some calls Python rewrites a function for the types that it met; torch looks up an operation when it is
first used. A fork that finds both done starts at full speed, and writes to fewer pages of memory.
"""

import inspect
import marshal
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from grader.observations import pack, unpack
from grader.wire import frame

TIMES = 20
FORBIDDEN = ["nn.MultiheadAttention", ".cumsum"]


def rehearse(answer: Callable[[dict], dict]) -> None:
    """answer: what a submission with torch.nn as its module says to a request."""
    source = Path(inspect.getfile(nn.Linear)).read_text(encoding="utf-8")
    code = marshal.dumps(compile("import torch\n" + inspect.getsource(check), "<check>", "exec"))
    read = {"do": "read", "source": source, "name": "linear.py", "uses": [["Linear", FORBIDDEN], None]}
    look = {
        "do": "check",
        "code": code,
        "function": "check",
        "parameters": ["module", "draw"],
        "seconds": 10.0,
    }
    for seed in range(TIMES):
        begun = f"{source}\n# {seed}\n"  # another one, so that it is looked at again
        for request in (read | {"source": begun}, *(look | {"forbidden": some} for some in ([], FORBIDDEN))):
            reply = answer(unpack(pack(request | {"seed": seed})))
            assert reply["outcome"] == "seen", reply
            frame({"number": "", **reply})


def check(module, draw):
    layers = [draw.fill(module.Linear(4, 4, bias=bias)) for bias in (False, True)]
    norm, drop = draw.fill(module.LayerNorm(4)), module.Dropout(0.1)
    norm.register_buffer("mask", torch.triu(torch.ones(3, 3), diagonal=1))
    torch.manual_seed(draw.integer(0, 9))
    x = draw.normal(2, 3, 4)
    means = torch.stack([x[:, : t + 1].mean(dim=1) for t in range(3)], dim=1)
    queries, keys = (layer(means) for layer in layers)
    scores = 0.5 * (queries @ keys.transpose(1, 2))
    scores = scores.masked_fill(norm.mask.bool()[:3, :3], -1e9)
    weights = drop(scores.softmax(dim=-1))
    seen = norm(weights @ x).view(2, 3, 2, 2).transpose(1, 2).contiguous().view(2, 3, 4)
    seen.sum().backward()
    named = {name: list(parameter.shape) for name, parameter in layers[1].named_parameters()}
    return {"seen": seen, "gradient": layers[0].weight.grad, "named": named, "number": draw.number()}
