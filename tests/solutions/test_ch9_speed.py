"""Chapter 9 against torch's own attention, flop counter and memory profiler, numpy, and the slow way."""

import copy
import math
import os
import threading
from itertools import count, islice

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from solutions.ch2.inputs import get_batch
from solutions.ch3.attention import MultiHeadAttention
from solutions.ch4.block import GELU, GPTConfig, LayerNorm
from solutions.ch5.model import GPTModel, init_weights, tie_weights
from solutions.ch6.training import (
    calc_loss_batch,
    clip_gradients,
    load_checkpoint,
    parameter_groups,
    save_checkpoint,
)
from solutions.ch7.sampling import generate, generate_cached
from solutions.ch9 import speed
from solutions.ch9.speed import (
    FusedAttention,
    FusedLayerNorm,
    FusedQKVAttention,
    TokenFile,
    accumulate_gradients,
    autocast_loss,
    chunked_cross_entropy,
    fit_power_law,
    forward_checkpointed,
    fuse_elementwise,
    fused_adamw,
    median_seconds,
    model_flops_utilisation,
    pad_vocab,
    prefetch,
    saved_bytes,
    training_flops,
    write_tokens,
)

examples = settings(deadline=None, derandomize=True, max_examples=60)
V, T = 19, 12
FUSED = [FusedAttention, FusedQKVAttention]


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before():
    torch.manual_seed(0)


def make_model(drop_rate=0.0, n_layers=3, context_length=T, vocab_size=V) -> GPTModel:
    torch.manual_seed(0)
    cfg = GPTConfig(vocab_size, context_length, 12, n_heads=3, n_layers=n_layers, drop_rate=drop_rate)
    model = GPTModel(cfg)
    init_weights(model)
    return model


def some_batch(rows=4, length=T, vocab_size=V):
    return torch.randint(vocab_size, (rows, length)), torch.randint(vocab_size, (rows, length))


def gradients_of(model):
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_same(one: dict, other: dict, **tolerance):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], **tolerance)


