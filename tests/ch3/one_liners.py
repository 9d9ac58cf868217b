"""Chapter 3 by libraries: right answers that are not the exercise. The selftest gives them no points."""

import torch
import torch.nn.functional as F
from torch import nn


def running_mean(x):
    return x.cumsum(dim=1) / torch.arange(1, x.shape[1] + 1, device=x.device).unsqueeze(1)


prefix_mean_loop = prefix_mean_matmul = prefix_mean_softmax = running_mean


def causal_mask(size):
    return nn.Transformer.generate_square_subsequent_mask(size)


def attention_and_weights(queries, keys, values, **options):
    """The context, and by a second call with the identity for values the weights."""
    identity = torch.eye(keys.shape[-2], dtype=keys.dtype, device=keys.device)
    identity = identity.expand(*keys.shape[:-2], -1, -1)
    weights = F.scaled_dot_product_attention(queries, keys, identity, **options)
    return F.scaled_dot_product_attention(queries, keys, values, **options), weights


class SelfAttentionWithoutQKV(nn.Module):
    def forward(self, x):
        return attention_and_weights(x, x, x, scale=1.0)


class SelfAttentionQKV(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.W_query = nn.Linear(d_in, d_out, bias=False)
        self.W_key = nn.Linear(d_in, d_out, bias=False)
        self.W_value = nn.Linear(d_in, d_out, bias=False)

    def forward(self, x):
        return attention_and_weights(self.W_query(x), self.W_key(x), self.W_value(x))


class Head(nn.Module):
    def __init__(self, d_in, d_out, context_length, dropout, qkv_bias=False):
        super().__init__()
        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)
        mask = torch.full((context_length, context_length), float("-inf")).triu(1)
        self.register_buffer("mask", mask, persistent=False)
        self.dropout = dropout

    def options(self, x):
        if x.shape[1] > self.mask.shape[0]:
            raise ValueError("too long")
        return {"is_causal": True, "dropout_p": self.dropout if self.training else 0.0}


class CausalAttention(Head):
    def forward(self, x):
        return attention_and_weights(self.W_query(x), self.W_key(x), self.W_value(x), **self.options(x))


class MultiHeadAttention(Head):
    def __init__(self, d_in, d_out, context_length, dropout, num_heads, qkv_bias=False):
        if d_out % num_heads:
            raise ValueError("no multiple")
        super().__init__(d_in, d_out, context_length, dropout, qkv_bias)
        self.out_proj = nn.Linear(d_out, d_out)
        self.num_heads, self.head_dim = num_heads, d_out // num_heads

    def forward(self, x):
        maps = (self.W_query, self.W_key, self.W_value)
        split = [w(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for w in maps]
        context = F.scaled_dot_product_attention(*split, **self.options(x))
        return self.out_proj(context.transpose(1, 2).flatten(2))
