"""Hidden checks of chapter 6: fresh inputs, one check for each property."""

import os
import warnings

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
    "Noisy",
    "noisy_steps",
    "warned_with_threads",
    "named_groups",
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


class Noisy(nn.Module):
    """A matrix, a bias and a buffer that counts; what it gives is noisy, as with dropout."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.LayerNorm(3)
        self.register_buffer("passes", torch.tensor(0))

    def forward(self, x):
        self.passes += 1
        return self.linear(self.norm(x)) * torch.rand(2).to(x.device)


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


def noisy_steps(model, optimizer, steps):
    """Train on random numbers of torch's global generator."""
    for _ in range(steps):
        x = torch.rand(4, 3).to(model.linear.weight.device)
        optimizer.zero_grad()
        (model(x) - 1).square().mean().backward()
        optimizer.step()


def warned_with_threads(training, path, model, optimizer):
    """Whether loading warns with as many threads as now, and with one more."""
    threads = torch.get_num_threads()
    warned = {}
    try:
        for name, number in (("same number", threads), ("another number", threads + 1)):
            torch.set_num_threads(number)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                training.load_checkpoint(path, model, optimizer)
            warned[name] = len(caught) > 0
    finally:
        torch.set_num_threads(threads)
    return warned


def named_groups(groups, model):
    """Groups with the names of their parameters in the place of these, sorted."""
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        {
            "weight_decay": group["weight_decay"],
            "params": sorted(name_of.get(id(p), "?") for p in group["params"]),
        }
        for group in groups
    ]


# calc_loss_batch


@check("calc_loss_batch")
def loss_of_fresh_batches(training, draw):
    """The loss of batches of several sizes, one of a single position."""
    V = draw.integer(6, 12)
    model = Table(draw.normal(V, V)).eval()
    batches = [batches_of(draw.integers(0, V, 1, B, T + 1))[0] for B, T in [(4, 7), (1, 5), (3, 1), (1, 1)]]
    return [training.calc_loss_batch(x, y, model, draw.device) for x, y in batches]


@check("calc_loss_batch")
def loss_of_unlikely_tokens(training, draw):
    """Scores of several hundreds: the loss stays a number, where a probability would be 0."""
    model = Table(400 * draw.normal(8, 8)).eval()
    [(x, y)] = batches_of(draw.integers(0, 8, 1, 3, 5))
    return training.calc_loss_batch(x, y, model, draw.device)


@check("calc_loss_batch")
def gradients_of_the_loss(training, draw):
    """The gradients that the loss sends to every score."""
    model = Table(draw.normal(9, 9))
    [(x, y)] = batches_of(draw.integers(0, 9, 1, 3, 5))
    training.calc_loss_batch(x, y, model, draw.device).backward()
    return model.scores.grad


@check("calc_loss_batch")
def model_and_batch_stay(training, draw):
    """The mode of the model and the numbers of the batch are as before, and it reads the inputs once."""
    model = Table(draw.normal(9, 9))
    [(x, y)] = batches_of(draw.integers(0, 9, 1, 3, 5))
    losses = [training.calc_loss_batch(x, y, model.train(mode), draw.device) for mode in (True, False)]
    return {
        "losses": losses,
        "passes": [(ids, mode, gradients) for ids, mode, gradients in model.passes],
        "batch": [x, y],
        "gradient": model.scores.grad,
    }


@check("calc_loss_batch")
def batch_goes_to_the_device(training):
    """Inputs and targets, wherever they are, are sent to `device`; here to "meta", where nothing is kept."""
    model = Elsewhere()
    try:
        training.calc_loss_batch(torch.tensor([[0, 3]]), torch.tensor([[3, 1]]), model, torch.device("meta"))
    except LookupError as met:
        return {"inputs on": model.inputs_on, "scores met what is on": met.args[0]}


# calc_loss_loader


@check("calc_loss_loader")
def loader_of_fresh_batches(training, draw):
    """The mean over all batches and over the first n, for every n."""
    model = Table(draw.normal(9, 9)).eval()
    loader = batches_of(draw.integers(0, 9, 5, 2, 4))
    return [training.calc_loss_loader(loader, model, draw.device, n) for n in (None, 1, 2, 3, 4, 5, 6)]


@check("calc_loss_loader")
def all_batches_by_default(training, draw):
    """Without num_batches every batch counts, a lone one too."""
    model = Table(draw.normal(9, 9)).eval()
    loader = batches_of(draw.integers(0, 9, draw.integer(3, 6), 2, 4))
    return [training.calc_loss_loader(batches, model, draw.device) for batches in (loader, loader[:1])]


