"""Hidden checks of chapter 2: windows, batches, embeddings, word vectors and the bigram model."""

import torch
from torch import nn

from grader.checks import check

SHARED = ("refusal", "storage", "starts_of", "unique_ids")


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


def storage(tensor):
    """Where in memory a tensor's numbers are kept: a view has the same place as what it looks at."""
    return tensor.untyped_storage().data_ptr()


def unique_ids(draw, n):
    """n different ids in any order, on the CPU, so that an id tells its place in the text."""
    return 1000 + draw.permutation(n).cpu()


def starts_of(ids, loader):
    """At which places of the text the windows of each batch begin."""
    place = {i: n for n, i in enumerate(ids.tolist())}
    return [[place[i] for i in x[:, 0].tolist()] for x, _ in loader]


# train_val_split


@check("train_val_split")
def parts_of_fresh_sizes(inputs, draw):
    """The first int(fraction · N) ids, then the others, for any N and any fraction."""
    texts = [draw.integers(0, 99, draw.integer(2, 40)) for _ in range(6)]
    return [inputs.train_val_split(ids, draw.number(0.05, 0.95)) for ids in texts]


@check("train_val_split")
def the_default_fraction(inputs, draw):
    """Nine tenths, rounded down, for training."""
    ids = draw.integers(0, 99, 10 * draw.integer(1, 9) + 7)
    return [inputs.train_val_split(ids), inputs.train_val_split(ids[:5]), inputs.train_val_split(ids[:1])]


@check("train_val_split")
def the_split_copies_nothing(inputs, draw):
    """Both parts look at the memory of ids, which stay as they were."""
    ids = draw.integers(0, 99, 30)
    before = ids.clone()
    train, val = inputs.train_val_split(ids, draw.number(0.2, 0.8))
    return [storage(train) == storage(ids), storage(val) == storage(ids), torch.equal(ids, before)]


@check("train_val_split")
def fractions_at_the_ends(inputs, draw):
    """Every fraction strictly between 0 and 1 is taken; 0, 1 and what lies beyond are ValueErrors."""
    ids = draw.integers(0, 99, 1000)
    refused = [0, 1, 0.0, 1.0, -draw.number(0.001, 2), 1 + draw.number(0.001, 99)]
    taken = [1e-9, 0.001, 0.999]
    return [
        [refusal(inputs.train_val_split, ids, fraction) for fraction in refused],
        [[len(part) for part in inputs.train_val_split(ids, fraction)] for fraction in taken],
    ]


# SlidingWindowDataset


@check("SlidingWindowDataset")
def windows_of_fresh_ids(inputs, draw):
    """dataset[i] is the stretch of T ids from i · stride and the same stretch one on, for all that fit."""
    seen = []
    for _ in range(8):
        T, stride = draw.integer(1, 7), draw.integer(1, 9)
        ids = draw.integers(0, 500, T + draw.integer(1, 30))
        dataset = inputs.SlidingWindowDataset(ids, T, stride)
        seen.append([len(dataset), [(x, y) for x, y in (dataset[i] for i in range(len(dataset)))]])
    return seen


@check("SlidingWindowDataset")
def the_number_of_windows(inputs, draw):
    """(N − T − 1) // stride + 1, at every remainder of the division."""
    T, stride = draw.integer(1, 8), draw.integer(2, 7)
    return [len(inputs.SlidingWindowDataset(torch.arange(n), T, stride)) for n in range(T + 1, T + 30)]


@check("SlidingWindowDataset")
def windows_of_a_list(inputs, draw):
    """A list and a range are as good as a tensor, and give int64."""
    ids = draw.integers(0, 500, 20).tolist()
    before = list(ids)
    one = inputs.SlidingWindowDataset(ids, 4, 3)
    other = inputs.SlidingWindowDataset(range(50, 70), 5, 5)
    return [one[0], one[len(one) - 1], other[1], len(one), len(other), ids == before]


@check("SlidingWindowDataset")
def windows_beyond_the_last(inputs, draw):
    """Asking for a window that does not exist is an IndexError, so that a loop over the dataset ends."""
    T, stride = draw.integer(1, 6), draw.integer(1, 6)
    dataset = inputs.SlidingWindowDataset(draw.integers(0, 500, 30), T, stride)
    n = len(dataset)
    beyond = []
    for i in (n, n + 1, n + 100):
        try:
            beyond.append(dataset[i])
        except IndexError:
            beyond.append("IndexError")
    return [beyond, dataset[n - 1], [y for _, y in dataset]]


