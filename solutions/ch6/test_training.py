"""What chapter 6's exercises are asked. Run it with `pytest exercises/ch6`.

To try a check in a Python shell, in the folder that holds exercises/:

    from exercises.ch6 import training; from exercises.ch6.test_training import *
    from grader.draw import Draw; from grader.seeds import seed_for
    draw = Draw(seed_for("public", "ch6", "loss_of_equal_chances"))

Then `loss_of_equal_chances.function(training, draw)` is what your code gives. `draw` makes
the inputs, `draw.fill(module)` sets a module's parameters; the README tells of `operators`,
`steps` and `folder`.
"""

import os
from math import log

import torch
from torch import nn

from grader.checks import check

SHARED = (
    "Twice",
    "Table",
    "Momentum",
    "DiskFull",
    "RunsCode",
    "Scores",
    "Elsewhere",
    "batches_of",
    "early_pieces",
    "outcome",
    "refusal",
    "noisy_steps",
)

SCHEDULES = "torch.optim.lr_scheduler"
CLIPPERS = ("torch.nn.utils.clip_grad*", "torch.nn.utils.get_total_norm")


class Twice(nn.Module):
    """Stands for dropout: it changes something in training only, but the same thing each time."""

    def forward(self, x):
        return 2 * x if self.training else x


class Table(nn.Module):
    """A model that is a table: each id's row holds the scores of the next. It notes how it is called."""

    def __init__(self, scores):
        super().__init__()
        self.scores = nn.Parameter(scores.clone())
        self.twice = Twice()
        self.passes = []

    def forward(self, ids):
        self.passes.append((ids.detach().cpu(), self.twice.training, torch.is_grad_enabled()))
        return self.twice(self.scores[ids])


class Momentum:
    """torch.optim.SGD with momentum 0.9. The first optimizer of torch's own takes seconds to import."""

    def __init__(self, parameters, lr):
        self.param_groups = [{"params": list(parameters), "lr": lr}]
        self.kept = {}

    def zero_grad(self, set_to_none=True):
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    @torch.no_grad()
    def step(self, closure=None):
        for i, parameter in enumerate(self.param_groups[0]["params"]):
            if parameter.grad is None:
                continue
            self.kept[i] = 0.9 * self.kept.get(i, 0) + parameter.grad
            parameter -= self.param_groups[0]["lr"] * self.kept[i]

    def state_dict(self):
        state = {i: {"momentum_buffer": kept} for i, kept in self.kept.items()}
        return {"state": state, "param_groups": [{"lr": self.param_groups[0]["lr"]}]}

    def load_state_dict(self, saved):
        parameters = self.param_groups[0]["params"]
        self.kept = {i: kept["momentum_buffer"].to(parameters[i]) for i, kept in saved["state"].items()}
        self.param_groups[0]["lr"] = saved["param_groups"][0]["lr"]


class DiskFull:
    """Put into a checkpoint, it makes the writing fail midway."""

    def __reduce__(self):
        raise OSError("no space left on device")


class RunsCode:
    """Opened as an ordinary pickle, it makes a folder; it could have done anything else."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Scores(torch.Tensor):
    """Scores that tell the device of the first tensor that they meet, and stop there."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        given = [*args, *(kwargs or {}).values()]
        given += [part for one in given if isinstance(one, tuple) for part in one]
        others = [one for one in given if isinstance(one, torch.Tensor) and not isinstance(one, cls)]
        if others:
            raise LookupError(sorted({one.device.type for one in others}))
        return super().__torch_function__(function, types, args, kwargs or {})


class Elsewhere(nn.Module):
    """A model that notes where its input lies."""

    def forward(self, ids):
        self.inputs_on = ids.device.type
        return torch.zeros(1, 2, 5).as_subclass(Scores)


def batches_of(ids):
    """Ids (n, B, T + 1) as n batches of inputs and targets, each (B, T), on the CPU as from any loader."""
    return [(rows[:, :-1].contiguous(), rows[:, 1:].contiguous()) for rows in ids.cpu()]