@check("calc_loss_loader")
def batches_of_several_sizes(training, draw):
    """Each batch counts the same, also one that is smaller than the others."""
    model = Table(draw.normal(9, 9)).eval()
    sizes = [(4, 6), (1, 2), (2, 3)]
    loader = [batches_of(draw.integers(0, 9, 1, B, T))[0] for B, T in sizes]
    return training.calc_loss_loader(loader, model, draw.device)


@check("calc_loss_loader")
def real_loaders(training, draw):
    """A DataLoader of torch's, gone through twice."""
    model = Table(draw.normal(9, 9)).eval()
    ids = draw.integers(0, 9, 7, 6).cpu()
    pairs = torch.utils.data.TensorDataset(ids[:, :-1], ids[:, 1:])
    loader = torch.utils.data.DataLoader(pairs, batch_size=3)
    return [training.calc_loss_loader(loader, model, draw.device, num_batches=n) for n in (2, None)]


@check("calc_loss_loader")
def mode_is_the_callers(training, draw):
    """The model runs in the mode that it has, keeps it, and no gradients are kept."""
    model = Table(draw.normal(9, 9))
    loader = batches_of(draw.integers(0, 9, 3, 2, 4))
    losses = [training.calc_loss_loader(loader, model.train(mode), draw.device, 2) for mode in (True, False)]
    return {
        "losses": losses,
        "modes": {mode for _, mode, _ in model.passes} == {True, False} and not model.training,
        "graph kept": any(gradients for _, _, gradients in model.passes),
        "gradient": model.scores.grad,
        "still on": torch.is_grad_enabled(),
    }


@check("calc_loss_loader")
def loaders_without_batches(training, draw):
    """No batch to look at is a ValueError: of an empty loader, or when none may be looked at."""
    model = Table(draw.normal(9, 9))
    loader = batches_of(draw.integers(0, 9, 3, 2, 4))
    seen = [training.calc_loss_loader(loader, model.eval(), draw.device)]
    for batches, n in (([], None), ([], 3), (loader, 0)):
        try:
            seen.append(training.calc_loss_loader(batches, model, draw.device, n))
        except ValueError:
            seen.append("ValueError")
    return seen


# estimate_loss


@check("estimate_loss")
def mean_over_the_windows_drawn(training, draw):
    """The two losses are the means over the windows that the model read, 12 of each part."""
    ids = draw.permutation(240)
    model = Table(draw.normal(240, 240))
    losses = training.estimate_loss(model, ids[:140].cpu(), ids[140:].cpu(), 4, 5, 3)
    return {"losses": losses, "windows": torch.cat([rows for rows, _, _ in model.passes])}


@mean_over_the_windows_drawn.accept
def _(seen, draw):
    ids, log_probs = draw.permutation(240).cpu(), draw.normal(240, 240).cpu().log_softmax(dim=-1)
    place_of = ids.argsort()
    windows = seen["windows"]
    if not ((windows >= 0) & (windows < 240)).all():
        return "The model read something that is not in the text."
    starts = place_of[windows[:, 0]]
    if not torch.equal(place_of[windows], starts[:, None] + torch.arange(5)):
        return "The model read something that is no window of the text."
    for name, low, high in (("train", 0, 140), ("val", 140, 240)):
        mine = starts[(starts >= low) & (starts < high)]
        if len(mine) != 12 or mine.max() + 5 >= high:
            return f"For the part {name!r} the model should have read 12 windows of that part."
        if len(mine.unique()) <= 4:  # by chance: less than once in 10^9
            return "Each batch should be drawn anew, from places all over the text."
        places = mine[:, None] + torch.arange(5)
        loss = -log_probs[ids[places], ids[places + 1]].mean().item()
        if abs(loss - seen["losses"][name]) > 1e-4 * loss:
            return f"{name!r} is not the mean of the losses of its windows, which is {loss:.4f}."


@check("estimate_loss")
def parts_with_a_single_window(training, draw):
    """Texts with room for one window each leave nothing to chance."""
    V = draw.integer(6, 12)
    model = Table(draw.normal(V, V))
    train_ids, val_ids = draw.integers(0, V, 6).cpu(), draw.integers(0, V, 6).cpu()
    return [training.estimate_loss(model, train_ids, val_ids, 2, 5, iters) for iters in (1, 4)]


