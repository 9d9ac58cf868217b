"""Chapter 9 written differently: the checks must take it too."""

import contextlib
import copy
import math
import os
import queue
import statistics
import tempfile
import threading

import numpy as np
import torch
from torch import Tensor, nn

from ..ch3.attention import MultiHeadAttention
from ..ch4 import block as ch4
from ..ch5.model import GPTModel
from ..ch6 import training


class FusedAttention(nn.Module):
    def __init__(self, att, dropout=0.0):
        super().__init__()
        for name in ("out_proj", "W_value", "W_key", "W_query"):
            self.add_module(name, getattr(att, name))
        self.head_dim, self.num_heads, self.p = att.head_dim, att.num_heads, dropout
        self.training = att.training

    def forward(self, x):
        def cut(layer):
            return layer(x).unflatten(-1, (self.num_heads, -1)).movedim(2, 1)

        return self.out_proj(
            attend(cut(self.W_query), cut(self.W_key), cut(self.W_value), self.training * self.p)
        )


def attend(q, k, v, p):
    out = nn.functional.scaled_dot_product_attention(q, k, v, None, p, True)
    return out.movedim(1, 2).flatten(2)


class FusedQKVAttention(nn.Module):
    def __init__(self, att: MultiHeadAttention, dropout=0.0):
        super().__init__()
        three = att.W_query, att.W_key, att.W_value
        self.W_qkv = copy.deepcopy(att.W_query)
        self.W_qkv.out_features *= 3
        for name in att.W_query.state_dict():
            rows = [layer.get_parameter(name).data for layer in three]
            self.W_qkv.register_parameter(
                name, nn.Parameter(torch.vstack(rows) if name == "weight" else torch.hstack(rows))
            )
        self.out_proj = att.out_proj
        self.num_heads, self.head_dim, self.p = att.num_heads, att.head_dim, float(dropout)
        self.training = att.training

    def forward(self, x):
        mixed = nn.functional.linear(x, self.W_qkv.weight, self.W_qkv.bias)
        q, k, v = (
            part.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2) for part in mixed.chunk(3, -1)
        )
        return self.out_proj(attend(q, k, v, self.p if self.training else 0))


class FusedLayerNorm(nn.Module):
    def __init__(self, norm, eps=1e-5):
        super().__init__()
        self.register_parameter("shift", norm.shift)
        self.register_parameter("scale", norm.scale)
        self.eps = eps

    def forward(self, x):
        return torch.layer_norm(x, [x.shape[-1]], weight=self.scale, bias=self.shift, eps=self.eps)


class FastGELU(nn.Module):
    def forward(self, x):
        return torch._C._nn.gelu(x, approximate="tanh")


def fuse_elementwise(model):
    for name, child in model.named_children():
        if type(child) is ch4.LayerNorm:
            child = FusedLayerNorm(child)
        elif type(child) is ch4.GELU:
            child = FastGELU()
        else:
            fuse_elementwise(child)
        model._modules[name] = child


def autocast_loss(input_batch, target_batch, model, device) -> Tensor:
    kind = str(device).partition(":")[0]
    with torch.amp.autocast(kind, torch.bfloat16):
        logits = model(input_batch.to(device))
    log_probs = logits.to(torch.float32).log_softmax(-1)
    return -log_probs.gather(-1, target_batch.to(device)[..., None]).mean()


def fused_adamw(model, lr, weight_decay, betas=(0.9, 0.95)):
    optimizer = torch.optim.AdamW(training.parameter_groups(model, weight_decay), betas=betas, fused=True)
    for group in optimizer.param_groups:
        group["lr"] = lr
    return optimizer


def pad_vocab(model, multiple=64):
    before = model.tok_emb.num_embeddings
    after = math.ceil(before / multiple) * multiple
    if after == before:
        return
    with torch.no_grad():
        grown = nn.Embedding(after, model.tok_emb.embedding_dim).to(model.tok_emb.weight)
        head = nn.Linear(grown.embedding_dim, after).to(grown.weight)
        for new, old in ((grown, model.tok_emb), (head, model.out_head)):
            new.weight.zero_()
            new.weight[:before] = old.weight
        head.bias.requires_grad_(False).fill_(-torch.inf)
        head.bias[:before] = 0
    if model.out_head.weight is model.tok_emb.weight:
        head.weight = grown.weight
    model.tok_emb, model.out_head = grown, head


def accumulate_gradients(
    input_batch, target_batch, model, device, micro_batch_size, calc_loss=training.calc_loss_batch
):
    n, losses = input_batch.shape[0], []
    for start in range(0, n, micro_batch_size):
        rows = slice(start, min(n, start + micro_batch_size))
        loss = calc_loss(input_batch[rows], target_batch[rows], model, device)
        share = (rows.stop - rows.start) / n
        loss.backward(gradient=torch.full_like(loss, share))
        losses.append(share * loss.detach())
    return torch.stack(losses).sum()


