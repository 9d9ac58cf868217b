"""Chapter 7 written another way: loops, einsum, thresholds, noise instead of multinomial."""

import math

import torch
from torch import Generator, Tensor, nn

from ..ch2.inputs import check_ids


def _needs_a_prompt(idx: Tensor) -> None:
    if idx.numel() == 0:
        raise ValueError("empty prompt")


def generate_text(model: nn.Module, idx: Tensor, max_new_tokens: int, context_size: int) -> Tensor:
    _needs_a_prompt(idx)
    B, T = idx.shape
    text = idx.new_zeros(B, T + max_new_tokens)
    text[:, :T] = idx
    with torch.no_grad():
        for end in range(T, T + max_new_tokens):
            logits = model(text[:, max(0, end - context_size) : end])
            text[:, end] = logits[:, -1, :].max(dim=-1).indices
    return text


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    if not temperature > 0:
        raise ValueError("only a positive temperature")
    return logits.div(temperature)


def top_k_filter(logits: Tensor, top_k: int) -> Tensor:
    if top_k <= 0:
        raise ValueError("top_k must be positive")
    V = logits.size(-1)
    if top_k >= V:
        return logits.clone()
    better = (logits.unsqueeze(-2) > logits.unsqueeze(-1)).sum(dim=-1)  # how many are greater
    return torch.where(better < top_k, logits, -math.inf)


def top_p_filter(logits: Tensor, top_p: float) -> Tensor:
    if top_p <= 0 or top_p > 1:
        raise ValueError("top_p must be in (0, 1]")
    if top_p == 1:
        return logits.clone()
    kept = torch.full_like(logits, -math.inf)
    rows, kept_rows = logits.reshape(-1, logits.size(-1)), kept.view(-1, logits.size(-1))
    for row, kept_row in zip(rows, kept_rows, strict=True):
        probabilities, total = row.log_softmax(dim=0).exp().tolist(), 0.0
        for i in row.argsort(descending=True).tolist():
            kept_row[i] = row[i]
            total += probabilities[i]
            if total >= top_p:
                break
    return kept


def next_token(
    logits: Tensor,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Generator | None = None,
) -> Tensor:
    if temperature == 0:
        return logits.max(dim=1, keepdim=True).indices
    if temperature < 0:
        raise ValueError("negative temperature")
    logits = apply_temperature(logits, temperature)
    logits = logits if top_k is None else top_k_filter(logits, top_k)
    logits = logits if top_p is None else top_p_filter(logits, top_p)
    noise = torch.empty_like(logits).exponential_(generator=generator)  # the exponential race
    return (logits.softmax(dim=1) / noise).argmax(dim=1).unsqueeze(1)


def _continue(last_logits, idx, max_new_tokens, settings, eos_id):
    """last_logits: the text so far, a list of columns, to the logits of its last position."""
    _needs_a_prompt(idx)
    columns, alive = list(idx.unbind(dim=1)), torch.ones_like(idx[:, 0], dtype=torch.bool)
    with torch.no_grad():
        for _ in range(max_new_tokens):
            chosen = next_token(last_logits(columns), *settings).squeeze(1)
            if eos_id is not None:
                chosen = torch.where(alive, chosen, eos_id)
                alive = alive & (chosen != eos_id)
                if not alive.any():
                    break
            columns.append(chosen)
    return torch.stack(columns, dim=1)


def generate(
    model: nn.Module,
    idx: Tensor,
    max_new_tokens: int,
    context_size: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_id: int | None = None,
    generator: Generator | None = None,
) -> Tensor:
    def last_logits(columns):
        return model(torch.stack(columns[-context_size:], dim=1))[:, -1]

    return _continue(last_logits, idx, max_new_tokens, (temperature, top_k, top_p, generator), eos_id)


class KVCache:
    def __init__(self):
        self.keys, self.values = {}, {}

    def append(self, layer, keys, values):
        B, H, _, D = keys.shape
        self.keys[layer] = torch.cat((self.keys.get(layer, keys.new_empty(B, H, 0, D)), keys), dim=-2)
        self.values[layer] = torch.cat((self.values.get(layer, values.new_empty(B, H, 0, D)), values), dim=-2)
        return self.keys[layer], self.values[layer]

    def length(self):
        return max((keys.shape[-2] for keys in self.keys.values()), default=0)


def attend_cached(att, x, cache, layer):
    def heads(linear):
        y = linear(x)
        return y.unflatten(-1, (att.num_heads, att.head_dim)).permute(0, 2, 1, 3)

    start = cache.keys[layer].shape[2] if layer in cache.keys else 0
    queries = heads(att.W_query)
    keys, values = cache.append(layer, heads(att.W_key), heads(att.W_value))
    rows = []
    for i in range(x.shape[1]):
        seen = start + i + 1
        scores = torch.einsum("bhd,bhtd->bht", queries[:, :, i], keys[:, :, :seen]) * att.head_dim**-0.5
        row = torch.einsum("bht,bhtd->bhd", scores.softmax(dim=-1), values[:, :, :seen])
        rows.append(row.flatten(1))
    return att.out_proj(torch.stack(rows, dim=1))


def forward_cached(model, ids, cache):
    start = cache.length()
    stop = start + ids.shape[1]
    if stop > model.pos_emb.weight.shape[0]:
        raise ValueError("longer than the context")
    check_ids(ids, model.tok_emb.num_embeddings)
    x = model.tok_emb.weight[ids] + model.pos_emb.weight[start:stop]
    for number in range(len(model.trf_blocks)):
        block = model.trf_blocks[number]
        x = x + attend_cached(block.att, block.norm1(x), cache, number)
        x = x + block.ff(block.norm2(x))
    return model.out_head(model.final_norm(x))


def generate_cached(
    model,
    idx: Tensor,
    max_new_tokens: int,
    context_size: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_id: int | None = None,
    generator: Generator | None = None,
) -> Tensor:
    cache = KVCache()

    def last_logits(columns):
        if len(columns) > context_size:
            return model(torch.stack(columns[-context_size:], dim=1))[:, -1]
        new = torch.stack(columns[cache.length() :], dim=1)
        return forward_cached(model, new, cache)[:, -1]

    return _continue(last_logits, idx, max_new_tokens, (temperature, top_k, top_p, generator), eos_id)
