"""Checks of chapter 7. Models are given here, so that only the sampling is looked at.

To try a check in a Python shell, in the folder that holds exercises/:

    from exercises.ch7 import sampling; from exercises.ch7.test_sampling import *
    from grader.draw import Draw; from grader.seeds import seed_for
    draw = Draw(seed_for("public", "ch7", "greedy_goes_round_the_circle"))

Then `greedy_goes_round_the_circle.function(sampling, draw)` is what your code gives. `draw` makes
the inputs, `draw.fill(module)` sets a module's parameters; the README tells of `operators`,
`steps` and `folder`.
"""

import torch
from torch import nn

from grader.checks import check

SHARED = (
    "WindowModel",
    "circle_model",
    "early_pieces",
    "outcome",
    "refused",
    "rows_through",
    "small_gpt",
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


def small_gpt(model, draw, context_length=8):
    """A GPT of 17 tokens in float64, so that rounding does not decide which token is the greatest."""
    cfg = model.GPTConfig(17, context_length, emb_dim=12, n_heads=3, n_layers=2, qkv_bias=True)
    return draw.fill(model.GPTModel(cfg)).double().eval()


def talkative_gpt(model, draw):
    """A GPT that does not soon repeat itself: its head likes the next number, and the rest disturbs that."""
    gpt = small_gpt(model, draw)
    with torch.no_grad():
        directions = nn.functional.normalize(gpt.tok_emb.weight, dim=1)
        gpt.tok_emb.weight.copy_(5 * directions)
        gpt.pos_emb.weight.mul_(3)
        gpt.final_norm.shift.zero_()
        gpt.out_head.weight.copy_(directions.roll(1, dims=0))
    return gpt


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


def rows_through(layer, run):
    """How many vectors pass through a layer during a run."""
    rows = []
    hook = layer.register_forward_hook(lambda _, __, out: rows.append(out.numel() // out.shape[-1]))
    run()
    hook.remove()
    return sum(rows)


# generate_text


@check("generate_text")
def greedy_goes_round_the_circle(sampling, draw):
    """The example: a model that always prefers the next number of a circle of four."""
    model = circle_model(draw, 4)
    return sampling.generate_text(model, draw.tensor([[2]]), max_new_tokens=5, context_size=1)


@check("generate_text", needs="greedy_goes_round_the_circle")
def the_last_position_tells_what_follows(sampling, draw):
    """Each row goes on with the favourite of its own last position."""
    idx = draw.tensor([[3, 1, 4], [1, 5, 9], [0, 2, 6]])
    return sampling.generate_text(WindowModel(11), idx, max_new_tokens=1, context_size=8)


@check("generate_text", needs="the_last_position_tells_what_follows")
def the_model_sees_a_moving_window(sampling, draw):
    """The model sees the last context_size tokens, the new ones included; the result holds them all."""
    idx = draw.tensor([[3, 1, 4, 1, 5, 9], [2, 7, 1, 8, 2, 8]])
    return sampling.generate_text(WindowModel(11), idx, max_new_tokens=7, context_size=4)


@check("generate_text", needs="greedy_goes_round_the_circle")
def nothing_follows_an_empty_prompt(sampling, draw):
    """An empty prompt is a ValueError."""
    return refused(sampling.generate_text, circle_model(draw, 4), draw.integers(0, 4, 2, 0), 3, 4)


# apply_temperature


@check("apply_temperature")
def temperature_acts_on_the_logits(sampling, draw):
    """Half the temperature, twice the logits."""
    return sampling.apply_temperature(draw.tensor([[1.0, -2.0, 0.5], [3.0, 0.0, -1.0]]), 0.5)


@check("apply_temperature", needs="temperature_acts_on_the_logits")
def an_eighth_of_the_temperature_is_bolder(sampling, draw):
    """The example: at temperature 0.125 the most likely of five tokens gets the probability 0.8."""
    scores = draw.tensor([0.1, -0.2, 0.3, -0.2, 0.5])
    return torch.softmax(sampling.apply_temperature(scores, 0.125), dim=-1)


@check("apply_temperature", needs="temperature_acts_on_the_logits")
def a_temperature_of_0_or_below_is_refused(sampling, draw):
    """Temperatures of 0 and below are ValueErrors."""
    logits = draw.tensor([1.0, 2.0])
    return {T: refused(sampling.apply_temperature, logits, T) for T in (0.0, -1.0)}


# top_k_filter


@check("top_k_filter")
def the_best_and_those_as_good_stay(sampling, draw):
    """The example: of 1, 3, 2, 2 the best two are 3 and 2, and the other 2 is as good."""
    return sampling.top_k_filter(draw.tensor([1.0, 3.0, 2.0, 2.0]), top_k=2)


@check("top_k_filter", needs="the_best_and_those_as_good_stay")
def each_row_has_its_own_best(sampling, draw):
    """Every row keeps its own best two, whatever the numbers in other rows."""
    logits = draw.tensor([[1.0, -4.0, 3.0, 2.0], [-10.0, -40.0, -30.0, -20.0], [0.1, 0.4, 0.3, 0.2]])
    return sampling.top_k_filter(logits, top_k=2)


@check("top_k_filter", needs="the_best_and_those_as_good_stay")
def a_k_above_the_vocabulary_keeps_all(sampling, draw):
    """With k above the number of tokens everything stays."""
    return sampling.top_k_filter(draw.tensor([[1.0, 3.0, 2.0]]), top_k=50)


@check("top_k_filter", needs="the_best_and_those_as_good_stay")
def top_k_changes_nothing_of_yours(sampling, draw):
    """The tensor that you give stays as it was."""
    logits = draw.tensor([[1.0, 3.0, 2.0]])
    sampling.top_k_filter(logits, top_k=1)
    return logits


@check("top_k_filter", needs="the_best_and_those_as_good_stay")
def a_k_below_1_is_refused(sampling, draw):
    """A k of 0 or below is a ValueError."""
    return {k: refused(sampling.top_k_filter, draw.tensor([1.0, 2.0]), k) for k in (0, -1)}


# top_p_filter


@check("top_p_filter")
def the_token_that_crosses_stays(sampling, draw):
    """The example: of the probabilities 0.5, 0.3, 0.2 the second crosses 0.6; and the third crosses 0.9."""
    logits = draw.tensor([0.2, 0.5, 0.3]).log()
    return [sampling.top_p_filter(logits, top_p=p).exp() for p in (0.6, 0.9)]


@check("top_p_filter", needs="the_token_that_crosses_stays")
def every_token_keeps_its_place(sampling, draw):
    """In rows of any order, what is kept stays at its own place with its own logit."""
    logits = draw.tensor([[0.05, 0.4, 0.1, 0.25, 0.2], [0.12, 0.08, 0.7, 0.06, 0.04]]).log() + 3
    return {p: sampling.top_p_filter(logits, p) for p in (0.3, 0.5, 0.75, 0.93)}


@check("top_p_filter", needs="the_token_that_crosses_stays")
def the_best_token_always_stays(sampling, draw):
    """However small p is, the most likely token stays."""
    return sampling.top_p_filter(draw.tensor([[0.1, 0.6, 0.3]]).log(), top_p=1e-6).exp()


@check("top_p_filter", needs="the_token_that_crosses_stays")
def reaching_p_is_enough(sampling, draw):
    """Four tokens of 0.25 each: two of them reach 0.5, and no third one is needed."""
    return int(sampling.top_p_filter(draw.tensor([0.0] * 4, torch.float64), top_p=0.5).isfinite().sum())


@check("top_p_filter", needs="the_token_that_crosses_stays")
def a_p_outside_0_and_1_is_refused(sampling, draw):
    """A p that is not above 0 and at most 1 is a ValueError."""
    return {p: refused(sampling.top_p_filter, draw.tensor([1.0, 2.0]), p) for p in (0.0, -0.5, 1.5, 1.0)}


# next_token


@check("next_token")
def temperature_0_takes_the_greatest(sampling, draw):
    """The example: without a temperature each row gets the token of its greatest logit."""
    return sampling.next_token(draw.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 0.0]]))


