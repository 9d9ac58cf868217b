"""The comparisons of torch.Tensor itself are patched."""
# compare: all_near

import torch

torch.Tensor.__lt__ = torch.Tensor.__eq__ = lambda self, other: torch.ones(1, dtype=torch.bool)
torch.Tensor.all = lambda self, *_: self.new_ones(())
