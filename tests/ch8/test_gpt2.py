"""Hidden checks of chapter 8: fresh inputs for every grading."""

import torch
from torch import nn

from grader.checks import check

SHARED = (
    "LAYERS",
    "SIZES",
    "converted",
    "early_pieces",
    "outcome",
    "hf_tensors",
    "leaves",
    "openai_tree",
    "raised",
    "replaced",
    "sizes_of",
    "small_gpt",
)

SIZES = {"vocab_size": 65, "n_positions": 64, "n_embd": 32, "n_head": 4, "n_layer": 2}
LAYERS = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")


def sizes_of(cfg):
    """A configuration as a dict."""
    names = ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers", "drop_rate", "qkv_bias")
    return {name: getattr(cfg, name) for name in names}


def hf_tensors(draw, n_layers=2):
    """Hugging Face's names, each with a tensor of its own."""
    names = ["wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias"]
    for i in range(n_layers):
        names += [f"h.{i}.{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")]
    return {name: draw.normal(2, 3) for name in names}


def openai_tree(draw, vocab_size=7, context_length=5, emb_dim=4, n_layers=2):
    """OpenAI's tree with fresh numbers for a GPT of these sizes."""
    C = emb_dim
    shapes = {
        "attn.c_attn": (C, 3 * C),
        "attn.c_proj": (C, C),
        "mlp.c_fc": (C, 4 * C),
        "mlp.c_proj": (4 * C, C),
    }
    tree = {"wte": draw.normal(vocab_size, C), "wpe": draw.normal(context_length, C)}
    tree |= {"g": 1 + draw.normal(C), "b": draw.normal(C), "blocks": []}
    for _ in range(n_layers):
        block = {name: {"g": 1 + draw.normal(C), "b": draw.normal(C)} for name in ("ln_1", "ln_2")}
        block |= {"attn": {}, "mlp": {}}
        for name, shape in shapes.items():
            part, layer = name.split(".")
            block[part][layer] = {"w": draw.normal(*shape) / 2, "b": draw.normal(shape[1])}
        tree["blocks"].append(block)
    return tree


def small_gpt(model, draw, n_layers=2, qkv_bias=True):
    """The GPT of openai_tree's sizes, with other numbers in it."""
    cfg = model.GPTConfig(7, 5, emb_dim=4, n_heads=2, n_layers=n_layers, qkv_bias=qkv_bias)
    return draw.fill(model.GPTModel(cfg)).eval()


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


def leaves(tree, prefix=""):
    """A tree of dicts and lists as one flat dict."""
    flat = {}
    for name, branch in tree.items() if isinstance(tree, dict) else enumerate(tree):
        is_leaf = not isinstance(branch, dict | list)
        flat |= {f"{prefix}{name}": branch} if is_leaf else leaves(branch, f"{prefix}{name}.")
    return flat


def converted(tree, change):
    """A copy of the tree with every leaf changed."""
    if isinstance(tree, dict):
        return {name: converted(branch, change) for name, branch in tree.items()}
    return [converted(branch, change) for branch in tree] if isinstance(tree, list) else change(tree)


def replaced(tree, place, leaf):
    """A copy of the tree with another leaf at a place such as "blocks.0.ln_1.g"."""
    copy = converted(tree, lambda one: one)
    *path, last = place.split(".")
    branch = copy
    for step in path:
        branch = branch[int(step) if step.isdigit() else step]
    branch[last] = leaf
    return copy


def raised(function, *args, words=()):
    """Whether the call raises ValueError, and which of the words its message does not mention."""
    try:
        function(*args)
    except ValueError as error:
        return {"raised": "ValueError", "not mentioned": [word for word in words if word not in str(error)]}
    return {"raised": "nothing"}


# assign


@check("assign")
def the_numbers_of_any_source(gpt2, draw):
    """Tensors and NumPy arrays of several dtypes and shapes: a parameter that trains, with left's dtype."""
    results = []
    for shape in ((3, 4), (5,), (2, 3, 2), ()):
        left, right = nn.Parameter(draw.normal(*shape)), draw.normal(*shape)
        sources = [right, right.double(), right.half(), right.cpu().numpy(), right.cpu().double().numpy()]
        parameters = [gpt2.assign(left, source) for source in sources]
        kinds = [isinstance(p, nn.Parameter) and p.requires_grad and p.is_leaf for p in parameters]
        results.append([*parameters, kinds])
    return results


