"""The checks of chapter 1 that you have: from text to token ids, and back.

To try a check in a Python shell, in the folder that holds exercises/:

    from exercises.ch1 import tokenizer; from exercises.ch1.test_tokenizer import *
    from grader.draw import Draw; from grader.seeds import seed_for
    draw = Draw(seed_for("public", "ch1", "the_words_of_a_sentence"))

Then `the_words_of_a_sentence.function(tokenizer)` is what your code gives. `draw` makes
the inputs, `draw.fill(module)` sets a module's parameters; the README tells of `operators`,
`steps` and `folder`.
"""

from grader.checks import check

SHARED = ("refusal", "steps_for_rare_words", "vocabulary", "CAT_MERGES", "GPT2_BYTES", "GPT2_MERGES")

# What "the cat, the hat, the mat" teaches in three merges.
CAT_MERGES = [(b"t", b"h"), (b"th", b"e"), (b"a", b"t")]

# GPT-2 gives its bytes ids in this order: printable ones first, then the others.
GPT2_BYTES = [*range(33, 127), *range(161, 173), *range(174, 256), *range(33), *range(127, 161), 173]

# GPT-2's own merges, with the ids they make: those that the two sentences of the check need.
GPT2_MERGES = [
    *[(261, b"o", b"n"), (263, b"e", b"r"), (264, b" ", b"s"), (266, b" ", b"w"), (270, b"i", b"t")],
    *[(273, b"o", b"r"), (274, b"e", b"s"), (280, b"o", b"u"), (283, b"a", b"r"), (285, b" ", b"m")],
    *[(304, b" ", b"e"), (319, b" ", b"on"), (331, b" ", b"y"), (332, b"v", b"er"), (336, b" s", b"t")],
    *[(342, b"it", b"h"), (345, b" y", b"ou"), (351, b" w", b"ith"), (419, b"or", b"t")],
    *[(433, b"ar", b"t"), (454, b"ou", b"r"), (474, b" ", b"j"), (487, b"f", b"f"), (530, b" on", b"e")],
    *[(548, b"ver", b"y"), (709, b"o", b"v"), (710, b"n", b"e"), (914, b" e", b"ff")],
    *[(923, b" st", b"art"), (1409, b" m", b"ov"), (1681, b"ne", b"y"), (3626, b" eff", b"ort")],
    *[(4940, b" start", b"s"), (5604, b"our", b"ney"), (6100, b" mov", b"es"), (6109, b"E", b"very")],
    *[(7002, b" j", b"ourney"), (7120, b"Y", b"our")],
]


def refusal(function, *args, mentions=()):
    """How a call is refused: by a ValueError that mentions these words, by none, or by another error."""
    try:
        function(*args)
    except NotImplementedError:
        raise
    except ValueError as error:
        silent = [str(word) for word in mentions if str(word) not in str(error)]
        return f"ValueError without {', '.join(silent)}" if silent else "ValueError"
    except (LookupError, RuntimeError) as error:  # Python's or torch's own, where nobody looked
        return f"{type(error).__name__}: {error}"
    return "no error"


def steps_for_rare_words(tokenizer, steps, frequent, rare, merges):
    """How many lines of Python more are run when there are twice as many rare words."""
    few, many = ("\n".join([*frequent, *words]) for words in (rare[::2], rare))
    few, many = (steps.of(tokenizer.train_bpe, text, 256 + merges) for text in (few, many))
    return many - few


def vocabulary(merges, special_tokens=()):
    """The 256 bytes, what the merges make, the special tokens: ids as train_bpe gives them."""
    pieces = [byte.to_bytes(1, "big") for byte in range(256)] + [b"".join(pair) for pair in merges]
    return dict(enumerate([*pieces, *(token.encode() for token in special_tokens)]))


# split_words


@check("split_words")
def the_words_of_a_sentence(tokenizer):
    """A sentence becomes its words and its punctuation, without the spaces."""
    return tokenizer.split_words("Tokenization is fun!")


