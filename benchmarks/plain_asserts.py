"""Chapter 3's hidden checks as plain asserts, the way a teacher writes tests for pytest or a notebook.

Used by graders.py, which gives them to the other graders. One function for each hidden check, with its name
behind `test_`, on inputs of the same shapes. What plain asserts cannot see is not here: forbidden calls.
"""

import torch
from attention import (
    CausalAttention,
    MultiHeadAttention,
    SelfAttentionQKV,
    SelfAttentionWithoutQKV,
    causal_mask,
    prefix_mean_loop,
    prefix_mean_matmul,
    prefix_mean_softmax,
)
from torch.overrides import TorchFunctionMode

numbers = torch.Generator().manual_seed(2026)
MAPS = ("W_query", "W_key", "W_value")


def normal(*shape):
    return torch.randn(*shape, generator=numbers)


def fill(layer):
    """Random parameters, and the right mask if there is one: a wrong causal_mask costs only itself."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(normal(*parameter.shape) / parameter.shape[-1] ** 0.5)
        if hasattr(layer, "mask"):
            layer.mask.copy_(right_mask(len(layer.mask)))
    return layer


def pass_on(layer):
    """Let out_proj change nothing."""
    torch.nn.init.eye_(layer.out_proj.weight)
    torch.nn.init.zeros_(layer.out_proj.bias)
    return layer


def same(seen, expected, tolerance=1e-5):
    assert seen.shape == expected.shape and seen.dtype == expected.dtype
    assert torch.allclose(seen, expected, rtol=10 * tolerance, atol=tolerance)


def both_same(seen, expected):
    for one, other in zip(seen, expected, strict=True):
        same(one, other)


def refuses(function, *args):
    try:
        function(*args)
    except ValueError:
        return
    raise AssertionError("no ValueError")


class Calls(TorchFunctionMode):
    """The names of torch's functions that are called."""

    def __enter__(self):
        self.names = []
        return super().__enter__()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.names.append(function.__name__)
        return function(*args, **kwargs or {})


def uses_without_a_loop(function, wanted):
    with Calls() as short:
        function(normal(2, 3, 4))
    with Calls() as long:
        function(normal(2, 23, 4))
    assert len(long.names) <= len(short.names) + 5
    assert wanted & set(long.names)


def keeps_dtype(function):
    x = normal(2, 4, 3)
    same(function(x.double()), means(x.double()), 1e-9)
    assert function(x.half()).dtype == torch.float16


def changes_nothing(function, x):
    before = x.clone()
    first, second = function(x), function(x)
    same(first, second)
    assert torch.equal(x, before)


def keeps_random_state(layer, x):
    before, state = x.clone(), torch.get_rng_state()
    first, second = layer(x), layer(x)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(x, before)
    both_same(first, second) if isinstance(first, tuple) else same(first, second)


# ---- the right answers ----


def means(x):
    return torch.stack([x[:, : t + 1].mean(dim=1) for t in range(x.shape[1])], dim=1)


def right_mask(size):
    future = torch.ones(size, size, dtype=torch.bool).triu(1)
    return torch.zeros(size, size).masked_fill(future, float("-inf"))


def attend(queries, keys, values, mask=0.0):
    weights = (queries @ keys.mT / keys.shape[-1] ** 0.5 + mask).softmax(-1)
    return weights @ values, weights


def plain(x):
    weights = (x @ x.mT).softmax(-1)
    return weights @ x, weights


def qkv(layer, x):
    return attend(layer.W_query(x), layer.W_key(x), layer.W_value(x))


def head(layer, x):
    return attend(layer.W_query(x), layer.W_key(x), layer.W_value(x), right_mask(x.shape[1]))


def heads(layer, x, number):
    queries, keys, values = (getattr(layer, name)(x).chunk(number, dim=-1) for name in MAPS)
    mask = right_mask(x.shape[1])
    contexts = [attend(q, k, v, mask)[0] for q, k, v in zip(queries, keys, values, strict=True)]
    return layer.out_proj(torch.cat(contexts, dim=-1))


