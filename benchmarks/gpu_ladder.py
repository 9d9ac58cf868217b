"""The ladder on a GPU, rung upon rung; then nanoGPT and LLMs-from-scratch on the same work; then generation.

Every rung has all rungs above it, as `course train --fast` puts them together. Each starts from the same
weights and sees the same batches; its first losses must be those of the plain model, so that nobody computes
less. What is timed are blocks of steps without a look in between; the figure is the median block's.

    python benchmarks/gpu_ladder.py --nanogpt NANOGPT --llms-from-scratch LLMS_FROM_SCRATCH --json gpu.json

GPT-2 small, context 1,024: most of the minutes that it takes go into compiling. The peers are checkouts of
karpathy/nanoGPT and rasbt/LLMs-from-scratch. --parts runs less; --device cpu with small sizes tries it out.

Shapes: B batch, T time (positions in the sequence), C width of one vector, V vocabulary size.
"""

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import repeat
from pathlib import Path
from statistics import median

import torch
from gpu_peers import (
    BETAS,
    LEARNING_RATE,
    MAX_NORM,
    WEIGHT_DECAY,
    LLMsFromScratch,
    NanoGPT,
    padded,
)
from peers import PIECES, first_model
from torch import Generator, Tensor, nn

from course import fast_train
from course.fast_generate import recorded_step, speed_up, stream_texts
from course.generate import Sampling

CHECKED = 5  # steps whose losses are compared
BLOCKS = 5
TOLERANCE = {"float32": 0.005, "bfloat16": 0.05}  # nats; TF32 counts as float32

LADDER = ["plain", "tf32", "adamw", "bfloat16", "elementwise", "attention", "qkv", "clip", "prefetch"]
LADDER += ["compile", "vocab", "larger batch", "chunks"]


class Ours:
    """The model, its optimizer and a step, put together as in course/train.py."""

    def __init__(self, rungs: list[str], cfg, device: torch.device, micro_batch: int | None = None):
        torch.set_float32_matmul_precision("highest")
        self.rungs, self.device, self.micro_batch = rungs, device, micro_batch
        self.model = first_model(cfg).to(device)
        with torch.random.fork_rng(devices=[]):
            fast_train.speed_up(self.model, cfg, rungs, PIECES)
        if "adamw" in rungs:
            self.optimizer = PIECES.ch9.fused_adamw(self.model, LEARNING_RATE, WEIGHT_DECAY, BETAS)
        else:
            groups = PIECES.ch6.parameter_groups(self.model, WEIGHT_DECAY)
            self.optimizer = torch.optim.AdamW(
                groups, lr=LEARNING_RATE, betas=BETAS, foreach=False, fused=False
            )
        self.forward = fast_train.Body(self.model, PIECES) if "chunks" in rungs else self.model
        if "compile" in rungs:
            self.forward = torch.compile(self.forward)
        self.clip = nn.utils.clip_grad_norm_ if "clip" in rungs else PIECES.ch6.clip_gradients

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        if self.micro_batch:
            loss = PIECES.ch9.accumulate_gradients(x, y, self.model, self.device, self.micro_batch)
        else:
            loss = self.loss(x, y)
            loss.backward()
        self.clip(self.model.parameters(), MAX_NORM)
        self.optimizer.step()
        return loss.detach()

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        head = self.model.out_head
        return fast_train.calc_loss(x, y, self.forward, head, self.device, self.rungs, PIECES)


