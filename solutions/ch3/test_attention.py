"""The public checks of chapter 3, in the order of attention.py. Run them with `pytest exercises/ch3`.

To try a check in a Python shell, in the folder that holds exercises/:

    from exercises.ch3 import attention; from exercises.ch3.test_attention import *
    from grader.draw import Draw; from grader.seeds import seed_for
    draw = Draw(seed_for("public", "ch3", "loop_second_position"))

Then `loop_second_position.function(attention, draw)` is what your code gives. `draw` makes
the inputs, `draw.fill(module)` sets a module's parameters; the README tells of `operators`,
`steps` and `folder`.
"""

import torch
from torch import nn

from grader.checks import check

SHARED = ("JOURNEY", "MAPS", "PRODUCTS", "kinds", "refusal", "shapes")

# "Your journey starts with one step"
JOURNEY = [
    [0.43, 0.15, 0.89],
    [0.55, 0.87, 0.66],
    [0.57, 0.85, 0.64],
    [0.22, 0.58, 0.33],
    [0.77, 0.25, 0.10],
    [0.05, 0.80, 0.55],
]
MAPS = ("W_query", "W_key", "W_value")
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
    """Every parameter's shape, by name."""
    return {name: tuple(parameter.shape) for name, parameter in layer.named_parameters()}


def kinds(layer, *names):
    """The type of each of these parts."""
    parts = {name: getattr(layer, name, None) for name in names}
    is_linear = {name: isinstance(part, nn.Linear) for name, part in parts.items()}
    return {name: "nn.Linear" if is_linear[name] else type(part).__name__ for name, part in parts.items()}


def refusal(function, *args):
    """How a call is refused: by a ValueError, or by another exception; that one is told in words."""
    try:
        function(*args)
    except NotImplementedError:
        raise
    except ValueError:
        return "ValueError"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


# ---- prefix_mean_loop ----


@check("prefix_mean_loop", forbidden=RUNNING)
def loop_second_position(attention, draw):
    """The second position gets the mean of the first two, each column by itself."""
    x = draw.tensor([[[2.0, 20.0], [4.0, 40.0], [9.0, 90.0], [5.0, 50.0]]])
    return attention.prefix_mean_loop(x)[0, 1]


@check("prefix_mean_loop", needs="loop_second_position", forbidden=RUNNING)
def loop_worked_example(attention, draw):
    """The example of the docstring: 2, 4, 9 become 2, 3, 5."""
    return attention.prefix_mean_loop(draw.tensor([[[2.0], [4.0], [9.0]]]))


@check("prefix_mean_loop", needs="loop_worked_example")
def loop_over_a_batch(attention, draw):
    """Every sequence of a batch is averaged by itself, and x stays as it was."""
    x = draw.normal(3, 4, 2)
    y = attention.prefix_mean_loop(x)
    return {"y": y, "x afterwards": x}


@check("prefix_mean_loop", needs="loop_worked_example")
def loop_keeps_the_dtype(attention, draw):
    """Float64 in, float64 out."""
    return attention.prefix_mean_loop(draw.normal(1, 5, 2).double())


# ---- prefix_mean_matmul ----


@check("prefix_mean_matmul", forbidden=RUNNING)
def matmul_worked_example(attention, draw):
    """The example of the docstring: 2, 4, 9 become 2, 3, 5."""
    return attention.prefix_mean_matmul(draw.tensor([[[2.0], [4.0], [9.0]]]))


@check("prefix_mean_matmul", forbidden=RUNNING)
def matmul_shows_its_weights(attention, draw):
    """Unit vectors go in, so the weights A themselves come out: row t holds 1 / (t + 1) up to column t."""
    x = torch.eye(4, device=draw.device).unsqueeze(0)
    return attention.prefix_mean_matmul(x)[0]


@check("prefix_mean_matmul", needs=("matmul_worked_example", "matmul_shows_its_weights"))
def matmul_over_a_batch(attention, draw):
    """A batch of sequences in float64: the same means, still in float64."""
    return attention.prefix_mean_matmul(draw.normal(3, 5, 2).double())