def same_gradients(layer, x, reference):
    """The gradients of a random mixture of the context, by way of the layer and of the right answer."""
    factors, found = None, []
    for function in (layer, reference):
        layer.zero_grad()
        x = x.detach().requires_grad_()
        context = function(x)
        context = context[0] if isinstance(context, tuple) else context
        factors = normal(*context.shape) if factors is None else factors
        (context * factors).sum().backward()
        found.append([x.grad] + [parameter.grad.clone() for parameter in layer.parameters()])
    both_same(*found)


def seeded(make, *sizes, d_in, d_out, last=None):
    """The layers are made in the stated order."""
    torch.manual_seed(77)
    layer = make(d_in, d_out, *sizes)
    bias = layer.W_query.bias is not None
    torch.manual_seed(77)
    wanted = [torch.nn.Linear(d_in, d_out, bias=bias) for _ in MAPS]
    for name, right in zip(MAPS, wanted, strict=True):
        same(getattr(layer, name).weight, right.weight)
    if last:
        same(getattr(layer, last).weight, torch.nn.Linear(d_out, d_out).weight)


def shapes(layer):
    return {name: tuple(parameter.shape) for name, parameter in layer.named_parameters()}


def maps(d_in, d_out, bias=False, out=False):
    wanted = {f"{name}.weight": (d_out, d_in) for name in MAPS}
    wanted |= {f"{name}.bias": (d_out,) for name in MAPS if bias}
    return wanted | ({"out_proj.weight": (d_out, d_out), "out_proj.bias": (d_out,)} if out else {})


def has_a_right_mask(layer, size):
    mask = dict(layer.named_buffers())["mask"]
    assert torch.equal(mask, right_mask(size)) or torch.allclose(mask, causal_mask(size), equal_nan=True)


def cannot_see_the_future(layer):
    x, t = normal(2, 8, 4), 4
    other = torch.cat([x[:, :t], normal(2, 8 - t, 4)], dim=1)
    before, after = layer(x), layer(other)
    if isinstance(before, tuple):
        before, after = before[0], after[0]
    same(before[:, :t], after[:, :t])
    assert (before - after)[:, t:].abs().min() > 0


# ---- prefix_mean_loop ----


def test_loop_values():
    x = normal(3, 5, 4)
    same(prefix_mean_loop(x)[:, 1:], means(x)[:, 1:])


def test_loop_first_position():
    x = normal(2, 3, 2)
    same(prefix_mean_loop(x)[:, 0], x[:, 0])
    same(prefix_mean_loop(x[:, :1]), x[:, :1])


def test_loop_dtypes():
    keeps_dtype(prefix_mean_loop)


def test_loop_changes_nothing():
    changes_nothing(prefix_mean_loop, normal(2, 4, 3))


def test_loop_batch_independence():
    x = normal(3, 4, 2)
    same(prefix_mean_loop(x)[2], prefix_mean_loop(x[2:])[0])


# ---- prefix_mean_matmul ----


def test_matmul_values():
    x = normal(3, 6, 4)
    same(prefix_mean_matmul(x), means(x))


def test_matmul_square_input():
    for x in (normal(4, 4, 4), normal(2, 1, 3)):
        same(prefix_mean_matmul(x), means(x))


def test_matmul_dtypes():
    keeps_dtype(prefix_mean_matmul)


def test_matmul_changes_nothing():
    changes_nothing(prefix_mean_matmul, normal(2, 4, 3))


def test_matmul_work():
    products = {"matmul", "__matmul__", "mm", "bmm", "einsum", "linear", "tensordot"}
    uses_without_a_loop(prefix_mean_matmul, products)


# ---- causal_mask ----


def test_mask_values():
    for size in (3, 8):
        same(causal_mask(size), right_mask(size))


def test_mask_counts():
    mask = causal_mask(6)
    assert (mask == 0).sum() == 21 and (mask == float("-inf")).sum() == 15
    assert mask.shape == (6, 6) and mask.dtype == torch.float32


