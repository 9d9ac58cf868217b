"""Checks of chapter 9. Each result is to be as before, and the work another: calls and memory are counted."""

import os
import threading
import tracemalloc
import weakref

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from grader.checks import check

SHARED = (
    "MATRIX_PRODUCTS",
    "PeakMemory",
    "WatchedSource",
    "backward_of",
    "early_pieces",
    "exact_model",
    "gradients",
    "of_400_positions",
    "outcome",
    "peak_of",
    "peak_with_arrays",
    "refused",
    "small_gpt",
    "some_attention",
    "steps_of",
    "write_array",
)

MATRIX_PRODUCTS = ("linear", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "einsum")


class PeakMemory(TorchDispatchMode):
    """While entered, counts the bytes of all new tensors that are alive at once; `most` is the peak."""

    def __init__(self):
        super().__init__()
        self.alive, self.now, self.most = {}, 0, 0

    @classmethod
    def _should_skip_dynamo(cls):  # or torch imports its compiler, which takes seconds
        return False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.note([args, kwargs or {}], new=False)
        result = function(*args, **(kwargs or {}))
        self.note(result, new=True)
        return result

    def note(self, tree, new):
        if isinstance(tree, torch.Tensor):
            storage = tree.untyped_storage()
            place, size = storage.data_ptr(), new * storage.nbytes()
            if place not in self.alive:
                self.alive[place] = weakref.finalize(storage, self.forget, place, size)
                self.now += size
                self.most = max(self.most, self.now)
        elif isinstance(tree, (list, tuple, dict)):
            for part in tree.values() if isinstance(tree, dict) else tree:
                self.note(part, new)

    def forget(self, place, size):
        del self.alive[place]
        self.now -= size


def peak_of(run):
    """The most bytes that a run had in new tensors at once."""
    with PeakMemory() as memory:
        run()
    return memory.most


def peak_with_arrays(run):
    """The same with what numpy and Python itself ask for; the first run may import what it needs."""
    run()
    tracemalloc.start()
    tensors = peak_of(run)
    _, others = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return tensors + others


def some_attention(attention, draw, d_in=6, d_out=6, num_heads=2, qkv_bias=True):
    """In float64, so that another order of the sums makes no difference."""
    return draw.fill(attention.MultiHeadAttention(d_in, d_out, 512, 0.0, num_heads, qkv_bias)).double()


def small_gpt(model, draw, vocab_size=17, n_layers=2, drop_rate=0.0, context_length=8):
    """In float64, so that another order of the sums makes no difference."""
    cfg = model.GPTConfig(vocab_size, context_length, 12, 3, n_layers, drop_rate, qkv_bias=True)
    return draw.fill(model.GPTModel(cfg)).double()


def of_400_positions(fused, att, x, p):
    """What dropout does to one position 400 times, with one head: its whole context is dropped, or grows."""
    rows = x.repeat(400, 1, 1)
    evaluated, trained, bias = fused.eval()(rows), fused.train()(rows), att.out_proj.bias
    grown = bias + (evaluated - bias) / (1 - p)
    is_gone, is_grown = (
        torch.isclose(trained, kind.expand_as(trained), rtol=1e-3, atol=1e-4).all(dim=-1)
        for kind in (bias, grown)
    )
    return {
        "evaluation is as ever": torch.allclose(evaluated, att.eval()(rows), rtol=1e-3, atol=1e-4),
        "training: gone or grown": bool((is_gone ^ is_grown).all()),
        "training: gone as often as was asked for": abs(is_gone.float().mean().item() - p) < 0.15,
    }


def backward_of(out):
    """A backward pass from a sum in which every number of `out` has a weight of its own."""
    places = torch.arange(out.numel(), dtype=out.dtype, device=out.device).view(out.shape)
    (out * (1 + places % 7)).sum().backward()


def gradients(module):
    return {name: parameter.grad for name, parameter in module.named_parameters()}


def steps_of(optimizer, model, x, y, steps=3):
    """The model's parameters after some steps on one batch."""
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
        optimizer.step()
    return dict(model.named_parameters())


def exact_model(draw):
    """ids -> logits, with whole numbers so small that bfloat16 loses nothing."""
    model = nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 11)).to(draw.device)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(draw.integers(-2, 3, *parameter.shape))
    return model


def write_array(path, array):
    """A token file as write_tokens is to write it."""
    with open(path, "wb") as file:
        np.save(file, array)


class WatchedSource:
    """Batches 0, 1, 2, …; it knows how many have been asked for, by which threads, and of one when."""

    def __init__(self, number, watched=0, error=None):
        self.number, self.watched, self.error = number, watched, error
        self.made, self.threads, self.reached = 0, set(), threading.Event()

    def __iter__(self):
        for batch in range(self.number):
            self.threads.add(threading.get_ident())
            self.made += 1
            if self.made == self.watched:
                self.reached.set()
            yield batch
        if self.error is not None:
            raise self.error


