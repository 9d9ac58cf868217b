"""The hidden checks of chapter 3: one for each property that makes an exercise right, on fresh inputs.

CausalAttention and MultiHeadAttention are given a right mask, so that a wrong causal_mask costs its own
points and no others.
"""

import torch
from torch import nn

from grader.checks import check

SHARED = (
    "PRODUCTS",
    "filled_head",
    "filled_heads",
    "gradients",
    "growth",
    "mask_is_right",
    "pass_on",
    "refusal",
    "right_mask",
    "shapes",
)

PRODUCTS = ("matmul", "mm", "bmm", "einsum", "linear", "tensordot", "baddbmm", "addmm", "inner")
RUNNING = (".cumsum", ".cumsum_", "torch.cumsum", "numpy.cumsum", ".logcumsumexp", "F.avg_pool1d")
READY_MASKS = ("nn.Transformer*", ".*generate_square_subsequent_mask", "torch.nn.attention")
READY_ATTENTION = (
    "F.scaled_dot_product_attention",
    "F.multi_head_attention_forward",
    "nn.MultiheadAttention",
    *READY_MASKS,
)


def shapes(layer):
    return {name: tuple(parameter.shape) for name, parameter in layer.named_parameters()}


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


def growth(operators, function, short, long):
    """How many more torch calls a longer input takes."""
    with operators:
        function(short)
    calls = operators.total
    with operators:
        function(long)
    return operators.total - 2 * calls


def gradients(layer, x, draw):
    """The gradients of a random mixture of the context: every parameter's, by name, and that of x."""
    x.requires_grad_()
    result = layer(x)
    context = result[0] if isinstance(result, tuple) else result
    (context * draw.normal(*context.shape)).sum().backward()
    return {"x": x.grad} | {name: parameter.grad for name, parameter in layer.named_parameters()}


def right_mask(size):
    return torch.tensor([[0.0 if s <= t else float("-inf") for s in range(size)] for t in range(size)])


def mask_is_right(attention, layer, size):
    """Whether the layer's buffer is the causal mask, the right one or the student's own."""
    mask = dict(layer.named_buffers()).get("mask")
    if mask is None or tuple(mask.shape) != (size, size):
        return "no buffer of that shape"
    if torch.equal(mask.cpu(), right_mask(size)):
        return True
    return torch.allclose(mask.cpu(), attention.causal_mask(size).cpu(), equal_nan=True)


def filled_head(attention, draw, *args, **kwargs):
    layer = draw.fill(attention.CausalAttention(*args, **kwargs))
    with torch.no_grad():
        layer.mask.copy_(right_mask(layer.mask.shape[0]))
    return layer


def filled_heads(attention, draw, *args, **kwargs):
    layer = draw.fill(attention.MultiHeadAttention(*args, **kwargs))
    with torch.no_grad():
        layer.mask.copy_(right_mask(layer.mask.shape[0]))
    return layer


def pass_on(layer):
    """Let out_proj change nothing."""
    nn.init.eye_(layer.out_proj.weight)
    nn.init.zeros_(layer.out_proj.bias)
    return layer


# ---- prefix_mean_loop ----


@check("prefix_mean_loop", forbidden=RUNNING)
def loop_values(attention, draw):
    """Running means of several sequences, each column by itself, positions after the first."""
    return attention.prefix_mean_loop(draw.normal(3, 5, 4))[:, 1:]


@check("prefix_mean_loop", forbidden=RUNNING)
def loop_first_position(attention, draw):
    """The first position is its own mean; so is the only one."""
    x = draw.normal(2, 3, 2)
    return [attention.prefix_mean_loop(x)[:, 0], attention.prefix_mean_loop(x[:, :1])]


@check("prefix_mean_loop")
def loop_dtypes(attention, draw):
    """The dtype of x is kept, and its precision."""
    x = draw.normal(2, 4, 3)
    half = attention.prefix_mean_loop(x.half())
    return {"float64": attention.prefix_mean_loop(x.double()), "float16": str(half.dtype)}


