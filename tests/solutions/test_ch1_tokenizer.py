"""Chapter 1 against tiktoken, Python's own string methods, and a trainer that counts everything anew."""

import random
import string
import unicodedata
from collections import Counter
from itertools import count as count_up

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiktoken_ext.openai_public import r50k_pat_str

from solutions.ch1 import tokenizer
from solutions.ch1.tokenizer import BPETokenizer, CharTokenizer, count_pairs, merge, split_words, train_bpe

END = "<|endoftext|>"
FUN = "Tokenization is fun!"
UNHELPFUL = "Unhelpful phrasing often hinders understanding."

small_ids = st.lists(st.integers(0, 3), max_size=30)
any_text = st.text(st.characters(exclude_categories=["Cs"]))

# Only characters that every library's tables know: the regex package is some Unicode versions ahead of
# tiktoken, so that a letter assigned last year is a letter for one and not yet for the other.
assigned_text = st.text(st.characters(exclude_categories=["Cs", "Cn"]))
snippets = [
    *["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "don't", "'", "''", "’s"],
    *[" ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2028", "\x1c", "\x85", "\u200b"],
    *["1", "2026", "3.14", "½", "²", "Ⅷ", "٣", "a1b2"],
    *["the", " the", "Hello", "hello", "naïve", "e\u0301", "straße", "Привет", "東京"],
    *["กรุงเทพ", "नमस्ते", "שלום", "ﷺ"],
    *["🙂", "\U0001f469\u200d\U0001f467", "🇩🇪", "👍🏽", "\ufe0f", "\U0010ffff", "\x00", "\ufffd"],
    *["!", "...", "?!", "_", "__init__", "<|", "|>", "<|endoftext|", "endoftext", "#" * 20, "=" * 70],
]
mixed_text = st.lists(st.sampled_from([*snippets, END]), max_size=20).map("".join)
mixed_text |= st.lists(st.one_of(st.sampled_from([*snippets, END]), assigned_text), max_size=6).map("".join)

thousands = settings(max_examples=1500, deadline=None)
hundreds = settings(max_examples=200, deadline=None)


# words and characters


@pytest.mark.parametrize("text, words, characters, distinct", [(FUN, 4, 20, 14), (UNHELPFUL, 6, 47, 18)])
def test_reference_counts(text, words, characters, distinct):
    assert len(split_words(text)) == len(set(split_words(text))) == words
    char_tokenizer = CharTokenizer.from_text(text)
    assert len(char_tokenizer.encode(text)) == characters
    assert len(set(char_tokenizer.encode(text))) == char_tokenizer.vocab_size == distinct


def test_words_of_the_reference():
    assert split_words(FUN) == ["Tokenization", "is", "fun", "!"]


@hundreds
@given(any_text)
@example("snake_case, naïve 3.14\n--\t'quoted'")
def test_words_keep_everything_but_spaces(text):
    words = split_words(text)
    assert "".join(words) == regex.sub(r"\s", "", text)
    for word in words:
        assert regex.fullmatch(r"\w+", word) or (len(word) == 1 and not regex.match(r"\w", word))


@pytest.mark.parametrize(
    "text, words", [("", []), (" \n", []), ("a_1 b", ["a_1", "b"]), ("a--b", list("a--b"))]
)
def test_words_of_small_texts(text, words):
    assert split_words(text) == words


@hundreds
@given(any_text)
def test_characters_round_trip(text):
    char_tokenizer = CharTokenizer.from_text(text)
    assert list(char_tokenizer.characters) == sorted(set(text))
    ids = char_tokenizer.encode(text)
    assert char_tokenizer.decode(ids) == text
    assert char_tokenizer.decode(iter(ids)) == text
    assert set(ids) == set(range(char_tokenizer.vocab_size))


def test_tiny_shakespeare_has_65_characters(shakespeare_text):
    assert CharTokenizer.from_text(shakespeare_text).vocab_size == 65


def test_characters_keep_the_given_order():
    assert CharTokenizer("cab").encode("abc") == [1, 2, 0]
    assert CharTokenizer("cab").characters == "cab"


def test_a_character_may_come_only_once():
    with pytest.raises(ValueError, match="'b'"):
        CharTokenizer("abcb")


def test_an_unknown_character_is_named_with_its_position():
    with pytest.raises(ValueError, match=r"'x' at position 2$"):
        CharTokenizer("abc").encode("abxcx")


@pytest.mark.parametrize("i", [-1, 3, 99])
def test_an_id_outside_the_characters(i):
    with pytest.raises(ValueError, match=rf"id {i} .* 3 "):
        CharTokenizer("abc").decode([0, i])


# pairs


@hundreds
@given(small_ids)
def test_count_pairs_by_the_definition(ids):
    counts = count_pairs(ids)
    for a in range(4):
        for b in range(4):
            places = [i for i in range(len(ids) - 1) if ids[i] == a and ids[i + 1] == b]
            assert counts.get((a, b), 0) == len(places)
    assert 0 not in counts.values()
    assert count_pairs(tuple(ids)) == counts


@hundreds
@given(small_ids, st.tuples(st.integers(0, 3), st.integers(0, 3)))
@example([1, 1, 1], (1, 1))
@example([1, 1, 1, 1, 1], (1, 1))
@example([0, 1], (1, 0))
def test_merge_is_bytes_replace(ids, pair):
    before = list(ids)
    assert merge(ids, pair, 9) == list(bytes(ids).replace(bytes(pair), bytes([9])))
    assert ids == before


# training


def split_naively(text, special_tokens):
    """Text between special tokens: at every place look for the longest that begins there."""
    parts = [""]
    i = 0
    while i < len(text):
        found = max((token for token in special_tokens if text.startswith(token, i)), key=len, default="")
        if found:
            parts.append("")
            i += len(found)
        else:
            parts[-1] += text[i]
            i += 1
    return parts


def merge_naively(word, first, second):
    for i in range(len(word) - 1):
        if word[i] == first and word[i + 1] == second:
            return [*word[:i], first + second, *merge_naively(word[i + 2 :], first, second)]
    return word


def train_naively(text, vocab_size, special_tokens=()):
    """Every word of the text on its own, in byte strings, all pairs counted anew for every merge."""
    words = []
    for part in split_naively(text, special_tokens):
        for word in regex.findall(r50k_pat_str, part):
            words.append([bytes([byte]) for byte in word.encode()])
    merges = []
    while 256 + len(merges) + len(special_tokens) < vocab_size:
        counts = Counter(word[i : i + 2] for word in map(tuple, words) for i in range(len(word) - 1))
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        words = [merge_naively(word, *best) for word in words]
        merges.append(best)
    pieces = [bytes([i]) for i in range(256)]
    pieces += [first + second for first, second in merges]
    pieces += [token.encode() for token in special_tokens]
    return dict(enumerate(pieces)), merges, [piece for word in words for piece in word]


# few letters, so that ties, repeated letters and overlapping special tokens abound
tied_text = st.text("aabbc é", max_size=60)
overlapping = ["a", "ab", "abc", "b c", "é", "<x>", "aa"]
special_lists = st.lists(st.sampled_from(overlapping), unique=True, max_size=3)


@hundreds
@given(tied_text, st.integers(0, 30), special_lists)
@example("ab", 1, [])
@example("aaaaa aaaa aaa", 9, [])
@example("abcabab<x>ab", 9, ["ab", "abc", "<x>"])
@example("abb", 5, ["a", "ab"])  # the longer one: "b" is left, not "bb"
def test_training_equals_counting_anew(text, merges_wanted, special_tokens):
    size = 256 + merges_wanted + len(special_tokens)
    vocab, merges, pieces = train_naively(text, size, special_tokens)
    assert train_bpe(text, size, special_tokens) == (vocab, merges)

    if not special_tokens:
        # replaying the merges leads to where training ended
        assert [vocab[i] for i in BPETokenizer(vocab, merges).encode(text)] == pieces


@hundreds
@given(assigned_text, st.integers(256, 290))
def test_training_on_any_text_equals_counting_anew(text, vocab_size):
    assert train_bpe(text, vocab_size) == train_naively(text, vocab_size)[:2]


def test_training_on_shakespeare_equals_counting_anew(shakespeare_text):
    text = shakespeare_text[:12_000].replace("\n\n", END, 20)
    assert train_bpe(text, 310, [END]) == train_naively(text, 310, [END])[:2]


def test_a_tie_goes_to_the_greater_pair_of_byte_strings():
    assert train_bpe("ab\nzz\ncd", 257)[1] == [(b"z", b"z")]
    # not the greater pair of ids: b"ab" is 256 by now
    assert train_bpe("abc\nabc\nab\nyz\nyz", 258)[1] == [(b"a", b"b"), (b"y", b"z")]
    # not the greater bytes when joined: b"az" comes after b"abc", but b"ab" after b"a"
    assert train_bpe("abc\nabc\nab\naz\naz", 258)[1] == [(b"a", b"b"), (b"ab", b"c")]


def test_layout_of_the_vocabulary():
    vocab, merges = train_bpe("low lower lowest" + END, 262, [END, "<pad>"])
    assert list(vocab) == list(range(262))
    assert [vocab[i] for i in range(256)] == [bytes([i]) for i in range(256)]
    assert [vocab[256 + i] for i in range(4)] == [first + second for first, second in merges]
    assert (vocab[260], vocab[261]) == (END.encode(), b"<pad>")


def test_special_tokens_take_no_part_in_the_merges():
    text = "xy" + "<|end|>" * 50 + "xy"
    assert train_bpe(text, 300, ["<|end|>"])[1] == [(b"x", b"y")]


def test_no_merge_reaches_over_a_special_token():
    assert train_bpe("ab<|end|>ab", 300, ["<|end|>"])[1] == [(b"a", b"b")]
    assert len(train_bpe("abab", 300)[1]) == 2


def test_training_stops_when_nothing_is_left_to_merge():
    vocab, merges = train_bpe("abcd abcd", 1000, [END])
    assert len(merges) == 4  # abcd, and the space before it
    assert list(vocab) == list(range(261))
    assert train_bpe("", 1000) == ({i: bytes([i]) for i in range(256)}, [])
    assert train_bpe("a b" * 9, 256)[1] == []


@pytest.mark.parametrize("vocab_size, special_tokens", [(255, []), (0, []), (257, ["<a>", "<b>"])])
def test_a_vocabulary_too_small(vocab_size, special_tokens):
    with pytest.raises(ValueError, match=f"{vocab_size} .* {len(special_tokens)} special"):
        train_bpe("abc", vocab_size, special_tokens)


@pytest.mark.parametrize("special_tokens", [["<a>", "<a>"], [""]])
def test_special_tokens_must_differ_and_not_be_empty(special_tokens):
    with pytest.raises(ValueError, match="special tokens"):
        train_bpe("abc", 300, special_tokens)


def test_training_touches_only_the_words_that_change(shakespeare_text, monkeypatch):
    text = shakespeare_text[:130_000]
    counted, merged = [], []

    def counting(ids):
        counted.append(len(ids))
        return count_pairs(ids)

    def merging(ids, pair, new_id):
        merged.append(len(ids))
        return merge(ids, pair, new_id)

    monkeypatch.setattr(tokenizer, "count_pairs", counting)
    monkeypatch.setattr(tokenizer, "merge", merging)
    _, merges = train_bpe(text, 500)
    distinct_words = len(set(regex.findall(r50k_pat_str, text)))
    assert len(merges) == 244
    assert len(counted) >= distinct_words  # the work goes through both, else the next line proves nothing
    assert len(merged) >= len(merges)
    assert len(counted) + len(merged) < distinct_words * len(merges) / 10


# BPETokenizer against tiktoken


@pytest.fixture(scope="module")
def gpt2(gpt2_vocab):
    vocab, merges = gpt2_vocab
    return BPETokenizer(vocab, merges, [END])


@thousands
@given(text=mixed_text)
def test_gpt2_ids_of_mixed_text(gpt2, gpt2_tiktoken, text):
    ids = gpt2.encode(text)
    assert ids == gpt2_tiktoken.encode(text, allowed_special="all")
    assert gpt2.decode(ids) == text


@thousands
@given(text=assigned_text)
def test_gpt2_ids_of_any_text(gpt2, gpt2_tiktoken, text):
    assert gpt2.encode(text) == gpt2_tiktoken.encode(text, allowed_special="all")


@hundreds
@given(text=mixed_text)
def test_special_tokens_that_are_not_named_are_ordinary_text(gpt2_ordinary, gpt2_tiktoken, text):
    assert gpt2_ordinary.encode(text) == gpt2_tiktoken.encode_ordinary(text)


@pytest.fixture(scope="module")
def gpt2_ordinary(gpt2_vocab):
    return BPETokenizer(*gpt2_vocab)


@hundreds
@given(ids=st.lists(st.integers(0, 50256), max_size=20))
def test_gpt2_text_of_any_ids(gpt2, gpt2_tiktoken, ids):
    assert gpt2.decode(ids) == gpt2_tiktoken.decode(ids, errors="replace")


def test_gpt2_ids_of_every_assigned_character(gpt2, gpt2_tiktoken):
    codes = [code for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co")]
    assert len(codes) > 140_000
    text = " ".join(f"{chr(code)}a" for code in codes)
    assert gpt2.encode(text) == gpt2_tiktoken.encode(text, allowed_special="all")


def test_gpt2_ids_of_shakespeare(gpt2, gpt2_tiktoken, shakespeare_text):
    ids = gpt2.encode(shakespeare_text)
    assert ids == gpt2_tiktoken.encode(shakespeare_text)
    assert gpt2.decode(ids) == shakespeare_text


@pytest.mark.parametrize(
    "alphabet", ["a", " ", "!", "\n", "ACGT", string.ascii_lowercase, "一二三四五", "กขคง"]
)
def test_gpt2_ids_of_words_without_end(gpt2, gpt2_tiktoken, alphabet):
    text = "".join(random.Random(1).choices(alphabet, k=50_000))
    assert gpt2.encode(text) == gpt2_tiktoken.encode(text)


def test_merging_a_long_word_looks_at_few_pairs(gpt2_vocab):
    class CountingRanks(dict):
        looks = 0

        def get(self, *args):
            self.looks += 1
            return super().get(*args)

        def __contains__(self, pair):
            self.looks += 1
            return super().__contains__(pair)

    bpe = BPETokenizer(*gpt2_vocab)
    bpe.ranks = CountingRanks(bpe.ranks)
    bpe.encode("".join(random.Random(1).choices(string.ascii_lowercase, k=20_000)))
    assert 20_000 < bpe.ranks.looks < 20 * 20_000


@pytest.mark.parametrize(
    "text, ids",
    [
        ("Every effort moves you", [6109, 3626, 6100, 345]),
        ("Your journey starts with one", [7120, 7002, 4940, 351, 530]),
        ("You", [1639]),
        ("seless", [10950]),
        (" in", [287]),
        ("!", [0]),  # an id is not its byte
        (END, [50256]),
    ],
)
def test_reference_gpt2_ids(gpt2, text, ids):
    assert gpt2.encode(text) == ids
    assert gpt2.decode(ids) == text
    assert gpt2.vocab_size == 50257


@pytest.mark.parametrize(
    "text, ids",
    [
        (FUN, [3404, 2065, 374, 2523, 0]),
        (UNHELPFUL, [1844, 8823, 1285, 1343, 97578, 3629, 305, 32551, 8830, 13]),
    ],
)
def test_reference_cl100k_ids(cl100k_tiktoken, text, ids):
    # cl100k cuts these two texts into the same words as GPT-2 does; its list of merges follows from its ranks
    ranks = cl100k_tiktoken._mergeable_ranks
    inside = {text[i:j].encode() for i in range(len(text)) for j in range(i + 2, len(text) + 1)}
    merges = [last_merge(piece, ranks) for piece in sorted(inside & ranks.keys(), key=ranks.get)]
    bpe = BPETokenizer({i: piece for piece, i in ranks.items()}, merges)
    assert bpe.encode(text) == cl100k_tiktoken.encode(text) == ids


def last_merge(piece, ranks):
    """The two parts that a token was made of: merge its bytes by rank until two are left."""
    parts = [bytes([byte]) for byte in piece]
    while len(parts) > 2:
        joined = [ranks.get(parts[i] + parts[i + 1], len(ranks)) for i in range(len(parts) - 1)]
        i = joined.index(min(joined))
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return tuple(parts)


# BPETokenizer by itself


@pytest.fixture(scope="module")
def small():
    return BPETokenizer(*train_bpe("the cat, the hat, the mat: 東京 👍🏽", 270))


@hundreds
@given(text=any_text)
def test_any_text_round_trips(small, text):
    ids = small.encode(text)
    assert small.decode(ids) == text
    assert small.decode(iter(ids)) == text


@hundreds
@given(data=st.binary(max_size=20))
@example("€".encode()[:2])
def test_malformed_bytes_are_replaced(small, data):
    assert small.decode(list(data)) == data.decode("utf-8", errors="replace")


@pytest.mark.parametrize("i", [-1, 270, 10**9])
def test_an_id_outside_the_vocabulary(small, i):
    with pytest.raises(ValueError, match=rf"id {i} .* 270 "):
        small.decode([65, i])


BYTES = {i: bytes([i]) for i in range(256)}


@pytest.mark.parametrize("use", [BPETokenizer(BYTES, []).encode, lambda text: train_bpe(text, 300)])
def test_a_lone_surrogate_is_one_clear_line(use):
    with pytest.raises(ValueError, match=r"\\udc80.* position 4.*surrogates") as raised:
        use("abc \udc80")
    assert "\n" not in str(raised.value)


def special_tokenizer(*special_tokens):
    """Bytes, and the special tokens as ids 256, 257, …"""
    vocab, merges = train_bpe("", 256 + len(special_tokens), special_tokens)
    return BPETokenizer(vocab, merges, special_tokens)


@pytest.mark.parametrize(
    "special_tokens, text, ids",
    [
        (["<a>", "<a><a>"], "<a><a><a>", [257, 256]),
        (["<a><a>", "<a>"], "<a><a><a>", [256, 257]),
        (["<a>", "<a>x", "x<a>"], "x<a>x", [258, ord("x")]),  # the first place wins, then the longest
        (["ab", "bcd"], "abcd", [256, ord("c"), ord("d")]),
        (["."], "a.b", [ord("a"), 256, ord("b")]),  # not a regular expression
        (["^a|b$"], "^a|b$", [256]),
        (["<a>"], "<a", [ord("<"), ord("a")]),
        (["a"], "bab", [ord("b"), 256, ord("b")]),  # a special token that is also a byte
        (["東"], "東京", [256, *"京".encode()]),
    ],
)
def test_special_tokens_longest_first(special_tokens, text, ids):
    bpe = special_tokenizer(*special_tokens)
    assert bpe.encode(text) == ids
    assert bpe.decode(ids) == text


@hundreds
@given(text=st.text("abc <x>", max_size=30), special_tokens=special_lists)
def test_between_special_tokens_stands_ordinary_text(text, special_tokens):
    bpe = special_tokenizer(*special_tokens)
    ids = bpe.encode(text)
    assert bpe.decode(ids) == text
    ordinary = "".join(split_naively(text, special_tokens)).encode()
    assert bytes(i for i in ids if i < 256) == ordinary


def test_what_has_no_id_is_named():
    with pytest.raises(ValueError, match=r"<\|endoftext\|>"):
        BPETokenizer(BYTES, [], [END])
    with pytest.raises(ValueError, match="b'ab'"):
        BPETokenizer(BYTES, [(b"a", b"b")])
    with pytest.raises(ValueError, match="b'z'"):
        BPETokenizer({i: piece for i, piece in BYTES.items() if piece != b"z"}, [])
    with pytest.raises(ValueError, match="empty"):
        BPETokenizer(BYTES, [], [""])


def test_encode_iterable_asks_for_a_text_only_when_its_ids_are_due(small):
    asked = []

    def texts():
        for i in count_up():  # without end
            asked.append(i)
            yield "東 the"

    ids = small.encode_iterable(texts())
    assert asked == []
    first = small.encode("東 the")
    assert len(first) > 1
    assert [next(ids) for _ in first] == first
    assert asked == [0]
    assert next(ids) == first[0]
    assert asked == [0, 1]


@hundreds
@given(texts=st.lists(any_text, max_size=5))
def test_encode_iterable_encodes_each_text_by_itself(small, texts):
    assert list(small.encode_iterable(texts)) == [i for text in texts for i in small.encode(text)]


def test_remembered_words_are_bounded_and_change_nothing(small, monkeypatch):
    monkeypatch.setattr(tokenizer, "CACHED_WORDS", 3)
    bpe = BPETokenizer(small.vocab, small.merges)
    text = "the hat the cat the elephants the mat the elephants, a hat" * 3
    once = bpe.encode(text)
    assert 0 < bpe.word_ids.cache_info().currsize <= 3
    assert bpe.encode(text) == once == small.encode(text)
