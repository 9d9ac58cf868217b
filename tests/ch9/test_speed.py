"""Hidden checks of chapter 9: fresh inputs for every grading, and the work observed."""

import os
import threading
import time
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
    "loss_of",
    "of_400_positions",
    "outcome",
    "peak_of",
    "peak_with_arrays",
    "refused",
    "small_gpt",
    "some_attention",
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


def loss_of(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


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

    def __init__(self, number, watched=0, error=None, pause=0.0):
        self.number, self.watched, self.error, self.pause = number, watched, error, pause
        self.made, self.threads, self.reached = 0, set(), threading.Event()

    def __iter__(self):
        for batch in range(self.number):
            self.threads.add(threading.get_ident())
            time.sleep(self.pause)
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
def fused_values(speed, attention, draw):
    """What comes out, for any number of heads and positions, with and without biases, in another width."""
    seen = []
    for d_out, num_heads, bias, T in ((6, 2, True, 7), (12, 3, False, 4), (4, 1, True, 1), (8, 8, False, 5)):
        att = some_attention(attention, draw, 6, d_out, num_heads, bias)
        seen.append(speed.FusedAttention(att)(2 * draw.normal(3, T, 6).double()))
    return seen


@check("FusedAttention")
def fused_in_float32(speed, attention, draw):
    """An attention in float32 gives float32."""
    att = some_attention(attention, draw).float()
    return speed.FusedAttention(att)(draw.normal(2, 5, 6))


@check("FusedAttention")
def fused_gradients(speed, attention, draw):
    """Gradients of the input and of every weight and bias."""
    att, x = some_attention(attention, draw, 6, 9, 3), draw.normal(2, 6, 6).double().requires_grad_()
    backward_of(speed.FusedAttention(att)(x))
    return gradients(att) | {"x": x.grad}


@check("FusedAttention")
def later_positions_change_nothing(speed, attention, draw):
    """What comes out at a position is the same whatever comes after it, and alone as in a batch."""
    fused, x = speed.FusedAttention(some_attention(attention, draw)), draw.normal(2, 8, 6).double()
    whole, cut = fused(x), draw.integer(1, 8)
    return {"whole": whole, "beginning": fused(x[:, :cut]), "alone": fused(x[1:])}


@check("FusedAttention")
def no_limit_of_positions(speed, attention, draw):
    """Without a mask there is no longest sequence: more positions than the attention was made for."""
    att = draw.fill(attention.MultiHeadAttention(6, 6, 4, 0.0, 2))
    return speed.FusedAttention(att)(draw.normal(1, 11, 6))


@check("FusedAttention")
def fused_work(speed, attention, draw, operators):
    """One fused call, and never as much memory in use as one number for each pair of positions."""
    T = 512
    fused, x = speed.FusedAttention(some_attention(attention, draw, 6, 6, 3)), draw.normal(1, T, 6).double()
    with operators:
        fused(x)
    peak = peak_of(lambda: backward_of(fused(x)))
    return {
        "fused calls": operators.count("scaled_dot_product_attention"),
        "written out": operators.count("softmax", "_softmax", "exp", "masked_fill", "masked_fill_", "triu"),
        "memory for one number for each pair": peak > 8 * T * T,
    }


@check("FusedAttention")
def memory_grows_with_the_length(speed, attention, draw):
    """Four times the positions take about four times the memory, not sixteen times."""
    fused = speed.FusedAttention(some_attention(attention, draw))
    short, long = (
        peak_of(lambda T=T: fused(draw.normal(1, T, 6).double()).sum().backward()) for T in (128, 512)
    )
    return long < 8 * short


@check("FusedAttention")
def the_very_same_layers(speed, attention, draw):
    """Every parameter is that of the attention under the same name, and nothing else is saved with it."""
    att = some_attention(attention, draw, qkv_bias=draw.choice([True, False]))
    fused = speed.FusedAttention(att)
    state = att.state_dict()
    return {
        "the same": [fused.get_parameter(name) is p for name, p in att.named_parameters()],
        "names": [sorted(fused.state_dict()) == sorted(state), len(list(fused.parameters()))],
        "loaded": str(fused.load_state_dict(state)),
        "heads": [fused.num_heads, fused.head_dim],
    }


@check("FusedAttention")
def the_mode_goes_over(speed, attention, draw):
    """Made of an attention in evaluation mode, it drops nothing; train() and eval() then work as ever."""
    att, x = some_attention(attention, draw).eval(), draw.normal(2, 5, 6).double()
    fused = speed.FusedAttention(att, dropout=0.9)
    modes = [fused.training, fused.train().training, speed.FusedAttention(att.train(), 0.1).training]
    return {"modes": modes, "evaluation": fused.eval()(x), "again": fused(x), "att": att.training}


@check("FusedAttention")
def how_much_is_dropped(speed, attention, draw):
    """400 times one position: heads are dropped with the probability given, and else they grow."""
    att, p = some_attention(attention, draw, num_heads=1), draw.choice([0.25, 0.5, 0.75])
    return of_400_positions(speed.FusedAttention(att, dropout=p), att, draw.normal(1, 1, 6).double(), p)


@check("FusedAttention")
def attention_in_a_model(speed, model, draw):
    """In the place of each block's attention it changes no logit and no gradient, and the input stays."""
    gpt, ids = small_gpt(model, draw), draw.integers(0, 17, 2, 6)
    for block in gpt.trf_blocks:
        block.att = speed.FusedAttention(block.att)
    logits = gpt(ids)
    backward_of(logits)
    return {"logits": logits, "gradients": gradients(gpt), "ids": ids}


# FusedQKVAttention


@check("FusedQKVAttention", forbidden=("nn.MultiheadAttention", "F.multi_head_attention_forward"))
def one_projection_values(speed, attention, draw):
    """What comes out, for any number of heads and positions, with and without biases, in another width."""
    seen = []
    for d_out, num_heads, bias, T in ((6, 2, True, 7), (12, 3, False, 4), (4, 1, True, 1), (8, 8, False, 5)):
        att = some_attention(attention, draw, 6, d_out, num_heads, bias)
        seen.append(speed.FusedQKVAttention(att)(2 * draw.normal(3, T, 6).double()))
    return seen


@check("FusedQKVAttention")
def one_projection_in_float32(speed, attention, draw):
    """An attention in float32 gives float32."""
    att = some_attention(attention, draw).float()
    return speed.FusedQKVAttention(att)(draw.normal(2, 5, 6))


@check("FusedQKVAttention")
def stacked_parameters(speed, attention, draw):
    """Weight, bias and their gradients are those of query, key and value, one below the other."""
    att, x = some_attention(attention, draw, 6, 9, 3), draw.normal(2, 6, 6).double().requires_grad_()
    fused = speed.FusedQKVAttention(att)
    backward_of(fused(x))
    own = {f"{name} of W_qkv": parameter for name, parameter in fused.W_qkv.named_parameters()}
    return own | {name: p.grad for name, p in sorted(fused.named_parameters())} | {"x": x.grad}


@check("FusedQKVAttention")
def a_bias_only_where_there_is_one(speed, attention, draw):
    """Without biases there is none, and the parameters are W_qkv and out_proj."""
    seen = []
    for bias in (False, True):
        fused = speed.FusedQKVAttention(some_attention(attention, draw, qkv_bias=bias))
        seen.append({name: tuple(p.shape) for name, p in sorted(fused.named_parameters())})
    return [*seen, fused.num_heads, fused.head_dim]


@check("FusedQKVAttention")
def one_projection_work(speed, attention, draw, operators):
    """Two products with weights and one fused call, and no memory for pairs of positions."""
    T = 512
    fused, x = speed.FusedQKVAttention(some_attention(attention, draw)), draw.normal(1, T, 6).double()
    with operators:
        fused(x)
    return {
        "products": operators.count(*MATRIX_PRODUCTS),
        "fused calls": operators.count("scaled_dot_product_attention"),
        "written out": operators.count("softmax", "_softmax", "exp", "masked_fill", "triu"),
        "memory for one number for each pair": peak_of(lambda: backward_of(fused(x))) > 8 * T * T,
    }


@check("FusedQKVAttention")
def made_of_either(speed, attention, draw):
    """It is made of a MultiHeadAttention or of a FusedAttention, which stays as it was."""
    att, x = some_attention(attention, draw), draw.normal(2, 5, 6).double()

    class Renamed(nn.Module):  # what a FusedAttention has, and no mask
        def __init__(self):
            super().__init__()
            self.W_query, self.W_key, self.W_value = att.W_query, att.W_key, att.W_value
            self.out_proj, self.num_heads, self.head_dim = att.out_proj, att.num_heads, att.head_dim

    seen = []
    for given in (att, Renamed()):
        fused = speed.FusedQKVAttention(given)
        seen.append(fused(x))
        with torch.no_grad():
            for parameter in fused.W_qkv.parameters():
                parameter.add_(1)
    return {"out": seen, "att": att(x), "the same out_proj": fused.out_proj is att.out_proj}


@check("FusedQKVAttention")
def one_projection_and_its_mode(speed, attention, draw):
    """The mode goes over; nothing is dropped in evaluation, and whole heads are in training."""
    att, p = some_attention(attention, draw, num_heads=1).eval(), draw.choice([0.25, 0.5, 0.75])
    modes = [speed.FusedQKVAttention(att, p).training, speed.FusedQKVAttention(att.train(), p).training]
    fused = speed.FusedQKVAttention(att, dropout=p)
    return {"modes": modes} | of_400_positions(fused, att, draw.normal(1, 1, 6).double(), p)


# FusedLayerNorm


@check("FusedLayerNorm")
def norm_values(speed, block, draw):
    """Rows far from 0, rows all alike, any leading shape, and float64."""
    norm = draw.fill(block.LayerNorm(8))
    fused, x = speed.FusedLayerNorm(norm), 3 * draw.normal(2, 3, 8) + 5
    seen = [
        fused(x),
        fused(x[0, 0]),
        fused(torch.full_like(x, draw.number())),
        fused(draw.normal(2, 2, 3, 8)),
    ]
    return [*seen, speed.FusedLayerNorm(norm.double())(x.double())]


@check("FusedLayerNorm")
def norm_gradients(speed, block, draw):
    """Gradients of x, scale and shift, which are the norm's own under its own names."""
    norm, x = draw.fill(block.LayerNorm(6)).double(), draw.normal(2, 3, 6).double().requires_grad_()
    fused = speed.FusedLayerNorm(norm)
    backward_of(fused(x))
    same = [fused.get_parameter(name) is parameter for name, parameter in norm.named_parameters()]
    return {"same": same, "names": sorted(fused.state_dict()), "gradients": gradients(norm), "x": x.grad}


@check("FusedLayerNorm")
def norm_eps(speed, block, draw):
    """eps is 1e-5 unless another is given; it tells where a row hardly varies."""
    norm, x = draw.fill(block.LayerNorm(6)), 0.003 * draw.normal(2, 3, 6)
    return [speed.FusedLayerNorm(norm)(x), speed.FusedLayerNorm(norm, eps=draw.number(0.1, 1.0))(x)]


@check("FusedLayerNorm")
def norm_work(speed, block, draw, operators):
    """One call, without small steps, at less than half the memory, backward included."""
    norm, x = draw.fill(block.LayerNorm(96)), draw.normal(4, 16, 96).requires_grad_()
    fused = speed.FusedLayerNorm(norm)
    with operators:
        fused(x)
    small = ("mean", "var", "var_mean", "std", "sqrt", "rsqrt", "sub", "div", "mul", "add", "pow", "square")
    return {
        "calls": operators.count("layer_norm", "native_layer_norm"),
        "small steps": operators.count(*small),
        "half the memory": 2 * peak_of(lambda: fused(x)) < peak_of(lambda: norm(x)),
    }


# fuse_elementwise


@check("fuse_elementwise")
def fused_gpt(speed, model, draw):
    """Logits, gradients and names of a trained GPT; None is returned."""
    gpt, ids = small_gpt(model, draw, n_layers=draw.integer(1, 4)), draw.integers(0, 17, 2, 6)
    before = sorted(gpt.state_dict())
    nothing = speed.fuse_elementwise(gpt)
    logits = gpt(ids)
    backward_of(logits)
    return [logits, gradients(gpt), sorted(gpt.state_dict()) == before, nothing]


@check("fuse_elementwise")
def fused_gelu_is_the_tanh_one(speed, block, draw):
    """GELUs alone, over a wide range: tanh and error function differ in the third digit."""
    layers = nn.Sequential(block.GELU(), nn.Sequential(nn.Sequential(block.GELU())))
    speed.fuse_elementwise(layers)
    return layers(3 * draw.normal(4, 50))


@check("fuse_elementwise")
def fused_calls_of_a_gpt(speed, model, draw, operators):
    """For L blocks 2 L + 1 norms and L GELUs, each in one call; nothing is left of the small steps."""
    n_layers = draw.integer(2, 5)
    gpt, ids = small_gpt(model, draw, n_layers=n_layers), draw.integers(0, 17, 2, 6)
    speed.fuse_elementwise(gpt)
    with operators:
        gpt(ids)
    return {
        "norms": operators.count("layer_norm", "native_layer_norm"),
        "GELUs": operators.count("gelu"),
        "small steps": operators.count("mean", "var", "var_mean", "sqrt", "rsqrt", "tanh", "pow", "erf"),
    }


@check("fuse_elementwise")
def the_same_parameters_inside(speed, model, draw):
    """Every parameter is the very one that it was, so that an optimizer still holds it."""
    gpt = small_gpt(model, draw)
    before = dict(gpt.named_parameters())
    speed.fuse_elementwise(gpt)
    return {name: p is before.get(name) for name, p in gpt.named_parameters()}


@check("fuse_elementwise")
def wherever_they_are(speed, block, draw):
    """Norms and GELUs in lists, dicts and modules of other kinds; all else is the very same object."""

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = block.GELU()
            self.inner = nn.ModuleDict({"norms": nn.ModuleList([block.LayerNorm(4), nn.LayerNorm(4)])})
            self.plain, self.smooth = nn.Linear(4, 4), nn.ReLU()

    odd = draw.fill(Odd())
    kept = [odd.plain, odd.smooth, odd.inner, odd.inner["norms"][1]]
    speed.fuse_elementwise(odd)
    now = [odd.plain, odd.smooth, odd.inner, odd.inner["norms"][1]]
    old = [type(m).__name__ for m in odd.modules() if type(m) in (block.LayerNorm, block.GELU)]
    x = draw.normal(3, 4)
    return {
        "old": old,
        "kept": [a is b for a, b in zip(kept, now, strict=True)],
        "out": odd.inner["norms"][0](odd.first(x)),
    }


@check("fuse_elementwise")
def memory_of_the_fused(speed, model, draw):
    """A step of the fused model holds less than three quarters of what it held."""
    gpt, ids = small_gpt(model, draw, n_layers=3, context_length=32), draw.integers(0, 17, 4, 32)
    before = peak_of(lambda: gpt(ids).sum().backward())
    speed.fuse_elementwise(gpt)
    return 4 * peak_of(lambda: gpt(ids).sum().backward()) < 3 * before


# autocast_loss


@check("autocast_loss")
def dtypes_on_the_way(speed, draw):
    """Each linear layer gives bfloat16; loss, weights and gradients are float32."""
    model, seen = draw.fill(nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 6), nn.Linear(6, 11))), []
    for layer in model:
        layer.register_forward_hook(lambda _, __, out: seen.append(str(out.dtype)))
    x, y = draw.integers(0, 11, 2, 3), draw.integers(0, 11, 2, 3)
    loss = speed.autocast_loss(x, y, model, torch.device(draw.device))
    loss.backward()
    kinds = {name: [str(p.dtype), str(p.grad.dtype)] for name, p in model.named_parameters()}
    return {"outputs": seen, "loss": str(loss.dtype), "shape": tuple(loss.shape), "parameters": kinds}


