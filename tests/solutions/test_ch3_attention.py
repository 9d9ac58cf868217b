"""Chapter 3 against the sources' figures, torch's own attention, and what causality means."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from solutions.ch3.attention import (
    CausalAttention,
    MultiHeadAttention,
    SelfAttentionQKV,
    SelfAttentionWithoutQKV,
    causal_mask,
    prefix_mean_loop,
    prefix_mean_matmul,
    prefix_mean_softmax,
)

# "Your journey starts with one step"
JOURNEY = torch.tensor(
    [
        [0.43, 0.15, 0.89],
        [0.55, 0.87, 0.66],
        [0.57, 0.85, 0.64],
        [0.22, 0.58, 0.33],
        [0.77, 0.25, 0.10],
        [0.05, 0.80, 0.55],
    ]
)
SEEDED_CONTEXT = [  # of Linear query, key, value 3 -> 2 after seed 123, no mask
    [-0.5337, -0.1051],
    [-0.5323, -0.1080],
    [-0.5323, -0.1079],
    [-0.5297, -0.1076],
    [-0.5311, -0.1066],
    [-0.5299, -0.1081],
]


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before():
    torch.manual_seed(0)


def to_printed_digits(actual, figures, digits=4):
    """Equal once rounded as the figures are printed."""
    figures = torch.tensor(figures)
    assert actual.shape == figures.shape
    torch.testing.assert_close(actual.detach(), figures, rtol=0, atol=0.51 * 10**-digits)


# prefix means and the mask

PREFIX_MEANS = [prefix_mean_loop, prefix_mean_matmul, prefix_mean_softmax]


@pytest.mark.parametrize("prefix_mean", PREFIX_MEANS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 3), (4, 33, 5)])
def test_prefix_means_are_running_sums_over_counts(prefix_mean, dtype, shape):
    x = torch.randn(shape, dtype=dtype)
    before = x.clone()
    expected = x.double().cumsum(dim=1) / torch.arange(1, shape[1] + 1).view(-1, 1)
    y = prefix_mean(x)
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-13)
    assert torch.equal(x, before)


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_mask_is_0_up_to_the_diagonal_and_minus_infinity_after_it(size):
    mask = causal_mask(size)
    expected = torch.tensor([[0.0 if s <= t else -torch.inf for s in range(size)] for t in range(size)])
    assert mask.dtype == torch.float32
    assert torch.equal(mask, expected)


# attention without weights


def test_journey_attends_as_published():
    context, weights = SelfAttentionWithoutQKV()(JOURNEY)
    to_printed_digits(weights[1], [0.1385, 0.2379, 0.2333, 0.1240, 0.1082, 0.1581])
    to_printed_digits(
        context,
        [
            [0.4421, 0.5931, 0.5790],
            [0.4419, 0.6515, 0.5683],
            [0.4431, 0.6496, 0.5671],
            [0.4304, 0.6298, 0.5510],
            [0.4671, 0.5910, 0.5266],
            [0.4177, 0.6503, 0.5645],
        ],
    )


def test_attention_without_weights_is_torchs_own_unscaled():
    x = torch.randn(3, 10, 4)
    context, weights = SelfAttentionWithoutQKV()(x)
    torch.testing.assert_close(context, F.scaled_dot_product_attention(x, x, x, scale=1.0))
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 10))
    assert list(SelfAttentionWithoutQKV().parameters()) == []


# query, key, value


def test_seeded_context_vectors_are_as_published():
    torch.manual_seed(123)
    layer = SelfAttentionQKV(d_in=3, d_out=2)
    context, _ = layer(JOURNEY)
    to_printed_digits(context, SEEDED_CONTEXT)
    scores = layer.W_query(JOURNEY[1]) @ layer.W_key(JOURNEY).T
    to_printed_digits(scores[2], 0.26, digits=2)
    to_printed_digits(scores / 2**0.5, [0.12, 0.18, 0.18, 0.10, 0.10, 0.13], digits=2)


@pytest.mark.parametrize("shape", [(6, 5), (3, 6, 5)])
def test_attention_is_torchs_own(shape):
    x = torch.randn(shape)
    layer = SelfAttentionQKV(d_in=5, d_out=8)
    context, weights = layer(x)
    values = layer.W_value(x)
    expected = F.scaled_dot_product_attention(layer.W_query(x), layer.W_key(x), values)
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(weights @ values, expected)
    assert [name for name, _ in layer.named_parameters()] == [
        "W_query.weight",
        "W_key.weight",
        "W_value.weight",
    ]


@pytest.mark.parametrize("d", [5, 100])
def test_variance_of_a_dot_product_is_its_dimension_and_1_once_scaled(d):
    """Scores read back from the attention weights: log w[t, s] − log w[t, r] is a difference of two."""
    x = torch.randn(10_000, 3, d, dtype=torch.float64)  # a query and two keys
    layer = SelfAttentionQKV(d, d).double()
    for linear in (layer.W_query, layer.W_key):
        linear.weight.data = torch.eye(d).double()
    _, weights = layer(x)
    difference = weights[:, 0, 1].log() - weights[:, 0, 2].log()
    assert difference.var().item() / 2 == pytest.approx(1, rel=0.06)

    raw = (x[:, 0] * x[:, 1]).sum(dim=-1)
    assert raw.var().item() == pytest.approx(d, rel=0.06)


def test_softmax_sharpens_as_published():
    scores = torch.tensor([0.1, -0.2, 0.3, -0.2, 0.5])
    to_printed_digits(scores.softmax(dim=0), [0.1925, 0.1426, 0.2351, 0.1426, 0.2872])
    to_printed_digits((8 * scores).softmax(dim=0), [0.0326, 0.0030, 0.1615, 0.0030, 0.8000])

    # the same numbers out of the layer: rows whose products with the first row are these scores
    rows = torch.tensor([[0.5, 0.0], [0.1, 1.0], [-0.2, 1.0], [0.3, 1.0], [-0.2, 2.0]])
    rows[:, 0] /= 0.5**0.5
    order = [0.2872, 0.1925, 0.1426, 0.2351, 0.1426], [0.8000, 0.0326, 0.0030, 0.1615, 0.0030]
    for factor, figures in zip((1, 8), order, strict=True):
        _, weights = SelfAttentionWithoutQKV()(rows * factor**0.5)
        to_printed_digits(weights[0], figures)


# causal attention


def test_seeded_causal_weights_and_contexts_are_as_published():
    torch.manual_seed(123)
    head = CausalAttention(d_in=3, d_out=2, context_length=6, dropout=0.0)
    context, weights = head(torch.stack([JOURNEY, JOURNEY]))
    rows = [
        [1],
        [0.4833, 0.5167],
        [0.3190, 0.3408, 0.3402],
        [0.2445, 0.2545, 0.2542, 0.2468],
        [0.1994, 0.2060, 0.2058, 0.1935, 0.1953],
        [0.1624, 0.1709, 0.1706, 0.1654, 0.1625, 0.1682],
    ]
    to_printed_digits(weights[0], [row + [0] * (6 - len(row)) for row in rows])
    to_printed_digits(weights[0, 1, :2], [0.48326987, 0.51673013], digits=8)
    to_printed_digits(
        context[0],
        [
            [-0.4519, 0.2216],
            [-0.5874, 0.0058],
            [-0.6300, -0.0632],
            [-0.5675, -0.0843],
            [-0.5526, -0.0981],
            [-0.5299, -0.1081],
        ],
    )
    assert torch.equal(weights[0], weights[1]) and torch.equal(context[0], context[1])


@pytest.mark.parametrize("T", [1, 2, 7, 12])
@pytest.mark.parametrize("qkv_bias", [False, True])
def test_causal_attention_is_torchs_own(T, qkv_bias):
    head = CausalAttention(5, 8, context_length=12, dropout=0.0, qkv_bias=qkv_bias)
    x = torch.randn(3, T, 5)
    context, weights = head(x)
    values = head.W_value(x)
    expected = F.scaled_dot_product_attention(head.W_query(x), head.W_key(x), values, is_causal=True)
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(weights @ values, expected)
    assert weights.triu(diagonal=1).count_nonzero() == 0
    assert (head.W_query.bias is not None) == qkv_bias


@pytest.mark.parametrize("T", [1, 3, 12])
@pytest.mark.parametrize("num_heads", [1, 2, 8])
def test_multi_head_attention_is_torchs_own_on_slices_of_the_width(num_heads, T):
    att = MultiHeadAttention(5, 16, 12, dropout=0.0, num_heads=num_heads, qkv_bias=True)
    x = torch.randn(3, T, 5)
    q, k, v = (
        torch.stack(linear(x).chunk(num_heads, dim=-1), dim=1)
        for linear in (att.W_query, att.W_key, att.W_value)
    )
    heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    expected = att.out_proj(torch.cat(heads.unbind(dim=1), dim=-1))
    torch.testing.assert_close(att(x), expected)


def test_multi_head_attention_equals_torchs_module_with_the_same_weights():
    C, H, T = 12, 3, 9
    att = MultiHeadAttention(C, C, T, dropout=0.0, num_heads=H, qkv_bias=True)
    theirs = nn.MultiheadAttention(C, H, batch_first=True)
    theirs.in_proj_weight.data = torch.cat([att.W_query.weight, att.W_key.weight, att.W_value.weight])
    theirs.in_proj_bias.data = torch.cat([att.W_query.bias, att.W_key.bias, att.W_value.bias])
    theirs.out_proj.load_state_dict(att.out_proj.state_dict())
    x = torch.randn(4, T, C)
    future = torch.ones(T, T).triu(diagonal=1).bool()
    expected, _ = theirs(x, x, x, attn_mask=future, need_weights=False)
    torch.testing.assert_close(att(x), expected)


def test_one_head_is_causal_attention_with_a_projection():
    head = CausalAttention(5, 4, 6, dropout=0.0)
    att = MultiHeadAttention(5, 4, 6, dropout=0.0, num_heads=1)
    att.load_state_dict(head.state_dict(), strict=False)
    x = torch.randn(2, 6, 5)
    torch.testing.assert_close(att(x), att.out_proj(head(x)[0]))


def test_seeded_multi_head_attention_is_as_published():
    torch.manual_seed(123)
    att = MultiHeadAttention(d_in=3, d_out=2, context_length=6, dropout=0.0, num_heads=2)
    before_projection = []
    att.out_proj.register_forward_pre_hook(lambda _, inputs: before_projection.append(inputs[0]))
    context = att(JOURNEY.unsqueeze(0))
    to_printed_digits(
        context[0],
        [
            [0.3190, 0.4858],
            [0.2943, 0.3897],
            [0.2856, 0.3593],
            [0.2693, 0.3873],
            [0.2639, 0.3928],
            [0.2575, 0.4028],
        ],
    )
    to_printed_digits(before_projection[0][0, 1], [-0.588925, 0.012245], digits=6)


# what holds for both


def make_head(context_length=8, dropout=0.0):
    return CausalAttention(6, 8, context_length, dropout)


def make_heads(context_length=8, dropout=0.0):
    return MultiHeadAttention(6, 8, context_length, dropout, num_heads=2)


def context_of(attention, x):
    result = attention(x)
    return result[0] if isinstance(result, tuple) else result


both = pytest.mark.parametrize("make", [make_head, make_heads])


@both
def test_a_token_changes_nothing_before_it(make):
    attention = make().double()
    x = torch.randn(2, 8, 6, dtype=torch.float64)
    context = context_of(attention, x)
    for t in range(8):
        changed = x.clone()
        changed[:, t] += 100 * torch.randn(6)
        after = context_of(attention, changed)
        torch.testing.assert_close(after[:, :t], context[:, :t], rtol=0, atol=1e-12)
        assert (after[:, t:] - context[:, t:]).abs().amax(dim=(0, 2)).min() > 1e-6


@both
def test_rows_of_a_batch_do_not_see_each_other(make):
    attention = make()
    x = torch.randn(5, 7, 6)
    apart = torch.cat([context_of(attention, row.unsqueeze(0)) for row in x])
    torch.testing.assert_close(context_of(attention, x), apart)


@both
def test_a_shorter_sequence_gives_the_first_rows_of_the_longer_one(make):
    attention = make()
    x = torch.randn(2, 8, 6)
    context = context_of(attention, x)
    for T in range(1, 9):
        torch.testing.assert_close(context_of(attention, x[:, :T]), context[:, :T])


@both
def test_more_positions_than_the_context_are_refused(make):
    with pytest.raises(ValueError, match=r"\b9\b.*\b8\b"):
        make(context_length=8)(torch.randn(1, 9, 6))


@both
def test_gradients_reach_every_parameter_and_the_input(make):
    attention = make()
    x = torch.randn(2, 8, 6, requires_grad=True)
    context_of(attention, x).square().sum().backward()
    for name, tensor in [*attention.named_parameters(), ("x", x)]:
        assert tensor.grad.abs().max() > 0, name


@both
def test_the_input_and_the_mask_stay_as_they_were(make):
    attention = make()
    x = torch.randn(2, 5, 6)
    before = x.clone()
    attention(x)
    assert torch.equal(x, before)
    assert torch.equal(attention.mask, causal_mask(8))


@both
def test_the_mask_is_a_buffer_that_is_neither_trained_nor_saved(make):
    attention = make()
    names = {name for name, _ in attention.named_parameters()}
    assert names == set(attention.state_dict())
    assert "mask" not in names and "mask" in dict(attention.named_buffers())
    assert attention.to(torch.float64).mask.dtype == torch.float64


@both
def test_layers_are_made_in_the_order_query_key_value(make):
    torch.manual_seed(7)
    attention = make()
    torch.manual_seed(7)
    for name in ("W_query", "W_key", "W_value"):
        assert torch.equal(getattr(attention, name).weight, nn.Linear(6, 8, bias=False).weight), name
    if isinstance(attention, MultiHeadAttention):
        assert torch.equal(attention.out_proj.weight, nn.Linear(8, 8).weight)


@both
def test_evaluation_turns_dropout_off(make):
    attention, plain = make(dropout=0.5).eval(), make()
    plain.load_state_dict(attention.state_dict())
    x = torch.randn(2, 8, 6)
    torch.testing.assert_close(context_of(attention, x), context_of(plain, x))
    attention.train()
    assert not torch.equal(context_of(attention, x), context_of(attention, x))


def test_dropout_zeroes_its_share_of_the_weights_and_enlarges_the_rest():
    head = CausalAttention(6, 8, context_length=32, dropout=0.3)
    x = torch.randn(1, 32, 6).expand(40, -1, -1)
    _, full = head.eval()(x)
    context, dropped = head.train()(x)
    torch.testing.assert_close(context, dropped @ head.W_value(x))  # the weights that came are those used

    past = torch.ones(32, 32).tril().bool().expand(40, -1, -1)
    kept = dropped[past] != 0
    assert kept.double().mean().item() == pytest.approx(0.7, abs=0.01)  # of 21,120
    torch.testing.assert_close(dropped[past][kept], full[past][kept] / 0.7)


def test_dropout_falls_on_the_weights_of_every_head_and_keeps_the_mean():
    att = MultiHeadAttention(6, 8, 8, dropout=0.5, num_heads=2)
    x = torch.randn(1, 8, 6)
    expected = att.eval()(x)
    seen = att.train()(x.expand(20_000, -1, -1))
    torch.testing.assert_close(seen.mean(dim=0, keepdim=True), expected, rtol=0, atol=0.03)
    # position 0 sees itself alone: each head is dropped whole (out_proj's bias is left) or doubled
    contexts = att.W_value(x[0, 0]).view(2, 4)
    possible = [
        att.out_proj((torch.tensor(kept).view(2, 1) * 2 * contexts).flatten())
        for kept in ([0, 0], [0, 1], [1, 0], [1, 1])
    ]
    distances = torch.stack([(seen[:, 0] - p).norm(dim=-1) for p in possible])
    assert distances.amin(dim=0).max() < 1e-5
    shares = distances.argmin(dim=0).bincount(minlength=4) / 20_000
    torch.testing.assert_close(shares, torch.full((4,), 0.25), rtol=0, atol=0.015)


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match=r"\b10\b.*\b4\b"):
        MultiHeadAttention(6, 10, 8, dropout=0.0, num_heads=4)
