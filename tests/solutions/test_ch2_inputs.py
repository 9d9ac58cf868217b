"""Chapter 2 against plain slices of lists, one-hot products, counted pairs and torch's own functions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from solutions.ch2.inputs import (
    BigramLanguageModel,
    SlidingWindowDataset,
    analogy,
    cosine_similarity,
    create_dataloader,
    embed,
    get_batch,
    train_val_split,
)

# Examples are drawn from a fixed seed, and never judged by the clock: the machine may be busy.
examples = settings(deadline=None, derandomize=True, max_examples=60)


@pytest.fixture(scope="module")
def shakespeare_ids(shakespeare_text):
    number_of = {character: i for i, character in enumerate(sorted(set(shakespeare_text)))}
    return torch.tensor([number_of[character] for character in shakespeare_text])


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before():
    torch.manual_seed(0)


def share_storage(a, b):
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


# train_val_split


def test_shakespeare_splits_as_published(shakespeare_ids):
    assert len(shakespeare_ids) == 1_115_394
    assert shakespeare_ids.max() + 1 == 65
    train, val = train_val_split(shakespeare_ids)
    assert (len(train), len(val)) == (1_003_854, 111_540)


@examples
@given(n=st.integers(0, 200), fraction=st.floats(0.01, 0.99))
def test_the_parts_are_views_that_make_up_the_whole(n, fraction):
    ids = torch.arange(n)
    train, val = train_val_split(ids, fraction)
    assert train.tolist() + val.tolist() == list(range(n))
    assert len(train) == int(fraction * n)
    assert share_storage(train, ids) and share_storage(val, ids)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, 90, math.nan])
def test_a_fraction_outside_0_and_1_is_refused(fraction):
    with pytest.raises(ValueError, match="train_fraction"):
        train_val_split(torch.arange(10), fraction)


# SlidingWindowDataset


@examples
@given(
    n=st.integers(2, 60),
    context_length=st.integers(1, 20),
    stride=st.integers(1, 25),
    as_list=st.booleans(),
)
def test_windows_are_the_slices_that_fit(n, context_length, stride, as_list):
    ids = list(range(100, 100 + n))
    given_ids = ids if as_list else torch.tensor(ids)
    slices = [
        (ids[start : start + context_length], ids[start + 1 : start + context_length + 1])
        for start in range(0, n, stride)
        if start + context_length + 1 <= n
    ]
    if not slices:
        with pytest.raises(ValueError, match=f"{n} ids.*{context_length}"):
            SlidingWindowDataset(given_ids, context_length, stride)
        return

    dataset = SlidingWindowDataset(given_ids, context_length, stride)
    assert len(dataset) == len(slices)
    assert [(x.tolist(), y.tolist()) for x, y in dataset] == slices
    assert all(x.dtype == y.dtype == torch.int64 for x, y in dataset)


@pytest.mark.parametrize("context_length", [1, 5, 12])
def test_windows_side_by_side_cover_the_text(context_length):
    ids = torch.randperm(4 * context_length + 1)
    dataset = SlidingWindowDataset(ids, context_length, stride=context_length)
    assert torch.equal(torch.cat([x for x, _ in dataset]), ids[:-1])
    assert torch.equal(torch.cat([y for _, y in dataset]), ids[1:])


def test_windows_are_views():
    ids = torch.arange(1000)
    dataset = SlidingWindowDataset(ids, context_length=100, stride=1)
    for i in (0, 450, len(dataset) - 1):
        x, y = dataset[i]
        assert share_storage(x, ids) and share_storage(y, ids)


def test_a_window_that_is_not_there_is_an_index_error():
    dataset = SlidingWindowDataset(range(10), context_length=4, stride=2)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


@pytest.mark.parametrize(("context_length", "stride"), [(0, 1), (-3, 1), (4, 0), (4, -1)])
def test_a_context_or_stride_below_1_is_refused(context_length, stride):
    with pytest.raises(ValueError, match="at least 1"):
        SlidingWindowDataset(range(10), context_length, stride)


# create_dataloader


def test_unshuffled_batches_come_in_the_order_of_the_text():
    batches = list(create_dataloader(range(23), 2, context_length=4, stride=3, shuffle=False))
    starts = [[0, 3], [6, 9], [12, 15]]  # 18 fits too, but alone
    assert [x[:, 0].tolist() for x, _ in batches] == starts
    for x, y in batches:
        assert x.shape == y.shape == (2, 4)
        assert torch.equal(y, x + 1)


def test_the_last_batch_can_be_kept():
    batches = list(create_dataloader(range(23), 2, 4, 3, shuffle=False, drop_last=False))
    assert [len(x) for x, _ in batches] == [2, 2, 2, 1]
    assert batches[-1][0].tolist() == [[18, 19, 20, 21]]


def test_shuffling_visits_every_window_once_in_an_order_from_the_generator():
    def epochs(seed):
        loader = create_dataloader(
            range(400), 10, 4, 4, drop_last=False, generator=torch.Generator().manual_seed(seed)
        )
        return [torch.cat([x[:, 0] for x, _ in loader]).tolist() for _ in range(2)]

    first, second = epochs(1)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(0, 396, 4))
    assert epochs(1) == [first, second]
    assert epochs(2) != [first, second]


def test_shuffling_is_the_default_and_so_is_dropping_the_last_batch():
    starts = [x[:, 0] for x, _ in create_dataloader(range(1000), 10, 3, 1)]
    assert {len(batch) for batch in starts} == {10} and len(starts) == 99
    order = torch.cat(starts).tolist()
    assert order != sorted(order)


def test_a_text_too_short_for_a_loader_is_refused():
    with pytest.raises(ValueError, match="ids are too few for a window of 4"):
        create_dataloader(range(4), 1, context_length=4, stride=1)


# get_batch


@examples
@given(context_length=st.integers(1, 12), spare=st.integers(0, 30), seed=st.integers(0, 2**32))
def test_rows_are_windows_and_targets_the_tokens_after(context_length, spare, seed):
    ids = torch.randperm(context_length + 1 + spare)  # distinct, so that a window tells its place
    place_of = ids.argsort()
    before = ids.clone()
    x, y = get_batch(ids, 6, context_length, torch.Generator().manual_seed(seed))
    assert x.shape == y.shape == (6, context_length)
    assert x.dtype == y.dtype == torch.int64
    for row_x, row_y in zip(x, y, strict=True):
        start = place_of[row_x[0]]
        assert torch.equal(row_x, ids[start : start + context_length])
        assert torch.equal(row_y, ids[start + 1 : start + context_length + 1])
    x.zero_()  # a batch is the caller's own
    assert torch.equal(ids, before)


def test_all_places_the_first_and_last_included_are_equally_likely():
    ids, context_length, draws = torch.arange(20), 9, 22_000
    x, y = get_batch(ids, draws, context_length, torch.Generator().manual_seed(0))
    counts = x[:, 0].bincount()
    assert len(counts) == 11 and y.max() == 19  # starts 0 … 10
    expected = draws / 11
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 29.6  # 10 degrees of freedom, one in a thousand


def test_a_generator_decides_the_batch_and_leaves_the_global_one_alone():
    ids = torch.arange(1000)
    before = torch.get_rng_state()
    one, same = (get_batch(ids, 8, 4, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one[0], same[0]) and torch.equal(one[1], same[1])

    torch.manual_seed(3)
    first, _ = get_batch(ids, 8, 4)
    second, _ = get_batch(ids, 8, 4)
    torch.manual_seed(3)
    again, _ = get_batch(ids, 8, 4)
    assert torch.equal(first, again) and not torch.equal(first, second)


def test_a_text_too_short_for_a_batch_is_refused():
    with pytest.raises(ValueError, match="ids are too few for a window of 4"):
        get_batch(torch.arange(4), 2, context_length=4)


# embed


def test_embedding_is_a_product_with_one_hot_rows():
    V, positions, C = 11, 7, 5
    tok_emb = torch.nn.Embedding(V, C, dtype=torch.float64)
    pos_emb = torch.nn.Embedding(positions, C, dtype=torch.float64)
    for T in range(1, positions + 1):
        ids = torch.randint(V, (3, T))
        expected = (
            F.one_hot(ids, V).double() @ tok_emb.weight + torch.eye(positions)[:T].double() @ pos_emb.weight
        )
        torch.testing.assert_close(embed(ids, tok_emb, pos_emb), expected, rtol=0, atol=1e-12)


def test_both_tables_learn():
    tok_emb, pos_emb = torch.nn.Embedding(4, 3), torch.nn.Embedding(5, 3)
    embed(torch.tensor([[1, 1, 3], [0, 1, 1]]), tok_emb, pos_emb).sum().backward()
    assert tok_emb.weight.grad[:, 0].tolist() == [1, 4, 0, 1]  # how often each token came
    assert pos_emb.weight.grad[:, 0].tolist() == [2, 2, 2, 0, 0]


@pytest.mark.parametrize("bad_id", [-1, 6, 50256])
def test_an_id_outside_the_vocabulary_is_named(bad_id):
    with pytest.raises(ValueError, match=rf"{bad_id}\b.*\b6\b"):
        embed(torch.tensor([[0, 5], [bad_id, 1]]), torch.nn.Embedding(6, 2), torch.nn.Embedding(4, 2))


def test_more_positions_than_vectors_are_refused():
    with pytest.raises(ValueError, match=r"\b5\b.*\b4\b"):
        embed(torch.zeros(1, 5).long(), torch.nn.Embedding(6, 2), torch.nn.Embedding(4, 2))


# cosine_similarity and analogy


@pytest.mark.parametrize(
    ("a_shape", "b_shape"), [((8,), (8,)), ((3, 8), (3, 8)), ((8,), (40, 8)), ((5, 1, 8), (1, 7, 8))]
)
def test_cosine_similarity_equals_that_of_torch(a_shape, b_shape):
    a, b = torch.randn(a_shape), torch.randn(b_shape)
    expected = F.cosine_similarity(a, b, dim=-1)
    assert expected.shape == cosine_similarity(a, b).shape
    torch.testing.assert_close(cosine_similarity(a, b), expected)
    torch.testing.assert_close(cosine_similarity(-3 * a, 0.01 * b), -expected)


def test_rounding_does_not_carry_a_cosine_out_of_its_range():
    a = torch.randn(2000, 7)
    similarity = cosine_similarity(a, a * torch.rand(2000, 1))
    assert similarity.max() <= 1 and similarity.min() > 0.9999
    assert cosine_similarity(a, -a).min() >= -1


def test_a_vector_of_zeros_is_similar_to_nothing():
    a = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    assert cosine_similarity(a, torch.tensor([1.0, 2.0])).tolist() == pytest.approx([0, 1])
    assert cosine_similarity(a[0], a[0]).item() == 0


def analogy_in_numpy(words, vectors, positive, negative):
    unit = {w: v / np.sqrt((v**2).sum()) for w, v in zip(words, vectors, strict=True)}
    target = sum(unit[w] for w in positive) - sum(unit[w] for w in negative)
    scores = {w: float(target @ unit[w] / np.sqrt((target**2).sum())) for w in words}
    others = [w for w in words if w not in positive and w not in negative]
    return sorted(((w, scores[w]) for w in others), key=lambda pair: -pair[1])


@examples
@given(seed=st.integers(0, 2**32 - 1), topn=st.integers(1, 40))
def test_analogies_equal_those_of_numpy(seed, topn):
    random = np.random.default_rng(seed)
    words = [f"word{i}" for i in range(30)]
    vectors = random.normal(size=(30, 6)) * random.lognormal(sigma=2, size=(30, 1))  # of all lengths
    chosen = random.permutation(words)
    positive, negative = list(chosen[:2]), list(chosen[2:3])

    answers = analogy(words, torch.tensor(vectors), positive, negative, topn)
    expected = analogy_in_numpy(words, vectors, positive, negative)[:topn]
    assert [word for word, _ in answers] == [word for word, _ in expected]
    assert [score for _, score in answers] == pytest.approx([score for _, score in expected], abs=1e-9)


@pytest.mark.parametrize(("positive", "negative"), [(["king", "womna"], ["man"]), (["king"], ["womna"])])
def test_an_unknown_word_is_named(positive, negative):
    with pytest.raises(ValueError, match="womna"):
        analogy(["king", "man", "woman"], torch.eye(3), positive, negative)


# BigramLanguageModel


def test_bigram_has_a_table_of_65_by_65():
    model = BigramLanguageModel(65)
    assert sum(p.numel() for p in model.parameters()) == 4_225
    assert model.token_embedding_table.weight.shape == (65, 65)


def test_bigram_loss_by_hand():
    model = BigramLanguageModel(9).double()
    ids, targets = torch.randint(9, (3, 5)), torch.randint(9, (3, 5))
    logits, loss = model(ids, targets)
    table = model.token_embedding_table.weight.detach().numpy()
    surprises = [
        np.log(np.exp(table[i]).sum()) - table[i, j]
        for i, j in zip(ids.flatten().tolist(), targets.flatten().tolist(), strict=True)
    ]
    assert loss.dim() == 0
    assert loss.item() == pytest.approx(np.mean(surprises), abs=1e-12)
    assert np.array_equal(logits.detach().numpy(), table[ids.numpy()])

    without_targets = model(ids)
    assert torch.equal(without_targets[0], logits) and without_targets[1] is None


def test_a_table_of_counted_pairs_reaches_the_entropy_of_shakespeares_pairs(shakespeare_ids):
    ids = shakespeare_ids[:200_001]
    counts = np.zeros((65, 65))
    np.add.at(counts, (ids[:-1].numpy(), ids[1:].numpy()), 1)
    seen = counts > 0
    conditional = np.divide(counts, counts.sum(1, keepdims=True), where=seen, out=np.ones_like(counts))
    entropy = -(counts * np.log(conditional)).sum() / counts.sum()

    model = BigramLanguageModel(65).double()
    logits = np.where(seen, np.log(np.where(seen, counts, 1)), -1e4)
    model.token_embedding_table.weight.data = torch.from_numpy(logits)
    with torch.no_grad():
        _, loss = model(ids[:-1].view(100, -1), ids[1:].view(100, -1))
    assert loss.item() == pytest.approx(entropy, abs=1e-9)


def test_bigram_learns_shakespeare_below_the_loss_of_knowing_nothing(shakespeare_ids):
    train, val = train_val_split(shakespeare_ids)
    generator = torch.Generator().manual_seed(1337)
    torch.manual_seed(1337)
    model = BigramLanguageModel(65)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2)
    for _ in range(300):
        _, loss = model(*get_batch(train, 32, 8, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        _, loss = model(*get_batch(val, 500, 8, generator))
    # ln 65 = 4.17 without any knowledge; no table does much better than 2.45 on all of the text
    assert 2.3 < loss.item() < math.log(65) - 1.2


def test_bigram_draws_by_the_last_token_alone():
    model = BigramLanguageModel(3)
    probabilities = torch.tensor([[0.1, 0.2, 0.7], [0.0, 1.0, 0.0], [0.6, 0.4, 0.0]])
    model.token_embedding_table.weight.data = probabilities.log()
    prompts = torch.tensor([[1, 0], [1, 1], [0, 2]]).repeat_interleave(5000, dim=0)
    before = prompts.clone()
    ids = model.generate(prompts, max_new_tokens=1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ids[:, :2], before) and torch.equal(prompts, before)
    frequencies = F.one_hot(ids[:, 2], 3).view(3, 5000, 3).double().mean(dim=1)
    torch.testing.assert_close(frequencies, probabilities.double(), rtol=0, atol=0.02)


def test_bigram_chains_follow_the_table():
    model = BigramLanguageModel(4)
    model.token_embedding_table.weight.data = (torch.eye(4).roll(1, dims=1) + 1e-30).log()  # a circle
    ids = model.generate(torch.tensor([[2], [0]]), max_new_tokens=6)
    assert ids.tolist() == [[2, 3, 0, 1, 2, 3, 0], [0, 1, 2, 3, 0, 1, 2]]
    assert not ids.requires_grad


def test_bigram_draws_from_the_generator():
    model = BigramLanguageModel(50)
    prompt = torch.zeros(2, 1, dtype=torch.int64)
    before = torch.get_rng_state()
    one, same, other = (model.generate(prompt, 20, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