@check("autocast_loss")
def exact_losses(speed, draw):
    """Where bfloat16 holds the logits exactly, the loss is exact, for any batch."""
    model = exact_model(draw)
    shapes = [(1, 1), (2, 7), (5, 3)]
    return [
        speed.autocast_loss(draw.integers(0, 11, *s), draw.integers(0, 11, *s), model, str(draw.device))
        for s in shapes
    ]


@check("autocast_loss")
def copies_are_rounded_and_weights_are_not(speed, draw):
    """Weights a little off whole numbers: the products see the whole numbers, and the weights stay off."""
    model, x = exact_model(draw), draw.integers(0, 11, 3, 4)
    with torch.no_grad():
        model[1].weight.mul_(1 + 2.0**-12)
    loss = speed.autocast_loss(x, x.flip(0), model, draw.device)
    loss.backward()
    return {"loss": loss, "weight": model[1].weight, "gradient": model[1].weight.grad.bfloat16()}


@check("autocast_loss")
def autocast_of_a_gpt(speed, model, training, draw):
    """A GPT's loss is within 0.03 of chapter 6's; its mode, its weights and autocast outside stay."""
    gpt, x, y = small_gpt(model, draw).float().eval(), draw.integers(0, 17, 2, 6), draw.integers(0, 17, 2, 6)
    plain = training.calc_loss_batch(x, y, gpt, draw.device)
    loss = speed.autocast_loss(x, y, gpt, draw.device)
    loss.backward()
    return {
        "near": abs(loss.item() - plain.item()) < 0.03,
        "the same": loss.item() == plain.item(),
        "gradients": [p.grad is not None and p.grad.dtype == p.dtype for p in gpt.parameters()],
        "logits outside": gpt(x),
        "state": [gpt.training, torch.is_autocast_enabled(draw.device.type)],
    }


