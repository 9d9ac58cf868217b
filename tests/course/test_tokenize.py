"""`course tokenize` and `course train-tokenizer`: the whole text's ids, however it is cut; whole files."""

import json
import os
from itertools import count

import numpy as np
import pytest
import regex
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course import corpora
from course.errors import CourseError
from course.text_parts import parts
from course.tokenize_text import encode_parts, write_ids
from course.tokenizer_files import read_tokenizer, write_tokenizer_json
from solutions.ch1.tokenizer import GPT2_SPLIT, BPETokenizer, train_bpe
from solutions.ch9.speed import TokenFile, write_tokens

END = "<|endoftext|>"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# a text in parts

SIGNS = [
    *[
        "'s",
        "'ll",
        "'",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\t",
        "\u3000",
        "\x1c",
        "a",
        "don",
        "é",
        "東",
        "1",
        "23",
        "!",
        "...",
    ],
    *["\u0301", " z", "x y", "aa", END, "<|x", "|>", " <sp> ", "<sp", "sp> "],
]
SPECIAL = [END, " <sp> ", "<|x", "aa", "\n\n", "x y", "a", "  ", "sp> <", " ", "don'"]


def cut_by_hand(text, special_tokens):
    """What encoding sees: the special tokens, and the words between them."""
    pattern = "|".join(regex.escape(token) for token in sorted(special_tokens, key=len, reverse=True))
    pieces = regex.split(f"({pattern})", text) if special_tokens else [text]
    return [
        word for i, piece in enumerate(pieces) for word in ([piece] if i % 2 else GPT2_SPLIT.findall(piece))
    ]


@settings(max_examples=1500, deadline=None)
@given(
    signs=st.lists(st.sampled_from(SIGNS), max_size=60),
    special_tokens=st.lists(st.sampled_from(SPECIAL), unique=True, max_size=4),
    block=st.integers(1, 12),
    size=st.integers(1, 12),
)
def test_parts_hold_the_words_of_the_whole(signs, special_tokens, block, size):
    text = "".join(signs)
    blocks = (text[i : i + block] for i in range(0, len(text), block))
    cut = list(parts(blocks, special_tokens, size))
    assert "".join(cut) == text
    words = [word for part in cut for word in cut_by_hand(part, special_tokens)]
    assert words == cut_by_hand(text, special_tokens)


@pytest.fixture(scope="module")
def gpt2(gpt2_vocab):
    return BPETokenizer(*gpt2_vocab)


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.sampled_from(" \n'sta1!東"), max_size=80), size=st.integers(1, 8))
def test_parts_have_the_ids_of_the_whole(gpt2, gpt2_tiktoken, text, size):
    assert list(gpt2.encode_iterable(parts([text[:9], text[9:]], (), size))) == gpt2_tiktoken.encode(text)


def test_parts_are_of_the_asked_size_but_for_long_words():
    text = "the cat, " * 2_000
    lengths = [len(part) for part in parts((text[i : i + 10] for i in range(0, len(text), 10)), [END], 100)]
    assert sum(lengths) == len(text)
    assert max(lengths) <= 110 and min(lengths[:-1]) >= 50

    word = "A" * 5_000
    cut = list(parts(iter(f"a cat {word} a cat"), [], 100))
    assert len(cut) > 1 and any(word in part for part in cut)


# text_blocks


@settings(max_examples=200, deadline=None)
@given(
    signs=st.lists(st.sampled_from(["\r", "\n", "\r\n", "a", "é", "東", "🙂", "\ufeff", " "]), max_size=30),
    size=st.integers(1, 5),
)
def test_blocks_of_any_size_are_the_text(tmp_path_factory, signs, size):
    content = "".join(["x", *signs]).encode()
    path = tmp_path_factory.getbasetemp() / "blocks.txt"
    for start in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(start + content)
        blocks = list(corpora.text_blocks(path, size))
        assert "".join(blocks) == content.decode().replace("\r\n", "\n")
        assert max(map(len, blocks)) <= size + 1  # one more for a \r that waited


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b"abcdefg\xffhij", "byte 7 is 0xff"),
        (
            b"\xef\xbb\xbfabcd\xc3fg",
            "byte 7 is 0xc3",
        ),  # half a character, and the rest comes in another block
        (b"abcdef\xe6\x9d", "byte 6 is 0xe6"),  # one that the end of the file cuts
        (b"abcdef\x00ghi", "byte 6 is zero"),
        (b"\n \n    \n", "empty"),
    ],
)
def test_blocks_name_the_byte_that_is_wrong(tmp_path, content, complaint):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(CourseError, match=complaint):
        list(corpora.text_blocks(path, 4))


