"""Chapter 8: GPT-2. Put the weights that OpenAI released into the model that you built.

The numbers are public; the work is to bring each one to its place. OpenAI's tree names the places:

    wte (V, C), wpe (T, C)      token and position embeddings
    blocks[i]                   for each block
        ln_1, ln_2              g (C,), b (C,): scale and shift of a layer norm
        attn.c_attn             w (C, 3C), b (3C,): query, key and value side by side
        attn.c_proj             w (C, C), b (C,)
        mlp.c_fc                w (C, 4C), b (4C,)
        mlp.c_proj              w (4C, C), b (C,)
    g (C,), b (C,)              the last layer norm

Shapes: T the context length, C width (emb_dim), V vocabulary size.
"""

import numpy as np
import torch
from torch import Tensor, nn

from ..ch5.model import GPTConfig, GPTModel, tie_weights


def flatten(tree: dict | list, prefix: str = "") -> dict[str, Tensor | np.ndarray]:
    """OpenAI's tree as one flat dict; given, nothing to do here.

    Example:
        >>> flatten({"wte": torch.zeros(2), "blocks": [{"ln_1": {"g": torch.ones(1)}}]})
        {'wte': tensor([0., 0.]), 'blocks.0.ln_1.g': tensor([1.])}
    """
    leaves = {}
    for name, branch in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(branch, dict | list):
            leaves |= flatten(branch, f"{prefix}{name}.")
        else:
            leaves[f"{prefix}{name}"] = branch
    return leaves


def assign(left: Tensor, right: Tensor | np.ndarray) -> nn.Parameter:
    """A new parameter of left's kind with right's numbers, if the shapes agree.

    PyTorch is generous with shapes: copying (1, 3) into (2, 3) fills both rows without a word. A
    loader must not be, or a wrong file becomes a model that babbles.

    Args:
        left: the parameter to be replaced; only its shape, dtype and device count.
        right: the numbers, a tensor or a NumPy array of any floating dtype; copied.

    Returns:
        nn.Parameter with left's shape, dtype and device.

    Raises:
        ValueError: the shapes differ (the message gives both).

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> layer.weight = assign(layer.weight, np.array([[0.5, 2.0]]))
        >>> layer.weight
        Parameter containing:
        tensor([[0.5000, 2.0000]], requires_grad=True)
        >>> assign(layer.weight, np.array([0.5, 2.0]))
        Traceback (most recent call last):
        ValueError: shapes differ: left (1, 2), right (2,)

    Source: S. Raschka, "Build a Large Language Model (From Scratch)" (2024), section 5.5.
    """
    ### BEGIN SOLUTION
    right = torch.as_tensor(right)
    if left.shape != right.shape:
        raise ValueError(f"shapes differ: left {tuple(left.shape)}, right {tuple(right.shape)}")
    return nn.Parameter(torch.empty_like(left).copy_(right))  # empty_like: left's dtype and device
    ### END SOLUTION