@check("SlidingWindowDataset")
def windows_share_the_text(inputs, draw):
    """Every window looks at the memory of ids: input and target, first and last."""
    ids = draw.integers(0, 500, 100)
    dataset = inputs.SlidingWindowDataset(ids, draw.integer(5, 20), 1)
    windows = [dataset[i] for i in (0, 40, len(dataset) - 1)]
    return [[storage(x) == storage(ids), storage(y) == storage(ids)] for x, y in windows]


@check("SlidingWindowDataset")
def windows_that_do_not_fit(inputs, draw):
    """T + 1 ids make one window, T ids are a ValueError; so are a T or a stride below 1."""
    T = draw.integer(2, 9)
    ids = draw.integers(0, 500, T + 1)
    asked = [(ids, T, 1), (ids, T, 50), (ids[:-1], T, 1), (ids[:0], T, 1), (ids, T + 1, 1), (ids, 1, 1)]
    asked += [(ids, 0, 1), (ids, -1, 1), (ids, 1, 0), (ids, 1, -2)]
    return [refusal(inputs.SlidingWindowDataset, *one) for one in asked]


@check("SlidingWindowDataset")
def windows_again(inputs, draw):
    """A window is the same when it is asked for again, in any order, and two datasets are independent."""
    ids, others = draw.integers(0, 500, 30), draw.integers(0, 500, 30)
    one, other = inputs.SlidingWindowDataset(ids, 4, 2), inputs.SlidingWindowDataset(others, 6, 5)
    return [one[3], other[1], one[1], one[3], len(one), len(other)]


# create_dataloader


@check("create_dataloader")
def batches_of_fresh_ids(inputs, draw):
    """Batches in the order of the text: (B, T) inputs, and targets one token on."""
    T, stride, B = draw.integer(2, 6), draw.integer(1, 6), draw.integer(2, 5)
    ids = draw.integers(0, 500, 50)
    loader = inputs.create_dataloader(ids, B, T, stride, shuffle=False)
    return [len(loader), [(x, y) for x, y in loader], [y for _, y in loader]]


@check("create_dataloader")
def a_last_batch_that_is_smaller(inputs, draw):
    """It is left out by default, and kept with drop_last=False; a whole last batch always stays."""
    T, B = draw.integer(2, 6), draw.integer(3, 6)
    ids = draw.integers(0, 500, 11 * T + 1)
    seen = []
    for windows in (B - 1, B, B + 1, 2 * B):
        text = ids[: windows * T + 1]
        dropped = inputs.create_dataloader(text, B, T, T, shuffle=False)
        kept = inputs.create_dataloader(text, B, T, T, shuffle=False, drop_last=False)
        seen.append([[x for x, _ in dropped], [x for x, _ in kept]])
    return seen


@check("create_dataloader")
def shuffled_passes(inputs, draw):
    """Shuffled, a pass visits every window once, in an order of its own; targets stay with their inputs."""
    ids = unique_ids(draw, 121)
    loader = inputs.create_dataloader(ids, 8, 3, 3, drop_last=False, generator=torch.Generator())
    first, second = starts_of(ids, loader), starts_of(ids, loader)
    rank = ids.argsort()
    follows = all(torch.equal(rank[y - 1000], rank[x - 1000] + 1) for x, y in loader)
    return [
        [sorted(start for batch in one for start in batch) for one in (first, second)],
        first == second,
        follows,
    ]


@check("create_dataloader")
def the_generator_decides_the_order(inputs, draw):
    """The same seed, the same passes; another seed, others; and shuffling is the default."""
    ids, seed = unique_ids(draw, 100), draw.integer(0, 1000)
    orders = []
    for one in (seed, seed, seed + 1):
        loader = inputs.create_dataloader(ids, 4, 2, 2, generator=torch.Generator().manual_seed(one))
        orders.append([starts_of(ids, loader), starts_of(ids, loader)])
    return [
        orders[0] == orders[1],
        orders[0] == orders[2],
        orders[0][0] == orders[0][1],
        len(orders[0][0]),
    ]


