"""The hidden checks of chapter 4: one for each property that makes an exercise right, on fresh inputs.

What is made of other exercises of the chapter (GELU in FeedForward, …) is compared with the same steps done
by hand with the submission's own parts, so that a wrong GELU costs its own points and no others.
"""

import torch
from torch import nn

from grader.checks import check

SHARED = (
    "Doubling",
    "alike",
    "by_hand",
    "differences",
    "gradients",
    "kind",
    "network_by_hand",
    "refusal",
    "shapes",
    "sizes",
)

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


class Doubling(nn.Module):
    """Stands in for drop_shortcut, and shows where it is used."""

    def forward(self, x):
        return 2 * x


def shapes(layer):
    return {name: tuple(parameter.shape) for name, parameter in layer.named_parameters()}


def kind(part):
    name = type(part).__name__
    return f"nn.{name}" if type(part).__module__.startswith("torch.nn") else name


def sizes(block, **changes):
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


def gradients(layer, result, x, mixture):
    """The gradients of a mixture of the result: every parameter's, and that of x."""
    layer.zero_grad()
    x.grad = None
    (result * mixture).sum().backward()
    return {"x": x.grad} | {name: parameter.grad for name, parameter in layer.named_parameters()}


def differences(layer, other_way, x, draw):
    """How far a layer's result and gradients are from those of another function of x; 0 if right."""
    x.requires_grad_()
    wanted, result = other_way(x), layer(x)
    mixture = draw.normal(*wanted.shape)
    one, other = gradients(layer, result, x, mixture), gradients(layer, wanted, x, mixture)
    wrong = [name for name in one if not alike(one[name], other[name])]
    return {"shape": tuple(result.shape), "result": result - wanted, "wrong gradients": wrong}


def alike(one, other):
    if one is None or other is None:
        return one is other
    return bool((one - other).abs().max() <= 1e-4)


def network_by_hand(network, x, use_shortcut):
    for layer in network.layers:
        h = layer(x)
        x = x + h if use_shortcut and h.shape == x.shape else h
    return x


def by_hand(layer, x, factor=1):
    x = x + factor * layer.att(layer.norm1(x))
    return x + factor * layer.ff(layer.norm2(x))


# ---- LayerNorm ----


@check("LayerNorm")
def norm_parts(block, draw):
    """scale begins with ones, shift with zeros, both are trained, and nothing else is."""
    layer = block.LayerNorm(draw.integer(3, 9))
    trained = [parameter.requires_grad for parameter in layer.parameters()]
    return {"parameters": dict(layer.named_parameters()), "trained": trained}


@check("LayerNorm", forbidden=READY_NORMS)
def norm_values(block, draw):
    """Normalised, scaled and shifted, each position by itself."""
    return draw.fill(block.LayerNorm(7))(3 * draw.normal(2, 5, 7) + 2)


@check("LayerNorm", forbidden=READY_NORMS)
def norm_at_first(block, draw):
    """Before any training: mean 0 and variance 1, over C and not over C − 1."""
    y = block.LayerNorm(4).to(draw.device)(2 * draw.normal(3, 4, 4) - 1)
    return {"mean": y.mean(dim=-1), "variance": y.var(dim=-1, correction=0)}


@check("LayerNorm", forbidden=READY_NORMS)
def norm_any_shape(block, draw):
    """A vector, a matrix, a batch, and four dimensions; all dimensions alike."""
    layer = draw.fill(block.LayerNorm(4))
    return [layer(draw.normal(*shape)) for shape in ((4,), (3, 4), (1, 1, 4), (4, 4, 4), (2, 3, 2, 4))]


@check("LayerNorm")
def norm_small_variance(block, draw):
    """Where the variance is as small as eps, it matters that eps stands under the root."""
    layer = draw.fill(block.LayerNorm(5))
    return [layer(size * draw.normal(2, 3, 5)) for size in (1e-1, 1e-2, 3e-3, 1e-4)]


@check("LayerNorm")
def norm_other_eps(block, draw):
    """The eps that is asked for is used."""
    x = 0.3 * draw.normal(2, 5)
    return [block.LayerNorm(5, eps=eps).to(draw.device)(x) for eps in (0.5, 0.01)]


