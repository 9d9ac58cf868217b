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
    ### BEGIN SOLUTION
    return regex.findall(r"\w+|[^\w\s]", text)
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        self.characters = "".join(characters)
        self.ids = {character: i for i, character in enumerate(self.characters)}
        if len(self.ids) < len(self.characters):
            twice = Counter(self.characters).most_common(1)[0][0]
            raise ValueError(f"character {twice!r} comes more than once in the vocabulary")
        ### END SOLUTION

    @classmethod
    def from_text(cls, text: str) -> Self:
        """A tokenizer of the distinct characters of text, sorted by code point."""
        ### BEGIN SOLUTION
        return cls("".join(sorted(set(text))))
        ### END SOLUTION

    @property
    def vocab_size(self) -> int:
        """How many characters there are; ids run from 0 to one less."""
        ### BEGIN SOLUTION
        return len(self.characters)
        ### END SOLUTION

    def encode(self, text: str) -> list[int]:
        """Text to ids, one a character.

        Raises:
            ValueError: a character is not in the vocabulary (the message names it and its position).
        """
        ### BEGIN SOLUTION
        ids = []
        for position, character in enumerate(text):
            if character not in self.ids:
                raise ValueError(f"unknown character {character!r} at position {position}")
            ids.append(self.ids[character])
        return ids
        ### END SOLUTION

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text.

        Raises:
            ValueError: an id is below 0 or not below vocab_size (the message gives both).
        """
        ### BEGIN SOLUTION
        text = ""
        for i in ids:
            if not 0 <= i < self.vocab_size:  # a negative index would quietly count from the end
                raise ValueError(f"id {i} is not in the vocabulary of {self.vocab_size} characters")
            text += self.characters[i]
        return text
        ### END SOLUTION


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
    ### BEGIN SOLUTION
    counts = {}
    for pair in pairwise(ids):
        counts[pair] = counts.get(pair, 0) + 1
    return counts
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    first, second = pair
    merged = []
    i = 0
    while i < len(ids):
        if ids[i] == first and i + 1 < len(ids) and ids[i + 1] == second:
            merged.append(new_id)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    if vocab_size < 256 + len(special_tokens):
        raise ValueError(
            f"vocab_size {vocab_size} is too small for 256 bytes and {len(special_tokens)} special tokens"
        )
    if "" in special_tokens or len(set(special_tokens)) < len(special_tokens):
        raise ValueError(f"special tokens must differ and not be empty: {list(special_tokens)}")
    text.encode("utf-8")  # a lone surrogate raises here, with its position in the text

    # 1. the different words, and how often each occurs
    longest_first = sorted(special_tokens, key=len, reverse=True)
    special = "|".join(regex.escape(token) for token in longest_first) or r"\A(?!)"  # which never matches
    occurrences = Counter()
    for part in regex.splititer(special, text):
        # a list of all words (findall) would take many times the memory of the text
        occurrences.update(match[0] for match in GPT2_SPLIT.finditer(part))
    words = [list(word.encode("utf-8")) for word in occurrences]
    frequencies = list(occurrences.values())

    # 2. how often each pair occurs, and which words (by index) contain it
    counts = defaultdict(int)
    containing = defaultdict(set)
    for w, word in enumerate(words):
        for pair, count in count_pairs(word).items():
            counts[pair] += count * frequencies[w]
            containing[pair].add(w)

    # 3. a queue of the pairs, the one to merge first. max() would do, but looks through all pairs each time
    vocab = {i: bytes([i]) for i in range(256)}
    falling = {i: (-i, inf) for i in vocab}  # a piece's bytes as they sort the other way round, and its end

    def entry(pair):
        first, second = pair
        return -counts[pair], falling[first], falling[second], pair

    queue = [entry(pair) for pair in counts]
    heapify(queue)

    # 4. merge, and mend the counts of the words that change
    merges = []
    while queue and len(vocab) + len(special_tokens) < vocab_size:
        promised, *_, best = heappop(queue)
        if counts[best] < -promised:  # it has sunk since, as counts do: only those of new pairs rise
            if counts[best]:
                heappush(queue, entry(best))
            continue

        first, second = best
        new_id = len(vocab)
        merges.append((vocab[first], vocab[second]))
        vocab[new_id] = vocab[first] + vocab[second]
        falling[new_id] = falling[first][:-1] + falling[second]

        added = defaultdict(set)  # like containing, for the new pairs
        for w in containing.pop(best):
            for pair in pairwise(words[w]):
                counts[pair] -= frequencies[w]
            words[w] = merge(words[w], best, new_id)
            for pair in pairwise(words[w]):
                counts[pair] += frequencies[w]
                if new_id in pair:
                    added[pair].add(w)
        containing |= added
        for pair in added:
            heappush(queue, entry(pair))

    for token in special_tokens:
        vocab[len(vocab)] = token.encode("utf-8")
    return vocab, merges
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        if "" in special_tokens:
            raise ValueError("a special token is empty")
        self.vocab = vocab
        self.merges = merges
        self.special_tokens = special_tokens
        self.ids = {piece: i for i, piece in vocab.items()}
        self.ranks = {(first, second): rank for rank, (first, second) in enumerate(merges)}

        needed = [bytes([byte]) for byte in range(256)]
        needed += [first + second for first, second in merges]
        needed += [token.encode("utf-8") for token in special_tokens]
        for piece in needed:
            if piece not in self.ids:
                raise ValueError(f"{piece!r} has no id in the vocabulary")

        longest_first = sorted(special_tokens, key=len, reverse=True)
        special = "|".join(regex.escape(token) for token in longest_first) or r"\A(?!)"  # which never matches
        self.special_split = regex.compile(f"({special})")  # subtle: with (), split keeps what it split at
        self.word_ids = lru_cache(CACHED_WORDS)(self._merge_word)  # remembers the words it has seen
        ### END SOLUTION

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""
        ### BEGIN SOLUTION
        return len(self.vocab)
        ### END SOLUTION

    def encode(self, text: str) -> list[int]:
        """Text to ids.

        Words come again and again: remember the ids of those seen, within bounds, and merge only
        new ones.

        Raises:
            ValueError: text holds a lone surrogate, as in train_bpe.
        """
        ### BEGIN SOLUTION
        text.encode("utf-8")  # a lone surrogate raises here, with its position in the text
        ids = []
        for part in self.special_split.split(text):
            if part in self.special_tokens:
                ids.append(self.ids[part.encode("utf-8")])
                continue
            for word in GPT2_SPLIT.findall(part):
                ids.extend(self.word_ids(word))
        return ids
        ### END SOLUTION

    def _merge_word(self, word: str) -> list[int]:
        """The ids of one word of GPT2_SPLIT: its bytes, merged by rank until no merge fits.

        To look through all pairs before each merge is right, and fine for words of ten letters; for
        one of 50,000 it takes half a minute. A queue that keeps the places in the order of their
        ranks takes a tenth of a second.
        """
        ### BEGIN SOLUTION
        pieces = [bytes([byte]) for byte in word.encode("utf-8")]
        n = len(pieces)
        pieces.append(b"")  # no pair has an empty piece; also found at index −1, left of the first
        left = list(range(-1, n))  # where a piece's neighbours are; merged pieces leave gaps
        right = [*range(1, n + 1), n]

        queue = [(self.ranks[pair], i) for i, pair in enumerate(pairwise(pieces)) if pair in self.ranks]
        heapify(queue)
        while queue:
            rank, i = heappop(queue)  # the lowest rank, and of equals the leftmost
            j = right[i]
            if self.ranks.get((pieces[i], pieces[j])) != rank:
                continue  # one of the two has been merged elsewhere since
            pieces[i], pieces[j] = pieces[i] + pieces[j], b""
            right[i] = right[j]
            left[right[j]] = i
            for k in (left[i], i):  # the new piece makes two new pairs
                pair = (pieces[k], pieces[right[k]])
                if pair in self.ranks:
                    heappush(queue, (self.ranks[pair], k))

        return [self.ids[piece] for piece in pieces if piece]
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        for text in texts:
            yield from self.encode(text)
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        pieces = []
        for i in ids:
            if i not in self.vocab:
                raise ValueError(f"id {i} is not in the vocabulary of {self.vocab_size} tokens")
            pieces.append(self.vocab[i])
        return b"".join(pieces).decode("utf-8", errors="replace")
        ### END SOLUTION