@check("prefix_mean_matmul", needs="matmul_worked_example")
def matmul_instead_of_a_loop(attention, draw, operators):
    """A matrix product does the work: 30 positions take as many torch calls as 3."""
    short, long = draw.normal(2, 3, 4), draw.normal(2, 30, 4)
    with operators:
        attention.prefix_mean_matmul(short)
    calls_for_3 = operators.total
    with operators:
        attention.prefix_mean_matmul(long)
    more = operators.total - 2 * calls_for_3
    return {"calls more for 30 positions": more, "a matrix product": operators.count(*PRODUCTS) > 0}


# ---- causal_mask ----


@check("causal_mask", forbidden=READY_MASKS)
def mask_worked_example(attention):
    """The example of the docstring: a position may look at itself and at what came before it."""
    return attention.causal_mask(3)


@check("causal_mask", needs="mask_worked_example", forbidden=READY_MASKS)
def mask_of_any_size(attention):
    """One position may look at itself; a larger mask goes on in the same way."""
    return [attention.causal_mask(1), attention.causal_mask(6)]


# ---- prefix_mean_softmax ----


@check("prefix_mean_softmax", needs="mask_worked_example", forbidden=RUNNING)
def softmax_worked_example(attention, draw):
    """The example of the docstring: 2, 4, 9 become 2, 3, 5."""
    return attention.prefix_mean_softmax(draw.tensor([[[2.0], [4.0], [9.0]]]))


@check("prefix_mean_softmax", needs="mask_worked_example", forbidden=RUNNING)
def softmax_shows_its_weights(attention, draw):
    """Unit vectors go in, so the weights come out: each row is shared evenly over the past, and sums to 1."""
    x = torch.eye(4, device=draw.device).unsqueeze(0)
    return attention.prefix_mean_softmax(x)[0]


@check("prefix_mean_softmax", needs=("softmax_worked_example", "softmax_shows_its_weights"))
def softmax_over_a_batch(attention, draw):
    """A batch of sequences in float64: the same means, still in float64."""
    return attention.prefix_mean_softmax(draw.normal(3, 5, 2).double())


@check("prefix_mean_softmax", needs="softmax_worked_example")
def softmax_makes_the_weights(attention, draw, operators):
    """The weights come from a softmax, without a loop: 30 positions take as many torch calls as 3."""
    short, long = draw.normal(2, 3, 4), draw.normal(2, 30, 4)
    with operators:
        attention.prefix_mean_softmax(short)
    calls_for_3 = operators.total
    with operators:
        attention.prefix_mean_softmax(long)
    more = operators.total - 2 * calls_for_3
    return {"calls more for 30 positions": more, "a softmax": operators.count("softmax", "exp") > 0}


# ---- SelfAttentionWithoutQKV ----


@check("SelfAttentionWithoutQKV", forbidden=READY_ATTENTION)
def journey_weights(attention, draw):
    """How much "journey" takes from each of the six words: 0.1385, 0.2379, …"""
    _, weights = attention.SelfAttentionWithoutQKV()(draw.tensor(JOURNEY))
    return weights[1]


@check("SelfAttentionWithoutQKV", forbidden=READY_ATTENTION)
def rows_of_weights_sum_to_one(attention, draw):
    """The weights of a position, one row, sum to 1: what it takes is a mean."""
    _, weights = attention.SelfAttentionWithoutQKV()(draw.normal(2, 4, 3))
    return weights.sum(dim=-1)


@check("SelfAttentionWithoutQKV", needs="journey_weights", forbidden=READY_ATTENTION)
def journey_contexts(attention, draw):
    """The six vectors, each mixed by its row of weights: the first is 0.4421, 0.5931, 0.5790."""
    context, weights = attention.SelfAttentionWithoutQKV()(draw.tensor(JOURNEY))
    return {"context": context, "weights": weights}


@check("SelfAttentionWithoutQKV", needs=("journey_contexts", "rows_of_weights_sum_to_one"))
def sequences_of_a_batch_do_not_mix(attention, draw):
    """A batch (B, T, C) gives what each of its sequences (T, C) gives alone."""
    layer, x = attention.SelfAttentionWithoutQKV(), draw.normal(2, 4, 3)
    together, alone = layer(x), layer(x[1])
    return {"together": together, "the second alone": alone}


# ---- SelfAttentionQKV ----


@check("SelfAttentionQKV")
def qkv_has_three_maps(attention):
    """W_query, W_key and W_value are nn.Linear from d_in to d_out, without bias; there is nothing else."""
    layer = attention.SelfAttentionQKV(d_in=6, d_out=4)
    return {"kinds": kinds(layer, *MAPS), "shapes": shapes(layer)}