@check("LayerNorm")
def norm_constant_vector(block, draw):
    """A vector of equal numbers has no spread; what remains is the shift."""
    layer = draw.fill(block.LayerNorm(4))
    return layer(draw.integers(-5, 6, 3, 1).float().expand(3, 4))


@check("LayerNorm")
def norm_positions_are_independent(block, draw):
    """A position gives the same in a batch and alone, while training and in evaluation."""
    layer, x = draw.fill(block.LayerNorm(6)), draw.normal(3, 4, 6)
    training, evaluation = layer.train()(x), layer.eval()(x)
    return {"alone": training[1, 2] - layer(x[1, 2]), "evaluation": evaluation - training, "all": training}


@check("LayerNorm")
def norm_gradients(block, draw):
    """The gradient reaches scale, shift and x, through mean and variance too."""
    layer, x = draw.fill(block.LayerNorm(5)), draw.normal(2, 3, 5).requires_grad_()
    return gradients(layer, layer(x), x, draw.normal(2, 3, 5))


@check("LayerNorm")
def norm_changes_nothing(block, draw):
    """x stays as it was, and a second call gives the same."""
    layer, x = draw.fill(block.LayerNorm(5)), draw.normal(2, 3, 5)
    return {"first": layer(x), "x": x, "second": layer(x), "parameters": dict(layer.named_parameters())}


# ---- GELU ----


@check("GELU", forbidden=READY_GELU)
def gelu_values(block, draw):
    """The form with tanh, over the range where it bends."""
    return block.GELU()(draw.uniform(200, low=-6.0, high=6.0))


@check("GELU", forbidden=READY_GELU)
def gelu_shapes(block, draw):
    """Any shape, one number included."""
    return [block.GELU()(draw.normal(*shape)) for shape in ((), (1,), (3, 4), (2, 3, 4, 2))]


@check("GELU")
def gelu_far_out(block, draw):
    """Far from 0 it is 0 on one side and x on the other."""
    return block.GELU()(draw.tensor([-1000.0, -100.0, -20.0, 0.0, 20.0, 100.0, 1000.0]))


@check("GELU")
def gelu_constants(block, draw):
    """The constants have all their digits: seen where the result is small, a hundredfold."""
    return 100 * block.GELU()(draw.uniform(50, low=-2.5, high=-1.5))


@check("GELU")
def gelu_gradients(block, draw):
    """Its slope, also where x is negative."""
    x = draw.uniform(40, low=-4.0, high=4.0).requires_grad_()
    block.GELU()(x).sum().backward()
    return x.grad


@check("GELU")
def gelu_changes_nothing(block, draw):
    """x stays as it was, a second call and evaluation give the same, and there is nothing to train."""
    layer, x = block.GELU(), draw.normal(3, 4)
    first, second, evaluation = layer(x), layer(x), layer.eval()(x)
    return {"x": x, "twice": [first, second], "evaluation": evaluation, "parameters": shapes(layer)}


# ---- Dropout ----


@check("Dropout", forbidden=READY_DROPOUT)
def dropout_evaluation(block, draw):
    """In evaluation x comes out as it went in, whatever p is; and again while training after that."""
    p, x = draw.choice([0.1, 0.5, 0.9]), draw.normal(4, 50)
    layer = block.Dropout(p)
    evaluation = layer.eval()(x)
    training = layer.train()(x)
    return {"evaluation": torch.equal(evaluation, x), "back in training": bool((training == 0).any()), "x": x}


@check("Dropout", forbidden=READY_DROPOUT)
def dropout_factors(block, draw):
    """While training each number becomes 0 or is divided by 1 − p."""
    seen = {}
    for p in (0.1, 0.25, 0.5, 0.8):
        x = draw.uniform(20, 30, low=1.0, high=2.0)
        y = block.Dropout(p)(x)
        seen[p] = {
            "factors": (y / x).round(decimals=3).unique(),
            "shape": tuple(y.shape),
            "dtype": str(y.dtype),
        }
    return seen


