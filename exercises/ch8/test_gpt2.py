"""Checks of chapter 8, on GPTs small enough to print.

To try a check in a Python shell, in the folder that holds exercises/:

    from exercises.ch8 import gpt2; from exercises.ch8.test_gpt2 import *
    from grader.draw import Draw; from grader.seeds import seed_for
    draw = Draw(seed_for("public", "ch8", "a_new_parameter_with_the_numbers"))

Then `a_new_parameter_with_the_numbers.function(gpt2, draw)` is what your code gives. `draw` makes
the inputs, `draw.fill(module)` sets a module's parameters; the README tells of `operators`,
`steps` and `folder`.
"""

import numpy as np
import torch
from torch import nn

from grader.checks import check

SHARED = (
    "LAYERS",
    "SIZES",
    "early_pieces",
    "outcome",
    "hf_tensors",
    "leaves",
    "openai_tree",
    "raised",
    "sizes_of",
    "small_gpt",
)

SIZES = {"vocab_size": 65, "n_positions": 64, "n_embd": 32, "n_head": 4, "n_layer": 2}
LAYERS = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")


def sizes_of(cfg):
    """A configuration as a dict."""
    names = ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers", "drop_rate", "qkv_bias")
    return {name: getattr(cfg, name) for name in names}


def hf_tensors(draw, n_layers=2):
    """Hugging Face's names, each with a tensor of its own."""
    names = ["wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias"]
    for i in range(n_layers):
        names += [f"h.{i}.{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")]
    return {name: draw.normal(2, 3) for name in names}


def openai_tree(draw, vocab_size=7, context_length=5, emb_dim=4, n_layers=2):
    """OpenAI's tree with fresh numbers for a GPT of these sizes."""
    C = emb_dim
    shapes = {
        "attn.c_attn": (C, 3 * C),
        "attn.c_proj": (C, C),
        "mlp.c_fc": (C, 4 * C),
        "mlp.c_proj": (4 * C, C),
    }
    tree = {"wte": draw.normal(vocab_size, C), "wpe": draw.normal(context_length, C)}
    tree |= {"g": 1 + draw.normal(C), "b": draw.normal(C), "blocks": []}
    for _ in range(n_layers):
        block = {name: {"g": 1 + draw.normal(C), "b": draw.normal(C)} for name in ("ln_1", "ln_2")}
        block |= {"attn": {}, "mlp": {}}
        for name, shape in shapes.items():
            part, layer = name.split(".")
            block[part][layer] = {"w": draw.normal(*shape) / 2, "b": draw.normal(shape[1])}
        tree["blocks"].append(block)
    return tree


def small_gpt(model, draw, qkv_bias=True):
    """The GPT of openai_tree's sizes, with other numbers in it."""
    cfg = model.GPTConfig(7, 5, emb_dim=4, n_heads=2, n_layers=2, qkv_bias=qkv_bias)
    return draw.fill(model.GPTModel(cfg)).eval()


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


def leaves(tree, prefix=""):
    """A tree of dicts and lists as one flat dict."""
    flat = {}
    for name, branch in tree.items() if isinstance(tree, dict) else enumerate(tree):
        is_leaf = not isinstance(branch, dict | list)
        flat |= {f"{prefix}{name}": branch} if is_leaf else leaves(branch, f"{prefix}{name}.")
    return flat


def raised(function, *args, words=()):
    """Whether the call raises ValueError, and which of the words its message does not mention."""
    try:
        function(*args)
    except ValueError as error:
        return {"raised": "ValueError", "not mentioned": [word for word in words if word not in str(error)]}
    return {"raised": "nothing"}


# assign


@check("assign")
def a_new_parameter_with_the_numbers(gpt2, draw):
    """The example: a layer's weight takes the numbers of a NumPy array."""
    layer = nn.Linear(2, 1)
    layer.weight = gpt2.assign(layer.weight, np.array([[0.5, 2.0]]))
    is_parameter = isinstance(layer.weight, nn.Parameter)
    return {"weight": layer.weight, "is a parameter": is_parameter, "trains": layer.weight.requires_grad}


