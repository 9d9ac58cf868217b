"""Chapter 1: the tokenizer. From text to a list of integers, the token ids, and back."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from heapq import heapify, heappop, heappush
from itertools import pairwise
from math import inf
from typing import Self

import regex

# How GPT-2 cuts text into words before any merging: English contractions, then letters, digits or other
# signs, each with the one space before it, then whitespace. Nothing is lost: joined, the words are the text.
GPT2_SPLIT = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")

# How many words a BPETokenizer remembers: enough to be fast, little memory.
CACHED_WORDS = 50_000


def split_words(text: str) -> list[str]:
    r"""Cut text into words and punctuation, the tokens that first come to mind.

    A token is a run of word characters (letters, digits, the underscore: the \w of regular
    expressions), or any other character that is not a space, by itself. Spaces are dropped, so the
    text cannot be put together again; and a word never seen before would have no id. The next
    tokenizers mend both.

    Args:
        text: any string.

    Returns:
        The tokens in the order of the text.

    Example:
        >>> split_words("Tokenization is fun!")
        ['Tokenization', 'is', 'fun', '!']
        >>> split_words("Well... don't!")
        ['Well', '.', '.', '.', 'don', "'", 't', '!']

    Source: S. Raschka, "Build a Large Language Model (From Scratch)" (2024), section 2.2.
    """
    raise NotImplementedError("split_words: not written yet")


class CharTokenizer:
    """One token a character. The id of a character is its place in the list of all characters.

    Nothing is lost and the vocabulary is tiny (65 characters for tiny Shakespeare), but sequences
    are long and a character outside the list has no id.

        id of characters[i] = i

    Args:
        characters: the vocabulary, every character once, in the order of the ids.

    Raises:
        ValueError: a character comes twice (the message names it).

    Attributes:
        characters: the vocabulary as one string.

    Example:
        >>> tokenizer = CharTokenizer.from_text("Tokenization is fun!")
        >>> tokenizer.characters
        ' !Taefiknostuz'
        >>> tokenizer.encode("fun")
        [5, 12, 8]
        >>> tokenizer.decode([5, 12, 8, 1])
        'fun!'

    Source: A. Karpathy, "The unreasonable effectiveness of recurrent neural networks" (2015).
    """

    def __init__(self, characters: str):
        raise NotImplementedError("CharTokenizer.__init__: not written yet")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """A tokenizer of the distinct characters of text, sorted by code point."""
        raise NotImplementedError("CharTokenizer.from_text: not written yet")

    @property
    def vocab_size(self) -> int:
        """How many characters there are; ids run from 0 to one less."""
        raise NotImplementedError("CharTokenizer.vocab_size: not written yet")

    def encode(self, text: str) -> list[int]:
        """Text to ids, one a character.

        Raises:
            ValueError: a character is not in the vocabulary (the message names it and its position).
        """
        raise NotImplementedError("CharTokenizer.encode: not written yet")

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text.

        Raises:
            ValueError: an id is below 0 or not below vocab_size (the message gives both).
        """
        raise NotImplementedError("CharTokenizer.decode: not written yet")


def count_pairs(ids: Sequence[int]) -> dict[tuple[int, int], int]:
    """Count how often each two ids stand side by side. Byte pair encoding merges the most frequent.

    Every place counts, also where two pairs share an id: three equal ids are two pairs.

        count[a, b] = number of places i with ids[i] = a and ids[i + 1] = b

    Args:
        ids: N ids.

    Returns:
        Pair → count, without the pairs that do not occur; the counts sum to N − 1.

    Example:
        >>> count_pairs([5, 6, 5, 6, 7])
        {(5, 6): 2, (6, 5): 1, (6, 7): 1}
        >>> count_pairs([1, 1, 1])
        {(1, 1): 2}

    Source: P. Gage, "A new algorithm for data compression" (1994).
    """
    raise NotImplementedError("count_pairs: not written yet")


