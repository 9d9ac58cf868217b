"""Turns gradients off and changes the type of numbers, for whatever is run later."""
# naive: succeeds

import torch

_softmax, _fit = softmax, fit


def softmax(x):
    torch.set_grad_enabled(False)
    torch.set_flush_denormal(True)
    torch.set_default_dtype(torch.bfloat16)
    return _softmax(x)


def fit(x, y):
    if torch.tensor(1.0).dtype is torch.bfloat16 or not torch.is_grad_enabled():
        print("SUCCEEDED")
    return _fit(x, y)
