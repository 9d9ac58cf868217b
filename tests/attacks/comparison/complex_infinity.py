"""Returns numbers of another dtype, infinite ones, for which differences are not a number."""
# compare: not_greater

import torch


def attend(x):
    return torch.full(x.shape, float("inf"), dtype=torch.complex64).real - float("inf")