class Machine:
    """Where it runs: its clock, memory and limits."""

    def __init__(self, device: torch.device, peak: float | None):
        self.device = device
        self.peak = peak * 1e12 if peak else self.measured_peak()

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, run: Callable[[], object]) -> float:
        self.wait()
        start = time.perf_counter()
        run()
        self.wait()
        return time.perf_counter() - start

    def measured_peak(self) -> float:
        """FLOP/s of the best of some large products in bfloat16."""
        n = 8192 if self.device.type == "cuda" else 512
        a, b = torch.randn(2, n, n, device=self.device, dtype=torch.bfloat16)
        return 2 * n**3 / min(self.seconds(lambda: a @ b) for _ in range(10))

    def measured_bandwidth(self) -> float:
        """Bytes a second of the best of some sums over a tensor that no cache holds."""
        numbers = torch.ones(2**30 if self.device.type == "cuda" else 2**24, device=self.device)
        return numbers.nbytes / min(self.seconds(numbers.sum) for _ in range(10))

    def forget(self) -> None:
        torch._dynamo.reset()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def gigabytes(self) -> float:
        return torch.cuda.max_memory_allocated() / 1e9 if self.device.type == "cuda" else 0.0

    def __str__(self) -> str:
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else platform.machine()
        versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}, Python {platform.python_version()}"
        return f"{versions}, {name}, peak taken as {self.peak / 1e12:,.2f} TFLOP/s"


class Report:
    """A line for each way as it is done, the whole in a file, and whether all losses were right."""

    def __init__(self, machine: Machine, flops_per_token: int, file: Path | None):
        self.machine, self.flops_per_token, self.file = machine, flops_per_token, file
        self.rows: list[dict] = []
        self.all_equal = True

    def add(self, name: str, tokens: int, seconds: float, first: float, losses, expected, tolerance) -> None:
        apart = max(abs(a - b) for a, b in zip(losses, expected, strict=True))
        speed = tokens / seconds
        plain = self.rows[0]["tokens_per_second"] if self.rows else speed
        row = {
            "name": name,
            "tokens_per_second": speed,
            "ratio": speed / plain,
            "mfu": self.flops_per_token * speed / self.machine.peak,
            "gigabytes": self.machine.gigabytes(),
            "first_step_seconds": first,
            "losses_apart": apart,
            "tolerance": tolerance,
        }
        if not self.rows:
            print(
                f"{'':26}{'tokens/s':>10}{'ratio':>8}{'MFU':>8}{'GB':>7}{'1st step s':>12}{'loss apart':>12}"
            )
        self.rows.append(row)
        print(
            f"{name:26}{speed:>10,.0f}{row['ratio']:>8.2f}{row['mfu']:>8.1%}{row['gigabytes']:>7.1f}"
            f"{first:>12.1f}{apart:>12.5f}" + ("" if apart <= tolerance else f"  ABOVE {tolerance}"),
            flush=True,
        )
        self.all_equal = self.all_equal and apart <= tolerance
        self.write({"training": self.rows})

    def write(self, figures: dict) -> None:
        if self.file:
            old = json.loads(self.file.read_text()) if self.file.exists() else {}
            self.file.write_text(json.dumps(old | {"machine": str(self.machine)} | figures, indent=1))


def batches_of(ids: Tensor, batch_size: int, cfg, device: torch.device, ahead: bool):
    """The same batches for everybody, to be entered; ahead: as --fast fetches them."""
    torch.manual_seed(7)
    if ahead:
        return fast_train.fetched_ahead(ids, batch_size, cfg, device, PIECES)
    return nullcontext(PIECES.ch2.get_batch(ids, batch_size, cfg.context_length) for _ in repeat(None))


def first_losses(way, batches: Iterator) -> tuple[list[float], float]:
    start = time.perf_counter()
    losses = [way.step(*next(batches)).item()]
    first = time.perf_counter() - start
    return losses + [way.step(*next(batches)).item() for _ in range(CHECKED - 1)], first


def measure(way, batches: Iterator, steps: int, machine: Machine) -> float:
    """Seconds of a step."""

    def block() -> None:
        for _ in range(steps):
            way.step(*next(batches))

    block()
    return median(machine.seconds(block) for _ in range(BLOCKS)) / steps


