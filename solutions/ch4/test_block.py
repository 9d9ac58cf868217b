"""The public checks of chapter 4, in the order of block.py. Run them with `pytest exercises/ch4`.

To try a check in a Python shell, in the folder that holds exercises/:

    from exercises.ch4 import block; from exercises.ch4.test_block import *
    from grader.draw import Draw; from grader.seeds import seed_for
    draw = Draw(seed_for("public", "ch4", "norm_has_its_parts"))

Then `norm_has_its_parts.function(block)` is what your code gives. `draw` makes
the inputs, `draw.fill(module)` sets a module's parameters; the README tells of `operators`,
`steps` and `folder`.
"""

import torch
from torch import nn

from grader.checks import check

SHARED = ("kind", "refusal", "shapes", "sizes")

READY_NORMS = (
    "nn.LayerNorm",
    "F.layer_norm",
    "torch.native_layer_norm",
    "nn.RMSNorm",
    "F.rms_norm",
    "nn.*BatchNorm*",
    "F.batch_norm",
    "nn.GroupNorm",
    "F.group_norm",
    "nn.InstanceNorm*",
    "F.instance_norm",
)
READY_GELU = ("nn.GELU", "F.gelu", "nn.SiLU", "F.silu")
READY_DROPOUT = ("nn.*Dropout*", "F.*dropout*", "torch.native_dropout")
READY_BLOCK = ("nn.Transformer*", "nn.MultiheadAttention", "F.scaled_dot_product_attention")


def shapes(layer):
    """Every parameter's shape, by name."""
    return {name: tuple(parameter.shape) for name, parameter in layer.named_parameters()}


def kind(part):
    """A module's type: "nn.Linear" is torch's, "GELU" is the one written here."""
    name = type(part).__name__
    return f"nn.{name}" if type(part).__module__.startswith("torch.nn") else name


def sizes(block, **changes):
    """A small GPTConfig."""
    small = {"vocab_size": 50, "context_length": 8, "emb_dim": 6, "n_heads": 2, "n_layers": 1}
    return block.GPTConfig(**(small | changes))


def refusal(function, *args):
    """How a call is refused: by a ValueError, or by what Python or torch say where nobody looked."""
    try:
        function(*args)
    except NotImplementedError:
        raise
    except ValueError:
        return "ValueError"
    except (LookupError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


# ---- LayerNorm ----


@check("LayerNorm")
def norm_has_its_parts(block):
    """Two parameters of C numbers: scale, all 1 at first, and shift, all 0 at first."""
    return dict(block.LayerNorm(4).named_parameters())


@check("LayerNorm", needs="norm_has_its_parts", forbidden=READY_NORMS)
def norm_brings_mean_0_and_variance_1(block, draw):
    """Each position's vector comes out with mean 0 and variance 1, whatever it was before."""
    y = block.LayerNorm(6).to(draw.device)(5 * draw.normal(2, 3, 6) + 7)
    return {"mean": y.mean(dim=-1), "variance": y.var(dim=-1, correction=0)}


@check("LayerNorm", needs="norm_brings_mean_0_and_variance_1", forbidden=READY_NORMS)
def norm_worked_example(block, draw):
    """The example of the docstring: two vectors of five, the first becomes 0.5528, 1.0693, …"""
    torch.manual_seed(123)
    x = torch.randn(2, 5).to(draw.device)
    return block.LayerNorm(5).to(draw.device)(x)


@check("LayerNorm", needs="norm_brings_mean_0_and_variance_1", forbidden=READY_NORMS)
def norm_scales_and_shifts(block, draw):
    """Column c of the normalised vectors is multiplied by scale[c]; then shift[c] is added."""
    layer = draw.fill(block.LayerNorm(6))
    return layer(draw.normal(2, 3, 6))


@check("LayerNorm", needs="norm_has_its_parts")
def norm_takes_eps_under_the_root(block, draw):
    """A constant vector becomes 0 and not NaN; a small variance shows eps, 1e-5 or what was asked for."""
    constant = draw.tensor([[3.0, 3.0, 3.0, 3.0]])
    x = draw.tensor([[1.0, 2.0, 1.5, 0.5]])
    usual, large = block.LayerNorm(4).to(draw.device), block.LayerNorm(4, eps=0.1).to(draw.device)
    return {"constant": usual(constant), "x / 200": usual(x / 200), "x, eps 0.1": large(x)}


# ---- GELU ----


@check("GELU", forbidden=READY_GELU)
def gelu_worked_example(block, draw):
    """The example of the docstring: −3, −1, 0, 1, 3 become −0.0036, −0.1588, 0, 0.8412, 2.9964."""
    return block.GELU()(draw.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]))


