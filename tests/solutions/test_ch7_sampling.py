"""Chapter 7 against filters written in numpy, loops written out, and the model without a cache."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from solutions.ch3.attention import MultiHeadAttention
from solutions.ch5.model import GPTConfig, GPTModel
from solutions.ch7.sampling import (
    KVCache,
    apply_temperature,
    attend_cached,
    forward_cached,
    generate,
    generate_cached,
    generate_text,
    next_token,
    top_k_filter,
    top_p_filter,
)

examples = settings(deadline=None, derandomize=True, max_examples=100)
some_examples = settings(deadline=None, derandomize=True, max_examples=40)
V, CONTEXT = 23, 10
INF = float("inf")


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before():
    torch.manual_seed(0)


def make_model() -> GPTModel:
    """In float64, so that two ways to the same numbers choose the same tokens.

    A GPT with quite random weights soon repeats one word, and equal texts would show little. So its
    head likes the number after the last one, and large random weights in between disturb that.
    """
    torch.manual_seed(4)
    cfg = GPTConfig(V, CONTEXT, emb_dim=24, n_heads=3, n_layers=2, drop_rate=0.3, qkv_bias=True)
    model = GPTModel(cfg).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.25)
    model.final_norm.scale.data += 1
    model.tok_emb.weight.data = 4 * nn.functional.normalize(torch.randn(V, 24).double(), dim=1)
    model.out_head.weight.data = model.tok_emb.weight.data.roll(1, dims=0) / 2
    return model


MODEL = make_model()


def table_model(probabilities) -> nn.Embedding:
    """A model whose next token depends on the last one by this table of probabilities."""
    return nn.Embedding.from_pretrained(torch.tensor(probabilities, dtype=torch.float64).log())


def circle(n) -> nn.Embedding:
    """A model that always goes on with the next number, back to 0 after n − 1."""
    return nn.Embedding.from_pretrained(torch.eye(n).roll(1, dims=1))


class Recorder(nn.Module):
    """Notes what the model was shown."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.shown = []

    def forward(self, ids):
        self.shown.append(ids.clone())
        return self.model(ids)


# Halves make many ties; −inf is what an earlier filter leaves.
scores = st.one_of(st.integers(-8, 8).map(lambda n: n / 2), st.floats(-20, 20), st.just(-INF))


@st.composite
def batches_of_logits(draw):
    width = draw(st.integers(1, 12))
    row = st.lists(scores, min_size=width, max_size=width).filter(lambda row: max(row) > -INF)
    return np.array(draw(st.lists(row, min_size=1, max_size=3)))


# temperature


@examples
@given(logits=batches_of_logits(), temperature=st.floats(0.01, 50))
def test_temperature_divides(logits, temperature):
    given_logits = torch.tensor(logits)
    result = apply_temperature(given_logits, temperature)
    np.testing.assert_allclose(result.numpy(), logits / temperature, rtol=1e-12)
    assert np.array_equal(given_logits.numpy(), logits)


@pytest.mark.parametrize(
    ("temperature", "figures"),
    [(1, [0.1925, 0.1426, 0.2351, 0.1426, 0.2872]), (1 / 8, [0.0326, 0.0030, 0.1615, 0.0030, 0.8000])],
)
def test_temperature_sharpens_as_published(temperature, figures):
    logits = apply_temperature(torch.tensor([0.1, -0.2, 0.3, -0.2, 0.5]), temperature)
    torch.testing.assert_close(logits.softmax(dim=-1), torch.tensor(figures), rtol=0, atol=0.51e-4)


@pytest.mark.parametrize("temperature", [0, 0.0, -1, -1e-9])
def test_a_temperature_of_0_or_below_cannot_be_divided_by(temperature):
    with pytest.raises(ValueError, match="temperature"):
        apply_temperature(torch.zeros(3), temperature)


# top-k


def top_k_in_numpy(row, k):
    kth = sorted(row, reverse=True)[min(k, len(row)) - 1]
    return np.array([x if x >= kth else -INF for x in row])