@check("estimate_loss")
def names_and_numbers(training, draw):
    """Exactly the two names, with a Python float each."""
    ids = draw.integers(0, 9, 30).cpu()
    losses = training.estimate_loss(Table(draw.normal(9, 9)), ids, ids, 2, 3, 2)
    return {name: isinstance(loss, float) and loss > 0 for name, loss in losses.items()}


@check("estimate_loss")
def evaluation_and_back(training, draw):
    """In evaluation mode without gradients; afterwards every part of the model is in the mode of before."""
    model = Table(draw.normal(9, 9))
    ids = draw.integers(0, 9, 30).cpu()
    after = []
    for mode in (True, False, True):
        training.estimate_loss(model.train(mode), ids[:20], ids[20:], 2, 3, 2)
        after.append([module.training for module in model.modules()])
    return {
        "trained meanwhile": any(mode for _, mode, _ in model.passes),
        "graph kept": any(gradients for _, _, gradients in model.passes),
        "after": after,
        "gradient": model.scores.grad,
        "still on": torch.is_grad_enabled(),
    }


@check("estimate_loss")
def looking_does_not_change_the_training(training, draw):
    """Places come from the generator alone: same seed, same losses; torch's global one is left alone."""
    model = Table(draw.normal(60, 60))
    ids = draw.permutation(60).cpu()
    seen = [
        training.estimate_loss(model, ids, ids, 3, 4, 3, torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    ]
    return {
        "same seed, same losses": seen[0] == seen[1],
        "other seed, same losses": seen[0] == seen[2],
        "one part as the other": seen[0]["train"] == seen[0]["val"],
        "global numbers": torch.rand(3),
    }


@check("estimate_loss")
def global_numbers_without_generator(training, draw):
    """Without a generator the places come from torch's global numbers."""
    model = Table(draw.normal(60, 60))
    ids = draw.permutation(60).cpu()
    seen = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        seen.append(training.estimate_loss(model, ids, ids, 3, 4, 3))
    return {"same seed": seen[0] == seen[1], "other seed": seen[0] == seen[2]}


@check("estimate_loss")
def texts_and_weights_stay(training, draw):
    """The texts and the model's weights are as before."""
    model = Table(draw.normal(9, 9))
    train_ids, val_ids = draw.integers(0, 9, 12).cpu(), draw.integers(0, 9, 8).cpu()
    training.estimate_loss(model, train_ids, val_ids, 2, 3, 2)
    return {"train_ids": train_ids, "val_ids": val_ids, "weights": model.scores}


# perplexity


@check("perplexity")
def perplexity_of_fresh_losses(training, draw):
    """The exponential of losses from 0 to 12."""
    return [training.perplexity(loss) for loss in (0.0, 1.0, *(draw.number(0.1, 12.0) for _ in range(4)))]


@check("perplexity")
def perplexity_of_fresh_tensors(training, draw):
    """A 0-d tensor, also one with gradients such as a loss in training; a Python float comes back."""
    losses = draw.uniform(3, low=0.5, high=11.0)
    return [training.perplexity(losses[0]), training.perplexity(losses[1].clone().requires_grad_())]


@check("perplexity")
def infinite_perplexity(training, draw):
    """A loss too large to exponentiate gives inf, as a number and as a tensor."""
    seen = [training.perplexity(2.0)]
    for loss in (5000.0, draw.tensor(5000.0)):
        try:
            seen.append(training.perplexity(loss))
        except OverflowError:
            seen.append("OverflowError")
    return seen


# parameter_groups


@check("parameter_groups")
def groups_of_all_kinds(training, draw):
    """What has two dimensions or more decays; vectors and lone numbers do not, whatever their names."""
    model = nn.Sequential(nn.Embedding(5, 3), nn.LayerNorm(3), nn.Conv1d(3, 4, 2), nn.Linear(4, 3))
    model.bias_table = nn.Parameter(torch.ones(2, 2))
    model.weight = nn.Parameter(torch.ones(5))
    model.alone = nn.Parameter(torch.tensor(1.0))
    return named_groups(training.parameter_groups(model, draw.number(0.01, 0.5)), model)


@check("parameter_groups")
def every_parameter_once(training, draw):
    """Tied parameters come once, frozen ones not at all, wherever they are."""
    model = nn.Sequential(nn.Embedding(7, 3), nn.LayerNorm(3), nn.Linear(3, 3), nn.Linear(3, 7))
    model[3].weight = model[0].weight
    for frozen in (model[1].bias, model[2].weight):
        frozen.requires_grad_(False)
    model.once_more = model[1]
    return named_groups(training.parameter_groups(model, draw.number(0.01, 0.5)), model)


@check("parameter_groups")
def grouping_changes_nothing(training, draw):
    """The numbers and gradients of the parameters are as before, and no decay at all is possible."""
    model = draw.fill(nn.Linear(3, 2))
    model(draw.normal(2, 3)).sum().backward()
    groups = training.parameter_groups(model, weight_decay=0.0)
    again = training.parameter_groups(model, weight_decay=0.3)
    return {
        "groups": [named_groups(each, model) for each in (groups, again, groups)],
        "numbers": [model.weight, model.bias],
        "gradients": [model.weight.grad, model.bias.grad],
        "trained": [model.weight.requires_grad, model.bias.requires_grad],
    }


# learning_rate


@check("learning_rate", forbidden=SCHEDULES)
def rates_of_a_fresh_schedule(training, draw):
    """Every step of a fresh schedule, and some after its end."""
    warmup, rest = draw.integer(3, 9), draw.integer(5, 20)
    max_lr, min_lr = draw.number(0.5, 1.0), draw.number(0.05, 0.3)
    return [
        training.learning_rate(s, max_lr, min_lr, warmup, warmup + rest) for s in range(warmup + 2 * rest)
    ]


@check("learning_rate", forbidden=SCHEDULES)
def schedules_without_warm_up(training, draw):
    """Without warm-up the rate starts at max_lr."""
    total, max_lr = draw.integer(4, 9), draw.number(0.5, 1.0)
    return [training.learning_rate(step, max_lr, 0.1, 0, total) for step in range(total + 3)]


@check("learning_rate", forbidden=SCHEDULES)
def schedules_of_warm_up_only(training, draw):
    """With as many steps of warm-up as there are in all, min_lr follows upon it."""
    total, max_lr = draw.integer(4, 9), draw.number(0.5, 1.0)
    return [training.learning_rate(step, max_lr, 0.1, total, total) for step in range(total + 3)]


@check("learning_rate", forbidden=SCHEDULES)
def real_rates(training, draw):
    """Rates as small as those of a real run, over many steps."""
    steps = (0, 1, 1999, 2000, 2001, draw.integer(2002, 90_000), 99_999, 100_000)
    return [1e4 * training.learning_rate(step, 6e-4, 6e-5, 2000, 100_000) for step in steps]


@check("learning_rate", forbidden=SCHEDULES)
def warm_ups_that_do_not_fit(training, draw):
    """More steps of warm-up than there are in all are a ValueError, at any step."""
    total = draw.integer(4, 9)
    seen = [training.learning_rate(1, 1.0, 0.1, total, total)]
    for step in (0, total, total + 5):
        try:
            seen.append(training.learning_rate(step, 1.0, 0.1, total + 1, total))
        except ValueError:
            seen.append("ValueError")
    return seen


# clip_gradients


@check("clip_gradients", forbidden=CLIPPERS)
def long_gradients_are_shortened(training, draw):
    """Gradients of several shapes, together too long: one factor for all of them."""
    weights = [
        nn.Parameter(torch.zeros(shape, device=draw.device)) for shape in [(3, 4), (5,), (), (2, 2, 2)]
    ]
    for weight in weights:
        weight.grad = 10 * draw.normal(*weight.shape)
    norm = training.clip_gradients(weights, max_norm=draw.number(0.5, 2.0))
    return {"norm before": float(norm), "gradients": [weight.grad for weight in weights]}


@check("clip_gradients", forbidden=CLIPPERS)
def short_gradients_keep_their_length(training, draw):
    """Gradients that are short enough together are left as they are, also when little is missing."""
    weights = [nn.Parameter(torch.zeros(3, 4, device=draw.device)) for _ in range(2)]
    for weight in weights:
        weight.grad = draw.normal(3, 4)
    length = torch.cat([weight.grad for weight in weights]).norm().item()
    norms = [float(training.clip_gradients(weights, max_norm=factor * length)) for factor in (100.0, 1.05)]
    return {"norms": norms, "gradients": [weight.grad for weight in weights]}


@check("clip_gradients", forbidden=CLIPPERS)
def each_alone_is_short_enough(training, draw):
    """Ten gradients, each shorter than max_norm, but longer together."""
    weights = [nn.Parameter(torch.zeros(4, device=draw.device)) for _ in range(10)]
    for weight in weights:
        weight.grad = draw.uniform(4, low=0.2, high=0.5)
    norm = training.clip_gradients(weights, max_norm=1.1)
    return {"norm before": float(norm), "gradients": [weight.grad for weight in weights]}


@check("clip_gradients", forbidden=CLIPPERS)
def norm_is_a_0d_tensor(training, draw):
    """What is returned is a 0-d tensor, whether or not there was something to clip."""
    weight = nn.Parameter(torch.zeros(4, device=draw.device))
    norms = []
    for max_norm in (0.5, 50.0):
        weight.grad = draw.normal(4)
        norms.append(training.clip_gradients([weight], max_norm))
    return norms


@check("clip_gradients", forbidden=CLIPPERS)
def parameters_in_any_iterable(training, draw):
    """A generator that can be gone through once, with parameters that have no gradient among the others."""
    model = draw.fill(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(2, 2)))
    for parameter in (model[0].weight, model[1].bias):
        parameter.grad = 5 * draw.normal(*parameter.shape)
    norm = training.clip_gradients(model.parameters(), max_norm=0.7)
    return {"norm before": float(norm), "gradients": {name: p.grad for name, p in model.named_parameters()}}


