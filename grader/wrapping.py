"""Folding text to a width."""

import re
import textwrap

QUOTED = re.compile(r"""`[^`]*`|"[^"]*"|\'[^\']*\'|\(\d[\d, ]*\)""")  # and shapes


def fold(text: str, later: str, width: int = 80) -> list[str]:
    """Lines of at most `width` characters but for longer words, such as paths, which stay whole.

    >>> fold("disk: 58 GiB free in /a/path/longer/than/that", later="  ", width=20)
    ['disk: 58 GiB free in', '  /a/path/longer/than/that']
    """
    kept = {"break_long_words": False, "break_on_hyphens": False}
    lines = []
    for line in text.split("\n"):
        whole = QUOTED.sub(lambda match: match[0].replace(" ", "\0"), line)
        first = later if lines else ""
        folded = textwrap.wrap(whole, width, initial_indent=first, subsequent_indent=later, **kept)
        lines += [one.replace("\0", " ") for one in folded] or [""]
    return lines


def wrap(text: str, width: int, first: str = "", later: str = "") -> str:
    """Each line of a text folded by itself."""
    return "\n".join("\n".join(fill(line, width, first, later)) for line in text.split("\n"))


def fill(line: str, width: int, first: str = "", later: str = "") -> list[str]:
    """Lines of at most `width` characters. A quotation and a shape, (2, 3), stay whole if they fit.

    >>> fill("Next: mend that, then `pytest exercises`.", 30, later="  ")
    ['Next: mend that, then', '  `pytest exercises`.']
    """
    whole = QUOTED.sub(lambda match: match[0].replace(" ", "\0"), line)
    for text, break_long_words in ((whole, False), (line, True)):
        lines = textwrap.wrap(
            text,
            width,
            initial_indent=first,
            subsequent_indent=later,
            break_long_words=break_long_words,
            break_on_hyphens=False,
        )
        if all(len(one) <= width for one in lines):
            break
    return [one.replace("\0", " ") for one in lines]