@examples
@given(logits=batches_of_logits(), k=st.integers(1, 15))
def test_top_k_is_that_of_numpy(logits, k):
    given_logits = torch.tensor(logits)
    expected = np.array([top_k_in_numpy(row, k) for row in logits])
    assert np.array_equal(top_k_filter(given_logits, k).numpy(), expected)
    assert np.array_equal(top_k_filter(given_logits[0], k).numpy(), expected[0])
    assert np.array_equal(top_k_filter(given_logits.unsqueeze(1), k).squeeze(1).numpy(), expected)
    assert np.array_equal(given_logits.numpy(), logits)


def test_ties_with_the_kth_stay():
    logits = torch.tensor([[2.0, 5.0, 2.0, 1.0], [3.0, 3.0, 3.0, 3.0]])
    assert top_k_filter(logits, 2).tolist() == [[2, 5, 2, -INF], [3, 3, 3, 3]]


@pytest.mark.parametrize("k", [0, -1])
def test_a_k_below_1_is_refused(k):
    with pytest.raises(ValueError, match=rf"top_k {k}"):
        top_k_filter(torch.zeros(3), k)


# top-p


def softmax_in_numpy(row):
    odds = np.exp(row - np.max(row))
    return odds / odds.sum()


def top_p_in_numpy(row, p):
    """Take the likeliest token, the earlier of equals, until the sum has reached p."""
    probabilities = softmax_in_numpy(row)
    kept, total = np.full(len(row), -INF), 0.0
    for i in sorted(range(len(row)), key=lambda i: (-row[i], i)):
        kept[i] = row[i]
        total += probabilities[i]
        if total >= p:
            break
    return kept


@examples
@given(logits=batches_of_logits(), p=st.one_of(st.floats(1e-6, 0.999), st.just(1e-12)))
def test_top_p_is_that_of_numpy(logits, p):
    for row in logits:
        sums = np.cumsum(np.sort(softmax_in_numpy(row))[::-1])
        assume(np.abs(sums - p).min() > 1e-9)  # nearer ones are a matter of rounding; see below
    given_logits = torch.tensor(logits)
    expected = np.array([top_p_in_numpy(row, p) for row in logits])
    assert np.array_equal(top_p_filter(given_logits, p).numpy(), expected)
    assert np.array_equal(top_p_filter(given_logits[0], p).numpy(), expected[0])
    assert np.array_equal(top_p_filter(given_logits.unsqueeze(1), p).squeeze(1).numpy(), expected)
    assert np.array_equal(given_logits.numpy(), logits)


@examples
@given(logits=batches_of_logits())
def test_a_p_of_1_keeps_everything(logits):
    assert np.array_equal(top_p_filter(torch.tensor(logits), 1).numpy(), logits)
    assert np.array_equal(top_p_filter(torch.tensor(logits).float(), 1.0).numpy(), logits.astype("float32"))


def test_a_p_of_1_keeps_even_what_rounding_would_lose():
    logits = torch.cat([torch.zeros(1), torch.full((50_000,), -25.0)])
    assert torch.equal(top_p_filter(logits, 1.0), logits)


@pytest.mark.parametrize(
    ("p", "kept"), [(0.25, 1), (0.2500001, 2), (0.5, 2), (0.75, 3), (0.76, 4), (1e-9, 1)]
)
def test_the_token_that_reaches_p_is_the_last_to_stay(p, kept):
    """Four equal tokens: their sums 0.25, 0.5, 0.75 and 1 are exact."""
    assert top_p_filter(torch.zeros(4), p).isfinite().sum() == kept


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("p", [1e-8, 1e-50, 5e-324])
def test_one_token_stays_however_small_p_is(p, dtype):
    assert top_p_filter(torch.tensor([1.0, 3.0, 2.0], dtype=dtype), p).tolist() == [-INF, 3, -INF]