@check("prefix_mean_loop")
def loop_changes_nothing(attention, draw):
    """x stays as it was, the result is a tensor of its own, and a second call gives the same."""
    x = draw.normal(2, 4, 3)
    first = attention.prefix_mean_loop(x)
    kept = first.clone()
    second = attention.prefix_mean_loop(x)
    return {"x": x, "first": kept, "second": second, "first afterwards": first}


@check("prefix_mean_loop")
def loop_batch_independence(attention, draw):
    """A sequence has the same means in a batch and alone."""
    x = draw.normal(3, 4, 2)
    return attention.prefix_mean_loop(x)[2] - attention.prefix_mean_loop(x[2:])[0]


# ---- prefix_mean_matmul ----


@check("prefix_mean_matmul", forbidden=RUNNING)
def matmul_values(attention, draw):
    """Running means of several sequences, each column by itself."""
    return attention.prefix_mean_matmul(draw.normal(3, 6, 4))


@check("prefix_mean_matmul", forbidden=RUNNING)
def matmul_square_input(attention, draw):
    """As many sequences as positions as columns: no two dimensions get mixed up."""
    return [
        attention.prefix_mean_matmul(draw.normal(4, 4, 4)),
        attention.prefix_mean_matmul(draw.normal(2, 1, 3)),
    ]


@check("prefix_mean_matmul")
def matmul_dtypes(attention, draw):
    """The dtype of x is kept, and its precision."""
    x = draw.normal(2, 4, 3)
    half = attention.prefix_mean_matmul(x.half())
    return {"float64": attention.prefix_mean_matmul(x.double()), "float16": str(half.dtype)}


@check("prefix_mean_matmul")
def matmul_changes_nothing(attention, draw):
    """x stays as it was, and a second call gives the same."""
    x = draw.normal(2, 4, 3)
    return [attention.prefix_mean_matmul(x), x, attention.prefix_mean_matmul(x)]


@check("prefix_mean_matmul")
def matmul_work(attention, draw, operators):
    """One matrix product, no loop over positions."""
    longer = growth(operators, attention.prefix_mean_matmul, draw.normal(2, 3, 4), draw.normal(2, 23, 4))
    return {"longer": longer, "product": operators.count(*PRODUCTS) > 0}


# ---- causal_mask ----


@check("causal_mask", forbidden=READY_MASKS)
def mask_values(attention, draw):
    """0 up to the diagonal, −inf after it."""
    return attention.causal_mask(draw.integer(3, 9))


@check("causal_mask", forbidden=READY_MASKS)
def mask_counts(attention, draw):
    """How many places are allowed, how many are not."""
    mask = attention.causal_mask(draw.integer(4, 12))
    return [int((mask == 0).sum()), int((mask == float("-inf")).sum()), tuple(mask.shape), str(mask.dtype)]


@check("causal_mask")
def mask_small_sizes(attention, draw):
    """One position, and two."""
    return [attention.causal_mask(1), attention.causal_mask(2)]


@check("causal_mask")
def mask_is_made_anew(attention, draw):
    """Each call gives a mask of its own: changing one leaves the next alone."""
    size = draw.integer(3, 7)
    attention.causal_mask(size).fill_(5.0)
    return attention.causal_mask(size)


# ---- prefix_mean_softmax ----


@check("prefix_mean_softmax", forbidden=RUNNING)
def softmax_values(attention, draw):
    """Running means of several sequences, each column by itself."""
    return attention.prefix_mean_softmax(draw.normal(3, 6, 4))


@check("prefix_mean_softmax", forbidden=RUNNING)
def softmax_square_input(attention, draw):
    """As many sequences as positions as columns: no two dimensions get mixed up."""
    x = draw.normal(4, 4, 4)
    return [attention.prefix_mean_softmax(x), attention.prefix_mean_softmax(x[:, :1])]


