"""`course train-tokenizer`: learn a vocabulary from a text, for `course tokenize --vocab`."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from . import corpora
from .errors import CourseError, in_one_line
from .pieces import load_pieces
from .screen import say
from .tokenizer_files import TOKENIZER_JSON, write_tokenizer_json

TRAINING = {"ch1": ["train_bpe"]}


def train_tokenizer(
    corpus: str, vocab_size: int, folder: Path, special_tokens: Sequence[str], package: str | None
) -> None:
    path = folder / TOKENIZER_JSON
    if path.exists():
        raise CourseError(f"{path} exists already; choose another folder with --to")
    if vocab_size < (least := 256 + len(special_tokens)):
        raise CourseError(
            f"--vocab-size {vocab_size} is too small: 256 bytes and {len(special_tokens)} special tokens "
            f"take {least}"
        )
    pieces = load_pieces(package)
    pieces.require(TRAINING)
    text = corpora.read_text(corpus)
    with Console(stderr=True).status(f"Learning from {len(text):,} characters", spinner="line"):
        try:
            vocab, merges = pieces.ch1.train_bpe(text, vocab_size, special_tokens)
        except ValueError as error:
            raise CourseError(f"no vocabulary can be learnt: {in_one_line(error)}") from error
    write_tokenizer_json(path, vocab, merges, special_tokens)
    fewer = f" (all that there are to learn, of {vocab_size:,})" if len(vocab) < vocab_size else ""
    say(f"{len(vocab):,} tokens{fewer}, {len(merges):,} of them merges, in {path}")
    say(f"next: course tokenize {corpus} --vocab {folder} --to {Path(corpus).stem}.npy")
