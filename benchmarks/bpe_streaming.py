"""How much memory and time `course train-tokenizer` and `course tokenize` take with a large text.

    python benchmarks/bpe_streaming.py [--megabytes 100] [--vocab-size 1024] [--processes 2]

The text is made up: sentences of 50,000 invented words, as unequally frequent as the words of a language,
and numbers, so that new words come up to the end. A tenth of it goes first, then the whole: what is bounded
stays, what is not grows tenfold. Each command runs by itself; the memory is the greatest that any single
process of it had (peak resident set).
"""

import argparse
import itertools
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = 50_000
SENTENCES_AT_ONCE = 1_000


def write_text(path: Path, megabytes: int) -> None:
    """Always the same text; a shorter one is the beginning of a longer one."""
    draw = random.Random(1)
    syllables = [
        a + b for a in ["b", "d", "f", "gr", "k", "l", "m", "n", "p", "s", "st", "t", "v"] for b in "aeiou"
    ]
    words = ["".join(draw.choices(syllables, k=draw.choice([1, 2, 2, 3, 3, 4]))) for _ in range(WORDS)]
    up_to = list(itertools.accumulate(1 / rank for rank in range(1, WORDS + 1)))
    size = 0
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        while size < megabytes * 1e6:
            sentences = []
            for _ in range(SENTENCES_AT_ONCE):
                chosen = draw.choices(words, cum_weights=up_to, k=draw.randint(4, 20))
                if draw.random() < 0.1:
                    chosen.append(str(draw.randrange(10**9)))
                sentences.append(
                    " ".join(chosen).capitalize() + draw.choice([".", ".", "!", ", they said.", "\n"])
                )
            text = " ".join(sentences) + "\n"
            size += file.write(text)


def measured(*command: str) -> tuple[float, float, float]:
    """Seconds, CPU seconds of all processes, and the greatest memory of one in MB."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "course.cli", *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"course {' '.join(command)} failed")
    in_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, in_bytes / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--vocab-size", type=int, default=1024)
    parser.add_argument("--processes", type=int, default=2, help="for the last row of each text")
    args = parser.parse_args()

    print(f"{'':38}{'s':>9}{'CPU s':>9}{'MB':>9}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for megabytes in (args.megabytes // 10, args.megabytes):
            text, vocab, ids = folder / "text.txt", folder / f"vocab-{megabytes}", folder / "ids.npy"
            write_text(text, megabytes)
            tokenize = ["tokenize", str(text), "--vocab", str(vocab), "--to", str(ids)]
            commands = {
                "train-tokenizer": [
                    *["train-tokenizer", str(text), "--to", str(vocab)],
                    *["--vocab-size", str(args.vocab_size)],
                ],
                "tokenize": tokenize,
                f"tokenize --processes {args.processes}": [*tokenize, "--processes", str(args.processes)],
            }
            for title, command in commands.items():
                seconds, cpu, memory = measured(*command)
                print(f"{megabytes:>6} MB  {title:28}{seconds:9.1f}{cpu:9.1f}{memory:9.0f}", flush=True)
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}")


if __name__ == "__main__":
    main()
