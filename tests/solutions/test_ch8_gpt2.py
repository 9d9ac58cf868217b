"""Chapter 8 against Hugging Face's GPT-2 with random weights, an independent model."""

import os

import numpy as np
import pytest
import torch
from torch import nn

from solutions.ch5.model import GPTConfig, GPTModel
from solutions.ch7.sampling import generate_text
from solutions.ch8.gpt2 import (
    assign,
    config_from_hf,
    flatten,
    load_weights_into_gpt,
    params_from_hf,
    split_qkv,
)

# vocab_size, n_positions, n_embd, n_layer, n_head
SHAPES = [(100, 16, 32, 2, 4), (101, 20, 64, 3, 1), (257, 24, 60, 3, 12), (500, 64, 96, 4, 3)]
TINY = {"vocab_size": 100, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 4}


@pytest.fixture(scope="module")
def make_hf_gpt2():
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import GPT2Config, GPT2LMHeadModel

    def make(seed=0, **sizes):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=None, eos_token_id=None)).eval()
        with torch.no_grad():
            for parameter in model.parameters():  # its own start is so small that mistakes would hide
                parameter.normal_(std=0.3)
        return model

    return make


def ours_from(hf):
    gpt = GPTModel(config_from_hf(hf.config.to_dict())).eval()
    load_weights_into_gpt(gpt, params_from_hf(hf.state_dict()))
    return gpt


@torch.no_grad()
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logits_and_greedy_tokens_equal_those_of_transformers(make_hf_gpt2, shape):
    V, T, C, L, H = shape
    hf = make_hf_gpt2(vocab_size=V, n_positions=T, n_embd=C, n_layer=L, n_head=H)
    gpt = ours_from(hf)

    ids = torch.randint(V, (3, T))
    torch.testing.assert_close(gpt(ids), hf(ids).logits, atol=1e-4, rtol=0)

    prompt = ids[:, :4]
    theirs = hf.generate(prompt, attention_mask=torch.ones_like(prompt), max_length=T, do_sample=False)
    assert theirs.unique().numel() > 3  # it says something
    assert generate_text(gpt, prompt, T - 4, T).tolist() == theirs.tolist()


def test_every_parameter_is_loaded_and_can_be_trained_and_saved(make_hf_gpt2):
    gpt = ours_from(make_hf_gpt2(**TINY))
    assert gpt.out_head.weight is gpt.tok_emb.weight
    with torch.no_grad():
        again = ours_from(make_hf_gpt2(seed=1, **TINY))
    for (name, one), other in zip(gpt.named_parameters(), again.parameters(), strict=True):
        assert isinstance(one, nn.Parameter) and one.requires_grad and one.is_leaf, name
        assert one.is_contiguous(), name  # safetensors refuses others
        assert not torch.isclose(one, other).all(), name
    gpt(torch.tensor([[1, 2, 3]])).sum().backward()
    assert all(parameter.grad is not None for parameter in gpt.parameters())


def test_loading_copies(make_hf_gpt2):
    hf = make_hf_gpt2(**TINY)
    gpt = ours_from(hf)
    before = gpt.tok_emb.weight.clone()
    with torch.no_grad():
        hf.transformer.wte.weight.zero_()
    assert torch.equal(gpt.tok_emb.weight, before)