@check("prefix_mean_softmax")
def softmax_dtypes(attention, draw):
    """The dtype of x is kept, and its precision."""
    x = draw.normal(2, 4, 3)
    half = attention.prefix_mean_softmax(x.half())
    return {"float64": attention.prefix_mean_softmax(x.double()), "float16": str(half.dtype)}


@check("prefix_mean_softmax")
def softmax_changes_nothing(attention, draw):
    """x stays as it was, and a second call gives the same."""
    x = draw.normal(2, 4, 3)
    return [attention.prefix_mean_softmax(x), x, attention.prefix_mean_softmax(x)]


@check("prefix_mean_softmax")
def softmax_work(attention, draw, operators):
    """A softmax makes the weights, no loop over positions."""
    longer = growth(operators, attention.prefix_mean_softmax, draw.normal(2, 3, 4), draw.normal(2, 23, 4))
    return {"longer": longer, "softmax": operators.count("softmax", "exp") > 0}


# ---- SelfAttentionWithoutQKV ----


@check("SelfAttentionWithoutQKV", forbidden=READY_ATTENTION)
def plain_weights(attention, draw):
    """The softmax of the dot products, row by row."""
    return attention.SelfAttentionWithoutQKV()(draw.normal(2, 5, 4))[1]


@check("SelfAttentionWithoutQKV", forbidden=READY_ATTENTION)
def plain_context(attention, draw):
    """Each row of weights mixes the vectors; a single sequence too."""
    x = draw.normal(2, 5, 3)
    return [attention.SelfAttentionWithoutQKV()(x)[0], attention.SelfAttentionWithoutQKV()(x[1])]


@check("SelfAttentionWithoutQKV")
def plain_square_and_short(attention, draw):
    """All dimensions alike, and a single position, whose only weight is 1."""
    layer, x = attention.SelfAttentionWithoutQKV(), draw.normal(4, 4, 4)
    return [layer(x), layer(x[:, :1])]


@check("SelfAttentionWithoutQKV")
def plain_float64(attention, draw):
    """Float64 in, float64 out."""
    return attention.SelfAttentionWithoutQKV()(draw.normal(2, 3, 4).double())


@check("SelfAttentionWithoutQKV")
def plain_has_no_order(attention, draw):
    """Positions in another order give the same contexts in that order: nothing here knows positions."""
    layer, x, order = attention.SelfAttentionWithoutQKV(), draw.normal(1, 5, 3), draw.permutation(5)
    context, _ = layer(x)
    shuffled, _ = layer(x[:, order])
    return {"difference": shuffled - context[:, order], "context": context}


@check("SelfAttentionWithoutQKV")
def plain_changes_nothing(attention, draw):
    """x stays as it was, a second call gives the same, and there is nothing to train."""
    layer, x = attention.SelfAttentionWithoutQKV(), draw.normal(2, 3, 4)
    return {"first": layer(x), "x": x, "second": layer(x), "parameters": shapes(layer)}


@check("SelfAttentionWithoutQKV")
def plain_gradient(attention, draw):
    """The gradient reaches x through scores and vectors."""
    x = draw.normal(2, 3, 4).requires_grad_()
    context, weights = attention.SelfAttentionWithoutQKV()(x)
    ((context * draw.normal(2, 3, 4)).sum() + (weights * draw.normal(2, 3, 3)).sum()).backward()
    return x.grad


# ---- SelfAttentionQKV ----


@check("SelfAttentionQKV")
def qkv_parts(attention, draw):
    """W_query, W_key and W_value, each d_in to d_out without bias, and nothing else."""
    return shapes(attention.SelfAttentionQKV(draw.integer(3, 6), draw.integer(6, 9)))


@check("SelfAttentionQKV", forbidden=READY_ATTENTION)
def qkv_weights(attention, draw):
    """The scaled scores of queries against keys, and their softmax."""
    return draw.fill(attention.SelfAttentionQKV(5, 3))(3 * draw.normal(2, 6, 5))[1]