@check("GELU", needs="gelu_worked_example", forbidden=READY_GELU)
def gelu_of_any_shape(block, draw):
    """Each number by itself, in a tensor of any shape."""
    return block.GELU()(2 * draw.normal(2, 3, 4))


# ---- Dropout ----


@check("Dropout", forbidden=READY_DROPOUT)
def dropout_rests_in_evaluation(block, draw):
    """In evaluation every number comes out as it went in."""
    return block.Dropout(0.5).eval()(draw.normal(2, 3, 4))


@check("Dropout", forbidden=READY_DROPOUT)
def dropout_zeroes_and_enlarges(block, draw):
    """While training at 0.2, a 1 becomes 0 or 1.25 = 1 / (1 − 0.2); in evaluation it stays 1."""
    layer, ones = block.Dropout(0.2), draw.tensor([1.0]).expand(200, 5)
    return {"training": layer(ones).unique(), "evaluation": layer.eval()(ones).unique()}


@check("Dropout", needs="dropout_zeroes_and_enlarges", forbidden=READY_DROPOUT)
def dropout_zeroes_the_right_share(block, draw):
    """At 0.2 about a fifth of the numbers is zeroed."""
    ones = draw.tensor([1.0]).expand(100, 100)
    return (block.Dropout(0.2)(ones) == 0).float().mean()


@dropout_zeroes_the_right_share.accept
def _(seen):
    # 10,000 numbers: a share of 0.2 has a standard deviation of 0.004
    if not 0.17 < seen.item() < 0.23:
        return f"A share of {seen.item():.2f} is zeroed; at p = 0.2 it should be about 0.20."


@check("Dropout", needs="dropout_zeroes_and_enlarges")
def dropout_is_drawn_for_each_number(block, draw):
    """Each number has its own chance, and each call draws anew."""
    layer, ones = block.Dropout(0.5), draw.tensor([1.0]).expand(40, 40)
    first, second = layer(ones), layer(ones)
    return {
        "all rows alike": bool((first == first[0]).all()),
        "all columns alike": bool((first == first[:, :1]).all()),
        "both calls alike": torch.equal(first, second),
    }


@check("Dropout", needs="dropout_zeroes_and_enlarges")
def dropout_has_limits(block, draw):
    """p is at least 0, where nothing is zeroed, and less than 1; anything else is a ValueError."""
    refused = {p: refusal(block.Dropout, p) for p in (-0.1, 1.0, 1.5)}
    return {"at 0": block.Dropout(0.0)(draw.normal(3, 4)), "refused": refused}


# ---- FeedForward ----


@check("FeedForward")
def feed_forward_has_its_parts(block):
    """Linear from 6 to 24, GELU, Linear from 24 to 6, in `layers`: 318 parameters."""
    layer = block.FeedForward(sizes(block))
    kinds = [kind(part) for part in layer.layers]
    return {"layers": kinds, "parameters": shapes(layer)}


@check("FeedForward", needs=("feed_forward_has_its_parts", "gelu_worked_example"))
def feed_forward_widens_bends_and_narrows(block, draw):
    """Two sequences of three positions go through Linear, GELU, Linear."""
    layer = draw.fill(block.FeedForward(sizes(block)))
    return layer(draw.normal(2, 3, 6))


@check("FeedForward", needs="feed_forward_has_its_parts")
def feed_forward_keeps_positions_apart(block, draw):
    """A position gives the same alone as among others."""
    layer, x = draw.fill(block.FeedForward(sizes(block))), draw.normal(2, 3, 6)
    return layer(x)[:, 1:2] - layer(x[:, 1:2])


# ---- DeepNetwork ----


@check("DeepNetwork")
def network_has_its_layers(block):
    """Four widths make three layers, each a Linear and a GELU."""
    network = block.DeepNetwork([3, 5, 5, 2], use_shortcut=True)
    kinds = [[kind(part) for part in layer] for layer in network.layers]
    return {"layers": kinds, "parameters": shapes(network)}


@check("DeepNetwork", needs=("network_has_its_layers", "gelu_worked_example"))
def network_without_shortcuts(block, draw):
    """Without shortcuts each layer's output is the next one's input."""
    network = draw.fill(block.DeepNetwork([4, 4, 4, 2], use_shortcut=False))
    return network(2 * draw.normal(3, 4))