@pytest.mark.parametrize("p", [0, 0.0, -0.1, 1.0000001, 2, float("nan")])
def test_a_p_outside_0_and_1_is_refused(p):
    with pytest.raises(ValueError, match=rf"top_p {p}"):
        top_p_filter(torch.zeros(3), p)


# choosing a token


@examples
@given(logits=batches_of_logits())
def test_greedy_takes_the_greatest(logits):
    chosen = next_token(torch.tensor(logits))
    assert chosen.tolist() == [[int(np.argmax(row))] for row in logits]


def frequencies(logits, draws=20_000, **settings):
    rows = torch.as_tensor(logits, dtype=torch.float64).expand(draws, -1)
    chosen = next_token(rows, generator=torch.Generator().manual_seed(0), **settings)
    assert chosen.shape == (draws, 1)
    return chosen.flatten().bincount(minlength=rows.shape[1]).numpy() / draws


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 1.0},
        {"temperature": 0.4},
        {"temperature": 3.0},
        {"temperature": 1.5, "top_k": 3},
        {"temperature": 0.8, "top_p": 0.7},
        {"temperature": 1.3, "top_k": 5, "top_p": 0.8},
        {"temperature": 1.0, "top_k": 99, "top_p": 1.0},
    ],
    ids=str,
)
def test_draws_follow_the_distribution(settings):
    logits = np.array([0.3, -1.0, 2.0, 1.2, 0.9, -3.0, 1.2])
    row = logits / settings["temperature"]
    if "top_k" in settings:
        row = top_k_in_numpy(row, settings["top_k"])
    if settings.get("top_p", 1) < 1:
        row = top_p_in_numpy(row, settings["top_p"])
    expected = softmax_in_numpy(row)
    seen = frequencies(logits, **settings)
    possible = expected > 0
    assert seen[~possible].sum() == 0
    chi_square = 20_000 * ((seen - expected)[possible] ** 2 / expected[possible]).sum()
    assert chi_square < 22.5  # at most 6 degrees of freedom: one in a thousand


def support(settings, probabilities):
    return set(np.flatnonzero(frequencies(np.log(probabilities), draws=3000, **settings)))


def test_temperature_comes_before_top_p():
    # heated to T = 2 the probabilities are 0.33 0.28 0.23 0.16: three reach 0.65, where two did
    assert support({"temperature": 2.0, "top_p": 0.65}, [0.4, 0.3, 0.2, 0.1]) == {0, 1, 2}
    assert support({"temperature": 1.0, "top_p": 0.65}, [0.4, 0.3, 0.2, 0.1]) == {0, 1}


def test_top_k_comes_before_top_p():
    # among the best two the first has 0.57 and reaches 0.5 alone
    assert support({"temperature": 1.0, "top_k": 2, "top_p": 0.5}, [0.4, 0.3, 0.2, 0.1]) == {0}
    assert support({"temperature": 1.0, "top_p": 0.5}, [0.4, 0.3, 0.2, 0.1]) == {0, 1}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"temperature": -0.5}, r"temperature -0\.5"),
        ({"temperature": 1.0, "top_k": 0}, "top_k 0"),
        ({"temperature": 1.0, "top_p": 0.0}, r"top_p 0\.0"),
    ],
)
def test_bad_numbers_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        next_token(torch.zeros(1, 3), **settings)
    for generating in (generate, generate_cached):
        with pytest.raises(ValueError, match=words):
            generating(MODEL, torch.tensor([[1]]), 2, CONTEXT, **settings)


# generating

GENERATING = [generate, generate_cached]
prompts = st.tuples(st.integers(1, 4), st.integers(1, CONTEXT + 4), st.integers(0, 2**32))


def random_prompt(rows, length, seed):
    return torch.randint(V, (rows, length), generator=torch.Generator().manual_seed(seed))