@check("assign", needs="a_new_parameter_with_the_numbers")
def the_numbers_are_copied(gpt2, draw):
    """The parameter keeps its numbers when the tensor that they came from changes; the old one stays too."""
    left, right = nn.Parameter(draw.normal(2, 3)), draw.normal(2, 3)
    parameter = gpt2.assign(left, right)
    right.zero_()
    return {"new": parameter, "old": left}


@check("assign", needs="a_new_parameter_with_the_numbers")
def the_dtype_is_the_models(gpt2, draw):
    """The new parameter has the dtype of the one that it replaces."""
    left, right = nn.Parameter(draw.normal(2, 2)), draw.normal(2, 2).half()
    return [gpt2.assign(left, right.double()), gpt2.assign(left, right), gpt2.assign(left.double(), right)]


@check("assign", needs="a_new_parameter_with_the_numbers")
def repeating_does_not_make_it_fit(gpt2, draw):
    """Shapes that copying would fill by repeating are ValueErrors that give both shapes."""
    left = nn.Parameter(draw.normal(2, 3))
    rights = [draw.normal(1, 3), draw.normal(3), draw.normal(2, 1)]
    return [raised(gpt2.assign, left, right, words=("2", *map(str, right.shape))) for right in rights]


@check("assign", needs="a_new_parameter_with_the_numbers")
def other_shapes_are_refused(gpt2, draw):
    """Shapes of as many numbers in another form, and larger ones, are ValueErrors too."""
    left = nn.Parameter(draw.normal(2, 3))
    return [raised(gpt2.assign, left, draw.normal(*shape)) for shape in ((3, 2), (6,), (2, 4), (2, 3))]


# split_qkv


@check("split_qkv")
def three_parts_side_by_side(gpt2, draw):
    """The examples: a bias of 6 numbers, and a weight of 2 rows and 3 columns."""
    bias = list(gpt2.split_qkv(draw.tensor([1, 2, 3, 4, 5, 6])))
    return {"bias": bias, "weight": list(gpt2.split_qkv(draw.tensor([[1, 2, 3], [4, 5, 6]])))}


@check("split_qkv", needs="three_parts_side_by_side")
def the_parts_compute_what_the_whole_did(gpt2, draw):
    """x times the three parts, side by side again, is x times the whole weight."""
    x, w = draw.normal(5, 4), draw.normal(4, 12)
    return {"from the parts": torch.cat([x @ part for part in gpt2.split_qkv(w)], dim=1), "whole": x @ w}


@check("split_qkv", needs="three_parts_side_by_side")
def numpy_comes_out_as_tensors(gpt2, draw):
    """A NumPy array is cut, too; the parts are tensors."""
    w = np.arange(12.0).reshape(2, 6)
    return list(gpt2.split_qkv(w))


@check("split_qkv", needs="three_parts_side_by_side")
def three_must_divide_the_last_axis(gpt2, draw):
    """A last axis that is no multiple of 3 is a ValueError with the shape; the first axis is free."""
    shapes = [(3, 8), (10,), (4, 9)]
    return [raised(gpt2.split_qkv, draw.normal(*shape), words=list(map(str, shape))) for shape in shapes]


# config_from_hf


@check("config_from_hf")
def sizes_are_found(gpt2, draw):
    """The example: a small model's sizes, with dropout 0.1 because the file names none."""
    return sizes_of(
        gpt2.config_from_hf({"vocab_size": 65, "n_ctx": 64, "n_embd": 32, "n_head": 4, "n_layer": 2})
    )


