"""GPT-2's own vocabulary, as ch1's BPETokenizer takes it."""

import json

from . import corpora

END_OF_TEXT = "<|endoftext|>"


def character_of_byte() -> dict[int, str]:
    """How GPT-2's files write a byte: as one printable character.

    A token is any string of bytes, which JSON and a text file split at spaces cannot hold. So each of the
    256 bytes is given a character: the bytes that are printable in Latin-1 stand for themselves, and the
    68 others, in order, get the characters from 256 on. A space (byte 32) becomes "Ġ", a newline "Ċ".
    """
    printable = [byte for first, last in ["!~", "¡¬", "®ÿ"] for byte in range(ord(first), ord(last) + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


def gpt2_vocabulary() -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """50,257 tokens by id, and the 50,000 merges in order.

    The last id, 50256, is <|endoftext|>, which no merge makes: give it to the tokenizer as a special token.
    """
    byte_of = {character: byte for byte, character in character_of_byte().items()}

    def to_bytes(token: str) -> bytes:
        return bytes(byte_of[character] for character in token)

    encoder = json.loads(corpora.fetch("gpt2-encoder").read_text("utf-8"))
    vocab = {id: to_bytes(token) for token, id in sorted(encoder.items(), key=lambda item: item[1])}

    lines = corpora.fetch("gpt2-merges").read_text("utf-8").splitlines()
    pairs = [line.split(" ") for line in lines[1:]]  # the first line is "#version: 0.2"
    merges = [(to_bytes(left), to_bytes(right)) for left, right in pairs]
    return vocab, merges


def gpt2_tokenizer(ch1):
    """GPT-2's tokenizer out of a chapter 1: the reference's module or a student's."""
    vocab, merges = gpt2_vocabulary()
    return ch1.BPETokenizer(vocab, merges, special_tokens=(END_OF_TEXT,))