@check("clip_gradients", forbidden=CLIPPERS)
def nothing_to_clip(training, draw):
    """Without any gradient, or with gradients of 0, the norm is 0 and nothing happens."""
    bare, still = (nn.Parameter(torch.zeros(3, device=draw.device)) for _ in range(2))
    still.grad = torch.zeros(3, device=draw.device)
    norms = [float(training.clip_gradients(weights, 1.0)) for weights in ([bare], [still], [bare, still])]
    return {"norms": norms, "gradients": [bare.grad, still.grad]}


@check("clip_gradients", forbidden=CLIPPERS)
def weights_stay_and_train_on(training, draw):
    """Only gradients change, not the weights; and the gradients do not become part of a graph."""
    model = draw.fill(nn.Linear(3, 4))
    model(10 * draw.normal(2, 3)).square().sum().backward()
    training.clip_gradients(model.parameters(), max_norm=0.1)
    return {
        "weights": [model.weight, model.bias],
        "gradients": [model.weight.grad, model.bias.grad],
        "in a graph": [p.grad.requires_grad for p in model.parameters()],
        "still on": torch.is_grad_enabled(),
    }


# train_model


@check("train_model")
def weights_after_some_epochs(training, draw):
    """The weights after fresh batches and epochs, with momentum."""
    model = Table(draw.normal(7, 7))
    loader = batches_of(draw.integers(0, 7, draw.integer(2, 5), 2, 4))
    optimizer = Momentum(model.parameters(), lr=draw.number(0.2, 0.6))
    epochs = draw.integer(2, 4)
    training.train_model(model, loader, loader, optimizer, draw.device, epochs, eval_freq=1000, eval_iter=1)
    return model.scores