@check("DeepNetwork", needs="network_without_shortcuts")
def network_with_shortcuts(block, draw):
    """With shortcuts each layer's input is added to its output, where the two have the same shape."""
    network = draw.fill(block.DeepNetwork([4, 4, 4, 2, 2], use_shortcut=True))
    return network(2 * draw.normal(3, 4))


@check("DeepNetwork", needs="network_without_shortcuts")
def network_gradients_after_seed_123(block, draw):
    """Mean absolute gradients, layer by layer: the first has 0.000202 without shortcuts, 0.221698 with."""
    gradients = {}
    for use_shortcut in (False, True):
        torch.manual_seed(123)
        network = block.DeepNetwork([3, 3, 3, 3, 3, 1], use_shortcut).to(draw.device)
        result = network(draw.tensor([[1.0, 0.0, -1.0]]))
        (result**2).mean().backward()
        means = [layer[0].weight.grad.abs().mean() for layer in network.layers]
        gradients["with shortcuts" if use_shortcut else "without"] = torch.stack(means)
    return gradients


# ---- TransformerBlock ----


@check("TransformerBlock")
def block_has_its_parts(block):
    """att, ff, norm1, norm2 and drop_shortcut: 492 parameters; qkv_bias and n_heads are passed on."""
    layer = block.TransformerBlock(sizes(block, n_heads=3))
    biased = block.TransformerBlock(sizes(block, qkv_bias=True))
    parts = (layer.att, layer.ff, layer.norm1, layer.norm2, layer.drop_shortcut)
    return {
        "kinds": [kind(part) for part in parts],
        "parameters": shapes(layer),
        "qkv_bias": shapes(biased),
        "heads": layer.att.num_heads,
    }


@check("TransformerBlock", needs="block_has_its_parts")
def block_is_made_in_order(block):
    """Attention is made first: after seed 123 its weights are these."""
    torch.manual_seed(123)
    layer = block.TransformerBlock(sizes(block))
    return {"W_query": layer.att.W_query.weight, "out_proj": layer.att.out_proj.weight}


@check("TransformerBlock", needs="block_has_its_parts")
def block_has_two_shortcuts(block, draw):
    """When attention gives 1s and feed-forward gives 10s, the block gives its input plus 11."""
    layer = draw.fill(block.TransformerBlock(sizes(block)))
    nn.init.zeros_(layer.att.out_proj.weight)
    nn.init.ones_(layer.att.out_proj.bias)
    nn.init.zeros_(layer.ff.layers[2].weight)
    nn.init.constant_(layer.ff.layers[2].bias, 10.0)
    x = draw.normal(1, 4, 6)
    return {"input": x[0], "output less input": (layer(x) - x)[0]}


@check(
    "TransformerBlock",
    needs=("block_has_two_shortcuts", "norm_worked_example", "feed_forward_widens_bends_and_narrows"),
    forbidden=READY_BLOCK,
)
def block_normalises_before_each_half(block, draw):
    """norm1, attention, shortcut; norm2, feed-forward, shortcut."""
    layer = draw.fill(block.TransformerBlock(sizes(block)))
    return layer(3 * draw.normal(2, 5, 6))


@check("TransformerBlock", needs=("block_has_two_shortcuts", "dropout_zeroes_and_enlarges"))
def block_drops_what_it_adds(block, draw):
    """While training at 0.5, each 1 that attention brings becomes 0 or 2, and so with feed-forward."""
    seen = {}
    for half in ("attention", "feed-forward"):
        layer = draw.fill(block.TransformerBlock(sizes(block, drop_rate=0.5)))
        for last in (layer.att.out_proj, layer.ff.layers[2]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        nn.init.ones_(layer.att.out_proj.bias if half == "attention" else layer.ff.layers[2].bias)
        x = draw.normal(20, 4, 6)
        seen[half] = (layer(x) - x).round(decimals=3).abs().unique()
    return seen


@check("TransformerBlock", needs=("block_has_two_shortcuts", "dropout_rests_in_evaluation"))
def block_dropout_rests_in_evaluation(block, draw):
    """In evaluation the drop rate does not matter; while training the attention weights are dropped too."""
    layer = draw.fill(block.TransformerBlock(sizes(block, drop_rate=0.5)))
    x = draw.normal(2, 8, 6)
    attention_drops = not torch.equal(layer.att(x), layer.att(x))
    layer.eval()
    return {"attention drops": attention_drops, "evaluation repeats": torch.equal(layer(x), layer(x))}