@check("create_dataloader")
def without_a_generator(inputs, draw):
    """Without a generator torch's global one decides: the same after the same seed, else another order."""
    ids = unique_ids(draw, 100)
    orders = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        orders.append(starts_of(ids, inputs.create_dataloader(ids, 4, 2, 2)))
    return [
        orders[0] == orders[1],
        orders[0] == orders[2],
        orders[0] == [sorted(batch) for batch in orders[0]],
    ]


@check("create_dataloader")
def a_list_of_ids_in_batches(inputs, draw):
    """A list works too; too few ids, or a stride below 1, are ValueErrors."""
    ids = draw.integers(0, 500, 20).tolist()
    loader = inputs.create_dataloader(ids, batch_size=3, context_length=4, stride=2, shuffle=False)
    return [
        [x for x, _ in loader],
        *(refusal(inputs.create_dataloader, *a) for a in ((ids, 1, 20, 1), (ids, 1, 4, 0))),
    ]


# get_batch


@check("get_batch")
def rows_are_stretches_of_the_text(inputs, draw):
    """Each row is a window of the text and its targets the same window one on: (B, T), int64."""
    seen, generator = [], torch.Generator()
    for B in (1, 1, 2, 3, 6):
        T = draw.integer(1, 9)
        ids = unique_ids(draw, T + 1 + draw.integer(1, 20))
        x, y = inputs.get_batch(ids, B, T, generator)
        rank = ids.argsort()
        at = rank[x - 1000]
        seen.append([x.dtype == y.dtype == torch.int64, at - at[:, :1], rank[y - 1000] - at])
    return seen


@check("get_batch")
def the_only_window(inputs, draw):
    """With T + 1 ids every row is the one window there is."""
    T = draw.integer(1, 9)
    return inputs.get_batch(draw.integers(0, 500, T + 1).cpu(), batch_size=3, context_length=T)


@check("get_batch")
def each_place_equally_often(inputs, draw):
    """Every place is drawn with the same probability, the first and the last included."""
    T, places = draw.integer(2, 6), draw.integer(3, 7)
    ids = unique_ids(draw, T + places)
    x, _ = inputs.get_batch(ids, 3000, T, torch.Generator().manual_seed(draw.integer(0, 1000)))
    return ids.argsort()[x - 1000]


@each_place_equally_often.accept
def _(seen, draw):
    _, places = draw.integer(2, 6), draw.integer(3, 7)
    if not torch.equal(seen - seen[:, :1], torch.arange(seen.shape[1]).expand_as(seen)):
        return "The rows should be stretches of the text."
    starts = seen[:, 0]
    if starts.min() < 0 or starts.max() >= places:
        return "There is no such place."
    counts, p = starts.bincount(minlength=places), 1 / places
    changes = (starts[1:] != starts[:-1]).double().mean()  # neighbouring rows have nothing in common
    if (counts - 3000 * p).abs().max() < 6.5 * (3000 * p * (1 - p)) ** 0.5 and abs(changes - (1 - p)) < 0.06:
        return None
    return f"How often each place was drawn, of 3000: {counts.tolist()}; expected about {3000 * p:.0f} each."


@check("get_batch")
def the_places_that_come(inputs, draw):
    """In many rows every place comes that leaves room for the window and its last target, and no other."""
    T = draw.integer(2, 6)
    ids = unique_ids(draw, T + 4)
    x, y = inputs.get_batch(ids, 800, T, torch.Generator().manual_seed(2))
    return [ids.argsort()[x[:, 0] - 1000].unique(), ids.argsort()[y[:, -1] - 1000].unique()]


@check("get_batch")
def rows_are_drawn_each_by_itself(inputs, draw):
    """The rows of a batch begin at different places, and so do two batches of one generator."""
    ids, seed = unique_ids(draw, 5000), draw.integer(0, 1000)
    generator = torch.Generator().manual_seed(seed)
    first, second = (inputs.get_batch(ids, 50, 4, generator)[0] for _ in range(2))
    again, _ = inputs.get_batch(ids, 50, 4, torch.Generator().manual_seed(seed))
    return [len(first[:, 0].unique()) > 30, torch.equal(first, second), torch.equal(first, again)]