def climb(args, cfg, ids: Tensor, machine: Machine, report: Report) -> None:
    device, batch = machine.device, args.batch
    names = [name for name in LADDER if name not in args.without]
    expected: dict[int, list[float]] = {}
    rungs: list[str] = []
    for name in names:
        if name == "larger batch":
            batch = args.larger_batch
        elif name != "plain":
            rungs = [rung for rung in rungs if (rung, name) != ("attention", "qkv")] + [name]
        if batch not in expected:  # the plain model's losses, in parts that fit
            reference = Ours([], cfg, device, micro_batch=args.batch)
            with batches_of(ids, batch, cfg, device, ahead=False) as batches:
                expected[batch], _ = first_losses(reference, batches)
            del reference
        machine.forget()
        way = Ours(rungs, cfg, device)
        with batches_of(ids, batch, cfg, device, ahead="prefetch" in rungs) as batches:
            losses, first = first_losses(way, batches)
            seconds = measure(way, batches, args.steps, machine)
        tolerance = TOLERANCE["bfloat16" if "bfloat16" in rungs else "float32"]
        tokens = batch * cfg.context_length
        report.add(f"+ {name}" if rungs else name, tokens, seconds, first, losses, expected[batch], tolerance)
        del way


def compare(args, cfg, ids: Tensor, machine: Machine, report: Report) -> None:
    """The peers, and once more ours beside them, at the ladder's last batch size."""
    device, batch = machine.device, args.larger_batch
    compiled = "compile" not in args.without
    best = [name for name in LADDER[1:-2] if name not in args.without and name != "attention"]
    ways: dict[str, Callable] = {"ours": lambda: Ours(best, cfg, device)}
    if args.nanogpt:
        ways["nanoGPT"] = lambda: NanoGPT(args.nanogpt, cfg, device, compiled)
    if args.llms_from_scratch:
        ways["LLMs-from-scratch"] = lambda: LLMsFromScratch(args.llms_from_scratch, cfg, device, compiled)
    reference = Ours([], cfg, device, micro_batch=args.batch)
    with batches_of(ids, batch, cfg, device, ahead=False) as batches:
        expected, _ = first_losses(reference, batches)
    del reference
    for name, make in ways.items():
        machine.forget()
        way = make()
        with batches_of(ids, batch, cfg, device, ahead=True) as batches:
            losses, first = first_losses(way, batches)
            seconds = measure(way, batches, args.steps, machine)
        if name == "LLMs-from-scratch":  # with its head untied, the second step is another one
            losses, expected = losses[:1], expected[:1]
        tokens, tolerance = batch * cfg.context_length, TOLERANCE["bfloat16"]
        if name != "ours":  # their padding takes part in the softmax, before they learn to silence it
            tolerance += math.log(padded(cfg.vocab_size) / cfg.vocab_size)
        report.add(name, tokens, seconds, first, losses, expected, tolerance)
        del way


