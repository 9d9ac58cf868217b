"""A byte-level tokenizer such as GPT-2's in files, as Hugging Face or OpenAI name and write them."""

import json
from collections.abc import Sequence
from itertools import filterfalse
from pathlib import Path

from .errors import CourseError, in_one_line
from .vocabularies import END_OF_TEXT, character_of_byte
from .whole_file import write_whole

TOKENIZER_JSON = "tokenizer.json"


def read_tokenizer(folder: Path, pieces):
    """The tokenizer whose files lie in a folder, made of chapter 1's BPETokenizer; None if there are none."""
    found = read_vocab_and_merges(folder) or read_tokenizer_json(folder)
    if found is None:
        return None
    path, encoder, pairs, special_tokens = found
    byte_of = {character: byte for byte, character in character_of_byte().items()}
    try:
        plain = filterfalse(set(special_tokens).__contains__, encoder)
        written = {token: bytes(byte_of[character] for character in token) for token in plain}
        merges = [(written[left], written[right]) for left, right in pairs]
        vocab = {int(encoder[token]): as_bytes for token, as_bytes in written.items()}
        special_vocab = {int(encoder[token]): token.encode() for token in special_tokens}
    except (KeyError, ValueError, TypeError):
        raise CourseError(f"{path} is damaged or not of a byte-level tokenizer as GPT-2's") from None
    vocab = dict(sorted((vocab | special_vocab).items()))
    try:
        return pieces.ch1.BPETokenizer(vocab, merges, special_tokens=tuple(special_tokens))
    except ValueError as error:
        raise CourseError(f"{path} makes no tokenizer: {in_one_line(error)}") from error


def read_vocab_and_merges(folder: Path):
    """(path, token -> id, pairs, special tokens) as Hugging Face named the two files, or OpenAI."""
    for vocab_name, merges_name in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        path = folder / vocab_name
        if path.is_file() and (folder / merges_name).is_file():
            encoder = read_json(path)
            lines = read_text(folder / merges_name).splitlines()
            pairs = [line.split() for line in lines if line and not line.startswith("#version")]
            return path, encoder, pairs, [END_OF_TEXT] if END_OF_TEXT in encoder else []
    return None


def read_tokenizer_json(folder: Path):
    """The same from the one file that transformers writes since version 5."""
    path = folder / TOKENIZER_JSON
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        model, splitting = content["model"], content["pre_tokenizer"] or {}
        byte_level = model["type"] == "BPE" and splitting.get("type") == "ByteLevel"
        gpt2_pattern = splitting.get("use_regex", True) and not splitting.get("add_prefix_space")
        if not byte_level or not gpt2_pattern or content["normalizer"] is not None:
            raise CourseError(f"{path} is of a tokenizer that works in another way than GPT-2's")
        added = {token["content"]: token["id"] for token in content["added_tokens"]}
        pairs = [pair.split() if isinstance(pair, str) else pair for pair in model["merges"]]
        return path, model["vocab"] | added, pairs, list(added)
    except (KeyError, TypeError, AttributeError):
        raise CourseError(f"{path} is not a tokenizer's file; download it again") from None


def write_tokenizer_json(
    path: Path, vocab: dict[int, bytes], merges: Sequence[tuple[bytes, bytes]], special_tokens: Sequence[str]
) -> None:
    """What train_bpe returns, as the file that read_tokenizer, transformers and tokenizers read."""
    characters = character_of_byte()
    ids = dict(zip(vocab.values(), vocab.keys(), strict=True))
    special = {token: ids[token.encode("utf-8")] for token in special_tokens}
    written = {piece: "".join(characters[byte] for byte in piece) for piece in ids}
    plain = {written[piece]: i for piece, i in ids.items() if i not in special.values()}
    for token in special:
        if token in plain:
            raise CourseError(f"special token {token!r} is how {path.name} writes another token: change it")

    # The keys are those of tokenizers' own files; it does not read one that lacks them.
    as_it_is = dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": t, **as_it_is, "special": True} for t, i in special.items()],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": dict(sorted((plain | special).items(), key=lambda item: item[1])),
            "merges": [[written[first], written[second]] for first, second in merges],
        },
    }
    with write_whole(path, "w") as file:
        json.dump(content, file, ensure_ascii=False, indent=1)


def read_json(path: Path) -> dict:
    try:
        content = json.loads(read_text(path))
    except ValueError:
        raise CourseError(f"{path} is not JSON; download it again") from None
    if not isinstance(content, dict):
        raise CourseError(f"{path} does not hold a JSON object; download it again")
    return content


def read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CourseError(f"{path} is not text in UTF-8; download it again") from None