@check("next_token", needs="temperature_0_takes_the_greatest")
def draws_follow_the_probabilities(sampling, draw):
    """In 2,000 draws each token comes about as often as its probability says."""
    logits = draw.tensor([[0.0, 1.0, 2.0, -1.0]]).repeat(2000, 1)
    return sampling.next_token(logits, temperature=1.25, generator=draw.generator())


@draws_follow_the_probabilities.accept
def _(seen):
    if seen.min() < 0 or seen.max() > 3:
        return "There are only the tokens 0 to 3."
    probabilities = torch.softmax(torch.tensor([0.0, 1.0, 2.0, -1.0]) / 1.25, dim=-1)
    spread = (2000 * probabilities * (1 - probabilities)).sqrt()
    counts = seen.flatten().bincount(minlength=4)
    if ((counts - 2000 * probabilities).abs() > 6 * spread).any():
        expected = (2000 * probabilities).round().int().tolist()
        return f"The tokens came {counts.tolist()} times; about {expected} times was to be expected."


@check("next_token", needs="temperature_0_takes_the_greatest")
def the_filters_leave_no_choice(sampling, draw):
    """With top_k=1, or a tiny top_p, a draw has only one token to choose from."""
    logits = draw.tensor([[1.0, 3.0, 2.0], [5.0, 4.0, 4.5]]).repeat(50, 1)
    return [sampling.next_token(logits, 2.0, top_k=1), sampling.next_token(logits, 2.0, top_p=0.01)]