def largest_allocation(run) -> int:
    """Bytes of the largest piece of memory that a run asks for, by torch's profiler."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()
    return max(event.nbytes() for event in events if event.name() == "[memory]")


# attention


def torchs_attention(att: MultiHeadAttention) -> nn.MultiheadAttention:
    """nn.MultiheadAttention with the weights of ours."""
    d_out, d_in = att.W_query.weight.shape
    assert d_out == d_in
    layer = nn.MultiheadAttention(d_out, att.num_heads, batch_first=True)
    layers = (att.W_query, att.W_key, att.W_value)
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.cat([each.weight for each in layers]))
        layer.in_proj_bias.copy_(torch.cat([each.bias for each in layers]))
    layer.out_proj.load_state_dict(att.out_proj.state_dict())
    return layer


@pytest.mark.parametrize("fused", FUSED)
def test_attention_as_in_torchs_layer(fused):
    att, x = MultiHeadAttention(12, 12, 30, 0.0, 3, qkv_bias=True), torch.randn(2, 9, 12)
    mask = nn.Transformer.generate_square_subsequent_mask(9)
    expected, _ = torchs_attention(att)(x, x, x, attn_mask=mask)
    torch.testing.assert_close(fused(att)(x), expected, atol=1e-6, rtol=1e-5)


@examples
@given(st.sampled_from(FUSED), st.integers(1, 20), st.sampled_from([1, 2, 3, 6]), st.booleans())
def test_attention_as_chapter_3_with_its_gradients(fused, length, num_heads, bias):
    att = MultiHeadAttention(5, 6, 20, 0.0, num_heads, bias).double()
    x = torch.randn(2, length, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, length, 6, dtype=torch.float64)
    fast = fused(copy.deepcopy(att))
    (slow_grad,) = torch.autograd.grad((att(x) * weights).sum(), x)
    (fast_grad,) = torch.autograd.grad((fast(x) * weights).sum(), x)
    torch.testing.assert_close(fast(x), att(x))
    torch.testing.assert_close(fast_grad, slow_grad)


@pytest.mark.parametrize("fused", FUSED)
def test_no_piece_of_memory_for_pairs_of_positions(fused):
    length = 512
    att, x = MultiHeadAttention(16, 16, length, 0.0, 2), torch.randn(1, length, 16)
    layer = fused(att)
    assert largest_allocation(lambda: att(x).sum().backward()) >= 4 * length**2
    assert largest_allocation(lambda: layer(x).sum().backward()) < 2 * length**2


@pytest.mark.parametrize("fused", FUSED)
def test_dropout_is_for_training(fused):
    att, x = MultiHeadAttention(6, 6, 20, 0.0, 2), torch.randn(1, 20, 6)
    layer = fused(att, dropout=0.4)
    torch.manual_seed(1)
    mean = torch.stack([layer(x) for _ in range(3000)]).mean(dim=0)
    assert (layer(x) - layer(x)).abs().max() > 0.01
    torch.testing.assert_close(mean, att(x), atol=0.1, rtol=0)
    torch.testing.assert_close(layer.eval()(x), att(x), atol=1e-6, rtol=1e-5)
    assert not fused(att.eval(), 0.4).training


def test_checkpoints_of_the_plain_model_fit_the_fast_one(tmp_path):
    plain, (x, _) = make_model(), some_batch()
    save_checkpoint(tmp_path / "run.pt", plain, torch.optim.SGD(plain.parameters(), lr=0.1), 3)
    fast = make_model().train()
    for block in fast.trf_blocks:
        block.att = FusedAttention(block.att)
    fuse_elementwise(fast)
    nn.init.zeros_(fast.tok_emb.weight)
    load_checkpoint(tmp_path / "run.pt", fast, torch.optim.SGD(fast.parameters(), lr=0.1))
    torch.testing.assert_close(fast(x), plain(x))


def test_an_optimizer_of_before_trains_the_fused_attention():
    plain, fast, (x, y) = make_model(), make_model(), some_batch()
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.5) for model in (plain, fast)]
    for block in fast.trf_blocks:
        block.att = FusedAttention(block.att)
    fuse_elementwise(fast)
    for _ in range(3):
        for model, optimizer in zip((plain, fast), optimizers, strict=True):
            optimizer.zero_grad()
            calc_loss_batch(x, y, model, "cpu").backward()
            optimizer.step()
    assert_same(dict(fast.named_parameters()), dict(plain.named_parameters()), atol=1e-5, rtol=1e-4)


def test_the_cache_of_chapter_7_walks_the_fused_model():
    model = make_model().eval()
    plain = generate(model, torch.tensor([[1, 2, 3]]), 8, T)
    for block in model.trf_blocks:
        block.att = FusedAttention(block.att)
    fuse_elementwise(model)
    assert torch.equal(generate_cached(model, torch.tensor([[1, 2, 3]]), 8, T), plain)


# norms and GELUs


def test_fused_norm_as_in_numpy():
    norm, x = LayerNorm(7), torch.randn(3, 7, dtype=torch.float64) * 4 + 9
    nn.init.normal_(norm.scale)
    nn.init.normal_(norm.shift)
    row = x.numpy()
    expected = (row - row.mean(-1, keepdims=True)) / np.sqrt(row.var(-1, keepdims=True) + 1e-5)
    expected = norm.scale.detach().double().numpy() * expected + norm.shift.detach().double().numpy()
    np.testing.assert_allclose(FusedLayerNorm(norm.double())(x).detach().numpy(), expected, rtol=1e-10)


def test_nothing_of_chapter_4s_norms_and_gelus_is_left():
    model, (x, y) = make_model(), some_batch()
    expected = calc_loss_batch(x, y, model, "cpu")
    expected.backward()
    before = {name: grad.clone() for name, grad in gradients_of(model).items()}
    kept = saved_bytes(lambda: model(x))
    model.zero_grad()
    fuse_elementwise(model)
    assert not [m for m in model.modules() if isinstance(m, LayerNorm | GELU)]
    loss = calc_loss_batch(x, y, model, "cpu")
    loss.backward()
    torch.testing.assert_close(loss, expected)
    assert_same(gradients_of(model), before, atol=1e-6, rtol=1e-4)
    assert saved_bytes(lambda: model(x)) < 0.75 * kept


# bfloat16


def test_autocast_loss_is_near_and_float32():
    model, (x, y) = make_model(), some_batch()
    for p in model.parameters():
        nn.init.normal_(p, std=0.3)
    dtypes = set()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _, __, out: dtypes.add(out.dtype))
    plain = calc_loss_batch(x, y, model, "cpu")
    assert dtypes == {torch.float32}
    dtypes.clear()
    loss = autocast_loss(x, y, model, torch.device("cpu"))
    loss.backward()
    assert dtypes == {torch.bfloat16} and loss.dtype == torch.float32
    assert loss.item() == pytest.approx(plain.item(), abs=0.02) and loss.item() != plain.item()
    assert all(p.dtype == torch.float32 and p.grad.dtype == torch.float32 for p in model.parameters())
    assert not torch.is_autocast_enabled("cpu")


def test_training_in_bfloat16_follows_float32():
    losses = {}
    for calc_loss in (calc_loss_batch, autocast_loss):
        model, (x, y) = make_model(), some_batch(8)
        optimizer = fused_adamw(model, 1e-2, 0.1)
        for _ in range(40):
            optimizer.zero_grad()
            loss = calc_loss(x, y, model, "cpu")
            loss.backward()
            optimizer.step()
        losses[calc_loss.__name__] = loss.item()
    assert losses["calc_loss_batch"] < 2.0
    assert losses["autocast_loss"] == pytest.approx(losses["calc_loss_batch"], abs=0.15)


# AdamW


def adamw_in_numpy(w, gradients, lr, decay, betas, eps=1e-8):
    m = v = np.zeros_like(w)
    for step, g in enumerate(gradients, 1):
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
        w = w - lr * decay * w
        w = w - lr * (m / (1 - betas[0] ** step)) / (np.sqrt(v / (1 - betas[1] ** step)) + eps)
    return w


@pytest.mark.parametrize("betas", [(0.9, 0.95), (0.5, 0.6)])
def test_fused_adamw_as_in_numpy(betas):
    model = nn.Linear(3, 4).double()
    before = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    gradients = {name: [torch.randn_like(p) for _ in range(5)] for name, p in model.named_parameters()}
    optimizer = fused_adamw(model, lr=0.05, weight_decay=0.3, betas=betas)
    for step in range(5):
        for name, p in model.named_parameters():
            p.grad = gradients[name][step].clone()
        optimizer.step()
    for name, p in model.named_parameters():
        decay = 0.3 if name == "weight" else 0.0
        expected = adamw_in_numpy(before[name], [g.numpy() for g in gradients[name]], 0.05, decay, betas)
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-9)
    assert all(group["fused"] for group in optimizer.param_groups)


# the vocabulary


@examples
@given(st.integers(1, 90), st.integers(1, 70), st.booleans())
def test_padded_sizes_and_losses(vocab_size, multiple, tied):
    model = make_model(n_layers=1, vocab_size=vocab_size)
    if tied:
        tie_weights(model)
    x, y = some_batch(2, vocab_size=vocab_size)
    expected = calc_loss_batch(x, y, model, "cpu")
    expected.backward()
    rows = model.out_head.weight.grad.clone()
    model.zero_grad()
    pad_vocab(model, multiple)
    loss = calc_loss_batch(x, y, model, "cpu")
    loss.backward()
    padded = model.out_head.weight.shape[0]
    assert padded % multiple == 0 and 0 <= padded - vocab_size < multiple
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(model.out_head.weight.grad[:vocab_size], rows)
    assert model.out_head.weight.grad[vocab_size:].abs().sum() == 0
    assert (model.out_head.weight is model.tok_emb.weight) == tied


def test_padding_is_never_chosen_nor_trained():
    model = make_model(vocab_size=17)
    pad_vocab(model)
    optimizer = fused_adamw(model, 1e-2, weight_decay=0.1)
    x, y = some_batch(vocab_size=17)
    for _ in range(5):
        optimizer.zero_grad()
        autocast_loss(x, y, model, "cpu").backward()
        assert clip_gradients(model.parameters(), 1.0).isfinite()
        optimizer.step()
    assert model.tok_emb.weight[17:].abs().max() == 0 and model.out_head.weight[17:].abs().max() == 0
    text = generate(model.eval(), torch.zeros(200, 1, dtype=torch.int64), 10, T, temperature=50.0)
    assert 10 < text.max() < 17


def test_padded_models_can_be_saved(tmp_path):
    one, other, (x, _) = make_model(), make_model(), some_batch()
    pad_vocab(one)
    pad_vocab(other)
    nn.init.zeros_(other.out_head.weight)
    save_checkpoint(tmp_path / "run.pt", one, torch.optim.SGD(parameter_groups(one, 0.1)), 1)
    load_checkpoint(tmp_path / "run.pt", other, torch.optim.SGD(parameter_groups(other, 0.1)))
    assert torch.equal(one(x), other(x))


# small batches


@examples
@given(st.integers(1, 9), st.integers(1, 12))
def test_small_batches_give_the_gradient_of_the_large_one(rows, micro_batch_size):
    plain, fast = make_model(n_layers=1).double(), make_model(n_layers=1).double()
    x, y = some_batch(rows)
    expected = calc_loss_batch(x, y, plain, "cpu")
    expected.backward()
    loss = accumulate_gradients(x, y, fast, "cpu", micro_batch_size)
    torch.testing.assert_close(loss, expected.detach(), check_dtype=False)
    assert_same(gradients_of(fast), gradients_of(plain))


def test_small_batches_with_another_loss_and_their_memory():
    model, (x, y) = make_model(), some_batch(16)
    loss = accumulate_gradients(x, y, model, "cpu", 4, calc_loss=autocast_loss)
    assert loss.item() == pytest.approx(calc_loss_batch(x, y, model, "cpu").item(), abs=0.01)
    whole = largest_allocation(lambda: calc_loss_batch(x, y, model, "cpu").backward())
    assert largest_allocation(lambda: accumulate_gradients(x, y, model, "cpu", 2)) < whole / 4


# checkpoints of blocks


@pytest.mark.parametrize("drop_rate", [0.0, 0.4])
@pytest.mark.parametrize("mode", [True, False])
def test_checkpointed_gpt_is_the_gpt(drop_rate, mode):
    model, (x, y) = make_model(drop_rate).train(mode), some_batch()
    results = []
    for forward in (model, lambda ids: forward_checkpointed(model, ids)):
        torch.manual_seed(3)
        model.zero_grad()
        loss = calc_loss_batch(x, y, forward, "cpu")
        loss.backward()
        results.append({"loss": loss, "next number": torch.rand(1)} | gradients_of(model))
    assert_same(*results, atol=1e-6, rtol=1e-5)


def test_checkpoints_keep_what_enters_each_block():
    model, (x, _) = make_model(n_layers=8), some_batch()
    deep, shallow = (
        saved_bytes(lambda m=m: forward_checkpointed(m, x)) for m in (model, make_model(n_layers=1))
    )
    assert deep - shallow == 7 * x.numel() * 12 * 4  # seven more inputs of a block
    assert deep < saved_bytes(lambda: model(x)) / 8


# the loss in chunks


@examples
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 40), st.booleans())
def test_chunked_loss_as_the_plain_one(rows, length, chunk_size, bias):
    head = nn.Linear(5, 31, bias=bias)
    hidden = torch.randn(rows, length, 5, requires_grad=True)
    targets = torch.randint(31, (rows, length))
    F.cross_entropy(head(hidden).flatten(0, 1), targets.flatten()).backward()
    expected = {"hidden": hidden.grad} | gradients_of(head)
    hidden.grad = None
    head.zero_grad()
    (2 * chunked_cross_entropy(hidden, head, targets, chunk_size)).backward()
    found = {"hidden": hidden.grad / 2} | {name: grad / 2 for name, grad in gradients_of(head).items()}
    assert_same(found, expected, atol=1e-6, rtol=1e-4)


def test_no_piece_of_memory_for_all_logits():
    hidden, head = torch.randn(4, 64, 8, requires_grad=True), nn.Linear(8, 500)
    targets = torch.randint(500, (4, 64))
    logits = 4 * targets.numel() * 500
    plain = largest_allocation(
        lambda: F.cross_entropy(head(hidden).flatten(0, 1), targets.flatten()).backward()
    )
    chunked = largest_allocation(lambda: chunked_cross_entropy(hidden, head, targets, 16).backward())
    assert plain >= logits
    assert chunked <= max(logits // 16, 4 * hidden.numel(), 4 * head.weight.numel())
    kept = saved_bytes(lambda: chunked_cross_entropy(hidden, head, targets, 16))
    assert kept <= 4 * hidden.numel() + 8 * targets.numel()


# files


@pytest.mark.parametrize(("vocab_size", "itemsize"), [(3, 2), (65_536, 2), (65_537, 4), (10**6, 4)])
def test_ids_come_back_from_as_few_bytes_as_they_need(tmp_path, vocab_size, itemsize):
    ids = torch.randint(vocab_size, (1000,))
    ids[:2] = torch.tensor([0, vocab_size - 1])
    write_tokens(tmp_path / "ids", ids, vocab_size)
    array = np.load(tmp_path / "ids")
    assert array.itemsize == itemsize and np.array_equal(array, ids.numpy())


@pytest.mark.parametrize("failing", ["numpy", "rename"])
def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch, failing):
    write_tokens(tmp_path / "ids", torch.arange(5), 10)

    def fail(*_, **__):
        raise OSError("no space left")

    if failing == "numpy":
        monkeypatch.setattr(speed.np, "save", fail)
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_tokens(tmp_path / "ids", torch.arange(9), 10)
    assert [path.name for path in tmp_path.iterdir()] == ["ids"]
    assert len(np.load(tmp_path / "ids")) == 5


@pytest.mark.parametrize("bad", [-1, 10, 2**16, 2**40])
def test_ids_outside_are_refused_before_anything_is_written(tmp_path, bad):
    with pytest.raises(ValueError, match="outside the vocabulary"):
        write_tokens(tmp_path / "ids", torch.tensor([1, bad, 2]), 10)
    assert not list(tmp_path.iterdir())


def test_a_file_gives_the_batches_of_get_batch(tmp_path):
    ids = torch.randint(50_000, (3000,))
    write_tokens(tmp_path / "ids", ids, 50_000)
    file = TokenFile(tmp_path / "ids")
    drawn, expected = torch.Generator().manual_seed(4), torch.Generator().manual_seed(4)
    for _ in range(3):
        for one, other in zip(file.batch(5, 7, drawn), get_batch(ids, 5, 7, expected), strict=True):
            assert torch.equal(one, other) and one.dtype == torch.int64


def test_the_file_is_mapped_and_not_read(tmp_path):
    write_tokens(tmp_path / "ids", torch.arange(100), 1000)
    file = TokenFile(tmp_path / "ids")
    with open(tmp_path / "ids", "r+b") as behind:
        behind.seek(-200, os.SEEK_END)
        behind.write(np.full(100, 7, dtype=np.uint16).tobytes())
    x, y = file.batch(4, 10)
    assert (x == 7).all() and (y == 7).all() and len(file) == 100


@pytest.mark.parametrize("number", [1, 4])
def test_a_file_that_is_too_short(tmp_path, number):
    write_tokens(tmp_path / "ids", torch.zeros(number, dtype=torch.int64), 10)
    with pytest.raises(ValueError, match="too few"):
        TokenFile(tmp_path / "ids").batch(1, 4)


# prefetch


@examples
@given(st.lists(st.integers()), st.integers(1, 5))
def test_prefetched_batches_are_the_same(batches, ahead):
    assert list(prefetch(batches, ahead)) == batches


def test_the_next_batch_is_made_while_this_one_is_used():
    made = [threading.Event() for _ in range(20)]

    def source():
        for number, event in enumerate(made):
            event.set()
            yield number

    batches = prefetch(source(), ahead=2)
    for number in batches:
        assert all(event.wait(10) for event in made[: number + 3])  # without it, this would wait in vain
    assert number == 19


def test_an_endless_source_is_left_in_peace():
    asked = count()
    source = (next(asked) for _ in iter(int, 1))
    before = threading.active_count()
    batches = prefetch(source, ahead=3)
    assert list(islice(batches, 5)) == [0, 1, 2, 3, 4]
    batches.close()
    assert next(asked) <= 5 + 3 + 1
    assert threading.active_count() == before


def test_an_error_of_the_source_comes_out_in_its_place():
    def source():
        yield 1
        yield 2
        raise RuntimeError("the disk is gone")

    seen = []
    with pytest.raises(RuntimeError, match="the disk"):
        for batch in prefetch(source(), ahead=4):
            seen.append(batch)
    assert seen == [1, 2]


# estimates


@examples
@given(st.integers(1, 3), st.sampled_from([1, 2, 4]), st.integers(1, 3), st.integers(1, T), st.booleans())
def test_flops_as_torch_counts_them(width, n_heads, n_layers, length, bias):
    cfg = GPTConfig(V, T, 4 * width, n_heads, n_layers, 0.0, bias)
    model = GPTModel(cfg)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, length, dtype=torch.int64)).sum().backward()
    assert training_flops(model, 2 * length, length) == counter.get_total_flops()


def test_flops_of_the_fast_model_are_those_of_the_plain_one():
    plain, fast = make_model(), make_model()
    for block in fast.trf_blocks:
        block.att = FusedQKVAttention(block.att)
    fuse_elementwise(fast)
    tie_weights(fast)
    assert training_flops(fast, 100, 5) == training_flops(plain, 100, 5)


def test_utilisation():
    assert model_flops_utilisation(312 * 10**12, 2.0, 312e12) == 0.5
    assert model_flops_utilisation(10**15, seconds=4, peak_flops=10**15) == 0.25


@examples
@given(st.lists(st.tuples(st.floats(1, 1e9), st.floats(0.01, 100)), min_size=2, max_size=8))
def test_power_law_as_numpys_line(points):
    sizes, losses = zip(*points, strict=True)
    assume(max(sizes) / min(sizes) > 1.01)
    a, alpha = fit_power_law(sizes, losses)
    slope, height = np.polyfit(np.log(sizes), np.log(losses), 1)
    assert alpha == pytest.approx(-slope, rel=1e-4, abs=1e-6)
    assert math.log(a) == pytest.approx(height, rel=1e-4, abs=1e-4)


def test_power_law_needs_two_sizes():
    with pytest.raises(ValueError, match="two different"):
        fit_power_law([100, 100], [3.0, 3.1])


# what is given


def test_ways_take_turns():
    calls = []
    ways = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = median_seconds(ways, rounds=3)
    assert calls == ["a", "b"] * 4  # a round to warm up
    assert list(seconds) == ["a", "b"] and all(s >= 0 for s in seconds.values())


def test_saved_bytes_counts_each_tensor_once():
    x = torch.randn(100, requires_grad=True)
    assert saved_bytes(lambda: x * x) == 400
    assert saved_bytes(lambda: x + 1) == 0
    assert saved_bytes(lambda: x.exp().exp()) == 800