def test_numpy_and_half_precision_params_load_as_float32(make_hf_gpt2):
    params = params_from_hf(make_hf_gpt2(**TINY).half().state_dict())
    expected, gpt = GPTModel(config_from_hf(TINY)), GPTModel(config_from_hf(TINY))
    load_weights_into_gpt(expected, params)

    def as_arrays(tree):
        if isinstance(tree, dict):
            return {name: as_arrays(branch) for name, branch in tree.items()}
        return [as_arrays(branch) for branch in tree] if isinstance(tree, list) else tree.numpy()

    load_weights_into_gpt(gpt, as_arrays(params))
    for one, other in zip(gpt.parameters(), expected.parameters(), strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


# names


def test_names_with_and_without_prefix_buffers_and_tied_head(make_hf_gpt2):
    state = make_hf_gpt2(**TINY).state_dict()
    assert "lm_head.weight" in state
    buffers = {"attn.bias": torch.ones(1, 1, 16, 16).tril(), "attn.masked_bias": torch.tensor(-1e4)}
    bare = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
    bare |= {f"h.{i}.{name}": tensor for i in range(2) for name, tensor in buffers.items()}
    prefixed = {name if name == "lm_head.weight" else f"transformer.{name}": t for name, t in bare.items()}
    del bare["lm_head.weight"]

    expected = flatten(params_from_hf(state))
    assert len(expected) == 4 + 2 * 12
    for names in (bare, prefixed):
        params = flatten(params_from_hf(names))
        assert params.keys() == expected.keys()
        assert all(torch.equal(params[name], expected[name]) for name in expected)


def test_wrong_names_are_one_error_that_lists_them_all(make_hf_gpt2):
    state = make_hf_gpt2(**TINY).state_dict()
    del state["transformer.h.1.ln_2.bias"], state["transformer.ln_f.weight"]
    state["score.weight"] = torch.zeros(2, 32)
    state["lm_head.weight"] = state["lm_head.weight"] + 1
    with pytest.raises(ValueError) as caught:
        params_from_hf(state)
    assert str(caught.value).splitlines()[1:] == [
        "lm_head.weight differs from wte.weight; our head is tied",
        "ln_f.weight is missing",
        "h.1.ln_2.bias is missing",
        "score.weight (2, 32) is unexpected",
    ]


def test_a_gap_in_the_blocks_is_found_without_counting_to_its_number(make_hf_gpt2):
    state = make_hf_gpt2(**TINY).state_dict()
    renumbered = {name.replace("h.1.", "h.999999999."): tensor for name, tensor in state.items()}
    with pytest.raises(ValueError, match=r"h\.1\.ln_1\.weight is missing") as caught:
        params_from_hf(renumbered)
    assert "h.999999999.ln_1.weight (32,) is unexpected" in str(caught.value)


# what does not fit


def test_all_that_does_not_fit_is_one_error_and_the_model_stays_as_it_was(make_hf_gpt2):
    params = params_from_hf(make_hf_gpt2(**TINY).state_dict())
    params["wpe"] = torch.zeros(8, 32)
    params["blocks"][0]["attn"]["c_attn"]["w"] = torch.zeros(32, 95)
    params["blocks"][1]["mlp"]["c_fc"]["w"] = torch.zeros(128, 32)
    del params["blocks"][1]["ln_1"]["g"], params["b"]
    params["blocks"][0]["attn"]["rotary"] = torch.zeros(5)
    params["blocks"].append({"ln_1": {"g": torch.ones(32)}})

    gpt = GPTModel(config_from_hf(TINY))
    objects = dict(gpt.named_parameters())
    values = {name: parameter.clone() for name, parameter in objects.items()}
    with pytest.raises(ValueError) as caught:
        load_weights_into_gpt(gpt, params)

    assert str(caught.value).splitlines()[1:] == [
        "wpe has shape (8, 32), the model has (16, 32)",
        "b is missing, the model has (32,)",
        "blocks.0.attn.c_attn.w has shape (32, 95), the model has (32, 96)",
        "blocks.1.mlp.c_fc.w has shape (128, 32), the model has (32, 128)",
        "blocks.1.ln_1.g is missing, the model has (32,)",
        "blocks.0.attn.rotary (5,) is unexpected",
        "blocks.2.ln_1.g (32,) is unexpected",
    ]
    after = dict(gpt.named_parameters())
    assert after.keys() == values.keys()  # not tied either
    for name, parameter in after.items():
        assert parameter is objects[name] and torch.equal(parameter, values[name]), name


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        ({"n_layer": 3}, "blocks.2.mlp.c_proj.w is missing, the model has (128, 32)"),
        ({"n_layer": 1}, "blocks.1.attn.c_attn.w (32, 96) is unexpected"),
        ({"n_positions": 17}, "wpe has shape (16, 32), the model has (17, 32)"),
        ({"vocab_size": 99}, "wte has shape (100, 32), the model has (99, 32)"),
        ({"n_embd": 36}, "blocks.1.mlp.c_fc.w has shape (32, 128), the model has (36, 144)"),
    ],
    ids=str,
)
def test_weights_of_another_size_leave_the_model_untouched(make_hf_gpt2, sizes, line):
    params = params_from_hf(make_hf_gpt2(**TINY).state_dict())
    gpt = GPTModel(config_from_hf(TINY | sizes))
    before = {name: parameter.clone() for name, parameter in gpt.named_parameters()}
    with pytest.raises(ValueError) as caught:
        load_weights_into_gpt(gpt, params)
    assert line in str(caught.value).splitlines()
    assert before.keys() == dict(gpt.named_parameters()).keys()
    assert all(torch.equal(before[name], parameter) for name, parameter in gpt.named_parameters())