def refused(function, *args, **settings):
    """Whether the call raises ValueError."""
    try:
        function(*args, **settings)
    except ValueError:
        return "ValueError"
    return "no error"


def early_pieces(inputs, attention, block, draw):
    """What chapters 2 to 4 give, each by itself, so that the first that differs is the one to mend."""
    cfg = block.GPTConfig(30, context_length=8, emb_dim=6, n_heads=2, n_layers=1, qkv_bias=True)
    tables = [draw.fill(nn.Embedding(rows, 6)) for rows in (30, 8)]
    att = draw.fill(attention.MultiHeadAttention(6, 6, 8, dropout=0.0, num_heads=2, qkv_bias=True))
    whole = draw.fill(block.TransformerBlock(cfg))
    x = draw.normal(2, 5, 6)
    return {
        "ch2, embed": inputs.embed(draw.integers(0, 30, 2, 5), *tables),
        "ch3, MultiHeadAttention": att(3 * x),
        "ch4, TransformerBlock": whole(x / 20),
    }


def outcome(function, *args):
    """What a call gives, or what it raises where the chapters before it do not fit."""
    try:
        return function(*args)
    except NotImplementedError:
        raise
    except Exception as error:
        return f"{type(error).__name__}: {error}"


# FusedAttention


@check("FusedAttention", forbidden=("nn.MultiheadAttention", "F.multi_head_attention_forward"))
def the_journey_in_one_call(speed, attention):
    """The six words of chapter 3 with two heads, seed 123: the same figures as there."""
    torch.manual_seed(123)
    att = attention.MultiHeadAttention(d_in=3, d_out=2, context_length=6, dropout=0.0, num_heads=2)
    return speed.FusedAttention(att)(attention.JOURNEY.unsqueeze(0))


@check("FusedAttention", needs="the_journey_in_one_call")
def fused_gradients_are_the_same(speed, attention, draw):
    """The gradients of the input and of every weight are those of the attention that was written out."""
    att, x = some_attention(attention, draw), draw.normal(2, 5, 6).double().requires_grad_()
    backward_of(speed.FusedAttention(att)(x))
    return gradients(att) | {"x": x.grad}


@check("FusedAttention", needs="the_journey_in_one_call")
def scores_are_never_written(speed, attention, draw, operators):
    """One fused call, and at no time as much memory in use as one number for each pair of positions."""
    T = 512
    fused, x = speed.FusedAttention(some_attention(attention, draw)), draw.normal(1, T, 6).double()
    with operators:
        fused(x)
    return {
        "fused calls": operators.count("scaled_dot_product_attention"),
        "softmax calls": operators.count("softmax", "_softmax", "exp"),
        "memory for one number for each pair": peak_of(lambda: fused(x).sum().backward()) > 8 * T * T,
    }


@check("FusedAttention", needs="the_journey_in_one_call")
def layers_and_mode_go_over(speed, attention, draw):
    """The parameters are the very same under the same names, and the mode is that of the attention."""
    att = some_attention(attention, draw).eval()
    fused = speed.FusedAttention(att)
    same = dict(att.named_parameters())
    return {
        "the same parameters": {name: p is same.get(name) for name, p in sorted(fused.named_parameters())},
        "training": [fused.training, speed.FusedAttention(att.train()).training],
        "heads": [fused.num_heads, fused.head_dim],
    }


@check("FusedAttention", needs="layers_and_mode_go_over")
def weights_are_dropped_in_training_only(speed, attention, draw):
    """400 times one position: in training the whole context is dropped, or doubled; else as it is."""
    att = some_attention(attention, draw, num_heads=1)
    return of_400_positions(speed.FusedAttention(att, dropout=0.5), att, draw.normal(1, 1, 6).double(), 0.5)


# FusedQKVAttention


@check("FusedQKVAttention", forbidden=("nn.MultiheadAttention", "F.multi_head_attention_forward"))
def the_journey_with_one_projection(speed, attention):
    """The six words of chapter 3 with two heads, seed 123: the same figures as there."""
    torch.manual_seed(123)
    att = attention.MultiHeadAttention(d_in=3, d_out=2, context_length=6, dropout=0.0, num_heads=2)
    return speed.FusedQKVAttention(att)(attention.JOURNEY.unsqueeze(0))


@check("FusedQKVAttention", needs="the_journey_with_one_projection")
def rows_of_query_key_value(speed, attention, draw):
    """W_qkv holds the rows of the three in this order, with their biases, and gets gradients of its own."""
    att, x = some_attention(attention, draw), draw.normal(2, 5, 6).double()
    fused = speed.FusedQKVAttention(att)
    backward_of(fused(x))
    W_qkv = fused.W_qkv
    return {"weight": W_qkv.weight, "bias": W_qkv.bias, "gradient": W_qkv.weight.grad}


