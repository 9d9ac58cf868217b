"""What chapter 5's exercises are asked. Run it with `pytest exercises/ch5`.

To try a check in a Python shell, in the folder that holds exercises/:

    from exercises.ch5 import model; from exercises.ch5.test_model import *
    from grader.draw import Draw; from grader.seeds import seed_for
    draw = Draw(seed_for("public", "ch5", "parts_of_the_model"))

Then `parts_of_the_model.function(model)` is what your code gives. `draw` makes
the inputs, `draw.fill(module)` sets a module's parameters; the README tells of `operators`,
`steps` and `folder`.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from grader.checks import check

SHARED = ("NoRandomStart", "DropOdd", "early_pieces", "loose_parts", "outcome", "start_of")

FINISHED_PARTS = (
    "nn.Transformer*",
    "nn.MultiheadAttention",
    "F.scaled_dot_product_attention",
    "nn.LayerNorm",
)


class NoRandomStart(TorchFunctionMode):
    """Leaves new weights as they lie in memory: GPT-2's 650 MB are then asked for but never touched."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function.__name__ in ("normal_", "uniform_", "kaiming_uniform_"):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


class DropOdd(nn.Module):
    """Stands where a dropout was, and always drops the same: every second number of each vector."""

    def forward(self, x):
        return x * (torch.arange(x.shape[-1], device=x.device) % 2 == 0)


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


def loose_parts(block, n_layers=4, vocab_size=300):
    """The parts that init_weights and tie_weights touch, so that they can be right before GPTModel is."""
    cfg = block.GPTConfig(vocab_size, 250, 40, n_heads=2, n_layers=n_layers, qkv_bias=True)
    parts = nn.Module()
    parts.tok_emb, parts.pos_emb = nn.Embedding(vocab_size, 40), nn.Embedding(250, 40)
    parts.trf_blocks = nn.Sequential()
    while len(parts.trf_blocks) < n_layers:
        parts.trf_blocks.append(block.TransformerBlock(cfg))
    parts.final_norm = block.LayerNorm(40)
    parts.out_head = nn.Linear(40, vocab_size, bias=False)
    return parts


def start_of(matrices, std):
    """How some matrices are distributed, roughly enough that only another distribution differs."""
    x = torch.cat([matrix.detach().flatten() for matrix in matrices])
    return {
        "standard deviation / the one asked for": round(x.std().item() / std, 1),
        "mean is about 0": x.mean().abs().item() < 0.1 * std,
        "part within one standard deviation": round((x.abs() < x.std()).float().mean().item(), 1),
    }


# GPTModel


@check("GPTModel", forbidden=FINISHED_PARTS)
def parts_of_the_model(model):
    """The model has its parts under their names, with weights of the right shapes, and n_layers blocks."""
    gpt = model.GPTModel(model.GPTConfig(50, context_length=8, emb_dim=6, n_heads=2, n_layers=3))
    shapes = {name: tuple(p.shape) for name, p in gpt.named_parameters() if "trf_blocks" not in name}
    return {"blocks": len(gpt.trf_blocks), "parameters outside of the blocks": shapes}


@check("GPTModel", needs="parts_of_the_model", forbidden=FINISHED_PARTS)
def parameters_of_gpt2_small(model):
    """GPT-2 small, without biases on query, key and value, has 163,009,536 parameters."""
    with NoRandomStart():
        gpt = model.GPTModel(model.GPTConfig(50257, 1024, 768, n_heads=12, n_layers=12))
    return sum(p.numel() for p in set(gpt.parameters()))


@check("GPTModel", needs="parts_of_the_model", forbidden=FINISHED_PARTS)
def logits_of_every_position(model, draw):
    """Two texts of 3 ids in, a score for each of the 50 tokens at each of their positions out."""
    cfg = model.GPTConfig(50, context_length=8, emb_dim=6, n_heads=2, n_layers=3)
    gpt = draw.fill(model.GPTModel(cfg))
    return gpt(draw.tensor([[7, 1, 42], [0, 3, 3]]))


@check("GPTModel", needs="logits_of_every_position", forbidden=FINISHED_PARTS)
def dropout_on_the_embeddings(model, draw):
    """The embeddings go through drop_emb before the first block; here it drops every second number."""
    gpt = draw.fill(model.GPTModel(model.GPTConfig(50, context_length=8, emb_dim=6, n_heads=2, n_layers=1)))
    gpt.drop_emb = DropOdd()
    return gpt(draw.integers(0, 50, 2, 8))


@check("GPTModel", needs="logits_of_every_position", forbidden=FINISHED_PARTS)
def parts_are_made_in_order(model, draw):
    """After seed 123 a model that makes its parts in the order of the docstring gives these logits."""
    torch.manual_seed(123)
    gpt = model.GPTModel(model.GPTConfig(5, context_length=4, emb_dim=6, n_heads=2, n_layers=2))
    return gpt.to(draw.device)(draw.tensor([[0, 1, 2, 3]]))


@check("GPTModel", needs="logits_of_every_position", assembled=True)
def your_own_chapters_together(model, inputs, attention, block, draw):
    """Your own chapters 2 to 5 work together; mend the earliest one that differs."""
    seen = early_pieces(inputs, attention, block, draw)
    gpt = draw.fill(model.GPTModel(model.GPTConfig(30, 8, 6, n_heads=2, n_layers=2, qkv_bias=True)))
    return seen | {"ch5, GPTModel": outcome(gpt, draw.integers(0, 30, 2, 5))}


# count_parameters


@check("count_parameters")
def weights_and_biases(model):
    """A layer from 3 numbers to 5 has a matrix of 15 and a bias of 5: 20 numbers to learn."""
    return model.count_parameters(nn.Linear(3, 5))