@check("split_words", needs="the_words_of_a_sentence")
def each_sign_is_a_token_of_its_own(tokenizer):
    """Signs stand alone, also side by side or inside of a word; digits and _ belong to words."""
    return [tokenizer.split_words(text) for text in ("Well... don't!", "a-b", "snake_case (3.14)", "naïve?!")]


@check("split_words", needs="the_words_of_a_sentence")
def spaces_tabs_and_line_ends_are_dropped(tokenizer):
    """However many spaces, tabs and line ends there are, none becomes a token."""
    return [tokenizer.split_words(text) for text in ("  two\t\twords \n", " \n ", "")]


@check("split_words", needs="the_words_of_a_sentence")
def how_many_words_a_sentence_has(tokenizer):
    """ "Unhelpful phrasing often hinders understanding." has 6 words, its full stop included."""
    words = tokenizer.split_words("Unhelpful phrasing often hinders understanding.")
    return {"words": words, "how many": len(words)}


# CharTokenizer


@check("CharTokenizer")
def the_id_of_a_character_is_its_place(tokenizer):
    """Ids follow the order of the characters as they were given: in "cab", c is 0."""
    cab = tokenizer.CharTokenizer("cab")
    return {"characters": cab.characters, "vocab_size": cab.vocab_size, "abba": cab.encode("abba")}


@check("CharTokenizer", needs="the_id_of_a_character_is_its_place")
def decoding_undoes_encoding(tokenizer):
    """decode(encode(text)) is text, and decode takes any iterable of ids."""
    cab = tokenizer.CharTokenizer("cab")
    return [
        cab.decode(cab.encode("abbacab")),
        cab.decode([1, 2, 0]),
        cab.decode(iter([2, 2])),
        cab.decode([]),
    ]


@check("CharTokenizer", needs="the_id_of_a_character_is_its_place")
def from_text_sorts_the_distinct_characters(tokenizer):
    """from_text takes each character of the text once, sorted by code point."""
    fun = tokenizer.CharTokenizer.from_text("Tokenization is fun!")
    unhelpful = tokenizer.CharTokenizer.from_text("Unhelpful phrasing often hinders understanding.")
    return {
        "characters": fun.characters,
        "ids": fun.encode("Tokenization is fun!"),
        "vocab_sizes": [fun.vocab_size, unhelpful.vocab_size],
    }


@check("CharTokenizer", needs="the_id_of_a_character_is_its_place")
def an_unknown_character_is_named(tokenizer):
    """A character without an id is a ValueError that names it; it is neither skipped nor replaced."""
    return refusal(tokenizer.CharTokenizer("cab").encode, "abc€", mentions=["€"])


@check("CharTokenizer", needs="the_id_of_a_character_is_its_place")
def wrong_ids_and_vocabularies_are_refused(tokenizer):
    """An id below 0 or too high, and a vocabulary with a character twice, are ValueErrors."""
    cab = tokenizer.CharTokenizer("cab")
    return {
        "decode([-1])": refusal(cab.decode, [-1]),
        "decode([0, 3])": refusal(cab.decode, [0, 3]),
        'CharTokenizer("cabc")': refusal(tokenizer.CharTokenizer, "cabc", mentions=["c"]),
    }


# count_pairs


@check("count_pairs")
def pairs_are_counted(tokenizer):
    """Any two neighbours are a pair; a pair that comes twice has the count 2."""
    return tokenizer.count_pairs([5, 6, 5, 6, 7])


@check("count_pairs", needs="pairs_are_counted")
def every_place_counts(tokenizer):
    """Two pairs may share an id: three equal ids are two pairs, four are three."""
    return [tokenizer.count_pairs([1, 1, 1]), tokenizer.count_pairs([2, 1, 1, 1, 1, 2])]