def test_mask_small_sizes():
    for size in (1, 2):
        same(causal_mask(size), right_mask(size))


def test_mask_is_made_anew():
    causal_mask(5).fill_(5.0)
    same(causal_mask(5), right_mask(5))


# ---- prefix_mean_softmax ----


def test_softmax_values():
    x = normal(3, 6, 4)
    same(prefix_mean_softmax(x), means(x))


def test_softmax_square_input():
    x = normal(4, 4, 4)
    same(prefix_mean_softmax(x), means(x))
    same(prefix_mean_softmax(x[:, :1]), x[:, :1])


def test_softmax_dtypes():
    keeps_dtype(prefix_mean_softmax)


def test_softmax_changes_nothing():
    changes_nothing(prefix_mean_softmax, normal(2, 4, 3))


def test_softmax_work():
    uses_without_a_loop(prefix_mean_softmax, {"softmax", "exp"})


# ---- SelfAttentionWithoutQKV ----


def test_plain_weights():
    x = normal(2, 5, 4)
    same(SelfAttentionWithoutQKV()(x)[1], plain(x)[1])


def test_plain_context():
    x = normal(2, 5, 3)
    same(SelfAttentionWithoutQKV()(x)[0], plain(x)[0])
    same(SelfAttentionWithoutQKV()(x[1])[0], plain(x[1])[0])


def test_plain_square_and_short():
    x = normal(4, 4, 4)
    both_same(SelfAttentionWithoutQKV()(x), plain(x))
    both_same(SelfAttentionWithoutQKV()(x[:, :1]), plain(x[:, :1]))


def test_plain_float64():
    x = normal(2, 3, 4).double()
    both_same(SelfAttentionWithoutQKV()(x), plain(x))


def test_plain_has_no_order():
    x, order = normal(1, 5, 3), torch.randperm(5, generator=numbers)
    layer = SelfAttentionWithoutQKV()
    same(layer(x[:, order])[0], layer(x)[0][:, order])


def test_plain_changes_nothing():
    layer = SelfAttentionWithoutQKV()
    keeps_random_state(layer, normal(2, 3, 4))
    assert shapes(layer) == {}


def test_plain_gradient():
    x, one, other = normal(2, 3, 4), normal(2, 3, 4), normal(2, 3, 3)
    found = []
    for function in (SelfAttentionWithoutQKV(), plain):
        x = x.detach().requires_grad_()
        context, weights = function(x)
        ((context * one).sum() + (weights * other).sum()).backward()
        found.append(x.grad)
    same(*found)


# ---- SelfAttentionQKV ----


def test_qkv_parts():
    assert shapes(SelfAttentionQKV(5, 7)) == maps(5, 7)


def test_qkv_weights():
    layer, x = fill(SelfAttentionQKV(5, 3)), 3 * normal(2, 6, 5)
    same(layer(x)[1], qkv(layer, x)[1])


def test_qkv_context():
    layer, x = fill(SelfAttentionQKV(4, 6)), normal(3, 5, 4)
    for part in (x, x[2], x[:, :1]):
        same(layer(part)[0], qkv(layer, part)[0])


def test_qkv_square():
    layer, x = fill(SelfAttentionQKV(4, 4)), 3 * normal(4, 4, 4)
    both_same(layer(x), qkv(layer, x))


def test_qkv_scaling():
    layer, x = fill(SelfAttentionQKV(48, 32)), normal(1, 6, 48)
    same(layer(x)[1].amax(-1), qkv(layer, x)[1].amax(-1))


def test_qkv_gradients():
    layer = fill(SelfAttentionQKV(4, 3))
    same_gradients(layer, normal(2, 5, 4), lambda x: qkv(layer, x))


def test_qkv_seeded():
    seeded(SelfAttentionQKV, d_in=4, d_out=3)


def test_qkv_changes_nothing():
    keeps_random_state(fill(SelfAttentionQKV(4, 3)), normal(2, 4, 4))
    assert not torch.equal(SelfAttentionQKV(4, 3).W_query.weight, SelfAttentionQKV(4, 3).W_query.weight)