@check("FusedQKVAttention", needs="the_journey_with_one_projection")
def two_products_with_weights(speed, attention, draw, operators):
    """One product for queries, keys and values, and one at the end; and no scores are written."""
    T = 512
    fused, x = speed.FusedQKVAttention(some_attention(attention, draw)), draw.normal(1, T, 6).double()
    with operators:
        fused(x)
    return {
        "products": operators.count(*MATRIX_PRODUCTS),
        "fused calls": operators.count("scaled_dot_product_attention"),
        "memory for one number for each pair": peak_of(lambda: fused(x).sum().backward()) > 8 * T * T,
    }


@check("FusedQKVAttention", needs="rows_of_query_key_value")
def the_given_attention_stays(speed, attention, draw):
    """W_qkv is a copy: change it, and the attention it was made of is as it was. The mode goes over."""
    att, x = some_attention(attention, draw).eval(), draw.normal(2, 5, 6).double()
    fused = speed.FusedQKVAttention(att)
    with torch.no_grad():
        fused.W_qkv.weight.zero_()
    return {
        "att": att(x),
        "the same out_proj": fused.out_proj is att.out_proj,
        "training": [fused.training, speed.FusedQKVAttention(att.train()).training],
    }


@check("FusedQKVAttention", needs="the_given_attention_stays")
def one_projection_drops_in_training_only(speed, attention, draw):
    """400 times one position: in training the whole context is dropped, or doubled; else as it is."""
    att = some_attention(attention, draw, num_heads=1)
    return of_400_positions(
        speed.FusedQKVAttention(att, dropout=0.5), att, draw.normal(1, 1, 6).double(), 0.5
    )


# FusedLayerNorm


@check("FusedLayerNorm")
def norm_by_hand(speed, block, draw):
    """A row of 1 to 4 has mean 2.5 and variance 1.25; then scale and shift."""
    norm = draw.fill(block.LayerNorm(4))
    with torch.no_grad():
        norm.scale.copy_(draw.tensor([1.0, 1.0, 2.0, 2.0]))
        norm.shift.copy_(draw.tensor([0.0, 10.0, 0.0, 10.0]))
    return speed.FusedLayerNorm(norm)(draw.tensor([[1.0, 2.0, 3.0, 4.0]]))


@check("FusedLayerNorm", needs="norm_by_hand")
def norm_in_one_call(speed, block, draw, operators):
    """No mean, no variance, no division: one call, with eps as given, and less memory."""
    norm, x = draw.fill(block.LayerNorm(64)), draw.normal(2, 8, 64)
    fused = speed.FusedLayerNorm(norm)
    with operators:
        fused(x)
    return {
        "calls": operators.count("layer_norm", "native_layer_norm"),
        "small steps": operators.count("mean", "var", "var_mean", "std", "sqrt", "rsqrt", "sub", "div"),
        "eps 1": speed.FusedLayerNorm(norm, eps=1.0)(x),
        "half the memory": 2 * peak_of(lambda: fused(x)) < peak_of(lambda: norm(x)),
    }


@check("FusedLayerNorm", needs="norm_by_hand")
def norm_keeps_its_parameters(speed, block, draw):
    """Scale and shift are the very ones of the norm, and get the same gradients."""
    norm, x = draw.fill(block.LayerNorm(6)).double(), draw.normal(2, 3, 6).double().requires_grad_()
    fused = speed.FusedLayerNorm(norm)
    backward_of(fused(x))
    same = {
        name: p is dict(norm.named_parameters()).get(name) for name, p in sorted(fused.named_parameters())
    }
    return {"the same": same, "gradients": gradients(norm), "x": x.grad}


# fuse_elementwise


@check("fuse_elementwise")
def fused_model_says_the_same(speed, model, draw):
    """Logits and gradients of a GPT, under the same names, after its norms and GELUs have been replaced."""
    gpt, ids = small_gpt(model, draw), draw.integers(0, 17, 2, 6)
    speed.fuse_elementwise(gpt)
    logits = gpt(ids)
    backward_of(logits)
    return {"logits": logits, "gradients": gradients(gpt)}


@check("fuse_elementwise", needs="fused_model_says_the_same")
def every_norm_and_every_gelu(speed, model, draw, operators):
    """Two blocks have five norms and two GELUs: each is one call now, and nothing is left of the old ones."""
    gpt, ids = small_gpt(model, draw), draw.integers(0, 17, 2, 6)
    speed.fuse_elementwise(gpt)
    with operators:
        gpt(ids)
    return {
        "norms": operators.count("layer_norm", "native_layer_norm"),
        "GELUs": operators.count("gelu"),
        "small steps": operators.count("mean", "var", "var_mean", "sqrt", "rsqrt", "tanh", "pow", "erf"),
    }


