"""Printing for people, whatever their terminal can show."""

import os
import sys

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


def say(text: str = "") -> None:
    if is_plain() and not text.isascii():
        from grader.failure_text import to_ascii  # late: it imports torch

        text = to_ascii(text)
    print(text, flush=True)
