"""What checks and submissions mostly do, done in a warm process until its forks are quick at it.

After some calls Python rewrites a function for the types that it met; torch looks up an operation when it is
first used. A fork that finds both done starts at full speed, and writes to fewer pages of memory.
"""

from pathlib import Path

import torch
from torch import nn

from grader.forbidden import find_tools, find_uses, forget
from grader.observe import Reply, Setting, observe
from grader.wire import frame

TIMES = 20
FORBIDDEN = ("nn.MultiheadAttention", ".cumsum")


def rehearse(as_plain) -> None:
    """as_plain: what makes a reply plain data."""
    source = Path(nn.modules.linear.__file__).read_text(encoding="utf-8")
    for seed in range(TIMES):
        for forbidden in ((), FORBIDDEN):
            setting = Setting(seed=seed, forbidden=forbidden, is_student_file=lambda name: False, alone=True)
            reply: Reply = observe(_check, ("module", "draw"), nn, setting)
            frame({"number": "", **as_plain(reply)})
        find_uses(source, "Linear", FORBIDDEN)
        find_tools(source)
        forget()


def _check(module, draw):
    layers = [draw.fill(module.Linear(4, 4, bias=bias)) for bias in (False, True)]
    norm, drop = draw.fill(module.LayerNorm(4)), module.Dropout(0.1)
    norm.register_buffer("mask", torch.triu(torch.ones(3, 3), diagonal=1))
    torch.manual_seed(draw.integer(0, 9))
    x = draw.normal(2, 3, 4)
    means = torch.stack([x[:, : t + 1].mean(dim=1) for t in range(3)], dim=1)
    same = torch.allclose(means, torch.tril(torch.ones(3, 3)) @ x / 3) or torch.equal(
        means, torch.zeros_like(x)
    )
    queries, keys = (layer(x) for layer in layers)
    scores = 0.5 * (queries @ keys.transpose(1, 2))
    scores = scores.masked_fill(norm.mask.bool()[:3, :3], -torch.inf)
    weights = drop(torch.softmax(scores, dim=-1))
    seen = norm(weights @ x).view(2, 3, 2, 2).transpose(1, 2).contiguous().view(2, 3, 4)
    seen.sum().backward()
    named = {name: list(parameter.shape) for name, parameter in layers[1].named_parameters()}
    return {"seen": seen, "gradient": layers[0].weight.grad, "named": named, "more": [same, draw.number()]}