@check("SelfAttentionQKV", forbidden=READY_ATTENTION)
def qkv_context(attention, draw):
    """The weights mix the values, in one sequence and in a batch."""
    layer, x = draw.fill(attention.SelfAttentionQKV(4, 6)), draw.normal(3, 5, 4)
    return {"batch": layer(x)[0], "alone": layer(x[2]), "one position": layer(x[:, :1])}


@check("SelfAttentionQKV")
def qkv_square(attention, draw):
    """Batch, time and both widths alike: no two dimensions get mixed up."""
    return draw.fill(attention.SelfAttentionQKV(4, 4))(3 * draw.normal(4, 4, 4))


@check("SelfAttentionQKV")
def qkv_scaling(attention, draw):
    """Wide keys too give scores of variance around 1, so the softmax stays soft."""
    layer = draw.fill(attention.SelfAttentionQKV(48, 32))
    return layer(draw.normal(1, 6, 48))[1].amax(dim=-1)


@check("SelfAttentionQKV")
def qkv_gradients(attention, draw):
    """The gradient reaches all three maps, and x through each of them."""
    layer = draw.fill(attention.SelfAttentionQKV(4, 3))
    return gradients(layer, draw.normal(2, 5, 4), draw)


@check("SelfAttentionQKV")
def qkv_seeded(attention, draw):
    """The maps are made in the order query, key, value, so a seed gives everyone the same."""
    torch.manual_seed(draw.integer(0, 10**6))
    layer = attention.SelfAttentionQKV(4, 3).to(draw.device)
    return {"W_query": layer.W_query.weight, "result": layer(draw.normal(2, 4, 4))}


@check("SelfAttentionQKV")
def qkv_changes_nothing(attention, draw):
    """x and the random state stay as they were, a second call gives the same, two layers differ."""
    layer, x = draw.fill(attention.SelfAttentionQKV(4, 3)), draw.normal(2, 4, 4)
    state = torch.get_rng_state()
    first, second = layer(x), layer(x)
    same = torch.equal(state, torch.get_rng_state())
    one, other = attention.SelfAttentionQKV(4, 3), attention.SelfAttentionQKV(4, 3)
    alike = torch.equal(one.W_query.weight, other.W_query.weight)
    return {"x": x, "first": first, "second": second, "random state kept": same, "two layers alike": alike}


# ---- CausalAttention ----


@check("CausalAttention")
def head_parts(attention, draw):
    """The three maps, with and without bias; the mask is a buffer."""
    sizes = {"d_in": draw.integer(3, 6), "d_out": draw.integer(6, 9), "context_length": 7, "dropout": 0.1}
    plain = attention.CausalAttention(**sizes)
    biased = attention.CausalAttention(**sizes, qkv_bias=True)
    return {"plain": shapes(plain), "biased": shapes(biased), "mask": mask_is_right(attention, plain, 7)}


@check("CausalAttention", forbidden=READY_ATTENTION)
def head_weights(attention, draw):
    """Scaled scores, masked before the softmax: rows sum to 1, the future gets nothing."""
    layer = filled_head(attention, draw, 5, 3, 6, 0.0, qkv_bias=True)
    return layer(3 * draw.normal(2, 6, 5))[1]


@check("CausalAttention", forbidden=READY_ATTENTION)
def head_context(attention, draw):
    """The weights mix the values."""
    layer = filled_head(attention, draw, 4, 6, 8, 0.0)
    return layer(draw.normal(3, 8, 4))


@check("CausalAttention")
def head_square(attention, draw):
    """Batch, time and both widths alike: no two dimensions get mixed up."""
    return filled_head(attention, draw, 4, 4, 4, 0.0)(3 * draw.normal(4, 4, 4))