@check("Dropout", forbidden=READY_DROPOUT)
def dropout_shares(block, draw):
    """The share that is zeroed is p, for small p and for large."""
    ones = draw.tensor([1.0]).expand(100, 100)
    return [(block.Dropout(p)(ones) == 0).float().mean() for p in (0.1, 0.3, 0.8)]


@dropout_shares.accept
def _(seen):
    # 10,000 numbers: the standard deviation of a share is at most 0.005
    if not all(abs(share.item() - p) < 0.03 for share, p in zip(seen, (0.1, 0.3, 0.8), strict=True)):
        return "The share of zeroed numbers is not p."


@check("Dropout")
def dropout_independence(block, draw):
    """Each number of each item has its own chance, anew in each call."""
    layer, ones = block.Dropout(0.5), draw.tensor([1.0]).expand(12, 12, 12)
    first, second = layer(ones), layer(ones)
    alike = [bool((first == first.narrow(dim, 0, 1)).all()) for dim in range(3)]
    return {"alike along": alike, "calls alike": torch.equal(first, second)}


@check("Dropout")
def dropout_pairs(block, draw):
    """Neighbours share their fate half of the time, as chance would have it, in every direction."""
    y = block.Dropout(0.5)(draw.tensor([1.0]).expand(20, 20, 20)) == 0
    return [(y.narrow(d, 0, 19) == y.narrow(d, 1, 19)).float().mean() for d in range(3)]


@dropout_pairs.accept
def _(seen):
    # 7,600 pairs: the standard deviation of a share is 0.006
    if not all(0.45 < share.item() < 0.55 for share in seen):
        return "The numbers are not dropped independently."


@check("Dropout")
def dropout_gradient(block, draw):
    """The gradient passes where the number passed, with the same factor, and not where it was zeroed."""
    x = draw.uniform(6, 7, low=1.0, high=2.0).requires_grad_()
    y = block.Dropout(0.4)(x)
    y.sum().backward()
    return x.grad - (y / x).detach()


@check("Dropout")
def dropout_refusals(block, draw):
    """p is at least 0 and less than 1."""
    errors = [refusal(block.Dropout, p) for p in (-1.0, -0.001, 0.0, 0.999, 1.0, 1.001, 5.0)]
    x = draw.normal(5, 6)
    return {"errors": errors, "at 0": block.Dropout(0.0).train()(x), "an int": block.Dropout(0)(x)}


@check("Dropout")
def dropout_changes_nothing(block, draw):
    """x stays as it was, and there is nothing to train."""
    layer, x = block.Dropout(0.5), draw.normal(5, 6)
    layer(x)
    return {"x": x, "parameters": shapes(layer)}


# ---- FeedForward ----


@check("FeedForward")
def feed_forward_parts(block, draw):
    """Linear, GELU, Linear, four times as wide inside, with biases, whatever qkv_bias says."""
    width = draw.choice([4, 8, 10])
    layers = [block.FeedForward(sizes(block, emb_dim=width, qkv_bias=bias)) for bias in (False, True)]
    return [([kind(part) for part in layer.layers], shapes(layer)) for layer in layers]


@check("FeedForward")
def feed_forward_values(block, draw):
    """The three parts one after the other, results and gradients."""
    layer = draw.fill(block.FeedForward(sizes(block)))
    first, _, last = layer.layers
    return differences(layer, lambda x: last(block.GELU()(first(x))), draw.normal(2, 3, 6), draw)


@check("FeedForward")
def feed_forward_positions(block, draw):
    """Each position by itself: the same alone, and in another order."""
    layer, x, order = draw.fill(block.FeedForward(sizes(block))), draw.normal(2, 5, 6), draw.permutation(5)
    y = layer(x)
    return {"alone": y[1:, 2:3] - layer(x[1:, 2:3]), "reordered": y[:, order] - layer(x[:, order])}