@check("fuse_elementwise", needs="fused_model_says_the_same")
def other_layers_stay(speed, block, draw):
    """In other modules, too, at any depth; what is neither norm nor GELU is not touched."""
    deep = nn.ModuleDict({"norm": block.LayerNorm(4), "list": nn.ModuleList([block.GELU()])})
    layers = nn.Sequential(deep, nn.Linear(4, 4), nn.Dropout(0.1))
    linear, dropout = layers[1], layers[2]
    speed.fuse_elementwise(layers)
    old = [type(layer).__name__ for layer in layers.modules() if type(layer) in (block.LayerNorm, block.GELU)]
    return {"left of chapter 4": old, "kept": [layers[1] is linear, layers[2] is dropout]}


# autocast_loss


@check("autocast_loss")
def products_in_bfloat16(speed, draw):
    """The logits come out in bfloat16; loss, weights and gradients are float32."""
    model, seen = exact_model(draw), []
    model.register_forward_hook(lambda _, __, logits: seen.append(str(logits.dtype)))
    loss = speed.autocast_loss(draw.integers(0, 11, 2, 3), draw.integers(0, 11, 2, 3), model, draw.device)
    loss.backward()
    weight = model[1].weight
    return {"logits": seen, "loss": str(loss.dtype), "weight": [str(weight.dtype), str(weight.grad.dtype)]}


@check("autocast_loss", needs="products_in_bfloat16")
def loss_is_not_rounded(speed, draw):
    """With logits that bfloat16 holds exactly, the loss is chapter 6's to the last digits."""
    x, y = draw.integers(0, 11, 3, 5), draw.integers(0, 11, 3, 5)
    return speed.autocast_loss(x, y, exact_model(draw), draw.device)


@check("autocast_loss", needs="products_in_bfloat16")
def weights_are_left_alone(speed, draw):
    """The model's weights are bit for bit as before, and outside of the call all is float32 again."""
    model = draw.fill(nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 11)))
    x = draw.integers(0, 11, 2, 3)
    loss = speed.autocast_loss(x, x, model, str(draw.device))
    return {"weights": dict(model.named_parameters()), "logits": model(x), "one number": loss.dim() == 0}


# fused_adamw


@check("fused_adamw", seconds=30)
def groups_and_settings(speed, draw):
    """Matrices decay, vectors do not; lr and betas as given; fused; and it is an AdamW."""
    model = draw.fill(nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5)))
    seen = {}
    for name, settings in (("default betas", {}), ("others", {"betas": (0.8, 0.9)})):
        optimizer = speed.fused_adamw(model, lr=0.01, weight_decay=0.1, **settings)
        seen[name] = [
            [
                [tuple(p.shape) for p in group["params"]],
                {key: group[key] for key in ("weight_decay", "lr", "betas", "fused")},
                bool(group["foreach"]),
            ]
            for group in optimizer.param_groups
        ]
    return seen | {"kind": type(optimizer).__name__}


@check("fused_adamw", needs="groups_and_settings", seconds=30)
def one_call_a_group(speed, draw, operators):
    """A step is one call for each of the two groups, however many parameters these have."""
    layers = [nn.Linear(4, 4) for _ in range(5)]
    model, x = draw.fill(nn.Sequential(*layers)), draw.normal(3, 4)
    optimizer = speed.fused_adamw(model, lr=0.01, weight_decay=0.1)
    model(x).sum().backward()
    with operators:
        optimizer.step()
    return {"fused calls": operators.count("_fused_adamw_"), "small steps": operators.count("addcdiv_")}


@check("fused_adamw", needs="groups_and_settings", seconds=30)
def the_same_steps(speed, model, draw):
    """After three steps, a GPT's weights are those that the unfused AdamW gives."""
    gpt, x, y = small_gpt(model, draw), draw.integers(0, 17, 2, 6), draw.integers(0, 17, 2, 6)
    return steps_of(speed.fused_adamw(gpt, lr=0.01, weight_decay=0.5), gpt, x, y)


# pad_vocab


@check("pad_vocab")
def sixty_five_become_128(speed, model, draw):
    """65 characters become 128 rows, of zeros where nobody comes; their logits are −inf."""
    gpt = small_gpt(model, draw, vocab_size=65)
    speed.pad_vocab(gpt)
    logits = gpt(draw.integers(0, 65, 2, 3))
    return {
        "rows": [tuple(gpt.tok_emb.weight.shape), tuple(gpt.out_head.weight.shape)],
        "padding": [gpt.tok_emb.weight[65:], gpt.out_head.weight[65:]],
        "logits": logits,
    }


@check("pad_vocab", needs="sixty_five_become_128")
def losses_and_gradients_stay(speed, model, draw):
    """The loss is as before, and so are the gradients; those of the padding are 0."""
    gpt, x, y = small_gpt(model, draw), draw.integers(0, 17, 2, 6), draw.integers(0, 17, 2, 6)
    speed.pad_vocab(gpt, multiple=8)
    loss = F.cross_entropy(gpt(x).flatten(0, 1), y.flatten())
    loss.backward()
    return {"loss": loss, "embedding": gpt.tok_emb.weight.grad, "head": gpt.out_head.weight.grad}