@check("next_token", needs="draws_follow_the_probabilities")
def temperature_before_top_p_and_top_k_before_it(sampling, draw):
    """Temperature first, then top-k, then top-p: seen from which tokens come at all in 500 draws."""
    logits = draw.tensor([[0.4, 0.3, 0.2, 0.1]]).log().repeat(500, 1)
    warm = sampling.next_token(logits, 2.0, top_p=0.65)
    filtered = sampling.next_token(logits, 1.0, top_k=2, top_p=0.5)
    return {"temperature, top-p": warm.unique(), "top-k, top-p": filtered.unique()}


@check("next_token", needs="draws_follow_the_probabilities")
def the_generator_decides(sampling, draw):
    """The same generator, the same draws; without one, torch's own source is used."""
    logits = draw.normal(40, 9)
    a, b = torch.Generator(draw.device).manual_seed(1), torch.Generator(draw.device).manual_seed(1)
    state = torch.get_rng_state()
    drawn = [sampling.next_token(logits, 1.0, generator=g) for g in (a, b, b)]
    untouched = torch.equal(torch.get_rng_state(), state)
    free = [sampling.next_token(logits, 1.0) for _ in range(2)]
    return {
        "equal seeds": torch.equal(drawn[0], drawn[1]),
        "drawn on": not torch.equal(drawn[1], drawn[2]),
        "global source untouched": untouched,
        "drawn anew without one": not torch.equal(free[0], free[1]),
    }


@check("next_token", needs="temperature_0_takes_the_greatest")
def next_token_refuses_bad_numbers(sampling, draw):
    """A temperature below 0 is a ValueError, and so is what the filters refuse."""
    bad = [{"temperature": -0.5}, {"temperature": 1.0, "top_k": 0}, {"temperature": 1.0, "top_p": 2.0}]
    return [refused(sampling.next_token, draw.normal(1, 4), **settings) for settings in bad]


# generate


@check("generate")
def a_row_ends_at_eos(sampling, draw):
    """The example: a 3 ends a row, and is no part of it; a finished row is padded while others go on."""
    idx = draw.tensor([[2], [0]])
    return sampling.generate(circle_model(draw, 4), idx, max_new_tokens=9, context_size=1, eos_id=3)


@check("generate")
def without_eos_it_goes_on_greedily(sampling, draw):
    """Without eos_id and temperature: the most likely token each time, max_new_tokens times."""
    idx = draw.tensor([[3, 1, 4, 1, 5, 9], [2, 7, 1, 8, 2, 8]])
    return sampling.generate(WindowModel(11), idx, max_new_tokens=7, context_size=4)


@check("generate", needs="a_row_ends_at_eos")
def each_row_ends_on_its_own(sampling, draw):
    """Three rows that end at different times; eos_id in a prompt ends nothing, only a chosen one does."""
    idx = draw.tensor([[0, 3], [0, 1], [0, 0], [4, 0]])
    return sampling.generate(circle_model(draw, 5), idx, max_new_tokens=9, context_size=2, eos_id=4)