def greedy_loop(model, row, n, context_size):
    """One row, in plain lists."""
    row = list(row)
    for _ in range(n):
        logits = model(torch.tensor([row[-context_size:]]))[0, -1].tolist()
        row.append(logits.index(max(logits)))
    return row


@some_examples
@given(prompt=prompts, n=st.integers(0, 8), context_size=st.integers(1, CONTEXT))
def test_greedy_text_is_that_of_the_argmax_loop(prompt, n, context_size):
    idx = random_prompt(*prompt)
    before = idx.clone()
    expected = [greedy_loop(MODEL, row, n, context_size) for row in idx.tolist()]
    for text in (
        generate_text(MODEL, idx, n, context_size),
        generate(MODEL, idx, n, context_size),
        generate_cached(MODEL, idx, n, context_size),
    ):
        assert text.dtype == torch.int64 and text.tolist() == expected
    assert torch.equal(idx, before)


def test_the_model_says_enough_to_tell_texts_apart():
    text = generate(MODEL, random_prompt(3, 2, 0), 30, CONTEXT)
    assert min(len(set(row.tolist())) for row in text) > 8


@pytest.mark.parametrize("generating", [generate_text, generate])
def test_the_model_is_shown_the_last_tokens_of_the_context(generating):
    recorder = Recorder(circle(9))
    idx = torch.tensor([[4, 0, 7], [1, 1, 5]])
    text = generating(recorder, idx, 5, 4)
    assert [ids.tolist() for ids in recorder.shown] == [
        text[:, max(0, end - 4) : end].tolist() for end in range(3, 8)
    ]
    assert text.tolist() == [[4, 0, 7, 8, 0, 1, 2, 3], [1, 1, 5, 6, 7, 8, 0, 1]]


@pytest.mark.parametrize("generating", [generate_text, generate, generate_cached])
def test_an_empty_prompt_is_refused(generating):
    with pytest.raises(ValueError, match="empty"):
        generating(MODEL, torch.zeros(2, 0, dtype=torch.int64), 3, CONTEXT)


@pytest.mark.parametrize("generating", [generate_text, generate, generate_cached])
@pytest.mark.parametrize("bad_id", [-1, V])
def test_a_token_outside_the_vocabulary_is_named(generating, bad_id):
    with pytest.raises(ValueError, match=rf"{bad_id}\b"):
        generating(MODEL, torch.tensor([[1, bad_id]]), 3, CONTEXT)


@pytest.mark.parametrize("generating", [generate_text, generate, generate_cached])
def test_a_context_longer_than_the_models_is_refused_once_it_is_needed(generating):
    idx = random_prompt(1, CONTEXT - 1, 0)
    assert generating(MODEL, idx, 2, CONTEXT + 5).shape == (1, CONTEXT + 1)
    with pytest.raises(ValueError, match=str(CONTEXT)):
        generating(MODEL, idx, 3, CONTEXT + 5)


def test_generating_keeps_no_graph():
    for generating in (generate_text, generate, generate_cached):
        generating(MODEL, random_prompt(1, 3, 0), 2, CONTEXT)
    recorder = Recorder(MODEL)
    recorder.register_forward_hook(lambda _, inputs, logits: recorder.shown.append(logits.requires_grad))
    generate(recorder, random_prompt(1, 3, 0), 1, CONTEXT)
    assert recorder.shown[1:] == [False]


@pytest.mark.parametrize("settings", [{"temperature": 1.0}, {"temperature": 0.7, "top_k": 2}], ids=str)
def test_sampled_chains_follow_the_table(settings):
    probabilities = [[0.1, 0.2, 0.7], [0.5, 0.25, 0.25], [0.3, 0.6, 0.1]]
    idx = torch.zeros(20_000, 1, dtype=torch.int64)
    text = generate(
        table_model(probabilities), idx, 2, 1, generator=torch.Generator().manual_seed(0), **settings
    )
    rows = np.log(probabilities) / settings["temperature"]
    step = np.array([softmax_in_numpy(top_k_in_numpy(row, settings.get("top_k", 3))) for row in rows])
    for column, expected in ((1, step[0]), (2, step[0] @ step)):
        seen = text[:, column].bincount(minlength=3).numpy() / 20_000
        np.testing.assert_allclose(seen, expected, atol=0.015)