def split_qkv(w: Tensor | np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Cut GPT-2's one large projection into the three that our attention has.

    GPT-2 computes query, key and value in a single matrix product and cuts the result; so in its
    weight, and in its bias, the three lie side by side along the last axis.

        x [W_q | W_k | W_v] = [x W_q | x W_k | x W_v]

    Args:
        w: a weight (C, 3C) or a bias (3C,), a tensor or a NumPy array.

    Returns:
        query, key and value parts: (C, C) each, or (C,) each.

    Raises:
        ValueError: the last axis is not a multiple of 3 (the message gives the shape).

    Example:
        >>> split_qkv(torch.tensor([1, 2, 3, 4, 5, 6]))
        (tensor([1, 2]), tensor([3, 4]), tensor([5, 6]))
        >>> query, key, value = split_qkv(torch.tensor([[1, 2, 3], [4, 5, 6]]))
        >>> key
        tensor([[2],
                [5]])

    Source: Radford et al. (2019), their code: the layer c_attn.
    """
    ### BEGIN SOLUTION
    w = torch.as_tensor(w)
    if w.shape[-1] % 3 != 0:
        raise ValueError(f"the last axis of {tuple(w.shape)} is not a multiple of 3")
    return w.chunk(3, dim=-1)
    ### END SOLUTION


def config_from_hf(config: dict) -> GPTConfig:
    """Read a model's sizes from the config.json that Hugging Face keeps beside its weights.

    The number of heads stands nowhere in the weights, whose shapes are the same for any number,
    so it must come from here. A model that computes something else than ours (another activation,
    another eps) would load and then be quietly wrong: refuse it.

    Args:
        config: the parsed file. Names and what they become: vocab_size, n_positions (older files
            say n_ctx) → context_length, n_embd → emb_dim, n_head → n_heads, n_layer → n_layers,
            resid_pdrop → drop_rate (0.1 if absent). The rest is ignored, except below.

    Returns:
        GPTConfig with qkv_bias=True, which GPT-2 has.

    Raises:
        ValueError: a size is absent (the message names all that are); activation_function is there
            and is neither "gelu_new" nor "gelu_pytorch_tanh", two names for the form with tanh;
            layer_norm_epsilon is there and not 1e-5; scale_attn_weights is false; or
            scale_attn_by_inverse_layer_idx is true.

    Example:
        >>> config_from_hf({"vocab_size": 65, "n_ctx": 64, "n_embd": 32, "n_head": 4, "n_layer": 2})
        GPTConfig(vocab_size=65, context_length=64, emb_dim=32, n_heads=4, n_layers=2,
                  drop_rate=0.1, qkv_bias=True)

    Source: the fields of GPT2Config in Hugging Face's transformers.
    """
    ### BEGIN SOLUTION
    config = dict(config)
    if "n_positions" not in config and "n_ctx" in config:
        config["n_positions"] = config["n_ctx"]
    sizes = ("vocab_size", "n_positions", "n_embd", "n_head", "n_layer")
    absent = sorted(set(sizes) - set(config), key=sizes.index)
    if absent:
        raise ValueError(f"the config lacks {', '.join(absent)}")

    computed_alike = {
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "layer_norm_epsilon": (1e-5,),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
    }
    for name, ours in computed_alike.items():
        if config.get(name, ours[0]) not in ours:
            raise ValueError(f"{name} is {config[name]!r}; our model has {' or '.join(map(repr, ours))}")

    return GPTConfig(
        vocab_size=config["vocab_size"],
        context_length=config["n_positions"],
        emb_dim=config["n_embd"],
        n_heads=config["n_head"],
        n_layers=config["n_layer"],
        drop_rate=config.get("resid_pdrop", 0.1),
        qkv_bias=True,
    )
    ### END SOLUTION


def params_from_hf(state_dict: dict[str, Tensor]) -> dict:
    """Sort Hugging Face's tensors into OpenAI's tree, the one at the top of this file.

    Hugging Face names the same tensors with dots: h.0.attn.c_attn.weight is
    blocks[0]["attn"]["c_attn"]["w"]. For a layer norm, weight is g; every bias is b; ln_f is the
    last layer norm, whose g and b stand at the top of the tree. No tensor is changed or copied,
    and none is transposed: OpenAI's orientation is theirs too.

    Args:
        state_dict: name -> tensor. Each name may start with "transformer.". The buffers
            h.0.attn.bias and h.0.attn.masked_bias, the mask in old files, are left out;
            lm_head.weight too, which must be equal to wte.weight.

    Returns:
        the tree, with as many blocks as there are different numbers after "h.".

    Raises:
        ValueError: names are missing or unexpected, or lm_head.weight is another matrix than
            wte.weight; one message, a line for each problem, unexpected ones with their shape.

    Example:
        >>> layers = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
        >>> names = ["wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias"]
        >>> names += [f"h.0.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
        >>> params = params_from_hf({name: torch.tensor(i) for i, name in enumerate(names)})
        >>> params["blocks"][0]["attn"]
        {'c_attn': {'w': tensor(6), 'b': tensor(7)}, 'c_proj': {'w': tensor(8), 'b': tensor(9)}}
        >>> params["g"], params["b"]
        (tensor(2), tensor(3))

    Source: the names that OpenAI's code and Hugging Face's GPT2LMHeadModel give to their tensors.
    """
    ### BEGIN SOLUTION
    left = {name.removeprefix("transformer."): tensor for name, tensor in state_dict.items()}
    left = {name: t for name, t in left.items() if not name.endswith((".attn.bias", ".attn.masked_bias"))}
    head = left.pop("lm_head.weight", None)
    problems = []
    if head is not None and "wte.weight" in left and not torch.equal(head, left["wte.weight"]):
        problems.append("lm_head.weight differs from wte.weight; our head is tied")

    def take(name: str) -> Tensor | None:
        if name not in left:
            problems.append(f"{name} is missing")
        return left.pop(name, None)

    def pair(name: str, weight: str) -> dict[str, Tensor | None]:
        return {weight: take(f"{name}.weight"), "b": take(f"{name}.bias")}

    n_layers = len({name.split(".")[1] for name in left if name.startswith("h.")})
    params = {"wte": take("wte.weight"), "wpe": take("wpe.weight"), **pair("ln_f", "g"), "blocks": []}
    for i in range(n_layers):
        block = {
            "ln_1": pair(f"h.{i}.ln_1", "g"),
            "attn": {name: pair(f"h.{i}.attn.{name}", "w") for name in ("c_attn", "c_proj")},
            "ln_2": pair(f"h.{i}.ln_2", "g"),
            "mlp": {name: pair(f"h.{i}.mlp.{name}", "w") for name in ("c_fc", "c_proj")},
        }
        params["blocks"].append(block)

    problems += [f"{name} {tuple(tensor.shape)} is unexpected" for name, tensor in left.items()]
    if problems:
        raise ValueError("the tensors are not those of a GPT-2:\n" + "\n".join(problems))
    return params
    ### END SOLUTION


def load_weights_into_gpt(gpt: GPTModel, params: dict) -> None:
    """Give the model every weight of OpenAI's tree, in place; all of them, or none.

    Two differences to bridge. GPT-2 has query, key and value in one matrix: split it. And GPT-2
    wrote its linear layers as x W with W (in, out), while nn.Linear computes x Wᵀ with W
    (out, in): transpose every w. A square w goes in either way, and only one way is right.

        W_query.weight = w_qᵀ        ff.layers[0].weight = wᵀ        norm1.scale = g, norm1.shift = b

    First compare everything, then assign: a model half old, half new is worse than an error.

    Args:
        gpt: the model, with qkv_bias; its parameters become new objects (make the optimizer
            afterwards), and out_head is tied to tok_emb.
        params: the tree at the top of this file, of tensors or NumPy arrays.

    Raises:
        ValueError: tensors are missing, unexpected (a block too many, a bias for which the model
            has no place) or of the wrong shape: one message, a line for each, with name and shapes.
            The model is as it was.

    Example: a GPT without any block, whose head sees the normalised embedding.
        >>> gpt = GPTModel(GPTConfig(vocab_size=3, context_length=2, emb_dim=2, n_heads=1, n_layers=0))
        >>> params = {
        ...     "wte": torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        ...     "wpe": torch.zeros(2, 2),
        ...     "g": torch.ones(2),
        ...     "b": torch.zeros(2),
        ...     "blocks": [],
        ... }
        >>> load_weights_into_gpt(gpt, params)
        >>> gpt(torch.tensor([[0]])).detach().round(decimals=2)
        tensor([[[ 1., -1.,  0.]]])
        >>> load_weights_into_gpt(gpt, params | {"wpe": torch.zeros(4, 2)})
        Traceback (most recent call last):
        ValueError: the weights do not fit the model:
        wpe has shape (4, 2), the model has (2, 2)

    Source: Radford et al. (2019), their code; the loader: Raschka (2024), section 5.5.
    """
    ### BEGIN SOLUTION
    # where each tensor goes: the modules that share it, and their attribute
    places = {
        "wte": ([gpt.tok_emb], "weight"),
        "wpe": ([gpt.pos_emb], "weight"),
        "g": ([gpt.final_norm], "scale"),
        "b": ([gpt.final_norm], "shift"),
    }
    for i, block in enumerate(gpt.trf_blocks):
        att, ff = block.att, block.ff
        linears = {
            "attn.c_attn": [att.W_query, att.W_key, att.W_value],
            "attn.c_proj": [att.out_proj],
            "mlp.c_fc": [ff.layers[0]],
            "mlp.c_proj": [ff.layers[2]],
        }
        for name, layers in linears.items():
            places[f"blocks.{i}.{name}.w"] = (layers, "weight")
            if layers[0].bias is not None:
                places[f"blocks.{i}.{name}.b"] = (layers, "bias")
        for name, norm in (("ln_1", block.norm1), ("ln_2", block.norm2)):
            places[f"blocks.{i}.{name}.g"] = ([norm], "scale")
            places[f"blocks.{i}.{name}.b"] = ([norm], "shift")

    given = {name: torch.as_tensor(value) for name, value in flatten(params).items()}
    problems = []
    for name, (modules, attribute) in places.items():
        rows, *columns = getattr(modules[0], attribute).shape
        shape = (len(modules) * rows, *columns)  # of the modules' parameters, one below the other
        if name.endswith(".w"):
            shape = shape[::-1]  # (in, out)
        if name not in given:
            problems.append(f"{name} is missing, the model has {shape}")
        elif given[name].shape != shape:
            problems.append(f"{name} has shape {tuple(given[name].shape)}, the model has {shape}")
    problems += [
        f"{name} {tuple(value.shape)} is unexpected" for name, value in given.items() if name not in places
    ]
    if problems:
        raise ValueError("the weights do not fit the model:\n" + "\n".join(problems))

    for name, (modules, attribute) in places.items():
        value = given[name]
        parts = split_qkv(value) if "c_attn" in name else [value]
        for module, part in zip(modules, parts, strict=True):
            if name.endswith(".w"):
                part = part.T  # (in, out) -> (out, in)
            setattr(module, attribute, assign(getattr(module, attribute), part))
    tie_weights(gpt)
    ### END SOLUTION
