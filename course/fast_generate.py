"""`course generate --fast`: the same tokens with fewer and larger operations, and several texts at once.

Chapter 7's cache grows by copying itself for every token. Here the room for all keys and values is made at
the start, and a step writes into it. Nothing changes its shape from one step to the next, so that a GPU can
replay a recorded step. Past the end of the context the window is computed anew each step, as in chapter 7.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from .generate import Sampling
from .pieces import Pieces

NEEDS = {"ch9": ["FusedQKVAttention", "FusedLayerNorm", "fuse_elementwise"]}


def speed_up(model: nn.Module, pieces: Pieces) -> None:
    """Chapter 9's fused parts in the place of chapter 3's and 4's."""
    pieces.ch9.fuse_elementwise(model)
    for block in model.trf_blocks:
        block.att = pieces.ch9.FusedQKVAttention(block.att)
    if model.tok_emb.weight.device.type == "cpu":
        for module in model.modules():
            if isinstance(module, nn.Linear):
                store_in_long_runs(module)


def store_in_long_runs(layer: nn.Linear) -> None:
    """Keep the weight as it is, but lay its longer side along memory.

    With one text a step multiplies each matrix with a single vector, and waits for the matrix to come from
    memory. That goes the faster the longer the runs: for GPT-2's head, 50,257 x 768, 1.6 times as fast.
    """
    d_out, d_in = layer.weight.shape
    if d_out > d_in:
        layer.weight.data = layer.weight.detach().T.contiguous().T


class Memory(nn.Module):
    """Room for one layer's keys and values of all texts, buffers because a compiler knows where these lie."""

    def __init__(self, att: nn.Module, texts: int, length: int):
        super().__init__()
        room = att.out_proj.weight.new_zeros(texts, att.num_heads, length, att.head_dim)
        self.register_buffer("keys", room)
        self.register_buffer("values", room.clone())


