"""A training step on a CPU: `course train`, plain and --fast, beside nanoGPT, Hugging Face and others.

    OMP_NUM_THREADS=1 python benchmarks/cpu_training_peers.py --nanogpt NANOGPT --llms-from-scratch LLMS

The char GPT (6 layers, 6 heads, width 384, context 256), batch 8, tiny Shakespeare by characters, no dropout.
All start from the same weights and take the same batches in turns, a step each; a ratio is the median of the
rounds' ratios, so that a neighbour's work on the machine hits all alike. The first losses must be equal, the
last ones stand beside the times, so that nobody computes less.

Each peer takes its own step: nanoGPT as its README runs it on a CPU (--device=cpu --compile=False: float32,
no biases), Hugging Face's GPT-2 with torch's AdamW, LLMs-from-scratch's chapter 5 (no decay groups, no
clipping, head not tied) and its optimised script (weights in bfloat16, too). "autocast" marks what a peer's
own command would not do on a CPU, so that there is a ratio at equal precision, too.

Shapes: B batch, T time (positions in the sequence), V vocabulary size.
"""

import argparse
import contextlib
import dataclasses
import io
import os
import sys
import time
from pathlib import Path
from statistics import median

import torch
from peers import (
    LLMS_FROM_SCRATCH_NAMES,
    NANOGPT_NAMES,
    OPTIMISED_NAMES,
    PIECES,
    commit_of,
    copy_weights,
    load_line,
    load_module,
    machine_line,
    parameters_by_name,
    rows_are_outputs,
)
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from course import fast_train
from course.corpora import read_text
from course.parallel import Processes
from course.sizes import SIZES
from course.train import BETAS, MAX_GRADIENT_NORM, WEIGHT_DECAY, Settings, Training

CPU = torch.device("cpu")
# nats between first losses; "all bf16" has weights and loss in bfloat16, which near 4 has steps of 1/32
EQUAL = {"float32": 1e-4, "bfloat16": 0.01, "all bf16": 0.04}


class Ours:
    """The step of `course train`, with --fast or without."""

    def __init__(self, size: str, batch_size: int, rungs: list[str], dtypes: list[str]):
        settings = Settings(
            "shakespeare", size, 1000, batch_size, 1e-3, 123, 100, PIECES.package, bool(rungs)
        )
        self.run = Training(settings, read_text("shakespeare"), PIECES, CPU, None, rungs, Processes())
        self.model = self.run.model
        if rungs:
            all_ways = fast_train.TRIED
            fast_train.TRIED = [way for way in all_ways if "bfloat16" in dtypes or "bfloat16" not in way]
            self.run.try_rungs()
            fast_train.TRIED = all_ways
        self.dtype = "bfloat16" if "bfloat16" in self.run.rungs else "float32"

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return self.run.loss(x, y, self.run.rungs)

    def step(self, x: Tensor, y: Tensor, _rate: float) -> Tensor:
        return self.run.take_step(x, y)


class Peer:
    """Their model and optimizer, and a step in their order; a subclass makes them."""

    dtype, clips = "float32", True
    model: nn.Module
    optimizer: torch.optim.Optimizer

    def step(self, x: Tensor, y: Tensor, rate: float) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.loss(x, y)
        loss.backward()
        if self.clips:
            nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def products(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == "bfloat16")


class NanoGPT(Peer):
    def __init__(self, checkout: Path, cfg, ours: nn.Module, dtype: str):
        peer = load_module(checkout / "model.py")
        config = peer.GPTConfig(
            block_size=cfg.context_length, vocab_size=cfg.vocab_size, n_layer=cfg.n_layers,
            n_head=cfg.n_heads, n_embd=cfg.emb_dim, dropout=0.0, bias=False,
        )  # fmt: skip
        self.model, self.dtype = peer.GPT(config), dtype
        copy_weights(ours, parameters_by_name(self.model), NANOGPT_NAMES)
        self.optimizer = self.model.configure_optimizers(WEIGHT_DECAY, 1e-3, BETAS, "cpu")

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        with self.products():
            return self.model(x, y)[1]


class HuggingFace(Peer):
    def __init__(self, cfg, ours: nn.Module, dtype: str):
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(
            vocab_size=cfg.vocab_size, n_positions=cfg.context_length, n_embd=cfg.emb_dim,
            n_layer=cfg.n_layers, n_head=cfg.n_heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            bos_token_id=None, eos_token_id=None, use_cache=False, attn_implementation="sdpa",
        )  # fmt: skip
        self.model, self.dtype = GPT2LMHeadModel(config).train(), dtype
        copy_weights(ours, rows_are_outputs(self.model), NANOGPT_NAMES)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-3, betas=BETAS, weight_decay=WEIGHT_DECAY
        )

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        with self.products():
            logits = self.model(x).logits  # (B, T, V); its own loss would leave out the last position
            return F.cross_entropy(logits.float().flatten(0, 1), y.flatten())


class LLMsFromScratch(Peer):
    clips = False

    def __init__(self, checkout: Path, cfg, ours: nn.Module, optimised: bool, compiled: bool = False):
        script = "01_opt_single_gpu.py" if optimised else "00_orig.py"
        peer = load_module(checkout / "ch05" / "10_llm-training-speed" / script)
        config = dataclasses.asdict(cfg) | {"drop_rate": 0.0, "qkv_bias": False}
        self.model, self.calc_loss = peer.GPTModel(config), peer.calc_loss_batch
        names = OPTIMISED_NAMES if optimised else LLMS_FROM_SCRATCH_NAMES
        copy_weights(ours, parameters_by_name(self.model), names)
        self.forward = torch.compile(self.model) if compiled else self.model
        if optimised:
            self.dtype = "all bf16"
            self.model.to(torch.bfloat16)
        fused = {"fused": True} if optimised else {}
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-3, weight_decay=WEIGHT_DECAY, **fused
        )

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return self.calc_loss(x, y, self.forward, CPU)