@check("CausalAttention")
def head_cannot_see_the_future(attention, draw):
    """Another future changes nothing before it, and something after it."""
    layer = filled_head(attention, draw, 4, 3, 8, 0.0).eval()
    x, t = draw.normal(2, 8, 4), draw.integer(1, 7)
    other = x.clone()
    other[:, t:] = draw.normal(2, 8 - t, 4)
    before, after = layer(x)[0], layer(other)[0]
    return {"before": before[:, :t] - after[:, :t], "after": bool((before - after)[:, t:].abs().min() > 0)}


@check("CausalAttention")
def head_lengths(attention, draw):
    """Every length up to the context works and sees the same; a longer one is a ValueError."""
    layer, x = filled_head(attention, draw, 4, 3, 5, 0.0), draw.normal(2, 6, 4)
    lengths = [layer(x[:, :T]) for T in range(1, 6)]
    return {"up to 5": lengths, "6": refusal(layer, x)}


@check("CausalAttention")
def head_evaluation(attention, draw):
    """In evaluation dropout does nothing, however high."""
    layer, x = filled_head(attention, draw, 4, 3, 8, dropout=0.75).eval(), draw.normal(2, 8, 4)
    return [layer(x), layer(x)]


@check("CausalAttention")
def head_dropout_on_weights(attention, draw):
    """While training each weight is zeroed or divided by 1 − p, and those weights mix the values."""
    p = draw.choice([0.2, 0.5, 0.75])
    layer, x = filled_head(attention, draw, 4, 3, 16, dropout=p), draw.normal(6, 16, 4)
    context, weights = layer.train()(x)
    again, _ = layer(x)
    plain = layer.eval()(x)[1]
    factors = (weights / plain)[plain > 1e-6].round(decimals=2).unique()
    last_rows = weights[:, -1] == 0
    one_by_one = bool((last_rows.any(dim=1) & ~last_rows.all(dim=1)).any())
    mixed = weights @ layer.W_value(x)
    anew = not torch.equal(context, again)
    return {"factors": factors, "context": context - mixed, "drawn anew": anew, "one by one": one_by_one}


@check("CausalAttention")
def head_dropout_share(attention, draw):
    """The share of weights that are zeroed while training is p."""
    layer, x = filled_head(attention, draw, 4, 3, 32, dropout=0.25), draw.normal(8, 32, 4)
    weights = layer.train()(x)[1]
    below = weights[(layer.mask == 0).expand(8, -1, -1)]
    return (below == 0).float().mean()


@head_dropout_share.accept
def _(seen):
    # 8 · 528 weights: a share of 0.25 has a standard deviation of 0.0067
    if not 0.2 < seen.item() < 0.3:
        return "The share of zeroed weights is not p."


@check("CausalAttention")
def head_gradients(attention, draw):
    """The gradient reaches every map and its bias, and x."""
    layer = filled_head(attention, draw, 4, 3, 5, 0.0, qkv_bias=True)
    return gradients(layer, draw.normal(2, 5, 4), draw)


@check("CausalAttention")
def head_seeded(attention, draw):
    """The maps are made in the order query, key, value, so a seed gives everyone the same."""
    torch.manual_seed(draw.integer(0, 10**6))
    layer = attention.CausalAttention(4, 3, 5, 0.0, qkv_bias=True).to(draw.device)
    layer.mask.copy_(right_mask(5))
    return layer(draw.normal(2, 4, 4))


@check("CausalAttention")
def head_changes_nothing(attention, draw):
    """x, the mask and the random state stay as they were, a second call gives the same, two layers differ."""
    layer, x = filled_head(attention, draw, 4, 3, 6, 0.1).eval(), draw.normal(2, 4, 4)
    state = torch.get_rng_state()
    first, second = layer(x), layer(x)
    same = torch.equal(state, torch.get_rng_state())
    one, other = attention.CausalAttention(4, 3, 6, 0.1), attention.CausalAttention(4, 3, 6, 0.1)
    alike = torch.equal(one.W_key.weight, other.W_key.weight)
    kept = torch.equal(layer.mask.cpu(), right_mask(6))
    return {"x": x, "twice": [first, second], "random state": same, "mask": kept, "two layers alike": alike}