@check("pad_vocab", needs="sixty_five_become_128")
def tied_stays_tied(speed, model, draw):
    """Where head and embedding are one matrix, they are one afterwards, too."""
    gpt = small_gpt(model, draw)
    model.tie_weights(gpt)
    speed.pad_vocab(gpt, 8)
    return {"tied": gpt.out_head.weight is gpt.tok_emb.weight, "logits": gpt(draw.integers(0, 17, 2, 3))}


@check("pad_vocab", needs="sixty_five_become_128")
def what_fits_is_left_alone(speed, model, draw):
    """A vocabulary of 16 is a multiple of 8 already: the model is as before, and has no bias."""
    gpt = small_gpt(model, draw, vocab_size=16)
    before = gpt.out_head.weight
    speed.pad_vocab(gpt, 8)
    return {"the same": gpt.out_head.weight is before, "bias": gpt.out_head.bias is not None}


@check("pad_vocab", needs="losses_and_gradients_stay")
def sizes_are_told_and_the_bias_rests(speed, model, draw):
    """The layers know their new sizes; the bias is not trained, and everything else is."""
    gpt = small_gpt(model, draw)
    speed.pad_vocab(gpt, 10)
    sizes = [gpt.tok_emb.num_embeddings, gpt.out_head.out_features]
    return {"sizes": sizes, "not trained": [n for n, p in gpt.named_parameters() if not p.requires_grad]}


# accumulate_gradients


@check("accumulate_gradients")
def small_batches_add_up(speed, draw):
    """Six rows, two at a time: loss and gradients of all six together."""
    model, x, y = exact_model(draw), draw.integers(0, 11, 6, 4), draw.integers(0, 11, 6, 4)
    loss = speed.accumulate_gradients(x, y, model, draw.device, micro_batch_size=2)
    return {"loss": loss, "gradients": gradients(model), "a graph": loss.requires_grad}


@check("accumulate_gradients", needs="small_batches_add_up")
def the_last_rows_may_be_fewer(speed, draw):
    """Five rows, two at a time: the last one counts as one of five."""
    model, x, y = exact_model(draw), draw.integers(0, 11, 5, 4), draw.integers(0, 11, 5, 4)
    loss = speed.accumulate_gradients(x, y, model, draw.device, micro_batch_size=2)
    return {"loss": loss, "gradients": gradients(model)}


@check("accumulate_gradients", needs="small_batches_add_up")
def backward_after_each(speed, draw):
    """In which order rows go forward and gradients come back: never more than one part is in work."""
    model, events = exact_model(draw), []
    model.register_forward_hook(lambda _, __, logits: events.append(f"{len(logits)} rows"))
    model[1].weight.register_post_accumulate_grad_hook(lambda _: events.append("backward"))
    x = draw.integers(0, 11, 5, 4)
    speed.accumulate_gradients(x, x, model, draw.device, micro_batch_size=2)
    return events


@check("accumulate_gradients", needs="small_batches_add_up")
def gradients_are_added(speed, draw):
    """Gradients that are there already stay in the sum, and calc_loss is the one that was given."""
    model, x = exact_model(draw), draw.integers(0, 11, 4, 4)

    def squares(x, y, model, device):
        return model(x).square().mean()

    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    loss = speed.accumulate_gradients(x, x, model, draw.device, 2, calc_loss=squares)
    return {"loss": loss, "gradients": gradients(model)}


# forward_checkpointed


@check("forward_checkpointed")
def checkpointed_gpt_says_the_same(speed, model, draw):
    """Logits and gradients are those of the model."""
    gpt, ids = small_gpt(model, draw), draw.integers(0, 17, 2, 6)
    logits = speed.forward_checkpointed(gpt, ids)
    backward_of(logits)
    return {"logits": logits, "gradients": gradients(gpt)}


@check("forward_checkpointed", needs="checkpointed_gpt_says_the_same")
def each_block_runs_again(speed, model, draw):
    """How often each block has run after the forward pass, and after the backward pass."""
    gpt, ids = small_gpt(model, draw, n_layers=3), draw.integers(0, 17, 2, 6)
    runs = [0] * 3
    for number, block in enumerate(gpt.trf_blocks):

        def count(*_, number=number):
            runs[number] += 1

        block.register_forward_pre_hook(count)
    logits = speed.forward_checkpointed(gpt, ids)
    forward = list(runs)
    logits.sum().backward()
    return {"forward": forward, "and backward": runs}