def test_the_generator_decides_and_the_global_one_is_left_alone():
    before = torch.get_rng_state()
    texts = [
        generate(MODEL, random_prompt(2, 3, 0), 20, CONTEXT, 1.0, generator=torch.Generator().manual_seed(s))
        for s in (1, 1, 2)
    ]
    assert torch.equal(texts[0], texts[1]) and not torch.equal(texts[0], texts[2])
    assert torch.equal(torch.get_rng_state(), before)


# the end of a text


def test_rows_end_one_by_one_and_are_padded():
    recorder = Recorder(circle(6))
    idx = torch.tensor([[3], [0], [4]])
    assert generate(recorder, idx, 20, 1, eos_id=5).tolist() == [
        [3, 4, 5, 5, 5],
        [0, 1, 2, 3, 4],  # its end is the end of all, and is not returned
        [4, 5, 5, 5, 5],
    ]
    assert len(recorder.shown) == 5  # and then no more


def test_a_single_row_ends_without_the_token():
    assert generate(circle(6), torch.tensor([[2]]), 20, 1, eos_id=5).tolist() == [[2, 3, 4]]
    assert generate(circle(6), torch.tensor([[4]]), 20, 1, eos_id=5).tolist() == [[4]]


def test_the_token_in_a_prompt_ends_nothing():
    assert generate(circle(6), torch.tensor([[5, 5, 0]]), 3, 1, eos_id=5).tolist() == [[5, 5, 0, 1, 2, 3]]


def test_token_0_can_be_the_end():
    assert generate(circle(4), torch.tensor([[2], [1]]), 9, 1, eos_id=0).tolist() == [[2, 3, 0], [1, 2, 3]]


@some_examples
@given(prompt=prompts, n=st.integers(0, 12), eos_id=st.integers(0, V - 1))
def test_a_batch_with_an_end_is_its_rows_cut_and_padded(prompt, n, eos_id):
    idx = random_prompt(*prompt)
    length = idx.shape[1]
    new_tokens = [greedy_loop(MODEL, row, n, CONTEXT)[length:] for row in idx.tolist()]
    cut = [list(itertools.takewhile(lambda token: token != eos_id, row)) for row in new_tokens]
    longest = max(len(row) for row in cut)
    expected = [row + [eos_id] * (longest - len(row)) for row in cut]
    for generating in GENERATING:
        text = generating(MODEL, idx, n, CONTEXT, eos_id=eos_id)
        assert torch.equal(text[:, :length], idx)
        assert text[:, length:].tolist() == expected


# the cache