# ---- MultiHeadAttention ----


@check("MultiHeadAttention")
def heads_parts(attention, draw):
    """The maps, out_proj with a bias, the mask as a buffer, num_heads and head_dim."""
    heads, width = draw.choice([(2, 8), (3, 6), (4, 12)])
    layer = attention.MultiHeadAttention(5, width, 6, 0.1, heads)
    biased = attention.MultiHeadAttention(5, width, 6, 0.1, heads, qkv_bias=True)
    mask = mask_is_right(attention, layer, 6)
    return [shapes(layer), shapes(biased), mask, int(layer.num_heads), int(layer.head_dim)]


@check("MultiHeadAttention")
def heads_uneven_width(attention, draw):
    """A d_out that is no multiple of num_heads is a ValueError, whatever d_in is."""
    heads = draw.integer(3, 6)
    sizes = (heads + 1, heads - 1, 2 * heads + 1, 2 * heads)
    return [refusal(attention.MultiHeadAttention, heads, d, 4, 0.0, heads) for d in sizes]


@check("MultiHeadAttention", forbidden=READY_ATTENTION)
def heads_apart(attention, draw):
    """Each head attends by itself in its own slice of the width; the slices lie side by side."""
    layer = pass_on(filled_heads(attention, draw, 5, 12, 8, 0.0, num_heads=3))
    return layer(3 * draw.normal(2, 7, 5))


@check("MultiHeadAttention", forbidden=READY_ATTENTION)
def heads_together(attention, draw):
    """out_proj mixes the heads; with biases."""
    layer = filled_heads(attention, draw, 4, 6, 8, 0.0, num_heads=2, qkv_bias=True)
    return layer(3 * draw.normal(3, 8, 4))


@check("MultiHeadAttention")
def heads_square(attention, draw):
    """Batch, time, heads and head_dim alike: no two dimensions get mixed up."""
    return filled_heads(attention, draw, 4, 16, 4, 0.0, num_heads=4)(3 * draw.normal(4, 4, 4))


@check("MultiHeadAttention")
def heads_one_or_all(attention, draw):
    """One head, and heads of one column each."""
    x = 3 * draw.normal(2, 5, 4)
    return [filled_heads(attention, draw, 4, 6, 5, 0.0, num_heads=h)(x) for h in (1, 6)]


@check("MultiHeadAttention")
def heads_cannot_see_the_future(attention, draw):
    """Another future changes nothing before it, and something after it."""
    layer = filled_heads(attention, draw, 4, 6, 8, 0.0, num_heads=2).eval()
    x, t = draw.normal(2, 8, 4), draw.integer(1, 7)
    other = x.clone()
    other[:, t:] = draw.normal(2, 8 - t, 4)
    before, after = layer(x), layer(other)
    return {"before": before[:, :t] - after[:, :t], "after": bool((before - after)[:, t:].abs().min() > 0)}


@check("MultiHeadAttention")
def heads_lengths(attention, draw):
    """Every length up to the context works and sees the same; a longer one is a ValueError."""
    layer, x = filled_heads(attention, draw, 4, 6, 5, 0.0, num_heads=3), draw.normal(2, 6, 4)
    return {"up to 5": [layer(x[:, :T]) for T in range(1, 6)], "6": refusal(layer, x)}


@check("MultiHeadAttention")
def heads_batch_independence(attention, draw):
    """A sequence gives the same in a batch and alone."""
    layer, x = filled_heads(attention, draw, 4, 6, 5, 0.0, num_heads=2), draw.normal(3, 5, 4)
    together = layer(x)
    return {"difference": together[1] - layer(x[1:2])[0], "together": together}


