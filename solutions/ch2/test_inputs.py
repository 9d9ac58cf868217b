"""The checks of chapter 2 that you have: batches out of a text, and vectors out of ids.

To try a check in a Python shell, in the folder that holds exercises/:

    from exercises.ch2 import inputs; from exercises.ch2.test_inputs import *
    from grader.draw import Draw; from grader.seeds import seed_for
    draw = Draw(seed_for("public", "ch2", "the_first_part_trains"))

Then `the_first_part_trains.function(inputs, draw)` is what your code gives. `draw` makes
the inputs, `draw.fill(module)` sets a module's parameters; the README tells of `operators`,
`steps` and `folder`.
"""

import torch
from torch import nn

from grader.checks import check

SHARED = ("refusal", "storage", "table", "WORDS", "VECTORS")

WORDS = ["king", "queen", "man", "woman", "apple", "pear"]
VECTORS = [[3.0, 3.2], [-0.5, 0.6], [2.0, 0.1], [-0.9, -0.1], [0.1, -1.0], [-3.0, -8.0]]


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


def table(embedding, rows):
    """Put these rows into an embedding's table."""
    embedding.weight.data.copy_(torch.tensor(rows))
    return embedding


# train_val_split


@check("train_val_split")
def the_first_part_trains(inputs, draw):
    """The first int(0.6 · 7) = 4 ids train, the other 3 validate; their order stays."""
    return inputs.train_val_split(draw.tensor([10, 11, 12, 13, 14, 15, 16]), train_fraction=0.6)


@check("train_val_split", needs="the_first_part_trains")
def nine_tenths_train(inputs):
    """Without a fraction nine tenths train, rounded down: of tiny Shakespeare 1,003,854 and 111,540."""
    sizes = {}
    for n in (10, 15, 19, 1_115_394):
        train, val = inputs.train_val_split(torch.arange(n))
        sizes[n] = [len(train), len(val)]
    return sizes


@check("train_val_split", needs="the_first_part_trains")
def both_parts_are_views(inputs, draw):
    """Nothing is copied: both parts look at the memory of ids."""
    ids = draw.integers(0, 65, 30)
    train, val = inputs.train_val_split(ids, 0.5)
    views = {"train": storage(train) == storage(ids), "val": storage(val) == storage(ids)}
    return {"views": views, "train": train, "val": val}


@check("train_val_split", needs="the_first_part_trains")
def a_fraction_lies_between_0_and_1(inputs):
    """A fraction of 0, of 1, or beyond is a ValueError."""
    ids = torch.arange(10)
    return {fraction: refusal(inputs.train_val_split, ids, fraction) for fraction in (0.0, 1.0, -0.5, 1.5)}


# SlidingWindowDataset


@check("SlidingWindowDataset")
def inputs_and_targets(inputs):
    """A window and the same window one token on: dataset[i] begins at i · stride."""
    dataset = inputs.SlidingWindowDataset([10, 11, 12, 13, 14, 15, 16, 17], context_length=3, stride=2)
    return [dataset[0], dataset[1]]


@check("SlidingWindowDataset", needs="inputs_and_targets")
def how_many_windows_fit(inputs):
    """len is the number of windows that fit whole, their targets included; the last one counts too."""
    sizes = [(6, 3, 2), (7, 3, 2), (8, 3, 2), (9, 4, 4), (10, 4, 1), (5, 4, 7), (20, 4, 6)]
    return {
        f"N={n}, T={T}, stride={stride}": len(inputs.SlidingWindowDataset(torch.arange(n), T, stride))
        for n, T, stride in sizes
    }


@check("SlidingWindowDataset", needs="how_many_windows_fit")
def all_windows_in_their_order(inputs, draw):
    """Going through the dataset gives each window once, in the order of the text, and then ends."""
    dataset = inputs.SlidingWindowDataset(
        draw.tensor([5, 3, 8, 1, 9, 2, 7, 4, 6]), context_length=2, stride=3
    )
    return [(x, y) for x, y in dataset]


@check("SlidingWindowDataset", needs="inputs_and_targets")
def windows_are_views(inputs, draw):
    """Taking a window copies nothing: input and target look at the memory of ids."""
    ids = draw.integers(0, 65, 40)
    x, y = inputs.SlidingWindowDataset(ids, context_length=8, stride=4)[2]
    return {"input": storage(x) == storage(ids), "target": storage(y) == storage(ids)}


@check("SlidingWindowDataset", needs="inputs_and_targets")
def windows_that_cannot_be(inputs):
    """Fewer than T + 1 ids, a context_length or a stride below 1: ValueError. T + 1 ids are enough."""
    asked = {"4 ids": (4, 4, 1), "5 ids": (5, 4, 1), "context_length 0": (9, 0, 1), "stride 0": (9, 4, 0)}
    return {
        what: refusal(inputs.SlidingWindowDataset, list(range(n)), T, stride)
        for what, (n, T, stride) in asked.items()
    }


