"""How long train_bpe takes, beside minbpe, Hugging Face's tokenizers, and counting everything anew.

    python benchmarks/bpe_training.py [--minbpe PATH] [--everything] [--text PATH] [--runs 5]

On the same words (GPT-2's pattern) each learns the same number of merges. They take turns, so that a busy
machine slows all of them, and each is checked: what it merges is one of the most frequent pairs at its turn.
Of several that are equally frequent each takes another; up to the first such tie their merges are equal.

PATH is a checkout of github.com/karpathy/minbpe. On the longer text it takes minutes, and only --everything
waits for them. Seconds are those of the CPU; tokenizers gets one thread.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import regex

from course import corpora
from course.vocabularies import character_of_byte
from solutions.ch1.tokenizer import GPT2_SPLIT, train_bpe

CHARACTERS = 130_000
Pair = tuple[bytes, bytes]


def by_train_bpe(text: str, vocab_size: int) -> list[Pair]:
    return train_bpe(text, vocab_size)[1]


def by_recounting(text: str, vocab_size: int) -> list[Pair]:
    """The same merges the plain way: each distinct word once, but all pairs counted anew for every merge."""
    counted = Counter(GPT2_SPLIT.findall(text))
    words = [tuple(bytes([byte]) for byte in word.encode("utf-8")) for word in counted]
    merges = []
    while 256 + len(merges) < vocab_size:
        counts = pair_counts(words, counted.values())
        best = max(counts, key=lambda pair: (counts[pair], pair))
        words = [merge_pieces(word, *best) for word in words]
        merges.append(best)
    return merges


def pair_counts(words, frequencies) -> Counter:
    counts = Counter()
    for word, frequency in zip(words, frequencies, strict=True):
        for pair in pairwise(word):
            counts[pair] += frequency
    return counts


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


def by_tokenizers(text: str, vocab_size: int) -> list[Pair]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    byte_of = {character: byte for byte, character in character_of_byte().items()}
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(bytes(byte_of[c] for c in piece) for piece in pair) for pair in merges]


def by_minbpe(text: str, vocab_size: int) -> list[Pair]:
    from minbpe.regex import RegexTokenizer

    tokenizer = RegexTokenizer(GPT2_SPLIT.pattern)
    tokenizer.train(text, vocab_size)
    return [(tokenizer.vocab[first], tokenizer.vocab[second]) for first, second in tokenizer.merges]


def check(name: str, text: str, merges: list[Pair]) -> None:
    """Counting with nobody's help, each merge has to be of a pair than which none is more frequent."""
    counted = Counter(GPT2_SPLIT.findall(text))
    words = {tuple(bytes([byte]) for byte in word.encode("utf-8")): n for word, n in counted.items()}
    counts = pair_counts(words, words.values())
    for number, pair in enumerate(merges):
        if counts[pair] < max(counts.values()):
            sys.exit(f"merge {number} of {name} is not of a most frequent pair: {pair}")
        changed = {word: n for word, n in words.items() if pair in pairwise(word)}
        merged = {merge_pieces(word, *pair): n for word, n in changed.items()}
        counts.subtract(pair_counts(changed, changed.values()))
        counts.update(pair_counts(merged, merged.values()))
        for word in changed:
            del words[word]
        words |= merged


def equal_from_the_start(one: list[Pair], other: list[Pair]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), len(one))


def compare(title: str, text: str, vocab_size: int, trainers: dict, runs: int) -> None:
    seconds = {name: [] for name in trainers}
    learnt = {}
    for _ in range(runs):
        for name, train in trainers.items():
            start = time.process_time()
            learnt[name] = train(text, vocab_size)
            seconds[name].append(time.process_time() - start)

    ours = learnt["train_bpe"]
    print(f"{title}: {len(text):,} characters, vocabulary {vocab_size:,}, {len(ours)} merges")
    for name, merges in learnt.items():
        if len(merges) != len(ours):
            sys.exit(f"{name} learnt {len(merges)} merges, train_bpe {len(ours)}")
        check(name, text, merges)
        alike = equal_from_the_start(ours, merges)
        shared = len(set(ours) & set(merges))
        median = statistics.median(seconds[name])
        ratio = median / statistics.median(seconds["train_bpe"])
        line = f"  {name:15}{median:9.3f} s  ({min(seconds[name]):.3f})  {ratio:8.2f} x"
        print(f"{line}   first {alike} merges equal, {shared} in common" if name != "train_bpe" else line)
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minbpe", type=Path, help="a checkout of minbpe")
    parser.add_argument("--everything", action="store_true", help="the slow ones on the longer text too")
    parser.add_argument("--text", type=Path, help="a UTF-8 file in the place of tiny Shakespeare")
    parser.add_argument("--runs", type=int, default=5, help="how many times each trainer runs")
    args = parser.parse_args()

    os.environ["RAYON_NUM_THREADS"] = "1"  # tokenizers' threads
    text = corpora.read_text(args.text or "shakespeare")
    fast = {"train_bpe": by_train_bpe, "tokenizers": by_tokenizers}
    slow = {"counting anew": by_recounting}
    if args.minbpe:
        sys.path.insert(0, str(args.minbpe))
        slow["minbpe"] = by_minbpe

    print("median (least) CPU seconds, and times train_bpe's")
    compare("the beginning", text[:CHARACTERS], 500, fast | slow, args.runs)
    compare("the whole", text, 1024, fast, args.runs)
    if args.everything:
        compare("the whole, once", text, 1024, {"train_bpe": by_train_bpe} | slow, 1)
    print(versions())


def versions() -> str:
    import tokenizers

    return (
        f"Python {platform.python_version()}, regex {regex.__version__}, "
        f"tokenizers {tokenizers.__version__}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
