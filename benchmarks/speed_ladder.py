"""What each rung of chapter 9 is worth here: a training step with it, against that of chapters 5 and 6.

Every rung is alone on the plain model, "together" has all that are named. The ways take turns, step by
step, and a rung's ratio is the median of the rounds' ratios, so that a neighbour's work on the machine hits
all alike; on one thread of a CPU the seconds are those of the processor, without the time that it gave to
others. All ways start from the same weights and see the same batches; their losses stand beside their
times, so that nobody computes less.

    OMP_NUM_THREADS=1 python benchmarks/speed_ladder.py
    python benchmarks/speed_ladder.py --device cuda --size gpt2 --vocab 50257 --context 1024 --batch 8

Shapes: B batch, T time (positions in the sequence), C width of one vector, V vocabulary size.
"""

import argparse
import platform
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Generator, Tensor

from course.corpora import read_text
from solutions.ch1.tokenizer import CharTokenizer
from solutions.ch2.inputs import embed, get_batch
from solutions.ch4.block import GPTConfig
from solutions.ch5.model import GPTModel, init_weights, tie_weights
from solutions.ch6.training import calc_loss_batch, parameter_groups
from solutions.ch9.speed import (
    FusedAttention,
    FusedQKVAttention,
    accumulate_gradients,
    autocast_loss,
    chunked_cross_entropy,
    forward_checkpointed,
    fuse_elementwise,
    fused_adamw,
    model_flops_utilisation,
    pad_vocab,
    saved_bytes,
    training_flops,
)

SIZES = {"char-small": (128, 4, 4), "char": (384, 6, 6), "gpt2": (768, 12, 12)}  # width, heads, blocks
RUNGS = {
    "plain": "chapters 5 and 6",
    "attention": "fused attention",
    "qkv": "fused attention, one projection",
    "elementwise": "fused layer norm and GELU",
    "bfloat16": "autocast to bfloat16",
    "adamw": "fused AdamW",
    "vocab": "vocabulary padded to 64",
    "accumulate": "gradients accumulated, B/4 rows at a time",
    "checkpoint": "blocks checkpointed",
    "chunks": "chunked cross-entropy, 256 positions",
    "compile": "torch.compile (reading)",
}


