"""Chapter 6 by libraries: right answers that are not the exercise. The selftest gives them no points."""

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    if warmup_steps > total_steps:
        raise ValueError("the warm-up is longer than the whole")
    if step >= total_steps:
        return min_lr
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=max_lr)
    cosine = CosineAnnealingLR(optimizer, max(1, total_steps - warmup_steps), min_lr)
    schedule = cosine
    if warmup_steps:
        linear = LinearLR(optimizer, 1e-12, total_iters=warmup_steps)
        schedule = SequentialLR(optimizer, [linear, cosine], [warmup_steps])
    for _ in range(step):
        optimizer.step()
        schedule.step()
    return schedule.get_last_lr()[0]


def clip_gradients(parameters, max_norm):
    return nn.utils.clip_grad_norm_(parameters, max_norm)
