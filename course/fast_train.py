"""What `course train --fast` changes: chapter 9's pieces, each where it pays, and checkpoints as before.

The weights stay float32 and the losses those of the plain run, up to rounding. What changes the parameters
(one projection for queries, keys and values; a padded vocabulary) is undone in every state that the model and
its optimizer give out, and done again to every state that they take in. So checkpoints, model files and all
that reads them know the plain model only.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from .pieces import Pieces

VOCAB_MULTIPLE = 64
LARGE_VOCAB = 64 * VOCAB_MULTIPLE  # from here on the padding is next to nothing
# at equal speed the first one that is named: the fused attention takes less memory, float32 is more exact
TRIED = [["attention"], [], ["bfloat16"], ["attention", "bfloat16"]]
CHUNK_SIZE = 1024  # positions whose logits there are at once
THREE = ("W_query", "W_key", "W_value")  # what W_qkv is made of, in its order

# What a rung needs of chapter 9.
PIECES = {
    "attention": ["FusedAttention"],
    "qkv": ["FusedQKVAttention"],
    "elementwise": ["FusedLayerNorm", "fuse_elementwise"],
    "adamw": ["fused_adamw"],
    "bfloat16": ["autocast_loss"],
    "vocab": ["pad_vocab"],
    "chunks": ["chunked_cross_entropy"],
    "prefetch": ["write_tokens", "TokenFile", "prefetch"],
    "tf32": [],
    "clip": [],
    "compile": [],
}
SAID = {
    "attention": "fused attention",
    "qkv": "fused attention with one projection",
    "elementwise": "fused layer norm and GELU",
    "adamw": "fused AdamW",
    "bfloat16": "bfloat16",
    "vocab": "padded vocabulary",
    "chunks": "chunked loss",
    "prefetch": "batches fetched ahead",
    "tf32": "TF32",
    "clip": "torch's clipping",
    "compile": "compiled",
}


def rungs_that_pay(device: torch.device, vocab_size: int, positions: int) -> list[str]:
    """The rungs for a device; on a CPU, also those that are_faster finds to pay with the model at hand.

    benchmarks/speed_ladder.py has shown what never pays on a CPU: one projection, padding, fetching ahead and
    the compiler gain less there than they cost.
    """
    if device.type == "cuda":
        rungs = ["tf32", "bfloat16", "qkv", "elementwise", "adamw", "clip", "prefetch", "compile"]
        rungs += ["vocab"] if vocab_size >= LARGE_VOCAB else []
    else:
        rungs = ["elementwise", "adamw"]
    logits = 4 * positions * vocab_size  # bytes of one copy; the loss makes three
    return [*rungs, "chunks"] if 3 * logits > memory_of(device) / 4 else rungs


def memory_of(device: torch.device) -> int:
    """Bytes."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows does not tell
        return 8 * 2**30


def are_faster(
    model: nn.Module, cfg, loss: Callable[[list[str]], Tensor], agree: Callable[[int], int], pieces: Pieces
) -> list[str]:
    """What of the fused attention and bfloat16 makes a step shorter on this CPU; the model takes it at once.

    Some CPUs have units for bfloat16, and on others it is much slower; the fused attention gains with the
    length of the context, and loses with dropout or beside bfloat16. So try; what is tried first wins a draw.
    Several processes agree on the number of one of TRIED.
    """
    plain = [block.att for block in model.trf_blocks]
    fused = [pieces.ch9.FusedAttention(att, cfg.drop_rate) for att in plain]  # of the same parameters

    def take(rungs: list[str]) -> None:
        for block, att in zip(model.trf_blocks, fused if "attention" in rungs else plain, strict=True):
            block.att = att

    def step(rungs: list[str]) -> None:
        take(rungs)
        loss(rungs).backward()

    ways = {" ".join(rungs): lambda rungs=rungs: step(rungs) for rungs in TRIED}
    seconds = list(pieces.ch9.median_seconds(ways, rounds=3).values())
    good_enough = next(number for number, s in enumerate(seconds) if s <= 1.03 * min(seconds))
    chosen = TRIED[agree(good_enough)]
    take(chosen)
    return chosen