@check("count_pairs", needs="pairs_are_counted")
def the_order_in_a_pair_matters(tokenizer):
    """(3, 4) and (4, 3) are two different pairs."""
    return tokenizer.count_pairs([3, 4, 3, 9, 9, 4, 3, 4])


@check("count_pairs", needs="pairs_are_counted")
def too_few_ids_for_a_pair(tokenizer):
    """One id, or none, has no pairs; two have one."""
    return [tokenizer.count_pairs([]), tokenizer.count_pairs([7]), tokenizer.count_pairs([7, 8])]


# merge


@check("merge")
def a_pair_becomes_one_id(tokenizer):
    """Every occurrence of the pair is replaced, the other ids stay."""
    return [
        tokenizer.merge([5, 6, 5, 6, 7], pair=(5, 6), new_id=9),
        tokenizer.merge([1, 2, 3, 1, 2], pair=(1, 2), new_id=4),
    ]


@check("merge", needs="a_pair_becomes_one_id")
def a_merged_id_is_used_up(tokenizer):
    """Going from left to right: of three equal ids the first two merge, and the third is left over."""
    return [tokenizer.merge([1] * n, pair=(1, 1), new_id=2) for n in (2, 3, 4, 5)]


@check("merge", needs="a_pair_becomes_one_id")
def only_this_pair_in_this_order(tokenizer):
    """Ids stay when the pair stands the other way round, or is cut off by the end."""
    return [tokenizer.merge(ids, pair=(1, 2), new_id=9) for ids in ([2, 1, 2, 1], [1, 1, 3, 2, 1], [1], [])]


@check("merge", needs="a_pair_becomes_one_id")
def the_given_list_stays(tokenizer):
    """The result is a new list; the one that was given is as before."""
    ids = [1, 2, 1, 2, 3]
    merged = tokenizer.merge(ids, (1, 2), 9)
    return {"merged": merged, "given": ids, "a new list": merged is not ids}


# train_bpe


@check("train_bpe", forbidden="tiktoken")
def the_first_merges(tokenizer):
    """The most frequent pair is merged first; the pieces that it makes can be merged again."""
    _, merges = tokenizer.train_bpe("the cat, the hat, the mat", 259)
    return merges


@check("train_bpe", needs="the_first_merges")
def the_vocabulary_in_its_order(tokenizer):
    """First the 256 bytes, then the merges in order, then the special tokens: vocab_size ids in all."""
    vocab, merges = tokenizer.train_bpe("the cat, the hat, the mat", 261, ["<|end|>", "<pad>"])
    return {
        "merges": merges,
        "ids": sorted(vocab),
        "97, 255, then the merges and the special tokens": [
            vocab[i] for i in (97, 255, *range(256, len(vocab)))
        ],
    }


@check("train_bpe", needs="the_first_merges")
def of_equally_frequent_pairs_the_greatest(tokenizer):
    """A tie goes to the greatest pair: compare the first byte strings, then the second. Not ids."""
    texts = ["ab\nzy\ncd", "abc\nabc\nab\nyz\nyz", "abc\nabc\nab\naz\naz", "xa\nxb\nxb\nxa"]
    return {text: tokenizer.train_bpe(text, 258)[1] for text in texts}


@check("train_bpe", needs="the_first_merges")
def every_occurrence_of_a_word_counts(tokenizer):
    """A word that comes four times counts four times, and so does each pair in it."""
    _, merges = tokenizer.train_bpe("low low low low new newer", 260)
    return merges


@check("train_bpe", needs="the_first_merges")
def no_merge_reaches_over_the_end_of_a_word(tokenizer):
    """Words are cut by GPT2_SPLIT, each with the space before it, and merged each by itself."""
    _, merges = tokenizer.train_bpe("go on! go on! go", 256 + 4)
    return merges


@check("train_bpe", needs="the_first_merges")
def characters_are_bytes_first(tokenizer):
    """A word starts as its UTF-8 bytes: é is two of them, which are merged like any other pair."""
    _, merges = tokenizer.train_bpe("né, été, thé", 256 + 2)
    return merges