def generate(args, cfg, machine: Machine, report: Report) -> None:
    """Greedy continuations, one text and several: chapter 7's cache, the static one, and it replayed."""
    torch.set_float32_matmul_precision("highest")  # so that all choose the same tokens
    on_gpu = machine.device.type == "cuda"
    prompt = torch.randint(cfg.vocab_size, (16,), generator=Generator().manual_seed(3)).tolist()
    new = min(args.new_tokens, cfg.context_length - len(prompt))
    greedy = Sampling(new, 0.0, None, None)
    bandwidth = machine.measured_bandwidth()
    print(f"\ngeneration, {new} tokens; memory read at {bandwidth / 1e9:,.0f} GB/s")
    print(f"{'':36}{'texts':>6}{'tokens/s':>10}{'of the limit':>14}{'GB':>7}")

    def fast(texts: int, dtype: torch.dtype, make_step):
        model = first_model(cfg).to(machine.device, dtype).eval()
        speed_up(model, PIECES)

        def run() -> list[int]:
            steps = stream_texts(PIECES, model, [prompt] * texts, greedy, [None] * texts, make_step=make_step)
            return [step[0] for step in steps]

        return run, model

    def cached(texts: int):
        model = first_model(cfg).to(machine.device).eval()
        idx = torch.tensor([prompt] * texts, device=machine.device)

        def run() -> list[int]:
            return PIECES.ch7.generate_cached(model, idx, new, cfg.context_length)[0, len(prompt) :].tolist()

        return run, model

    def compiled_step(cache):
        step = torch.compile(cache.step, mode="reduce-overhead")
        return lambda ids, positions, _: step(ids, positions, cache.length)

    float32, bfloat16 = torch.float32, torch.bfloat16
    ways = {"chapter 7's cache": lambda texts: cached(texts)}
    ways["static cache"] = lambda texts: fast(texts, float32, lambda cache: cache.step)
    if on_gpu:
        ways["static cache, step replayed"] = lambda texts: fast(texts, float32, recorded_step)
        ways["the same in bfloat16"] = lambda texts: fast(texts, bfloat16, recorded_step)
    if "compile" not in args.without:
        ways["static cache, compiled"] = lambda texts: fast(texts, float32, compiled_step)
    rows = []
    for texts in (1, args.texts):
        expected = None
        for name, make in ways.items():
            machine.forget()
            run, model = make(texts)
            tokens = run()  # compiles, and warms up
            expected = expected or tokens
            seconds = median(machine.seconds(run) for _ in range(3))
            weights = sum(parameter.nbytes for parameter in model.parameters())
            limit = bandwidth / weights  # steps a second, if all weights are read once in each
            speed = texts * new / seconds
            row = {"name": name, "texts": texts, "tokens_per_second": speed}
            row["of_the_limit"] = new / seconds / limit
            rows.append(row | {"gigabytes": machine.gigabytes(), "same_tokens": tokens == expected})
            exact = "bfloat16" not in name
            print(
                f"{name:36}{texts:>6}{speed:>10,.0f}{row['of_the_limit']:>14.0%}{machine.gigabytes():>7.1f}"
                + ("" if tokens == expected or not exact else "  OTHER TOKENS"),
                flush=True,
            )
            report.all_equal = report.all_equal and (tokens == expected or not exact)
            del run, model
    report.write({"generation": rows})


def main() -> None:
    parser = argparse.ArgumentParser(description="Training and generation on a GPU, beside peers.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--vocab", type=int, default=50257)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--larger-batch", type=int, default=32, help="a multiple of --batch")
    parser.add_argument("--steps", type=int, default=10, help="of a block; a way is timed in 5 of them")
    parser.add_argument("--new-tokens", type=int, default=200)
    parser.add_argument("--texts", type=int, default=16, help="generated at once")
    parser.add_argument("--peak", type=float, help="TFLOP/s by the data sheet, dense bfloat16 [measured]")
    parser.add_argument("--nanogpt", type=Path, help="a checkout")
    parser.add_argument("--llms-from-scratch", type=Path, help="a checkout")
    parser.add_argument("--parts", nargs="+", choices=["ladder", "peers", "generation"])
    parser.add_argument("--without", nargs="+", default=[], choices=LADDER[1:], metavar="RUNG")
    parser.add_argument("--json", type=Path, help="where the figures go, too")
    args = parser.parse_args()
    parts = args.parts or ["ladder", "peers", "generation"]

    cfg = PIECES.ch4.GPTConfig(
        args.vocab, args.context, args.width, args.heads, args.layers, drop_rate=0.0, qkv_bias=False
    )
    ids = torch.randint(args.vocab, (10**6,), generator=Generator().manual_seed(0))  # any will do for a time
    machine = Machine(torch.device(args.device), args.peak)
    with torch.device("meta"):
        flops = PIECES.ch9.training_flops(PIECES.ch5.GPTModel(cfg), 1, args.context)
    print(machine)
    print(f"{args.layers}/{args.heads}/{args.width}, V {args.vocab}, B {args.batch}, T {args.context}")
    report = Report(machine, flops, args.json)
    if "ladder" in parts:
        climb(args, cfg, ids, machine, report)
    if "peers" in parts:
        compare(args, cfg, ids, machine, report)
    if "generation" in parts:
        generate(args, cfg, machine, report)
    if not report.all_equal:
        sys.exit("some losses or tokens differ from the plain model's: their speed is worth nothing")


if __name__ == "__main__":
    main()