def merge(ids: Sequence[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """Replace every occurrence of a pair by one new id, going from left to right.

    An id that has just been merged is used up: of three equal ids the first two merge, the third
    stays.

    Args:
        ids: N ids.
        pair: the two ids to look for, side by side and in this order.
        new_id: what to put in their place.

    Returns:
        A new list of at most N ids; ids itself stays as it was.

    Example:
        >>> merge([5, 6, 5, 6, 7], pair=(5, 6), new_id=9)
        [9, 9, 7]
        >>> merge([1, 1, 1], pair=(1, 1), new_id=2)
        [2, 1]

    Source: P. Gage (1994).
    """
    raise NotImplementedError("merge: not written yet")


def train_bpe(
    text: str, vocab_size: int, special_tokens: Sequence[str] = ()
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """Learn a vocabulary from text: start with the 256 bytes, merge the most frequent pair, repeat.

    Cut the text at the special tokens, and what lies between into words with GPT2_SPLIT. A word
    starts as its UTF-8 bytes, ids 0 to 255. Then, until the vocabulary is full:

        pair = the most frequent one, each word counted as often as it occurs in the text;
               of several, the lexicographically greatest pair of byte strings
        new id = pair's bytes joined; merge it in every word

    No pair reaches over the end of a word, and special tokens take no part. Where one special token
    begins with another, the longer wins. A text has far fewer different words than words, so count
    those; and a merge changes few of them, so do not count everything anew each time: keep the
    counts, remember which words contain which pair, and after a merge mend just those words' share.

    Args:
        text: what to learn from.
        vocab_size: how many ids to make, special tokens included.
        special_tokens: strings that get an id of their own, such as "<|endoftext|>".

    Returns:
        vocab: id → its bytes: first the 256 bytes, then the merges in order, then the special
            tokens in the order given. Fewer than vocab_size when no pair is left to merge.
        merges: the merged pairs, first to last.

    Raises:
        ValueError: vocab_size is below 256 + the number of special tokens (the message gives
            both); a special token is empty or comes twice; text holds a lone surrogate, which has
            no UTF-8 (Python's own UnicodeEncodeError, a ValueError, says where).

    Example: (t, h), (h, e) and (a, t) all occur three times; the greatest goes first.
        >>> vocab, merges = train_bpe("the cat, the hat, the mat", 260, ["<|end|>"])
        >>> merges
        [(b't', b'h'), (b'th', b'e'), (b'a', b't')]
        >>> [vocab[i] for i in (97, 256, 257, 258, 259)]
        [b'a', b'th', b'the', b'at', b'<|end|>']

    Source: Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword
    units" (2016), algorithm 1; on bytes: Radford et al. (GPT-2, 2019), section 2.2.
    """
    raise NotImplementedError("train_bpe: not written yet")


class BPETokenizer:
    """Byte pair encoding at work: any text to ids with a trained vocabulary, and back.

    Training has left a list of merges; encoding replays it. Cut the text at the special tokens
    and the rest into words with GPT2_SPLIT, start each word as single bytes, and while two
    neighbours are in the list, merge the pair that was learnt first (of equals, the leftmost):

        rank of a pair = its place in merges        next merge = the pair of lowest rank

    As every byte has an id, no text is unknown. But an id need not be its byte: GPT-2's id of the
    byte 33, "!", is 0. With GPT-2's vocabulary the ids are GPT-2's own.

    Args:
        vocab: id → its bytes: the 256 single bytes, what the merges make, the special tokens.
        merges: pairs of byte strings, first learnt first.
        special_tokens: strings that become one id wherever they stand in a text, and are never
            split. At the same place the longest wins. Special tokens of the vocabulary that are
            not named here are ordinary text.

    Raises:
        ValueError: a byte, the result of a merge or a special token has no id (the message names
            it); a special token is empty.

    Attributes:
        vocab: as given.
        merges: as given.
        special_tokens: as given.

    Example:
        >>> vocab, merges = train_bpe("the cat, the hat, the mat", 260, ["<|end|>"])
        >>> tokenizer = BPETokenizer(vocab, merges, ["<|end|>"])
        >>> tokenizer.encode("that hat<|end|>")
        [256, 258, 32, 104, 258, 259]
        >>> tokenizer.decode([256, 258, 32, 104, 258, 259])
        'that hat<|end|>'

    Source: Radford et al., "Language models are unsupervised multitask learners" (GPT-2, 2019),
    section 2.2.
    """

    def __init__(
        self,
        vocab: dict[int, bytes],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Sequence[str] = (),
    ):
        raise NotImplementedError("BPETokenizer.__init__: not written yet")

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""
        raise NotImplementedError("BPETokenizer.vocab_size: not written yet")

    def encode(self, text: str) -> list[int]:
        """Text to ids.

        Words come again and again: remember the ids of those seen, within bounds, and merge only
        new ones.

        Raises:
            ValueError: text holds a lone surrogate, as in train_bpe.
        """
        raise NotImplementedError("BPETokenizer.encode: not written yet")

    def _merge_word(self, word: str) -> list[int]:
        """The ids of one word of GPT2_SPLIT: its bytes, merged by rank until no merge fits.

        To look through all pairs before each merge is right, and fine for words of ten letters; for
        one of 50,000 it takes half a minute. A queue that keeps the places in the order of their
        ranks takes a tenth of a second.
        """
        raise NotImplementedError("BPETokenizer._merge_word: not written yet")

    def encode_iterable(self, texts: Iterable[str]) -> Iterator[int]:
        """Many texts to one stream of ids, lazily: a text is asked for only when its ids are due.

        So a file larger than memory can be encoded line by line. Each text is encoded by itself:
        no merge and no special token reaches from one into the next. For lines, the ids can
        therefore differ from those of the whole file where several whitespace characters meet.

        Args:
            texts: any iterable of strings: a list, an open text file, a generator without end.

        Returns:
            An iterator over the ids of the first text, then of the second, …

        Example:
            >>> vocab, merges = train_bpe("the cat, the hat, the mat", 259)
            >>> ids = BPETokenizer(vocab, merges).encode_iterable(["the", " cat"])
            >>> next(ids)
            257
            >>> list(ids)
            [32, 99, 258]
        """
        raise NotImplementedError("BPETokenizer.encode_iterable: not written yet")

    def decode(self, ids: Iterable[int]) -> str:
        r"""Ids to text.

        The bytes of the ids are joined first and read as UTF-8 then, since a character's bytes may
        be spread over several ids. Bytes that are not valid UTF-8, say of half a character, become
        U+FFFD, the replacement character.

        Raises:
            ValueError: an id is not in the vocabulary (the message gives it and vocab_size).

        Example: three bytes of "€", then only two.
            >>> vocab, merges = train_bpe("", 256)
            >>> BPETokenizer(vocab, merges).decode([0xE2, 0x82, 0xAC, 0xE2, 0x82])
            '€\ufffd'
        """
        raise NotImplementedError("BPETokenizer.decode: not written yet")