@check("generate", needs="without_eos_it_goes_on_greedily")
def the_settings_reach_every_step(sampling, draw):
    """Temperature, top-k and top-p act at every step: seen from which tokens come at all in 300 rows."""
    table = draw.tensor(
        [[0.4, 0.3, 0.2, 0.1], [0.3, 0.4, 0.1, 0.2], [0.1, 0.2, 0.3, 0.4], [0.2, 0.1, 0.4, 0.3]]
    )
    model, idx = nn.Embedding.from_pretrained(8 * table.log()), draw.tensor([[2]] * 300)
    ways = [(0.01, None, None), (8.0, 2, None), (8.0, None, 0.75), (16.0, 3, 0.4), (80.0, None, None)]
    texts = [sampling.generate(model, idx, 2, 1, T, top_k=k, top_p=p) for T, k, p in ways]
    return [[text[:, 1].unique(), text[:, 2].unique()] for text in texts]


@check("generate", needs="a_row_ends_at_eos")
def generate_refuses_bad_input(sampling, draw):
    """An empty prompt and a temperature below 0 are ValueErrors."""
    model, idx = circle_model(draw, 4), draw.tensor([[1]])
    return [
        refused(sampling.generate, model, idx[:, :0], 3, 4),
        refused(sampling.generate, model, idx, 3, 4, -1.0),
    ]


# KVCache


@check("KVCache")
def an_empty_cache_holds_nothing(sampling, draw):
    """A new cache has no positions, and dicts without keys."""
    cache = sampling.KVCache()
    return {"length": cache.length(), "keys": cache.keys, "values": cache.values}


@check("KVCache", needs="an_empty_cache_holds_nothing")
def three_positions_and_one_make_four(sampling, draw):
    """The example: three positions, then one more."""
    cache = sampling.KVCache()
    cache.append(0, draw.tensor([[[[1.0]] * 3] * 2]), draw.tensor([[[[1.0]] * 3] * 2]))
    keys, values = cache.append(0, draw.tensor([[[[1.0]]] * 2]), draw.tensor([[[[1.0]]] * 2]))
    return {"keys": keys.shape, "values": values.shape, "length": cache.length()}


@check("KVCache", needs="three_positions_and_one_make_four")
def new_positions_come_last(sampling, draw):
    """append returns everything so far in order, and the cache keeps it: keys as keys, values as values."""
    cache, k, v = sampling.KVCache(), draw.normal(2, 3, 5, 4), draw.normal(2, 3, 5, 4)
    cache.append(0, k[:, :, :2], v[:, :, :2])
    keys, values = cache.append(0, k[:, :, 2:], v[:, :, 2:])
    return {"returned": [keys, values], "kept": [cache.keys[0], cache.values[0]]}


@check("KVCache", needs="three_positions_and_one_make_four")
def every_layer_has_its_own(sampling, draw):
    """What one layer appends does not mix with another layer's."""
    cache, k, v = sampling.KVCache(), draw.normal(2, 1, 2, 3, 4), draw.normal(2, 1, 2, 3, 4)
    returned = [cache.append(layer, k[layer], v[layer]) for layer in (0, 1)]
    return {"returned": [list(pair) for pair in returned], "keys": cache.keys, "length": cache.length()}


# attend_cached


@check(
    "attend_cached",
    needs=("new_positions_come_last", "every_layer_has_its_own"),
    forbidden=("F.scaled_dot_product_attention", "nn.MultiheadAttention"),
)
def an_empty_cache_is_plain_attention(sampling, attention, draw):
    """With an empty cache and all positions at once, the result is that of the layer itself."""
    att = draw.fill(attention.MultiHeadAttention(6, 6, 8, dropout=0.0, num_heads=2))
    return sampling.attend_cached(att, draw.normal(2, 5, 6), sampling.KVCache(), layer=0)


@check("attend_cached", needs="an_empty_cache_is_plain_attention")
def the_journey_in_two_parts(sampling, attention, draw):
    """The six words of the journey, four and then two: the published figures of multi-head attention."""
    journey = [[0.43, 0.15, 0.89], [0.55, 0.87, 0.66], [0.57, 0.85, 0.64]]
    journey += [[0.22, 0.58, 0.33], [0.77, 0.25, 0.10], [0.05, 0.80, 0.55]]
    torch.manual_seed(123)
    att = attention.MultiHeadAttention(3, 2, 6, dropout=0.0, num_heads=2).to(draw.device)
    x, cache = draw.tensor([journey]), sampling.KVCache()
    return torch.cat(
        [sampling.attend_cached(att, part, cache, layer=0) for part in x.split([4, 2], dim=1)], dim=1
    )


