"""A text in parts that are encoded one by one, with the ids of the whole."""

from collections.abc import Iterable, Iterator, Sequence

import regex

# Where chapter 1's GPT2_SPLIT ends a word whatever follows: before whitespace, and between a letter or a
# digit and what is none. Not in whitespace, whose last sign may go with the next word, and not between an
# apostrophe and a letter. (?r) searches from the end.
END_OF_WORD = regex.compile(r"(?r)(?<=\S)(?=\s)|(?<=\p{L})(?=\P{L})|(?<=\p{N})(?=\P{N})")


def parts(blocks: Iterable[str], special_tokens: Sequence[str] = (), size: int = 2**20) -> Iterator[str]:
    """The same text, cut anew: parts of about `size` characters that end where a word ends.

    A part is longer only where a single word is. No special token is cut in two.
    """
    waiting, length, enough = [], 0, size
    for block in blocks:
        waiting.append(block)
        length += len(block)
        if length < enough:
            continue
        text = "".join(waiting)
        cut = last_cut(text, special_tokens)
        if cut > 0:
            yield text[:cut]
        waiting, length = [text[cut:]], len(text) - cut
        enough = max(size, 2 * length)  # a long word: look again when there is much more of it
    if length:
        yield "".join(waiting)


def last_cut(text: str, special_tokens: Sequence[str]) -> int:
    """The last place at which a text that goes on may be cut; 0 if there is none."""
    if not special_tokens:
        return next((end.start() for end in END_OF_WORD.finditer(text)), 0)

    # A special token that begins in the last few characters may not be all there, so no cut behind its start.
    known = len(text) - max(map(len, special_tokens)) + 1
    spans = [found.span() for found in regex.finditer(r"\L<tokens>", text, tokens=special_tokens)]
    for end in END_OF_WORD.finditer(text, endpos=max(0, known)):
        if not any(first < end.start() < last for first, last in spans):
            return end.start()
    return 0