# fused_adamw


@check("fused_adamw", seconds=30)
def groups_of_a_gpt(speed, model, draw):
    """Chapter 6's groups: what decays and what does not, what is tied once, what is frozen not at all."""
    gpt, decay, lr = small_gpt(model, draw), draw.number(0.01, 0.5), draw.number(1e-4, 1e-2)
    model.tie_weights(gpt)
    gpt.pos_emb.requires_grad_(False)
    optimizer = speed.fused_adamw(gpt, lr, decay, betas=(0.7, 0.8))
    names = {id(p): name for name, p in gpt.named_parameters()}
    settings = ("weight_decay", "lr", "betas", "fused", "eps", "amsgrad")
    return {
        "kind": type(optimizer).__name__,
        "groups": [
            [
                sorted(names[id(p)] for p in group["params"]),
                {key: group[key] for key in settings},
                bool(group["foreach"]),
            ]
            for group in optimizer.param_groups
        ],
    }


@check("fused_adamw", seconds=30)
def default_betas(speed, draw):
    """Without betas they are 0.9 and 0.95."""
    optimizer = speed.fused_adamw(draw.fill(nn.Linear(2, 2)), 1e-3, 0.1)
    return [list(group["betas"]) for group in optimizer.param_groups]


@check("fused_adamw", seconds=30)
def weights_after_some_steps(speed, model, draw):
    """Four steps on changing batches with changing rates: the weights that AdamW gives."""
    gpt = small_gpt(model, draw)
    optimizer = speed.fused_adamw(gpt, lr=0.01, weight_decay=0.4)
    for step in range(4):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (1 + step)
        optimizer.zero_grad()
        loss_of(gpt(draw.integers(0, 17, 2, 6)), draw.integers(0, 17, 2, 6)).backward()
        optimizer.step()
    return dict(gpt.named_parameters())