@check("assign")
def the_dtype_of_the_left(gpt2, draw):
    """The dtype is that of the parameter which is replaced, whatever comes."""
    right = draw.normal(3, 2)
    lefts = [
        nn.Parameter(draw.normal(3, 2).to(dtype)) for dtype in (torch.float64, torch.float16, torch.float32)
    ]
    return [gpt2.assign(left, source) for left in lefts for source in (right, right.double())]


@check("assign")
def a_copy_of_its_own(gpt2, draw):
    """Neither side changes with the other, and a parameter may be the source."""
    left, right, array = (
        nn.Parameter(draw.normal(2, 3)),
        nn.Parameter(draw.normal(2, 3)),
        draw.normal(2, 3).cpu().numpy(),
    )
    of_tensor, of_array = gpt2.assign(left, right), gpt2.assign(left, array)
    with torch.no_grad():
        right.zero_()
        array[:] = 0
        of_tensor[0, 0] = 9
    return {
        "left": left,
        "right": right,
        "of tensor": of_tensor,
        "of array": of_array,
        "leaf": of_tensor.is_leaf,
    }


@check("assign")
def an_array_in_any_order(gpt2, draw):
    """A transposed source arrives as it looks, not as it lies in memory."""
    left, right = nn.Parameter(draw.normal(3, 4)), draw.normal(4, 3)
    return [gpt2.assign(left, right.T), gpt2.assign(left, right.cpu().numpy().T)]


@check("assign")
def shapes_must_be_the_same(gpt2, draw):
    """Shapes that could be broadcast or reshaped are ValueErrors that give both; scalars too."""
    pairs = [
        ((17, 23), (1, 23)),
        ((17, 23), (23,)),
        ((17, 23), (17, 1)),
        ((17, 23), (23, 17)),
        ((17, 23), (391,)),
    ]
    pairs += [((1, 19), (19,)), ((13,), ()), ((13,), (1,)), ((11, 2), (11, 2))]
    return [
        raised(
            gpt2.assign,
            nn.Parameter(draw.normal(*left)),
            draw.normal(*right),
            words=[str(n) for n in left + right],
        )
        for left, right in pairs
    ]


# split_qkv


@check("split_qkv")
def weights_and_biases_are_cut(gpt2, draw):
    """Weights and biases of several sizes and dtypes, square ones too."""
    w, b = draw.normal(5, 15), draw.normal(12)
    return [
        list(gpt2.split_qkv(given))
        for given in (w, b, w.double(), draw.normal(3, 3), draw.integers(0, 99, 4, 6))
    ]


@check("split_qkv")
def arrays_become_tensors(gpt2, draw):
    """NumPy arrays are cut into tensors of the same dtype."""
    arrays = [draw.normal(4, 12).cpu().numpy(), draw.normal(6).double().cpu().numpy()]
    return [list(gpt2.split_qkv(array)) for array in arrays]


@check("split_qkv")
def split_changes_nothing(gpt2, draw):
    """The given tensor stays as it was."""
    w = draw.normal(4, 12)
    parts = [part + 1 for part in gpt2.split_qkv(w)]
    return {"parts": parts, "w": w}


@check("split_qkv")
def only_multiples_of_3(gpt2, draw):
    """A last axis that is no multiple of 3 is a ValueError with the shape; the first axis does not matter."""
    shapes = [(3, 16), (6, 17), (17,), (31,), (19, 18), (17, 3)]
    return [raised(gpt2.split_qkv, draw.normal(*shape), words=[str(n) for n in shape]) for shape in shapes]


# config_from_hf


@check("config_from_hf")
def any_sizes(gpt2, draw):
    """Fresh sizes under each name, and every number in its own place."""
    heads = draw.integer(2, 6)
    config = {"vocab_size": draw.integer(50, 99), "n_positions": draw.integer(100, 200), "n_head": heads}
    config |= {"n_embd": heads * draw.integer(7, 12), "n_layer": draw.integer(20, 30)}
    older = {("n_ctx" if name == "n_positions" else name): value for name, value in config.items()}
    files = [
        config,
        older,
        config | {"n_ctx": 7},
        config | {"resid_pdrop": 0.25},
        config | {"resid_pdrop": 0.0},
    ]
    return [sizes_of(gpt2.config_from_hf(file)) for file in files]


@check("config_from_hf")
def the_rest_is_ignored(gpt2, draw):
    """Other entries change nothing, the allowed values are allowed, and the given dict stays as it was."""
    config = {"n_inner": None, "embd_pdrop": 0.5, "attn_pdrop": 0.6, "bos_token_id": 3, "model_type": "gpt2"}
    config |= {"activation_function": "gelu_pytorch_tanh", "layer_norm_epsilon": 0.00001, "n_ctx": 9}
    config |= {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, **SIZES}
    del config["n_positions"]
    result = sizes_of(gpt2.config_from_hf(config))
    return {"result": result, "given": list(config.items())}