@check("get_batch")
def where_the_randomness_comes_from(inputs, draw):
    """A generator that is given is the only one used; without one torch's global generator is."""
    ids = draw.integers(0, 500, 1000).cpu()
    before = torch.get_rng_state()
    inputs.get_batch(ids, 4, 8, torch.Generator())
    untouched = torch.equal(torch.get_rng_state(), before)
    batches = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        batches.append(inputs.get_batch(ids, 4, 8)[0])
    return [untouched, torch.equal(batches[0], batches[1]), torch.equal(batches[0], batches[2])]


@check("get_batch")
def a_text_too_short_for_a_batch(inputs, draw):
    """T + 1 ids are enough, fewer are a ValueError; ids stay as they were."""
    T = draw.integer(2, 9)
    ids = draw.integers(0, 500, T + 1).cpu()
    before = ids.clone()
    asked = [(n, T) for n in (0, 1, T - 1, T, T + 1)]
    asked += [(T, T - 1), (T - 1, T - 1)]  # of T and T - 1 one is odd
    return [
        [refusal(inputs.get_batch, ids[:n], 2, length) for n, length in asked],
        torch.equal(ids, before),
    ]


# embed


@check("embed")
def vectors_of_fresh_ids(inputs, draw):
    """Token vector plus position vector, (B, T, C), for short rows and for rows of the full context."""
    tok_emb, pos_emb = draw.fill(nn.Embedding(11, 5)), draw.fill(nn.Embedding(7, 5))
    return [
        inputs.embed(draw.integers(0, 11, B, T), tok_emb, pos_emb)
        for B, T in ((1, 1), (3, 4), (2, 7), (7, 2))
    ]


@check("embed")
def each_row_by_itself(inputs, draw):
    """What stands in one row changes nothing in another, nor what follows in the same row."""
    tok_emb, pos_emb = draw.fill(nn.Embedding(9, 4)), draw.fill(nn.Embedding(9, 4))
    ids = draw.integers(0, 9, 3, 6)
    whole = inputs.embed(ids, tok_emb, pos_emb)
    return [
        whole[1:2] - inputs.embed(ids[1:2], tok_emb, pos_emb),
        whole[:, :3] - inputs.embed(ids[:, :3], tok_emb, pos_emb),
    ]


@check("embed")
def gradients_of_both_tables(inputs, draw):
    """Each table's rows get the gradient of the places that used them; tables and ids stay."""
    tok_emb, pos_emb = draw.fill(nn.Embedding(6, 3)), draw.fill(nn.Embedding(8, 3))
    ids, weights = draw.integers(0, 6, 4, 5), draw.normal(4, 5, 3)
    before = [ids.clone(), tok_emb.weight.detach().clone()]
    (inputs.embed(ids, tok_emb, pos_emb) * weights).sum().backward()
    stay = [torch.equal(ids, before[0]), torch.equal(tok_emb.weight, before[1])]
    return [tok_emb.weight.grad, pos_emb.weight.grad, stay]


@check("embed")
def rows_longer_than_the_table(inputs, draw):
    """As many positions as there are vectors are fine; one more is a ValueError that gives both numbers."""
    positions = draw.integer(31, 50)
    tables = nn.Embedding(10, 2), nn.Embedding(positions, 2)
    far = 1000 - positions
    row = torch.zeros(2, far).long()
    return [
        refusal(inputs.embed, row[:, :positions], *tables),
        refusal(inputs.embed, row[:, : positions + 1], *tables),
        refusal(inputs.embed, row, *tables, mentions=[far, positions]),
    ]


@check("embed")
def ids_outside_of_the_table(inputs, draw):
    """Ids from 0 to V − 1 are fine; any other, wherever it stands, is a ValueError that gives it and V."""
    V, T = draw.integer(100, 200), draw.integer(2, 6)
    tables = nn.Embedding(V, 2), nn.Embedding(9, 2)
    seen = []
    for wrong in (0, V - 1, V, V + 1, 9999 - V, -1, -V, -V - 1, -7000):
        ids = draw.integers(0, V, 3, T).cpu()
        ids[draw.integer(0, 3), draw.integer(0, T)] = wrong
        seen.append(refusal(inputs.embed, ids, *tables, mentions=[wrong, V]))
        seen.append(refusal(inputs.embed, torch.tensor([[wrong]]), *tables))
    return seen


