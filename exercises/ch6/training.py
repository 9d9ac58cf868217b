"""Chapter 6: training. Measure how wrong the model is, step downhill, keep what was learned.

Shapes: B batch, T time (positions in the sequence), V vocabulary size.
"""

import math
import os
import warnings
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from ..ch2.inputs import get_batch


def calc_loss_batch(
    input_batch: Tensor, target_batch: Tensor, model: nn.Module, device: torch.device | str
) -> Tensor:
    """The loss of one batch: how surprised the model is, on average, by the token that came next.

    Each position's logits are a prediction of its target. The cross-entropy is the negative
    logarithm of the probability that the model gave to the right token, averaged over all
    positions of all rows alike.

        loss = −1/(B·T) Σ_b Σ_t log softmax(logits[b, t])[target[b, t]]

    Args:
        input_batch: (B, T), int64, on any device.
        target_batch: (B, T), int64, on any device.
        model: ids (B, T) -> logits (B, T, V); it lies on device.
        device: where to compute.

    Returns:
        0-d tensor, float32, in nats, ready for backward().

    Example: a model that finds all of its 50 tokens equally likely.
        >>> model = nn.Sequential(nn.Embedding(50, 4), nn.Linear(4, 50))
        >>> for parameter in model.parameters():
        ...     _ = nn.init.zeros_(parameter)
        >>> loss = calc_loss_batch(torch.tensor([[1, 2, 3]]), torch.tensor([[2, 3, 4]]), model, "cpu")
        >>> round(loss.item(), 4)  # ln 50
        3.912

    Source: the negative log-likelihood; Bengio et al., "A neural probabilistic language model" (2003).
    """
    raise NotImplementedError("calc_loss_batch: not written yet")


@torch.no_grad()
def calc_loss_loader(
    loader: DataLoader, model: nn.Module, device: torch.device | str, num_batches: int | None = None
) -> float:
    """The mean loss over the first num_batches batches of a loader, or over all of them.

    For looking only: no gradients are kept. Dropout is the caller's business: call model.eval()
    first when the loss is to be that of the finished model.

    Args:
        loader: yields (input, target), each (B, T), int64.
        model: ids (B, T) -> logits (B, T, V).
        device: where to compute.
        num_batches: how many batches at most; all when None or more than there are.

    Returns:
        the mean of the batches' losses, in nats.

    Raises:
        ValueError: there is no batch to look at.

    Example:
        >>> model = nn.Sequential(nn.Embedding(50, 4), nn.Linear(4, 50))
        >>> for parameter in model.parameters():
        ...     _ = nn.init.zeros_(parameter)
        >>> batches = [(torch.zeros(1, 3).long(), torch.ones(1, 3).long())] * 4
        >>> round(calc_loss_loader(batches, model, "cpu", num_batches=2), 4)
        3.912

    Source: S. Raschka, "Build a Large Language Model (From Scratch)" (2024), section 5.1.
    """
    raise NotImplementedError("calc_loss_loader: not written yet")


@torch.no_grad()
def estimate_loss(
    model: nn.Module,
    train_ids: Tensor,
    val_ids: Tensor,
    batch_size: int,
    context_length: int,
    eval_iters: int,
    generator: Generator | None = None,
) -> dict[str, float]:
    """The loss on both parts of the text, each as a mean over random batches, without dropout.

    A single batch is a noisy measure. Average over eval_iters batches of either part, drawn with
    get_batch: all those of the training part first, then all of the validation part. The model is
    in evaluation mode meanwhile, and afterwards in the mode that it was in before.

    Args:
        model: ids (B, T) -> logits (B, T, V); the batches go to the device of its parameters.
        train_ids: (N,), int64.
        val_ids: (M,), int64.
        batch_size: B.
        context_length: T.
        eval_iters: batches for each part.
        generator: source of the random places; torch's global one when None. One of its own keeps
            the looking from changing the training.

    Returns:
        {"train": mean loss, "val": mean loss}, floats, in nats.

    Example:
        >>> model = nn.Sequential(nn.Embedding(50, 4), nn.Linear(4, 50))
        >>> for parameter in model.parameters():
        ...     _ = nn.init.zeros_(parameter)
        >>> ids = torch.arange(50)
        >>> losses = estimate_loss(model, ids[:40], ids[40:], batch_size=2, context_length=4, eval_iters=3)
        >>> {name: round(loss, 4) for name, loss in losses.items()}
        {'train': 3.912, 'val': 3.912}

    Source: A. Karpathy, "Let's build GPT" (2023).
    """
    raise NotImplementedError("estimate_loss: not written yet")


