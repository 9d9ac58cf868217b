"""How long train_bpe takes on 130 kB of English at vocab 500, and how much counting incrementally saves.

    python benchmarks/bpe_training.py [--text PATH] [--runs 5]

The two trainers take turns, so that a busy machine slows both; each must learn the same merges.
"""

import argparse
import platform
import statistics
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import regex

from course import corpora
from solutions.ch1.tokenizer import GPT2_SPLIT, train_bpe

VOCAB_SIZE = 500
CHARACTERS = 130_000


def train_by_recounting(text: str, vocab_size: int) -> list[tuple[bytes, bytes]]:
    """The same merges the plain way: each distinct word once, but all pairs counted anew for every merge."""
    occurrences = Counter(GPT2_SPLIT.findall(text))
    words = [tuple(bytes([byte]) for byte in word.encode("utf-8")) for word in occurrences]
    merges = []
    while 256 + len(merges) < vocab_size:
        counts = Counter()
        for word, frequency in zip(words, occurrences.values(), strict=True):
            for pair in pairwise(word):
                counts[pair] += frequency
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        words = [merge_pieces(word, *best) for word in words]
        merges.append(best)
    return merges


def merge_pieces(word: tuple[bytes, ...], first: bytes, second: bytes) -> tuple[bytes, ...]:
    merged = []
    i = 0
    while i < len(word):
        if word[i : i + 2] == (first, second):
            merged.append(first + second)
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return tuple(merged)


def seconds(train, *args):
    start = time.perf_counter()
    result = train(*args)
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="a UTF-8 file; without it, tiny Shakespeare's beginning")
    parser.add_argument("--runs", type=int, default=5, help="how many times each trainer runs")
    args = parser.parse_args()

    if args.text:
        text = args.text.read_text(encoding="utf-8")
    else:
        text = corpora.read_text("shakespeare")[:CHARACTERS]

    incremental, recounting = [], []
    for _ in range(args.runs):
        taken, (_, merges) = seconds(train_bpe, text, VOCAB_SIZE)
        incremental.append(taken)
        taken, expected = seconds(train_by_recounting, text, VOCAB_SIZE)
        recounting.append(taken)
        if merges != expected:
            sys.exit("the two trainers learnt different merges")

    fast, slow = statistics.median(incremental), statistics.median(recounting)
    words = GPT2_SPLIT.findall(text)
    print(f"{len(text):,} characters, {len(words):,} words, {len(set(words)):,} of them distinct")
    print(f"{len(merges)} merges, vocab {VOCAB_SIZE}; median (least) of {args.runs} runs, taking turns:")
    print(f"  train_bpe       {fast:7.3f} s  ({min(incremental):.3f})")
    print(f"  counting anew   {slow:7.3f} s  ({min(recounting):.3f})")
    print(f"  ratio           {slow / fast:7.1f}")
    print(f"Python {platform.python_version()}, regex {regex.__version__}, {platform.machine()}")


if __name__ == "__main__":
    main()