# cosine_similarity


@check("cosine_similarity", forbidden=("F.cosine_similarity", "nn.CosineSimilarity"))
def cosines_of_fresh_vectors(inputs, draw):
    """The cosine of the angle, for single vectors, rows of vectors, and shapes that broadcast."""
    shapes = [
        ((8,), (8,)),
        ((3, 8), (3, 8)),
        ((8,), (5, 8)),
        ((5, 8), (8,)),
        ((4, 1, 3), (1, 2, 3)),
        ((6, 1), (6, 1)),
    ]
    return [inputs.cosine_similarity(draw.normal(*a), draw.normal(*b)) for a, b in shapes]


@check("cosine_similarity")
def cosines_of_any_lengths(inputs, draw):
    """Neither vector's length counts; turning one round changes the sign; the order does not matter."""
    a, b = draw.normal(5, 4), draw.normal(5, 4)
    pairs = [
        (1000 * a, b),
        (a, 0.001 * b),
        (0.001 * a, 0.001 * b),
        (-3 * a, b),
        (b, a),
        (a, a),
        (a, -0.01 * a),
    ]
    return [inputs.cosine_similarity(one, other) for one, other in pairs]


@check("cosine_similarity")
def cosines_with_zeros(inputs, draw):
    """Where one of the vectors is zeros the cosine is 0, and the others are as they are."""
    a, b = draw.normal(4, 3), draw.normal(4, 3)
    a[1], b[2], a[3], b[3] = 0, 0, 0, 0
    return [
        inputs.cosine_similarity(a, b),
        inputs.cosine_similarity(a[3], b),
        inputs.cosine_similarity(a[3], b[3]),
    ]


@check("cosine_similarity")
def cosines_stay_in_their_range(inputs, draw):
    """No rounding carries a cosine above 1 or below −1."""
    a, factor = draw.normal(3000, 5), draw.uniform(3000, 1, low=0.1, high=3.0)
    same, opposite = inputs.cosine_similarity(a, factor * a), inputs.cosine_similarity(-factor * a, a)
    return [(same > 1).any(), (opposite < -1).any(), (same > 0.9999).all(), (opposite < -0.9999).all()]


@check("cosine_similarity")
def cosines_leave_their_vectors(inputs, draw):
    """The vectors stay as they were, and a second call gives the same."""
    a, b = draw.normal(3, 4), draw.normal(3, 4)
    before = [a.clone(), b.clone()]
    once, again = inputs.cosine_similarity(a, b), inputs.cosine_similarity(a, b)
    return [once, again, torch.equal(a, before[0]), torch.equal(b, before[1])]


# analogy


@check("analogy")
def answers_of_fresh_vectors(inputs, draw):
    """The best words with their cosines, for vectors of very different lengths."""
    words = ["w" + str(i) for i in draw.permutation(8).tolist()]
    seen = []
    for n in (1, 2, 3):
        vectors = draw.normal(8, 5) * draw.uniform(8, 1, low=0.1, high=9.0)
        answers = inputs.analogy(words, vectors, words[:n], words[n : n + 2], topn=3)
        seen.append([[word for word, _ in answers], draw.tensor([score for _, score in answers])])
    return seen


@check("analogy")
def questions_without_negatives(inputs, draw):
    """One positive word asks for its neighbours; only negative ones for what lies opposite."""
    words, vectors = list("abcdefg"), draw.normal(7, 4)
    seen = []
    for positive, negative in ((["c"], []), ([], ["c"]), (["a", "b", "c"], []), ([], ["a", "b"])):
        answers = inputs.analogy(words, vectors, positive, negative, 2)
        seen.append([[word for word, _ in answers], draw.tensor([score for _, score in answers])])
    return seen


@check("analogy")
def the_question_is_no_answer(inputs, draw):
    """No word of the question comes back, positive or negative, however near it is."""
    words = list("abcdef")
    near = draw.normal(1, 4) + 0.1 * draw.normal(6, 4)  # all words point much the same way
    asked = [(["a", "b"], ["c"]), (["d"], ["e", "f"]), (["f"], []), (["a", "c", "e"], ["b"])]
    return [sorted(w for w, _ in inputs.analogy(words, near, *one, topn=6)) for one in asked]