# ---- CausalAttention ----


def test_head_parts():
    layer = CausalAttention(5, 7, 7, 0.1)
    assert shapes(layer) == maps(5, 7)
    assert shapes(CausalAttention(5, 7, 7, 0.1, qkv_bias=True)) == maps(5, 7, bias=True)
    has_a_right_mask(layer, 7)


def test_head_weights():
    layer, x = fill(CausalAttention(5, 3, 6, 0.0, qkv_bias=True)), 3 * normal(2, 6, 5)
    same(layer(x)[1], head(layer, x)[1])


def test_head_context():
    layer, x = fill(CausalAttention(4, 6, 8, 0.0)), normal(3, 8, 4)
    both_same(layer(x), head(layer, x))


def test_head_square():
    layer, x = fill(CausalAttention(4, 4, 4, 0.0)), 3 * normal(4, 4, 4)
    both_same(layer(x), head(layer, x))


def test_head_cannot_see_the_future():
    cannot_see_the_future(fill(CausalAttention(4, 3, 8, 0.0)).eval())


def test_head_lengths():
    layer, x = fill(CausalAttention(4, 3, 5, 0.0)), normal(2, 6, 4)
    for T in range(1, 6):
        both_same(layer(x[:, :T]), head(layer, x[:, :T]))
    refuses(layer, x)


def test_head_evaluation():
    layer, x = fill(CausalAttention(4, 3, 8, dropout=0.75)).eval(), normal(2, 8, 4)
    both_same(layer(x), head(layer, x))
    both_same(layer(x), layer(x))


def test_head_dropout_on_weights():
    torch.manual_seed(1)
    layer, x = fill(CausalAttention(4, 3, 16, dropout=0.5)), normal(6, 16, 4)
    context, weights = layer.train()(x)
    again, _ = layer(x)
    full = layer.eval()(x)[1]
    factors = (weights / full)[full > 1e-6].round(decimals=2).unique()
    assert factors.tolist() == [0.0, 2.0]
    same(context, weights @ layer.W_value(x))
    assert not torch.equal(context, again)
    last = weights[:, -1] == 0
    assert (last.any(dim=1) & ~last.all(dim=1)).any()


def test_head_dropout_share():
    torch.manual_seed(2)
    layer = fill(CausalAttention(4, 3, 32, dropout=0.25)).train()
    below = layer(normal(8, 32, 4))[1][:, torch.ones(32, 32).tril() == 1]
    assert 0.2 < (below == 0).float().mean() < 0.3


def test_head_gradients():
    layer = fill(CausalAttention(4, 3, 5, 0.0, qkv_bias=True))
    same_gradients(layer, normal(2, 5, 4), lambda x: head(layer, x))


def test_head_seeded():
    seeded(CausalAttention, 5, 0.0, True, d_in=4, d_out=3)


def test_head_changes_nothing():
    layer = fill(CausalAttention(4, 3, 6, 0.1)).eval()
    keeps_random_state(layer, normal(2, 4, 4))
    assert torch.equal(layer.mask, right_mask(6))
    one, other = CausalAttention(4, 3, 6, 0.1), CausalAttention(4, 3, 6, 0.1)
    assert not torch.equal(one.W_key.weight, other.W_key.weight)


# ---- MultiHeadAttention ----


def test_heads_parts():
    layer = MultiHeadAttention(5, 12, 6, 0.1, 3)
    assert shapes(layer) == maps(5, 12, out=True)
    assert shapes(MultiHeadAttention(5, 12, 6, 0.1, 3, qkv_bias=True)) == maps(5, 12, bias=True, out=True)
    assert (layer.num_heads, layer.head_dim) == (3, 4)
    has_a_right_mask(layer, 6)


def test_heads_uneven_width():
    for width in (5, 3, 9):
        refuses(MultiHeadAttention, 4, width, 4, 0.0, 4)
    MultiHeadAttention(4, 8, 4, 0.0, 4)