@check("config_from_hf", needs="sizes_are_found")
def a_file_as_it_comes(gpt2, draw):
    """The sizes and the dropout of a whole config.json; what does not matter is ignored."""
    config = {"architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new", "attn_pdrop": 0.3}
    config |= {"layer_norm_epsilon": 1e-05, "n_ctx": 512, "n_positions": 1024, "resid_pdrop": 0.0}
    config |= {"vocab_size": 50257, "n_embd": 1600, "n_head": 25, "n_layer": 48, "scale_attn_weights": True}
    return sizes_of(gpt2.config_from_hf(config))


@check("config_from_hf", needs="sizes_are_found")
def absent_sizes_are_named(gpt2, draw):
    """A file without sizes is a ValueError that names all that are absent."""
    partly = raised(
        gpt2.config_from_hf, {"n_positions": 64, "n_embd": 32, "n_layer": 2}, words=("vocab_size", "n_head")
    )
    return [partly, raised(gpt2.config_from_hf, {}, words=("vocab_size", "n_embd", "n_head", "n_layer"))]


@check("config_from_hf", needs="sizes_are_found")
def other_computations_are_refused(gpt2, draw):
    """A model that computes something else is a ValueError; another name for the same thing is not."""
    others = [{"activation_function": "relu"}, {"activation_function": "gelu"}, {"layer_norm_epsilon": 1e-6}]
    others += [{"scale_attn_weights": False}, {"scale_attn_by_inverse_layer_idx": True}]
    same = {"activation_function": "gelu_pytorch_tanh", "scale_attn_by_inverse_layer_idx": False}
    return [raised(gpt2.config_from_hf, SIZES | one) for one in [*others, same]]


# params_from_hf


@check("params_from_hf")
def every_tensor_finds_its_place(gpt2, draw):
    """Two blocks, the embeddings and the last layer norm, sorted into OpenAI's tree."""
    return gpt2.params_from_hf(hf_tensors(draw))


@check("params_from_hf", needs="every_tensor_finds_its_place")
def prefixes_and_masks_are_left_out(gpt2, draw):
    """Names may begin with "transformer."; the masks of old files and a tied head are left out."""
    tensors = {f"transformer.{name}": tensor for name, tensor in hf_tensors(draw, 1).items()}
    tensors |= {
        "transformer.h.0.attn.bias": draw.normal(4),
        "transformer.h.0.attn.masked_bias": draw.normal(1),
    }
    return gpt2.params_from_hf(tensors | {"lm_head.weight": tensors["transformer.wte.weight"].clone()})


@check("params_from_hf", needs="every_tensor_finds_its_place")
def blocks_are_in_order(gpt2, draw):
    """Twelve blocks: number 10 comes after number 9."""
    params = gpt2.params_from_hf(hf_tensors(draw, 12))
    return [block["mlp"]["c_fc"]["b"] for block in params["blocks"]]


@check("params_from_hf", needs="every_tensor_finds_its_place")
def all_problems_are_told_at_once(gpt2, draw):
    """Missing and unexpected tensors: one ValueError names them all, unexpected ones with their shape."""
    tensors = hf_tensors(draw)
    del tensors["ln_f.weight"], tensors["h.1.attn.c_proj.bias"]
    tensors |= {"h.0.mlp.c_gate.weight": draw.normal(19, 23), "extra.weight": draw.normal(4)}
    words = ("ln_f.weight", "h.1.attn.c_proj.bias", "h.0.mlp.c_gate.weight", "19", "23", "extra.weight")
    return raised(gpt2.params_from_hf, tensors, words=words)


@check("params_from_hf", needs="every_tensor_finds_its_place")
def another_head_is_refused(gpt2, draw):
    """A head with numbers of its own cannot be tied: a ValueError that names it."""
    tensors = hf_tensors(draw) | {"lm_head.weight": draw.normal(2, 3)}
    return raised(gpt2.params_from_hf, tensors, words=("lm_head.weight",))


# load_weights_into_gpt