def early_pieces(inputs, attention, block, draw):
    """What chapters 2 to 4 give, each by itself, so that the first that differs is the one to mend."""
    cfg = block.GPTConfig(30, context_length=8, emb_dim=6, n_heads=2, n_layers=1, qkv_bias=True)
    tables = [draw.fill(nn.Embedding(rows, 6)) for rows in (30, 8)]
    att = draw.fill(attention.MultiHeadAttention(6, 6, 8, dropout=0.0, num_heads=2, qkv_bias=True))
    whole = draw.fill(block.TransformerBlock(cfg))
    x = draw.normal(2, 5, 6)
    return {
        "ch2, embed": inputs.embed(draw.integers(0, 30, 2, 5), *tables),
        "ch3, MultiHeadAttention": att(3 * x),
        "ch4, TransformerBlock": whole(x / 20),
    }


def outcome(function, *args):
    """What a call gives, or what it raises where the chapters before it do not fit."""
    try:
        return function(*args)
    except NotImplementedError:
        raise
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def refusal(function, *args):
    """How a call is refused: by a ValueError, or by another exception, in words; or what it returns."""
    try:
        return function(*args)
    except NotImplementedError:
        raise
    except ValueError:
        return "ValueError"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def noisy_steps(model, optimizer, steps):
    """Train on random numbers of torch's global generator."""
    for _ in range(steps):
        x, y = torch.rand(4, 3).to(model.weight.device), torch.rand(4, 2).to(model.weight.device)
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()


# calc_loss_batch


@check("calc_loss_batch")
def loss_of_equal_chances(training, draw):
    """A model that finds all of its 50 tokens equally likely has a loss of ln 50 = 3.912."""
    model = Table(torch.zeros(50, 50, device=draw.device))
    return training.calc_loss_batch(torch.tensor([[1, 2, 3]]), torch.tensor([[2, 3, 4]]), model, draw.device)


@check("calc_loss_batch", needs="loss_of_equal_chances")
def loss_of_a_batch(training, draw):
    """The loss of 2 rows of 3 ids, a mean over all 6 positions."""
    model = Table(draw.normal(5, 5))
    inputs, targets = torch.tensor([[0, 3, 1], [4, 4, 2]]), torch.tensor([[3, 1, 0], [4, 2, 1]])
    return training.calc_loss_batch(inputs, targets, model.eval(), draw.device)


@check("calc_loss_batch", needs="loss_of_a_batch")
def loss_has_gradients(training, draw):
    """backward() on the loss reaches the model's weights."""
    model = Table(draw.normal(5, 5))
    loss = training.calc_loss_batch(torch.tensor([[0, 3]]), torch.tensor([[3, 1]]), model, draw.device)
    loss.backward()
    return model.scores.grad


@check("calc_loss_batch", needs="loss_of_equal_chances")
def batch_goes_to_the_device(training):
    """Inputs and targets, wherever they are, are sent to `device`; here to "meta", where nothing is kept."""
    model = Elsewhere()
    try:
        training.calc_loss_batch(torch.tensor([[0, 3]]), torch.tensor([[3, 1]]), model, "meta")
    except LookupError as met:
        return {"inputs on": model.inputs_on, "scores met what is on": met.args[0]}


# calc_loss_loader


@check("calc_loss_loader")
def loader_of_equal_chances(training, draw):
    """The mean of four batches' losses, where each is ln 50 = 3.912; a Python float."""
    model = Table(torch.zeros(50, 50, device=draw.device))
    batches = [(torch.zeros(1, 3).long(), torch.ones(1, 3).long())] * 4
    return training.calc_loss_loader(batches, model, draw.device)


@check("calc_loss_loader", needs=("loader_of_equal_chances", "loss_of_a_batch"))
def first_batches_only(training, draw):
    """The mean over all of 4 batches, the first of them, the first 3, and at most 9."""
    model = Table(draw.normal(5, 5)).eval()
    loader = batches_of(draw.integers(0, 5, 4, 2, 4))
    return [training.calc_loss_loader(loader, model, draw.device, n) for n in (None, 1, 3, 9)]


@check("calc_loss_loader", needs="first_batches_only")
def looking_changes_nothing(training, draw):
    """Looking at the losses leaves the model in the mode that it is in, and keeps no gradients."""
    model = Table(draw.normal(5, 5))
    loader = batches_of(draw.integers(0, 5, 2, 2, 4))
    for mode in (True, False):
        training.calc_loss_loader(loader, model.train(mode), draw.device)
    return [{"training": mode, "gradients": gradients} for _, mode, gradients in model.passes]


