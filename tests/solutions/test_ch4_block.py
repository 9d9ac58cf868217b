"""Chapter 4 against the sources' figures and torch's own layer norm, GELU and transformer block."""

import dataclasses
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from solutions.ch4.block import (
    GELU,
    DeepNetwork,
    Dropout,
    FeedForward,
    GPTConfig,
    LayerNorm,
    TransformerBlock,
)

examples = settings(deadline=None, derandomize=True, max_examples=60)
CFG = GPTConfig(vocab_size=50, context_length=9, emb_dim=12, n_heads=3, n_layers=1)


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before():
    torch.manual_seed(0)


def to_printed_digits(actual, figures, digits=4):
    """Equal once rounded as the figures are printed."""
    figures = torch.tensor(figures)
    assert actual.shape == figures.shape
    torch.testing.assert_close(actual.detach(), figures, rtol=0, atol=0.51 * 10**-digits)


# GPTConfig


def test_a_config_cannot_be_changed_and_refuses_a_width_that_the_heads_cannot_share():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CFG.emb_dim = 6
    with pytest.raises(ValueError, match=r"\b12\b.*\b5\b"):
        dataclasses.replace(CFG, n_heads=5)


# LayerNorm


def test_seeded_layer_norm_is_as_published():
    torch.manual_seed(123)
    x = torch.randn(2, 5)
    to_printed_digits(x.mean(dim=1), [-0.3596, -0.2606])
    to_printed_digits(x.var(dim=1, correction=0), [0.2015, 0.2673])
    to_printed_digits(
        LayerNorm(5)(x),
        [[0.5528, 1.0693, -0.0223, 0.2656, -1.8654], [0.9087, -1.3767, -0.9564, 1.1304, 0.2940]],
    )


@examples
@given(
    shape=st.lists(st.integers(1, 6), max_size=3),
    width=st.integers(1, 40),
    size=st.sampled_from([1e-4, 1e-2, 1, 1e3]),
    seed=st.integers(0, 2**32),
)
def test_layer_norm_is_torchs_own(shape, width, size, seed):
    torch.manual_seed(seed)
    norm = LayerNorm(width).double()
    norm.scale.data, norm.shift.data = torch.randn(2, width).double()
    x = size * torch.randn(*shape, width).double() + torch.randn(1)
    before = x.clone()
    expected = F.layer_norm(x, (width,), norm.scale, norm.shift, eps=1e-5)
    torch.testing.assert_close(norm(x), expected, rtol=1e-9, atol=1e-9)
    assert torch.equal(x, before)


def test_layer_norm_obeys_its_eps():
    x = 0.1 * torch.randn(4, 8)
    torch.testing.assert_close(LayerNorm(8, eps=0.5)(x), F.layer_norm(x, (8,), eps=0.5))


def test_layer_norm_has_a_scale_of_1_and_a_shift_of_0_that_learn():
    norm = LayerNorm(7)
    assert {name: p.tolist() for name, p in norm.named_parameters()} == {"scale": [1] * 7, "shift": [0] * 7}
    x = torch.randn(3, 7, requires_grad=True)
    norm(x).square().sum().backward()
    assert norm.scale.grad.abs().min() > 0 and norm.shift.grad.abs().min() > 0 and x.grad.abs().max() > 0


def test_a_constant_vector_normalises_to_zeros():
    assert torch.equal(LayerNorm(4)(torch.full((2, 4), 7.5)), torch.zeros(2, 4))


# GELU


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gelu_is_torchs_tanh_form(dtype):
    x = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([0.0, 1e-8, -1e-8, 1e4, -1e4])]).to(dtype)
    expected = F.gelu(x, approximate="tanh")
    # far below 0, 1 + tanh leaves only a few bits of float32
    torch.testing.assert_close(GELU()(x), expected, rtol=0, atol=2e-6 if dtype == torch.float32 else 1e-12)


def test_gelu_is_not_the_exact_form():
    x = torch.linspace(-4, 4, 801, dtype=torch.float64)
    assert 1e-4 < (GELU()(x) - F.gelu(x)).abs().max() < 1e-3