@check("fused_adamw", seconds=30)
def few_calls_for_many_parameters(speed, draw, operators):
    """However many parameters there are, a step is a call for each group."""
    layers = [nn.Linear(4, 4) for _ in range(draw.integer(4, 9))]
    model = draw.fill(nn.Sequential(*layers))
    optimizer = speed.fused_adamw(model, lr=0.01, weight_decay=0.1)
    model(draw.normal(3, 4)).sum().backward()
    with operators:
        optimizer.step()
    small = ("addcdiv_", "lerp_", "sqrt", "mul_", "_foreach_addcdiv_", "_foreach_lerp_")
    return {"fused calls": operators.count("_fused_adamw_"), "small steps": operators.count(*small)}


# pad_vocab


@check("pad_vocab")
def sizes_after_padding(speed, model, draw):
    """The next multiple, of 64 if nothing is said, told by weights and layers alike."""
    seen = []
    for vocab_size, multiple in ((17, [8]), (63, []), (65, []), (7, [10]), (9, [2])):
        gpt = small_gpt(model, draw, vocab_size, n_layers=1)
        nothing = speed.pad_vocab(gpt, *multiple)
        emb, head = gpt.tok_emb, gpt.out_head
        seen.append(
            [tuple(emb.weight.shape), emb.num_embeddings, tuple(head.weight.shape), head.out_features]
        )
    return [*seen, nothing]


@check("pad_vocab")
def multiples_stay(speed, model, draw):
    """A vocabulary that is a multiple already stays, without a bias; so does a padded one, padded again."""
    gpt, fits = small_gpt(model, draw, 17, n_layers=1), small_gpt(model, draw, 16, n_layers=1)
    before = [fits.tok_emb.weight, fits.out_head.weight]
    speed.pad_vocab(fits, 8)
    same = [a is b for a, b in zip(before, (fits.tok_emb.weight, fits.out_head.weight), strict=True)]
    for _ in range(2):
        speed.pad_vocab(gpt, 8)
    return {"same": same, "bias": fits.out_head.bias is not None, "again": gpt(draw.integers(0, 17, 2, 3))}


@check("pad_vocab")
def padded_logits(speed, model, draw):
    """Logits of the real tokens are as before, those of the padding −inf: no sampler can choose it."""
    gpt, ids = small_gpt(model, draw), draw.integers(0, 17, 2, 6)
    with torch.no_grad():
        gpt.out_head.weight.mul_(20).sub_(3)
    speed.pad_vocab(gpt, draw.choice([8, 10, 64]))
    logits = gpt(ids)
    return {
        "logits": logits,
        "probability": logits.softmax(dim=-1)[..., 17:].sum(),
        "best": logits.argmax(-1),
    }


@check("pad_vocab")
def padded_gradients(speed, model, draw):
    """The loss, and the gradient of every parameter that is trained."""
    gpt, x, y = small_gpt(model, draw), draw.integers(0, 17, 2, 6), draw.integers(0, 17, 2, 6)
    speed.pad_vocab(gpt, 8)
    loss = loss_of(gpt(x), y)
    loss.backward()
    return {"loss": loss} | {name: p.grad for name, p in sorted(gpt.named_parameters()) if p.requires_grad}


@check("pad_vocab")
def padded_and_tied(speed, model, draw):
    """Tied weights stay one matrix, and untied ones two; the bias alone is not trained."""
    seen = []
    for tied in (True, False):
        gpt = small_gpt(model, draw)
        if tied:
            model.tie_weights(gpt)
        speed.pad_vocab(gpt, 8)
        frozen = [name for name, p in gpt.named_parameters() if not p.requires_grad]
        seen.append(
            [gpt.tok_emb.weight is gpt.out_head.weight, frozen, gpt.tok_emb.weight, gpt.out_head.weight]
        )
    return seen


@check("pad_vocab")
def padding_never_learns(speed, model, training, draw):
    """After steps with weight decay and momentum the padding is still 0, and the bias what it was."""
    gpt = small_gpt(model, draw)
    speed.pad_vocab(gpt, 8)
    velocity = {}
    for _ in range(3):
        gpt.zero_grad()
        loss_of(gpt(draw.integers(0, 17, 2, 6)), draw.integers(0, 17, 2, 6)).backward()
        with torch.no_grad():
            for group in training.parameter_groups(gpt, 0.1):
                for p in group["params"]:
                    velocity[p] = 0.9 * velocity.get(p, 0) + p.grad
                    p.sub_(0.1 * (velocity[p] + group["weight_decay"] * p))
    head = gpt.out_head
    return [gpt.tok_emb.weight, head.weight, head.bias, head.weight[17:].abs().sum()]


