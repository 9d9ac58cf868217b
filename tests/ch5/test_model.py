"""Hidden checks of chapter 5: fresh inputs and sizes, one check for each property."""

import torch
from torch import nn

from grader.checks import check

SHARED = ("DropOdd", "early_pieces", "fresh_config", "loose_parts", "outcome", "refusal", "start_of")

FINISHED_PARTS = (
    "nn.Transformer*",
    "nn.MultiheadAttention",
    "F.scaled_dot_product_attention",
    "nn.LayerNorm",
)


class DropOdd(nn.Module):
    """Stands where a dropout was, and always drops the same: every second number of each vector."""

    def forward(self, x):
        return x * (torch.arange(x.shape[-1], device=x.device) % 2 == 0)


def fresh_config(model, draw, **sizes):
    """Small sizes, no two of them alike; with drop_rate and qkv_bias as given."""
    heads = draw.integer(2, 4)
    return model.GPTConfig(
        vocab_size=draw.integer(30, 50),
        context_length=draw.integer(7, 11),
        emb_dim=heads * draw.integer(4, 7),
        n_heads=heads,
        **{"n_layers": draw.integer(2, 4)} | sizes,
    )


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


def loose_parts(block, n_layers=4):
    """The parts that init_weights and tie_weights touch, so that GPTModel's mistakes do not count here."""
    cfg = block.GPTConfig(300, 250, 40, n_heads=2, n_layers=n_layers, qkv_bias=True)
    parts = nn.Module()
    parts.tok_emb, parts.pos_emb = nn.Embedding(300, 40), nn.Embedding(250, 40)
    parts.trf_blocks = nn.Sequential(*[block.TransformerBlock(cfg) for _ in range(n_layers)])
    parts.final_norm = block.LayerNorm(40)
    parts.out_head = nn.Linear(40, 300, bias=False)
    return parts


