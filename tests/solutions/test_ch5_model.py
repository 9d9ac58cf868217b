"""Chapter 5: parameter counts, the start, and what holds for the model as a whole.

Its numbers are compared with an independent GPT-2 in test_gpt_against_transformers.py.
"""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from solutions.ch5.model import (
    GPT2_SIZES,
    GPTConfig,
    GPTModel,
    count_parameters,
    init_weights,
    tie_weights,
)

CFG = GPTConfig(vocab_size=50, context_length=9, emb_dim=12, n_heads=3, n_layers=3)


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before():
    torch.manual_seed(0)


def expected_count(cfg: GPTConfig, tied: bool) -> int:
    """Counted on paper, matrix by matrix."""
    C, V = cfg.emb_dim, cfg.vocab_size
    attention = 3 * (C * C + cfg.qkv_bias * C) + (C * C + C)
    feed_forward = (C * 4 * C + 4 * C) + (4 * C * C + C)
    block = attention + feed_forward + 2 * 2 * C
    return V * C + cfg.context_length * C + cfg.n_layers * block + 2 * C + (0 if tied else V * C)


# parameter counts


@pytest.mark.parametrize(
    ("name", "qkv_bias", "tied", "published"),
    [
        ("gpt2", False, False, 163_009_536),
        ("gpt2", False, True, 124_412_160),
        ("gpt2", True, True, 124_439_808),
        ("gpt2-medium", True, True, 354_823_168),
        ("gpt2-large", True, True, 774_030_080),
        ("gpt2-xl", True, True, 1_557_611_200),
    ],
)
def test_gpt2_has_as_many_parameters_as_published(name, qkv_bias, tied, published):
    cfg = dataclasses.replace(GPT2_SIZES[name], qkv_bias=qkv_bias)
    with torch.device("meta"):
        model = GPTModel(cfg)
    if tied:
        tie_weights(model)
    assert count_parameters(model) == expected_count(cfg, tied) == published


def test_the_sizes_are_those_of_the_released_models():
    sizes = {name: (c.emb_dim, c.n_layers, c.n_heads) for name, c in GPT2_SIZES.items()}
    assert sizes == {
        "gpt2": (768, 12, 12),
        "gpt2-medium": (1024, 24, 16),
        "gpt2-large": (1280, 36, 20),
        "gpt2-xl": (1600, 48, 25),
    }
    for cfg in GPT2_SIZES.values():
        assert (cfg.vocab_size, cfg.context_length, cfg.drop_rate, cfg.qkv_bias) == (50257, 1024, 0.1, True)


@pytest.mark.parametrize("qkv_bias", [False, True])
def test_small_models_are_counted_too(qkv_bias):
    cfg = dataclasses.replace(CFG, qkv_bias=qkv_bias)
    model = GPTModel(cfg)
    assert count_parameters(model) == expected_count(cfg, tied=False)
    tie_weights(model)
    assert count_parameters(model) == expected_count(cfg, tied=True)


# the forward pass


def test_parts_have_their_names_and_order():
    model = GPTModel(CFG)
    names = ["tok_emb", "pos_emb", "drop_emb", "trf_blocks", "final_norm", "out_head"]
    assert [name for name, _ in model.named_children()] == names
    assert len(model.trf_blocks) == 3
    assert len({id(parameter) for parameter in model.parameters()}) == len(model.state_dict())
    assert model.out_head.bias is None


@pytest.mark.parametrize("T", [1, 4, 9])
def test_logits_are_the_parts_put_together(T):
    model = GPTModel(CFG).double()
    nn.init.normal_(model.final_norm.scale)
    nn.init.normal_(model.final_norm.shift)
    ids = torch.randint(50, (2, T))
    before = ids.clone()
    x = F.one_hot(ids, 50).double() @ model.tok_emb.weight + model.pos_emb.weight[:T]
    for block in model.trf_blocks:
        x = block(x)
    x = F.layer_norm(x, (12,), model.final_norm.scale, model.final_norm.shift)
    logits = model(ids)
    assert logits.shape == (2, T, 50)
    torch.testing.assert_close(logits, x @ model.out_head.weight.T, rtol=0, atol=1e-11)
    assert torch.equal(ids, before)


def test_a_token_changes_nothing_before_it():
    model = GPTModel(CFG).double()
    ids = torch.randint(50, (2, 9))
    logits = model(ids)
    for t in range(9):
        changed = ids.clone()
        changed[:, t] = (ids[:, t] + 7) % 50
        after = model(changed)
        torch.testing.assert_close(after[:, :t], logits[:, :t], rtol=0, atol=1e-12)
        assert (after[:, t:] - logits[:, t:]).abs().amax(dim=(0, 2)).min() > 1e-6