def perplexity(loss: float | Tensor) -> float:
    """The loss as a number of choices: how many equally likely tokens would be as surprising.

        perplexity = exp(loss)

    Args:
        loss: a cross-entropy in nats, a number or a 0-d tensor.

    Returns:
        a float, at least 1; inf for a loss too large to exponentiate.

    Example: a character model with a loss of 1.88 is as unsure as if it chose among 6.55 characters.
        >>> round(perplexity(1.88), 2)
        6.55
        >>> round(perplexity(torch.tensor(50257.0).log()))
        50257

    Source: Jelinek et al., "Perplexity: a measure of the difficulty of speech recognition tasks" (1977).
    """
    raise NotImplementedError("perplexity: not written yet")


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Sort a model's parameters for AdamW into those that decay and those that do not.

    Weight decay pulls numbers towards 0 at every step. That is meant for matrices, which mix many
    numbers; a layer norm's scale pulled towards 0 would silence its layer, and a bias has nothing
    to gain. So matrices (two dimensions or more, embeddings included) decay, and vectors do not.
    Parameters that are not trained (requires_grad False) are left out, and one that is used in two
    places comes once.

    Args:
        model: any module.
        weight_decay: for the matrices.

    Returns:
        [{"params": [matrices], "weight_decay": weight_decay}, {"params": [vectors], "weight_decay": 0.0}],
        as torch.optim.AdamW takes it.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5))
        >>> for group in parameter_groups(model, weight_decay=0.1):
        ...     print(group["weight_decay"], [tuple(p.shape) for p in group["params"]])
        0.1 [(5, 3)]
        0.0 [(5,), (5,), (5,)]

    Source: Brown et al., "Language models are few-shot learners" (2020), appendix B; the groups as in
    nanoGPT; decoupled decay: Loshchilov and Hutter (2017).
    """
    raise NotImplementedError("parameter_groups: not written yet")


def learning_rate(step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int) -> float:
    """The step size at a step: up in a straight line, then down along half a cosine.

    At the start AdamW knows little about the gradients' sizes, so the first steps are small. At
    the end smaller steps settle the model.

        step < warmup:           max_lr · step / warmup_steps
        warmup ≤ step < total:   min_lr + ½ (1 + cos(π · progress)) (max_lr − min_lr),
                                 progress = (step − warmup_steps) / (total_steps − warmup_steps)
        total ≤ step:            min_lr

    Args:
        step: counted from 0.
        max_lr: the rate at step warmup_steps.
        min_lr: the rate from step total_steps on.
        warmup_steps: steps on the way up; with 0 the schedule starts at max_lr.
        total_steps: where the cosine ends.

    Returns:
        the rate, a float.

    Raises:
        ValueError: warmup_steps is greater than total_steps.

    Example:
        >>> [round(learning_rate(step, 1.0, 0.1, 10, 110), 4) for step in (0, 5, 10, 60, 110, 500)]
        [0.0, 0.5, 1.0, 0.55, 0.1, 0.1]

    Source: Loshchilov and Hutter, "SGDR" (2016), one period; with warm-up as in Brown et al. (2020).
    """
    raise NotImplementedError("learning_rate: not written yet")


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Shorten the gradient of the whole model, in place, if it is longer than max_norm.

    One strange batch can give a huge gradient and throw the model far off. All gradients together
    are one long vector: if its length exceeds max_norm, every gradient is multiplied by the same
    factor, which keeps the direction. A shorter gradient stays as it is.

        norm = √(Σ over all gradients g of ‖g‖²)        g ← g · max_norm / norm   if norm > max_norm

    Args:
        parameters: any iterable of parameters; those without a gradient are passed over.
        max_norm: the greatest length allowed, above 0.

    Returns:
        0-d tensor: the norm before clipping.

    Example:
        >>> weight = nn.Parameter(torch.zeros(2))
        >>> weight.grad = torch.tensor([3.0, 4.0])
        >>> clip_gradients([weight], max_norm=1.0), weight.grad
        (tensor(5.), tensor([0.6000, 0.8000]))
        >>> clip_gradients([weight], max_norm=10.0), weight.grad
        (tensor(1.), tensor([0.6000, 0.8000]))

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks" (2012).
    """
    raise NotImplementedError("clip_gradients: not written yet")


