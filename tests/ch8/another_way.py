"""Chapter 8 written another way: NumPy first, a table of names, a state dict."""

import re

import numpy as np
import torch
from torch import Tensor, nn

from ..ch5.model import GPTConfig, GPTModel

PARTS = {
    "ln_1.weight": ("ln_1", "g"),
    "ln_1.bias": ("ln_1", "b"),
    "ln_2.weight": ("ln_2", "g"),
    "ln_2.bias": ("ln_2", "b"),
    **{
        f"{part}.{layer}.{kind}": (part, layer, kind[0])
        for part, layers in (("attn", ("c_attn", "c_proj")), ("mlp", ("c_fc", "c_proj")))
        for layer in layers
        for kind in ("weight", "bias")
    },
}


def flatten(tree, prefix=""):
    pairs = tree.items() if isinstance(tree, dict) else ((str(i), one) for i, one in enumerate(tree))
    flat = {}
    for name, value in pairs:
        if isinstance(value, dict | list):
            flat.update(flatten(value, prefix + name + "."))
        else:
            flat[prefix + name] = value
    return flat


def assign(left: Tensor, right) -> nn.Parameter:
    if tuple(left.shape) != tuple(right.shape):
        raise ValueError(f"{tuple(right.shape)} does not go into {tuple(left.shape)}")
    if isinstance(right, Tensor):
        right = right.detach().cpu().numpy()
    return nn.Parameter(torch.tensor(right, dtype=left.dtype, device=left.device))


def split_qkv(w):
    w = torch.from_numpy(w) if isinstance(w, np.ndarray) else w
    third, rest = divmod(w.size(-1), 3)
    if rest:
        raise ValueError(f"no three equal parts in {list(w.shape)}")
    return w[..., :third], w[..., third : 2 * third], w[..., 2 * third :]


def config_from_hf(config: dict) -> GPTConfig:
    context = config.get("n_positions", config.get("n_ctx"))
    found = {"n_positions": context} if context is not None else {}
    for name in ("vocab_size", "n_embd", "n_head", "n_layer"):
        if name in config:
            found[name] = config[name]
    absent = {"vocab_size", "n_positions", "n_embd", "n_head", "n_layer"} - set(found)
    if absent:
        raise ValueError(f"not in the file: {sorted(absent)}")
    if "activation_function" in config and config["activation_function"] not in (
        "gelu_new",
        "gelu_pytorch_tanh",
    ):
        raise ValueError("another activation")
    if abs(config.get("layer_norm_epsilon", 1e-5) - 1e-5) > 1e-9:
        raise ValueError("another epsilon")
    if not config.get("scale_attn_weights", True):
        raise ValueError("unscaled scores")
    if config.get("scale_attn_by_inverse_layer_idx", False):
        raise ValueError("scores scaled by layer")
    return GPTConfig(
        found["vocab_size"],
        context,
        found["n_embd"],
        n_heads=found["n_head"],
        n_layers=found["n_layer"],
        drop_rate={"resid_pdrop": 0.1, **config}["resid_pdrop"],
        qkv_bias=True,
    )


def params_from_hf(state_dict: dict) -> dict:
    problems, params, blocks, head = [], {}, {}, None
    top = {"wte.weight": "wte", "wpe.weight": "wpe", "ln_f.weight": "g", "ln_f.bias": "b"}
    for full_name, tensor in state_dict.items():
        name = re.sub(r"^transformer\.", "", full_name)
        in_block = re.fullmatch(r"h\.(\d+)\.(.+)", name)
        if name == "lm_head.weight":
            head = tensor
        elif name in top:
            params[top[name]] = tensor
        elif in_block and in_block[2] in PARTS:
            blocks.setdefault(int(in_block[1]), {})[in_block[2]] = tensor
        elif not (in_block and in_block[2] in ("attn.bias", "attn.masked_bias")):
            problems.append(f"unexpected: {name}, shape {list(tensor.shape)}")
    problems += [f"missing: {name}" for name, key in top.items() if key not in params]
    params["blocks"] = []
    for i in range(len(blocks)):
        block = {
            "ln_1": {},
            "ln_2": {},
            "attn": {"c_attn": {}, "c_proj": {}},
            "mlp": {"c_fc": {}, "c_proj": {}},
        }
        for name, path in PARTS.items():
            if name not in blocks.get(i, {}):
                problems.append(f"missing: h.{i}.{name}")
                continue
            place = block
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = blocks[i][name]
        params["blocks"].append(block)
    if head is not None and "wte" in params:
        wte = params["wte"]
        if head.shape != wte.shape or bool((head != wte).any()):
            problems.append("lm_head.weight is not wte.weight")
    if problems:
        raise ValueError("; ".join(problems))
    return params


def load_weights_into_gpt(gpt: GPTModel, params: dict) -> None:
    wanted = {
        "wte": "tok_emb.weight",
        "wpe": "pos_emb.weight",
        "g": "final_norm.scale",
        "b": "final_norm.shift",
    }
    layers = {"attn.c_proj": "att.out_proj", "mlp.c_fc": "ff.layers.0", "mlp.c_proj": "ff.layers.2"}
    for i in range(len(gpt.trf_blocks)):
        ours, theirs = f"trf_blocks.{i}.", f"blocks.{i}."
        for n in "12":
            wanted[f"{theirs}ln_{n}.g"] = f"{ours}norm{n}.scale"
            wanted[f"{theirs}ln_{n}.b"] = f"{ours}norm{n}.shift"
        for name, layer in layers.items():
            wanted[f"{theirs}{name}.w"] = f"{ours}{layer}.weight"
            wanted[f"{theirs}{name}.b"] = f"{ours}{layer}.bias"
    old = dict(gpt.named_parameters(remove_duplicate=False))
    left = {name: torch.as_tensor(value) for name, value in flatten(params).items()}
    problems, new = [], {}

    def place(ours, value, name):
        if ours not in old:
            problems.append(f"{name} {list(value.shape)}: the model has no {ours}")
        elif old[ours].shape != value.shape:
            problems.append(f"{name} {list(value.shape)}: {ours} wants {list(old[ours].shape)} (turned)")
        else:
            new[ours] = value

    for name, ours in wanted.items():
        if name not in left:
            problems.append(f"{name} {list(old[ours].shape)} is not there")
            continue
        value = left.pop(name)
        place(ours, value.t() if name.endswith(".w") and value.ndim == 2 else value, name)
    for i in range(len(gpt.trf_blocks)):
        for kind, ending in (("w", "weight"), ("b", "bias")):
            name = f"blocks.{i}.attn.c_attn.{kind}"
            ours = [f"trf_blocks.{i}.att.W_{one}.{ending}" for one in ("query", "key", "value")]
            if name not in left:
                if ours[0] in old:
                    problems.append(f"{name} is not there")
                continue
            value = left.pop(name)
            if value.shape[-1] % 3:
                problems.append(f"{name} {list(value.shape)} cannot be cut in three")
                continue
            for one, part in zip(ours, split_qkv(value), strict=True):
                place(one, part.t() if kind == "w" and part.ndim == 2 else part, name)
    problems += [f"{name} {list(value.shape)} is too much" for name, value in left.items()]
    if problems:
        raise ValueError("\n".join(problems))
    for name, value in new.items():
        module = gpt.get_submodule(name.rpartition(".")[0])
        setattr(module, name.rpartition(".")[2], assign(old[name], value))
    gpt.out_head.weight = gpt.tok_emb.weight