# accumulate_gradients


@check("accumulate_gradients")
def accumulated_gradients(speed, draw):
    """Loss and gradients of the whole batch, whatever the number of rows at a time."""
    model, x, y = exact_model(draw), draw.integers(0, 11, 7, 4), draw.integers(0, 11, 7, 4)
    seen = []
    for micro_batch_size in (1, 2, 3, 7, 20):
        model.zero_grad()
        loss = speed.accumulate_gradients(x, y, model, draw.device, micro_batch_size)
        seen.append([loss, *gradients(model).values()])
    return seen


@check("accumulate_gradients")
def accumulated_for_a_gpt(speed, model, draw):
    """The same for a GPT; the loss is a number without a graph, and the batch stays as it was."""
    gpt, x, y = small_gpt(model, draw).float(), draw.integers(0, 17, 5, 6), draw.integers(0, 17, 5, 6)
    loss = speed.accumulate_gradients(x, y, gpt, draw.device, micro_batch_size=2)
    form = [str(loss.dtype), tuple(loss.shape), loss.requires_grad]
    return {"loss": loss, "form": form, "gradients": gradients(gpt), "x": x, "y": y}


@check("accumulate_gradients")
def rows_in_work(speed, draw):
    """In which order rows go forward and gradients come back."""
    model, events = exact_model(draw), []
    model.register_forward_hook(lambda _, __, logits: events.append(f"{len(logits)} rows"))
    model[1].weight.register_post_accumulate_grad_hook(lambda _: events.append("backward"))
    B, micro_batch_size = draw.integer(5, 10), draw.integer(2, 4)
    x = draw.integers(0, 11, B, 4)
    speed.accumulate_gradients(x, x, model, draw.device, micro_batch_size)
    return events


@check("accumulate_gradients")
def memory_of_a_small_batch(speed, model, draw):
    """16 rows, two at a time, take less than a third of the memory of all at once."""
    gpt, x = small_gpt(model, draw, context_length=32), draw.integers(0, 17, 16, 32)
    gpt.zero_grad()
    whole = peak_of(lambda: loss_of(gpt(x), x).backward())
    return 3 * peak_of(lambda: speed.accumulate_gradients(x, x, gpt, draw.device, 2)) < whole


@check("accumulate_gradients")
def sum_with_what_is_there(speed, draw):
    """Twice the same batch: twice the gradient. Nothing is set back and no step is taken."""
    model, x = exact_model(draw), draw.integers(0, 11, 4, 4)
    weights = [p.detach().clone() for p in model.parameters()]
    for _ in range(2):
        speed.accumulate_gradients(x, x.flip(1), model, draw.device, 3)
    return {
        "gradients": gradients(model),
        "weights": [torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True)],
    }


@check("accumulate_gradients")
def another_loss(speed, draw):
    """calc_loss gets rows, their targets, model and device, and its loss is the one that counts."""
    model, given = exact_model(draw), []

    def squares(input_batch, target_batch, model, device):
        given.append([input_batch, target_batch, str(device)])
        return (model(input_batch) - target_batch.unsqueeze(-1)).square().mean()

    x, y = draw.integers(0, 11, 5, 4), draw.integers(0, 11, 5, 4)
    loss = speed.accumulate_gradients(x, y, model, draw.device, 2, squares)
    return {"loss": loss, "given": given, "gradients": gradients(model)}


# forward_checkpointed


@check("forward_checkpointed")
def checkpointed_values(speed, model, draw):
    """Logits and all gradients, for several depths and lengths."""
    seen = []
    for n_layers, T in ((1, 8), (3, 5), (2, 1)):
        gpt = small_gpt(model, draw, n_layers=n_layers)
        logits = speed.forward_checkpointed(gpt, draw.integers(0, 17, 2, T))
        backward_of(logits)
        seen.append([logits, gradients(gpt)])
    return seen


@check("forward_checkpointed")
def runs_of_each_block(speed, model, draw):
    """Each block runs once forward and once more backward; without gradients it runs once."""
    n_layers = draw.integer(2, 5)
    gpt, ids, runs = small_gpt(model, draw, n_layers=n_layers), draw.integers(0, 17, 2, 6), []
    for number, block in enumerate(gpt.trf_blocks):
        block.register_forward_pre_hook(lambda *_, number=number: runs.append(number))
    logits = speed.forward_checkpointed(gpt, ids)
    forward = list(runs)
    logits.sum().backward()
    backward = runs[len(forward) :]
    runs.clear()
    with torch.no_grad():
        speed.forward_checkpointed(gpt, ids)
    return {"forward": forward, "backward": backward, "without gradients": list(runs)}


@check("forward_checkpointed")
def peak_of_checkpoints(speed, model, draw):
    """At its peak, a step through eight blocks holds less than a third of what the plain one holds."""
    gpt, ids = small_gpt(model, draw, n_layers=8, context_length=48), draw.integers(0, 17, 1, 48)
    plain = peak_of(lambda: gpt(ids).sum().backward())
    return 3 * peak_of(lambda: speed.forward_checkpointed(gpt, ids).sum().backward()) < plain


@check("forward_checkpointed")
def dropout_and_checkpoints(speed, model, draw):
    """With dropout, from one seed: logits and gradients are the model's, and the next numbers, too."""
    gpt, ids, seen = small_gpt(model, draw, n_layers=3, drop_rate=0.3), draw.integers(0, 17, 2, 6), []
    for forward in (gpt, lambda ids: speed.forward_checkpointed(gpt, ids)):
        torch.manual_seed(draw.seed % 1000)
        gpt.zero_grad()
        logits = forward(ids)
        backward_of(logits)
        seen.append([logits, *gradients(gpt).values(), torch.rand(3)])
    return [torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(*seen, strict=True)]