def needs(rungs: list[str]) -> dict[str, list[str]]:
    """The exercises of chapter 9 that have to be written first, with those that will be tried."""
    return {"ch9": [name for rung in {*rungs, "attention", "bfloat16"} for name in PIECES[rung]]}


def describe(device: torch.device, rungs: list[str]) -> str:
    """The device and what is done on it, in a line."""
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        where = f"{facts.name} ({facts.total_memory / 2**30:.0f} GiB, capability {facts.major}.{facts.minor})"
    else:
        where = f"{device} ({torch.backends.cpu.get_cpu_capability()})"
    return f"fast on {where}: {', '.join(SAID[rung] for rung in rungs)}"


def speed_up(model: nn.Module, cfg, rungs: list[str], pieces: Pieces) -> None:
    """Put chapter 9's parts in the place of the plain ones; parameters may become others."""
    if "vocab" in rungs:
        pieces.ch9.pad_vocab(model, VOCAB_MULTIPLE)
    if "attention" in rungs or "qkv" in rungs:
        fused = pieces.ch9.FusedQKVAttention if "qkv" in rungs else pieces.ch9.FusedAttention
        for block in model.trf_blocks:
            block.att = fused(block.att, cfg.drop_rate)
    if "elementwise" in rungs:
        pieces.ch9.fuse_elementwise(model)
    if "tf32" in rungs:
        torch.set_float32_matmul_precision("high")


class Body(nn.Module):
    """A GPTModel without its head: where the loss is made in chunks, the head belongs to the loss."""

    def __init__(self, model: nn.Module, pieces: Pieces):
        super().__init__()
        self.model, self.embed = model, pieces.ch2.embed

    def forward(self, ids: Tensor) -> Tensor:
        model = self.model
        x = model.drop_emb(self.embed(ids, model.tok_emb, model.pos_emb))  # (B, T, C)
        return model.final_norm(model.trf_blocks(x))  # (B, T, C)


def calc_loss(
    x: Tensor, y: Tensor, forward: nn.Module, head: nn.Linear, device: torch.device, rungs, pieces: Pieces
) -> Tensor:
    """The mean loss of a batch; forward is the model, or its Body where the loss is made in chunks."""
    if "chunks" in rungs:
        with torch.autocast(device.type, torch.bfloat16, enabled="bfloat16" in rungs):
            hidden = forward(x.to(device))  # (B, T, C)
            return pieces.ch9.chunked_cross_entropy(hidden, head, y.to(device), CHUNK_SIZE)
    if "bfloat16" in rungs:
        return pieces.ch9.autocast_loss(x, y, forward, device)
    return pieces.ch6.calc_loss_batch(x, y, forward, device)


@contextmanager
def fetched_ahead(
    train_ids: Tensor, batch_size: int, cfg, device: torch.device, pieces: Pieces
) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
    """get_batch's own batches, read from a file by another thread while a step is computed.

    The other thread runs ahead, and must not draw from torch's global source: a checkpoint would then know of
    draws that no step has seen. It draws the same numbers from a copy, and each batch brings along the state
    after it, which becomes the global one when the batch is used.
    """
    source = Generator()
    source.set_state(torch.get_rng_state())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "tokens.npy"
        pieces.ch9.write_tokens(path, train_ids, cfg.vocab_size)
        file = pieces.ch9.TokenFile(path)

        def batch_and_state() -> tuple[Tensor, Tensor, Tensor]:
            x, y = file.batch(batch_size, cfg.context_length, source)
            if device.type == "cuda":
                x, y = x.contiguous().pin_memory(), y.contiguous().pin_memory()
            return x, y, source.get_state()

        ahead = pieces.ch9.prefetch(batch_and_state() for _ in repeat(None))

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            for x, y, state in ahead:
                torch.set_rng_state(state)
                yield x.to(device, non_blocking=True), y.to(device, non_blocking=True)

        try:
            yield batches()
        finally:
            ahead.close()


