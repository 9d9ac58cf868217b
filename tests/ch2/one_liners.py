"""Chapter 2 by libraries: right answers that are not the exercise. The selftest gives them no points."""

import torch.nn.functional as F


def cosine_similarity(a, b):
    return F.cosine_similarity(a, b, dim=-1)
