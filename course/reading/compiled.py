"""torch.compile: the kernels that chapter 9 picked by hand, made by a compiler for the whole model.

    python -m course.reading.compiled

Chapter 9 put one fused kernel in the place of several small ones, again and again. torch.compile does so by
itself: it watches the model run once, writes the operations down as a graph, and generates code for them, in
which a chain of small operations becomes one loop over memory. It then runs that code as long as the inputs
look alike, and compiles again when they do not (another length of the text, another mode).

It costs time before the first step, and on a CPU it needs a C++ compiler. What it cannot look into breaks the
graph in two: a print, a branch on a tensor's value, an .item() as in check_ids of chapter 2, of which torch
warns below. And it does not find everything: it fuses the small operations around an attention that is
written out, and the scores are written all the same.

This script compiles the plain model of chapter 5 and the one with chapter 9's fused kernels, and prints how
long the compilation took, what a step takes of each of the four, and how far their losses are apart.
"""

import argparse
import time
from statistics import median

import torch

from ..pieces import load_pieces


def main() -> None:
    parser = argparse.ArgumentParser(description="What torch.compile is worth, beside chapter 9's kernels.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pieces", help="package of the chapters [the reference, or your exercises]")
    args = parser.parse_args()
    pieces = load_pieces(args.pieces)

    cfg = pieces.ch4.GPTConfig(65, context_length=128, emb_dim=192, n_heads=6, n_layers=2)
    ids = torch.randint(cfg.vocab_size, (10_000,))
    x, y = pieces.ch2.get_batch(ids, 8, cfg.context_length)

    def model(fused: bool) -> torch.nn.Module:
        torch.manual_seed(1)
        gpt = pieces.ch5.GPTModel(cfg)
        if fused:
            pieces.ch9.fuse_elementwise(gpt)
            for block in gpt.trf_blocks:
                block.att = pieces.ch9.FusedAttention(block.att)
        return gpt

    ways = {"plain": model(fused=False), "fused by hand": model(fused=True)}
    ways |= {f"{name}, compiled": torch.compile(gpt) for name, gpt in ways.items()}
    losses, seconds = {}, {name: [] for name in ways}
    for round_number in range(1 + args.rounds):
        for name, gpt in ways.items():
            start = time.perf_counter()
            loss = pieces.ch6.calc_loss_batch(x, y, gpt, "cpu")
            loss.backward()
            taken = time.perf_counter() - start
            losses[name] = loss.item()
            if round_number > 0:
                seconds[name].append(taken)
            elif "compiled" in name:
                print(f"{name}: {taken:.0f} s until the first step was done")

    print(f"{'':24}{'s/step':>8}{'ratio':>8}{'loss':>10}")
    for name in ways:
        ratio = median(a / b for a, b in zip(seconds["plain"], seconds[name], strict=True))
        print(f"{name:24}{median(seconds[name]):>8.3f}{ratio:>8.2f}{losses[name]:>10.5f}")


if __name__ == "__main__":
    main()