def test_gelus_slope_is_torchs():
    x = torch.linspace(-6, 6, 501, dtype=torch.float64, requires_grad=True)
    (ours,) = torch.autograd.grad(GELU()(x).sum(), x)
    (theirs,) = torch.autograd.grad(F.gelu(x, approximate="tanh").sum(), x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


# Dropout


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_dropout_keeps_as_many_as_torchs_and_enlarges_them_as_much(p):
    x = torch.rand(400, 500) + 1
    before = x.clone()
    ours, theirs = Dropout(p)(x), nn.Dropout(p)(x)
    for y in (ours, theirs):
        kept = y != 0
        torch.testing.assert_close(y[kept], x[kept] / (1 - p))
        assert kept.double().mean().item() == pytest.approx(1 - p, abs=0.006)  # of 200,000
        assert kept.double().mean(dim=0).std() < 0.05 and kept.double().mean(dim=1).std() < 0.05  # no stripes
    assert torch.equal(x, before)


def test_dropout_chooses_anew_in_each_call():
    dropout, x = Dropout(0.5), torch.ones(100)
    assert not torch.equal(dropout(x), dropout(x))


def test_dropout_does_nothing_in_evaluation():
    x = torch.randn(50, 50)
    assert torch.equal(Dropout(0.9).eval()(x), x)


def test_gradients_pass_where_numbers_do():
    x = torch.randn(1000, requires_grad=True)
    y = Dropout(0.4)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, (y != 0) / 0.6)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_a_probability_outside_0_and_1_is_refused(p):
    with pytest.raises(ValueError, match=str(p)):
        Dropout(p)


# FeedForward


def test_feed_forward_is_linear_gelu_linear():
    ff = FeedForward(CFG)
    first, gelu, last = ff.layers
    assert isinstance(gelu, GELU)
    assert first.weight.shape == (48, 12) and last.weight.shape == (12, 48)
    x = torch.randn(2, 5, 12)
    h = F.gelu(F.linear(x, first.weight, first.bias), approximate="tanh")
    torch.testing.assert_close(ff(x), F.linear(h, last.weight, last.bias))


def test_feed_forward_treats_each_position_alike_and_alone():
    ff = FeedForward(CFG)
    x = torch.randn(2, 5, 12)
    one_by_one = torch.stack([ff(x[:, t : t + 1]).squeeze(1) for t in range(5)], dim=1)
    torch.testing.assert_close(ff(x), one_by_one)


# DeepNetwork


@pytest.mark.parametrize(
    ("use_shortcut", "figures"),
    [
        (False, ["0.00020173588", "0.00012011160", "0.00071520405", "0.00139887363", "0.00504964544"]),
        (True, ["0.22169799", "0.20694111", "0.32897002", "0.26657331", "1.32585442"]),
    ],
)
def test_seeded_shortcut_gradients_are_as_published(use_shortcut, figures):
    torch.manual_seed(123)
    network = DeepNetwork([3, 3, 3, 3, 3, 1], use_shortcut)
    F.mse_loss(network(torch.tensor([[1.0, 0.0, -1.0]])), torch.zeros(1, 1)).backward()
    assert len(network.layers) == 5
    for layer, figure in zip(network.layers, figures, strict=True):
        assert layer[0].weight.grad.abs().mean().item() == pytest.approx(float(figure), rel=2e-6)


def test_shortcuts_are_added_where_the_shapes_agree():
    network = DeepNetwork([4, 4, 6, 6, 2], use_shortcut=True)
    x = torch.randn(3, 4)
    before = x.clone()
    h = x
    for (linear, _), is_square in zip(network.layers, [True, False, True, False], strict=True):
        bent = F.gelu(linear(h), approximate="tanh")
        h = h + bent if is_square else bent
    torch.testing.assert_close(network(x), h)
    assert torch.equal(x, before)


# TransformerBlock