@check("SelfAttentionQKV", needs="qkv_has_three_maps", forbidden=READY_ATTENTION)
def qkv_weights(attention, draw):
    """Row t of the weights: the query of position t against every key, scaled, then a softmax."""
    layer = draw.fill(attention.SelfAttentionQKV(d_in=6, d_out=4))
    _, weights = layer(3 * draw.normal(5, 6))
    return weights


@check("SelfAttentionQKV", needs="qkv_weights", forbidden=READY_ATTENTION)
def qkv_context(attention, draw):
    """The context is the values, mixed by the weights; a batch of two sequences."""
    layer = draw.fill(attention.SelfAttentionQKV(d_in=6, d_out=4))
    context, weights = layer(draw.normal(2, 5, 6))
    return {"context": context, "weights": weights}


@check("SelfAttentionQKV", needs="qkv_has_three_maps")
def qkv_after_seed_123(attention, draw):
    """The maps made in the order query, key, value after seed 123: the first row is −0.5337, −0.1051."""
    torch.manual_seed(123)
    layer = attention.SelfAttentionQKV(d_in=3, d_out=2).to(draw.device)
    context, _ = layer(draw.tensor(JOURNEY))
    return {"W_query": layer.W_query.weight, "context": context}


# ---- CausalAttention ----


@check("CausalAttention", needs="mask_worked_example")
def head_has_its_parts(attention):
    """W_query, W_key and W_value are nn.Linear, with a bias only if qkv_bias says so; `mask` is a buffer."""
    plain = attention.CausalAttention(d_in=6, d_out=4, context_length=8, dropout=0.1)
    biased = attention.CausalAttention(d_in=6, d_out=4, context_length=8, dropout=0.1, qkv_bias=True)
    mask = dict(plain.named_buffers()).get("mask")
    return {
        "kinds": kinds(plain, *MAPS),
        "plain": shapes(plain),
        "qkv_bias": shapes(biased),
        "mask": mask,
    }


@check("CausalAttention", needs="head_has_its_parts", forbidden=READY_ATTENTION)
def future_positions_get_no_weight(attention, draw):
    """A token attends to itself and to what came before it, never to what comes after."""
    layer = draw.fill(attention.CausalAttention(d_in=6, d_out=4, context_length=6, dropout=0.0))
    _, weights = layer(3 * draw.normal(1, 6, 6))
    return weights[0]


@check("CausalAttention", needs="future_positions_get_no_weight")
def head_after_seed_123(attention, draw):
    """Two copies of the journey after seed 123: the second row of weights begins with 0.4833, 0.5167."""
    torch.manual_seed(123)
    layer = attention.CausalAttention(d_in=3, d_out=2, context_length=6, dropout=0.0).to(draw.device)
    context, weights = layer(draw.tensor([JOURNEY, JOURNEY]))
    return {"weights": weights, "context": context}


@check("CausalAttention", needs="future_positions_get_no_weight")
def head_takes_any_length_up_to_the_context(attention, draw):
    """Sequences shorter than context_length work, down to a single position."""
    layer = draw.fill(attention.CausalAttention(d_in=3, d_out=4, context_length=5, dropout=0.0))
    x = draw.normal(2, 5, 3)
    return {"4 positions": layer(x[:, :4]), "1 position": layer(x[:, :1])}


@check("CausalAttention", needs="future_positions_get_no_weight")
def head_dropout_rests_in_evaluation(attention, draw):
    """In evaluation dropout does nothing, so the same input gives the same result."""
    layer = draw.fill(attention.CausalAttention(d_in=3, d_out=4, context_length=8, dropout=0.5)).eval()
    x = draw.normal(2, 8, 3)
    (first, weights), (second, _) = layer(x), layer(x)
    later = torch.ones_like(weights).triu(1) == 1
    return {
        "twice the same": torch.equal(first, second),
        "only later ones get 0": torch.equal(weights == 0, later),
    }


@check("CausalAttention", needs="head_dropout_rests_in_evaluation")
def head_dropout_falls_on_the_weights(attention, draw):
    """While training at 0.5, each weight becomes 0 or twice itself, and those weights mix the values."""
    layer = draw.fill(attention.CausalAttention(d_in=3, d_out=4, context_length=12, dropout=0.5))
    x = draw.normal(2, 12, 3)
    context, weights = layer.train()(x)
    plain = layer.eval()(x)[1]
    factors = (weights / plain)[plain > 0].round(decimals=3).unique()
    return {"factors": factors, "context less weights × values": context - weights @ layer.W_value(x)}


