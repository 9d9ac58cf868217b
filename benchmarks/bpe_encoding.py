"""How long BPETokenizer.encode takes with GPT-2's vocabulary, beside tiktoken, tokenizers and minbpe.

    python benchmarks/bpe_encoding.py [--minbpe PATH] [--runs 5]

The ids of all of them are equal, or the script ends. They take turns. "New" is a tokenizer that has seen
nothing, "again" one that has encoded the text before: ours and tokenizers remember words, tiktoken and minbpe
do not. The long word, of letters drawn at random, is one that a tokenizer that looks through all pairs before
each merge never ends with; minbpe gets its beginning. Seconds are those of the CPU, one thread each.
"""

import argparse
import os
import platform
import random
import statistics
import string
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import regex
import tiktoken
import tokenizers

from course import corpora
from course.tokenizer_files import write_tokenizer_json
from course.vocabularies import END_OF_TEXT, gpt2_vocabulary
from solutions.ch1.tokenizer import GPT2_SPLIT, BPETokenizer

Encode = Callable[[str], list[int]]


def make_ours(vocab, merges) -> Encode:
    return BPETokenizer(vocab, merges, [END_OF_TEXT]).encode


def make_tokenizers(vocab, merges) -> Encode:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        write_tokenizer_json(path, vocab, merges, [END_OF_TEXT])
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    return lambda text: tokenizer.encode(text).ids


def make_tiktoken(vocab, merges) -> Encode:
    encoding = tiktoken.get_encoding("gpt2")
    return lambda text: encoding.encode(text, allowed_special="all")


def make_minbpe(vocab, merges) -> Encode:
    """minbpe gives bytes and merges the ids 0, 1, 2 …: the caller's numbers come from a table, quickly."""
    from minbpe.regex import RegexTokenizer

    pieces = [bytes([byte]) for byte in range(256)] + [first + second for first, second in merges]
    number = {piece: i for i, piece in enumerate(pieces)}
    id_of = {piece: i for i, piece in vocab.items()}
    gpt2_id = [id_of[piece] for piece in pieces]
    tokenizer = RegexTokenizer(GPT2_SPLIT.pattern)
    tokenizer.merges = {(number[first], number[second]): number[first + second] for first, second in merges}
    return lambda text: [gpt2_id[i] for i in tokenizer.encode(text)]


def compare(title: str, text: str, makers: dict, vocabulary, runs: int) -> None:
    seconds = {(name, state): [] for name in makers for state in ("new", "again")}
    ids = {}
    for _ in range(runs):
        for name, make in makers.items():
            encode = make(*vocabulary)
            for state in ("new", "again"):
                start = time.process_time()
                ids[name] = encode(text)
                seconds[name, state].append(time.process_time() - start)
    for name, came in ids.items():
        if came != ids["ours"]:
            sys.exit(f"{title}: {name} and ours give different ids")

    size = len(text.encode("utf-8"))
    print(f"{title}: {len(text):,} characters, {len(ids['ours']):,} tokens")
    ours = {state: statistics.median(seconds["ours", state]) for state in ("new", "again")}
    for name in makers:
        line = f"  {name:12}"
        for state in ("new", "again"):
            median = statistics.median(seconds[name, state])
            line += (
                f"{state:>7} {median:9.4f} s {size / 1e6 / median:6.2f} MB/s {median / ours[state]:7.2f} x"
            )
        print(line)
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minbpe", type=Path, help="a checkout of minbpe")
    parser.add_argument("--runs", type=int, default=5, help="how many times each of them encodes")
    args = parser.parse_args()

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TIKTOKEN_CACHE_DIR"] = str(corpora.tiktoken_cache())
    vocabulary = gpt2_vocabulary()
    text = corpora.read_text("shakespeare")
    letters = "".join(random.Random(1).choices(string.ascii_lowercase, k=50_000))
    makers = {"ours": make_ours, "tiktoken": make_tiktoken, "tokenizers": make_tokenizers}
    with_minbpe = dict(makers)
    if args.minbpe:
        sys.path.insert(0, str(args.minbpe))
        with_minbpe["minbpe"] = make_minbpe

    print("median CPU seconds, and times ours")
    compare("130 kB of Shakespeare", text[:130_000], with_minbpe, vocabulary, args.runs)
    compare("tiny Shakespeare", text, makers, vocabulary, args.runs)
    compare("a long word", letters, makers, vocabulary, args.runs)
    compare("its beginning", letters[:1_600], with_minbpe, vocabulary, args.runs)
    print(
        f"Python {platform.python_version()}, regex {regex.__version__}, tiktoken {tiktoken.__version__}, "
        f"tokenizers {tokenizers.__version__}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
