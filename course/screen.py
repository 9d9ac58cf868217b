"""Printing for people, whatever their terminal can show."""

import os
import sys
import textwrap
from pathlib import Path

WIDTH = 80


def is_plain() -> bool:
    """Whether standard output has no more than ASCII to show."""
    try:
        "·…×√".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False


def is_terminal() -> bool:
    """Whether standard output is a screen that can be cleared and written over."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def shown(path: str | Path) -> str:
    """A path as one would type it here."""
    try:
        return Path(os.path.relpath(path)).as_posix()
    except ValueError:  # another drive
        return str(path)


def fill(text: str, later: str = "  ") -> str:
    """Lines of the screen's width, those after the first indented; a path stays whole."""
    return textwrap.fill(text, WIDTH, subsequent_indent=later, break_long_words=False, break_on_hyphens=False)


def complain(text: str) -> None:
    """One line on standard error; on a screen it is broken between words."""
    print(fill(text) if sys.stderr.isatty() else text, file=sys.stderr)


def say(text: str = "") -> None:
    print(showable(text), flush=True)


def showable(text: str) -> str:
    """A text in the signs that standard output can show, which may be more than it had."""
    if text.isascii() or not is_plain():
        return text
    from grader.failure_text import to_ascii  # late: it imports torch

    return to_ascii(text)
