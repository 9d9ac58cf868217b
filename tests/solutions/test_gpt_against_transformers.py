"""The whole model against Hugging Face's GPT-2, an independent one, with the same random weights."""

import os

import pytest
import torch
from torch.nn import functional as F

from solutions.ch5.model import GPT2_SIZES, GPTConfig, GPTModel, count_parameters, tie_weights
from solutions.ch6.training import calc_loss_batch
from solutions.ch7.sampling import KVCache, forward_cached, generate, generate_cached, generate_text

# vocabulary, context, width, blocks, heads
SIZES = [(61, 16, 24, 1, 1), (61, 16, 24, 2, 4), (300, 40, 48, 5, 3), (1000, 24, 96, 3, 12)]


@pytest.fixture(scope="module")
def transformers():
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers

    return transformers


def theirs_of(transformers, V, T, C, L, H):
    config = transformers.GPT2Config(
        vocab_size=V, n_positions=T, n_embd=C, n_layer=L, n_head=H, bos_token_id=None, eos_token_id=None
    )
    return transformers.GPT2LMHeadModel(config).eval()


@torch.no_grad()
def with_weights_of(theirs) -> GPTModel:
    """Ours with their numbers: their Conv1D keeps a matrix as (in, out), nn.Linear as (out, in)."""
    c = theirs.config
    ours = GPTModel(GPTConfig(c.vocab_size, c.n_positions, c.n_embd, c.n_head, c.n_layer, qkv_bias=True))
    ours = ours.to(theirs.dtype).eval()
    tie_weights(ours)
    ours.tok_emb.weight.copy_(theirs.transformer.wte.weight)
    ours.pos_emb.weight.copy_(theirs.transformer.wpe.weight)
    norms = [(ours.final_norm, theirs.transformer.ln_f)]
    linears = []
    for block, h in zip(ours.trf_blocks, theirs.transformer.h, strict=True):
        norms += [(block.norm1, h.ln_1), (block.norm2, h.ln_2)]
        linears += [(block.att.out_proj, h.attn.c_proj.weight, h.attn.c_proj.bias)]
        linears += [(block.ff.layers[0], h.mlp.c_fc.weight, h.mlp.c_fc.bias)]
        linears += [(block.ff.layers[2], h.mlp.c_proj.weight, h.mlp.c_proj.bias)]
        projections = (block.att.W_query, block.att.W_key, block.att.W_value)
        weights, biases = h.attn.c_attn.weight.chunk(3, dim=1), h.attn.c_attn.bias.chunk(3)
        linears += zip(projections, weights, biases, strict=True)
    for norm, ln in norms:
        norm.scale.copy_(ln.weight)
        norm.shift.copy_(ln.bias)
    for linear, weight, bias in linears:
        linear.weight.copy_(weight.T)
        linear.bias.copy_(bias)
    return ours


@pytest.fixture(scope="module", params=SIZES, ids=str)
def pair(request, transformers):
    torch.manual_seed(0)
    theirs = theirs_of(transformers, *request.param).requires_grad_(False)
    for name, parameter in theirs.named_parameters():
        # near their start of 0.02 everywhere, logits hardly differ and mistakes would hide
        parameter.normal_(mean=1.0 if "ln_" in name and "weight" in name else 0.0, std=0.25)
    return with_weights_of(theirs), theirs


@torch.no_grad()
def test_logits_are_equal(pair):
    ours, theirs = pair
    for T in (1, 7, theirs.config.n_positions):
        ids = torch.randint(theirs.config.vocab_size, (3, T), generator=torch.Generator().manual_seed(T))
        logits = theirs(ids).logits
        assert logits.std() > 0.5
        torch.testing.assert_close(ours(ids), logits, rtol=0, atol=1e-4)


@torch.no_grad()
def test_logits_with_a_cache_are_equal(pair):
    ours, theirs = pair
    ids = torch.randint(theirs.config.vocab_size, (2, 12), generator=torch.Generator().manual_seed(0))
    cache = KVCache()
    logits = torch.cat([forward_cached(ours, part, cache) for part in ids.split([5, 1, 4, 2], dim=1)], dim=1)
    torch.testing.assert_close(logits, theirs(ids).logits, rtol=0, atol=1e-4)


def test_greedy_tokens_are_equal(pair):
    ours, theirs = pair
    T = theirs.config.n_positions
    prompt = torch.randint(theirs.config.vocab_size, (3, 4), generator=torch.Generator().manual_seed(1))
    expected = theirs.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=T - 4, do_sample=False
    )
    assert expected.shape == (3, T) and len(expected[:, 4:].unique()) > 5
    for generating in (generate_text, generate, generate_cached):
        assert torch.equal(generating(ours, prompt, T - 4, T), expected)


def test_loss_and_gradients_are_equal(transformers):
    torch.manual_seed(0)
    theirs = theirs_of(transformers, 61, 16, 24, 2, 4).double()
    ours = with_weights_of(theirs)
    ids = torch.randint(61, (3, 16))
    loss = calc_loss_batch(ids[:, :-1], ids[:, 1:], ours, "cpu")
    their_loss = F.cross_entropy(theirs(ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(loss, their_loss)
    torch.testing.assert_close(loss.float(), theirs(ids, labels=ids).loss)

    loss.backward()
    their_loss.backward()
    gradients_as_weights = {name: p.grad for name, p in ours.named_parameters()}
    assert all(gradient is not None for gradient in gradients_as_weights.values())
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(parameter.grad)
    for name, expected in with_weights_of(theirs).named_parameters():
        torch.testing.assert_close(gradients_as_weights[name], expected.data, rtol=1e-5, atol=1e-8, msg=name)


@pytest.mark.parametrize("name", GPT2_SIZES)
def test_the_named_sizes_have_as_many_parameters(transformers, name):
    cfg = GPT2_SIZES[name]
    with torch.device("meta"):
        ours = GPTModel(cfg)
        theirs = theirs_of(
            transformers, cfg.vocab_size, cfg.context_length, cfg.emb_dim, cfg.n_layers, cfg.n_heads
        )
    tie_weights(ours)
    assert count_parameters(ours) == theirs.num_parameters()