def test_a_model_without_qkv_bias_has_no_place_for_it(make_hf_gpt2):
    gpt = GPTModel(GPTConfig(100, 16, emb_dim=32, n_heads=4, n_layers=2, qkv_bias=False))
    with pytest.raises(ValueError, match=r"blocks\.1\.attn\.c_attn\.b \(96,\) is unexpected"):
        load_weights_into_gpt(gpt, params_from_hf(make_hf_gpt2(**TINY).state_dict()))


# the small pieces


def test_assign_takes_the_numbers_and_keeps_the_kind():
    left = nn.Parameter(torch.zeros(2, 3, dtype=torch.bfloat16))
    right = np.arange(6, dtype=np.float64).reshape(3, 2).T
    new = assign(left, right)
    assert isinstance(new, nn.Parameter) and new.dtype == torch.bfloat16
    assert new.tolist() == right.tolist()
    right[:] = 9
    assert new.tolist() != right.tolist()
    assert left.tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("shape", [(1, 3), (3,), (3, 2), (2, 3, 1), ()], ids=str)
def test_assign_does_not_broadcast(shape):
    with pytest.raises(ValueError) as caught:
        assign(torch.zeros(2, 3), torch.ones(shape))
    assert "(2, 3)" in str(caught.value) and str(shape) in str(caught.value)


def test_split_qkv_is_numpys_split():
    for w in (np.random.default_rng(0).normal(size=(4, 12)), np.arange(9.0)):
        for ours, theirs in zip(split_qkv(w), np.split(w, 3, axis=-1), strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs)
    with pytest.raises(ValueError, match=r"\(6, 4\)"):
        split_qkv(torch.zeros(6, 4))


def test_config_from_hf_reads_what_transformers_writes(make_hf_gpt2):
    hf = make_hf_gpt2(**TINY, resid_pdrop=0.25)
    expected = GPTConfig(100, 16, emb_dim=32, n_heads=4, n_layers=2, drop_rate=0.25, qkv_bias=True)
    assert config_from_hf(hf.config.to_dict()) == expected
    old_file = {name: size for name, size in TINY.items() if name != "n_positions"} | {"n_ctx": 24}
    assert config_from_hf(old_file) == GPTConfig(100, 24, 32, 4, 2, drop_rate=0.1, qkv_bias=True)
    assert config_from_hf(TINY | {"activation_function": "gelu_pytorch_tanh"}).n_heads == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation_function": "gelu"}, "activation_function is 'gelu'"),
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-06"),
        ({"scale_attn_weights": False}, "scale_attn_weights is False"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ({"n_head": 5}, "emb_dim 32 is not a multiple of n_heads 5"),
    ],
    ids=str,
)
def test_config_from_hf_refuses_what_our_model_does_not_compute(change, message):
    with pytest.raises(ValueError, match=message):
        config_from_hf(TINY | change)


def test_config_from_hf_names_every_absent_size():
    with pytest.raises(ValueError, match="vocab_size, n_positions, n_layer"):
        config_from_hf({"n_embd": 32, "n_head": 4})