@check("train_model")
def looks_at_their_steps(training, draw):
    """Losses and tokens after the steps 0, 3, 6, … of all epochs, whatever the length of an epoch."""
    model = Table(draw.normal(7, 7))
    loader, val_loader = batches_of(draw.integers(0, 7, 4, 2, 4)), batches_of(draw.integers(0, 7, 3, 3, 5))
    optimizer = Momentum(model.parameters(), lr=0.4)
    told = []

    def on_eval(step, train_loss, val_loss):
        told.append((step, train_loss, val_loss))

    train_losses, val_losses, tokens = training.train_model(
        model, loader, val_loader, optimizer, draw.device, 3, 3, 2, on_eval=on_eval
    )
    return {"train": train_losses, "val": val_losses, "tokens": tokens, "told": told}


@check("train_model")
def a_look_after_every_step(training, draw):
    """With eval_freq 1 there is a look after every step, and the weights are those of a run without looks."""
    start = draw.normal(7, 7)
    loader = batches_of(draw.integers(0, 7, 3, 2, 4))
    seen = []
    for eval_freq in (1, 100):
        model = Table(start)
        optimizer = Momentum(model.parameters(), lr=0.4)
        losses = training.train_model(model, loader, loader[:1], optimizer, draw.device, 2, eval_freq, 1)
        seen.append({"losses": [list(column) for column in losses], "weights": model.scores})
    return seen