@check("forward_checkpointed")
def evaluation_and_what_it_leaves(speed, model, draw):
    """In evaluation nothing is dropped; mode, names and ids stay as they are."""
    gpt, ids = small_gpt(model, draw, drop_rate=0.5).eval(), draw.integers(0, 17, 2, 6)
    logits = [speed.forward_checkpointed(gpt, ids) for _ in range(2)]
    return {"logits": logits, "ids": ids, "training": gpt.training, "names": sorted(gpt.state_dict())}


@check("forward_checkpointed")
def frozen_embeddings(speed, model, draw):
    """Over frozen embeddings the blocks get their gradients; a frozen block gets none, and lets them pass."""
    gpt, ids = small_gpt(model, draw, n_layers=3), draw.integers(0, 17, 2, 6)
    for frozen in (gpt.tok_emb, gpt.pos_emb, gpt.trf_blocks[1]):
        frozen.requires_grad_(False)
    backward_of(speed.forward_checkpointed(gpt, ids))
    return gradients(gpt)


# chunked_cross_entropy


@check("chunked_cross_entropy")
def chunked_losses(speed, draw):
    """The loss for every chunk size, one that divides the positions or not, with a bias or without."""
    hidden, targets = 2 * draw.normal(3, 5, 6), draw.integers(0, 20, 3, 5)
    heads = [draw.fill(nn.Linear(6, 20, bias=bias)) for bias in (True, False)]
    return [
        speed.chunked_cross_entropy(hidden, head, targets, n) for head in heads for n in (1, 4, 5, 15, 99)
    ]


@check("chunked_cross_entropy")
def chunked_gradients(speed, draw):
    """The gradients of hidden, weight and bias; the loss is one float32 number."""
    hidden, head = draw.normal(3, 5, 6).requires_grad_(), draw.fill(nn.Linear(6, 20))
    loss = speed.chunked_cross_entropy(hidden, head, draw.integers(0, 20, 3, 5), draw.integer(2, 7))
    (3 * loss).backward()
    return gradients(head) | {"hidden": hidden.grad, "form": [str(loss.dtype), tuple(loss.shape)]}


@check("chunked_cross_entropy")
def chunked_peak(speed, draw):
    """160 positions, 10 at a time: the peak, backward included, is far below all logits once."""
    hidden, head = draw.normal(4, 40, 4).requires_grad_(), draw.fill(nn.Linear(4, 900, bias=False))
    targets = draw.integers(0, 900, 4, 40)
    peak = peak_of(lambda: speed.chunked_cross_entropy(hidden, head, targets, chunk_size=10).backward())
    looking = peak_of(lambda: speed.chunked_cross_entropy(hidden.detach(), head, targets, 10))
    return [peak > 4 * 160 * 900 / 2, looking > 4 * 160 * 900 / 2]