@check("calc_loss_loader", needs="loader_of_equal_chances")
def no_batch_to_look_at(training, draw):
    """A loader without batches is a ValueError."""
    return refusal(training.calc_loss_loader, [], Table(draw.normal(5, 5)), draw.device)


# estimate_loss


@check("estimate_loss", needs="loss_of_a_batch")
def both_parts_of_the_text(training, draw):
    """Two texts with room for one window each: the loss on each of them, under its name."""
    model = Table(draw.normal(5, 5)).eval()
    train_ids, val_ids = torch.tensor([3, 1, 4, 1]), torch.tensor([2, 0, 4, 3])
    return training.estimate_loss(model, train_ids, val_ids, batch_size=2, context_length=3, eval_iters=3)


@check("estimate_loss", needs="both_parts_of_the_text")
def in_evaluation_mode(training, draw):
    """The model is in evaluation mode meanwhile, and afterwards in the mode that it was in before."""
    model = Table(draw.normal(5, 5))
    ids = torch.tensor([3, 1, 4, 1])
    after = []
    for mode in (True, False):
        training.estimate_loss(model.train(mode), ids, ids, batch_size=1, context_length=3, eval_iters=1)
        after.append((model.training, model.twice.training))
    return {"meanwhile": [mode for _, mode, _ in model.passes], "after": after}


@check("estimate_loss", needs="both_parts_of_the_text")
def many_batches(training, draw):
    """With 3 batches of 4 rows for each part, the model reads 12 rows of each, drawn batch by batch."""
    model = Table(draw.normal(40, 40))
    ids = torch.arange(40)
    training.estimate_loss(model, ids[:20], ids[20:], batch_size=4, context_length=5, eval_iters=3)
    firsts = torch.cat([rows[:, 0] for rows, _, _ in model.passes])
    train_firsts = firsts[firsts < 20]
    return {
        "rows of the training part": len(train_firsts),
        "rows of the other": int((firsts >= 20).sum()),
        "the same rows again": torch.equal(train_firsts[:4], train_firsts[4:8]),
    }


@check("estimate_loss", needs="both_parts_of_the_text")
def places_come_from_the_generator(training, draw):
    """Places come from the generator alone: the same seed, the same losses; torch's global one stays."""
    model = Table(draw.normal(40, 40))
    ids = torch.arange(40)
    one, again = (
        training.estimate_loss(model, ids, ids, 2, 5, 2, generator=torch.Generator().manual_seed(7))
        for _ in range(2)
    )
    return {"again the same": one == again, "global numbers": torch.rand(3)}


# perplexity


@check("perplexity")
def choices_of_a_character_model(training):
    """A loss of 1.88 is as unsure as a choice among 6.55 characters."""
    return training.perplexity(1.88)


@check("perplexity", needs="choices_of_a_character_model")
def perplexity_of_a_tensor(training):
    """A 0-d tensor will do as well, and gives a Python float: ln 50257 is a choice among 50257."""
    return training.perplexity(torch.tensor(log(50257)))


@check("perplexity", needs="choices_of_a_character_model")
def perplexity_beyond_all_numbers(training):
    """A loss of 10,000 is too large to exponentiate: inf."""
    try:
        return training.perplexity(10_000.0)
    except OverflowError:
        return "OverflowError"


# parameter_groups


@check("parameter_groups")
def matrices_and_vectors(training):
    """The matrices decay, and the biases and the layer norm's two vectors do not."""
    model = nn.Sequential(nn.Embedding(7, 3), nn.Linear(3, 5), nn.LayerNorm(5))
    name_of = {id(p): name for name, p in model.named_parameters()}
    groups = training.parameter_groups(model, weight_decay=0.1)
    return [(g["weight_decay"], sorted(name_of.get(id(p), "?") for p in g["params"])) for g in groups]


@check("parameter_groups", needs="matrices_and_vectors")
def groups_are_there_to_stay(training):
    """The parameters of a group can be gone through again at every step, as an optimizer does."""
    groups = training.parameter_groups(nn.Linear(3, 5), weight_decay=0.1)
    return [[len(list(g["params"])) for _ in range(3)] for g in groups]