@check("analogy")
def how_many_answers(inputs, draw):
    """One by default, topn at most, and fewer when the words run out; best first."""
    words, vectors = list("abcdef"), draw.normal(6, 3)
    asked = [inputs.analogy(words, vectors, ["a", "b"], ["c"])]
    asked += [inputs.analogy(words, vectors, ["a", "b"], ["c"], topn) for topn in (1, 2, 3, 4, 99)]
    sorted_down = [[s for _, s in one] == sorted((s for _, s in one), reverse=True) for one in asked]
    return [[[word for word, _ in one] for one in asked], sorted_down]


@check("analogy")
def no_word_is_left(inputs, draw):
    """Where all words are in the question, there is no answer; not where there is only one word, either."""
    alone = inputs.analogy(["a"], draw.normal(1, 3), ["a"], [])
    return [alone, inputs.analogy(["a", "b"], draw.normal(2, 3), ["a"], ["b"], topn=2)]


@check("analogy")
def the_form_of_an_answer(inputs, draw):
    """A list of (word, float): the word as it stands in words, its cosine as a plain number."""
    vectors = draw.tensor([[2.0, 0.0], [0.0, 3.0], [5.0, 5.0], [-1.0, 0.5]])
    return inputs.analogy(("ab", "cd", "ef", "gh"), vectors, ("ab", "cd"), (), 2)


@check("analogy")
def words_without_vectors(inputs, draw):
    """An unknown word is a ValueError that names it, among the positive and among the negative words."""
    words, vectors = list("abcd"), draw.normal(4, 3)
    asked = [(["a", "xyzzy"], []), (["a"], ["xyzzy"]), (["xyzzy"], ["a"]), (["a"], ["b"])]
    return [refusal(inputs.analogy, words, vectors, *one, mentions=["xyzzy"]) for one in asked]


@check("analogy")
def the_question_changes_nothing(inputs, draw):
    """Words and vectors stay as they were."""
    words, vectors = list("abcde"), 3 * draw.normal(5, 3)
    before, positive, negative = vectors.clone(), ["a", "b"], ["c"]
    inputs.analogy(words, vectors, positive, negative)
    return [torch.equal(vectors, before), words, positive, negative]


# BigramLanguageModel


@check("BigramLanguageModel")
def the_table(inputs, draw):
    """One table of V rows of V logits, trained, and nothing else."""
    model = inputs.BigramLanguageModel(draw.integer(3, 30))
    parameters = {name: [list(p.shape), p.requires_grad] for name, p in model.named_parameters()}
    return [parameters, isinstance(model.token_embedding_table, nn.Embedding)]


@check("BigramLanguageModel")
def rows_of_logits(inputs, draw):
    """logits[b, t] is the row of token ids[b, t], with targets and without; then the loss is None."""
    model = draw.fill(inputs.BigramLanguageModel(7))
    ids = draw.integers(0, 7, 3, 5)
    logits, loss = model(ids)
    with_targets, _ = model(ids, draw.integers(0, 7, 3, 5))
    return [logits, loss, with_targets, model(ids[:1, :1])[0]]


@check("BigramLanguageModel")
def losses_of_fresh_batches(inputs, draw):
    """The mean of −log softmax at the targets, over all rows and positions: a 0-d tensor."""
    model = draw.fill(inputs.BigramLanguageModel(6))
    model.token_embedding_table.weight.data.mul_(4)
    return [
        model(draw.integers(0, 6, B, T), draw.integers(0, 6, B, T))[1]
        for B, T in ((1, 1), (2, 5), (5, 2), (3, 1))
    ]


@check("BigramLanguageModel")
def losses_of_large_logits(inputs, draw):
    """The loss stays exact when logits are in the hundreds: the softmax must not overflow."""
    model = draw.fill(inputs.BigramLanguageModel(6))
    model.token_embedding_table.weight.data.mul_(500)
    return model(draw.integers(0, 6, 3, 4), draw.integers(0, 6, 3, 4))[1]


@check("BigramLanguageModel")
def a_model_that_knows_nothing(inputs, draw):
    """With equal logits the loss is ln V, whatever the targets are."""
    V = draw.integer(3, 90)
    model = inputs.BigramLanguageModel(V).to(draw.device)
    model.token_embedding_table.weight.data.fill_(draw.number(-2, 2))
    return model(draw.integers(0, V, 2, 9), draw.integers(0, V, 2, 9))[1]