@some_examples
@given(
    length=st.integers(1, CONTEXT),
    cuts=st.sets(st.integers(1, CONTEXT - 1)),
    rows=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
@torch.no_grad()
def test_logits_in_any_portions_equal_those_at_once(length, cuts, rows, seed):
    ids = random_prompt(rows, length, seed)
    ends = [*sorted(cut for cut in cuts if cut < length), length]
    cache, logits = KVCache(), []
    assert cache.length() == 0
    for start, end in itertools.pairwise([0, *ends]):
        logits.append(forward_cached(MODEL, ids[:, start:end], cache))
        assert logits[-1].shape == (rows, end - start, V)
        assert cache.length() == end
    torch.testing.assert_close(torch.cat(logits, dim=1), MODEL(ids), rtol=0, atol=1e-10)


@torch.no_grad()
def test_attention_in_portions_equals_attention_at_once():
    att = MultiHeadAttention(6, 8, 12, dropout=0.0, num_heads=4).double()
    x = torch.randn(2, 12, 6).double()
    cache = KVCache()
    portions = [attend_cached(att, part, cache, layer=0) for part in x.split([5, 1, 1, 3, 2], dim=1)]
    torch.testing.assert_close(torch.cat(portions, dim=1), att(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        cache.keys[0], torch.stack(att.W_key(x).chunk(4, dim=-1), dim=1), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(
        cache.values[0], torch.stack(att.W_value(x).chunk(4, dim=-1), dim=1), rtol=0, atol=1e-12
    )


def test_a_cache_keeps_its_layers_apart_and_its_positions_in_order():
    cache = KVCache()
    keys, values = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    for part in (slice(0, 3), slice(3, 4), slice(4, 5)):
        for layer, sign in ((0, 1), (1, -1)):
            seen = cache.append(layer, sign * keys[:, :, part], sign * values[:, :, part])
            assert torch.equal(seen[0], sign * keys[:, :, : part.stop])
            assert torch.equal(seen[1], sign * values[:, :, : part.stop])
    assert cache.length() == 5


@torch.no_grad()
def test_a_full_cache_refuses_more_and_stays_as_it_was():
    ids = random_prompt(1, CONTEXT, 0)
    cache = KVCache()
    forward_cached(MODEL, ids[:, :-1], cache)
    with pytest.raises(ValueError, match=rf"{CONTEXT - 1} \+ 2\b.*\b{CONTEXT}\b"):
        forward_cached(MODEL, ids[:, -2:], cache)
    assert cache.length() == CONTEXT - 1
    last = forward_cached(MODEL, ids[:, -1:], cache)
    torch.testing.assert_close(last, MODEL(ids)[:, -1:], rtol=0, atol=1e-10)


@some_examples
@given(
    prompt=prompts,
    n=st.integers(0, 14),
    context_size=st.integers(1, CONTEXT),
    settings=st.sampled_from(
        [{}, {"temperature": 1.0}, {"temperature": 0.8, "top_k": 4}, {"temperature": 1.2, "top_p": 0.8}]
    ),
    eos_id=st.one_of(st.none(), st.integers(0, V - 1)),
    seed=st.integers(0, 2**32),
)
def test_cached_text_equals_uncached_text(prompt, n, context_size, settings, eos_id, seed):
    """Within the context and beyond it, greedy and drawn, in batches, with and without an end."""
    idx = random_prompt(*prompt)
    before = idx.clone()
    uncached, cached = (
        generating(
            MODEL,
            idx,
            n,
            context_size,
            **settings,
            eos_id=eos_id,
            generator=torch.Generator().manual_seed(seed),
        )
        for generating in GENERATING
    )
    assert torch.equal(cached, uncached)
    assert torch.equal(idx, before)


def positions_computed(generating, prompt_length, n, context_size):
    """How many positions pass through each block's feed-forward."""
    counts = [0] * len(MODEL.trf_blocks)

    def count(layer):
        def hook(_, inputs):
            counts[layer] += inputs[0].shape[1]

        return hook

    hooks = [block.ff.register_forward_pre_hook(count(i)) for i, block in enumerate(MODEL.trf_blocks)]
    generating(MODEL, random_prompt(1, prompt_length, 0), n, context_size)
    for hook in hooks:
        hook.remove()
    assert len(set(counts)) == 1
    return counts[0]


@pytest.mark.parametrize(("prompt_length", "n"), [(1, 1), (1, 9), (4, 5), (9, 2)])
def test_with_a_cache_every_position_is_computed_once(prompt_length, n):
    last = prompt_length + n - 1  # the last token is never shown to the model
    assert positions_computed(generate_cached, prompt_length, n, CONTEXT) == last
    assert positions_computed(generate, prompt_length, n, CONTEXT) == sum(range(prompt_length, last + 1))


def test_past_the_context_the_window_is_computed_anew():
    assert positions_computed(generate_cached, 4, 10, CONTEXT) == CONTEXT + 3 * CONTEXT
    assert positions_computed(generate_cached, 4, 10, 6) == 6 + 7 * 6