def test_heads_apart():
    layer, x = pass_on(fill(MultiHeadAttention(5, 12, 8, 0.0, num_heads=3))), 3 * normal(2, 7, 5)
    same(layer(x), heads(layer, x, 3))


def test_heads_together():
    layer, x = fill(MultiHeadAttention(4, 6, 8, 0.0, num_heads=2, qkv_bias=True)), 3 * normal(3, 8, 4)
    same(layer(x), heads(layer, x, 2))


def test_heads_square():
    layer, x = fill(MultiHeadAttention(4, 16, 4, 0.0, num_heads=4)), 3 * normal(4, 4, 4)
    same(layer(x), heads(layer, x, 4))


def test_heads_one_or_all():
    x = 3 * normal(2, 5, 4)
    for number in (1, 6):
        layer = fill(MultiHeadAttention(4, 6, 5, 0.0, num_heads=number))
        same(layer(x), heads(layer, x, number))


def test_heads_cannot_see_the_future():
    cannot_see_the_future(fill(MultiHeadAttention(4, 6, 8, 0.0, num_heads=2)).eval())


def test_heads_lengths():
    layer, x = fill(MultiHeadAttention(4, 6, 5, 0.0, num_heads=3)), normal(2, 6, 4)
    for T in range(1, 6):
        same(layer(x[:, :T]), heads(layer, x[:, :T], 3))
    refuses(layer, x)


def test_heads_batch_independence():
    layer, x = fill(MultiHeadAttention(4, 6, 5, 0.0, num_heads=2)), normal(3, 5, 4)
    same(layer(x)[1], layer(x[1:2])[0])


def test_heads_evaluation():
    layer, x = fill(MultiHeadAttention(4, 6, 8, dropout=0.75, num_heads=2)).eval(), normal(2, 8, 4)
    same(layer(x), heads(layer, x, 2))
    same(layer(x), layer(x))


def test_heads_dropout_on_weights():
    torch.manual_seed(3)
    layer = pass_on(fill(MultiHeadAttention(4, 6, 8, dropout=0.5, num_heads=3))).train()
    x = normal(60, 2, 4)
    factors = (layer(x) / layer.W_value(x))[:, 0].view(60, 3, 2).round(decimals=2)
    assert factors.unique().tolist() == [0.0, 2.0]
    assert (factors.amin(dim=2) == factors.amax(dim=2)).all()
    assert not (factors.amin(dim=1) == factors.amax(dim=1)).all()


def test_heads_dropout_one_by_one():
    torch.manual_seed(4)
    layer = pass_on(fill(MultiHeadAttention(4, 6, 8, dropout=0.5, num_heads=3))).train()
    x = normal(20, 1, 4).expand(20, 8, 4)
    kept = (layer(x) / layer.W_value(x))[:, -1] * 8 * 0.5
    assert (kept - kept.round()).abs().max() < 1e-2
    assert ((kept > 0.5) & (kept < 7.5)).any()


def test_heads_dropout_share():
    torch.manual_seed(5)
    layer = pass_on(fill(MultiHeadAttention(4, 8, 4, dropout=0.25, num_heads=4))).train()
    assert 0.2 < (layer(normal(1000, 1, 4))[:, 0, ::2] == 0).float().mean() < 0.3


def test_heads_gradients():
    layer = fill(MultiHeadAttention(4, 6, 5, 0.0, num_heads=2, qkv_bias=True))
    same_gradients(layer, normal(2, 5, 4), lambda x: heads(layer, x, 2))


def test_heads_seeded():
    seeded(MultiHeadAttention, 5, 0.0, 2, True, d_in=4, d_out=6, last="out_proj")


def test_heads_change_nothing():
    layer = fill(MultiHeadAttention(4, 6, 6, 0.1, 2)).eval()
    keeps_random_state(layer, normal(2, 4, 4))
    assert torch.equal(layer.mask, right_mask(6))
    one, other = MultiHeadAttention(4, 6, 6, 0.1, 2), MultiHeadAttention(4, 6, 6, 0.1, 2)
    assert not torch.equal(one.W_key.weight, other.W_key.weight)