# the file of ids


@pytest.mark.parametrize("lengths", [[], [0], [1], [3, 0, 4], [70_000, 70_000]])
@pytest.mark.parametrize("vocab_size, dtype", [(65_536, np.uint16), (70_001, np.uint32)])
def test_written_as_chapter_9_writes_it(tmp_path, lengths, vocab_size, dtype):
    arrays = [np.arange(n).astype(dtype) for n in lengths]
    assert write_ids(tmp_path / "piecewise", iter(arrays), np.dtype(dtype)) == sum(lengths)
    ids = torch.tensor([i for array in arrays for i in array.tolist()], dtype=torch.int64)
    write_tokens(tmp_path / "at_once", ids, vocab_size)
    assert (tmp_path / "piecewise").read_bytes() == (tmp_path / "at_once").read_bytes()


def test_shakespeare_with_gpt2s_vocabulary(course, gpt2_tiktoken, shakespeare_text, capsys):
    assert course("tokenize", "shakespeare", "--to", "ids.npy") == 0
    assert "338,025 tokens of 2 bytes" in capsys.readouterr().out
    assert np.load("ids.npy").tolist() == gpt2_tiktoken.encode(shakespeare_text)
    assert len(TokenFile("ids.npy")) == 338_025
    assert os.listdir() == ["ids.npy"]


def test_several_processes_write_the_same_file(course, tmp_path):
    lines = [f"東京 the  cat's {number} {END} hat\r\n" for number in range(60_000)]
    (tmp_path / "text.txt").write_text("".join(lines), "utf-8", newline="")
    assert course("tokenize", "text.txt", "--to", "one.npy") == 0
    assert course("tokenize", "text.txt", "--to", "two.npy", "--processes", "2") == 0
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "two.npy").read_bytes()
    assert np.load("one.npy").tolist().count(50256) == 60_000


@pytest.mark.parametrize("processes, ahead", [(1, 0), (2, 3)])
def test_an_endless_text_is_read_no_further_than_it_is_worked_on(processes, ahead):
    asked = count()
    texts = (f"the cat {next(asked)}" for _ in count())
    tokenizer = BPETokenizer(*train_bpe("the cat", 260))
    arrays = encode_parts(texts, tokenizer, np.dtype(np.uint16), processes, "solutions")
    for number in range(5):
        assert next(arrays).tolist() == tokenizer.encode(f"the cat {number}")
    arrays.close()
    assert next(asked) == 5 + ahead


