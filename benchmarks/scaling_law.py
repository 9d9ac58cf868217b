"""The loss against the size of the model: a power law through small runs, tried on a larger one.

Char GPTs of several widths are trained on tiny Shakespeare, on the same batches in the same order. The law is
fitted to all but the largest, whose loss it then has to tell. Sizes are parameters without embeddings, as in
Kaplan et al. (2020).

    OMP_NUM_THREADS=1 python benchmarks/scaling_law.py

Shapes: B batch, T time (positions in the sequence), C width of one vector.
"""

import argparse
import sys

import torch
from rich.progress import track
from torch import Generator

from course.corpora import read_text
from solutions.ch1.tokenizer import CharTokenizer
from solutions.ch2.inputs import get_batch, train_val_split
from solutions.ch4.block import GPTConfig
from solutions.ch5.model import GPTModel, count_parameters, init_weights
from solutions.ch6.training import calc_loss_batch, clip_gradients, estimate_loss, learning_rate
from solutions.ch9.speed import FusedAttention, fit_power_law, fuse_elementwise, fused_adamw, training_flops

BATCH, CONTEXT, LAYERS, HEADS = 16, 64, 4, 4
EVAL_ITERS = 100  # batches; good for about ±0.005


def fast_model(width: int, vocab_size: int, seed: int) -> GPTModel:
    torch.manual_seed(seed)
    model = GPTModel(GPTConfig(vocab_size, CONTEXT, width, HEADS, LAYERS, drop_rate=0.0))
    init_weights(model)
    for block in model.trf_blocks:
        block.att = FusedAttention(block.att)
    fuse_elementwise(model)
    return model


def train(model: GPTModel, ids: torch.Tensor, steps: int, max_lr: float, seed: int, name: str) -> None:
    optimizer = fused_adamw(model, lr=max_lr, weight_decay=0.1)
    batches, quiet = Generator().manual_seed(seed), not sys.stderr.isatty()
    for step in track(range(steps), description=name, disable=quiet, transient=True):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, max_lr, max_lr / 10, warmup_steps=50, total_steps=steps)
        optimizer.zero_grad()
        calc_loss_batch(*get_batch(ids, BATCH, CONTEXT, batches), model, "cpu").backward()
        clip_gradients(model.parameters(), 1.0)
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description="A power law of loss against size, from small runs.")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 24, 32, 48, 64, 96])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    text = read_text("shakespeare")
    tokenizer = CharTokenizer.from_text(text)
    train_ids, val_ids = train_val_split(torch.tensor(tokenizer.encode(text)))
    print(f"{args.steps:,} steps of {BATCH} x {CONTEXT} tokens, lr {args.lr:g}, torch {torch.__version__}")
    print(f"{'width':>6}{'size':>10}{'TFLOP':>8}{'train':>9}{'val':>9}")
    sizes, losses = [], []
    for width in args.widths:
        model = fast_model(width, tokenizer.vocab_size, args.seed)
        train(model, train_ids, args.steps, args.lr, args.seed, f"width {width}")
        places = Generator().manual_seed(args.seed + 1)
        loss = estimate_loss(model, train_ids, val_ids, 64, CONTEXT, EVAL_ITERS, places)
        size = count_parameters(model.trf_blocks)
        flops = training_flops(model, args.steps * BATCH * CONTEXT, CONTEXT)
        print(
            f"{width:>6}{size:>10,}{flops / 1e12:>8.1f}{loss['train']:>9.4f}{loss['val']:>9.4f}", flush=True
        )
        sizes.append(size)
        losses.append(loss["val"])

    a, alpha = fit_power_law(sizes[:-1], losses[:-1])
    told = a * sizes[-1] ** -alpha
    print(f"all but the last: loss = {a:.3f} · size^-{alpha:.4f}")
    print(f"the last: {told:.4f} by the law, {losses[-1]:.4f} measured, {told - losses[-1]:+.4f}")


if __name__ == "__main__":
    main()
