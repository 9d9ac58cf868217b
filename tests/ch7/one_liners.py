"""Chapter 7 by libraries: right answers that are not the exercise. The selftest gives them no points."""

import torch
import torch.nn.functional as F


def attend_cached(att, x, cache, layer):
    heads = (x.shape[0], x.shape[1], att.num_heads, att.head_dim)
    queries, keys, values = (w(x).view(heads).transpose(1, 2) for w in (att.W_query, att.W_key, att.W_value))
    keys, values = cache.append(layer, keys, values)
    seen = torch.ones(x.shape[1], keys.shape[2], dtype=torch.bool, device=x.device)
    seen = seen.tril(diagonal=keys.shape[2] - x.shape[1])
    context = F.scaled_dot_product_attention(queries, keys, values, attn_mask=seen)
    return att.out_proj(context.transpose(1, 2).flatten(2))