@check("parameter_groups", needs="matrices_and_vectors")
def frozen_parameters_are_left_out(training):
    """A parameter that is not trained is in neither group."""
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    model[0].requires_grad_(False)
    groups = training.parameter_groups(model, weight_decay=0.1)
    return [[tuple(p.shape) for p in g["params"]] for g in groups]


@check("parameter_groups", needs="matrices_and_vectors")
def tied_parameters_come_once(training):
    """A matrix that is used in two places is in its group once."""
    model = nn.Sequential(nn.Embedding(7, 3), nn.Linear(3, 7))
    model[1].weight = model[0].weight
    groups = training.parameter_groups(model, weight_decay=0.1)
    return [[tuple(p.shape) for p in g["params"]] for g in groups]


# learning_rate


@check("learning_rate", forbidden=SCHEDULES)
def landmarks_of_the_schedule(training):
    """0 at first, 1 at the end of the warm-up (10), half-way down at 60, 0.1 from 110 on."""
    return [training.learning_rate(step, 1.0, 0.1, 10, 110) for step in (0, 5, 10, 60, 110, 500)]


@check("learning_rate", needs="landmarks_of_the_schedule", forbidden=SCHEDULES)
def every_step_of_a_short_schedule(training):
    """Steps 0 to 12, with 4 steps of warm-up, 10 in all, from 0.6 down to 0.06."""
    return [training.learning_rate(step, 0.6, 0.06, 4, 10) for step in range(13)]


@check("learning_rate", needs="landmarks_of_the_schedule", forbidden=SCHEDULES)
def no_warm_up(training):
    """Without warm-up the schedule starts at the top; with nothing but warm-up it ends at min_lr."""
    return [training.learning_rate(0, 0.6, 0.06, 0, 10), training.learning_rate(10, 0.6, 0.06, 10, 10)]


@check("learning_rate", needs="landmarks_of_the_schedule", forbidden=SCHEDULES)
def warm_up_longer_than_everything(training):
    """A warm-up of 11 steps of 10 is a ValueError."""
    return refusal(training.learning_rate, 3, 1.0, 0.1, 11, 10)


# clip_gradients


@check("clip_gradients", forbidden=CLIPPERS)
def gradient_of_3_and_4(training, draw):
    """The gradient (3, 4) has the length 5. Clipped to 1 it becomes (0.6, 0.8)."""
    weight = nn.Parameter(draw.tensor([0.0, 0.0]))
    weight.grad = draw.tensor([3.0, 4.0])
    norm = training.clip_gradients([weight], max_norm=1.0)
    return {"norm before": norm, "gradient": weight.grad}


@check("clip_gradients", needs="gradient_of_3_and_4", forbidden=CLIPPERS)
def short_gradients_stay(training, draw):
    """A gradient of length 5 stays as it is when 10 are allowed."""
    weight = nn.Parameter(draw.tensor([0.0, 0.0]))
    weight.grad = draw.tensor([3.0, 4.0])
    norm = training.clip_gradients([weight], max_norm=10.0)
    return {"norm before": float(norm), "gradient": weight.grad}


@check("clip_gradients", needs="gradient_of_3_and_4", forbidden=CLIPPERS)
def all_gradients_are_one_vector(training, draw):
    """(4, 0), (8) and (1) together have the length 9, and all shrink by one factor; one has no gradient."""
    weights = [nn.Parameter(torch.zeros(n, device=draw.device)) for n in (2, 1, 3, 1)]
    weights[0].grad, weights[1].grad, weights[3].grad = (draw.tensor(g) for g in ([4.0, 0.0], [8.0], [1.0]))
    norm = training.clip_gradients((w for w in weights), max_norm=4.5)
    return {"norm before": float(norm), "gradients": [weights[i].grad for i in (0, 1, 3)]}


# train_model


@check("train_model", needs="loss_of_a_batch")
def a_step_for_each_batch(training, draw):
    """The model's weights after two passes over three batches, a step of SGD for each batch."""
    model = Table(draw.normal(5, 5))
    loader = batches_of(draw.integers(0, 5, 3, 2, 4))
    optimizer = Momentum(model.parameters(), lr=0.5)
    training.train_model(
        model, loader, loader, optimizer, draw.device, num_epochs=2, eval_freq=100, eval_iter=1
    )
    return model.scores


