"""`course tokenize`: a text file of any size to a file of token ids, as chapter 9's TokenFile reads it."""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from . import corpora
from .errors import CourseError
from .pieces import Pieces, load_pieces
from .screen import say
from .text_parts import parts
from .tokenizer_files import TOKENIZER_JSON, read_tokenizer
from .vocabularies import gpt2_tokenizer
from .whole_file import write_whole

TOKENIZING = {"ch1": ["BPETokenizer"]}


def tokenize(corpus: str, path: Path, vocab: str, processes: int, package: str | None) -> None:
    if processes < 1:
        raise CourseError(f"--processes {processes} is not at least 1")
    source = corpora.text_path(corpus)
    if path.exists() and os.path.samefile(path, source):
        raise CourseError(f"{path} is the text itself; give the tokens another name with --to")
    pieces = load_pieces(package)
    pieces.require(TOKENIZING)
    tokenizer = named_tokenizer(vocab, pieces)
    dtype = np.dtype(np.uint16 if max(tokenizer.vocab) < 2**16 else np.uint32)

    started, size = time.perf_counter(), source.stat().st_size
    with bar() as progress:
        task = progress.add_task("", total=size)

        def read() -> Iterator[str]:
            for part in parts(corpora.text_blocks(corpus), tokenizer.special_tokens):
                yield part
                progress.advance(task, len(part.encode("utf-8")))

        number = write_ids(path, encode_parts(read(), tokenizer, dtype, processes, pieces.package), dtype)
    each = size / max(number, 1)
    say(f"{number:,} tokens of {dtype.itemsize} bytes in {path}, {each:.2f} bytes of text each")
    say(f"{size / 1e6:,.1f} MB of text in {time.perf_counter() - started:,.1f} s")


def named_tokenizer(name: str, pieces: Pieces):
    """GPT-2's, or that of a folder: of `course train-tokenizer`, or of a GPT-2 from elsewhere."""
    if name == "gpt2":
        return gpt2_tokenizer(pieces.ch1)
    folder = Path(name).parent if Path(name).name == TOKENIZER_JSON else Path(name)
    tokenizer = read_tokenizer(folder, pieces)
    if tokenizer is None:
        raise CourseError(
            f"there is no tokenizer in {folder}: --vocab takes gpt2, or a folder with tokenizer.json, "
            "which course train-tokenizer makes, or with vocab.json and merges.txt"
        )
    return tokenizer


def bar() -> Progress:
    console = Console(stderr=True)
    columns = BarColumn(bar_width=24), DownloadColumn(), TimeRemainingColumn(compact=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def encode_parts(
    texts: Iterable[str], tokenizer, dtype: np.dtype, processes: int, package: str
) -> Iterator[np.ndarray]:
    """The ids of each text, in order; no more texts are asked for than are being worked on."""
    if processes == 1:
        for text in texts:
            yield np.array(tokenizer.encode(text), dtype)
        return
    made_of = tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens
    context = multiprocessing.get_context("spawn")  # a forked copy of a process with threads may hang
    try:
        with ProcessPoolExecutor(processes, context, begin_worker, (package, *made_of)) as workers:
            waiting = deque()
            for text in texts:
                waiting.append(workers.submit(encode_in_worker, text, dtype))
                if len(waiting) == 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    except BrokenProcessPool:
        raise CourseError(
            "one of the processes was ended, perhaps for want of memory: give fewer with --processes"
        ) from None


def begin_worker(package: str, *made_of) -> None:
    global worker_tokenizer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first process, which ends the others
    worker_tokenizer = load_pieces(package).ch1.BPETokenizer(*made_of)


def encode_in_worker(text: str, dtype: np.dtype) -> np.ndarray:
    return np.array(worker_tokenizer.encode(text), dtype)


def write_ids(path: Path, arrays: Iterable[np.ndarray], dtype: np.dtype) -> int:
    """Write a file as chapter 9's write_tokens does, without having all ids at once; returns their number."""
    number = 0
    with write_whole(path) as file:
        write_header(file, dtype, 0)
        for array in arrays:
            file.write(array.tobytes())
            number += len(array)
        file.seek(0)
        write_header(file, dtype, number)  # as long as before: numpy leaves room for the number to grow
    return number


def write_header(file, dtype: np.dtype, number: int) -> None:
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (number,)}
    np.lib.format.write_array_header_1_0(file, facts)