@check("count_parameters", needs="weights_and_biases")
def shared_tensors_count_once(model):
    """GPT-2 small's two tables of 50,257 × 768 and all the rest: 163,009,536; tied 124,412,160."""
    parts = nn.Module()
    parts.tok_emb = nn.Embedding(50257, 768, _weight=torch.empty(50257, 768, device="meta"))
    parts.the_rest = nn.Parameter(torch.empty(85_814_784, device="meta"))
    parts.register_buffer("mask", torch.empty(1024, 1024, device="meta"))
    parts.out_head = nn.Linear(768, 50257, bias=False, device="meta")
    untied = model.count_parameters(parts)
    parts.out_head.register_parameter("weight", parts.tok_emb.weight)
    return {"untied": untied, "tied": model.count_parameters(parts)}


@check("count_parameters", needs="weights_and_biases")
def buffers_are_not_trained(model):
    """What a module keeps but does not learn, such as a mask or a running mean, does not count."""
    return model.count_parameters(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)))


# init_weights


@check("init_weights")
def embeddings_start_small(model, block):
    """Token and position embeddings are drawn from a normal distribution of standard deviation 0.02."""
    parts = loose_parts(block)
    model.init_weights(parts)
    return start_of([parts.tok_emb.weight, parts.pos_emb.weight], std=0.02)


@check("init_weights", needs="embeddings_start_small")
def matrices_start_small(model, block):
    """The head and the blocks' matrices start at 0.02 too, but for the two that write into the shortcuts."""
    parts = loose_parts(block)
    model.init_weights(parts)
    atts = [b.att for b in parts.trf_blocks]
    inner = [m.weight for a in atts for m in (a.W_query, a.W_key, a.W_value)]
    return {
        "out_head": start_of([parts.out_head.weight], std=0.02),
        "W_query, W_key, W_value": start_of(inner, std=0.02),
        "ff.layers[0]": start_of([b.ff.layers[0].weight for b in parts.trf_blocks], std=0.02),
    }


@check("init_weights", needs="embeddings_start_small")
def residual_projections_start_smaller(model, block):
    """With 4 blocks the matrices that write into the shortcuts start at 0.02 / √8 = 0.00707."""
    parts = loose_parts(block, n_layers=4)
    model.init_weights(parts)
    return {
        "att.out_proj": start_of([b.att.out_proj.weight for b in parts.trf_blocks], std=0.00707),
        "ff.layers[2]": start_of([b.ff.layers[2].weight for b in parts.trf_blocks], std=0.00707),
    }


@check("init_weights", needs="embeddings_start_small")
def biases_start_at_zero(model, block):
    """Every bias becomes 0, and layer norms keep what they had; here all of them were 0.5 before."""
    parts = loose_parts(block)
    vectors = {name: p for name, p in parts.named_parameters() if p.dim() == 1}
    for vector in vectors.values():
        nn.init.constant_(vector, 0.5)
    model.init_weights(parts)
    norms = [p.detach() for name, p in vectors.items() if "norm" in name]
    biases = [p.detach() for name, p in vectors.items() if "norm" not in name]
    return {
        "biases, lowest and highest": [torch.cat(biases).min(), torch.cat(biases).max()],
        "layer norms, lowest and highest": [torch.cat(norms).min(), torch.cat(norms).max()],
    }


@check("init_weights", needs="embeddings_start_small")
def first_loss_is_that_of_knowing_nothing(model, block, draw):
    """With 65 characters the head's first scores are nearly equal: their loss is about ln 65 = 4.17."""
    parts = loose_parts(block, vocab_size=65)
    model.init_weights(parts)
    return parts.to(draw.device).out_head(F.layer_norm(draw.normal(100, 40), (40,)))


@first_loss_is_that_of_knowing_nothing.accept
def _(seen, draw):
    loss = (
        -seen.double().log_softmax(dim=-1)[torch.arange(100), draw.integers(0, 65, 100).cpu()].mean().item()
    )
    if abs(loss - 4.18) > 0.08:
        return f"Their loss is {loss:.2f}."
    if not 0.09 < seen.double().std(dim=-1).mean().item() < 0.17:  # 0.02 · √40 = 0.126
        return "The first scores should be small numbers around 0, but not all the same."


# tie_weights


@check("tie_weights")
def head_and_embedding_are_one(model, block):
    """After tying, out_head.weight is tok_emb.weight: the same parameter, not an equal one."""
    parts = loose_parts(block, n_layers=1)
    model.tie_weights(parts)
    head, embedding = parts.out_head.weight, parts.tok_emb.weight
    return {"same parameter": head is embedding, "same memory": head.data_ptr() == embedding.data_ptr()}


@check("tie_weights")
def change_is_seen_on_both_sides(model, block):
    """Setting the embedding's row of token 7 to 1 … 40 changes the head's row too."""
    parts = loose_parts(block, n_layers=1)
    model.tie_weights(parts)
    with torch.no_grad():
        parts.tok_emb.weight[7] = torch.arange(1.0, 41.0)
    return parts.out_head.weight[7]


@check("tie_weights", needs="change_is_seen_on_both_sides")
def head_still_scores_tokens(model, block, draw):
    """The head still turns a vector of width 40 into 300 scores."""
    parts = loose_parts(block, n_layers=1)
    with torch.no_grad():
        for table in (parts.tok_emb, parts.out_head):
            table.weight.copy_(torch.arange(300.0)[:, None].expand(300, 40) / 300)
    model.tie_weights(parts)
    head, x = parts.to(draw.device).out_head, draw.normal(2, 40)
    is_linear = isinstance(head, nn.Linear)
    return {"out_head": "nn.Linear" if is_linear else type(head).__name__, "scores": is_linear and head(x)}
