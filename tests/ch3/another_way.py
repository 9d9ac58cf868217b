"""Chapter 3 once more, each exercise right in another way: the checks must pass this too."""

import math

import torch
from torch import nn
from torch.nn import functional as F


def prefix_mean_loop(x):
    sequences = []
    for sequence in x:
        total, means = torch.zeros_like(sequence[0]), []
        for count, vector in enumerate(sequence, start=1):
            total = total + vector
            means.append(total / count)
        sequences.append(torch.stack(means))
    return torch.stack(sequences)


def prefix_mean_matmul(x):
    position = torch.arange(x.size(1), device=x.device)
    allowed = position[:, None] >= position[None, :]
    A = allowed.to(x.dtype) / (position[:, None] + 1)
    return torch.einsum("ts,bsc->btc", A, x)


def causal_mask(size):
    position = torch.arange(size)
    return torch.zeros(size, size).masked_fill(position > position[:, None], -math.inf)


def prefix_mean_softmax(x):
    scores = torch.zeros(x.size(0), x.size(1), x.size(1), dtype=x.dtype, device=x.device)
    mask = causal_mask(x.size(1)).to(x.device, x.dtype)
    return torch.bmm(nn.Softmax(dim=2)(scores + mask), x)


class SelfAttentionWithoutQKV(nn.Module):
    def forward(self, x):
        scores = torch.einsum("...tc,...sc->...ts", x, x)
        exponentials = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
        weights = exponentials / exponentials.sum(dim=-1, keepdim=True)
        return torch.einsum("...ts,...sc->...tc", weights, x), weights


class SelfAttentionQKV(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        for role in ("query", "key", "value"):
            setattr(self, f"W_{role}", nn.Linear(d_in, d_out, bias=False))
        self._factor = 1 / math.sqrt(d_out)

    def forward(self, x):
        q = self.W_query(x) * self._factor
        weights = F.softmax(torch.einsum("...td,...sd->...ts", q, self.W_key(x)), dim=-1)
        return torch.matmul(weights, x) @ self.W_value.weight.mT, weights


class CausalAttention(nn.Module):
    def __init__(self, d_in, d_out, context_length, dropout, qkv_bias=False):
        super().__init__()
        self.register_buffer("mask", causal_mask(context_length))
        self.context_length, self._p = context_length, dropout
        self.W_query = nn.Linear(d_in, d_out, qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, qkv_bias)

    def forward(self, x):
        length = x.size(1)
        if length > self.context_length:
            raise ValueError("too long")
        scores = torch.baddbmm(
            self.mask[:length, :length].expand(x.size(0), -1, -1),
            self.W_query(x),
            self.W_key(x).mT,
            alpha=1 / math.sqrt(self.W_key.out_features),
        )
        weights = F.dropout(scores.softmax(2), self._p, training=self.training)
        return torch.bmm(weights, self.W_value(x)), weights


class MultiHeadAttention(nn.Module):
    def __init__(self, d_in, d_out, context_length, dropout, num_heads, qkv_bias=False):
        super().__init__()
        self.head_dim, rest = divmod(d_out, num_heads)
        if rest:
            raise ValueError("the heads cannot share this width")
        self.num_heads = num_heads
        self.register_buffer("mask", causal_mask(context_length))
        self._drop = nn.Dropout(dropout)
        self.W_query = nn.Linear(d_in, d_out, qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, qkv_bias)
        self.out_proj = nn.Linear(d_out, d_out)

    def forward(self, x):
        length = x.size(1)
        if length > self.mask.size(0):
            raise ValueError("too long")
        hidden = self.mask[:length, :length].isinf()
        results = []
        parts = (
            projection(x).split(self.head_dim, dim=-1)
            for projection in (self.W_query, self.W_key, self.W_value)
        )
        for q, k, v in zip(*parts, strict=True):
            scores = torch.einsum("btd,bsd->bts", q, k) / math.sqrt(self.head_dim)
            weights = scores.masked_fill(hidden, -math.inf).softmax(dim=-1)
            results.append(self._drop(weights) @ v)
        return self.out_proj(torch.cat(results, dim=-1))
