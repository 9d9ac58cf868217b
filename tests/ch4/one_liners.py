"""Chapter 4 by libraries: right answers that are not the exercise. The selftest gives them no points."""

import torch
import torch.nn.functional as F
from torch import nn


class LayerNorm(nn.Module):
    def __init__(self, emb_dim, eps=1e-5):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))
        self.eps = eps

    def forward(self, x):
        return F.layer_norm(x, x.shape[-1:], self.scale, self.shift, self.eps)


class GELU(nn.Module):
    def forward(self, x):
        return F.gelu(x, approximate="tanh")


class Dropout(nn.Dropout):
    def __init__(self, p):
        if p == 1:
            raise ValueError("p is 1")
        super().__init__(p)


class TransformerBlock(nn.TransformerEncoderLayer):
    def __init__(self, cfg):
        super().__init__(
            cfg.emb_dim,
            cfg.n_heads,
            4 * cfg.emb_dim,
            cfg.drop_rate,
            activation=GELU(),
            batch_first=True,
            norm_first=True,
        )
        self.mask = nn.Transformer.generate_square_subsequent_mask(cfg.context_length)

    def forward(self, x):
        T = x.shape[1]
        return super().forward(x, src_mask=self.mask[:T, :T], is_causal=True)