class StaticCache(nn.Module):
    """A GPTModel whose attentions are FusedQKVAttention, and its memory of several texts.

    Shapes: B texts, H heads, T tokens, V vocabulary size.
    """

    def __init__(self, model: nn.Module, texts: int, length: int):
        super().__init__()
        self.model, self.texts, self.length = model, texts, length
        self.memories = nn.ModuleList(Memory(block.att, texts, length) for block in model.trf_blocks)
        self.places = torch.arange(length, device=model.tok_emb.weight.device)

    def read(self, text: int, ids: Tensor) -> Tensor:
        """Take in a whole prompt (1, T); returns the logits (1, V) that follow it."""
        T = ids.shape[1]

        def attend(memory: Memory, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            memory.keys[text, :, :T], memory.values[text, :, :T] = keys[0], values[0]
            return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)

        return self.walk(ids, self.places[:T], attend)

    def step(self, ids: Tensor, positions: Tensor, length: int) -> Tensor:
        """One more token (B, 1) of each text, at its position (B, 1), below length; returns logits (B, V)."""
        every = torch.arange(len(ids), device=ids.device)
        seen = (self.places[:length] <= positions)[:, None, None]  # (B, 1, 1, length)

        def attend(memory: Memory, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            memory.keys[every, :, positions[:, 0]] = keys[:, :, 0]
            memory.values[every, :, positions[:, 0]] = values[:, :, 0]
            known = memory.keys[:, :, :length], memory.values[:, :, :length]
            return F.scaled_dot_product_attention(queries, *known, attn_mask=seen)

        return self.walk(ids, positions, attend)

    def step_alone(self, ids: Tensor, positions: Tensor, length: int) -> Tensor:
        """As step, for a single text of just that length: it may look at all there is, so without a mask."""
        last = slice(length - 1, length)

        def attend(memory: Memory, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            memory.keys[:, :, last], memory.values[:, :, last] = keys, values
            known = memory.keys[:, :, :length], memory.values[:, :, :length]
            return F.scaled_dot_product_attention(queries, *known)

        return self.walk(ids, positions, attend)

    def walk(self, ids: Tensor, positions: Tensor, attend) -> Tensor:
        """Through the model as forward_cached of chapter 7; the head sees the last position only."""
        B, T = ids.shape
        model = self.model
        x = torch.add(model.tok_emb(ids), model.pos_emb(positions))  # (B, T, C)
        for block, memory in zip(model.trf_blocks, self.memories, strict=True):
            att = block.att
            qkv = att.W_qkv(block.norm1(x)).view(B, T, 3, att.num_heads, att.head_dim)
            context = attend(memory, *(part.transpose(1, 2) for part in qkv.unbind(2)))  # (B, H, T, head_dim)
            x = x + att.out_proj(context.transpose(1, 2).flatten(2))
            x = x + block.ff(block.norm2(x))
        return model.out_head(model.final_norm(x[:, -1]))  # (B, V)


def eager_step(cache: StaticCache) -> Callable[[Tensor, Tensor, int], Tensor]:
    return cache.step_alone if cache.texts == 1 else cache.step


def recorded_step(cache: StaticCache) -> Callable[[Tensor, Tensor, int], Tensor]:
    """cache.step over the whole length, recorded once and replayed: for a GPU one launch, not hundreds.

    Recording takes a moment, torch.compile a minute, which no text of one context is long enough to win back.
    It writes to the cache: do it before reading prompts. The logits are overwritten by the next step.
    """
    ids, positions = torch.zeros(2, cache.texts, 1, dtype=torch.int64, device=cache.places.device)
    torch.cuda.set_device(cache.places.device)
    warm_up = torch.cuda.Stream()
    warm_up.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm_up):
        for _ in range(3):
            cache.step(ids, positions, cache.length)
    torch.cuda.current_stream().wait_stream(warm_up)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = cache.step(ids, positions, cache.length)

    def step(new_ids: Tensor, new_positions: Tensor, length: int) -> Tensor:
        ids.copy_(new_ids)
        positions.copy_(new_positions)
        graph.replay()
        return logits

    return step


@torch.no_grad()
def stream_texts(
    pieces: Pieces,
    model: nn.Module,
    prompts: list[list[int]],
    sampling: Sampling,
    generators: list[Generator],
    eos_id: int | None = None,
    make_step: Callable[[StaticCache], Callable] = eager_step,
) -> Iterator[list[int | None]]:
    """Yield the next token of every text, step by step; None for a text that has ended.

    Each text draws from its own generator, and so is the one that it would be alone. What make_step gives is
    called as StaticCache.step.
    """
    device, context_length = model.tok_emb.weight.device, model.pos_emb.num_embeddings
    texts = [list(prompt) for prompt in prompts]
    has_ended = [False] * len(texts)
    cache = StaticCache(model, len(texts), min(context_length, max(map(len, texts)) + sampling.max_tokens))
    step = make_step(cache)

    def window_logits(numbers: list[int]) -> Tensor:
        windows = torch.tensor([texts[number][-context_length:] for number in numbers], device=device)
        return model(windows)[:, -1]

    def first_logits(number: int, ids: list[int]) -> Tensor:
        if len(ids) > context_length:
            return window_logits([number])
        return cache.read(number, torch.tensor([ids], device=device))

    def next_logits() -> Tensor:
        lengths = [len(text) for text in texts]
        outside = [number for number, length in enumerate(lengths) if length > context_length]
        if len(outside) == len(texts):
            return window_logits(outside)
        last = torch.tensor([text[-1:] for text in texts], device=device)
        # a text past the context writes to its last place, which nobody reads any more
        positions = torch.tensor([[min(length, cache.length) - 1] for length in lengths], device=device)
        logits = step(last, positions, min(max(lengths), cache.length))
        if outside:
            logits[outside] = window_logits(outside)
        return logits

    def chosen(logits: Tensor) -> list[int]:
        how = sampling.temperature, sampling.top_k, sampling.top_p
        if sampling.temperature == 0:
            return pieces.ch7.next_token(logits, *how)[:, 0].tolist()
        rows = zip(logits.split(1), generators, strict=True)
        return [pieces.ch7.next_token(row, *how, generator).item() for row, generator in rows]

    for number in range(sampling.max_tokens):
        if number == 0:
            logits = torch.cat([first_logits(row, ids) for row, ids in enumerate(texts)])
        else:
            logits = next_logits()
        tokens = chosen(logits)
        for row, token in enumerate(tokens):
            has_ended[row] = has_ended[row] or token == eos_id
            texts[row].append(token)
        if all(has_ended):
            return
        yield [None if ended else token for ended, token in zip(has_ended, tokens, strict=True)]