def contenders(args) -> dict[str, Ours | Peer]:
    size = f"{args.size} without dropout"
    SIZES[size] = dataclasses.replace(SIZES[args.size], drop_rate=0.0)
    plain = Ours(size, args.batch, [], [])
    cfg, model = plain.run.cfg, plain.model
    rungs = fast_train.rungs_that_pay(CPU, cfg.vocab_size, args.batch * cfg.context_length)
    fast32 = Ours(size, args.batch, rungs, ["float32"])
    fast = Ours(size, args.batch, rungs, ["float32", "bfloat16"])
    ways: dict[str, Ours | Peer] = {"course train": plain, "--fast, held to float32": fast32}
    ways["--fast"] = fast
    autocast = [("", "float32"), (", autocast", "bfloat16")]
    for after, dtype in autocast:
        if args.nanogpt:
            ways[f"nanoGPT{after}"] = NanoGPT(args.nanogpt, cfg, model, dtype)
    for after, dtype in autocast:
        ways[f"Hugging Face GPT-2{after}"] = HuggingFace(cfg, model, dtype)
    if args.llms_from_scratch:
        checkout = args.llms_from_scratch
        ways["LLMs-from-scratch"] = LLMsFromScratch(checkout, cfg, model, optimised=False)
        ways["  optimised, not compiled"] = LLMsFromScratch(checkout, cfg, model, optimised=True)
        if args.compiled:
            ways["  optimised"] = LLMsFromScratch(checkout, cfg, model, optimised=True, compiled=True)
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(description="A training step on a CPU, beside peers.")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of karpathy/nanoGPT")
    parser.add_argument("--llms-from-scratch", type=Path, help="a checkout of rasbt/LLMs-from-scratch")
    parser.add_argument("--size", choices=["char", "char-small"], default="char")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=10, help="steps of each, besides one to warm up")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compiled", action="store_true", help="LLMs-from-scratch's optimised script, too")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # `course train` asks it, too
    torch.set_num_threads(args.threads)

    print(machine_line())
    for checkout in filter(None, (args.nanogpt, args.llms_from_scratch)):
        print(f"{checkout.name} {commit_of(checkout)}")
    with contextlib.redirect_stdout(io.StringIO()):  # nanoGPT says how many parameters it has
        ways = contenders(args)
    plain, fast = ways["course train"], ways["--fast"]
    cfg, ids = plain.run.cfg, plain.run.train_ids
    tokens = args.batch * cfg.context_length
    shape = f"{cfg.n_layers}/{cfg.n_heads}/{cfg.emb_dim}, V {cfg.vocab_size}"
    print(f"{shape}, B {args.batch}, T {cfg.context_length}; {load_line()} at the start")
    print(f"--fast: {', '.join(fast_train.SAID[rung] for rung in fast.run.rungs)}")

    cpu, wall = ({name: [] for name in ways} for _ in range(2))
    losses: dict[str, list[float]] = {name: [] for name in ways}
    source = Generator().manual_seed(7)
    for _ in range(1 + args.rounds):
        x, y = (t.contiguous() for t in PIECES.ch2.get_batch(ids, args.batch, cfg.context_length, source))
        rate = plain.run.learning_rate()
        for name, way in ways.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            loss = way.step(x, y, rate)
            cpu[name].append(time.process_time() - cpu_start)
            wall[name].append(time.perf_counter() - start)
            losses[name].append(loss.item())

    clock = cpu if args.threads == 1 else wall

    def ratio(name: str, other: str) -> float:
        """How many times as fast as the other."""
        return median(b / a for a, b in zip(clock[name][1:], clock[other][1:], strict=True))

    compared = [name for name in ("nanoGPT", "Hugging Face GPT-2", "LLMs-from-scratch") if name in ways]
    print(f"tokens a second of processor time and on the clock; × {', × '.join(compared)} as documented")
    print(f"{'':29}{'':9}{'cpu':>7}{'clock':>7}" + "".join(f"{'×':>7}" for _ in compared), end="")
    print(f"{'kept MB':>9}{'first loss':>12}{'apart':>9}{f'loss {args.rounds + 1}':>10}")
    failed = []
    for name, way in ways.items():
        apart = losses[name][0] - losses["course train"][0]
        kept = PIECES.ch9.saved_bytes(lambda way=way: way.loss(x, y)) / 1e6
        figures = [tokens / median(clock[name][1:]) for clock in (cpu, wall)]
        print(f"{name:29}{way.dtype:9}{figures[0]:>7,.0f}{figures[1]:>7,.0f}", end="")
        print("".join(f"{ratio(name, other):>7.2f}" for other in compared), end="")
        print(f"{kept:>9,.0f}{losses[name][0]:>12.6f}{apart:>9.0e}{losses[name][-1]:>10.4f}")
        if abs(apart) > EQUAL[way.dtype]:
            failed.append(name)
    if "nanoGPT" in ways:
        equal = {"float32": ratio("--fast, held to float32", "nanoGPT")}
        if fast.dtype == "bfloat16":
            equal["bfloat16"] = ratio("--fast", "nanoGPT, autocast")
        print("--fast to nanoGPT at equal precision:", ", ".join(f"{d} {r:.2f}" for d, r in equal.items()))
    print(f"{load_line()} at the end")
    if failed:
        sys.exit(f"other first losses than ours: {', '.join(failed)}; their speed is worth nothing")


if __name__ == "__main__":
    main()