@check("load_weights_into_gpt")
def a_gpt_without_blocks(gpt2, model, draw):
    """The example: embeddings, last layer norm and tied head of a GPT without any block."""
    cfg = model.GPTConfig(vocab_size=3, context_length=2, emb_dim=2, n_heads=1, n_layers=0)
    gpt = model.GPTModel(cfg).to(draw.device)
    params = {"wte": draw.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), "wpe": draw.tensor([[0.0] * 2] * 2)}
    gpt2.load_weights_into_gpt(
        gpt, params | {"g": draw.tensor([1.0] * 2), "b": draw.tensor([0.0] * 2), "blocks": []}
    )
    return gpt(draw.tensor([[0]]))


@check("load_weights_into_gpt", needs="a_gpt_without_blocks")
def every_weight_is_in_place(gpt2, model, draw):
    """Two blocks: every parameter of the model afterwards, by name."""
    gpt = small_gpt(model, draw)
    gpt2.load_weights_into_gpt(gpt, openai_tree(draw))
    return dict(gpt.named_parameters())


@check("load_weights_into_gpt", needs="a_gpt_without_blocks")
def the_head_is_the_embedding(gpt2, model, draw):
    """Afterwards the head and the token embedding are one and the same matrix."""
    gpt = small_gpt(model, draw)
    gpt2.load_weights_into_gpt(gpt, openai_tree(draw))
    return {"tied": gpt.out_head.weight is gpt.tok_emb.weight, "head": gpt.out_head.weight}


@check("load_weights_into_gpt", needs="every_weight_is_in_place")
def the_model_speaks_as_its_weights_say(gpt2, model, draw):
    """The logits of the loaded model."""
    gpt = small_gpt(model, draw)
    gpt2.load_weights_into_gpt(gpt, openai_tree(draw))
    return gpt(draw.integers(0, 7, 2, 5))


@check("load_weights_into_gpt", needs="a_gpt_without_blocks")
def all_or_nothing(gpt2, model, draw):
    """Two wrong shapes and two missing tensors: one ValueError names all four, and the model is as it was."""
    gpt, params = small_gpt(model, draw), openai_tree(draw)
    params["b"] = draw.normal(5)
    params["blocks"][1]["mlp"]["c_proj"]["w"] = draw.normal(4, 16)
    del params["blocks"][0]["ln_2"]["g"], params["blocks"][1]["attn"]["c_attn"]["b"]
    words = ("c_proj", "16", "ln_2", "c_attn")
    return {"error": raised(gpt2.load_weights_into_gpt, gpt, params, words=words), "model": gpt.state_dict()}


@check("load_weights_into_gpt", needs="a_gpt_without_blocks")
def nothing_may_be_left_over(gpt2, model, draw):
    """A block too many, and biases for which the model has no place, are ValueErrors."""
    tree = openai_tree(draw, n_layers=3)
    too_many = raised(gpt2.load_weights_into_gpt, small_gpt(model, draw), tree, words=("c_fc",))
    no_place = raised(gpt2.load_weights_into_gpt, small_gpt(model, draw, qkv_bias=False), openai_tree(draw))
    return [too_many, no_place]


@check("load_weights_into_gpt", needs="the_model_speaks_as_its_weights_say", assembled=True)
def your_own_chapters_together(gpt2, inputs, attention, block, model, draw):
    """Your own chapters 2 to 5 work with loaded weights; mend the earliest one that differs."""
    seen = early_pieces(inputs, attention, block, draw)
    gpt, tied, ids = small_gpt(model, draw), small_gpt(model, draw), draw.integers(0, 7, 2, 5)
    shapes = {name: tuple(parameter.shape) for name, parameter in gpt.named_parameters()}
    seen["ch5, GPTModel"] = [shapes, outcome(gpt, ids)]
    model.tie_weights(tied)
    seen["ch5, tie_weights"] = outcome(draw.fill(tied), ids)
    gpt.double()  # so that no rounding is seen
    seen["ch8, load_weights_into_gpt"] = outcome(gpt2.load_weights_into_gpt, gpt, openai_tree(draw))
    return seen | {"ch8, the model afterwards": outcome(gpt, ids)}
