import types

from course import corpora, vocabularies


def test_every_byte_has_a_printable_character_of_its_own():
    characters = vocabularies.character_of_byte()
    assert sorted(characters) == list(range(256))
    assert len(set(characters.values())) == 256
    assert all(character.isprintable() and not character.isspace() for character in characters.values())
    assert characters[ord("A")] == "A"
    assert characters[ord(" ")] == "Ġ"
    assert characters[ord("\n")] == "Ċ"


def test_vocabulary_equals_tiktokens(gpt2_vocab, gpt2_tiktoken):
    vocab, _ = gpt2_vocab
    assert list(vocab) == list(range(50_257))
    assert vocab[50_256] == b"<|endoftext|>"
    for id in range(50_256):
        assert vocab[id] == gpt2_tiktoken.decode_single_token_bytes(id)
    assert gpt2_tiktoken.n_vocab == len(vocab)


def test_merges_make_the_tokens_in_order(gpt2_vocab):
    vocab, merges = gpt2_vocab
    assert len(merges) == 50_000
    assert merges[:3] == [(b" ", b"t"), (b" ", b"a"), (b"h", b"e")]
    assert [left + right for left, right in merges] == [vocab[256 + rank] for rank in range(50_000)]


def test_cl100k_is_readable_offline(cl100k_tiktoken):
    assert cl100k_tiktoken.encode("Tokenization is fun!") == [3404, 2065, 374, 2523, 0]


def test_reference_ids(gpt2_tiktoken):
    assert gpt2_tiktoken.encode("Every effort moves you") == [6109, 3626, 6100, 345]


def test_gpt2_tokenizer_hands_the_pieces_to_chapter_1(gpt2_vocab):
    class BPETokenizer:
        def __init__(self, vocab, merges, special_tokens=()):
            self.given = (vocab, merges, special_tokens)

    tokenizer = vocabularies.gpt2_tokenizer(types.SimpleNamespace(BPETokenizer=BPETokenizer))
    assert tokenizer.given == (*gpt2_vocab, ("<|endoftext|>",))


def test_tiktoken_cache_mends_itself(monkeypatch, tmp_path):
    for name in ["gpt2-merges", "gpt2-encoder", "cl100k"]:
        source = corpora.fetch(name)
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    folder = corpora.tiktoken_cache()
    merges = folder / "6d1cbeee0f20b3d9449abfede4726ed8212e3aee"
    right = merges.read_bytes()
    assert {path.name for path in folder.iterdir()} == {
        "6d1cbeee0f20b3d9449abfede4726ed8212e3aee",
        "6c7ea1a7e38e3a7f062df639a5b80947f075ffe6",
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    }
    merges.write_bytes(right[:-1] + b"?")
    corpora.tiktoken_cache()
    assert merges.read_bytes() == right


def test_tiktoken_cache_beside_a_data_folder_that_cannot_be_written(monkeypatch, tmp_path):
    blocked = tmp_path / "data"
    blocked.mkdir()
    (blocked / "tiktoken").write_text("a file where the folder should be")
    for name in ["gpt2-merges", "gpt2-encoder", "cl100k"]:
        source = corpora.fetch(name)
        (blocked / source.name).write_bytes(source.read_bytes())
    monkeypatch.setenv("COURSE_DATA", str(blocked))
    monkeypatch.setattr(corpora, "_user_folder", lambda: tmp_path / "user")
    assert corpora.tiktoken_cache() == tmp_path / "user" / "tiktoken"
    assert len(list((tmp_path / "user" / "tiktoken").iterdir())) == 3