def their_block(block: TransformerBlock) -> nn.TransformerEncoderLayer:
    """torch's own pre-norm block with the weights of ours, for evaluation."""
    att, ff = block.att, block.ff.layers
    C, H = att.out_proj.in_features, att.num_heads
    theirs = nn.TransformerEncoderLayer(
        C,
        H,
        dim_feedforward=4 * C,
        dropout=0.0,
        activation=partial(F.gelu, approximate="tanh"),
        batch_first=True,
        norm_first=True,
        dtype=att.out_proj.weight.dtype,
    )
    theirs.self_attn.in_proj_weight.data = torch.cat(
        [att.W_query.weight, att.W_key.weight, att.W_value.weight]
    )
    theirs.self_attn.in_proj_bias.data = torch.cat([att.W_query.bias, att.W_key.bias, att.W_value.bias])
    theirs.self_attn.out_proj.load_state_dict(att.out_proj.state_dict())
    theirs.linear1.load_state_dict(ff[0].state_dict())
    theirs.linear2.load_state_dict(ff[2].state_dict())
    for ours, norm in ((block.norm1, theirs.norm1), (block.norm2, theirs.norm2)):
        norm.weight.data, norm.bias.data = ours.scale.data, ours.shift.data
    return theirs


@pytest.mark.parametrize("n_heads", [1, 3, 12])
@pytest.mark.parametrize("T", [1, 4, 9])
def test_block_is_torchs_own(n_heads, T):
    block = TransformerBlock(dataclasses.replace(CFG, n_heads=n_heads, qkv_bias=True)).double()
    for parameter in block.parameters():  # scales of 1 and shifts of 0 would hide mistakes
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2, T, 12).double()
    before = x.clone()
    future = torch.ones(T, T).triu(diagonal=1).bool()
    torch.testing.assert_close(block(x), their_block(block)(x, src_mask=future), rtol=0, atol=1e-11)
    assert torch.equal(x, before)


def test_blocks_parts_have_their_names_and_order():
    block = TransformerBlock(CFG)
    assert [name for name, _ in block.named_children()] == ["att", "ff", "norm1", "norm2", "drop_shortcut"]
    assert block.att.W_query.bias is None
    assert sum(p.numel() for p in block.parameters()) == 12 * 12**2 + 13 * 12 - 3 * 12  # no q/k/v bias


def test_a_token_changes_nothing_before_it():
    block = TransformerBlock(CFG).double()
    x = torch.randn(2, 9, 12).double()
    y = block(x)
    for t in range(9):
        changed = x.clone()
        changed[:, t] += 10 * torch.randn(12)
        after = block(changed)
        torch.testing.assert_close(after[:, :t], y[:, :t], rtol=0, atol=1e-12)
        assert (after[:, t:] - y[:, t:]).abs().amax(dim=(0, 2)).min() > 1e-6


def test_rows_of_a_batch_do_not_see_each_other():
    block = TransformerBlock(CFG)
    x = torch.randn(5, 7, 12)
    torch.testing.assert_close(block(x), torch.cat([block(row.unsqueeze(0)) for row in x]))


def test_gradients_reach_every_parameter_and_the_input():
    block = TransformerBlock(dataclasses.replace(CFG, qkv_bias=True)).double()
    x = torch.randn(2, 9, 12, dtype=torch.float64, requires_grad=True)
    (block(x) * torch.randn(2, 9, 12)).sum().backward()
    for name, tensor in [*block.named_parameters(), ("x", x)]:
        if name == "att.W_key.bias":  # adds the same to all scores of a query: the softmax ignores it
            assert tensor.grad.abs().max() < 1e-12
        else:
            assert tensor.grad.abs().max() > 1e-6, name


def test_dropout_stands_on_both_paths_and_not_on_the_shortcut():
    block = TransformerBlock(CFG)
    x = torch.randn(2, 9, 12)
    dropped = []

    class DropAll(nn.Module):
        def forward(self, path):
            dropped.append(path)
            return torch.zeros_like(path)

    block.drop_shortcut = DropAll()
    assert torch.equal(block(x), x)
    torch.testing.assert_close(dropped[0], block.att(block.norm1(x)))
    torch.testing.assert_close(dropped[1], block.ff(block.norm2(x)))
    assert len(dropped) == 2


def test_drop_rate_serves_attention_and_shortcuts_and_is_off_in_evaluation():
    block, plain = TransformerBlock(dataclasses.replace(CFG, drop_rate=0.3)), TransformerBlock(CFG)
    plain.load_state_dict(block.state_dict())
    assert block.drop_shortcut.p == 0.3
    x = torch.randn(2, 9, 12)
    torch.testing.assert_close(block.eval()(x), plain(x))

    block.train()
    assert not torch.equal(block(x), block(x))
    assert not torch.equal(block.att(x), block.att(x))