def refusal(function, *args):
    """How a call is refused: by a ValueError, or by what Python or torch say where nobody looked."""
    try:
        function(*args)
    except NotImplementedError:
        raise
    except ValueError:
        return "ValueError"
    except (LookupError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def start_of(matrices, std):
    """How some matrices are distributed, roughly enough that only another distribution differs."""
    x = torch.cat([matrix.detach().flatten() for matrix in matrices])
    return {
        "standard deviation / the one asked for": round(x.std().item() / std, 1),
        "mean is about 0": x.mean().abs().item() < 0.1 * std,
        "part within one standard deviation": round((x.abs() < x.std()).float().mean().item(), 1),
    }


# GPTModel


@check("GPTModel", forbidden=FINISHED_PARTS)
def names_and_shapes(model, draw):
    """Every parameter has its name and shape, with and without biases on query, key and value."""
    cfgs = [fresh_config(model, draw, qkv_bias=qkv_bias) for qkv_bias in (False, True)]
    gpts = [model.GPTModel(cfg) for cfg in cfgs]
    return [{name: tuple(p.shape) for name, p in gpt.named_parameters()} for gpt in gpts]


@check("GPTModel", forbidden=FINISHED_PARTS)
def blocks_have_weights_of_their_own(model, draw):
    """No two names stand for the same tensor, and no two blocks begin alike."""
    gpt = model.GPTModel(fresh_config(model, draw, n_layers=3))
    names = [name for name, _ in gpt.named_parameters(remove_duplicate=False)]
    firsts = [block.att.W_query.weight for block in gpt.trf_blocks]
    alike = sum(torch.equal(a, b) for a, b in zip(firsts[1:], firsts, strict=False))
    return {"names": len(names), "tensors": len(set(gpt.parameters())), "neighbours alike": alike}


@check("GPTModel", forbidden=FINISHED_PARTS)
def parts_are_made_in_order(model, draw):
    """The embeddings are made first, tokens before positions, so a seed gives everyone the same."""
    cfg = fresh_config(model, draw)
    torch.manual_seed(draw.integer(0, 10**6))
    gpt = model.GPTModel(cfg)
    return [gpt.tok_emb.weight, gpt.pos_emb.weight, gpt.trf_blocks[0].att.W_query.weight]


@check("GPTModel", forbidden=FINISHED_PARTS)
def logits_on_fresh_sizes(model, draw):
    """The logits of fresh ids in a model of fresh sizes."""
    cfg = fresh_config(model, draw, qkv_bias=True)
    gpt = draw.fill(model.GPTModel(cfg))
    return gpt(draw.integers(0, cfg.vocab_size, 3, cfg.context_length - 2))


@check("GPTModel", forbidden=FINISHED_PARTS)
def logits_of_every_length(model, draw):
    """A text may have one token, two, or as many as the context holds."""
    cfg = fresh_config(model, draw)
    gpt = draw.fill(model.GPTModel(cfg))
    ids = draw.integers(0, cfg.vocab_size, 2, cfg.context_length)
    return [gpt(ids[:, :T]) for T in (1, 2, cfg.context_length)]


@check("GPTModel", forbidden=FINISHED_PARTS)
def logits_of_one_block(model, draw):
    """A model of a single block."""
    cfg = fresh_config(model, draw, n_layers=1)
    return draw.fill(model.GPTModel(cfg))(draw.integers(0, cfg.vocab_size, 2, 5))


@check("GPTModel", forbidden=FINISHED_PARTS)
def extreme_ids_are_in_the_vocabulary(model, draw):
    """The first and the last token of the vocabulary have logits like any other."""
    cfg = fresh_config(model, draw)
    gpt = draw.fill(model.GPTModel(cfg))
    return gpt(draw.tensor([[0, cfg.vocab_size - 1], [cfg.vocab_size - 1, 0]]))


@check("GPTModel", forbidden=FINISHED_PARTS)
def later_tokens_change_nothing_before(model, draw):
    """Changing the tokens from position 4 on leaves the logits of positions 0 to 3 as they were."""
    gpt = draw.fill(model.GPTModel(fresh_config(model, draw, drop_rate=0.0)))
    ids = draw.integers(0, 30, 2, 7)
    changed = torch.cat([ids[:, :4], 29 - ids[:, 4:]], dim=1)
    return {"before": gpt(ids)[:, :4], "after": gpt(changed)[:, :4]}


@check("GPTModel", forbidden=FINISHED_PARTS)
def rows_do_not_see_each_other(model, draw):
    """A text's logits are the same alone and in company."""
    gpt = draw.fill(model.GPTModel(fresh_config(model, draw)))
    ids = draw.integers(0, 30, 4, 6)
    return {"together": gpt(ids), "alone": [gpt(row[None]) for row in ids]}


@check("GPTModel", forbidden=FINISHED_PARTS)
def gradients_of_every_parameter(model, draw):
    """The gradients that a loss on the logits sends back to every parameter."""
    cfg = fresh_config(model, draw)
    gpt = draw.fill(model.GPTModel(cfg))
    logits = gpt(draw.integers(0, cfg.vocab_size, 4, cfg.context_length))
    (logits * draw.normal(*logits.shape)).sum().backward()
    return {name: p.grad for name, p in gpt.named_parameters()}


@check("GPTModel", forbidden=FINISHED_PARTS)
def drop_emb_takes_the_embeddings(model, draw):
    """drop_emb stands between the embeddings and the first block, in training and in evaluation."""
    cfg = fresh_config(model, draw)
    gpt = draw.fill(model.GPTModel(cfg))
    gpt.drop_emb = DropOdd()
    ids = draw.integers(0, cfg.vocab_size, 2, 6)
    return [gpt.train()(ids), gpt.eval()(ids)]


@check("GPTModel", forbidden=FINISHED_PARTS)
def evaluation_drops_nothing(model, draw):
    """In evaluation a model with a dropout of 0.9 gives the same logits twice, those without dropout."""
    cfg = fresh_config(model, draw, drop_rate=0.9)
    gpt = draw.fill(model.GPTModel(cfg)).eval()
    ids = draw.integers(0, cfg.vocab_size, 2, 6)
    return [gpt(ids), gpt(ids)]


@check("GPTModel", forbidden=FINISHED_PARTS)
def training_drops_at_the_given_rate(model, draw):
    """In training, drop_emb zeroes about drop_rate of 10,000 numbers, and enlarges the rest."""
    cfg = fresh_config(model, draw, drop_rate=0.3)
    return model.GPTModel(cfg).drop_emb(torch.ones(100, 100, device=draw.device))


@training_drops_at_the_given_rate.accept
def _(seen):
    zeros = (seen == 0).double().mean().item()
    if not 0.27 < zeros < 0.33:  # ± 6.5 standard deviations
        return f"{zeros:.0%} of the numbers are zeroed, not about 30 %."
    kept = seen[seen != 0]
    if (kept - 1 / 0.7).abs().max() > 1e-4:
        return "What is not zeroed should be divided by 0.7."


@check("GPTModel", forbidden=FINISHED_PARTS)
def training_drops_in_the_blocks_too(model, draw):
    """In training the blocks drop anew each time: with drop_emb out of the way two runs still differ."""
    cfg = fresh_config(model, draw, drop_rate=0.5)
    gpt = draw.fill(model.GPTModel(cfg))
    gpt.drop_emb = nn.Identity()
    ids = draw.integers(0, cfg.vocab_size, 2, 6)
    return {"evaluation": gpt.eval()(ids), "two runs differ": not torch.equal(gpt.train()(ids), gpt(ids))}


@check("GPTModel", forbidden=FINISHED_PARTS)
def too_many_positions_are_refused(model, draw):
    """One token more than the context holds is a ValueError."""
    cfg = fresh_config(model, draw)
    gpt = model.GPTModel(cfg)
    ids = torch.zeros(1, cfg.context_length + 1, dtype=torch.int64)
    return [refusal(gpt, ids[:, 1:]), refusal(gpt, ids)]


@check("GPTModel", forbidden=FINISHED_PARTS)
def ids_outside_the_vocabulary_are_refused(model, draw):
    """On the CPU an id below 0 or beyond the last one is a ValueError."""
    cfg = fresh_config(model, draw)
    gpt = model.GPTModel(cfg)
    return [refusal(gpt, torch.tensor([[1, wrong, 2]])) for wrong in (-1, cfg.vocab_size, 0)]


@check("GPTModel", forbidden=FINISHED_PARTS)
def ids_and_weights_stay_as_they_are(model, draw):
    """A forward pass changes neither the ids nor the model."""
    cfg = fresh_config(model, draw)
    gpt = draw.fill(model.GPTModel(cfg))
    ids = draw.integers(0, cfg.vocab_size, 2, 7)
    first = gpt(ids)
    gpt(29 - ids[:1, :3] % 30)
    return {"ids": ids, "parameters": dict(gpt.named_parameters()), "first": first, "again": gpt(ids)}


@check("GPTModel", needs="logits_on_fresh_sizes", assembled=True)
def your_own_chapters_together(model, inputs, attention, block, draw):
    """Your own chapters 2 to 5 work together; mend the earliest one that differs."""
    seen = early_pieces(inputs, attention, block, draw)
    gpt = draw.fill(model.GPTModel(model.GPTConfig(30, 8, 6, n_heads=2, n_layers=2, qkv_bias=True)))
    return seen | {"ch5, GPTModel": outcome(gpt, draw.integers(0, 30, 2, 5))}


# count_parameters


@check("count_parameters")
def fresh_layers(model, draw):
    """The numbers of matrices, biases and tensors of other shapes."""
    a, b, c = (draw.integer(3, 9) for _ in range(3))
    one = nn.Sequential(nn.Linear(a, b), nn.Linear(b, c, bias=False), nn.Embedding(c, a))
    one.scalar = nn.Parameter(torch.tensor(1.0))
    one.filters = nn.Conv2d(a, b, kernel_size=3)
    return model.count_parameters(one)


@check("count_parameters")
def shared_in_any_way(model, draw):
    """A parameter or a whole layer that is used in several places counts once; equal ones count each."""
    n = draw.integer(3, 9)
    layer, other = nn.Linear(n, n), nn.Linear(n, n, bias=False)
    shared = nn.Sequential(layer, layer, nn.Sequential(layer, other))
    other.weight = layer.weight
    equal = nn.Sequential(nn.LayerNorm(n), nn.LayerNorm(n))
    return {"shared": model.count_parameters(shared), "equal": model.count_parameters(equal)}


@check("count_parameters")
def state_that_is_no_parameter(model, draw):
    """Buffers and plain tensors are not trained."""
    n = draw.integer(3, 9)
    one = nn.Sequential(nn.Linear(n, 2), nn.BatchNorm1d(2))
    one.register_buffer("mask", torch.ones(n, n))
    one.note = torch.ones(n)
    return model.count_parameters(one)


@check("count_parameters")
def nothing_to_train(model):
    """A module without parameters has 0 of them."""
    return model.count_parameters(nn.Sequential(nn.ReLU(), nn.Flatten()))


@check("count_parameters")
def counting_changes_nothing(model, draw):
    """The parameters and their gradients are as before, and a second count is as the first."""
    layer = draw.fill(nn.Linear(draw.integer(3, 9), 4))
    layer(draw.normal(2, layer.in_features)).sum().backward()
    counts = [model.count_parameters(layer), model.count_parameters(layer)]
    return {"counts": counts, "weight": layer.weight, "gradient": layer.weight.grad}


# init_weights


@check("init_weights")
def every_kind_of_matrix(model, block, draw):
    """Each kind of matrix has its standard deviation, for fresh numbers of blocks."""
    n_layers = draw.integer(4, 7)
    parts = loose_parts(block, n_layers)
    model.init_weights(parts)
    atts, ffs = [b.att for b in parts.trf_blocks], [b.ff.layers for b in parts.trf_blocks]
    residual_std = 0.02 / (2 * n_layers) ** 0.5
    return {
        "tok_emb": start_of([parts.tok_emb.weight], 0.02),
        "pos_emb": start_of([parts.pos_emb.weight], 0.02),
        "out_head": start_of([parts.out_head.weight], 0.02),
        "W_query": start_of([att.W_query.weight for att in atts], 0.02),
        "W_key": start_of([att.W_key.weight for att in atts], 0.02),
        "W_value": start_of([att.W_value.weight for att in atts], 0.02),
        "ff, first": start_of([layers[0].weight for layers in ffs], 0.02),
        "att.out_proj": start_of([att.out_proj.weight for att in atts], residual_std),
        "ff, last": start_of([layers[-1].weight for layers in ffs], residual_std),
    }


@check("init_weights")
def every_block_is_scaled(model, block, draw):
    """Each block's residual projections start smaller, the first's and the last's like all others."""
    parts = loose_parts(block, n_layers=draw.integer(6, 9))
    model.init_weights(parts)
    pairs = [(b.att.out_proj, b.ff.layers[2]) for b in parts.trf_blocks]
    residual_std = 0.02 / (2 * len(pairs)) ** 0.5
    return [[round(layer.weight.std().item() / residual_std) for layer in pair] for pair in pairs]


@check("init_weights")
def vectors_after_it(model, block, draw):
    """Every bias is 0 afterwards; scales and shifts of layer norms are as before."""
    parts = draw.fill(loose_parts(block, n_layers=draw.integer(2, 4)))
    model.init_weights(parts)
    return {name: p for name, p in parts.named_parameters() if p.dim() == 1}


@check("init_weights")
def numbers_are_drawn_anew(model, block):
    """No two blocks start alike, and no two calls give the same numbers, unless they begin with one seed."""
    parts = loose_parts(block, n_layers=3)
    starts = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        model.init_weights(parts)
        starts.append([p.detach().clone() for p in parts.parameters() if p.dim() > 1])
    first, again, other = starts
    squares = [p for p in first if p.shape == (40, 40)]
    return {
        "same seed, same start": all(torch.equal(a, b) for a, b in zip(first, again, strict=True)),
        "other seed, same start": any(torch.equal(a, b) for a, b in zip(first, other, strict=True)),
        "matrices alike": sum(torch.equal(a, b) for i, a in enumerate(squares) for b in squares[:i]),
    }


@check("init_weights")
def parameters_stay_the_same_objects(model, block):
    """The parameters are changed in place, so that an optimizer that holds them goes on holding them."""
    parts = loose_parts(block, n_layers=2)
    before = dict(parts.named_parameters())
    model.init_weights(parts)
    after = dict(parts.named_parameters())
    return {
        "kept": sum(after[name] is p for name, p in before.items()),
        "trained": sum(p.requires_grad for p in after.values()),
        "part of a graph": sum(p.grad_fn is not None for p in after.values()),
    }


@check("init_weights")
def tied_models_stay_tied(model, block):
    """A head that is tied to the embedding stays tied, and the one matrix starts at 0.02."""
    parts = loose_parts(block, n_layers=2)
    parts.out_head.weight = parts.tok_emb.weight
    model.init_weights(parts)
    tied = parts.out_head.weight is parts.tok_emb.weight
    return {"tied": tied, "matrix": start_of([parts.tok_emb.weight], 0.02)}


@check("init_weights")
def attention_without_biases(model, block, draw):
    """A model without biases on query, key and value is started too."""
    cfg = block.GPTConfig(40, 8, 32, n_heads=2, n_layers=2, qkv_bias=False)
    parts = loose_parts(block, n_layers=1)
    parts.trf_blocks.append(draw.fill(block.TransformerBlock(cfg)))
    model.init_weights(parts)
    last = parts.trf_blocks[1]
    return {
        "W_query": round(last.att.W_query.weight.std().item() / 0.02),
        "out_proj": round(last.att.out_proj.weight.std().item() / 0.01),
        "bias": last.att.out_proj.bias,
    }


# tie_weights


@check("tie_weights")
def one_parameter(model, block):
    """One parameter under two names, that still is trained and counts once."""
    parts = loose_parts(block, n_layers=1)
    before = len(list(parts.parameters()))
    model.tie_weights(parts)
    head = parts.out_head.weight
    return {
        "same": head is parts.tok_emb.weight,
        "parameters less": before - len(list(parts.parameters())),
        "a parameter": isinstance(head, nn.Parameter) and head.requires_grad and head.is_leaf,
        "shape": tuple(head.shape),
    }


@check("tie_weights")
def both_ends_use_it(model, block, draw):
    """After a change the embedding's rows and the head's scores are both those of the changed matrix."""
    parts = loose_parts(block, n_layers=1).to(draw.device)
    model.tie_weights(parts)
    with torch.no_grad():
        parts.tok_emb.weight.copy_(draw.normal(300, 40))
    x = draw.normal(2, 3, 40)
    return {"rows": parts.tok_emb(draw.integers(0, 300, 2, 3)), "scores": parts.out_head(x)}


@check("tie_weights")
def gradients_of_both_ends_add_up(model, block, draw):
    """The gradient of the shared matrix is what comes from the head plus what comes from the embedding."""
    parts = loose_parts(block, n_layers=1).to(draw.device)
    model.tie_weights(parts)
    with torch.no_grad():
        parts.tok_emb.weight.copy_(draw.normal(300, 40))
    vectors = parts.tok_emb(draw.integers(0, 300, 5))
    (parts.out_head(vectors) * draw.normal(5, 300)).sum().backward()
    return {"embedding": parts.tok_emb.weight.grad, "head": parts.out_head.weight.grad}


@check("tie_weights")
def numbers_come_from_one_of_them(model, block, draw):
    """The shared matrix holds the numbers of the embedding or those of the head, unchanged."""
    parts = loose_parts(block, n_layers=1).to(draw.device)
    with torch.no_grad():
        parts.tok_emb.weight.copy_(draw.normal(300, 40))
        parts.out_head.weight.copy_(draw.normal(300, 40))
    model.tie_weights(parts)
    return parts.out_head(draw.normal(5, 40))


@numbers_come_from_one_of_them.accept
def _(seen, draw):
    embedding, head, x = (draw.normal(*shape).cpu() for shape in ((300, 40), (300, 40), (5, 40)))
    if not any(torch.allclose(seen, x @ matrix.T, rtol=1e-4, atol=1e-4) for matrix in (embedding, head)):
        return "The head's scores are neither those of its own matrix nor those of the embedding's."


@check("tie_weights")
def nothing_else_changes(model, block, draw):
    """All other parameters keep their places and numbers."""
    parts = draw.fill(loose_parts(block, n_layers=2))
    model.tie_weights(parts)
    return {n: p for n, p in parts.named_parameters() if n not in ("tok_emb.weight", "out_head.weight")}
