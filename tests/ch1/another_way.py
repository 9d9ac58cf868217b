"""Chapter 1 once more, written differently: the checks must pass this too."""

import re
from collections import Counter
from functools import reduce
from itertools import chain, pairwise

import regex

GPT2_SPLIT = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def split_words(text):
    tokens, word = [], ""
    for character in text + " ":
        if re.match(r"\w", character):
            word += character
            continue
        if word:
            tokens.append(word)
            word = ""
        if not character.isspace():
            tokens.append(character)
    return tokens


class CharTokenizer:
    def __init__(self, characters):
        for place, character in enumerate(characters):
            if character in characters[:place]:
                raise ValueError(f"{character} is there twice")
        self.characters = characters

    @staticmethod
    def from_text(text):
        return CharTokenizer("".join(sorted(Counter(text))))

    @property
    def vocab_size(self):
        return len(self.characters)

    def encode(self, text):
        ids = [self.characters.find(character) for character in text]
        if -1 in ids:
            place = ids.index(-1)
            raise ValueError(f"character number {place + 1}, {text[place]}, has no id")
        return ids

    def decode(self, ids):
        ids = list(ids)
        for i in ids:
            if i not in range(len(self.characters)):
                raise ValueError(f"{i} is not below {len(self.characters)}")
        return "".join(map(self.characters.__getitem__, ids))


def count_pairs(ids):
    return Counter((ids[i - 1], ids[i]) for i in range(1, len(ids)))


def merge(ids, pair, new_id):
    def step(done, i):
        """`done` is what came so far, and whether its last id may still merge."""
        merged, free = done
        if free and (merged[-1], i) == tuple(pair):
            return [*merged[:-1], new_id], False
        return [*merged, i], True

    return reduce(step, ids, ([], False))[0]


def cut_at(text, special_tokens):
    """The text as (part, is a special token), by looking at every place for the longest that begins there."""
    start = 0
    for place in range(len(text)):
        if place < start:
            continue
        found = max((s for s in special_tokens if text.startswith(s, place)), key=len, default=None)
        if found is not None:
            yield text[start:place], False
            yield found, True
            start = place + len(found)
    yield text[start:], False


def train_bpe(text, vocab_size, special_tokens=()):
    """Words are tuples of byte strings, the best pair is sought among all, and only words with it change."""
    special_tokens = tuple(special_tokens)
    if vocab_size - len(special_tokens) < 256:
        raise ValueError(f"{vocab_size} ids are too few for {len(special_tokens)} special tokens")
    if not all(special_tokens) or len({*special_tokens}) != len(special_tokens):
        raise ValueError("bad special tokens")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("half a character")

    often = Counter()
    for part, is_special in cut_at(text, special_tokens):
        if not is_special:
            for found in GPT2_SPLIT.finditer(part):
                often[tuple(bytes([byte]) for byte in found[0].encode())] += 1

    frequency, words_with = Counter(), {}

    def note(word, sign):
        for pair in pairwise(word):
            frequency[pair] += sign * often[word]
            words_with.setdefault(pair, set()).add(word)

    for word in often:
        note(word, +1)

    merges = []
    for _ in range(vocab_size - len(special_tokens) - 256):
        best = max(frequency, key=lambda pair: (frequency[pair], pair), default=None)
        if best is None or frequency[best] < 1:
            break
        for word in words_with.pop(best):
            if word not in often:
                continue
            note(word, -1)
            merged = tuple(merge(word, best, best[0] + best[1]))
            often[merged] = often.pop(word)
            note(merged, +1)
        merges.append(best)

    pieces = [bytes([byte]) for byte in range(256)]
    pieces += [b"".join(pair) for pair in merges]
    pieces += [token.encode() for token in special_tokens]
    return dict(enumerate(pieces)), merges


class BPETokenizer:
    """Replays the merges one after another over each word; remembers nothing."""

    def __init__(self, vocab, merges, special_tokens=()):
        self.vocab, self.merges, self.special_tokens = dict(vocab), tuple(merges), list(special_tokens)
        self._id = {piece: i for i, piece in self.vocab.items()}
        if not all(self.special_tokens):
            raise ValueError("an empty special token")
        made = [b"".join(pair) for pair in merges]
        for piece in [*map(int.to_bytes, range(256)), *made, *map(str.encode, self.special_tokens)]:
            if self._id.get(piece) is None:
                raise ValueError(f"no id for {piece}")

    vocab_size = property(lambda self: len(self.vocab))

    def encode(self, text):
        ids = []
        for part, is_special in cut_at(text, self.special_tokens):
            if is_special:
                ids.append(self._id[part.encode()])
            else:
                ids += chain.from_iterable(map(self._word, GPT2_SPLIT.findall(part)))
        return ids

    def _word(self, word):
        pieces = [bytes([byte]) for byte in word.encode()]
        for pair in self.merges:
            if len(pieces) > 1:
                pieces = merge(pieces, pair, b"".join(pair))
        return [self._id[piece] for piece in pieces]

    def encode_iterable(self, texts):
        return chain.from_iterable(map(self.encode, texts))

    def decode(self, ids):
        joined = bytearray()
        for i in ids:
            try:
                joined += self.vocab[i]
            except KeyError:
                raise ValueError(f"{i} is none of the {len(self.vocab)} ids") from None
        return str(bytes(joined), "utf-8", "replace")