@check("FeedForward")
def feed_forward_changes_nothing(block, draw):
    """x stays as it was, a second call and evaluation give the same, two modules differ."""
    layer, x = draw.fill(block.FeedForward(sizes(block, drop_rate=0.5))), draw.normal(2, 3, 6)
    before, first, second = x.clone(), layer(x), layer(x)
    one, other = block.FeedForward(sizes(block)), block.FeedForward(sizes(block))
    return {
        "x changed": not torch.equal(before, x),
        "second": second - first,
        "evaluation": layer.eval()(x) - first,
        "two alike": torch.equal(one.layers[0].weight, other.layers[0].weight),
    }


# ---- DeepNetwork ----


@check("DeepNetwork")
def network_parts(block, draw):
    """A layer for each pair of neighbouring widths, each a Linear and a GELU."""
    widths = [draw.integer(2, 6) for _ in range(draw.integer(4, 7))]
    network = block.DeepNetwork(widths, draw.choice([False, True]))
    kinds = [[kind(part) for part in layer] for layer in network.layers]
    return {"layers": kinds, "parameters": shapes(network)}


@check("DeepNetwork")
def network_plain(block, draw):
    """Without shortcuts: one layer after the other, results and gradients."""
    network = draw.fill(block.DeepNetwork([4, 4, 6, 6, 3], use_shortcut=False))
    return differences(network, lambda x: network_by_hand(network, x, False), 2 * draw.normal(5, 4), draw)


@check("DeepNetwork")
def network_shortcut(block, draw):
    """With shortcuts: each layer's own input is added where the shapes agree, results and gradients."""
    network = draw.fill(block.DeepNetwork([4, 4, 6, 6, 3, 4, 4], use_shortcut=True))
    return differences(network, lambda x: network_by_hand(network, x, True), 2 * draw.normal(5, 4), draw)


@check("DeepNetwork")
def network_layers_are_linear_then_gelu(block, draw):
    """A network of one layer is a Linear with a GELU behind it."""
    network, x = draw.fill(block.DeepNetwork([3, 4], use_shortcut=True)), draw.normal(2, 3)
    return network(x) - block.GELU()(network.layers[0][0](x))


@check("DeepNetwork")
def network_any_shape(block, draw):
    """One vector, or a batch of sequences; widths as a tuple; and x stays as it was."""
    network = draw.fill(block.DeepNetwork((3, 3, 3), use_shortcut=True))
    seen = []
    for shape in ((3,), (1, 3), (2, 3), (2, 4, 3)):
        x = draw.normal(*shape)
        y = network(x)
        seen += [tuple(y.shape), y - network_by_hand(network, x, True), x]
    return seen


@check("DeepNetwork")
def network_seeded(block, draw):
    """The layers are made from the first to the last, so a seed gives everyone the same."""
    torch.manual_seed(draw.integer(0, 10**6))
    network = block.DeepNetwork([3, 4, 4, 2], use_shortcut=False)
    return [layer[0].weight for layer in network.layers]


# ---- TransformerBlock ----


@check("TransformerBlock", forbidden=READY_BLOCK)
def block_parts(block, draw):
    """Attention, feed-forward, two norms and a dropout, of the sizes that the config gives."""
    cfg = sizes(block, emb_dim=12, n_heads=draw.choice([3, 4, 6]), qkv_bias=True)
    layer, plain = block.TransformerBlock(cfg), block.TransformerBlock(sizes(block))
    parts = (layer.att, layer.ff, layer.norm1, layer.norm2, layer.drop_shortcut)
    x, norm = 0.01 * draw.normal(3, 12), block.LayerNorm(12).to(draw.device)
    layer.to(draw.device)
    return {
        "kinds": [kind(part) for part in parts],
        "att": [shapes(layer.att), shapes(plain.att), int(layer.att.num_heads)],
        "ff": shapes(layer.ff) == shapes(block.FeedForward(cfg)),
        "norms": [layer.norm1(x) - norm(x), layer.norm2(x) - norm(x)],
        "one norm for both": layer.norm1 is layer.norm2,
    }