@check("forward_checkpointed", needs="checkpointed_gpt_says_the_same")
def memory_of_one_block(speed, model, draw):
    """At its peak, a step through six blocks holds less than half of what the plain one holds."""
    gpt, ids = small_gpt(model, draw, n_layers=6, context_length=64), draw.integers(0, 17, 1, 64)
    plain, runs = peak_of(lambda: gpt(ids).sum().backward()), []
    for block in gpt.trf_blocks:
        block.register_forward_pre_hook(lambda *_: runs.append("a block"))
    peak = peak_of(lambda: speed.forward_checkpointed(gpt, ids).sum().backward())
    return {"less than half": 2 * peak < plain, "runs of a block": len(runs)}


@check("forward_checkpointed", needs="checkpointed_gpt_says_the_same")
def dropout_is_repeated(speed, model, draw):
    """With dropout, from the same seed: what is dropped the second time is what was dropped the first."""
    gpt, ids = small_gpt(model, draw, drop_rate=0.5), draw.integers(0, 17, 2, 6)
    seen = []
    for forward in (gpt, lambda ids: speed.forward_checkpointed(gpt, ids)):
        torch.manual_seed(5)
        gpt.zero_grad()
        logits = forward(ids)
        backward_of(logits)
        seen.append([logits, *gradients(gpt).values()])
    return [torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(*seen, strict=True)]


@check("forward_checkpointed", needs="checkpointed_gpt_says_the_same")
def blocks_learn_on_frozen_embeddings(speed, model, draw):
    """With frozen embeddings, the blocks still get their gradients."""
    gpt, ids = small_gpt(model, draw), draw.integers(0, 17, 2, 6)
    for table in (gpt.tok_emb, gpt.pos_emb):
        table.requires_grad_(False)
    backward_of(speed.forward_checkpointed(gpt, ids))
    return gradients(gpt)


# chunked_cross_entropy


@check("chunked_cross_entropy")
def loss_of_all_chunks(speed, draw):
    """12 positions, 4 at a time: the loss is the mean over all; a head of zeros gives ln 50."""
    hidden, head = draw.normal(3, 4, 6), draw.fill(nn.Linear(6, 50))
    losses = [speed.chunked_cross_entropy(hidden, head, draw.integers(0, 50, 3, 4), chunk_size=4)]
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
    return [*losses, speed.chunked_cross_entropy(hidden, head, draw.integers(0, 50, 3, 4), chunk_size=4)]


@check("chunked_cross_entropy", needs="loss_of_all_chunks")
def the_last_chunk_may_be_smaller(speed, draw):
    """10 positions, 4 at a time, and 16 at a time: each position counts as one of ten."""
    hidden, head, targets = draw.normal(2, 5, 6), draw.fill(nn.Linear(6, 20)), draw.integers(0, 20, 2, 5)
    return [speed.chunked_cross_entropy(hidden, head, targets, chunk_size) for chunk_size in (4, 16)]


@check("chunked_cross_entropy", needs="loss_of_all_chunks")
def chunks_give_the_same_gradients(speed, draw):
    """The gradients of hidden, and of the head's weight and bias, are those of the plain loss."""
    hidden, head = draw.normal(2, 5, 6).requires_grad_(), draw.fill(nn.Linear(6, 20))
    loss = speed.chunked_cross_entropy(hidden, head, draw.integers(0, 20, 2, 5), chunk_size=4)
    loss.backward()
    return gradients(head) | {"hidden": hidden.grad}