# create_dataloader


@check("create_dataloader", needs="how_many_windows_fit")
def batches_in_the_order_of_the_text(inputs):
    """Without shuffling, batch after batch of windows follows the text, inputs and targets (B, T)."""
    loader = inputs.create_dataloader(range(9), batch_size=2, context_length=4, stride=4, shuffle=False)
    return [(x, y) for x, y in loader]


@check("create_dataloader", needs="batches_in_the_order_of_the_text")
def the_last_batch(inputs):
    """A last batch with fewer than B windows is left out, or kept when drop_last is False."""
    kept = inputs.create_dataloader(range(20), 2, context_length=4, stride=3, shuffle=False, drop_last=False)
    dropped = inputs.create_dataloader(range(20), 4, context_length=4, stride=3, shuffle=False)
    return {
        "kept, the windows begin at": [x[:, 0].tolist() for x, _ in kept],
        "dropped, the windows begin at": [x[:, 0].tolist() for x, _ in dropped],
    }


@check("create_dataloader", needs="batches_in_the_order_of_the_text")
def shuffled_windows(inputs):
    """By default each pass has every window once, in another order, which the generator decides."""
    passes = []
    for seed in (1, 1, 2):
        generator = torch.Generator().manual_seed(seed)
        loader = inputs.create_dataloader(range(121), 5, context_length=4, stride=4, generator=generator)
        passes += [[x[:, 0].tolist() for x, _ in loader], [x[:, 0].tolist() for x, _ in loader]]
    return {
        "the windows begin at": sorted(start for batch in passes[0] for start in batch),
        "first pass as second": passes[0] == passes[1],
        "another generator of the same seed": passes[2:4] == passes[0:2],
        "a generator of another seed": passes[4:6] == passes[0:2],
    }


# get_batch


@check("get_batch")
def only_one_place_to_begin(inputs):
    """With T + 1 ids there is one window; its targets are the tokens that follow."""
    return inputs.get_batch(torch.tensor([3, 1, 4, 1, 5]), batch_size=2, context_length=4)


@check("get_batch", needs="only_one_place_to_begin")
def rows_run_on(inputs, draw):
    """Each row is one stretch of the text, and each target is the token after its input."""
    x, y = inputs.get_batch(torch.arange(50), batch_size=3, context_length=6, generator=torch.Generator())
    return {"how far from the row's first token": x - x[:, :1], "how far from input to target": y - x}


@check("get_batch", needs="only_one_place_to_begin")
def every_place_is_drawn(inputs):
    """Of 8 ids, windows of 3 can begin at 0 to 4. In 600 rows each of these comes, and no other."""
    x, _ = inputs.get_batch(torch.arange(8), batch_size=600, context_length=3, generator=torch.Generator())
    return x[:, 0].unique()


@check("get_batch", needs="only_one_place_to_begin")
def a_generator_decides_the_batch(inputs):
    """The same seed gives the same batch, the next call another; torch's global generator is not used."""
    before = torch.get_rng_state()
    generator, same = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    ids = torch.arange(1000)
    first, again, second = (inputs.get_batch(ids, 8, 4, g)[0] for g in (generator, same, generator))
    return {
        "the same seed, the same batch": torch.equal(first, again),
        "the next batch is the same": torch.equal(first, second),
        "the global generator is as before": torch.equal(torch.get_rng_state(), before),
    }


@check("get_batch", needs="only_one_place_to_begin")
def too_few_ids_for_a_batch(inputs):
    """A window with its last target needs T + 1 ids; fewer are a ValueError."""
    return [refusal(inputs.get_batch, torch.arange(n), 2, 4) for n in (0, 4, 5)]


# embed