@check("config_from_hf")
def every_absent_size_is_named(gpt2, draw):
    """Without one size, and without three: a ValueError that names what is absent."""
    results = []
    for absent in (["vocab_size"], ["n_embd"], ["n_head"], ["n_layer"], ["n_head", "n_layer", "vocab_size"]):
        config = {name: size for name, size in SIZES.items() if name not in absent}
        results.append(raised(gpt2.config_from_hf, config, words=absent))
    return [
        *results,
        raised(gpt2.config_from_hf, {"n_embd": 32, "vocab_size": 65, "n_head": 4, "n_layer": 2}),
    ]


@check("config_from_hf")
def other_models_are_refused(gpt2, draw):
    """Each entry that means another computation is a ValueError, one at a time."""
    others = [
        {"activation_function": name} for name in ("relu", "gelu", "silu", "gelu_new", "gelu_pytorch_tanh")
    ]
    others += [{"layer_norm_epsilon": eps} for eps in (1e-6, 1e-12, 1e-4, 1e-5)]
    others += [{"scale_attn_weights": value} for value in (False, True)]
    others += [{"scale_attn_by_inverse_layer_idx": value} for value in (True, False)]
    return [raised(gpt2.config_from_hf, SIZES | one) for one in others]


# params_from_hf


@check("params_from_hf")
def the_whole_tree(gpt2, draw):
    """Three blocks, whatever the order of the names: each tensor at its place, unchanged."""
    tensors = hf_tensors(draw, 3)
    names = list(tensors)
    shuffled = {names[i]: tensors[names[i]] for i in draw.permutation(len(names)).tolist()}
    return gpt2.params_from_hf(shuffled)


@check("params_from_hf")
def no_tensor_is_copied(gpt2, draw):
    """The leaves of the tree are the given tensors themselves, and the given dict stays as it was."""
    tensors = hf_tensors(draw) | {"lm_head.weight": draw.normal(1)}
    tensors["lm_head.weight"] = tensors["wte.weight"]
    before = dict(tensors)
    given = leaves(gpt2.params_from_hf(tensors))
    unchanged = list(before) == list(tensors) and all(before[name] is tensors[name] for name in before)
    return {
        "the same objects": len({id(t) for t in given.values()} & {id(t) for t in before.values()}),
        "dict": unchanged,
    }


@check("params_from_hf")
def names_with_a_prefix(gpt2, draw):
    """All names begin with "transformer.", or only some; the masks are left out, their namesakes are not."""
    tensors = hf_tensors(draw)
    masks = {f"h.{i}.attn.{name}": draw.normal(2) for i in (0, 1) for name in ("bias", "masked_bias")}
    some = {(f"transformer.{name}" if "attn" in name else name): t for name, t in (tensors | masks).items()}
    every = {f"transformer.{name}": t for name, t in (tensors | masks).items()}
    return [gpt2.params_from_hf(given) for given in (tensors | masks, some, every)]


@check("params_from_hf")
def many_blocks_and_none(gpt2, draw):
    """Thirteen blocks are in the order of their numbers; a model without blocks has an empty list."""
    many, none = gpt2.params_from_hf(hf_tensors(draw, 13)), gpt2.params_from_hf(hf_tensors(draw, 0))
    return {"many": [block["ln_2"]["g"] for block in many["blocks"]], "none": none}


@check("params_from_hf")
def each_missing_tensor_is_named(gpt2, draw):
    """Without any one tensor: a ValueError that names it."""
    tensors, results = hf_tensors(draw, 1), {}
    for absent in tensors:
        given = {name: t for name, t in tensors.items() if name != absent}
        results[absent] = raised(gpt2.params_from_hf, given, words=[absent])
    return results


@check("params_from_hf")
def each_unexpected_tensor_is_named(gpt2, draw):
    """A tensor without a place: a ValueError with its name and shape; so is a gap among the blocks."""
    results, odd = [], draw.normal(29, 31)
    for name in (
        "h.0.attn.c_gate.weight",
        "score.weight",
        "h.1.mlp.c_fc.weight_g",
        "wte.bias",
        "transformer.x",
    ):
        words = [name.removeprefix("transformer."), "29", "31"]
        results.append(raised(gpt2.params_from_hf, hf_tensors(draw) | {name: odd}, words=words))
    gap = {name.replace("h.1.", "h.4."): t for name, t in hf_tensors(draw).items()}
    return [*results, raised(gpt2.params_from_hf, gap)]