@check("train_model", needs=("a_step_for_each_batch", "first_batches_only"))
def losses_on_the_way(training, draw):
    """After steps 0, 2 and 4: both losses, and how many tokens had been trained on, 6 for each step."""
    model = Table(draw.normal(5, 5))
    loader, val_loader = (batches_of(draw.integers(0, 5, 3, 2, 4)) for _ in range(2))
    optimizer = Momentum(model.parameters(), lr=0.5)
    train, val, tokens = training.train_model(
        model, loader, val_loader, optimizer, draw.device, num_epochs=2, eval_freq=2, eval_iter=2
    )
    return {"train": list(train), "val": list(val), "tokens seen": list(tokens)}


@check("train_model", needs="losses_on_the_way")
def modes_on_the_way(training, draw):
    """Steps are taken in training mode (True), losses are measured in evaluation mode (False)."""
    model = Table(draw.normal(5, 5))
    loader = batches_of(draw.integers(0, 5, 3, 2, 4))
    optimizer = Momentum(model.parameters(), lr=0.5)
    training.train_model(
        model, loader, loader, optimizer, draw.device, num_epochs=1, eval_freq=2, eval_iter=1
    )
    return [mode for _, mode, _ in model.passes]


@check("train_model", needs="losses_on_the_way")
def looks_are_told(training, draw):
    """on_eval is called after each look with the step and both losses."""
    model = Table(draw.normal(5, 5))
    loader, val_loader = (batches_of(draw.integers(0, 5, 3, 2, 4)) for _ in range(2))
    optimizer = Momentum(model.parameters(), lr=0.5)
    told = []

    def on_eval(step, train_loss, val_loss):
        told.append((step, train_loss, val_loss))

    training.train_model(model, loader, val_loader, optimizer, draw.device, 2, 4, 1, on_eval=on_eval)
    return told


@check("train_model", needs="losses_on_the_way", assembled=True)
def your_own_chapters_together(training, inputs, attention, block, model, draw):
    """Your own chapters 2 to 6 work together in 4 steps of training; mend the earliest one that differs."""
    loader = inputs.create_dataloader(draw.integers(0, 30, 33).cpu(), 2, 4, stride=4, shuffle=False)
    seen = {"ch2, create_dataloader": list(loader)} | early_pieces(inputs, attention, block, draw)
    gpt = draw.fill(model.GPTModel(model.GPTConfig(30, 8, 6, n_heads=2, n_layers=1, qkv_bias=True)))
    seen["ch5, GPTModel"] = outcome(gpt, draw.integers(0, 30, 2, 5))
    optimizer = Momentum(gpt.parameters(), lr=0.05)
    settings = gpt, loader, loader, optimizer, draw.device, 1, 3, 1
    return seen | {"ch6, train_model": outcome(training.train_model, *settings)}


# save_checkpoint


@check("save_checkpoint")
def one_file_appears(training, folder):
    """The file is there, under its name, and no other beside it."""
    model = nn.Linear(3, 2)
    optimizer = Momentum(model.parameters(), lr=0.5)
    training.save_checkpoint(folder / "checkpoint.pt", model, optimizer, step=1)
    names = [file.name for file in folder.iterdir()]
    return {"checkpoint.pt is there": "checkpoint.pt" in names, "files in all": len(names)}


@check("save_checkpoint", needs="one_file_appears")
def run_goes_on_as_if_never_stopped(training, draw, folder):
    """Two steps and a save, then a load and two more: the weights are those of four steps in a row."""
    model = draw.fill(nn.Linear(3, 2))
    optimizer = Momentum(model.parameters(), lr=0.5)
    noisy_steps(model, optimizer, 2)
    training.save_checkpoint(folder / "checkpoint.pt", model, optimizer, step=2)

    other = draw.fill(nn.Linear(3, 2))
    other_optimizer = Momentum(other.parameters(), lr=0.1)
    noisy_steps(other, other_optimizer, 5)
    training.load_checkpoint(folder / "checkpoint.pt", other, other_optimizer)
    noisy_steps(other, other_optimizer, 2)
    return dict(other.named_parameters())