@check("embed")
def token_plus_position(inputs, draw):
    """The vector of the token plus the vector of the place where it stands."""
    tok_emb = table(draw.fill(nn.Embedding(3, 2)), [[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])
    pos_emb = table(draw.fill(nn.Embedding(2, 2)), [[0.1, 0.2], [0.3, 0.4]])
    return inputs.embed(draw.tensor([[2, 1]]), tok_emb, pos_emb)


@check("embed", needs="token_plus_position")
def places_are_counted_along_each_row(inputs, draw):
    """Every row of the batch begins at position 0, and a short row uses the first positions."""
    tok_emb, pos_emb = draw.fill(nn.Embedding(4, 3)), draw.fill(nn.Embedding(6, 3))
    same_token = inputs.embed(draw.tensor([[1] * 5, [1] * 5, [2] * 5]), tok_emb, pos_emb)
    return same_token - tok_emb(draw.tensor([[1], [1], [2]]))


@check("embed", needs="token_plus_position")
def both_tables_learn(inputs, draw):
    """In both tables, each row that was used gets a gradient for each time it was."""
    tok_emb, pos_emb = draw.fill(nn.Embedding(4, 2)), draw.fill(nn.Embedding(5, 2))
    inputs.embed(draw.tensor([[1, 1, 3], [0, 1, 1]]), tok_emb, pos_emb).sum().backward()
    return {"tok_emb": tok_emb.weight.grad, "pos_emb": pos_emb.weight.grad}


@check("embed", needs="token_plus_position")
def what_cannot_be_embedded(inputs):
    """Too many positions, or an id outside of the vocabulary, is a ValueError that gives both numbers."""
    tok_emb, pos_emb = nn.Embedding(65, 2), nn.Embedding(32, 2)
    asked = {
        "33 positions": ([[0] * 33], "33", "32"),
        "99": ([[7, 99]], "99", "65"),
        "-77": ([[-77]], "-77", "65"),
    }
    return {
        what: refusal(inputs.embed, torch.tensor(ids), tok_emb, pos_emb, mentions=numbers)
        for what, (ids, *numbers) in asked.items()
    }


# cosine_similarity


@check("cosine_similarity", forbidden=("F.cosine_similarity", "nn.CosineSimilarity"))
def the_same_way_and_across(inputs, draw):
    """1 for two vectors that point the same way, 0 for two at a right angle, −1 for opposite ones."""
    return inputs.cosine_similarity(
        draw.tensor([3.0, 4.0]), draw.tensor([[6.0, 8.0], [4.0, -3.0], [-3.0, -4.0]])
    )


@check("cosine_similarity", needs="the_same_way_and_across")
def lengths_do_not_matter(inputs, draw):
    """A vector a thousand times as long, or as short, is as similar as before."""
    a, b = draw.normal(4, 6), draw.normal(4, 6)
    return {scale: inputs.cosine_similarity(scale * a, scale * b) for scale in (1.0, 1000.0, 0.001)}


@check("cosine_similarity", needs="the_same_way_and_across")
def leading_dimensions_broadcast(inputs, draw):
    """The last dimension is summed over, the others broadcast."""
    a, b = draw.normal(3, 1, 4), draw.normal(2, 4)
    return {
        "(3, 1, 4) and (2, 4)": inputs.cosine_similarity(a, b),
        "(4,) and (4,)": inputs.cosine_similarity(a[0, 0], b[0]),
    }


@check("cosine_similarity", needs="the_same_way_and_across")
def zeros_are_similar_to_nothing(inputs, draw):
    """A vector of zeros has the similarity 0 to anything, itself included; the other rows are as ever."""
    a, b = draw.tensor([[0.0, 0.0], [1.0, 2.0]]), draw.tensor([1.0, 2.0])
    return [
        inputs.cosine_similarity(a, b),
        inputs.cosine_similarity(b, a),
        inputs.cosine_similarity(a[0], a[0]),
    ]


@check("cosine_similarity", needs="the_same_way_and_across")
def never_beyond_1(inputs, draw):
    """Rounding must not carry a cosine out of [−1, 1]; arccos of 1.0000001 would be NaN."""
    a = draw.normal(2000, 7)
    similarity = inputs.cosine_similarity(a, a * draw.uniform(2000, 1, low=0.5))
    return {"one above 1": (similarity > 1).any(), "all about 1": (similarity > 0.9999).all()}


# analogy


@check("analogy", needs="the_same_way_and_across")
def king_minus_man_plus_woman(inputs, draw):
    """The word whose vector points most nearly the same way as king − man + woman, with its cosine."""
    vectors = draw.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, 0.0], [-1.0, 0.0], [0.0, -1.0]])
    return inputs.analogy(["king", "queen", "man", "woman", "apple"], vectors, ["king", "woman"], ["man"])


@check("analogy", needs="king_minus_man_plus_woman")
def the_words_asked_about_are_no_answers(inputs, draw):
    """The nearest word is often one of the question; it is left out, and the best of the others comes."""
    return [
        inputs.analogy(WORDS, draw.tensor(VECTORS), ["king"], []),
        inputs.analogy(WORDS, draw.tensor(VECTORS), ["king", "pear"], ["man"]),
    ]


@check("analogy", needs="king_minus_man_plus_woman")
def each_vector_counts_with_length_1(inputs, draw):
    """Vectors are brought to length 1 before they are added: a long one has no more say than a short one."""
    return inputs.analogy(WORDS, draw.tensor(VECTORS), ["queen", "pear"], ["apple"])


@check("analogy", needs="king_minus_man_plus_woman")
def the_best_come_first(inputs, draw):
    """topn answers, the most similar first; fewer when there are no more words."""
    vectors = draw.tensor(VECTORS)
    return [inputs.analogy(WORDS, vectors, ["king", "woman"], ["man"], topn) for topn in (2, 10)]