@check("params_from_hf")
def several_problems_in_one_message(gpt2, draw):
    """Missing ones, unexpected ones and another head, all in one ValueError."""
    tensors = hf_tensors(draw) | {"lm_head.weight": draw.normal(2, 3), "odd.one": draw.normal(37, 41)}
    del tensors["h.0.ln_1.bias"], tensors["wpe.weight"], tensors["h.1.mlp.c_proj.weight"]
    words = ["lm_head", "odd.one", "37", "41", "h.0.ln_1.bias", "wpe.weight", "h.1.mlp.c_proj.weight"]
    return raised(gpt2.params_from_hf, tensors, words=words)


@check("params_from_hf")
def the_head_must_be_the_embedding(gpt2, draw):
    """An equal head is fine; one that differs in a single number, or in its shape, is a ValueError."""
    tensors = hf_tensors(draw, 1)
    equal, near = tensors["wte.weight"].clone(), tensors["wte.weight"].clone()
    near[-1, -1] += 1
    heads = (equal, near, equal.T, equal[:1])
    return [raised(gpt2.params_from_hf, tensors | {"lm_head.weight": head}) for head in heads]


# load_weights_into_gpt


@check("load_weights_into_gpt")
def all_parameters_afterwards(gpt2, model, draw):
    """Every parameter by name: embeddings, norms, biases, and each matrix the right way round."""
    gpt, tree = small_gpt(model, draw), openai_tree(draw)
    gpt2.load_weights_into_gpt(gpt, tree)
    return {"model": dict(gpt.named_parameters()), "tree": leaves(tree)}


@check("load_weights_into_gpt")
def logits_afterwards(gpt2, model, draw):
    """The loaded model's logits, for one block and for three, in float64."""
    results = []
    for n_layers in (1, 3):
        gpt = small_gpt(model, draw, n_layers=n_layers).double()
        gpt2.load_weights_into_gpt(gpt, openai_tree(draw, n_layers=n_layers))
        results.append(gpt(draw.integers(0, 7, 2, 5)))
    return results


@check("load_weights_into_gpt")
def arrays_and_other_dtypes(gpt2, model, draw):
    """NumPy arrays and half precision in the tree; the model keeps its dtype."""
    numpy_tree, half_tree = openai_tree(draw), openai_tree(draw)
    numpy_tree = converted(numpy_tree, lambda t: t.cpu().numpy())
    half_tree = converted(half_tree, lambda t: t.half())
    models = [small_gpt(model, draw), small_gpt(model, draw), small_gpt(model, draw).double()]
    for gpt, tree in zip(models, (numpy_tree, half_tree, half_tree), strict=True):
        gpt2.load_weights_into_gpt(gpt, tree)
    return [dict(gpt.named_parameters()) for gpt in models]


@check("load_weights_into_gpt")
def one_matrix_for_head_and_embedding(gpt2, model, draw):
    """The head is the embedding afterwards, also in the gradient; and every parameter trains."""
    gpt = small_gpt(model, draw)
    gpt2.load_weights_into_gpt(gpt, openai_tree(draw))
    gpt(draw.integers(0, 7, 2, 5)).square().mean().backward()
    gradients = {name: p.grad for name, p in gpt.named_parameters()}
    return {"tied": gpt.out_head.weight is gpt.tok_emb.weight, "gradients": gradients}


@check("load_weights_into_gpt")
def model_and_tree_share_nothing(gpt2, model, draw):
    """What is done to the tree afterwards does not reach the model."""
    gpt, tree = small_gpt(model, draw), openai_tree(draw)
    gpt2.load_weights_into_gpt(gpt, tree)
    for tensor in leaves(tree).values():
        tensor.zero_()
    return dict(gpt.named_parameters())


@check("load_weights_into_gpt")
def loading_twice(gpt2, model, draw):
    """A loaded model, whose head is tied, can be loaded again."""
    gpt = small_gpt(model, draw)
    for _ in range(2):
        gpt2.load_weights_into_gpt(gpt, openai_tree(draw))
    return gpt.state_dict()


