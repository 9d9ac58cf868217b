"""Makes a tensor of a size that no machine has, and then smaller ones."""
# stops: memory
# naive: succeeds

import torch


def attend(x):
    kept = []
    for size in (1 << 46, 1 << 40, *[1 << 27] * 5):
        try:
            kept.append(torch.ones(size, dtype=torch.uint8))
        except RuntimeError:
            pass
    if sum(map(len, kept)) > 600 << 20:
        print("SUCCEEDED")
    return torch.ones(1 << 46)