@check("train_model")
def order_of_the_passes(training, draw):
    """What the model reads in training mode: each batch in turn, epoch after epoch."""
    model = Table(draw.normal(7, 7)).eval()
    loader, val_loader = batches_of(draw.integers(0, 7, 3, 2, 4)), batches_of(draw.integers(0, 7, 2, 2, 4))
    optimizer = Momentum(model.parameters(), lr=0.4)
    training.train_model(model, loader, val_loader, optimizer, draw.device, 2, 2, 1)
    return [ids for ids, mode, _ in model.passes if mode]


@check("train_model")
def looks_in_evaluation_mode(training, draw):
    """Losses are measured with all of the model in evaluation mode; steps are taken in training mode."""
    model = Table(draw.normal(7, 7))
    loader, val_loader = batches_of(draw.integers(0, 7, 5, 2, 4)), batches_of(draw.integers(0, 7, 2, 2, 4))
    optimizer = Momentum(model.parameters(), lr=0.4)
    training.train_model(model, loader, val_loader, optimizer, draw.device, 1, 3, 1)
    return [mode for _, mode, _ in model.passes]


@check("train_model")
def batches_of_several_lengths(training, draw):
    """Tokens are counted batch by batch, a smaller last one as what it is."""
    model = Table(draw.normal(7, 7))
    loader = [batches_of(draw.integers(0, 7, 1, B, T + 1))[0] for B, T in [(3, 5), (2, 5), (1, 2)]]
    optimizer = Momentum(model.parameters(), lr=0.4)
    _, _, tokens = training.train_model(model, loader, loader, optimizer, draw.device, 2, 1, 1)
    return list(tokens)


@check("train_model")
def gradients_of_before_are_forgotten(training, draw):
    """Gradients that lie about before the first step do not count."""
    model = Table(draw.normal(7, 7))
    model.scores.grad = 100 * draw.normal(7, 7)
    loader = batches_of(draw.integers(0, 7, 2, 2, 4))
    optimizer = Momentum(model.parameters(), lr=0.4)
    training.train_model(model, loader, loader, optimizer, draw.device, 1, 1, 1)
    return model.scores


@check("train_model")
def a_circle_is_learned(training, draw):
    """A table that is trained on a circle of tokens knows, for each of them, which comes next."""
    circle = draw.permutation(6).cpu()
    ids = circle.repeat(5)[:25]
    loader = [(ids[:-1].view(2, 12), ids[1:].view(2, 12))]
    model = Table(torch.zeros(6, 6, device=draw.device))
    optimizer = Momentum(model.parameters(), lr=1.0)
    losses, _, _ = training.train_model(model, loader, loader, optimizer, draw.device, 60, 59, 1)
    return {"losses": list(losses), "scores": model.scores}


@check("train_model", needs="weights_after_some_epochs", assembled=True)
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
def resumed_run(training, draw, folder):
    """Save after some steps, load into another model and go on: weights, buffer and memory at the end."""
    model = draw.fill(Noisy())
    optimizer = Momentum(model.parameters(), lr=0.5)
    noisy_steps(model, optimizer, draw.integer(2, 5))
    training.save_checkpoint(folder / "run.pt", model, optimizer, step=4)

    other = draw.fill(Noisy())
    other_optimizer = Momentum(other.parameters(), lr=0.1)
    noisy_steps(other, other_optimizer, 1)
    step = training.load_checkpoint(folder / "run.pt", other, other_optimizer)
    noisy_steps(other, other_optimizer, 3)
    return {"step": step, "model": dict(other.state_dict()), "optimizer": other_optimizer.state_dict()}


@check("save_checkpoint")
def saving_changes_nothing(training, draw, folder):
    """The run that is saved goes on as if it had not been."""
    model = draw.fill(Noisy())
    optimizer = Momentum(model.parameters(), lr=0.5)
    noisy_steps(model, optimizer, 2)
    training.save_checkpoint(folder / "run.pt", model, optimizer, step=2)
    noisy_steps(model, optimizer, 2)
    return {"model": dict(model.state_dict()), "training": model.training, "next": torch.rand(3)}


@check("save_checkpoint")
def one_file_and_no_other(training, draw, folder):
    """Saving twice leaves one file, under its name, be the path a Path or a str; neighbours stay."""
    model = draw.fill(Noisy())
    optimizer = Momentum(model.parameters(), lr=0.5)
    for name in ("run.pt", "run", "run.tmp", "notes.txt"):
        (folder / name).write_text(name)
    training.save_checkpoint(folder / "a.run", model, optimizer, step=1)
    training.save_checkpoint(str(folder / "a.run"), model, optimizer, step=2)
    files = {file.name: file.stat().st_size for file in folder.iterdir()}
    return {"not empty": files.pop("a.run", 0) > 100, "neighbours": files}