def train_model(
    model: nn.Module,
    train_loader: DataLoader,
    val_loader: DataLoader,
    optimizer: Optimizer,
    device: torch.device | str,
    num_epochs: int,
    eval_freq: int,
    eval_iter: int,
    on_eval: Callable[[int, float, float], None] | None = None,
) -> tuple[list[float], list[float], list[int]]:
    """Train for num_epochs passes over a loader, looking at both losses now and then.

    For each batch: forget the old gradients, compute the loss, compute its gradients, take a step.
    After the steps 0, eval_freq, 2·eval_freq, … (counted from 0 over all epochs) measure the loss
    on the first eval_iter batches of either loader with the model in evaluation mode, then go on
    in training mode.

    Args:
        model: trained in place; it lies on device.
        train_loader: yields (input, target), each (B, T), int64.
        val_loader: likewise.
        optimizer: holds the model's parameters.
        device: where to compute.
        num_epochs: passes over train_loader.
        eval_freq: steps from one look at the losses to the next.
        eval_iter: batches of each loader to look at.
        on_eval: called as on_eval(step, train_loss, val_loss) after each look, to print or plot.

    Returns:
        train_losses, val_losses: one float a look.
        track_tokens_seen: for each look, how many tokens the model had been trained on by then.

    Example: a table learns that 0, 1, 2, 3 follow each other in a circle.
        >>> ids = torch.arange(40) % 4
        >>> batches = [(ids[:-1].view(3, 13), ids[1:].view(3, 13))]
        >>> model = nn.Embedding(4, 4)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=10.0)
        >>> train_losses, val_losses, seen = train_model(
        ...     model, batches, batches, optimizer, "cpu", num_epochs=41, eval_freq=20, eval_iter=1
        ... )
        >>> seen, train_losses[-1] < 0.1
        ([39, 819, 1599], True)

    Source: Raschka (2024), section 5.2.
    """
    raise NotImplementedError("train_model: not written yet")


def save_checkpoint(path: str | os.PathLike, model: nn.Module, optimizer: Optimizer, step: int) -> None:
    """Write everything that training needs to go on later as if it had never stopped.

    That is more than the weights: the optimizer's memory of past gradients, the number of the
    step, and the state of the random numbers that draw batches and dropout (of the CPU, and of the
    GPUs where there are any). The number of threads is noted too: sums taken in another order
    differ in the last bits.

    A program can be killed while it writes. Write to another name in the same folder first, then
    rename: at every moment the file under path is either the old one, whole, or the new one, whole.
    When writing fails, the other file is taken away again.

    Args:
        path: the file to write; an older one is replaced.
        model: its state_dict() is saved.
        optimizer: likewise.
        step: how many steps have been taken.

    Raises:
        OSError or RuntimeError: the file cannot be written; the old one is still there.

    Example: see load_checkpoint.

    Source: what torch.save documents as a general checkpoint, with the random state added.
    """
    raise NotImplementedError("save_checkpoint: not written yet")


def load_checkpoint(path: str | os.PathLike, model: nn.Module, optimizer: Optimizer) -> int:
    """Put a model, its optimizer and the random numbers back to where save_checkpoint found them.

    On the same machine with as many threads, the steps that follow are the same, bit for bit, as
    they would have been without the interruption. With another number of threads, warn.

    Read the file with weights_only=True: an ordinary pickle can run any program when it is opened.

    Args:
        path: a file that save_checkpoint wrote.
        model: of the same sizes; changed in place, and stays on its device.
        optimizer: over that model's parameters; changed in place.

    Returns:
        how many steps had been taken.

    Raises:
        FileNotFoundError: there is no such file.

    Example:
        >>> import tempfile
        >>> model = nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(folder + "/checkpoint.pt", model, optimizer, step=7)
        ...     expected = torch.rand(3)
        ...     step = load_checkpoint(folder + "/checkpoint.pt", model, optimizer)
        >>> step, torch.equal(torch.rand(3), expected)
        (7, True)

    Source: as for save_checkpoint.
    """
    raise NotImplementedError("load_checkpoint: not written yet")