@check("load_weights_into_gpt")
def each_missing_leaf_is_named(gpt2, model, draw):
    """Without any one tensor: a ValueError, and the model is as it was."""
    gpt, results = small_gpt(model, draw, n_layers=1), []
    for place in leaves(openai_tree(draw, n_layers=1)):
        tree = openai_tree(draw, n_layers=1)
        *path, last = place.split(".")
        branch = tree
        for step in path:
            branch = branch[int(step) if step.isdigit() else step]
        del branch[last]
        results.append(raised(gpt2.load_weights_into_gpt, gpt, tree, words=[path[-1] if path else last]))
    return {"errors": results, "model": gpt.state_dict()}


@check("load_weights_into_gpt")
def each_wrong_shape_is_named(gpt2, model, draw):
    """Any one tensor in another shape: a ValueError with the shape, and the model is as it was."""
    gpt, results = small_gpt(model, draw, n_layers=1), []
    for place, tensor in leaves(openai_tree(draw, n_layers=1)).items():
        for wrong in (tensor.new_zeros(51, *tensor.shape[1:]), tensor.new_zeros(*tensor.shape[:-1], 57)):
            tree = replaced(openai_tree(draw, n_layers=1), place, wrong)
            words = [str(n) for n in wrong.shape if "c_attn" not in place]  # whose parts may be meant
            results.append(raised(gpt2.load_weights_into_gpt, gpt, tree, words=words))
    return {"errors": results, "model": gpt.state_dict()}


@check("load_weights_into_gpt")
def matrices_the_wrong_way_round(gpt2, model, draw):
    """A matrix that is already transposed has the wrong shape; a vector of shape (1, C) has it too."""
    gpt, results = small_gpt(model, draw, n_layers=1), []
    tree = openai_tree(draw, n_layers=1)
    for place in ("blocks.0.attn.c_attn.w", "blocks.0.mlp.c_fc.w", "blocks.0.mlp.c_proj.w", "wte", "wpe"):
        results.append(raised(gpt2.load_weights_into_gpt, gpt, replaced(tree, place, leaves(tree)[place].T)))
    for place in ("g", "blocks.0.ln_1.b", "blocks.0.attn.c_proj.b"):
        results.append(
            raised(gpt2.load_weights_into_gpt, gpt, replaced(tree, place, leaves(tree)[place][None]))
        )
    return {"errors": results, "model": gpt.state_dict()}


@check("load_weights_into_gpt")
def many_problems_in_one_message(gpt2, model, draw):
    """Wrong, missing and unexpected tensors, all in one ValueError; and the model is as it was."""
    gpt, tree = small_gpt(model, draw), openai_tree(draw)
    tree["wpe"] = draw.normal(61, 4)
    tree["blocks"][0]["ln_1"]["g"] = draw.normal(67)
    tree["blocks"][1]["mlp"]["c_gate"] = {"w": draw.normal(71, 73)}
    del tree["blocks"][1]["attn"]["c_proj"], tree["wte"]
    words = ["wpe", "61", "ln_1", "67", "c_gate", "71", "73", "c_proj", "wte"]
    return {"error": raised(gpt2.load_weights_into_gpt, gpt, tree, words=words), "model": gpt.state_dict()}


@check("load_weights_into_gpt")
def blocks_must_be_as_many(gpt2, model, draw):
    """A block too many or too few, and biases without a place, are ValueErrors; the model is as it was."""
    results = []
    for n_layers, qkv_bias in ((3, True), (1, True), (0, True), (2, False), (2, True)):
        gpt = small_gpt(model, draw, qkv_bias=qkv_bias)
        results.append(raised(gpt2.load_weights_into_gpt, gpt, openai_tree(draw, n_layers=n_layers)))
        results.append(gpt.state_dict())
    return results


@check("load_weights_into_gpt", needs="all_parameters_afterwards", assembled=True)
def your_own_chapters_together(gpt2, inputs, attention, block, model, draw):
    """Your own chapters 2 to 5 work with loaded weights; mend the earliest one that differs."""
    seen = early_pieces(inputs, attention, block, draw)
    gpt, tied, ids = small_gpt(model, draw), small_gpt(model, draw), draw.integers(0, 7, 2, 5)
    shapes = {name: tuple(parameter.shape) for name, parameter in gpt.named_parameters()}
    seen["ch5, GPTModel"] = [shapes, outcome(gpt, ids)]
    model.tie_weights(tied)
    seen["ch5, tie_weights"] = outcome(draw.fill(tied), ids)
    gpt.double()  # so that no rounding is seen
    seen["ch8, load_weights_into_gpt"] = outcome(gpt2.load_weights_into_gpt, gpt, openai_tree(draw))
    return seen | {"ch8, the model afterwards": outcome(gpt, ids)}