@check("save_checkpoint")
def newest_one_is_loaded(training, draw, folder):
    """The newer checkpoint is the one that is found afterwards."""
    model, other = draw.fill(Noisy()), draw.fill(Noisy())
    optimizer = Momentum(model.parameters(), lr=0.5)
    training.save_checkpoint(folder / "run.pt", model, optimizer, step=1)
    noisy_steps(model, optimizer, 2)
    training.save_checkpoint(folder / "run.pt", model, optimizer, step=3)
    training.load_checkpoint(folder / "run.pt", other, Momentum(other.parameters(), lr=0.1))
    return dict(other.state_dict())


@check("save_checkpoint")
def disk_full_midway(training, draw, folder):
    """A save that fails midway passes the error on and leaves the folder as it was: old file or none."""
    model = draw.fill(Noisy())
    optimizer, failing = (Momentum(model.parameters(), lr=0.5) for _ in range(2))
    failing.kept[0] = DiskFull()
    training.save_checkpoint(folder / "old.pt", model, optimizer, step=1)
    before = (folder / "old.pt").read_bytes()
    errors = []
    for name in ("old.pt", "new.pt"):
        try:
            training.save_checkpoint(folder / name, model, failing, step=2)
            errors.append("none")
        except (OSError, RuntimeError):
            errors.append("OSError or RuntimeError")
    files = {file.name: file.read_bytes() == before for file in folder.iterdir()}
    return {"errors": errors, "files, and whether they are the old one": files}


@check("save_checkpoint")
def something_in_the_way(training, draw, folder):
    """Where a folder has the file's name, saving fails, and leaves nothing behind."""
    model = draw.fill(Noisy())
    optimizer = Momentum(model.parameters(), lr=0.5)
    (folder / "run.pt" / "inside").mkdir(parents=True)
    training.save_checkpoint(folder / "other.pt", model, optimizer, step=1)
    try:
        training.save_checkpoint(folder / "run.pt", model, optimizer, step=1)
        error = "none"
    except (OSError, RuntimeError):
        error = "OSError or RuntimeError"
    return {"error": error, "files": sorted(path.name for path in folder.rglob("*"))}


@check("save_checkpoint")
def number_of_threads_is_noted(training, draw, folder):
    """The number of threads is saved: loading has nothing to warn of, unless it is another one by then."""
    model = draw.fill(Noisy())
    optimizer = Momentum(model.parameters(), lr=0.5)
    training.save_checkpoint(folder / "run.pt", model, optimizer, step=1)
    return warned_with_threads(training, folder / "run.pt", model, optimizer)


@check("save_checkpoint")
def never_written_over(training, draw, folder):
    """The new file takes the old one's place: under a second name of its own the old one is still whole."""
    model = draw.fill(Noisy())
    optimizer = Momentum(model.parameters(), lr=0.5)
    (folder / "run").mkdir()
    path, second_name = folder / "run" / "checkpoint.pt", folder / "second name"
    training.save_checkpoint(path, model, optimizer, step=1)
    os.link(path, second_name)
    before = path.read_bytes()
    noisy_steps(model, optimizer, 1)
    training.save_checkpoint(path, model, optimizer, step=2)
    return {"old file whole": second_name.read_bytes() == before, "new file new": path.read_bytes() != before}


# load_checkpoint


@check("load_checkpoint")
def state_of_before(training, draw, folder):
    """The step is returned; weights, buffers, the optimizer's memory and its rate are as they were saved."""
    model, other = draw.fill(Noisy()), draw.fill(Noisy())
    optimizer, other_optimizer = Momentum(model.parameters(), lr=0.5), Momentum(other.parameters(), lr=0.1)
    noisy_steps(model, optimizer, 2)
    training.save_checkpoint(folder / "run.pt", model, optimizer, step=draw.integer(3, 1000))
    noisy_steps(model, optimizer, 1)
    step = training.load_checkpoint(str(folder / "run.pt"), other, other_optimizer)
    return {"step": step, "model": dict(other.state_dict()), "optimizer": other_optimizer.state_dict()}