@check("chunked_cross_entropy", needs="loss_of_all_chunks")
def logits_are_never_all_there(speed, draw):
    """128 positions, 8 at a time, 1,000 tokens: the peak is far below all logits once, backward included."""
    hidden, head = draw.normal(2, 64, 4).requires_grad_(), draw.fill(nn.Linear(4, 1000))
    targets, rows = draw.integers(0, 1000, 2, 64), []
    head.register_forward_hook(lambda _, given, __: rows.append(given[0].numel() // 4))
    peak = peak_of(lambda: speed.chunked_cross_entropy(hidden, head, targets, chunk_size=8).backward())
    return {
        "half of all logits": peak > 4 * 128 * 1000 / 2,
        "more than 8 rows at once": max(rows, default=0) > 8,
    }


# write_tokens


@check("write_tokens")
def two_bytes_or_four(speed, folder):
    """The example in 2 bytes a token; with a vocabulary above 65,536 in 4."""
    ids, seen = torch.tensor([3, 1, 4, 1, 5]), {}
    for vocab_size in (50257, 2**16, 2**16 + 1):
        speed.write_tokens(folder / "ids.npy", ids, vocab_size)
        array = np.load(folder / "ids.npy")
        seen[vocab_size] = [array.tolist(), str(array.dtype)]
    return seen


@check("write_tokens", needs="two_bytes_or_four")
def one_file_of_that_name(speed, folder):
    """Any name will do, as a Path or a str; there is that file, and no other."""
    speed.write_tokens(folder / "train.bin", torch.arange(5), 10)
    speed.write_tokens(str(folder / "train.bin"), torch.arange(7), 10)
    return {path.name: np.load(path).tolist() for path in folder.iterdir()}


@check("write_tokens")
def ids_outside_are_refused(speed, folder):
    """Ids outside of the vocabulary are ValueErrors, and leave nothing behind."""
    bad = [([0, 10], 10), ([-1, 3], 10), ([70_000], 50_257)]
    seen = [refused(speed.write_tokens, folder / "a", torch.tensor(ids), size) for ids, size in bad]
    left = [path.name for path in folder.iterdir()]
    good = refused(speed.write_tokens, folder / "a", torch.tensor([0, 9]), 10)
    return {"refused": seen, "left": left, "good": good}


@check("write_tokens", needs="two_bytes_or_four")
def the_old_file_is_never_written_over(speed, folder):
    """The new file takes the old one's place; where a folder stands in the way, nothing is left behind."""
    (folder / "new").mkdir()
    path, second_name = folder / "new" / "ids", folder / "second name"
    speed.write_tokens(path, torch.arange(5), 10)
    os.link(path, second_name)
    speed.write_tokens(path, torch.arange(7), 10)
    (folder / "in the way" / "inside").mkdir(parents=True)
    try:
        speed.write_tokens(folder / "in the way", torch.arange(5), 10)
        error = "none"
    except OSError:
        error = "OSError"
    files = sorted(str(path.relative_to(folder).as_posix()) for path in folder.rglob("*"))
    return {"old": np.load(second_name).tolist(), "error": error, "files": files}


# TokenFile


@check("TokenFile")
def the_only_place_in_a_file(speed, folder):
    """The example: with five tokens in the file there is one window of four."""
    write_array(folder / "ids", np.array([3, 1, 4, 1, 5], dtype=np.uint16))
    file = speed.TokenFile(folder / "ids")
    return {"length": len(file), "batch": file.batch(batch_size=2, context_length=4)}


@check("TokenFile", needs="the_only_place_in_a_file")
def rows_of_the_file(speed, folder, draw):
    """Each row is one stretch of the file, its targets one further on; rows begin at places of their own."""
    write_array(folder / "ids", np.arange(60_000, 64_000, dtype=np.uint16))
    x, y = speed.TokenFile(str(folder / "ids")).batch(50, 6, draw.generator())
    return {"from the row's first": x - x[:, :1], "to the target": y - x, "alike": len(x.unique(dim=0)) < 25}


@check("TokenFile", needs="the_only_place_in_a_file")
def every_place_of_the_file(speed, folder):
    """Of 8 tokens, windows of 3 can begin at 0 to 4. In 600 rows each of these comes, and no other."""
    write_array(folder / "ids", np.arange(8, dtype=np.uint32))
    x, _ = speed.TokenFile(folder / "ids").batch(600, 3)
    return x[:, 0].unique()


@check("TokenFile", needs="rows_of_the_file")
def generator_of_the_file(speed, folder):
    """The same seed, the same batch; the next batch is another; the global generator is not touched."""
    write_array(folder / "ids", np.arange(5000, dtype=np.uint16))
    file, state = speed.TokenFile(folder / "ids"), torch.get_rng_state()
    a, b = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    first, same, second = (file.batch(8, 4, generator)[0] for generator in (a, b, a))
    return {
        "same seed": torch.equal(first, same),
        "next": torch.equal(first, second),
        "global": torch.equal(torch.get_rng_state(), state),
    }


@check("TokenFile", needs="the_only_place_in_a_file")
def windows_only_are_read(speed, folder):
    """A file of 2 megabytes: opening it and taking a batch needs a small part of that memory."""
    write_array(folder / "ids", np.zeros(1_000_000, dtype=np.uint16))
    batches = []
    peak = peak_with_arrays(lambda: batches.append(speed.TokenFile(folder / "ids").batch(4, 16)))
    return {
        "batch": batches[0],
        "a quarter of the file": peak > 500_000,
        "twice the file": peak > 4_000_000,
    }


@check("TokenFile")
def files_that_are_too_short(speed, folder):
    """A window with its last target needs T + 1 tokens; fewer are a ValueError."""
    seen = []
    for number in (2, 4, 5):
        write_array(folder / "ids", np.arange(number, dtype=np.uint16))
        seen.append(refused(speed.TokenFile(folder / "ids").batch, 2, 4))
    return seen


# prefetch


@check("prefetch")
def the_same_in_the_same_order(speed):
    """All batches, in their order, for sources longer and shorter than what may wait."""
    return [list(speed.prefetch(range(n), ahead)) for n, ahead in ((5, 2), (1, 3), (0, 2), (7, 1))]


@check("prefetch", needs="the_same_in_the_same_order")
def made_ready_meanwhile(speed):
    """While the first batch is in use, another thread makes the next two ready, without being asked."""
    source = WatchedSource(50, watched=3)
    batches = speed.prefetch(source, ahead=2)
    first = next(batches)
    made_meanwhile = source.reached.wait(timeout=3)
    batches.close()
    own = threading.get_ident() in source.threads
    return {"first": first, "made meanwhile": made_meanwhile, "by the thread that uses them": own}


@check("prefetch", needs="made_ready_meanwhile")
def not_too_far_ahead(speed):
    """After three batches are taken, with ahead=2, the source has been asked for six at the most."""
    source = WatchedSource(200, watched=7)
    batches = speed.prefetch(source, ahead=2)
    taken = [next(batches) for _ in range(3)]
    too_far = source.reached.wait(timeout=0.2)
    batches.close()
    return {"taken": taken, "too far": too_far, "all of 200": source.made == 200}


@check("prefetch", needs="the_same_in_the_same_order")
def errors_come_through(speed):
    """An error in the source comes after the batches before it, and as what it was."""
    seen = []
    try:
        for batch in speed.prefetch(WatchedSource(3, error=ValueError("the disk is gone")), ahead=2):
            seen.append(batch)
    except ValueError as error:
        seen.append(str(error))
    return seen


@check("prefetch", needs="made_ready_meanwhile")
def no_thread_stays(speed):
    """When the loop is left early, the other thread ends, too."""
    before = set(threading.enumerate())
    batches = speed.prefetch(WatchedSource(200), ahead=2)
    next(batches)
    batches.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=2)
    return len(set(threading.enumerate()) - before)


# training_flops


@check("training_flops", forbidden="torch.utils.flop_counter")
def gpt2_takes_so_many(speed, model):
    """The example: GPT-2 small, one token, context 1,024."""
    with torch.device("meta"):
        gpt = model.GPTModel(model.GPT2_SIZES["gpt2"])
    return speed.training_flops(gpt, num_tokens=1, context_length=1024)


@check("training_flops", needs="gpt2_takes_so_many")
def flops_of_a_small_gpt(speed, model, draw):
    """More tokens, longer windows, and tied weights: the head's products are done in any case."""
    gpt = small_gpt(model, draw)
    seen = [speed.training_flops(gpt, n, T) for n, T in ((1, 8), (10, 8), (1, 4))]
    model.tie_weights(gpt)
    return [*seen, speed.training_flops(gpt, 1, 8)]


# model_flops_utilisation


@check("model_flops_utilisation")
def part_of_the_peak(speed):
    """The example; and twice the time is half the utilisation."""
    return [speed.model_flops_utilisation(140 * 10**9, s, peak_flops=87e9) for s in (2.0, 4.0)]


@check("model_flops_utilisation", needs="part_of_the_peak")
def half_of_another_peak(speed):
    """10 operations in 5 seconds, where 4 a second can be done, are a half."""
    return speed.model_flops_utilisation(10, seconds=5.0, peak_flops=4.0)


# fit_power_law


@check("fit_power_law")
def a_law_is_found_again(speed):
    """Losses that lie on 12 · size^(−0.1) give back 12 and 0.1, and 5 / size gives 5 and 1."""
    laws = ((12.0, 0.1), (5.0, 1.0))
    return [speed.fit_power_law([10.0, 50.0, 1e4], [a * n**-p for n in (10.0, 50.0, 1e4)]) for a, p in laws]


@check("fit_power_law", needs="a_law_is_found_again")
def all_points_pull_at_the_line(speed):
    """Losses off the law: the line is the one with the least squares, in the logarithms."""
    return speed.fit_power_law([1e5, 3e5, 1e6, 1e7], [4.0, 3.9, 3.3, 2.89])


@check("fit_power_law")
def one_size_makes_no_line(speed):
    """One size, once or twice, is a ValueError."""
    return [refused(speed.fit_power_law, sizes, [3.0, 4.0]) for sizes in ([5.0, 5.0], [5.0, 6.0])]


# all together


@check("forward_checkpointed", needs="checkpointed_gpt_says_the_same", assembled=True)
def your_own_chapters_together(speed, inputs, attention, block, model, training, draw):
    """Your own chapters 2 to 6 work under chapter 9; mend the earliest one that differs."""
    seen = early_pieces(inputs, attention, block, draw)
    gpt, x, y = small_gpt(model, draw), draw.integers(0, 17, 2, 6), draw.integers(0, 17, 2, 6)
    seen["ch5, GPTModel"] = outcome(gpt, x)
    seen["ch6, calc_loss_batch"] = outcome(training.calc_loss_batch, x, y, gpt, draw.device)
    speed.fuse_elementwise(gpt)
    for block in gpt.trf_blocks:
        block.att = speed.FusedAttention(block.att)
    return seen | {"ch9, the fast model": outcome(speed.forward_checkpointed, gpt, x)}
