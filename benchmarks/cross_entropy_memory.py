"""Peak memory of the loss at GPT-2's vocabulary: all logits at once, and chapter 9's chunks.

Each way runs in a process of its own: head, loss and backward pass. What is measured is how far the process's
resident memory rises above where it stood with head and hidden vectors in place, as the system tells it, with
glibc told to give back what is freed (left alone, it keeps blocks of some megabytes for later, freed or not).

    OMP_NUM_THREADS=1 python benchmarks/cross_entropy_memory.py

Shapes: B batch, T time (positions in the sequence), C width of one vector, V vocabulary size.
"""

import argparse
import os
import resource
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

from solutions.ch9.speed import chunked_cross_entropy

KILOBYTE = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE


def measure(chunk_size: int, tokens: int, width: int, vocab_size: int) -> None:
    """Print bytes, seconds and loss of one way; a chunk_size of 0 stands for the plain loss."""
    torch.manual_seed(1)
    head = nn.Linear(width, vocab_size, bias=False)
    hidden = torch.randn(1, tokens, width, requires_grad=True)
    targets = torch.randint(vocab_size, (1, tokens))
    F.cross_entropy(
        hidden[0, :2, :8] @ head.weight[:, :8].T, targets[0, :2]
    ).backward()  # libraries are loaded
    hidden.grad = head.weight.grad = None
    before, start = peak(), time.process_time()
    if chunk_size:
        loss = chunked_cross_entropy(hidden, head, targets, chunk_size)
    else:
        loss = F.cross_entropy(head(hidden).flatten(0, 1), targets.flatten())
    loss.backward()
    print(peak() - before, time.process_time() - start, loss.item())


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of the plain and the chunked cross-entropy.")
    parser.add_argument("--tokens", type=int, default=4096, help="B·T")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--vocab", type=int, default=50257)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1024, 256, 64])
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone is not None:
        measure(args.alone, args.tokens, args.width, args.vocab)
        return

    logits = 4 * args.tokens * args.vocab
    print(
        f"torch {torch.__version__}, {args.tokens:,} positions, width {args.width}, vocabulary {args.vocab:,}"
    )
    gradient = 4 * args.vocab * args.width
    print(f"all logits once: {logits / 1e6:,.0f} MB; the head's gradient: {gradient / 1e6:,.0f} MB")
    print(f"{'':24}{'peak MB':>9}{'ratio':>8}{'CPU s':>8}{'loss':>10}")
    plain = None
    for chunk_size in (0, *args.chunks):
        command = [sys.executable, *sys.argv, "--alone", str(chunk_size)]
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
        out = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
        bytes_, seconds, loss = map(float, out.split())
        plain = plain or bytes_
        name = f"chunks of {chunk_size}" if chunk_size else "plain"
        print(f"{name:24}{bytes_ / 1e6:>9,.0f}{plain / bytes_:>8.1f}{seconds:>8.1f}{loss:>10.4f}", flush=True)


if __name__ == "__main__":
    main()