@check("analogy", needs="king_minus_man_plus_woman")
def a_word_without_a_vector(inputs, draw):
    """A word of the question that has no vector is a ValueError that names it."""
    return [
        refusal(inputs.analogy, WORDS, draw.tensor(VECTORS), positive, negative, mentions=["womna"])
        for positive, negative in ((["king", "womna"], ["man"]), (["king"], ["womna"]))
    ]


# BigramLanguageModel


@check("BigramLanguageModel")
def a_table_of_logits(inputs, draw):
    """token_embedding_table is nn.Embedding(V, V): with 65 characters 4,225 parameters, nothing else."""
    model = inputs.BigramLanguageModel(65)
    return {name: list(parameter.shape) for name, parameter in model.named_parameters()}


@check("BigramLanguageModel", needs="a_table_of_logits")
def the_row_of_each_token(inputs, draw):
    """The logits at a position are the row of its token, (B, T, V); without targets the loss is None."""
    model = draw.fill(inputs.BigramLanguageModel(4))
    logits, loss = model(draw.tensor([[0, 3, 3], [2, 1, 0]]))
    return {"logits": logits, "loss": loss}


@check("BigramLanguageModel", needs="the_row_of_each_token")
def the_worked_example(inputs, draw):
    """When token 2 follows half of the time, targets 2 and 0 cost (ln 2 + ln 4) / 2 = 1.0397."""
    model = draw.fill(inputs.BigramLanguageModel(3))
    table(model.token_embedding_table, [[1.0, 1.0, 2.0]] * 3).weight.data.log_()
    logits, loss = model(draw.tensor([[0, 1]]), draw.tensor([[2, 0]]))
    return {"loss": loss, "logits": logits}


@check("BigramLanguageModel", needs="the_worked_example")
def the_mean_loss_of_all_positions(inputs, draw):
    """The loss is one number, the mean over all rows and positions; its gradient reaches the table."""
    model = draw.fill(inputs.BigramLanguageModel(5))
    _, loss = model(draw.integers(0, 5, 2, 3), draw.integers(0, 5, 2, 3))
    loss.backward()
    return {"loss": loss, "gradient": model.token_embedding_table.weight.grad}


@check("BigramLanguageModel", needs="the_row_of_each_token")
def each_token_follows_the_last(inputs, draw):
    """With one successor for every token, generate goes round the circle, each row from its last token."""
    model = draw.fill(inputs.BigramLanguageModel(4))
    table(model.token_embedding_table, (1000 * torch.eye(4).roll(1, dims=1)).tolist())  # 0 → 1 → 2 → 3 → 0
    return model.generate(draw.tensor([[2, 2], [1, 0]]), max_new_tokens=5)


@check("BigramLanguageModel", needs="each_token_follows_the_last")
def tokens_are_drawn_by_their_probability(inputs, draw):
    """After 0, token 1 comes one time in five and 2 four times in five; after 1 all come equally often."""
    model = draw.fill(inputs.BigramLanguageModel(3))
    table(
        model.token_embedding_table, [[1e-12, 1.0, 4.0], [1.0, 1.0, 1.0], [1.0, 1e-12, 1e-12]]
    ).weight.data.log_()
    prompt = draw.tensor([[0, 0], [0, 1], [1, 2]]).repeat_interleave(2000, dim=0)
    return model.generate(prompt, max_new_tokens=1, generator=draw.generator())


@tokens_are_drawn_by_their_probability.accept
def _(seen):
    prompts = torch.tensor([[0, 0], [0, 1], [1, 2]]).repeat_interleave(2000, dim=0)
    if not torch.equal(seen[:, :2], prompts):
        return "Each row should begin with what was given."
    if seen.min() < 0 or seen.max() > 2:
        return "There is no such token."
    counts = torch.stack([new.bincount(minlength=3) for new in seen[:, 2].split(2000)])
    wanted = torch.tensor([[0, 400, 1600], [667, 667, 667], [2000, 0, 0]])
    bounds = torch.tensor([[0, 140, 140], [140, 140, 140], [0, 0, 0]])  # six to eight standard deviations
    if ((counts - wanted).abs() <= bounds).all():
        return None
    return f"0, 1 and 2 followed 0, 1 and 2 so often: {counts.tolist()}; expected about {wanted.tolist()}."


@check("BigramLanguageModel", needs="each_token_follows_the_last")
def a_generator_decides_the_tokens(inputs, draw):
    """The same seed draws the same tokens, another seed others."""
    model = draw.fill(inputs.BigramLanguageModel(50))
    prompt = draw.tensor([[0], [1]])
    one, same, other = (
        model.generate(prompt, 20, torch.Generator(prompt.device).manual_seed(seed)) for seed in (1, 1, 2)
    )
    return {"the same seed, the same tokens": torch.equal(one, same), "another seed": torch.equal(one, other)}