@check("save_checkpoint", needs="one_file_appears")
def failed_save_leaves_the_old_file(training, folder):
    """When the disk is full midway, the error is passed on, the older file is whole and no other is left."""
    model = nn.Linear(3, 2)
    optimizer = Momentum(model.parameters(), lr=0.5)
    training.save_checkpoint(folder / "checkpoint.pt", model, optimizer, step=1)
    before = (folder / "checkpoint.pt").read_bytes()
    optimizer.kept[0] = DiskFull()
    try:
        training.save_checkpoint(folder / "checkpoint.pt", model, optimizer, step=2)
        error = "none"
    except (OSError, RuntimeError):
        error = "OSError or RuntimeError"
    others = len(list(folder.iterdir())) - 1
    whole = (folder / "checkpoint.pt").read_bytes() == before
    return {"error": error, "old file whole": whole, "other files": others}


@check("save_checkpoint", needs="one_file_appears")
def new_file_takes_the_place_of_the_old(training, folder):
    """The older file is replaced, never written over: under a second name that it had, it is still whole."""
    model = nn.Linear(3, 2)
    optimizer = Momentum(model.parameters(), lr=0.5)
    (folder / "run").mkdir()
    path, second_name = folder / "run" / "checkpoint.pt", folder / "second name"
    training.save_checkpoint(str(path), model, optimizer, step=1)
    os.link(path, second_name)
    before = path.read_bytes()
    training.save_checkpoint(str(path), model, optimizer, step=2)
    return {"old file whole": second_name.read_bytes() == before, "new file new": path.read_bytes() != before}


# load_checkpoint


@check("load_checkpoint", needs="one_file_appears")
def weights_and_step_come_back(training, draw, folder):
    """A new model gets the saved weights, and the number of the step is returned."""
    model, other = draw.fill(nn.Linear(3, 2)), draw.fill(nn.Linear(3, 2))
    optimizer = Momentum(model.parameters(), lr=0.5)
    training.save_checkpoint(folder / "checkpoint.pt", model, optimizer, step=7)
    step = training.load_checkpoint(folder / "checkpoint.pt", other, Momentum(other.parameters(), lr=0.1))
    return {"step": step, "parameters": dict(other.named_parameters())}


@check("load_checkpoint", needs="weights_and_step_come_back")
def optimizer_remembers(training, draw, folder):
    """The optimizer has its rate and its memory of past gradients back."""
    model = draw.fill(nn.Linear(3, 2))
    optimizer, other = Momentum(model.parameters(), lr=0.5), Momentum(model.parameters(), lr=0.1)
    noisy_steps(model, optimizer, 3)
    training.save_checkpoint(folder / "checkpoint.pt", model, optimizer, step=3)
    training.load_checkpoint(folder / "checkpoint.pt", model, other)
    return other.state_dict()


@check("load_checkpoint", needs="weights_and_step_come_back")
def random_numbers_go_on(training, folder):
    """The random numbers after loading are those that came after saving."""
    model = nn.Linear(3, 2)
    optimizer = Momentum(model.parameters(), lr=0.5)
    torch.rand(17)
    training.save_checkpoint(folder / "checkpoint.pt", model, optimizer, step=1)
    after_saving = torch.rand(3)
    training.load_checkpoint(folder / "checkpoint.pt", model, optimizer)
    return {"after saving": after_saving, "after loading": torch.rand(3)}


@check("load_checkpoint", needs="weights_and_step_come_back")
def no_program_is_run(training, folder):
    """A file that would run a program when it is opened is refused."""
    model = nn.Linear(3, 2)
    optimizer = Momentum(model.parameters(), lr=0.5)
    training.save_checkpoint(folder / "checkpoint.pt", model, optimizer, step=1)
    training.load_checkpoint(folder / "checkpoint.pt", model, optimizer)
    torch.save({"model": RunsCode(folder / "made by a program")}, folder / "checkpoint.pt")
    try:
        training.load_checkpoint(folder / "checkpoint.pt", model, optimizer)
        refused = False
    except Exception:
        refused = True
    return {"refused": refused, "program has run": (folder / "made by a program").exists()}