@check("chunked_cross_entropy")
def rows_through_the_head(speed, draw):
    """The head never sees more than chunk_size positions at once, and sees each of them."""
    hidden, head, rows = draw.normal(3, 7, 4).requires_grad_(), draw.fill(nn.Linear(4, 30)), []
    head.register_forward_hook(lambda _, given, __: rows.append(given[0].numel() // 4))
    chunk_size = draw.integer(2, 6)
    loss = speed.chunked_cross_entropy(hidden, head, draw.integers(0, 30, 3, 7), chunk_size)
    forward = sum(rows)
    loss.backward()
    return {"forward": forward, "too many at once": max(rows) > chunk_size, "too often": sum(rows) > 2 * 21}


@check("chunked_cross_entropy")
def chunks_under_autocast(speed, draw):
    """Where the products are bfloat16, the loss is still a float32 sum that is not rounded."""
    model, rows = exact_model(draw), []
    hidden, head = model[0](draw.integers(0, 11, 4, 50)).detach(), model[1]
    head.register_forward_hook(lambda _, __, out: rows.append(str(out.dtype)))
    with torch.autocast(draw.device.type, dtype=torch.bfloat16):
        loss = speed.chunked_cross_entropy(hidden, head, draw.integers(0, 11, 4, 50), 64)
    model.bfloat16()
    without = speed.chunked_cross_entropy(hidden.bfloat16(), head, draw.integers(0, 11, 4, 50), 64)
    return {"loss": loss, "logits": sorted(set(rows)), "of a head in bfloat16": without}


@check("chunked_cross_entropy")
def silenced_tokens(speed, draw):
    """A head with a bias of −inf for its padding, not trained, and frozen weights: hidden alone learns."""
    hidden, head = draw.normal(2, 5, 6).requires_grad_(), draw.fill(nn.Linear(6, 24))
    with torch.no_grad():
        head.bias[20:] = float("-inf")
    head.requires_grad_(False)
    loss = speed.chunked_cross_entropy(hidden, head, draw.integers(0, 20, 2, 5), 3)
    loss.backward()
    return {"loss": loss, "hidden": hidden.grad, "weight": head.weight.grad}


# write_tokens


@check("write_tokens")
def tokens_on_disk(speed, folder, draw):
    """What numpy finds in the file: the ids, in two bytes or in four."""
    seen = []
    for vocab_size in (11, 50_257, 2**16 - 1, 2**16, 2**16 + 1, 200_000):
        ids = draw.integers(0, vocab_size, draw.integer(1, 40)).cpu()
        ids[0] = vocab_size - 1
        speed.write_tokens(folder / "ids", ids, vocab_size)
        array = np.load(folder / "ids")
        seen.append([str(array.dtype), array.tolist(), ids])
    return seen


@check("write_tokens")
def files_and_neighbours(speed, folder, draw):
    """Any name, a Path or a str; one file comes of it, an older one is replaced, others stay."""
    for name in ("ids", "ids.tmp", "ids.npy.old", "notes"):
        (folder / name).write_text(name)
    ids = draw.integers(0, 11, 9).cpu()
    speed.write_tokens(str(folder / "train.npy"), ids, 11)
    speed.write_tokens(folder / "val", ids[:4], 11)
    speed.write_tokens(folder / "val", ids[4:], 11)
    files = sorted(path.name for path in folder.iterdir())
    return {
        "files": files,
        "val": np.load(folder / "val").tolist(),
        "notes": (folder / "ids").read_text(),
        "ids": ids,
    }


@check("write_tokens")
def strange_ids(speed, folder, draw):
    """Ids outside of the vocabulary are ValueErrors, wherever they stand; the old file stays."""
    speed.write_tokens(folder / "ids", torch.arange(5), 11)
    seen = []
    for bad, vocab_size in ((11, 11), (-1, 11), (-70_000, 70_000), (2**16, 2**16), (2**33, 100_000)):
        ids = draw.integers(0, 11, 6).cpu()
        ids[draw.integer(0, 6)] = bad
        seen.append(refused(speed.write_tokens, folder / "ids", ids, vocab_size))
    return {
        "refused": seen,
        "files": [p.name for p in folder.iterdir()],
        "old": np.load(folder / "ids").tolist(),
    }


@check("write_tokens")
def replaced_whole(speed, folder, draw):
    """The old file is not written over; where writing fails, the error comes out and nothing is left."""
    (folder / "new").mkdir()
    path, second_name = folder / "new" / "ids", folder / "second name"
    ids = draw.integers(0, 11, 9).cpu()
    speed.write_tokens(path, ids, 11)
    os.link(path, second_name)
    speed.write_tokens(path, ids.flip(0), 11)
    (folder / "in the way" / "inside").mkdir(parents=True)
    errors = []
    for place in (folder / "in the way", folder / "no folder" / "ids"):
        try:
            speed.write_tokens(place, ids, 11)
            errors.append("none")
        except OSError:
            errors.append("OSError")
    names = sorted(found.relative_to(folder).as_posix() for found in folder.rglob("*"))
    return {
        "old": np.load(second_name).tolist(),
        "new": np.load(path).tolist(),
        "errors": errors,
        "names": names,
    }


# TokenFile


@check("TokenFile")
def batches_of_a_file(speed, folder, draw):
    """Rows run on, targets are one further on, int64, from files of two bytes and of four."""
    seen = []
    for first, dtype in ((0, np.uint16), (60_000, np.uint16), (4_000_000_000, np.uint32)):
        write_array(folder / "ids", np.arange(first, first + 3000).astype(dtype))
        file = speed.TokenFile(folder / "ids")
        x, y = file.batch(draw.integer(40, 60), draw.integer(2, 9), draw.generator())
        inside = bool(((x >= first) & (y < first + 3000)).all())
        alike = len(x[:, 0].unique()) < 20
        seen.append(
            [len(file), (x - x[:, :1])[:40], (y - x)[:40], inside, alike, [str(x.dtype), str(y.dtype)]]
        )
    return seen


@check("TokenFile")
def places_of_a_file(speed, folder, draw):
    """Every place at which a window and its target fit is drawn, the first and the last included."""
    seen = []
    for spare in (0, 1, 3):
        T = draw.integer(1, 6)
        write_array(folder / "ids", np.arange(T + 1 + spare, dtype=np.uint16))
        x, y = speed.TokenFile(str(folder / "ids")).batch(400, T)
        seen.append([x[:, 0].unique(), y[:, -1].unique(), tuple(x.shape)])
    return seen


@check("TokenFile")
def places_are_equally_likely(speed, folder, draw):
    """In 3,000 rows each of five places comes about 600 times."""
    write_array(folder / "ids", np.arange(8, dtype=np.uint16))
    x, _ = speed.TokenFile(folder / "ids").batch(3000, 3, draw.generator())
    counts = x[:, 0].bincount(minlength=5)
    return {"places": len(counts), "about 600": ((counts - 600).abs() < 140).tolist()}


@check("TokenFile")
def seeds_of_a_file(speed, folder, draw):
    """A generator decides the batch, and is drawn on; without one, torch's global generator decides."""
    write_array(folder / "ids", np.arange(5000, dtype=np.uint16))
    file, seed = speed.TokenFile(folder / "ids"), draw.integer(0, 1000)
    a, b = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)
    state = torch.get_rng_state()
    first, same, second = (file.batch(8, 4, generator)[0] for generator in (a, b, a))
    untouched = torch.equal(torch.get_rng_state(), state)
    free = []
    for s in (1, 1, 2):
        torch.manual_seed(s)
        free.append(file.batch(8, 4)[0])
    return [
        torch.equal(first, same),
        torch.equal(first, second),
        untouched,
        torch.equal(free[0], free[1]),
        torch.equal(free[0], free[2]),
    ]


@check("TokenFile")
def memory_of_a_batch(speed, folder, draw):
    """Two megabytes on the disk: opening them and ten batches need a small part of that memory."""
    write_array(folder / "ids", np.full(1_000_000, draw.integer(0, 9), dtype=np.uint16))
    batches = []

    def read():
        file = speed.TokenFile(folder / "ids")
        batches.append(len(file))
        for _ in range(10):
            batches.append(file.batch(3, 8)[1])

    return {"a quarter of the file": peak_with_arrays(read) > 500_000, "batches": batches}


@check("TokenFile")
def too_short_a_file(speed, folder, draw):
    """Fewer than T + 1 tokens are a ValueError, and T + 1 are not; the file stays as it was."""
    half, seen = draw.integer(2, 5), []
    for T in (2 * half, 2 * half + 1):
        for number in (0, 1, T, T + 1):
            write_array(folder / "ids", np.arange(number, dtype=np.uint16))
            before = (folder / "ids").read_bytes()
            seen.append(refused(speed.TokenFile(folder / "ids").batch, 2, T) if number else "none")
            seen.append((folder / "ids").read_bytes() == before)
    return seen


# prefetch


@check("prefetch")
def prefetched_batches(speed, draw):
    """All batches in their order, whatever they are, for any number of them and any that may wait."""
    seen = []
    for ahead in (1, 2, 5):
        batches = [(draw.integers(0, 9, 2), number) for number in range(draw.integer(0, 12))]
        seen.append([list(speed.prefetch(batches, ahead)), list(speed.prefetch(iter(batches), ahead))])
    return [*seen, list(speed.prefetch([None, 0, False, [], None]))]


@check("prefetch")
def ready_before_they_are_asked_for(speed, draw):
    """With one batch taken, `ahead` more are made, slow as they are, by one other thread."""
    ahead = draw.integer(2, 6)
    source = WatchedSource(100, watched=1 + ahead, pause=0.01)
    batches = speed.prefetch(source, ahead=ahead)
    first = next(batches)
    made = source.reached.wait(timeout=3)
    batches.close()
    threads = [len(source.threads), threading.get_ident() in source.threads]
    return {"first": first, "made": made, "threads, and the own one": threads}


@check("prefetch")
def endless_sources(speed, draw):
    """Of an endless source no more is made than was taken, may wait, and one in the making."""
    seen = []
    for settings in ({"ahead": draw.integer(1, 5)}, {}):  # 2 if nothing is said
        taken, ahead = draw.integer(2, 6), settings.get("ahead", 2)
        source = WatchedSource(10**4, watched=taken + ahead + 2)
        batches = speed.prefetch(source, **settings)
        seen.append([next(batches) for _ in range(taken)])
        seen.append(source.reached.wait(timeout=0.2))
        batches.close()
    return seen


@check("prefetch")
def errors_of_the_source(speed, draw):
    """An error comes where its batch would have come, be it the first."""
    seen = []
    for number in (0, draw.integer(1, 6)):
        batches = []
        try:
            for batch in speed.prefetch(WatchedSource(number, error=KeyError("gone")), draw.integer(1, 4)):
                batches.append(batch)
            batches.append("end")
        except KeyError:
            batches.append("KeyError")
        seen.append(batches)
    return seen


@check("prefetch")
def threads_afterwards(speed, draw):
    """At the end, after an error and after an early end, no thread of its own is left."""
    before, seen = set(threading.enumerate()), []
    list(speed.prefetch(range(5)))
    seen.append(outcome(list, speed.prefetch(WatchedSource(2, error=ValueError("gone")))))
    for ahead in (1, 3):
        batches = speed.prefetch(WatchedSource(10**4), ahead)
        seen.append(next(batches))
        batches.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=2)
    return [*seen, len(set(threading.enumerate()) - before)]