@check("BigramLanguageModel")
def the_gradient_of_the_table(inputs, draw):
    """Only the rows of tokens that came have a gradient: probabilities less the targets, as a mean."""
    model = draw.fill(inputs.BigramLanguageModel(6))
    ids, targets = draw.integers(0, 5, 2, 3), draw.integers(0, 6, 2, 3)
    before = [ids.clone(), targets.clone()]
    model(ids, targets)[1].backward()
    stay = torch.equal(ids, before[0]) and torch.equal(targets, before[1])
    return [model.token_embedding_table.weight.grad, stay]


@check("BigramLanguageModel")
def a_chain_without_choice(inputs, draw):
    """Where each token has one successor, every row follows its own last token through the table."""
    model = draw.fill(inputs.BigramLanguageModel(8))
    successors = draw.permutation(8)
    model.token_embedding_table.weight.data.copy_(1000 * torch.eye(8, device=draw.device)[successors])
    ids = draw.integers(0, 8, 5, 3)
    before = ids.clone()
    grown = [model.generate(ids, n) for n in (0, 1, 2, 9)]
    return [grown, model.generate(ids[:, :1], max_new_tokens=4), torch.equal(ids, before)]


@check("BigramLanguageModel")
def each_token_with_its_probability(inputs, draw):
    """The next token is drawn from the softmax of the last position's logits, for each row by itself."""
    model = draw.fill(inputs.BigramLanguageModel(4))
    model.token_embedding_table.weight.data.mul_(2)
    prompt = draw.permutation(4)[:, None].repeat_interleave(2000, dim=0)
    first = draw.integers(0, 4, 8000, 1)
    new = model.generate(torch.cat([first, prompt], dim=1), 2, draw.generator())
    return {"ids": new, "table": model.token_embedding_table.weight}


@each_token_with_its_probability.accept
def _(seen, draw, expected):
    table, ids = expected["table"].double(), seen["ids"]
    if not torch.equal(seen["table"], expected["table"]):
        return "The table should stay as it was."
    if not torch.equal(ids[:, :2], expected["ids"][:, :2]):
        return "Each row should begin with what was given."
    if ids.min() < 0 or ids.max() > 3:
        return "There is no such token."
    for place in (1, 2):
        for token in range(4):
            followers = ids[ids[:, place] == token, place + 1].bincount(minlength=4)
            n, p = followers.sum(), table[token].softmax(dim=0)
            if ((followers - n * p).abs() > 6.5 * (n * p * (1 - p)).sqrt() + 5).any():
                expected_counts = [round(count) for count in (n * p).tolist()]
                return f"After {token} came 0 to 3 {followers.tolist()} times; expected {expected_counts}."
    return None


@check("BigramLanguageModel")
def where_the_draws_come_from(inputs, draw):
    """A generator that is given is the only one used; without one torch's global generator is."""
    model = draw.fill(inputs.BigramLanguageModel(40))
    prompt = draw.integers(0, 40, 3, 2)
    before = torch.get_rng_state()
    one, same, other = (
        model.generate(prompt, 12, torch.Generator(prompt.device).manual_seed(seed)) for seed in (7, 7, 8)
    )
    untouched = torch.equal(torch.get_rng_state(), before)
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(model.generate(prompt, 12))
    same_global, other_global = torch.equal(drawn[0], drawn[1]), torch.equal(drawn[0], drawn[2])
    return [untouched, torch.equal(one, same), torch.equal(one, other), same_global, other_global]


@check("BigramLanguageModel")
def a_step_of_learning(inputs, draw):
    """Ten steps down the gradient change the table so; generating in between leaves no trace."""
    model = draw.fill(inputs.BigramLanguageModel(5))
    ids, targets = draw.integers(0, 5, 4, 6), draw.integers(0, 5, 4, 6)
    table = model.token_embedding_table.weight
    for _ in range(10):
        table.grad = None
        model.generate(ids, 1)
        model(ids, targets)[1].backward()
        table.data -= 2.0 * table.grad
    return [table, model(ids, targets)[1], torch.is_grad_enabled(), model.training]