def test_rows_of_a_batch_do_not_see_each_other():
    model = GPTModel(CFG)
    ids = torch.randint(50, (5, 7))
    torch.testing.assert_close(model(ids), torch.cat([model(row.unsqueeze(0)) for row in ids]))


def test_the_same_token_has_another_meaning_at_another_place():
    logits = GPTModel(CFG)(torch.full((1, 9), 3))
    assert torch.pdist(logits[0]).min() > 1e-3


def test_gradients_reach_every_parameter():
    model = GPTModel(CFG).double()
    ids = torch.arange(50).repeat(2)[:99].view(11, 9)  # every token and every position comes up
    (model(ids) * torch.randn(11, 9, 50)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 1e-6, name
    for table in (model.tok_emb, model.pos_emb, model.out_head):
        assert table.weight.grad.abs().amax(dim=1).min() > 1e-6


def test_dropout_is_off_in_evaluation_and_on_in_training():
    model, plain = GPTModel(dataclasses.replace(CFG, drop_rate=0.2)), GPTModel(CFG)
    plain.load_state_dict(model.state_dict())
    ids = torch.randint(50, (2, 9))
    torch.testing.assert_close(model.eval()(ids), plain(ids))
    model.train()
    assert not torch.equal(model(ids), model(ids))


def test_dropout_falls_on_the_embeddings():
    model = GPTModel(dataclasses.replace(CFG, drop_rate=0.2))
    assert model.drop_emb.p == 0.2

    class DropAll(nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    model.drop_emb = DropAll()
    logits = model.eval()(torch.randint(50, (2, 9)))
    torch.testing.assert_close(logits, logits[:1, :1].expand_as(logits))


def test_more_positions_than_the_context_are_refused():
    with pytest.raises(ValueError, match=r"\b10\b.*\b9\b"):
        GPTModel(CFG)(torch.zeros(1, 10, dtype=torch.int64))


@pytest.mark.parametrize("bad_id", [-1, 50])
def test_an_id_outside_the_vocabulary_is_named(bad_id):
    with pytest.raises(ValueError, match=rf"{bad_id}\b.*\b50\b"):
        GPTModel(CFG)(torch.tensor([[1, bad_id]]))


# init_weights and tie_weights


@pytest.mark.parametrize("tied", [False, True])
def test_weights_start_as_gpt2s_did(tied):
    cfg = GPTConfig(vocab_size=300, context_length=150, emb_dim=160, n_heads=4, n_layers=5, qkv_bias=True)
    model = GPTModel(cfg)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            nn.init.constant_(parameter, 0.5)  # biases of 0 are to be seen being made
    if tied:
        tie_weights(model)
    init_weights(model)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1 and "norm" in name:
            assert parameter.unique().tolist() == [0.5], name
        elif parameter.dim() == 1:
            assert parameter.count_nonzero() == 0, name
        else:
            residual = name.endswith(("att.out_proj.weight", "ff.layers.2.weight"))
            expected = 0.02 / math.sqrt(10) if residual else 0.02
            assert parameter.std().item() == pytest.approx(expected, rel=0.03), name
            assert abs(parameter.mean().item()) < 0.03 * expected, name
            kurtosis = ((parameter / parameter.std()) ** 4).mean().item()
            assert kurtosis == pytest.approx(3, abs=0.2), name  # normal; 1.8 if uniform
    assert (model.out_head.weight is model.tok_emb.weight) == tied


@pytest.mark.parametrize(("vocab_size", "printed"), [(65, 4.17), (50257, 10.82)])
@pytest.mark.parametrize("tied", [False, True])
def test_the_first_loss_is_about_that_of_knowing_nothing(vocab_size, printed, tied):
    model = GPTModel(GPTConfig(vocab_size, context_length=32, emb_dim=48, n_heads=4, n_layers=4))
    if tied:
        tie_weights(model)
    init_weights(model)
    ids = torch.randint(vocab_size, (4, 33))
    with torch.no_grad():
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert math.log(vocab_size) == pytest.approx(printed, abs=0.006)
    assert loss.item() == pytest.approx(printed, abs=0.05)


def test_the_same_seed_gives_the_same_start():
    models = [GPTModel(CFG) for _ in range(2)]
    for model in models:
        torch.manual_seed(5)
        init_weights(model)
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(one, other)


def test_a_tied_head_learns_from_both_ends():
    """The gradient of the one matrix is the sum of what the two matrices would have got."""
    untied, tied = GPTModel(CFG).double(), GPTModel(CFG).double()
    tie_weights(tied)
    untied.load_state_dict(tied.state_dict())
    ids = torch.randint(50, (2, 9))
    for model in (untied, tied):
        F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
    both_ends = untied.tok_emb.weight.grad + untied.out_head.weight.grad
    torch.testing.assert_close(tied.tok_emb.weight.grad, both_ends, rtol=0, atol=1e-12)
    assert untied.tok_emb.weight.grad.abs().max() > 1e-6