@check("load_checkpoint")
def saved_run_goes_back(training, draw, folder):
    """The model that was saved goes back to where it was, and from there the same way again."""
    model = draw.fill(Noisy())
    optimizer = Momentum(model.parameters(), lr=0.5)
    training.save_checkpoint(folder / "run.pt", model, optimizer, step=0)
    ways = []
    for _ in range(2):
        training.load_checkpoint(folder / "run.pt", model, optimizer)
        noisy_steps(model, optimizer, 3)
        ways.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    return ways


@check("load_checkpoint")
def random_numbers_of_then(training, draw, folder):
    """After loading come the random numbers that came after saving, again and again."""
    model = draw.fill(Noisy())
    optimizer = Momentum(model.parameters(), lr=0.5)
    torch.rand(draw.integer(5, 50))
    training.save_checkpoint(folder / "run.pt", model, optimizer, step=1)
    seen = [torch.rand(3)]
    for skipped in (0, 7):
        torch.rand(skipped)
        training.load_checkpoint(folder / "run.pt", model, optimizer)
        seen.append(torch.rand(3))
    return seen


@check("load_checkpoint")
def parameters_are_the_same_objects(training, draw, folder):
    """The model is changed in place, so that the optimizer goes on holding its parameters."""
    model, other = draw.fill(Noisy()), draw.fill(Noisy())
    optimizer, other_optimizer = Momentum(model.parameters(), lr=0.5), Momentum(other.parameters(), lr=0.1)
    training.save_checkpoint(folder / "run.pt", model, optimizer, step=1)
    before = list(other.parameters())
    training.load_checkpoint(folder / "run.pt", other, other_optimizer)
    return {
        "kept": [a is b for a, b in zip(before, other.parameters(), strict=True)],
        "trained": [p.requires_grad for p in other.parameters()],
        "held": [a is b for a, b in zip(before, other_optimizer.param_groups[0]["params"], strict=True)],
        "numbers": dict(other.named_parameters()),
    }


@check("load_checkpoint")
def file_stays(training, draw, folder):
    """Loading leaves the file as it is."""
    model = draw.fill(Noisy())
    optimizer = Momentum(model.parameters(), lr=0.5)
    training.save_checkpoint(folder / "run.pt", model, optimizer, step=5)
    before = (folder / "run.pt").read_bytes()
    steps = [training.load_checkpoint(folder / "run.pt", model, optimizer) for _ in range(2)]
    files = {file.name: file.read_bytes() == before for file in folder.iterdir()}
    return {"steps": steps, "files": files}


@check("load_checkpoint")
def missing_file(training, draw, folder):
    """A file that is not there is a FileNotFoundError, and changes nothing."""
    model = draw.fill(Noisy())
    optimizer = Momentum(model.parameters(), lr=0.5)
    training.save_checkpoint(folder / "run.pt", model, optimizer, step=5)
    seen = [training.load_checkpoint(folder / "run.pt", model, optimizer)]
    try:
        seen.append(training.load_checkpoint(folder / "another.pt", model, optimizer))
    except FileNotFoundError:
        seen.append("FileNotFoundError")
    return {"seen": seen, "model": dict(model.state_dict())}


@check("load_checkpoint")
def programs_are_refused(training, draw, folder):
    """A file that would run a program when it is opened is refused, and nothing is run."""
    model = draw.fill(Noisy())
    optimizer = Momentum(model.parameters(), lr=0.5)
    path, trace = folder / "run.pt", folder / "made by a program"
    training.save_checkpoint(path, model, optimizer, step=1)
    training.load_checkpoint(path, model, optimizer)
    torch.save({"model": RunsCode(trace)}, path)
    try:
        training.load_checkpoint(path, model, optimizer)
        refused = False
    except Exception:
        refused = True
    return {"refused": refused, "program has run": trace.exists()}


@check("load_checkpoint")
def another_number_of_threads(training, draw, folder):
    """Going on with more threads or with fewer is warned of, with as many it is not."""
    model = draw.fill(Noisy())
    optimizer = Momentum(model.parameters(), lr=0.5)
    training.save_checkpoint(folder / "run.pt", model, optimizer, step=1)
    warned = warned_with_threads(training, folder / "run.pt", model, optimizer)

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        training.save_checkpoint(folder / "more.pt", model, optimizer, step=1)
    finally:
        torch.set_num_threads(threads)
    with_more = warned_with_threads(training, folder / "more.pt", model, optimizer)
    return {"warned": warned, "saved with one more": with_more, "model": dict(model.state_dict())}