@check("MultiHeadAttention")
def heads_evaluation(attention, draw):
    """In evaluation dropout does nothing, however high."""
    layer = filled_heads(attention, draw, 4, 6, 8, dropout=0.75, num_heads=2).eval()
    x = draw.normal(2, 8, 4)
    return [layer(x), layer(x)]


@check("MultiHeadAttention")
def heads_dropout_on_weights(attention, draw):
    """While training a head's weight is zeroed or divided by 1 − p, and with it all that it brings."""
    p = draw.choice([0.2, 0.5, 0.75])
    layer = pass_on(filled_heads(attention, draw, 4, 6, 8, dropout=p, num_heads=3)).train()
    x = draw.normal(60, 2, 4)
    factors = (layer(x) / layer.W_value(x))[:, 0].view(60, 3, 2).round(decimals=2)
    one_each = bool((factors.amin(dim=2) == factors.amax(dim=2)).all())
    heads_alike = bool((factors.amin(dim=1) == factors.amax(dim=1)).all())
    return {
        "factors": factors.unique(),
        "one for a whole head": one_each,
        "the same for all heads": heads_alike,
    }


@check("MultiHeadAttention")
def heads_dropout_one_by_one(attention, draw):
    """Dropout takes single weights: of eight equal ones, a head now and then keeps some and loses others."""
    layer = pass_on(filled_heads(attention, draw, 4, 6, 8, dropout=0.5, num_heads=3)).train()
    x = draw.normal(20, 1, 4).expand(20, 8, 4)
    kept = (layer(x) / layer.W_value(x))[:, -1] * 8 * 0.5
    whole = bool((kept - kept.round()).abs().max() < 1e-2)
    return {"a number of whole weights": whole, "some of them": bool(((kept > 0.5) & (kept < 7.5)).any())}


@check("MultiHeadAttention")
def heads_dropout_share(attention, draw):
    """The share of weights that are zeroed while training is p."""
    layer = pass_on(filled_heads(attention, draw, 4, 8, 4, dropout=0.25, num_heads=4)).train()
    return (layer(draw.normal(1000, 1, 4))[:, 0, ::2] == 0).float().mean()


@heads_dropout_share.accept
def _(seen):
    # 4,000 weights: a share of 0.25 has a standard deviation of 0.0068
    if not 0.2 < seen.item() < 0.3:
        return "The share of zeroed weights is not p."


@check("MultiHeadAttention")
def heads_gradients(attention, draw):
    """The gradient reaches every map and its bias, and x."""
    layer = filled_heads(attention, draw, 4, 6, 5, 0.0, num_heads=2, qkv_bias=True)
    return gradients(layer, draw.normal(2, 5, 4), draw)


@check("MultiHeadAttention")
def heads_seeded(attention, draw):
    """The layers are made in the order query, key, value, out_proj, so a seed gives everyone the same."""
    torch.manual_seed(draw.integer(0, 10**6))
    layer = attention.MultiHeadAttention(4, 6, 5, 0.0, 2, qkv_bias=True).to(draw.device)
    layer.mask.copy_(right_mask(5))
    return layer(draw.normal(2, 4, 4))


@check("MultiHeadAttention")
def heads_change_nothing(attention, draw):
    """x, the mask and the random state stay as they were, a second call gives the same, two layers differ."""
    layer, x = filled_heads(attention, draw, 4, 6, 6, 0.1, 2).eval(), draw.normal(2, 4, 4)
    state = torch.get_rng_state()
    first, second = layer(x), layer(x)
    same = torch.equal(state, torch.get_rng_state())
    one, other = (attention.MultiHeadAttention(4, 6, 6, 0.1, 2) for _ in range(2))
    alike = torch.equal(one.W_key.weight, other.W_key.weight)
    kept = torch.equal(layer.mask.cpu(), right_mask(6))
    return {"x": x, "twice": [first, second], "random state": same, "mask": kept, "two layers alike": alike}
