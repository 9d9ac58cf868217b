"""Chapter 9: speed. The same model and the same numbers, with less time or less memory.

Each exercise keeps a result of an earlier chapter and changes the way to it. None pays everywhere: what
halves a step on one machine lengthens it on another. So each says what gain to expect, and median_seconds
and saved_bytes, given below, measure it. Equality comes first: a fast wrong answer is worth nothing.

Shapes: B batch, T time (positions in the sequence), C width of one vector, V vocabulary size, H heads.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..ch2.inputs import check_ids, embed
from ..ch3.attention import MultiHeadAttention
from ..ch4.block import GELU, LayerNorm
from ..ch5.model import GPTModel
from ..ch6.training import calc_loss_batch, parameter_groups


def median_seconds(ways: dict[str, Callable[[], object]], rounds: int = 7) -> dict[str, float]:
    """How long each of some ways to do the same takes; given, nothing to do here.

    The ways take turns, so that whatever slows the machine down slows all of them down, and the
    median forgets the odd round. Trust ratios from one call, not seconds from two. On a GPU, end
    each way with torch.cuda.synchronize(): without it only the launch is timed.

        median_seconds({"plain": lambda: att(x), "fused": lambda: fused(x)})

    """
    for run in ways.values():
        run()  # the first time is always slower
    seconds = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(times) for name, times in seconds.items()}


def saved_bytes(run: Callable[[], object]) -> int:
    """How many bytes a forward pass keeps for its backward pass; given, nothing to do here."""
    kept = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = run()  # holds on to the graph while we count
    del result
    return sum(kept.values())


class FusedAttention(nn.Module):
    """Chapter 3's attention with its middle in one call, which never writes the scores to memory.

    Written out, attention makes (B, H, T, T) scores and takes them out to memory and back for the
    division, the mask, the softmax and the values. A fused kernel works on tiles that fit into the
    cache, with a running maximum and sum for each row; its memory grows with T, not with T². Told
    that the attention is causal, it also leaves out the half that the mask would throw away.

        softmax(Q Kᵀ / √head_dim + M) V  =  F.scaled_dot_product_attention, causal

    Args:
        att: a MultiHeadAttention, trained or not. Its four layers become this module's own as they
            are, under the same names: block.att = FusedAttention(block.att), and optimizers and
            checkpoints still fit. Its mode (training or evaluation) goes over, too.
        dropout: probability that an attention weight is zeroed, in training mode only.

    Attributes:
        W_query, W_key, W_value, out_proj, num_heads, head_dim: those of att.

    forward:
        Args:
            x: (B, T, d_in), any T: without a mask there is no limit but that of the positions.

        Returns:
            (B, T, d_out), as att(x).

    Gain: more the longer the context; on a CPU none with dropout, where torch then writes the
    scores after all. Measure the time and saved_bytes of att and of this at two lengths.

    Example:
        >>> att = MultiHeadAttention(d_in=6, d_out=6, context_length=256, dropout=0.0, num_heads=2)
        >>> x, fused = torch.randn(2, 256, 6), FusedAttention(att)
        >>> torch.allclose(fused(x), att(x), atol=1e-6)
        True
        >>> saved_bytes(lambda: att(x)) > 10 * saved_bytes(lambda: fused(x))
        True

    Source: Dao et al., "FlashAttention: fast and memory-efficient exact attention" (2022).
    """

    def __init__(self, att: MultiHeadAttention, dropout: float = 0.0):
        super().__init__()
        ### BEGIN SOLUTION
        self.W_query, self.W_key, self.W_value = att.W_query, att.W_key, att.W_value
        self.out_proj = att.out_proj
        self.num_heads, self.head_dim = att.num_heads, att.head_dim
        self.dropout = dropout
        self.train(att.training)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        B, T, _ = x.shape
        heads = (B, T, self.num_heads, self.head_dim)
        queries = self.W_query(x).view(heads).transpose(1, 2)  # (B, H, T, head_dim)
        keys = self.W_key(x).view(heads).transpose(1, 2)
        values = self.W_value(x).view(heads).transpose(1, 2)
        # subtle: the function knows no modes, and would drop in evaluation, too
        dropout = self.dropout if self.training else 0.0
        context = F.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout, is_causal=True)
        return self.out_proj(context.transpose(1, 2).reshape(B, T, -1))  # (B, T, d_out)
        ### END SOLUTION


class FusedQKVAttention(nn.Module):
    """FusedAttention with one projection, made of the three trained ones.

    Queries, keys and values are three products of the same x. Stack the weights, and it is one: x
    is read once, and a large product keeps a processor busier than three small ones. Afterwards cut
    the result in three.

        [Q, K, V] = X W_qkvᵀ + b_qkv        W_qkv = [W_query; W_key; W_value], one below the other

    Args:
        att: a MultiHeadAttention or a FusedAttention, with or without biases; it stays as it is.
        dropout: as in FusedAttention; the mode of att goes over here, too.

    Attributes:
        W_qkv: nn.Linear(d_in, 3·d_out), a copy of the rows of W_query, then W_key, then W_value,
            with a bias if these have one. Its parameters are new: make the optimizer afterwards.
        out_proj: the very layer of att.
        num_heads, head_dim: those of att.

    forward: as FusedAttention, with the same results.

    Gain: some percent where products are small, on GPUs mostly; little on a CPU.

    Example:
        >>> att = MultiHeadAttention(d_in=6, d_out=6, context_length=8, dropout=0.0, num_heads=2)
        >>> x, fused = torch.randn(2, 8, 6), FusedQKVAttention(att)
        >>> torch.allclose(fused(x), att(x), atol=1e-6), fused.W_qkv
        (True, Linear(in_features=6, out_features=18, bias=False))

    Source: Radford et al. (2019): their c_attn; chapter 8's split_qkv goes the other way.
    """

    def __init__(self, att: MultiHeadAttention | FusedAttention, dropout: float = 0.0):
        super().__init__()
        ### BEGIN SOLUTION
        layers = [att.W_query, att.W_key, att.W_value]
        d_out, d_in = att.W_query.weight.shape
        has_bias = att.W_query.bias is not None
        self.W_qkv = nn.Linear(d_in, 3 * d_out, bias=has_bias)
        self.W_qkv.weight = nn.Parameter(torch.cat([layer.weight.detach() for layer in layers]))
        if has_bias:
            self.W_qkv.bias = nn.Parameter(torch.cat([layer.bias.detach() for layer in layers]))
        self.out_proj = att.out_proj
        self.num_heads, self.head_dim = att.num_heads, att.head_dim
        self.dropout = dropout
        self.train(att.training)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        B, T, _ = x.shape
        qkv = self.W_qkv(x).view(B, T, 3, self.num_heads, self.head_dim)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # (B, H, T, head_dim) each
        dropout = self.dropout if self.training else 0.0
        context = F.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout, is_causal=True)
        return self.out_proj(context.transpose(1, 2).reshape(B, T, -1))  # (B, T, d_out)
        ### END SOLUTION


class FusedLayerNorm(nn.Module):
    """Chapter 4's LayerNorm in one call.

    Written out, a norm is seven small operations; each reads all of x and writes as much, and most
    of it is kept for the backward pass. One kernel goes over each row once, and keeps two numbers.

    Args:
        norm: a LayerNorm; its scale and shift become this module's own, under the same names.
        eps: as in norm.

    Attributes:
        scale, shift: those of norm.

    forward: x (…, C) -> (…, C), as norm(x), in one call of F.layer_norm.

    Gain: see fuse_elementwise.

    Example:
        >>> norm, x = LayerNorm(6), torch.randn(2, 3, 6)
        >>> torch.allclose(FusedLayerNorm(norm)(x), norm(x), atol=1e-6)
        True

    Source: torch's F.layer_norm; Ba, Kiros and Hinton, "Layer normalization" (2016).
    """

    def __init__(self, norm: LayerNorm, eps: float = 1e-5):
        super().__init__()
        ### BEGIN SOLUTION
        self.scale, self.shift = norm.scale, norm.shift
        self.eps = eps
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, self.eps)
        ### END SOLUTION


def fuse_elementwise(model: nn.Module) -> None:
    """Put fused kernels in the place of every LayerNorm and GELU of chapter 4 in a model, in place.

    Both are little arithmetic and much traffic: a GELU written out makes ten tensors of (B, T, 4C),
    the widest of the whole block.

        LayerNorm → FusedLayerNorm        GELU → nn.GELU(approximate="tanh")

    Args:
        model: any module that contains them, at whatever depth. Parameters and their names stay, so
            optimizers and checkpoints still fit.

    Gain: some 15 % of the step of a char GPT on one core, and 40 % of what it keeps.

    Example:
        >>> layers = nn.Sequential(LayerNorm(6), nn.Sequential(nn.Linear(6, 24), GELU()))
        >>> fuse_elementwise(layers)
        >>> layers[1]
        Sequential(
          (0): Linear(in_features=6, out_features=24, bias=True)
          (1): GELU(approximate='tanh')
        )

    Source: the ladder of optimizations in S. Raschka, "Build a Large Language Model (From Scratch)"
    (2024), bonus material of chapter 5.
    """
    ### BEGIN SOLUTION
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LayerNorm):
                setattr(parent, name, FusedLayerNorm(child))
            if isinstance(child, GELU):
                setattr(parent, name, nn.GELU(approximate="tanh"))
    ### END SOLUTION


def autocast_loss(
    input_batch: Tensor, target_batch: Tensor, model: nn.Module, device: torch.device | str
) -> Tensor:
    """The loss of one batch, with the products in bfloat16 and everything delicate in float32.

    bfloat16 has the range of float32 in half the bytes, with 8 bits of precision. That is enough for
    products of matrices, of which some processors do several times as many a second in it. It is
    not enough for weights, to which small steps are added, nor for a loss, a sum of thousands of
    numbers. So weights stay float32, torch.autocast hands bfloat16 copies of them to the products
    inside it, and the logits go back to float32 before the loss.

    Args:
        input_batch, target_batch, model, device: as calc_loss_batch of chapter 6.

    Returns:
        0-d tensor, float32, within about 0.01 of calc_loss_batch's; backward() gives float32
        gradients.

    Gain: a factor of 2 or more where the processor has units for it (GPUs, some CPUs), and a loss
    where it has none. Measure the whole step, forward and backward.

    Example: the model's output is bfloat16, its weights are not.
        >>> model = nn.Sequential(nn.Embedding(50, 4), nn.Linear(4, 50))
        >>> _ = model.register_forward_hook(lambda module, args, logits: print(logits.dtype))
        >>> loss = autocast_loss(torch.tensor([[1, 2, 3]]), torch.tensor([[2, 3, 4]]), model, "cpu")
        torch.bfloat16
        >>> loss.backward()
        >>> loss.dtype, model[1].weight.dtype, model[1].weight.grad.dtype
        (torch.float32, torch.float32, torch.float32)

    Source: Micikevicius et al., "Mixed precision training" (2017); Kalamkar et al., "A study of
    bfloat16 for deep learning training" (2019).
    """
    ### BEGIN SOLUTION
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
        logits = model(input_batch.to(device))  # (B, T, V), bfloat16
    return F.cross_entropy(logits.float().flatten(0, 1), target_batch.to(device).flatten())
    ### END SOLUTION


def fused_adamw(
    model: nn.Module, lr: float, weight_decay: float, betas: tuple[float, float] = (0.9, 0.95)
) -> torch.optim.AdamW:
    """An AdamW that updates all parameters of a group in one call, with the decay groups of chapter 6.

    Written out, AdamW is a dozen small operations on each parameter, which all read and write whole
    tensors. The fused kernel reads and writes every number once.

    Args:
        model: any module.
        lr: the learning rate.
        weight_decay: for the matrices; norms and biases do not decay.
        betas: AdamW's two memories.

    Returns:
        torch.optim.AdamW over the two groups of parameter_groups, fused.

    Gain: the optimizer's step becomes several times as fast; what that is of the whole depends on
    how many tokens share an update. Measure both.

    Example:
        >>> optimizer = fused_adamw(nn.Linear(3, 5), lr=1e-3, weight_decay=0.1)
        >>> [(group["weight_decay"], group["fused"]) for group in optimizer.param_groups]
        [(0.1, True), (0.0, True)]

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (2017).
    """
    ### BEGIN SOLUTION
    return torch.optim.AdamW(parameter_groups(model, weight_decay), lr=lr, betas=betas, fused=True)
    ### END SOLUTION


def pad_vocab(model: GPTModel, multiple: int = 64) -> None:
    """Round the vocabulary up to a multiple of 64 in place, without changing any loss.

    GPU kernels cut matrices into tiles, and 50,257 rows leave ragged ones: 50,304 take less time.
    So token embedding and head get rows of zeros for tokens that never come. But a logit of 0 would
    take its share of the softmax; so the head also gets a bias, not trained: 0 for the real tokens,
    −inf for the padding. Its probability is 0, losses and gradients are as before, and no sampler
    ever chooses it.

        V → the next multiple        logits[…, V:] = −inf

    Args:
        model: changed in place; if head and embedding are tied, they stay tied. A vocabulary that is
            a multiple already is left alone, without a bias. Make the optimizer afterwards.
        multiple: at least 1.

    Gain: on GPUs, most in bfloat16; on a CPU expect none, and 65 characters become 128 rows.

    Example:
        >>> from ..ch4.block import GPTConfig
        >>> model = GPTModel(GPTConfig(65, context_length=8, emb_dim=6, n_heads=2, n_layers=1))
        >>> pad_vocab(model)
        >>> logits = model(torch.tensor([[1, 2, 3]]))
        >>> model.tok_emb, logits.shape, logits.softmax(dim=-1)[..., 65:].max().item()
        (Embedding(128, 6), torch.Size([1, 3, 128]), 0.0)

    Source: the padding as in nanoGPT, which lets training silence the new rows; the bias is ours.
    """
    ### BEGIN SOLUTION
    V, C = model.tok_emb.weight.shape
    extra = -V % multiple  # rows missing to the next multiple
    if extra == 0:
        return
    is_tied = model.out_head.weight is model.tok_emb.weight
    zeros = model.tok_emb.weight.new_zeros(extra, C)
    head = model.out_head.weight.detach()
    model.tok_emb.weight = nn.Parameter(torch.cat([model.tok_emb.weight.detach(), zeros]))
    model.out_head.weight = model.tok_emb.weight if is_tied else nn.Parameter(torch.cat([head, zeros]))
    model.tok_emb.num_embeddings = model.out_head.out_features = V + extra

    bias = head.new_zeros(V + extra)
    bias[V:] = float("-inf")
    model.out_head.bias = nn.Parameter(bias, requires_grad=False)
    ### END SOLUTION


def accumulate_gradients(
    input_batch: Tensor,
    target_batch: Tensor,
    model: nn.Module,
    device: torch.device | str,
    micro_batch_size: int,
    calc_loss: Callable[..., Tensor] = calc_loss_batch,
) -> Tensor:
    """The gradients of a large batch, from small ones that fit into memory.

    The loss is a mean over rows, so its gradient is a mean of gradients. Send micro_batch_size rows
    at a time forward and backward, each loss weighted by its share of the rows, and .grad adds up to
    that of the large batch.

        loss = Σ_m (B_m / B) · loss_m        backward() after each m, so that its graph can go

    Args:
        input_batch, target_batch, model, device: as calc_loss_batch.
        micro_batch_size: rows at a time, at least 1; the last ones may be fewer.
        calc_loss: called as calc_loss_batch is; the mean loss of the rows it is given.

    Returns:
        0-d tensor, float32: the loss of the whole batch, without a graph. Gradients are added to
        what is in .grad, as backward() does.

    Gain: a batch of any size in the memory of a small one, and none in time. Measure saved_bytes of
    calc_loss_batch on B rows and on micro_batch_size of them.

    Example:
        >>> model = nn.Sequential(nn.Embedding(50, 4), nn.Linear(4, 50))
        >>> x, y = torch.randint(50, (5, 3)), torch.randint(50, (5, 3))
        >>> calc_loss_batch(x, y, model, "cpu").backward()
        >>> expected, model[1].weight.grad = model[1].weight.grad, None
        >>> loss = accumulate_gradients(x, y, model, "cpu", micro_batch_size=2)
        >>> torch.allclose(model[1].weight.grad, expected, atol=1e-6)
        True

    Source: the linearity of the gradient.
    """
    ### BEGIN SOLUTION
    B, total = len(input_batch), torch.zeros((), device=device)
    rows = zip(input_batch.split(micro_batch_size), target_batch.split(micro_batch_size), strict=True)
    for x, y in rows:
        loss = calc_loss(x, y, model, device) * (len(x) / B)
        loss.backward()
        total += loss.detach()
    return total
    ### END SOLUTION


def forward_checkpointed(model: GPTModel, ids: Tensor) -> Tensor:
    """GPTModel.forward that keeps only what enters each block, and computes the rest a second time.

    For the backward pass autograd keeps every intermediate result of every block. Keep what enters
    each block only, and when the backward pass comes to it, run it again. torch's checkpoint does so
    for one call of a function, with the random state of the first time, so that dropout drops the
    same numbers. Walk through the model as in chapter 7, each block in a checkpoint of its own
    (use_reentrant=False, the newer way).

    Args:
        model: the GPTModel of chapter 5.
        ids: (B, T), int64.

    Returns:
        logits (B, T, V), as model(ids), with the same gradients.

    Gain: the memory of one block in place of n_layers. It costs one more forward pass of the blocks,
    up to a third of a step, and pays when a larger batch or model then fits. Measure both.

    Example:
        >>> from ..ch4.block import GPTConfig
        >>> model = GPTModel(GPTConfig(50, context_length=8, emb_dim=6, n_heads=2, n_layers=3))
        >>> ids = torch.tensor([[7, 1, 42, 3]])
        >>> torch.allclose(forward_checkpointed(model, ids), model(ids))
        True
        >>> saved_bytes(lambda: model(ids)) > 2 * saved_bytes(lambda: forward_checkpointed(model, ids))
        True

    Source: Chen et al., "Training deep nets with sublinear memory cost" (2016).
    """
    ### BEGIN SOLUTION
    x = model.drop_emb(embed(ids, model.tok_emb, model.pos_emb))  # (B, T, C)
    for block in model.trf_blocks:
        x = checkpoint(block, x, use_reentrant=False)  # (B, T, C)
    return model.out_head(model.final_norm(x))  # (B, T, V)
    ### END SOLUTION


def chunked_cross_entropy(hidden: Tensor, head: nn.Linear, targets: Tensor, chunk_size: int) -> Tensor:
    """The cross-entropy of a large vocabulary, without ever holding all of the logits.

    At GPT-2's vocabulary 8 × 1,024 positions have 412 million logits: 1.6 GB, and softmax and
    gradient as much again each. But a position's loss needs its own logits only. Take chunk_size
    positions at a time through head and loss, each chunk in a checkpoint: the backward pass makes
    its logits again, and there are never two chunks' at once.

        loss = 1/(B·T) Σ_chunks Σ_t −log softmax(head(hidden[t]))[target[t]]

    Args:
        hidden: (B, T, C), what goes into the head: the last norm's output.
        head: the model's out_head, (…, C) -> (…, V).
        targets: (B, T), int64.
        chunk_size: how many positions' logits there are at once; the last chunk may be smaller.

    Returns:
        0-d tensor, float32: the mean over all positions, with the gradients of hidden and head as
        F.cross_entropy(head(hidden), targets) gives them.

    Gain: B·T / chunk_size times less memory for logits. It costs a second product with the head, and
    wins part of that back where a chunk stays in the cache.

    Example: 64 positions and 1,000 tokens, whose logits would take 256,000 bytes.
        >>> hidden, head = torch.randn(2, 32, 8, requires_grad=True), nn.Linear(8, 1000, bias=False)
        >>> targets = torch.randint(1000, (2, 32))
        >>> plain = F.cross_entropy(head(hidden).flatten(0, 1), targets.flatten())
        >>> torch.allclose(chunked_cross_entropy(hidden, head, targets, chunk_size=16), plain)
        True
        >>> saved_bytes(lambda: chunked_cross_entropy(hidden, head, targets, chunk_size=16)) < 5_000
        True

    Source: Wijmans et al., "Cut your losses in large-vocabulary language models" (2024), go further.
    """
    ### BEGIN SOLUTION

    def sum_of_losses(h: Tensor, t: Tensor) -> Tensor:  # (chunk_size, C), (chunk_size,)
        return F.cross_entropy(head(h).float(), t, reduction="sum")

    total = torch.zeros((), device=hidden.device)
    chunks = zip(hidden.flatten(0, 1).split(chunk_size), targets.flatten().split(chunk_size), strict=True)
    for h, t in chunks:
        total = total + checkpoint(sum_of_losses, h, t, use_reentrant=False)
    return total / targets.numel()
    ### END SOLUTION


def write_tokens(path: str | os.PathLike, ids: Tensor, vocab_size: int) -> None:
    """Write token ids to a file for TokenFile, in as few bytes as they need, whole or not at all.

    Tokenize once and keep the ids. As int64 a token takes 8 bytes; an id below 65,536 fits into 2,
    any other into 4. As in save_checkpoint, write to another name in the same folder first, then
    rename; when writing fails, take the other file away again.

    Args:
        path: the file; an older one is replaced.
        ids: (N,), int64, on the CPU.
        vocab_size: decides the format: uint16 if vocab_size ≤ 65,536, else uint32.

    Raises:
        ValueError: an id is outside the vocabulary (check_ids of chapter 2); in 2 bytes it would
            silently become another. Nothing is written.
        OSError: the file cannot be written; the old one is still there.

    The file is in numpy's own format, as np.save writes it to an open file.

    Gain: a fourth of the bytes, on the disk and in the system's cache.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_tokens(folder + "/ids.npy", torch.tensor([3, 1, 4, 1, 5]), vocab_size=50257)
        ...     np.load(folder + "/ids.npy")
        array([3, 1, 4, 1, 5], dtype=uint16)

    Source: numpy.lib.format; ids in two bytes as in nanoGPT.
    """
    ### BEGIN SOLUTION
    check_ids(ids, vocab_size)
    dtype = np.uint16 if vocab_size <= 2**16 else np.uint32
    path = Path(path)
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        with open(unfinished, "wb") as file:
            np.save(file, ids.numpy().astype(dtype))
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    ### END SOLUTION


class TokenFile:
    """get_batch of chapter 2 from a file of any size, of which only the windows in use are read.

    Ten billion tokens are 20 GB, and a batch needs some thousand of them. A memory-mapped file looks
    like an array; the system reads the pages that are touched, keeps them while there is room, and
    shares them among all processes that map the file.

    Args:
        path: a file that write_tokens, or np.save to an open file, wrote.

    len(): the number N of tokens in the file.

    batch:
        Args:
            batch_size, context_length, generator: as get_batch.

        Returns:
            x, y: (B, T), int64, as get_batch: y[b, t] follows x[b, t] in the text, each start is as
            likely as any other, the first and the last included.

        Raises:
            ValueError: fewer than T + 1 tokens are in the file.

    Gain: it opens at once, and takes the memory of a batch. In time a batch is no cheaper than
    get_batch's; measure both.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_tokens(folder + "/ids.npy", torch.tensor([3, 1, 4, 1, 5]), vocab_size=50257)
        ...     file = TokenFile(folder + "/ids.npy")
        ...     print(len(file), file.batch(batch_size=1, context_length=4))
        5 (tensor([[3, 1, 4, 1]]), tensor([[1, 4, 1, 5]]))

    Source: mmap(2), by way of np.load.
    """

    def __init__(self, path: str | os.PathLike):
        ### BEGIN SOLUTION
        self.ids = np.load(path, mmap_mode="r")  # (N,)
        ### END SOLUTION

    def __len__(self) -> int:
        ### BEGIN SOLUTION
        return len(self.ids)
        ### END SOLUTION

    def batch(
        self, batch_size: int, context_length: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        ### BEGIN SOLUTION
        if len(self) < context_length + 1:
            raise ValueError(f"{len(self)} tokens are too few for {context_length} and a target")
        starts = torch.randint(len(self) - context_length, (batch_size,), generator=generator).tolist()
        windows = np.stack([self.ids[start : start + context_length + 1] for start in starts])  # (B, T + 1)
        rows = torch.from_numpy(windows.astype(np.int64))
        return rows[:, :-1], rows[:, 1:]
        ### END SOLUTION


def prefetch(batches: Iterable, ahead: int = 2) -> Iterator:
    """The same batches, made ready in another thread while the one in hand is being used.

    What happens between two steps is time in which a GPU waits. A second thread can make the next
    batches meanwhile; not more than `ahead` of them, so that an endless source does not fill the
    memory.

    Args:
        batches: any iterable, also an endless one; only the other thread iterates over it.
        ahead: how many batches may wait ready, at least 1; one more may be in the making.

    Returns:
        an iterator over the same batches in the same order. An error in the source comes out where
        its batch would have. When it ends, or is left early and closed, no thread stays behind.

    Gain: at most the time of making a batch. For windows of a file in memory that is next to nothing;
    with slow disks, or tokenizing on the way, it is much.

    Example:
        >>> list(prefetch(range(5)))
        [0, 1, 2, 3, 4]

    Source: the bounded buffer; Dijkstra, "Cooperating sequential processes" (1965).
    """
    ### BEGIN SOLUTION
    source, end = iter(batches), object()
    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting = deque(reader.submit(next, source, end) for _ in range(ahead))
        while (batch := waiting.popleft().result()) is not end:
            waiting.append(reader.submit(next, source, end))
            yield batch
    ### END SOLUTION


def training_flops(model: GPTModel, num_tokens: int, context_length: int) -> int:
    """How many floating-point operations it takes to train on so many tokens: products of matrices only.

    A weight of a linear layer takes part in a multiplication and an addition for each token; backward
    in twice as many, for the gradients of the weight and of the input. In attention each position
    meets T keys and T values of width C in each layer; by custom all are counted, though a causal
    kernel may skip half. Embeddings are looked up, not multiplied; the rest is too little to count.

        FLOPs = num_tokens · (6 · weights of all linear layers + 12 · n_layers · C · T)

    Args:
        model: the GPTModel of chapter 5; its head, tied or not, is a linear layer.
        num_tokens: how many positions are trained on, B·T in one step.
        context_length: T, the length of the windows.

    Returns:
        the number of operations, an int.

    Gain: nothing gets faster; with model_flops_utilisation it tells what is left to gain.

    Example: GPT-2 small takes 0.85 GFLOP a token; ten billion tokens take an A100 (312 TFLOP/s) at
    least 7.6 hours.
        >>> from ..ch5.model import GPT2_SIZES
        >>> with torch.device("meta"):  # shapes without memory
        ...     model = GPTModel(GPT2_SIZES["gpt2"])
        >>> training_flops(model, num_tokens=1, context_length=1024)
        854438400
        >>> round(training_flops(model, 10**10, 1024) / 312e12 / 3600, 1)
        7.6

    Source: Kaplan et al., "Scaling laws for neural language models" (2020), section 2.1; with attention
    as in Chowdhery et al., "PaLM" (2022), appendix B.
    """
    ### BEGIN SOLUTION
    weights = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    n_layers, C = len(model.trf_blocks), model.tok_emb.embedding_dim
    return num_tokens * (6 * weights + 12 * n_layers * C * context_length)
    ### END SOLUTION


def model_flops_utilisation(flops: int, seconds: float, peak_flops: float) -> float:
    """Which part of what the processor could do went into the model: MFU.

    Tokens a second say nothing about another machine or model; this is one scale for all. Only what
    the model needs counts as work: not what checkpointing does twice.

        MFU = (flops / seconds) / peak_flops

    Args:
        flops: training_flops of what was trained on.
        seconds: how long it took.
        peak_flops: operations a second at that precision: by the data sheet, or as measured on a
            product of two large (n, n) matrices, 2·n³ operations.

    Returns:
        0 to 1; large models on GPUs reach 0.4 to 0.6.

    Example: 8 × 256 tokens of a char GPT of 10 million weights in 2 seconds, on a core of 87 GFLOP/s.
        >>> round(model_flops_utilisation(140 * 10**9, seconds=2.0, peak_flops=87e9), 2)
        0.8

    Source: Chowdhery et al. (2022), section 4.1.
    """
    ### BEGIN SOLUTION
    return flops / (seconds * peak_flops)
    ### END SOLUTION


def fit_power_law(sizes: Sequence[float], losses: Sequence[float]) -> tuple[float, float]:
    """How the loss falls with size, from a few small runs: the power law through them.

    Losses of models of several sizes, trained alike and long enough, lie near a power of the size; and
    a power is a straight line when both axes are logarithmic. Fit that line by least squares.

        loss ≈ a · size^(−α)        log loss = log a − α · log size

    Args:
        sizes: parameters of each model, or tokens, or FLOPs; all above 0, at least two different ones.
        losses: the loss of each, above 0.

    Returns:
        a, α: floats. An α of 0.07 means: ten times the size, 15 % less loss.

    Raises:
        ValueError: fewer than two different sizes: no line.

    Gain: what a larger model would reach is known before it is trained; if it is not too much larger,
    for in the end the curve flattens towards the entropy of the text.

    Example:
        >>> a, alpha = fit_power_law([1e5, 1e6, 1e7], [4.0, 3.4, 2.89])
        >>> round(a, 2), round(alpha, 4), round(a * 1e8**-alpha, 2)
        (9.01, 0.0706, 2.46)

    Source: Kaplan et al. (2020), equation 1.1.
    """
    ### BEGIN SOLUTION
    if len(set(sizes)) < 2:
        raise ValueError("a line needs at least two different sizes")
    x, y = np.log(np.asarray(sizes, dtype=float)), np.log(np.asarray(losses, dtype=float))
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    return float(np.exp(y.mean() - slope * x.mean())), float(-slope)
    ### END SOLUTION