@check("TransformerBlock", forbidden=READY_BLOCK)
def block_values(block, draw):
    """norm1, attention, shortcut, norm2, feed-forward, shortcut: results and gradients."""
    layer = draw.fill(block.TransformerBlock(sizes(block, qkv_bias=True)))
    return differences(layer, lambda x: by_hand(layer, x), 2 * draw.normal(2, 5, 6), draw)


@check("TransformerBlock")
def block_dropout_stands_before_each_sum(block, draw):
    """drop_shortcut takes what each half brings, and neither the shortcut nor what goes into the half."""
    layer = draw.fill(block.TransformerBlock(sizes(block)))
    layer.drop_shortcut = Doubling()
    return differences(layer, lambda x: by_hand(layer, x, factor=2), 2 * draw.normal(2, 5, 6), draw)


@check("TransformerBlock")
def block_drop_rate(block, draw):
    """The drop rate of the config reaches drop_shortcut and the attention weights."""
    p = draw.choice([0.2, 0.5, 0.75])
    layer = draw.fill(block.TransformerBlock(sizes(block, drop_rate=p)))
    ones = draw.tensor([1.0]).expand(1000)
    shortcut = torch.equal(layer.drop_shortcut(ones).unique(), block.Dropout(p)(ones).unique())
    nn.init.eye_(layer.att.out_proj.weight)
    nn.init.zeros_(layer.att.out_proj.bias)
    x = draw.normal(60, 1, 6)
    factors = (layer.att(x) / layer.att.W_value(x)).round(decimals=2)
    return {"drop_shortcut at p": shortcut, "attention's factors": factors.unique()}


@check("TransformerBlock")
def block_evaluation(block, draw):
    """In evaluation the block does not drop: it repeats itself, and gives what its parts give."""
    layer = draw.fill(block.TransformerBlock(sizes(block, drop_rate=0.6)))
    layer.drop_shortcut = nn.Dropout(0.6)
    layer.eval()
    x = draw.normal(2, 8, 6)
    first, second = layer(x), layer(x)
    return {"by hand": first - by_hand(layer, x), "again": second - first, "mode": layer.att.training}


@check("TransformerBlock")
def block_cannot_see_the_future(block, draw):
    """Another future changes nothing before it, and something after it."""
    layer = draw.fill(block.TransformerBlock(sizes(block))).eval()
    layer.norm1, layer.norm2 = nn.Identity(), nn.Identity()
    x, t = draw.normal(2, 8, 6), draw.integer(1, 7)
    other = x.clone()
    other[:, t:] = draw.normal(2, 8 - t, 6)
    before, after = layer(x), layer(other)
    return {"before": before[:, :t] - after[:, :t], "after": bool((before - after)[:, t:].abs().min() > 0)}


@check("TransformerBlock")
def block_lengths_and_batch(block, draw):
    """Every length up to the context works, in a batch as alone; a longer one is a ValueError."""
    layer = draw.fill(block.TransformerBlock(sizes(block, context_length=5))).eval()
    layer.norm1, layer.norm2 = nn.Identity(), nn.Identity()
    x = draw.normal(2, 6, 6)
    whole = layer(x[:, :5])
    shorter = [layer(x[:, :T]) - whole[:, :T] for T in (1, 3)]
    return {"shorter": shorter, "alone": layer(x[1:, :5]) - whole[1:], "longer": refusal(layer, x)}


@check("TransformerBlock")
def block_seeded(block, draw):
    """Attention is made first, so a seed gives everyone the same attention."""
    torch.manual_seed(draw.integer(0, 10**6))
    layer = block.TransformerBlock(sizes(block))
    return [layer.att.W_query.weight, layer.att.W_key.weight, layer.att.out_proj.weight]


@check("TransformerBlock")
def block_changes_nothing(block, draw):
    """x stays as it was, and two blocks differ."""
    layer, x = draw.fill(block.TransformerBlock(sizes(block))), draw.normal(2, 4, 6)
    before = x.clone()
    layer(x)
    one, other = block.TransformerBlock(sizes(block)), block.TransformerBlock(sizes(block))
    alike = torch.equal(one.att.W_key.weight, other.att.W_key.weight)
    return {"x changed": not torch.equal(before, x), "two alike": alike}
