"""Hidden checks of chapter 7: fresh inputs for every grading."""

import torch
from torch import nn

from grader.checks import check

SHARED = (
    "PlainCache",
    "WindowModel",
    "cache_for",
    "circle_model",
    "early_pieces",
    "outcome",
    "needs_gradient",
    "refused",
    "rows_through",
    "shuffled_rows",
    "small_gpt",
    "some_attention",
    "talkative_gpt",
)


def circle_model(draw, size):
    """ids -> logits: its favourite next token is the next number, and 0 after the last one."""
    return nn.Embedding.from_pretrained(torch.eye(size).roll(1, dims=1)).to(draw.device)


class WindowModel(nn.Module):
    """ids -> logits: its favourite next token depends on all tokens that it is shown, and on their places."""

    def __init__(self, vocab_size):
        super().__init__()
        self.vocab_size = vocab_size

    def forward(self, ids):
        places = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        favourites = (ids * places).cumsum(dim=1) % self.vocab_size  # (B, T)
        return nn.functional.one_hot(favourites, self.vocab_size).float()


def small_gpt(model, draw, context_length=8, n_heads=3, n_layers=2, drop_rate=0.0):
    """A GPT of 17 tokens in float64, so that rounding does not decide which token is the greatest."""
    cfg = model.GPTConfig(17, context_length, 12, n_heads, n_layers, drop_rate, qkv_bias=True)
    return draw.fill(model.GPTModel(cfg)).double().eval()


def talkative_gpt(model, draw, context_length=8):
    """A GPT that does not soon repeat itself: its head likes the next number, and the rest disturbs that."""
    gpt = small_gpt(model, draw, context_length)
    with torch.no_grad():
        directions = nn.functional.normalize(gpt.tok_emb.weight, dim=1)
        gpt.tok_emb.weight.copy_(5 * directions)
        gpt.pos_emb.weight.mul_(3)
        gpt.final_norm.shift.zero_()
        gpt.out_head.weight.copy_(directions.roll(1, dims=0))
    return gpt


def some_attention(attention, draw, d_in=6, d_out=6, num_heads=2, qkv_bias=True):
    """An attention layer in float64."""
    return draw.fill(attention.MultiHeadAttention(d_in, d_out, 8, 0.0, num_heads, qkv_bias)).double()


def shuffled_rows(draw, rows):
    """Logits of the same seven probabilities, each row in its own order; no sum is near a tested p."""
    probabilities = draw.tensor([0.4, 0.25, 0.15, 0.08, 0.06, 0.04, 0.02])
    return torch.stack([probabilities[draw.permutation(7)].log() + draw.number(-3, 3) for _ in range(rows)])


class PlainCache:
    """What KVCache is to be; stands in for it while it is not right yet."""

    def __init__(self):
        self.keys, self.values = {}, {}

    def append(self, layer, keys, values):
        for kept, new in ((self.keys, keys), (self.values, values)):
            kept[layer] = torch.cat([kept[layer], new], dim=2) if layer in kept else new
        return self.keys[layer], self.values[layer]

    def length(self):
        return next((keys.shape[2] for keys in self.keys.values()), 0)


