"""Chapter 6 against numpy in float64, torch's own schedules and clipping, and loops written out by hand."""

import math
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from solutions.ch2.inputs import get_batch
from solutions.ch5.model import GPTConfig, GPTModel, init_weights, tie_weights
from solutions.ch6 import training
from solutions.ch6.training import (
    calc_loss_batch,
    calc_loss_loader,
    clip_gradients,
    estimate_loss,
    learning_rate,
    load_checkpoint,
    parameter_groups,
    perplexity,
    save_checkpoint,
    train_model,
)

examples = settings(deadline=None, derandomize=True, max_examples=100)
V, T = 20, 6
IDS = torch.arange(400) ** 2 % V


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before():
    torch.manual_seed(0)


def make_model(drop_rate=0.0, seed=0) -> GPTModel:
    torch.manual_seed(seed)
    model = GPTModel(GPTConfig(V, T, emb_dim=8, n_heads=2, n_layers=2, drop_rate=drop_rate))
    init_weights(model)
    return model


def some_batches(n, batch_size=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [get_batch(IDS, batch_size, T, generator) for _ in range(n)]


def cross_entropy_in_numpy(logits, targets):
    logits, targets = logits.detach().double().numpy(), targets.numpy()
    total = 0.0
    for row_logits, row_targets in zip(logits, targets, strict=True):
        for scores, target in zip(row_logits, row_targets, strict=True):
            top = scores.max()
            total += top + np.log(np.exp(scores - top).sum()) - scores[target]
    return total / targets.size


class Recorder(nn.Module):
    """A model that notes whether each pass was in training mode."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.modes = []

    def forward(self, ids):
        self.modes.append(self.training)
        return self.model(ids)


# losses


@pytest.mark.parametrize("scale", [1, 300])  # at 300 a softmax before the logarithm would give log 0
def test_loss_of_a_batch_by_hand(scale):
    model = make_model().double()
    model.out_head.weight.data *= scale
    (x, y) = some_batches(1)[0]
    loss = calc_loss_batch(x, y, model, "cpu")
    assert loss.dim() == 0
    assert loss.item() == pytest.approx(cross_entropy_in_numpy(model(x), y), abs=1e-10)


def test_loss_of_a_batch_is_float32_and_can_be_differentiated():
    model = make_model()
    loss = calc_loss_batch(*some_batches(1)[0], model, torch.device("cpu"))
    assert loss.dtype == torch.float32
    loss.backward()
    assert model.tok_emb.weight.grad.abs().max() > 0


@pytest.mark.parametrize(("num_batches", "looked_at"), [(1, 1), (3, 3), (5, 5), (99, 5), (None, 5)])
def test_loss_of_a_loader_is_the_mean_of_its_first_batches(num_batches, looked_at):
    model, batches = make_model(), some_batches(5)
    losses = [cross_entropy_in_numpy(model(x), y) for x, y in batches]
    loss = calc_loss_loader(batches, model, "cpu", num_batches)
    assert isinstance(loss, float)
    assert loss == pytest.approx(np.mean(losses[:looked_at]), abs=1e-6)


def test_measuring_a_loader_leaves_no_gradients_and_the_mode_alone():
    model = Recorder(make_model())
    for mode in (True, False):
        model.train(mode)
        calc_loss_loader(some_batches(2), model, "cpu")
        assert model.training == mode and model.modes[-2:] == [mode, mode]
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(("batches", "num_batches"), [(0, None), (0, 3), (4, 0)])
def test_no_batch_has_no_loss(batches, num_batches):
    with pytest.raises(ValueError, match="no batch"):
        calc_loss_loader(some_batches(batches), make_model(), "cpu", num_batches)


def test_estimate_is_the_mean_over_batches_drawn_first_from_train_then_from_val():
    model, generator = make_model(drop_rate=0.5), torch.Generator().manual_seed(4)
    losses = estimate_loss(model, IDS[:300], IDS[300:], 3, T, eval_iters=4, generator=generator)

    generator.manual_seed(4)
    model.eval()
    expected = {}
    for name, ids in (("train", IDS[:300]), ("val", IDS[300:])):
        batches = [get_batch(ids, 3, T, generator) for _ in range(4)]
        expected[name] = np.mean([cross_entropy_in_numpy(model(x), y) for x, y in batches])
    assert losses == pytest.approx(expected, abs=1e-6)
    assert list(losses) == ["train", "val"] and all(type(loss) is float for loss in losses.values())


@pytest.mark.parametrize("mode", [True, False])
def test_estimating_is_done_in_evaluation_and_restores_the_mode(mode):
    model = Recorder(make_model(drop_rate=0.5)).train(mode)
    estimate_loss(model, IDS[:300], IDS[300:], 2, T, eval_iters=2)
    assert model.modes == [False] * 4
    assert all(module.training == mode for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_estimating_with_a_generator_does_not_change_the_training():
    model = make_model(drop_rate=0.5)
    before = torch.get_rng_state()
    estimate_loss(model, IDS[:300], IDS[300:], 2, T, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("loss", [0.0, 1.0, 1.88, math.log(50257)])
def test_perplexity_is_the_exponential(loss):
    assert perplexity(loss) == pytest.approx(math.exp(loss), rel=1e-12)
    assert perplexity(torch.tensor(loss, requires_grad=True)) == pytest.approx(math.exp(loss), rel=1e-6)
    assert type(perplexity(loss)) is float


def test_a_loss_too_large_is_an_infinite_perplexity():
    assert perplexity(1e4) == math.inf


# parameter_groups


@pytest.mark.parametrize("tied", [False, True])
def test_every_trained_parameter_is_in_exactly_one_group(tied):
    model = make_model()
    if tied:
        tie_weights(model)
    model.pos_emb.weight.requires_grad_(False)
    model.final_norm.shift.requires_grad_(False)
    decayed, others = parameter_groups(model, weight_decay=0.1)
    assert decayed["weight_decay"] == 0.1 and others["weight_decay"] == 0.0

    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed_names = [name_of.pop(id(parameter)) for parameter in decayed["params"]]
    other_names = [name_of.pop(id(parameter)) for parameter in others["params"]]  # KeyError if it came twice
    assert set(name_of.values()) == {"pos_emb.weight", "final_norm.shift"}
    assert all("norm" not in name and name.endswith("weight") for name in decayed_names)
    assert all("norm" in name or name.endswith("bias") for name in other_names)
    assert "tok_emb.weight" in decayed_names and ("out_head.weight" in decayed_names) != tied


def test_adamw_decays_matrices_and_nothing_else():
    model = make_model()
    for parameter in model.parameters():
        parameter.data.fill_(1.0)
        parameter.grad = torch.zeros_like(parameter)  # nothing to learn: what changes is the decay
    torch.optim.AdamW(parameter_groups(model, weight_decay=0.5), lr=0.1).step()
    for name, parameter in model.named_parameters():
        expected = 1 - 0.1 * 0.5 if parameter.dim() == 2 else 1.0
        torch.testing.assert_close(parameter.data, torch.full_like(parameter, expected), msg=name)


# learning_rate


def test_schedule_at_its_landmarks():
    rate = [learning_rate(step, 6e-4, 6e-5, 10, 100) for step in range(300)]
    assert rate[0] == 0
    assert rate[1] == pytest.approx(6e-5)
    assert rate[9] == pytest.approx(5.4e-4)
    assert rate[10] == pytest.approx(6e-4)
    assert rate[55] == pytest.approx(3.3e-4)  # half-way down
    assert 6e-5 < rate[99] < 6.1e-5
    assert rate[100] == rate[101] == rate[299] == 6e-5
    assert rate[:11] == sorted(rate[:11])
    assert rate[10:101] == sorted(rate[10:101], reverse=True)


@pytest.mark.parametrize(("warmup", "total"), [(0, 50), (1, 50), (20, 50), (49, 50)])
def test_schedule_is_that_of_torch(warmup, total):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    down = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total - warmup, eta_min=0.02)
    for step in range(warmup, total + 1):
        assert learning_rate(step, 0.3, 0.02, warmup, total) == pytest.approx(
            down.get_last_lr()[0], abs=1e-12
        )
        optimizer.step()
        down.step()
    for step in range(warmup):
        assert learning_rate(step, 0.3, 0.02, warmup, total) == pytest.approx(
            np.interp(step, [0, warmup], [0, 0.3])
        )


@examples
@given(
    step=st.integers(0, 300),
    warmup=st.integers(0, 100),
    rest=st.integers(0, 150),
    rates=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
)
def test_schedule_in_closed_form(step, warmup, rest, rates):
    min_lr, max_lr = rates
    total = warmup + rest
    rate = learning_rate(step, max_lr, min_lr, warmup, total)
    if step < warmup:
        expected = max_lr * step / warmup
    else:
        half_turns = 1.0 if rest == 0 else min(1.0, (step - warmup) / rest)
        expected = min_lr + (max_lr - min_lr) * math.cos(math.pi / 2 * half_turns) ** 2
    assert type(rate) in (float, int)
    assert rate == pytest.approx(expected, abs=1e-12)


def test_a_warm_up_longer_than_everything_is_refused():
    with pytest.raises(ValueError, match=r"\b11\b.*\b10\b"):
        learning_rate(0, 1.0, 0.1, warmup_steps=11, total_steps=10)


# clip_gradients


@examples
@given(seed=st.integers(0, 2**32), max_norm=st.floats(0.01, 100), size=st.sampled_from([1e-3, 1, 1e3]))
def test_clipping_is_torchs_own(seed, max_norm, size):
    torch.manual_seed(seed)
    ours = [nn.Parameter(torch.zeros(shape)) for shape in [(3, 4), (5,), (), (2, 2, 2)]]
    for parameter in ours[:3]:  # the last one has no gradient
        parameter.grad = size * torch.randn(parameter.shape)
    theirs = [nn.Parameter(torch.zeros(parameter.shape)) for parameter in ours]
    for one, other in zip(ours[:3], theirs[:3], strict=True):
        other.grad = one.grad.clone()
    tensors = [parameter.grad for parameter in ours]

    norm = clip_gradients((parameter for parameter in ours), max_norm)
    assume(norm < max_norm or norm > max_norm * 1.001)  # torch divides by norm + 1e-6
    torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(theirs, max_norm))
    for one, other, tensor in zip(ours, theirs, tensors, strict=True):
        assert one.grad is tensor  # changed in place
        if tensor is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=2e-4, atol=0)
    length = torch.cat([p.grad.flatten() for p in ours[:3]]).norm()
    assert length <= max_norm * (1 + 1e-5)


def test_small_gradients_stay_bit_for_bit():
    weight = nn.Parameter(torch.zeros(1000))
    weight.grad = torch.randn(1000)
    before = weight.grad.clone()
    norm = clip_gradients([weight], max_norm=before.norm().item() * 1.01)
    assert norm.dim() == 0 and norm == before.norm()
    assert torch.equal(weight.grad, before)


def test_all_gradients_shrink_by_one_factor():
    big, small = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    big.grad, small.grad = torch.tensor([30.0, 0.0]), torch.tensor([0.0, 0.4])
    clip_gradients([big, small], max_norm=3.0)
    assert big.grad[0].item() / small.grad[1].item() == pytest.approx(75)


def test_no_gradients_are_a_norm_of_0():
    assert clip_gradients([nn.Parameter(torch.zeros(3))], max_norm=1.0).item() == 0
    assert clip_gradients([], max_norm=1.0).item() == 0


# train_model


def test_training_equals_the_loop_written_out():
    batches, val_batches = some_batches(5), some_batches(3, seed=2)
    model = Recorder(make_model(drop_rate=0.3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    looks = []
    torch.manual_seed(9)
    result = train_model(
        model,
        batches,
        val_batches,
        optimizer,
        "cpu",
        num_epochs=3,
        eval_freq=4,
        eval_iter=2,
        on_eval=lambda *look: looks.append((*look, model.training)),
    )

    by_hand = make_model(drop_rate=0.3)
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=1e-2)
    train_losses, val_losses, seen = [], [], []
    torch.manual_seed(9)
    for step, (x, y) in enumerate(batches * 3):
        by_hand.train()
        for parameter in by_hand.parameters():
            parameter.grad = None
        nn.functional.cross_entropy(by_hand(x).flatten(0, 1), y.flatten()).backward()
        optimizer.step()
        if step in (0, 4, 8, 12):
            by_hand.eval()
            with torch.no_grad():
                train_losses.append(np.mean([cross_entropy_in_numpy(by_hand(x), y) for x, y in batches[:2]]))
                val_losses.append(
                    np.mean([cross_entropy_in_numpy(by_hand(x), y) for x, y in val_batches[:2]])
                )
            seen.append((step + 1) * 3 * T)

    assert result[0] == pytest.approx(train_losses, abs=1e-6)
    assert result[1] == pytest.approx(val_losses, abs=1e-6)
    assert result[2] == seen
    assert all(type(loss) is float for loss in result[0] + result[1])
    for one, other in zip(model.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(one, other)
    assert looks == [(4 * i, result[0][i], result[1][i], True) for i in range(4)]
    look = [True] + [False] * 4  # a step, then two batches of either loader
    assert model.modes == look + ([True] * 3 + look) * 3 + [True] * 2
    assert model.training


def test_training_learns():
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batches = some_batches(10, batch_size=8)
    train_losses, val_losses, _ = train_model(
        model, batches, some_batches(2, seed=3), optimizer, "cpu", num_epochs=20, eval_freq=199, eval_iter=2
    )
    assert train_losses[0] > math.log(V) - 0.5
    assert train_losses[-1] < 0.5 * train_losses[0] and val_losses[-1] < 0.5 * val_losses[0]


# checkpoints


def fresh(seed=0, lr=1e-2):
    model = make_model(drop_rate=0.2, seed=seed)
    tie_weights(model)
    return model, torch.optim.AdamW(parameter_groups(model, weight_decay=0.1), lr=lr)


def train_on(model, optimizer, first_step, last_step):
    """Batches and dropout both draw from the global generator; the rate changes with the step."""
    losses = []
    model.train()
    for step in range(first_step, last_step):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, 1e-2, 1e-3, 5, 20)
        loss = calc_loss_batch(*get_batch(IDS, 4, T), model, "cpu")
        optimizer.zero_grad()
        loss.backward()
        clip_gradients(model.parameters(), max_norm=1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def flat_state(optimizer):
    state = optimizer.state_dict()
    moments = [(i, name, value) for i, kept in state["state"].items() for name, value in kept.items()]
    return state["param_groups"], moments


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path):
    model, optimizer = fresh()
    torch.manual_seed(42)
    losses = train_on(model, optimizer, 0, 20)

    first, first_optimizer = fresh()
    torch.manual_seed(42)
    assert train_on(first, first_optimizer, 0, 10) == losses[:10]
    save_checkpoint(tmp_path / "checkpoint.pt", first, first_optimizer, step=10)

    resumed, resumed_optimizer = fresh(seed=77, lr=0.5)  # another start, another rate
    torch.manual_seed(1234)
    torch.rand(17)
    assert load_checkpoint(tmp_path / "checkpoint.pt", resumed, resumed_optimizer) == 10
    assert train_on(resumed, resumed_optimizer, 10, 20) == losses[10:]
    assert len(set(losses)) == 20

    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    (groups, moments), (resumed_groups, resumed_moments) = (
        flat_state(optimizer),
        flat_state(resumed_optimizer),
    )
    assert resumed_groups == groups
    assert len(moments) == len(resumed_moments) > 0
    for (*key, value), (*resumed_key, resumed_value) in zip(moments, resumed_moments, strict=True):
        assert key == resumed_key and torch.equal(value, resumed_value)
    assert resumed.out_head.weight is resumed.tok_emb.weight


def test_saving_does_not_change_the_run(tmp_path):
    runs = []
    for saves in (False, True):
        model, optimizer = fresh()
        torch.manual_seed(42)
        losses = train_on(model, optimizer, 0, 3)
        if saves:
            save_checkpoint(str(tmp_path / "checkpoint.pt"), model, optimizer, 3)  # a str will do
        runs.append(losses + train_on(model, optimizer, 3, 6))
    assert runs[0] == runs[1]


def test_a_step_that_numpy_counted_comes_back(tmp_path):
    model, optimizer = fresh()
    save_checkpoint(tmp_path / "checkpoint.pt", model, optimizer, step=np.int64(3))
    assert load_checkpoint(tmp_path / "checkpoint.pt", *fresh()) == 3


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("failing", ["torch.save", "os.replace"])
def test_a_save_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch, failing, older):
    path = tmp_path / "checkpoint.pt"
    model, optimizer = fresh()
    if older:
        save_checkpoint(path, model, optimizer, step=1)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(*_):
        raise OSError("disk full")

    def write_a_little_and_fail(_, target, *args, **kwargs):
        target = Path(target if isinstance(target, str | os.PathLike) else target.name)
        assert target.parent == tmp_path and target != path  # beside it: a rename must not cross disks
        target.write_bytes(b"half a checkpoint")
        fail()

    if failing == "torch.save":
        monkeypatch.setattr(training.torch, "save", write_a_little_and_fail)
    else:
        monkeypatch.setattr(training.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, model, optimizer, step=2)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_newer_checkpoint_replaces_the_older_one(tmp_path):
    path = tmp_path / "checkpoint.pt"
    for step in (1, 2):
        save_checkpoint(path, *fresh(), step)
    assert load_checkpoint(path, *fresh()) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_another_number_of_threads_is_recorded_and_warned_of(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    threads = torch.get_num_threads()
    save_checkpoint(path, *fresh(), step=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_checkpoint(path, *fresh())

    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 2)
    with pytest.warns(UserWarning, match=rf"\b{threads} threads.*\b{threads + 2}\b"):
        load_checkpoint(path, *fresh())


class RunsCode:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("write", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb, 2))])
def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, write):
    marker, path = tmp_path / "code-has-run", tmp_path / "checkpoint.pt"
    write({"model": RunsCode(marker)}, path)
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(path, *fresh())
    assert not marker.exists()


def test_a_checkpoint_that_is_missing_or_cut_short_changes_nothing(tmp_path):
    path = tmp_path / "checkpoint.pt"
    model, optimizer = fresh()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.get_rng_state()
    with pytest.raises(FileNotFoundError):
        load_checkpoint(path, model, optimizer)

    save_checkpoint(path, *fresh(seed=5), step=1)
    torch.set_rng_state(random_state)
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises((RuntimeError, OSError, EOFError, pickle.UnpicklingError)):
            load_checkpoint(path, model, optimizer)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