# training_flops


@check("training_flops", forbidden="torch.utils.flop_counter")
def flops_of_any_gpt(speed, model, draw):
    """For several sizes, numbers of tokens and contexts; an int."""
    seen = []
    for n_heads, bias in ((2, True), (3, False), (1, True)):
        width, layers, vocab = 6 * draw.integer(1, 9), draw.integer(1, 5), draw.integer(5, 300)
        gpt = model.GPTModel(model.GPTConfig(vocab, 16, width, n_heads, layers, qkv_bias=bias))
        seen.append(speed.training_flops(gpt, draw.integer(1, 10**9), draw.integer(1, 16)))
    return seen


@check("training_flops")
def flops_of_tied_and_fused(speed, model, draw):
    """Tying the weights and freezing them changes nothing that is computed; the count takes no time."""
    gpt = small_gpt(model, draw, vocab_size=draw.integer(20, 90))
    untied = speed.training_flops(gpt, 1000, 8)
    model.tie_weights(gpt)
    return [untied, speed.training_flops(gpt, 1000, 8)]


@check("training_flops")
def flops_of_large_models(speed, model):
    """GPT-2 medium, on no device at all, at two contexts."""
    with torch.device("meta"):
        gpt = model.GPTModel(model.GPT2_SIZES["gpt2-medium"])
    return [speed.training_flops(gpt, 10**10, T) for T in (256, 1024)]


# model_flops_utilisation


@check("model_flops_utilisation")
def utilisations(speed, draw):
    """Flops a second as a part of the peak."""
    return [
        speed.model_flops_utilisation(
            10 * draw.integer(1, 10**12), draw.number(0.1, 9), draw.number(1e9, 1e12)
        )
        for _ in range(4)
    ]


@check("model_flops_utilisation")
def utilisation_scales(speed, draw):
    """Twice the work, half the time and half the peak each double it; a whole peak used is 1."""
    flops, seconds, peak = draw.integer(1, 10**9), draw.number(1, 2), draw.number(1e6, 1e9)
    ways = [
        (flops, seconds, peak),
        (2 * flops, seconds, peak),
        (flops, seconds / 2, peak),
        (flops, seconds, peak / 2),
    ]
    return [
        *(speed.model_flops_utilisation(*way) for way in ways),
        speed.model_flops_utilisation(600, 2.0, 300.0),
    ]


# fit_power_law


@check("fit_power_law")
def laws_found_again(speed, draw):
    """Losses that lie on a law give back that law, in whatever order and however many."""
    seen = []
    for number in (2, 3, 9):
        a, alpha = draw.number(1, 20), draw.number(-0.2, 1.5)
        sizes = [draw.number(10, 1e7) for _ in range(number)]
        seen.append([*speed.fit_power_law(sizes, [a * size**-alpha for size in sizes])])
    return seen


@check("fit_power_law")
def least_squares_in_logarithms(speed, draw):
    """Losses that scatter: the line through their logarithms; sizes may be ints, or repeat."""
    sizes = [draw.integer(10**3, 10**8) for _ in range(6)]
    losses = [draw.number(1.0, 6.0) for _ in range(7)]
    a, alpha = speed.fit_power_law([*sizes, sizes[0]], losses)
    return [a, alpha, sizes]


@check("fit_power_law")
def two_sizes_at_least(speed, draw):
    """One size, however often, is a ValueError; two different ones are not."""
    size = draw.number(10, 100)
    cases = [[size], [size] * 3, [size, size + 1]]
    return [refused(speed.fit_power_law, sizes, [2.0 + draw.number() for _ in sizes]) for sizes in cases]


# all together


@check("forward_checkpointed", needs="checkpointed_values", assembled=True)
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
