"""Chapter 6 written differently: the checks must take it too."""

import contextlib
import io
import itertools
import math
import os
import statistics
import tempfile
import warnings

import torch
from torch import Tensor, nn

from ..ch2 import inputs


def calc_loss_batch(input_batch, target_batch, model, device) -> Tensor:
    log_probs = torch.log_softmax(model(input_batch.to(device=device)), dim=-1)
    right = log_probs.gather(-1, target_batch.to(device=device).unsqueeze(-1))
    return right.mean().neg()


def calc_loss_loader(loader, model, device, num_batches=None) -> float:
    with torch.no_grad():
        losses = [
            float(calc_loss_batch(x, y, model, device)) for x, y in itertools.islice(loader, num_batches)
        ]
    if losses == []:
        raise ValueError("an empty loader")
    return statistics.fmean(losses)


def estimate_loss(model, train_ids, val_ids, batch_size, context_length, eval_iters, generator=None):
    modes = {module: module.training for module in model.modules()}
    where = next(model.parameters()).device
    parts = {"train": train_ids, "val": val_ids}
    try:
        model.train(False)
        drawn = {
            name: [
                inputs.get_batch(ids, batch_size, context_length, generator=generator)
                for _ in range(eval_iters)
            ]
            for name, ids in parts.items()
        }
        return {name: calc_loss_loader(batches, model, where) for name, batches in drawn.items()}
    finally:
        for module, mode in modes.items():
            module.training = mode


def perplexity(loss) -> float:
    try:
        return math.exp(loss.item() if isinstance(loss, Tensor) else loss)
    except OverflowError:
        return math.inf


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    groups = [{"params": [], "weight_decay": decay} for decay in (weight_decay, 0.0)]
    met = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad and parameter not in met:
                met.add(parameter)
                groups[0 if len(parameter.shape) > 1 else 1]["params"].append(parameter)
    return groups


def learning_rate(step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int) -> float:
    if total_steps < warmup_steps:
        raise ValueError("the warm-up does not fit")
    if step < warmup_steps:
        return max_lr * (step / warmup_steps)
    left = max(0, total_steps - step)
    angle = 0.5 * math.pi * (1 - left / max(1, total_steps - warmup_steps))
    high = math.cos(angle) ** 2 if left else 0.0
    return max_lr * high + min_lr * (1 - high)


def clip_gradients(parameters, max_norm: float) -> Tensor:
    parameters = [parameter for parameter in parameters if parameter.grad is not None]
    square = sum((parameter.grad.detach().pow(2).sum() for parameter in parameters), start=torch.tensor(0.0))
    norm = square.sqrt()
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for parameter in parameters:
        parameter.grad = parameter.grad * factor
    return norm


def train_model(
    model, train_loader, val_loader, optimizer, device, num_epochs, eval_freq, eval_iter, on_eval=None
):
    looks = []
    seen = 0
    every_batch = itertools.chain.from_iterable(iter(train_loader) for _ in range(num_epochs))
    for step, (x, y) in enumerate(every_batch):
        model.train()
        loss = calc_loss_batch(x, y, model, device)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        seen += x.shape[0] * x.shape[1]
        if step % eval_freq:
            continue
        model.eval()
        look = [calc_loss_loader(loader, model, device, eval_iter) for loader in (train_loader, val_loader)]
        looks.append((*look, seen))
        if on_eval:
            on_eval(step, *look)
    model.train()
    return tuple(list(column) for column in zip(*looks, strict=True))


def save_checkpoint(path, model, optimizer, step) -> None:
    memory = io.BytesIO()
    state = [model.state_dict(), optimizer.state_dict(), step, torch.get_rng_state(), torch.get_num_threads()]
    if torch.cuda.is_available():
        state += [torch.cuda.get_rng_state_all()]
    torch.save(state, memory)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.fspath(path)) or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(memory.getbuffer())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise


def load_checkpoint(path, model, optimizer) -> int:
    with open(path, "rb") as file:
        weights, memory, step, numbers, threads, *gpus = torch.load(
            file, weights_only=True, map_location="cpu"
        )
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(weights[name])
    optimizer.load_state_dict(memory)
    if threads != torch.get_num_threads():
        warnings.warn("another number of threads", stacklevel=2)
    torch.random.set_rng_state(numbers)
    for states in gpus:
        torch.cuda.set_rng_state_all(states)
    return step