def test_what_goes_wrong_leaves_the_old_file(refused, tmp_path, monkeypatch):
    (tmp_path / "ids.npy").write_bytes(b"old")
    (tmp_path / "text.txt").write_bytes(b"the cat " * 200_000 + b"\xff")
    assert "byte 1,600,000 is 0xff" in refused("tokenize", "text.txt", "--to", "ids.npy")
    (tmp_path / "blank.txt").write_text(" \n")
    assert "empty" in refused("tokenize", "blank.txt", "--to", "ids.npy")
    assert "the text itself" in refused("tokenize", "text.txt", "--to", "./text.txt")
    assert "--processes 0" in refused("tokenize", "text.txt", "--to", "ids.npy", "--processes", "0")
    assert "no tokenizer in there" in refused("tokenize", "text.txt", "--to", "ids.npy", "--vocab", "there")
    assert "BPETokenizer (ch1)" in refused("tokenize", "text.txt", "--to", "ids.npy", "--pieces", "exercises")

    chapter = tmp_path / "dying" / "ch1"
    chapter.mkdir(parents=True)
    (chapter / "tokenizer.py").write_text(
        "import os\nfrom solutions.ch1 import tokenizer\n"
        "class BPETokenizer(tokenizer.BPETokenizer):\n    def encode(self, text):\n        os._exit(1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "small.txt").write_text("the cat")
    dying = ["tokenize", "small.txt", "--to", "ids.npy", "--pieces", "dying", "--processes", "2"]
    assert "fewer with --processes" in refused(*dying)

    assert (tmp_path / "ids.npy").read_bytes() == b"old"
    assert not list(tmp_path.glob(".*.tmp"))


# train-tokenizer


def test_a_tokenizer_of_ones_own_is_read_by_hugging_faces(course, tmp_path, shakespeare_text, capsys):
    text = shakespeare_text[:30_000].replace("\n\n", END, 40) + " naïve 東京 👍🏽"
    (tmp_path / "text.txt").write_text(text, "utf-8")
    special = [END, "[é]"]
    arguments = [a for token in special for a in ("--special-token", token)]
    assert course("train-tokenizer", "text.txt", "--vocab-size", "400", "--to", "own", *arguments) == 0
    assert "400 tokens, 142 of them merges" in capsys.readouterr().out

    vocab, merges = train_bpe(text, 400, special)
    back = read_tokenizer(tmp_path / "own", pieces_of_the_reference())
    assert (back.vocab, back.merges, list(back.special_tokens)) == (vocab, merges, special)

    other = tokenizers.Tokenizer.from_file(str(tmp_path / "own" / "tokenizer.json"))
    unseen = shakespeare_text[30_000:60_000] + f" [é]{END}  é 東 !"
    assert other.encode(unseen).ids == back.encode(unseen)
    assert other.decode(back.encode("naïve  東")) == "naïve  東"

    (tmp_path / "unseen.txt").write_text(unseen, "utf-8")
    for vocabulary in ("own", "own/tokenizer.json"):
        assert course("tokenize", "unseen.txt", "--vocab", vocabulary, "--to", "ids.npy") == 0
        assert np.load("ids.npy").tolist() == back.encode(unseen)


def pieces_of_the_reference():
    from course.pieces import Pieces

    return Pieces("solutions")


def test_a_vocabulary_beyond_two_bytes(course, tmp_path):
    vocab = {i: bytes([i]) for i in range(256)} | {70_000: b"<far>"}
    write_tokenizer_json(tmp_path / "far" / "tokenizer.json", vocab, [], ["<far>"])
    (tmp_path / "text.txt").write_text("a<far>b")
    assert course("tokenize", "text.txt", "--vocab", "far", "--to", "ids.npy") == 0
    assert np.load("ids.npy").dtype == np.uint32
    assert np.load("ids.npy").tolist() == [97, 70_000, 98]


def test_a_text_that_runs_out_of_pairs(course, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("abc abc")
    assert course("train-tokenizer", "text.txt", "--vocab-size", "1000", "--to", "own") == 0
    assert "259 tokens (all that there are to learn, of 1,000)" in capsys.readouterr().out


def test_refusals_of_train_tokenizer(refused, tmp_path):
    (tmp_path / "text.txt").write_text("abc abc é")
    train = ["train-tokenizer", "text.txt", "--to", "own", "--vocab-size"]
    assert "take 257" in refused(*train, "256", "--special-token", END)
    assert "must differ" in refused(*train, "300", "--special-token", "<a>", "--special-token", "<a>")
    assert "'é' is how" in refused(*train, "300", "--special-token", "é")
    assert "train_bpe (ch1)" in refused(*train, "300", "--pieces", "exercises")
    assert not (tmp_path / "own").exists()

    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "tokenizer.json").write_text(json.dumps({"of": "another"}))
    assert "exists already" in refused(*train, "300")
    assert json.loads((tmp_path / "own" / "tokenizer.json").read_text()) == {"of": "another"}