class Way:
    """One way to train: its own copy of the model, an optimizer and a step."""

    def __init__(self, rungs: set[str], cfg: GPTConfig, device: torch.device, batch_size: int):
        torch.manual_seed(1)
        model = GPTModel(cfg)
        init_weights(model)
        tie_weights(model)
        model.to(device)
        if "vocab" in rungs:
            pad_vocab(model)
        if rungs & {"attention", "qkv"}:
            fused = FusedQKVAttention if "qkv" in rungs else FusedAttention
            for block in model.trf_blocks:
                block.att = fused(block.att, cfg.drop_rate)
        if "elementwise" in rungs:
            fuse_elementwise(model)
        lr, betas = 1e-3, (0.9, 0.95)
        if "adamw" in rungs:
            self.optimizer = fused_adamw(model, lr, 0.1, betas)
        else:
            self.optimizer = torch.optim.AdamW(
                parameter_groups(model, 0.1), lr=lr, betas=betas, foreach=False, fused=False
            )
        self.rungs, self.model, self.device = rungs, model, device
        self.micro_batch_size = max(1, batch_size // 4)
        self.forward: Callable[[Tensor], Tensor] = model
        if "checkpoint" in rungs:
            self.forward = partial(forward_checkpointed, model)
        if "compile" in rungs:
            self.forward = torch.compile(model)
        self.clock = clock_for(device)
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def loss(self, x: Tensor, y: Tensor, _model=None, _device=None) -> Tensor:
        if "chunks" in self.rungs:
            with torch.autocast(self.device.type, torch.bfloat16, enabled="bfloat16" in self.rungs):
                hidden = self.model.final_norm(self.model.trf_blocks(self.embedded(x)))
                return chunked_cross_entropy(hidden, self.model.out_head, y, chunk_size=256)
        calc_loss = autocast_loss if "bfloat16" in self.rungs else calc_loss_batch
        return calc_loss(x, y, self.forward, self.device)

    def embedded(self, ids: Tensor) -> Tensor:
        return self.model.drop_emb(embed(ids, self.model.tok_emb, self.model.pos_emb))

    def step(self, x: Tensor, y: Tensor) -> None:
        start = self.clock()
        self.optimizer.zero_grad()
        if "accumulate" in self.rungs:
            loss = accumulate_gradients(x, y, self.model, self.device, self.micro_batch_size, self.loss)
        else:
            loss = self.loss(x, y)
            loss.backward()
        self.optimizer.step()
        self.losses.append(loss.item())  # on a GPU this waits until the step is done
        self.seconds.append(self.clock() - start)

    def saved(self, x: Tensor, y: Tensor) -> int:
        if "accumulate" in self.rungs:
            x, y = x[: self.micro_batch_size], y[: self.micro_batch_size]
        return saved_bytes(lambda: self.loss(x, y))


def clock_for(device: torch.device) -> Callable[[], float]:
    one_core = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time if one_core else time.perf_counter


def peak_flops(device: torch.device, dtype: torch.dtype, n: int) -> float:
    """The best of some large products."""
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    clock, seconds = clock_for(device), []
    for _ in range(6):
        start = clock()
        (a @ b)[0, 0].item()
        seconds.append(clock() - start)
    return 2 * n**3 / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description="What each rung of chapter 9 is worth on this machine.")
    parser.add_argument("--size", choices=SIZES, default="char", help="width, heads and blocks")
    parser.add_argument("--vocab", type=int, help="vocabulary [the characters of tiny Shakespeare]")
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--dropout", type=float, default=0.0, help="above 0 the losses differ a little")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    names = list(RUNGS)
    parser.add_argument(
        "--rungs", nargs="+", choices=names, default=names[:-1], metavar="RUNG", help=str(names)
    )
    parser.add_argument(
        "--together", nargs="*", choices=names, default=["attention", "elementwise", "adamw", "bfloat16"]
    )
    args = parser.parse_args()
    device = torch.device(args.device)

    if args.vocab is None:
        text = read_text("shakespeare")
        tokenizer = CharTokenizer.from_text(text)
        ids, vocab_size = torch.tensor(tokenizer.encode(text)), tokenizer.vocab_size
    else:  # any tokens will do for a time
        vocab_size = args.vocab
        ids = torch.randint(vocab_size, (10**6,), generator=Generator().manual_seed(0))
    width, n_heads, n_layers = SIZES[args.size]
    cfg = GPTConfig(vocab_size, args.context, width, n_heads, n_layers, drop_rate=args.dropout)

    ways = {name: Way({name}, cfg, device, args.batch) for name in dict.fromkeys(["plain", *args.rungs])}
    if args.together:
        ways["together"] = Way(set(args.together), cfg, device, args.batch)
    batches = Generator().manual_seed(7)
    for _ in range(1 + args.rounds):  # the first round is warming up
        x, y = (t.to(device) for t in get_batch(ids, args.batch, args.context, batches))
        for way in ways.values():
            way.step(x, y)

    tokens = args.batch * args.context
    flops = training_flops(ways["plain"].model, tokens, args.context)
    peaks = {dtype: peak_flops(device, dtype, 2048) for dtype in (torch.float32, torch.bfloat16)}
    threads = torch.get_num_threads()
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, {device}")
    print(f"{threads} threads, {n_layers}/{n_heads}/{width}, V {vocab_size}, {args.batch} x {args.context}")
    print("peak, measured: " + ", ".join(f"{d} {p / 1e9:,.0f} GFLOP/s" for d, p in peaks.items()))
    print(f"{'':42}{'s/step':>8}{'tokens/s':>10}{'ratio':>8}{'MFU':>7}{'saved MB':>10}{'loss':>9}")
    plain = ways["plain"].seconds[1:]
    for name, way in ways.items():
        seconds = median(way.seconds[1:])
        ratio = median(p / s for p, s in zip(plain, way.seconds[1:], strict=True))
        dtype = torch.bfloat16 if "bfloat16" in way.rungs else torch.float32
        mfu = model_flops_utilisation(flops, seconds, peaks[dtype])
        says = RUNGS.get(name) or "together: " + ", ".join(args.together)
        print(
            f"{says:42}{seconds:>8.3f}{tokens / seconds:>10,.0f}{ratio:>8.2f}{mfu:>7.0%}"
            f"{way.saved(x, y) / 1e6:>10,.0f}{way.losses[-1]:>9.4f}"
        )
    if "adamw" in ways:
        alone = optimizer_alone(ways["plain"], ways["adamw"], args.rounds)
        print(f"the optimizer's step alone: {alone['plain']:.4f} s, fused {alone['adamw']:.4f} s")


def optimizer_alone(plain: Way, fused: Way, rounds: int) -> dict[str, float]:
    seconds = {"plain": [], "adamw": []}
    for _ in range(rounds):
        for name, way in (("plain", plain), ("adamw", fused)):
            start = way.clock()
            way.optimizer.step()
            if way.device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(way.clock() - start)
    return {name: median(times) for name, times in seconds.items()}


if __name__ == "__main__":
    main()