def cache_for(sampling):
    """An empty cache: yours if it works, else a PlainCache, so that KVCache costs its own points only."""
    try:
        mine, plain = sampling.KVCache(), PlainCache()
        for step in range(6):
            new = torch.full((1, 2, 1 + step // 2, 3), float(step))
            (keys, values), expected = mine.append(step % 2, new, -new), plain.append(step % 2, new, -new)
            assert torch.equal(keys, expected[0]) and torch.equal(values, expected[1])
        assert mine.length() == plain.length() == 6 and torch.equal(mine.values[1], plain.values[1])
        return sampling.KVCache()
    except Exception:
        return PlainCache()


def early_pieces(inputs, attention, block, draw):
    """What chapters 2 to 4 give, each by itself, so that the first that differs is the one to mend."""
    cfg = block.GPTConfig(30, context_length=8, emb_dim=6, n_heads=2, n_layers=1, qkv_bias=True)
    tables = [draw.fill(nn.Embedding(rows, 6)) for rows in (30, 8)]
    att = draw.fill(attention.MultiHeadAttention(6, 6, 8, dropout=0.0, num_heads=2, qkv_bias=True))
    whole = draw.fill(block.TransformerBlock(cfg))
    x = draw.normal(2, 5, 6)
    return {
        "ch2, embed": inputs.embed(draw.integers(0, 30, 2, 5), *tables),
        "ch3, MultiHeadAttention": att(3 * x),
        "ch4, TransformerBlock": whole(x / 20),
    }


def outcome(function, *args):
    """What a call gives, or what it raises where the chapters before it do not fit."""
    try:
        return function(*args)
    except NotImplementedError:
        raise
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def refused(function, *args, **settings):
    """Whether the call raises ValueError."""
    try:
        function(*args, **settings)
    except ValueError:
        return "ValueError"
    return "no error"


def rows_through(layers, run):
    """How many vectors pass through each of some layers during a run."""
    rows = [0] * len(layers)

    def count(number):
        def hook(layer, given, out):
            rows[number] += out.numel() // out.shape[-1]

        return hook

    hooks = [layer.register_forward_hook(count(number)) for number, layer in enumerate(layers)]
    run()
    for hook in hooks:
        hook.remove()
    return rows


def needs_gradient(draw, generating):
    """Whether any logits that the model gave during a run have a graph behind them; and the text."""
    model, graphs = draw.fill(nn.Embedding(5, 5)), []
    model.register_forward_hook(lambda _, __, logits: graphs.append(logits.requires_grad))
    text = generating(model, draw.integers(0, 5, 2, 1))
    return {"text": text, "a graph": any(graphs)}


# generate_text


@check("generate_text")
def greedy_text_of_a_moving_window(sampling, draw):
    """Prompts shorter and longer than the context are continued greedily, and come back whole."""
    model, size = WindowModel(13), draw.integer(3, 6)
    prompts = [draw.integers(0, 13, 3, length) for length in (1, size - 1, size, size + 1, size + 4)]
    return [sampling.generate_text(model, idx, size + 3, size) for idx in prompts]


@check("generate_text")
def any_logits_are_compared(sampling, draw):
    """The greatest logit wins where all are negative, too, and in every floating dtype."""
    table = draw.normal(7, 7) - 9
    models = [nn.Embedding.from_pretrained(table.to(dtype)) for dtype in (torch.float32, torch.float64)]
    return [sampling.generate_text(model, draw.tensor([[0], [3], [6]]), 6, 1) for model in models]


@check("generate_text")
def rows_do_not_disturb_each_other(sampling, draw):
    """A row is continued as it would be alone."""
    idx = draw.integers(0, 13, 4, 3)
    alone = [sampling.generate_text(WindowModel(13), row.unsqueeze(0), 6, 5) for row in idx]
    return {"alone": torch.cat(alone), "together": sampling.generate_text(WindowModel(13), idx, 6, 5)}


@check("generate_text")
def the_prompt_is_not_touched(sampling, draw):
    """No new tokens: the prompt as it is; and the given tensor and the model's mode stay as they were."""
    idx, model = draw.integers(0, 13, 2, 4), WindowModel(13)
    nothing = sampling.generate_text(model, idx, 0, 3)
    texts = [sampling.generate_text(model, idx, 5, 3) for _ in range(2)]
    return {"none": nothing, "texts": texts, "idx": idx, "training": model.training}


@check("generate_text")
def greedy_text_keeps_no_graph(sampling, draw):
    """While it generates, nothing is kept for a backward pass."""
    return needs_gradient(draw, lambda model, idx: sampling.generate_text(model, idx, 3, 4))


@check("generate_text")
def an_empty_prompt_is_refused(sampling, draw):
    """An empty prompt is a ValueError; one of a single token is not."""
    model, idx = WindowModel(5), draw.integers(0, 5, 3, 1)
    return [refused(sampling.generate_text, model, prompt, 2, 4) for prompt in (idx[:, :0], idx)]


# apply_temperature


@check("apply_temperature")
def logits_are_divided(sampling, draw):
    """Logits of any shape are divided by the temperature and keep their dtype."""
    temperature, logits = draw.number(0.2, 3.0), draw.normal(2, 3, 7)
    shapes = [logits, logits[0], logits[0, 0], logits.double()]
    return [sampling.apply_temperature(given, temperature) for given in shapes]


@check("apply_temperature")
def bold_and_timid(sampling, draw):
    """Very low and very high temperatures; a logit of -inf stays one."""
    logits = draw.normal(2, 5)
    logits[:, 2] = float("-inf")
    return [sampling.apply_temperature(logits, T) for T in (1e-3, 0.5, 1.0, 2.0, 1e3)] + [logits]


@check("apply_temperature")
def only_above_0(sampling, draw):
    """Temperatures of 0 and below are ValueErrors, those just above 0 are not."""
    return [refused(sampling.apply_temperature, draw.normal(4), T) for T in (0, 0.0, -1e-6, -2.0, 1e-6, 1)]


# top_k_filter


@check("top_k_filter")
def the_best_k_of_each_row(sampling, draw):
    """For every k from 1 to the size of the vocabulary, in each of the rows."""
    logits = 3 * draw.normal(4, 6) - 2
    return [sampling.top_k_filter(logits, k) for k in (1, 2, 3, 5, 6)]


@check("top_k_filter")
def ties_with_the_kth_stay(sampling, draw):
    """Few different values, so that many are equal."""
    logits = draw.integers(-2, 2, 5, 9).float() / 2
    return [sampling.top_k_filter(logits, k) for k in (1, 2, 4, 7)]


@check("top_k_filter")
def large_k_keeps_all(sampling, draw):
    """A k at or above the size of the vocabulary keeps everything."""
    logits = draw.normal(3, 5)
    return [sampling.top_k_filter(logits, k) for k in (5, 6, 1000)]


@check("top_k_filter")
def top_k_in_any_shape(sampling, draw):
    """One row, three axes, float64; the given tensor stays as it was."""
    logits = draw.normal(2, 3, 6)
    results = [sampling.top_k_filter(given, 2) for given in (logits[0, 0], logits, logits.double())]
    return {"results": results, "given": logits}


@check("top_k_filter")
def top_k_after_another_filter(sampling, draw):
    """Logits that are -inf already stay so, even when fewer than k others are left."""
    logits = draw.normal(3, 6)
    logits[:, 1:5] = float("-inf")
    return [sampling.top_k_filter(logits, k) for k in (1, 2, 3)]


@check("top_k_filter")
def k_below_1_is_refused(sampling, draw):
    """A k of 0 or below is a ValueError."""
    return [refused(sampling.top_k_filter, draw.normal(2, 5), k) for k in (0, -1, -7, 1)]


# top_p_filter


@check("top_p_filter")
def the_fewest_that_reach_p(sampling, draw):
    """Shuffled rows of known probabilities, at values of p between their sums."""
    logits = shuffled_rows(draw, 4)
    return [sampling.top_p_filter(logits, p) for p in (0.2, 0.39, 0.41, 0.6, 0.7, 0.85, 0.92, 0.97, 0.99)]


@check("top_p_filter")
def top_p_in_any_shape(sampling, draw):
    """One row, three axes, float64; the given tensor stays as it was."""
    logits = shuffled_rows(draw, 6).reshape(2, 3, -1)
    results = [sampling.top_p_filter(given, 0.7) for given in (logits[0, 0], logits, logits.double())]
    return {"results": results, "given": logits}


@check("top_p_filter")
def a_p_of_1_keeps_everything(sampling, draw):
    """With p = 1 even tokens stay that are too unlikely to change the sum."""
    logits = torch.cat([draw.uniform(2, 3), draw.uniform(2, 40) - 30], dim=1)
    return [sampling.top_p_filter(logits, p) for p in (1.0, 1)]


@check("top_p_filter")
def one_token_always_stays(sampling, draw):
    """A tiny p keeps the most likely token, and no other."""
    logits = draw.normal(4, 9)
    return [sampling.top_p_filter(logits, p) for p in (1e-3, 1e-8, 1e-50)]


@check("top_p_filter")
def p_reached_exactly(sampling, draw):
    """Equal tokens, whose sums are exact: how many of them stay."""
    halves, quarters = draw.tensor([0.0] * 2, torch.float64), draw.tensor([0.0] * 4, torch.float64)
    ways = [(halves, 0.5), (quarters, 0.25), (quarters, 0.5), (quarters, 0.75), (quarters, 0.8)]
    return [int(sampling.top_p_filter(logits, p).isfinite().sum()) for logits, p in ways]


@check("top_p_filter")
def top_p_after_top_k(sampling, draw):
    """Logits that are -inf already have no probability, and stay -inf."""
    logits = shuffled_rows(draw, 3)
    logits = logits.masked_fill(logits < logits.topk(4).values[:, -1:], float("-inf"))
    return [sampling.top_p_filter(logits, p) for p in (0.3, 0.6, 0.8, 0.95, 1.0)]


@check("top_p_filter")
def p_must_be_a_share(sampling, draw):
    """A p outside (0, 1] is a ValueError."""
    return [refused(sampling.top_p_filter, draw.normal(5), p) for p in (0, 0.0, -0.2, 1.001, 3, 1.0, 0.001)]


# next_token


@check("next_token")
def greedy_by_default(sampling, draw):
    """Temperature 0, given or not: the greatest logit, whatever the filters say; (B, 1) of int64."""
    logits = draw.normal(6, 9) - 5
    ways = [{}, {"temperature": 0.0}, {"temperature": 0, "top_k": 3, "top_p": 0.9}]
    return [sampling.next_token(logits.double(), **settings) for settings in ways] + [logits]


@check("next_token")
def draws_are_as_frequent_as_they_should_be(sampling, draw):
    """In 3,000 draws each: with a temperature, with top-k, with top-p, with all of them."""
    scores = draw.tensor([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])[draw.permutation(6)].log().repeat(3000, 1)
    ways = [(draw.number(1.5, 3.0), None, None), (0.6, 3, None), (2.0, None, 0.75), (1.3, 5, 0.7)]
    return [
        sampling.next_token(T * scores, T, top_k=k, top_p=p, generator=draw.generator()) for T, k, p in ways
    ]


@draws_are_as_frequent_as_they_should_be.accept
def _(seen, draw, reference):
    scores = draw.tensor([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])[draw.permutation(6)].log()
    for drawn, (k, p) in zip(seen, [(6, 1.0), (3, 1.0), (6, 0.75), (5, 0.7)], strict=True):
        if drawn.min() < 0 or drawn.max() > 5:
            return "There are only the tokens 0 to 5."
        expected = 3000 * reference.top_p_filter(reference.top_k_filter(scores, k), p).softmax(dim=-1)
        counts = drawn.flatten().bincount(minlength=6)
        if ((counts - expected).abs() > 6 * (expected * (1 - expected / 3000)).sqrt()).any():
            return f"With top_k {k} and top_p {p} some tokens come too often, others too rarely."


@check("next_token")
def only_one_token_to_choose(sampling, draw):
    """Each row draws from its own distribution: with top_k=1, a tiny top_p, or hardly any temperature."""
    logits = 4 * draw.permutation(40).reshape(8, 5).float()
    ways = [{"top_k": 1}, {"top_p": 1e-4}, {"temperature": 1e-3}, {"top_k": 4, "top_p": 1e-4}]
    return [sampling.next_token(logits, **({"temperature": 3.0} | settings)) for settings in ways]


@check("next_token")
def what_comes_before_what(sampling, draw):
    """Which tokens come at all in 600 draws: temperature, then top-k, then top-p."""
    logits = draw.tensor([[0.1, 0.4, 0.2, 0.3]]).log()[:, draw.permutation(4)].repeat(600, 1)
    ways = [
        (2.0, None, 0.65),
        (1.0, None, 0.65),
        (1.0, 2, 0.5),
        (1.0, None, 0.5),
        (2.0, 3, 0.65),
        (0.5, 3, 0.8),
    ]
    ways += [(1.0, 9, 1.0), (1.0, 3, None), (1.0, 3, 1.0)]
    return [sampling.next_token(logits, T, top_k=k, top_p=p).unique() for T, k, p in ways]


@check("next_token")
def the_source_of_the_draws(sampling, draw):
    """The generator decides and is used up; torch's global source is touched only when there is none."""
    logits, device = draw.normal(60, 9), draw.device
    one, other = (torch.Generator(device).manual_seed(8) for _ in range(2))
    before = torch.get_rng_state()
    drawn = [sampling.next_token(logits, 1.0, generator=g) for g in (one, other, other)]
    same_state = torch.equal(before, torch.get_rng_state())
    torch.manual_seed(3)
    free = [sampling.next_token(logits, 1.0) for _ in range(2)]
    torch.manual_seed(3)
    free += [sampling.next_token(logits, 1.0)]
    pairs = [(drawn[0], drawn[1]), (drawn[1], drawn[2]), (free[0], free[2]), (free[0], free[1])]
    return {"equal": [torch.equal(a, b) for a, b in pairs], "global source untouched": same_state}


@check("next_token")
def bad_numbers_are_refused(sampling, draw):
    """A temperature below 0 is a ValueError, and so is what the filters refuse."""
    bad = [
        (-1e-3, None, None),
        (-2.0, 3, None),
        (1.0, 0, None),
        (1.0, -3, 0.5),
        (1.0, None, 0.0),
        (1.0, 2, 1.2),
    ]
    return [refused(sampling.next_token, draw.normal(2, 5), T, k, p) for T, k, p in [*bad, (1.0, 1, 1.0)]]


# generate


@check("generate")
def greedy_as_far_as_it_goes(sampling, draw):
    """Without eos_id: the greedy text of prompts shorter and longer than the context."""
    model, size = WindowModel(13), draw.integer(3, 6)
    prompts = [draw.integers(0, 13, 3, length) for length in (1, size, size + 3)]
    return [sampling.generate(model, idx, size + 3, size) for idx in prompts]


@check("generate")
def rows_end_one_by_one(sampling, draw):
    """Rows end at different times, are padded while others go on, and the last end is not returned."""
    texts = []
    for eos_id in (0, 3, 6):
        idx = draw.integers(0, 7, 5, 2)
        texts += [sampling.generate(circle_model(draw, 7), idx, limit, 1, eos_id=eos_id) for limit in (9, 4)]
    return texts


@check("generate")
def one_row_alone_ends(sampling, draw):
    """A single row ends where its token comes: at once, later, at the limit, or not at all."""
    model, idx = circle_model(draw, 9), draw.tensor([[5, 4]])
    return [sampling.generate(model, idx, 6, 2, eos_id=eos_id) for eos_id in (5, 7, 1, 2, 4)]


@check("generate")
def it_stops_when_all_have_ended(sampling, draw):
    """Two rows end after four steps of fifty at most: the model is not asked any further."""
    model, idx = circle_model(draw, 9), draw.tensor([[4], [6]])
    rows = rows_through([model], lambda: sampling.generate(model, idx, 50, 1, eos_id=8))
    return {"rows through the model": max(8, *rows)}


@check("generate")
def a_finished_row_stays_finished(sampling, draw):
    """A row that has ended is padded, although the model would go on with something else."""
    idx = draw.integers(0, 11, 6, 3)
    return [sampling.generate(WindowModel(11), idx, 12, 4, eos_id=eos_id) for eos_id in range(11)]


@check("generate")
def an_eos_in_the_prompt_ends_nothing(sampling, draw):
    """Only a token that was chosen ends a row."""
    idx = draw.tensor([[3, 0], [3, 3], [3, 1]])
    model = circle_model(draw, 5)
    greedy = sampling.generate(model, idx, 6, 2, eos_id=3)
    return [greedy, sampling.generate(model, idx[:1], 4, 2, 0.01, eos_id=3)]


@check("generate")
def the_settings_are_used(sampling, draw):
    """Which tokens come at all in 300 rows of two: temperature, top-k and top-p, alone and together."""
    rows = draw.tensor(
        [[0.4, 0.3, 0.2, 0.1], [0.3, 0.4, 0.1, 0.2], [0.1, 0.2, 0.3, 0.4], [0.2, 0.1, 0.4, 0.3]]
    )
    model = nn.Embedding.from_pretrained(8 * rows.log()[:, draw.permutation(4)])
    ways = [(0.01, None, None), (8.0, 2, None), (8.0, None, 0.75), (16.0, 3, 0.4), (16.0, 1, None)]
    texts = [
        sampling.generate(model, draw.tensor([[1]] * 300), 2, 1, *way) for way in [*ways, (90.0, None, None)]
    ]
    return [[text[:, 1].unique(), text[:, 2].unique()] for text in texts]


@check("generate")
def drawn_rows_end_too(sampling, draw):
    """With a temperature: rows end at eos_id, are padded after it, and the last column is not all eos_id."""
    model = nn.Embedding.from_pretrained(draw.tensor([[0.0] * 3] * 3))
    text = sampling.generate(model, draw.tensor([[0]] * 50), 60, 1, 1.0, eos_id=2, generator=draw.generator())
    ended = (text == 2).cummax(dim=1).values
    return {
        "after the end": text[ended].unique(),
        "before it": text[~ended].unique(),
        "last column goes on": bool((~ended[:, -1]).any()),
        "prompt": text[:, 0],
    }


@check("generate")
def a_seed_makes_a_text(sampling, draw):
    """The generator decides the text, and torch's global source is left alone."""
    model, idx = nn.Embedding.from_pretrained(draw.normal(9, 9)), draw.integers(0, 9, 3, 2)
    before = torch.get_rng_state()
    generators = [torch.Generator(draw.device).manual_seed(seed) for seed in (1, 1, 2)]
    texts = [sampling.generate(model, idx, 20, 4, 1.0, generator=g) for g in generators]
    equal = [torch.equal(texts[0], texts[1]), torch.equal(texts[0], texts[2])]
    return {"equal": equal, "global source untouched": torch.equal(before, torch.get_rng_state())}


@check("generate")
def generate_leaves_all_as_it_was(sampling, draw):
    """The prompt and the model's mode stay as they were; no new tokens give the prompt."""
    idx, model = draw.integers(0, 13, 2, 4), WindowModel(13)
    texts = [sampling.generate(model, idx, n, 3, eos_id=20) for n in (0, 4, 4)]
    return {"texts": texts, "idx": idx, "training": model.training}


@check("generate")
def generate_keeps_no_graph(sampling, draw):
    """While it generates, nothing is kept for a backward pass."""
    return needs_gradient(draw, lambda model, idx: sampling.generate(model, idx, 3, 4))


@check("generate")
def generate_refuses_what_it_cannot_do(sampling, draw):
    """An empty prompt is a ValueError, and so are numbers that next_token refuses."""
    model, idx = circle_model(draw, 4), draw.integers(0, 4, 2, 1)
    bad = [(-0.1, None, None), (1.0, 0, None), (1.0, None, 1.5), (1.0, 1, 1.0)]
    empty = [refused(sampling.generate, model, prompt, 3, 4) for prompt in (idx[:, :0], idx)]
    return empty + [refused(sampling.generate, model, idx, 3, 4, *numbers) for numbers in bad]


# KVCache


@check("KVCache")
def the_cache_in_steps(sampling, draw):
    """Pieces of any length, one after the other: what is returned, what is kept, how long it is."""
    cache, steps = sampling.KVCache(), []
    for length in (3, 1, 2, 1):
        keys, values = cache.append(0, draw.normal(2, 3, length, 5), draw.normal(2, 3, length, 5))
        steps.append([keys, values, cache.length(), cache.keys[0], cache.values[0]])
    return steps


@check("KVCache")
def layers_do_not_mix(sampling, draw):
    """Three layers in turn, twice; each has its own keys and values."""
    cache, returned = sampling.KVCache(), []
    for length in (2, 1):
        for layer in range(3):
            pair = cache.append(layer, draw.normal(1, 2, length, 4), draw.normal(1, 2, length, 4))
            returned.append(list(pair))
    return {"returned": returned, "keys": cache.keys, "values": cache.values, "length": cache.length()}


@check("KVCache")
def two_caches_are_two(sampling, draw):
    """What one cache holds, another one does not."""
    one, other = sampling.KVCache(), sampling.KVCache()
    one.append(0, draw.normal(1, 1, 2, 3), draw.normal(1, 1, 2, 3))
    other.append(0, draw.normal(1, 1, 3, 3), draw.normal(1, 1, 3, 3))
    third = sampling.KVCache()
    return [one.length(), other.length(), third.length(), one.keys, other.values, third.keys, third.values]


@check("KVCache")
def the_cache_keeps_dtypes_and_inputs(sampling, draw):
    """float64 stays float64, and neither the given tensors nor earlier results change."""
    cache, k, v = sampling.KVCache(), draw.normal(2, 2, 3, 4).double(), draw.normal(2, 2, 3, 4).double()
    first = cache.append(0, k, v)
    second = cache.append(0, 2 * k, 2 * v)
    return [list(first), list(second), k, v]


# attend_cached


@check("attend_cached", forbidden=("F.scaled_dot_product_attention", "nn.MultiheadAttention"))
def attention_in_pieces(sampling, attention, draw):
    """Pieces of any length give what the layer gives for all positions at once."""
    att, x = some_attention(attention, draw), draw.normal(2, 7, 6).double()
    ways = ([7], [1] * 7, [3, 1, 1, 1, 1], [2, 3, 2], [1, 6])
    results = []
    for lengths in ways:
        cache = cache_for(sampling)
        pieces = [sampling.attend_cached(att, piece, cache, layer=0) for piece in x.split(lengths, dim=1)]
        results.append(torch.cat(pieces, dim=1))
    return results


@check("attend_cached")
def heads_biases_and_widths(sampling, attention, draw):
    """One head or several, with and without bias, another width out than in."""
    results = []
    for d_out, heads, bias in ((4, 1, True), (6, 3, False), (8, 2, True)):
        att, cache = some_attention(attention, draw, 5, d_out, heads, bias), cache_for(sampling)
        x = draw.normal(3, 5, 5).double()
        results += [sampling.attend_cached(att, piece, cache, layer=0) for piece in x.split([3, 2], dim=1)]
    return results


@check("attend_cached")
def the_past_is_what_the_cache_says(sampling, attention, draw):
    """Keys and values from the cache are used as they are, and the new ones are put behind them."""
    att, cache = some_attention(attention, draw), cache_for(sampling)
    cache.append(2, draw.normal(2, 2, 4, 3).double(), draw.normal(2, 2, 4, 3).double())
    cache.append(0, draw.normal(2, 2, 1, 3).double(), draw.normal(2, 2, 1, 3).double())
    context = sampling.attend_cached(att, draw.normal(2, 3, 6).double(), cache, layer=2)
    return {"context": context, "keys": cache.keys, "values": cache.values}


@check("attend_cached")
def no_dropout_with_a_cache(sampling, attention, draw):
    """A layer in training mode with dropout gives the same: without dropout."""
    att = draw.fill(attention.MultiHeadAttention(6, 6, 8, dropout=0.5, num_heads=2)).train()
    x, cache = draw.normal(2, 5, 6), cache_for(sampling)
    pieces = [sampling.attend_cached(att, piece, cache, layer=0) for piece in x.split([4, 1], dim=1)]
    return {"pieces": pieces, "x": x, "training": att.training}


@check("attend_cached")
def rows_of_the_batch_are_apart(sampling, attention, draw):
    """What stands in one row of the batch changes nothing in the others."""
    att, x = some_attention(attention, draw), draw.normal(3, 4, 6).double()
    other = x.clone()
    other[1] = draw.normal(4, 6)
    results = []
    for given in (x, other):
        cache = cache_for(sampling)
        results += [sampling.attend_cached(att, piece, cache, layer=0) for piece in given.split(2, dim=1)]
    return results


@check("attend_cached")
def only_new_positions_are_projected(sampling, attention, draw):
    """Six positions one by one: at most six vectors pass through each of the projections."""
    att, x, cache = some_attention(attention, draw), draw.normal(1, 6, 6).double(), cache_for(sampling)

    def one_by_one():
        for piece in x.split(1, dim=1):
            sampling.attend_cached(att, piece, cache, layer=0)

    layers = (att.W_query, att.W_key, att.W_value)
    rows = rows_through(layers, one_by_one)
    return {"vectors projected": [max(6, n) for n in rows], "length": cache.length()}


# forward_cached


@check("forward_cached")
def logits_in_pieces(sampling, model, draw):
    """Pieces of any length give the logits that the model gives for all tokens at once."""
    gpt, ids = small_gpt(model, draw), draw.integers(0, 17, 2, 8)
    results = []
    for lengths in ([8], [1] * 8, [3, 1, 1, 1, 2], [5, 3]):
        cache = cache_for(sampling)
        pieces = [sampling.forward_cached(gpt, piece, cache) for piece in ids.split(lengths, dim=1)]
        results += [torch.cat(pieces, dim=1), cache.length()]
    return results


@check("forward_cached")
def models_of_other_shapes(sampling, model, draw):
    """One layer or four, one head or several, dropout that evaluation switches off, float32, a tied head."""
    results = []
    for layers, heads in ((1, 4), (4, 1)):
        gpt, cache = (
            small_gpt(model, draw, n_layers=layers, n_heads=heads, drop_rate=0.4).float(),
            cache_for(sampling),
        )
        model.tie_weights(gpt)
        ids = draw.integers(0, 17, 3, 6)
        results += [sampling.forward_cached(gpt, piece, cache) for piece in ids.split([4, 1, 1], dim=1)]
    return results


@check("forward_cached")
def every_layer_is_remembered(sampling, model, draw):
    """Afterwards the cache holds the keys and values of each layer, for all positions so far."""
    gpt, cache = small_gpt(model, draw, n_layers=3), cache_for(sampling)
    for piece in draw.integers(0, 17, 2, 5).split([3, 2], dim=1):
        sampling.forward_cached(gpt, piece, cache)
    return {"keys": cache.keys, "values": cache.values, "length": cache.length()}


@check("forward_cached")
def the_end_of_the_context(sampling, model, draw):
    """Past and new tokens together fill the context at most, however they are cut."""
    gpt, results = small_gpt(model, draw), []
    for past, new in ((0, 8), (0, 9), (7, 1), (8, 1), (3, 5), (3, 6)):
        cache = cache_for(sampling)
        if past:
            sampling.forward_cached(gpt, draw.integers(0, 17, 1, past), cache)
        results.append(refused(sampling.forward_cached, gpt, draw.integers(0, 17, 1, new), cache))
    return results


@check("forward_cached")
def ids_outside_the_vocabulary(sampling, model, draw):
    """An id below 0 or beyond the vocabulary is a ValueError (a GPU does not look)."""
    ids = [[[3, -1]], [[17, 3]], [[16, 0]]] if draw.device.type == "cpu" else []
    gpt = small_gpt(model, draw)
    return [refused(sampling.forward_cached, gpt, draw.tensor(given), cache_for(sampling)) for given in ids]


@check("forward_cached")
def each_token_passes_once(sampling, model, draw):
    """Seven tokens one by one: at most seven vectors pass through each feed-forward layer and the head."""
    gpt, ids, cache = small_gpt(model, draw), draw.integers(0, 17, 1, 7), cache_for(sampling)

    def one_by_one():
        for piece in ids.split(1, dim=1):
            sampling.forward_cached(gpt, piece, cache)

    layers = (gpt.trf_blocks[0].ff, gpt.trf_blocks[1].ff, gpt.out_head)
    return {"vectors": [max(7, n) for n in rows_through(layers, one_by_one)], "length": cache.length()}


@check("forward_cached")
def cached_rows_and_inputs_stay_apart(sampling, model, draw):
    """A row's logits are those that it has alone; the ids and the model stay as they were."""
    gpt, ids = small_gpt(model, draw), draw.integers(0, 17, 3, 5)
    together = sampling.forward_cached(gpt, ids, cache_for(sampling))
    alone = sampling.forward_cached(gpt, ids[1:2], cache_for(sampling))
    return {"together": together, "alone": alone, "ids": ids, "training": gpt.training}


# generate_cached


@check("generate_cached")
def cached_text_within_the_context(sampling, model, draw):
    """Up to the end of the context, and up to a context_size below it: the text that generate gives."""
    gpt = talkative_gpt(model, draw)
    ways = [(1, 7, 8), (4, 4, 8), (3, 6, 8), (7, 1, 8), (8, 1, 8), (2, 3, 5), (3, 0, 8)]
    return [sampling.generate_cached(gpt, draw.integers(0, 17, 3, T), n, size) for T, n, size in ways]


@check("generate_cached")
def cached_text_past_the_context(sampling, model, draw):
    """Beyond context_size, from short prompts and from too long ones: the text that generate gives."""
    gpt = talkative_gpt(model, draw)
    ways = [(3, 10, 8), (2, 8, 5), (8, 4, 8), (11, 4, 8), (6, 4, 3), (2, 5, 1)]
    return [sampling.generate_cached(gpt, draw.integers(0, 17, 3, T), n, size) for T, n, size in ways]


@check("generate_cached")
def the_cache_saves_work(sampling, model, draw):
    """Each position passes through the layers at most once, until the text is longer than the context."""
    gpt, idx = talkative_gpt(model, draw, context_length=16), draw.integers(0, 17, 2, 4)
    layers = (gpt.trf_blocks[0].ff, gpt.trf_blocks[1].ff)
    rows = [rows_through(layers, lambda n=n: sampling.generate_cached(gpt, idx, n, 16)) for n in (1, 6, 13)]
    limits = [2 * (4 + n) for n in (1, 6, 13)]
    return [[max(limit, n) for n in two] for limit, two in zip(limits, rows, strict=True)]


@check("generate_cached")
def cached_rows_end_one_by_one(sampling, model, draw):
    """Rows end at eos_id, are padded while others go on, and the last end is not returned."""
    gpt, texts = talkative_gpt(model, draw), []
    idx = draw.integers(0, 17, 4, 2)
    plain = sampling.generate_cached(gpt, idx, 10, 8)
    for row, column in ((0, 3), (1, 5), (2, 9)):
        texts.append(sampling.generate_cached(gpt, idx, 10, 8, eos_id=int(plain[row, column])))
        texts.append(sampling.generate_cached(gpt, idx[row : row + 1], 10, 8, eos_id=int(plain[row, column])))
    return [plain, *texts, sampling.generate_cached(gpt, idx, 4, 8, eos_id=0)]


@check("generate_cached")
def cached_draws_use_the_settings(sampling, model, draw):
    """top_k=1, a tiny top_p and hardly any temperature leave no choice; a high temperature does."""
    gpt, idx = talkative_gpt(model, draw), draw.integers(0, 17, 2, 3)
    ways = [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-5}]
    texts = [sampling.generate_cached(gpt, idx, 4, 8, **({"temperature": 2.0} | way)) for way in ways]
    drawn = sampling.generate_cached(gpt, idx[:1].repeat(300, 1), 1, 8, 1e4)[:, -1]
    few = sampling.generate_cached(gpt, idx[:1].repeat(300, 1), 1, 8, 1e4, 3)[:, -1]
    nucleus = sampling.generate_cached(gpt, idx[:1].repeat(300, 1), 1, 8, 1e4, 4, 0.3)[:, -1]
    return {"texts": texts, "drawn": drawn.unique(), "few": few.unique(), "nucleus": nucleus.unique()}


@check("generate_cached")
def a_seed_makes_a_cached_text(sampling, model, draw):
    """The generator decides the text, and torch's global source is left alone."""
    gpt, idx = talkative_gpt(model, draw), draw.integers(0, 17, 3, 2)
    before = torch.get_rng_state()
    generators = [torch.Generator(draw.device).manual_seed(seed) for seed in (1, 1, 2)]
    texts = [sampling.generate_cached(gpt, idx, 6, 8, 2.0, generator=g) for g in generators]
    equal = [torch.equal(texts[0], texts[1]), torch.equal(texts[0], texts[2])]
    return {"equal": equal, "global source untouched": torch.equal(before, torch.get_rng_state())}


@check("generate_cached")
def generate_cached_leaves_all_as_it_was(sampling, model, draw):
    """Nothing is left over from an earlier call, the prompt stays, and no graph is kept."""
    gpt, idx, graphs = talkative_gpt(model, draw), draw.integers(0, 17, 2, 3), []
    gpt.out_head.register_forward_hook(lambda _, __, logits: graphs.append(logits.requires_grad))
    texts = [sampling.generate_cached(gpt, idx, 7, 8) for _ in range(2)]
    return {"texts": texts, "idx": idx, "a graph": any(graphs), "training": gpt.training}


@check("generate_cached")
def generate_cached_refuses_what_it_cannot_do(sampling, model, draw):
    """An empty prompt is a ValueError, and so are numbers that next_token refuses."""
    gpt, idx = talkative_gpt(model, draw), draw.integers(0, 17, 2, 1)
    bad = [(-0.1, None, None), (1.0, 0, None), (1.0, None, 1.5), (1.0, 1, 1.0)]
    empty = [refused(sampling.generate_cached, gpt, prompt, 3, 8) for prompt in (idx[:, :0], idx)]
    return empty + [refused(sampling.generate_cached, gpt, idx, 3, 8, *numbers) for numbers in bad]


@check("generate_cached", needs="cached_text_within_the_context", assembled=True)
def your_own_chapters_together(sampling, tokenizer, inputs, attention, block, model, draw):
    """Your own chapters 1 to 7 lead from text to text; mend the earliest one that differs."""
    vocab, merges = tokenizer.train_bpe("the cat, the hat, the mat", 260)
    bpe = tokenizer.BPETokenizer(vocab, merges)
    prompts = [bpe.encode(text) for text in ("the cat", "that mat")]
    seen = {"ch1, train_bpe": merges, "ch1, BPETokenizer": prompts}
    seen |= early_pieces(inputs, attention, block, draw)
    cfg = model.GPTConfig(260, 8, 6, n_heads=2, n_layers=2, qkv_bias=True)
    gpt = draw.fill(model.GPTModel(cfg)).double().eval()
    seen["ch5, GPTModel"] = outcome(gpt, draw.integers(0, 260, 2, 8))
    longer = [outcome(sampling.generate_cached, gpt, draw.tensor([ids]), 9, 8) for ids in prompts]
    seen["ch7, generate_cached"] = longer
    return seen | {"ch1, decode": outcome(lambda: [bpe.decode(ids[0].tolist()) for ids in longer])}