def names_in_groups(model: nn.Module, groups: list[dict]) -> list[list[str]]:
    """The names of an optimizer's parameters, in the order in which its state numbers them."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [[names[id(parameter)] for parameter in group["params"]] for group in groups]


def to_plain(tensors: dict[str, Tensor], vocab_size: int) -> dict[str, Tensor]:
    """Tensors under the plain model's names and in its shapes; a number of W_qkv's goes to all three."""
    plain = {}
    for name, tensor in tensors.items():
        if ".W_qkv." in name:
            parts = tensor.chunk(3) if tensor.dim() > 0 else [tensor] * 3
            plain |= {name.replace("W_qkv", one): part for one, part in zip(THREE, parts, strict=True)}
        elif name in ("tok_emb.weight", "out_head.weight") and tensor.dim() > 0:
            plain[name] = tensor[:vocab_size]
        elif name != "out_head.bias":  # that one is the padding's
            plain[name] = tensor
    return plain


def from_plain(tensors: dict[str, Tensor], like: dict[str, Tensor]) -> dict[str, Tensor]:
    """The other way, to the names and shapes of `like`."""
    fast = {}
    for name, shaped in like.items():
        if ".W_qkv." in name:
            parts = [tensors[name.replace("W_qkv", one)] for one in THREE]
            fast[name] = torch.cat(parts) if parts[0].dim() > 0 else parts[0]
        elif name == "out_head.bias":
            fast[name] = shaped
        else:
            tensor = tensors[name]
            missing = len(shaped) - len(tensor) if tensor.dim() > 0 else 0
            padding = tensor.new_zeros(missing, *tensor.shape[1:])
            fast[name] = torch.cat([tensor, padding]) if missing else tensor
    return fast


def renumbered(state: dict, names: list[list[str]], new_names: list[list[str]], convert) -> dict:
    """An optimizer's state_dict for other parameters, each kind of its memories converted by name."""
    flat = [name for group in names for name in group]
    kinds: dict[str, dict[str, Tensor]] = {}  # step, exp_avg and exp_avg_sq, each by a parameter's name
    for number, memories in state["state"].items():
        for kind, memory in memories.items():
            kinds.setdefault(kind, {})[flat[number]] = memory
    converted = {kind: convert(memories) for kind, memories in kinds.items()}

    number_of = {name: number for number, name in enumerate(name for group in new_names for name in group)}
    return {
        "state": {
            number: {kind: memories[name] for kind, memories in converted.items()}
            for name, number in (number_of.items() if kinds else ())
        },
        "param_groups": [
            group | {"params": [number_of[name] for name in group_names]}
            for group, group_names in zip(state["param_groups"], new_names, strict=True)
        ],
    }


def keep_states_plain(
    model: nn.Module, optimizer: torch.optim.Optimizer, vocab_size: int, plain_names: list[list[str]]
) -> None:
    """From now on state_dict and load_state_dict of both speak of the plain model and its optimizer."""
    like = model.state_dict()
    fast_names = names_in_groups(model, optimizer.param_groups)
    trained = {name: like[name] for group in fast_names for name in group}

    def give_model(module, state: dict, prefix: str, metadata: dict) -> None:
        plain = to_plain(state, vocab_size)
        state.clear()
        state.update(plain)

    def take_model(module, state: dict, *_) -> None:
        fast = from_plain(state, like)
        state.clear()
        state.update(fast)

    def give_optimizer(_, state: dict) -> dict:
        return renumbered(state, fast_names, plain_names, lambda memories: to_plain(memories, vocab_size))

    def take_optimizer(_, state: dict) -> dict:
        return renumbered(state, plain_names, fast_names, lambda memories: from_plain(memories, trained))

    model.register_state_dict_post_hook(give_model)
    model.register_load_state_dict_pre_hook(take_model)
    optimizer.register_state_dict_post_hook(give_optimizer)
    optimizer.register_load_state_dict_pre_hook(take_optimizer)


def plain_model(model: nn.Module, cfg, pieces: Pieces) -> nn.Module:
    """A GPTModel of chapter 5 made of the same numbers, which are not copied."""
    with torch.device("meta"):  # shapes without memory
        plain = pieces.ch5.GPTModel(cfg)
    plain.load_state_dict(model.state_dict(), strict=False, assign=True)
    pieces.ch5.tie_weights(plain)
    return plain