class Again(torch.autograd.Function):
    """Checkpointing by hand: run without a graph, and once more, with one, when the gradient comes."""

    @staticmethod
    def forward(ctx, block, state, x, *parameters):
        ctx.block, ctx.state = block, state
        ctx.save_for_backward(x)
        with torch.no_grad():
            return block(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        x = x.detach().requires_grad_()
        parameters = [p for p in ctx.block.parameters() if p.requires_grad]
        now = torch.get_rng_state()
        torch.set_rng_state(ctx.state)
        with torch.enable_grad():
            out = ctx.block(x)
        torch.set_rng_state(now)
        found = torch.autograd.grad(out, [x, *parameters], gradient)
        return None, None, *found


def forward_checkpointed(model: GPTModel, ids):
    positions = torch.arange(ids.size(1), device=ids.device)
    x = model.drop_emb(model.pos_emb(positions) + model.tok_emb(ids))
    for block in model.trf_blocks:
        parameters = [p for p in block.parameters() if p.requires_grad]
        x = Again.apply(block, torch.get_rng_state(), x, *parameters)
    return model.out_head(model.final_norm(x))


class ChunkedLoss(torch.autograd.Function):
    """The gradients are made on the way forward, chunk by chunk, while the logits are there."""

    @staticmethod
    def forward(ctx, hidden, head, targets, chunk_size, *parameters):
        needed = [hidden.detach(), *parameters]
        sums = [torch.zeros_like(tensor) for tensor in needed]
        total = 0.0
        for start in range(0, len(hidden), chunk_size):
            h = needed[0][start : start + chunk_size].requires_grad_()
            with torch.enable_grad():
                logits = head(h).float()
                right = logits.gather(1, targets[start : start + chunk_size, None])
                loss = (logits.logsumexp(1, keepdim=True) - right).sum() / len(hidden)
                found = torch.autograd.grad(loss, [h, *parameters])
            sums[0][start : start + chunk_size] = found[0]
            for whole, part in zip(sums[1:], found[1:], strict=True):
                whole += part
            total = total + loss.detach()
        ctx.save_for_backward(*sums)
        return total

    @staticmethod
    def backward(ctx, gradient):
        hidden, *others = (gradient * tensor for tensor in ctx.saved_tensors)
        return hidden, None, None, None, *others


def chunked_cross_entropy(hidden, head, targets, chunk_size):
    parameters = [p for p in head.parameters() if p.requires_grad]
    return ChunkedLoss.apply(
        hidden.reshape(-1, hidden.shape[-1]), head, targets.reshape(-1), chunk_size, *parameters
    )


def write_tokens(path, ids, vocab_size):
    numbers = np.asarray(ids.tolist(), dtype=np.int64)
    if numbers.size and not (0 <= numbers.min() and numbers.max() < vocab_size):
        raise ValueError("not in the vocabulary")
    numbers = numbers.astype("uint16" if vocab_size < 65_537 else "uint32")
    handle, name = tempfile.mkstemp(dir=os.path.dirname(os.fspath(path)) or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            np.lib.format.write_array(file, numbers)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(name)
        raise


class TokenFile:
    def __init__(self, path):
        self.path = path
        self.number = self._open().shape[0]

    def _open(self):
        return np.lib.format.open_memmap(self.path, mode="r")

    def __len__(self):
        return self.number

    def batch(self, batch_size, context_length, generator=None):
        places = self.number - context_length
        if places < 1:
            raise ValueError("too short")
        tokens = self._open()
        x, y = (torch.empty(batch_size, context_length, dtype=torch.int64) for _ in range(2))
        for row in range(batch_size):
            start = torch.randint(places, (), generator=generator).item()
            for shift, rows in enumerate((x, y)):
                window = tokens[start + shift : start + shift + context_length]
                rows[row] = torch.tensor(window.astype("int64"))
        return x, y


def prefetch(batches, ahead=2):
    ready, left = queue.Queue(maxsize=ahead), threading.Event()

    def put(kind, what=None):
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                return ready.put((kind, what), timeout=0.05)

    def read():
        try:
            for batch in batches:
                put("batch", batch)
                if left.is_set():
                    return
            put("end")
        except Exception as error:
            put("error", error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while True:
            kind, what = ready.get()
            if kind == "error":
                raise what
            if kind == "end":
                return
            yield what
    finally:
        left.set()
        thread.join()


def training_flops(model, num_tokens, context_length):
    rows = [p.shape for name, p in model.trf_blocks.named_parameters() if p.dim() == 2]
    rows.append(model.out_head.weight.shape)
    products = sum(2 * a * b for a, b in rows)
    width = model.pos_emb.weight.shape[1]
    attention = len(model.trf_blocks) * 2 * (2 * context_length * width)
    return 3 * num_tokens * (products + attention)


def model_flops_utilisation(flops, seconds, peak_flops):
    return flops / seconds / peak_flops


def fit_power_law(sizes, losses):
    if max(sizes) == min(sizes):
        raise ValueError("one size only")
    logs = [[math.log(number) for number in numbers] for numbers in (sizes, losses)]
    slope, intercept = statistics.linear_regression(*logs)
    return math.exp(intercept), -slope