@check("train_bpe", needs="the_vocabulary_in_its_order")
def special_tokens_are_not_learnt(tokenizer):
    """A text is cut at its special tokens: they are not split, merged, or counted. The longest wins."""
    return {
        "the most frequent thing": tokenizer.train_bpe("xy<|end|><|end|><|end|>xy", 258, ["<|end|>"])[1],
        "between two words": tokenizer.train_bpe("z<|end|>y<|end|>z<|end|>y ab", 258, ["<|end|>"])[1],
        "one begins with another": tokenizer.train_bpe("abb cd", 260, ["a", "ab"])[1],
    }


@check("train_bpe", needs="the_vocabulary_in_its_order")
def training_ends_when_every_word_is_one_token(tokenizer):
    """A text can run out of pairs; then the vocabulary stays smaller than vocab_size."""
    vocab, merges = tokenizer.train_bpe("abcd abcd", 1000, ["<|end|>"])
    return {"merges": merges, "ids": len(vocab), "no text": len(tokenizer.train_bpe("", 300)[0])}


@check("train_bpe", needs="of_equally_frequent_pairs_the_greatest", seconds=30)
def rare_words_are_not_counted_anew(tokenizer, draw, steps):
    """Only words that a merge changes are counted anew: others cost as many steps for 41 merges as for 1."""
    frequent = [draw.text(7, "abcdef") for _ in range(16)] * 80
    rare = [draw.text(6, "ghijkl") for _ in range(300)]
    once, again = (steps_for_rare_words(tokenizer, steps, frequent, rare, merges) for merges in (1, 41))
    return {
        "merges": tokenizer.train_bpe("\n".join(frequent + rare), 256 + 5)[1],
        "steps, 41 merges against 1": "over 15 times as many" if again > 15 * once else "about as many",
    }


@check("train_bpe", needs="the_first_merges")
def what_training_refuses(tokenizer):
    """No room for the bytes and special tokens is a ValueError; so is an empty or repeated special token."""
    return {
        "vocab_size 255": refusal(tokenizer.train_bpe, "abc", 255),
        "257 with two special tokens": refusal(tokenizer.train_bpe, "abc", 257, ["<a>", "<b>"]),
        "twice the same": refusal(tokenizer.train_bpe, "abc", 300, ["<a>", "<a>"]),
        "an empty one": refusal(tokenizer.train_bpe, "abc", 300, [""]),
        "a lone surrogate": refusal(tokenizer.train_bpe, "abc\ud800", 300),
    }


# BPETokenizer


@check("BPETokenizer", forbidden="tiktoken")
def merges_are_replayed(tokenizer):
    """A word starts as its bytes, and the merges that were learnt put them together."""
    cat = tokenizer.BPETokenizer(vocabulary(CAT_MERGES), CAT_MERGES)
    texts = ["that hat", "", "é"]
    return {"vocab_size": cat.vocab_size, "ids": {text: cat.encode(text) for text in texts}}


@check("BPETokenizer", needs="merges_are_replayed")
def the_pair_learnt_first_goes_first(tokenizer):
    """Of the pairs that could be merged the one learnt first goes first, not the leftmost or longest."""
    merges = [
        (b"b", b"c"),
        (b"a", b"b"),
        (b"c", b"d"),
        (b"ab", b"cd"),
        (b"e", b"d"),
        (b"c", b"e"),
        (b"c", b"ed"),
    ]
    bpe = tokenizer.BPETokenizer(vocabulary(merges), merges)
    return {word: [bpe.vocab[i] for i in bpe.encode(word)] for word in ("abcd", "ced", "abced")}