@check("attend_cached", needs="an_empty_cache_is_plain_attention")
def new_queries_look_at_the_past(sampling, attention, draw):
    """Two new positions look at three that are in the cache, at themselves, and not at their future."""
    att = draw.fill(attention.MultiHeadAttention(6, 6, 8, dropout=0.0, num_heads=2))
    cache = sampling.KVCache()
    cache.append(1, draw.normal(2, 2, 3, 3), draw.normal(2, 2, 3, 3))
    context = sampling.attend_cached(att, draw.normal(2, 2, 6), cache, layer=1)
    return {"context": context, "keys": cache.keys[1], "values": cache.values[1]}


# forward_cached


@check("forward_cached", needs="an_empty_cache_is_plain_attention")
def an_empty_cache_is_the_plain_model(sampling, model, draw):
    """With an empty cache and all tokens at once, the logits are those of the model itself."""
    gpt = small_gpt(model, draw)
    return sampling.forward_cached(gpt, draw.integers(0, 17, 2, 6), sampling.KVCache())


@check("forward_cached", needs=("an_empty_cache_is_the_plain_model", "new_queries_look_at_the_past"))
def token_after_token_is_the_same(sampling, model, draw):
    """Three tokens, then one after the other, up to the context's end: the same logits as all at once."""
    gpt, ids, cache = small_gpt(model, draw), draw.integers(0, 17, 2, 8), sampling.KVCache()
    parts = [sampling.forward_cached(gpt, part, cache) for part in ids.split([3, 1, 1, 1, 1, 1], dim=1)]
    return {"logits": torch.cat(parts, dim=1), "length": cache.length()}


@check("forward_cached", needs="an_empty_cache_is_the_plain_model")
def the_context_has_an_end(sampling, model, draw):
    """Past and new tokens together may fill the context of 8; one more is a ValueError."""
    gpt, ids, results = small_gpt(model, draw), draw.integers(0, 17, 1, 9), {}
    for new in (3, 4):
        cache = sampling.KVCache()
        sampling.forward_cached(gpt, ids[:, :5], cache)
        results[5 + new] = refused(sampling.forward_cached, gpt, ids[:, 5 : 5 + new], cache)
    return results


# generate_cached


@check("generate_cached", needs="token_after_token_is_the_same")
def within_the_context_the_text_is_the_same(sampling, model, draw):
    """Up to the end of the context: token for token what generate gives."""
    idx = draw.integers(0, 17, 3, 3)
    return sampling.generate_cached(talkative_gpt(model, draw), idx, max_new_tokens=6, context_size=8)


@check("generate_cached", needs="within_the_context_the_text_is_the_same")
def every_position_is_computed_once(sampling, model, draw):
    """A prompt of 3 and 6 new tokens: at most 9 positions pass through the feed-forward layers."""
    gpt, idx = talkative_gpt(model, draw), draw.integers(0, 17, 1, 3)
    layer = gpt.trf_blocks[1].ff
    rows = rows_through(layer, lambda: sampling.generate_cached(gpt, idx, max_new_tokens=6, context_size=8))
    return {"positions computed": max(rows, 9)}


@check("generate_cached", needs="within_the_context_the_text_is_the_same")
def past_the_context_the_text_is_the_same(sampling, model, draw):
    """Beyond context_size tokens: still token for token what generate gives, from a moving window."""
    gpt = talkative_gpt(model, draw)
    short, long = draw.integers(0, 17, 3, 3), draw.integers(0, 17, 3, 9)
    return [sampling.generate_cached(gpt, idx, max_new_tokens=9, context_size=5) for idx in (short, long)]


@check("generate_cached", needs="within_the_context_the_text_is_the_same")
def cached_rows_end_on_their_own(sampling, model, draw):
    """eos_id ends rows one by one, as in generate."""
    gpt, idx = talkative_gpt(model, draw), draw.tensor([[5, 2], [3, 3], [16, 9], [0, 7]])
    eos_id = int(sampling.generate_cached(gpt, idx, 4, 8)[0, 4])  # one that does come
    return sampling.generate_cached(gpt, idx, 10, 8, eos_id=eos_id)


@check("generate_cached", needs="past_the_context_the_text_is_the_same", assembled=True)
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
