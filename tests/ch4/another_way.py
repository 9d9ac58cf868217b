"""Chapter 4 once more, each exercise right in another way: the checks must pass this too."""

import dataclasses

import torch
from torch import nn

from ..ch3.attention import MultiHeadAttention


@dataclasses.dataclass(frozen=True)
class GPTConfig:
    vocab_size: int
    context_length: int
    emb_dim: int
    n_heads: int
    n_layers: int
    drop_rate: float = 0.0
    qkv_bias: bool = False


class LayerNorm(nn.Module):
    def __init__(self, emb_dim, eps=1e-5):
        super().__init__()
        self.shift = nn.Parameter(torch.full((emb_dim,), 0.0))
        self.scale = nn.Parameter(torch.full((emb_dim,), 1.0))
        self._epsilon = eps

    def forward(self, x):
        deviation = x - x.sum(-1, keepdim=True) / x.size(-1)
        spread = deviation.square().sum(-1, keepdim=True) / x.size(-1)
        return torch.addcmul(self.shift, deviation * torch.rsqrt(spread + self._epsilon), self.scale)


class GELU(nn.Module):
    def forward(self, x):
        # (1 + tanh z) / 2 is the logistic function of 2 z
        return x * torch.sigmoid(1.5957691216057308 * (x + 0.044715 * x.pow(3)))


class Dropout(nn.Module):
    def __init__(self, p):
        super().__init__()
        if p < 0 or p >= 1:
            raise ValueError("not a probability below 1")
        self._rate = p

    def forward(self, x):
        if self.training:
            return torch.where(torch.rand(x.shape, device=x.device) < self._rate, 0.0, x / (1 - self._rate))
        return x


class FeedForward(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        narrow = nn.Linear(cfg.emb_dim * 4, cfg.emb_dim)
        widen = nn.Linear(cfg.emb_dim, cfg.emb_dim * 4)
        self.layers = nn.Sequential(widen, GELU(), narrow)

    def forward(self, x):
        widen, bend, narrow = self.layers
        return narrow(bend(widen(x)))


class DeepNetwork(nn.Module):
    def __init__(self, layer_sizes, use_shortcut):
        super().__init__()
        self._add = use_shortcut
        widths = list(layer_sizes)
        linears = [nn.Linear(widths[i], widths[i + 1]) for i in range(len(widths) - 1)]
        self.layers = nn.ModuleList(nn.Sequential(linear, GELU()) for linear in linears)

    def forward(self, x):
        for linear, gelu in self.layers:
            out = gelu(linear(x))
            if self._add and linear.in_features == linear.out_features:
                out = out + x
            x = out
        return x


class TransformerBlock(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        width, rate = cfg.emb_dim, cfg.drop_rate
        self.att = MultiHeadAttention(width, width, cfg.context_length, rate, cfg.n_heads, cfg.qkv_bias)
        self.drop_shortcut = Dropout(rate)
        self.norm2, self.norm1 = LayerNorm(width), LayerNorm(width)
        self.ff = FeedForward(cfg)

    def forward(self, x):
        for norm, work in ((self.norm1, self.att), (self.norm2, self.ff)):
            x = self.drop_shortcut(work(norm(x))) + x
        return x