@check("BPETokenizer", needs="merges_are_replayed")
def words_are_merged_each_by_itself(tokenizer):
    """Text is cut by GPT2_SPLIT before merging, so that no token reaches from one word into the next."""
    merges = [(b"a", b" "), (b" ", b"b"), (b"a", b"!"), (b"a", b"b")]
    bpe = tokenizer.BPETokenizer(vocabulary(merges), merges)
    return [bpe.vocab[i] for i in bpe.encode("ba ba! ab b")]


@check("BPETokenizer", needs="merges_are_replayed", forbidden="tiktoken")
def the_ids_of_gpt2(tokenizer):
    """With GPT-2's merges the ids are GPT-2's. There the id of a byte is not the byte: "!" is 0."""
    vocab = {i: bytes([byte]) for i, byte in enumerate(GPT2_BYTES)}
    vocab |= {i: first + second for i, first, second in GPT2_MERGES}
    bpe = tokenizer.BPETokenizer(vocab, [(first, second) for _, first, second in GPT2_MERGES])
    texts = ["Every effort moves you", "Your journey starts with one", "!"]
    return {text: bpe.encode(text) for text in texts}


@check("BPETokenizer", needs="merges_are_replayed")
def special_tokens_stay_whole(tokenizer):
    """A special token is one id wherever it stands, and the longest wins; not named, it is ordinary text."""
    special = ["<a>", "<a>b", "the", "<|end|>"]
    vocab = vocabulary(CAT_MERGES, special)
    bpe = tokenizer.BPETokenizer(vocab, CAT_MERGES, special)
    unnamed = tokenizer.BPETokenizer(vocab, CAT_MERGES)
    texts = ["at<a><a>bat", "lathe", "<a>", "a|b<|end|>"]
    return [*(bpe.encode(text) for text in texts), unnamed.encode("<a>b")]


@check("BPETokenizer", needs="merges_are_replayed")
def decoding_joins_the_bytes_first(tokenizer):
    """A character's bytes may lie in several ids; bytes that are not UTF-8 become U+FFFD."""
    cat = tokenizer.BPETokenizer(vocabulary(CAT_MERGES), CAT_MERGES)
    return [
        cat.decode(ids) for ids in ([256, 258], iter([257, 32]), [0xE2, 0x82, 0xAC], [65, 0xE2, 0x82, 66], [])
    ]


@check("BPETokenizer", needs="merges_are_replayed")
def texts_are_encoded_when_they_are_due(tokenizer):
    """encode_iterable asks for a text only when its ids are due, and encodes each text by itself."""
    cat = tokenizer.BPETokenizer(vocabulary(CAT_MERGES), CAT_MERGES)
    asked = []
    texts = (asked.append(text) or text for text in ["the", " cat", "t", "he"])
    ids = iter(cat.encode_iterable(texts))
    steps = [len(asked)]
    first = next(ids)
    steps.append(len(asked))
    return {"texts asked for": steps, "ids": [first, *ids]}


@check("BPETokenizer", needs="merges_are_replayed")
def what_a_tokenizer_refuses(tokenizer):
    """What has no id in the vocabulary, an empty special token and an unknown id are ValueErrors."""
    vocab = vocabulary(CAT_MERGES)
    without_a_byte = {i: piece for i, piece in vocab.items() if i != 97}
    cat = tokenizer.BPETokenizer(vocab, CAT_MERGES)
    return {
        "a byte without id": refusal(tokenizer.BPETokenizer, without_a_byte, CAT_MERGES),
        "a merge without id": refusal(tokenizer.BPETokenizer, vocab, [*CAT_MERGES, (b"a", b"b")]),
        "a special token without id": refusal(tokenizer.BPETokenizer, vocab, CAT_MERGES, ["<a>"]),
        "an empty special token": refusal(tokenizer.BPETokenizer, vocab, CAT_MERGES, [""]),
        "decode([97, 259])": refusal(cat.decode, [97, 259], mentions=[259]),
        "a lone surrogate": refusal(cat.encode, "a\ud800"),
    }