@check("CausalAttention", needs="head_takes_any_length_up_to_the_context")
def head_refuses_longer_sequences(attention, draw):
    """More positions than context_length are a ValueError."""
    layer = draw.fill(attention.CausalAttention(d_in=3, d_out=4, context_length=5, dropout=0.0))
    return refusal(layer, draw.normal(2, 6, 3))


# ---- MultiHeadAttention ----


@check("MultiHeadAttention", needs="mask_worked_example")
def heads_have_their_parts(attention):
    """W_query, W_key, W_value and out_proj are nn.Linear, out_proj always with a bias; `mask` is a buffer."""
    layer = attention.MultiHeadAttention(d_in=6, d_out=8, context_length=5, dropout=0.1, num_heads=2)
    biased = attention.MultiHeadAttention(6, 8, 5, 0.1, num_heads=2, qkv_bias=True)
    return {
        "kinds": kinds(layer, *MAPS, "out_proj"),
        "plain": shapes(layer),
        "qkv_bias": shapes(biased),
        "mask": dict(layer.named_buffers()).get("mask"),
        "num_heads, head_dim": [layer.num_heads, layer.head_dim],
    }


@check("MultiHeadAttention", needs="heads_have_their_parts", forbidden=READY_ATTENTION)
def heads_attend_by_themselves(attention, draw):
    """Before out_proj (here it passes everything on): head 1 in columns 0 to 2, head 2 in columns 3 to 5."""
    layer = draw.fill(attention.MultiHeadAttention(4, 6, 8, 0.0, num_heads=2))
    nn.init.eye_(layer.out_proj.weight)
    nn.init.zeros_(layer.out_proj.bias)
    return layer(3 * draw.normal(1, 5, 4))[0]


@check("MultiHeadAttention", needs="heads_attend_by_themselves", forbidden=READY_ATTENTION)
def heads_are_mixed_at_the_end(attention, draw):
    """The heads' results, side by side, go through out_proj, weight and bias; a batch of two."""
    layer = draw.fill(attention.MultiHeadAttention(4, 6, 8, 0.0, num_heads=3, qkv_bias=True))
    return layer(draw.normal(2, 5, 4))


@check("MultiHeadAttention", needs="heads_are_mixed_at_the_end")
def heads_after_seed_123(attention, draw):
    """The layers made in the stated order after seed 123: the first row is 0.3190, 0.4858."""
    torch.manual_seed(123)
    layer = attention.MultiHeadAttention(3, 2, context_length=6, dropout=0.0, num_heads=2).to(draw.device)
    return layer(draw.tensor([JOURNEY]))


@check("MultiHeadAttention", needs="heads_attend_by_themselves")
def heads_dropout(attention, draw):
    """Dropout falls on attention weights while training, and rests in evaluation.

    A single position has one weight in each head, 1. At 0.5 it becomes 0 or 2, and with it all that the head
    brings.
    """
    layer = draw.fill(attention.MultiHeadAttention(4, 6, 8, 0.5, num_heads=2))
    nn.init.eye_(layer.out_proj.weight)
    nn.init.zeros_(layer.out_proj.bias)
    x = draw.normal(50, 1, 4)
    values = layer.W_value(x)
    evaluation = (layer.eval()(x) / values).round(decimals=3)
    training = (layer.train()(x) / values).round(decimals=3).view(50, 2, 3)
    alike = bool((training == training[:, :, :1]).all())
    return {"evaluation": evaluation.unique(), "training": training.unique(), "a head's columns alike": alike}


@check("MultiHeadAttention", needs="heads_are_mixed_at_the_end")
def heads_refuse_what_cannot_be(attention, draw):
    """A width of 7 for 2 heads is a ValueError, and so are 6 positions for a context of 5."""
    layer = attention.MultiHeadAttention(4, 6, context_length=5, dropout=0.0, num_heads=2).to(draw.device)
    width = refusal(attention.MultiHeadAttention, 4, 7, 5, 0.0, 2)
    return {"width 7": width, "6 positions": refusal(layer, draw.normal(2, 6, 4))}
