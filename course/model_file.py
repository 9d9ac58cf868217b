"""A trained model in one file: safetensors, with the sizes and the tokenizer in its metadata."""

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .errors import CourseError
from .pieces import Pieces
from .vocabularies import gpt2_tokenizer
from .whole_file import write_whole


def save_model(
    path: Path, model: torch.nn.Module, cfg, tokenizer: dict, notes: dict, dtype=torch.float32
) -> None:
    """Write a model's parameters (tied ones once) and what is needed to use them.

    tokenizer is {"kind": "char", "characters": "…"} or {"kind": "gpt2"}; notes are for people.
    """
    tensors = {
        name: parameter.detach().to("cpu", dtype).contiguous() for name, parameter in model.named_parameters()
    }
    about = {"config": dataclasses.asdict(cfg), "tokenizer": tokenizer, "notes": notes}
    with write_whole(path) as file:
        file.write(save(tensors, metadata={"course": json.dumps(about, ensure_ascii=False)}))


def load_model(path: Path, pieces: Pieces) -> tuple[torch.nn.Module, object, dict]:
    """Read a file that save_model wrote into the pieces' GPTModel, in evaluation mode.

    Returns the model, its tokenizer, and what the file says about itself: config, tokenizer, notes.
    """
    if not path.is_file():
        raise CourseError(f"there is no model file {path}: train one with `course train`")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["course"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        cfg = pieces.ch4.GPTConfig(**about["config"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CourseError(
            f"{path} is not a whole model file of this course ({error}): train it anew"
        ) from None

    model = pieces.ch5.GPTModel(cfg)
    if "out_head.weight" not in tensors:
        pieces.ch5.tie_weights(model)
    parameters = dict(model.named_parameters())
    wrong = sorted(
        name
        for name in parameters.keys() | tensors.keys()
        if name not in parameters or name not in tensors or parameters[name].shape != tensors[name].shape
    )
    if wrong:
        raise CourseError(f"{path} does not fit {pieces.package}'s GPTModel: {', '.join(wrong[:5])} differ")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])
    return model.eval(), make_tokenizer(about["tokenizer"], pieces), about


def make_tokenizer(description: dict, pieces: Pieces):
    """The tokenizer that a description names, made of the pieces of chapter 1."""
    if description["kind"] == "char":
        return pieces.ch1.CharTokenizer(description["characters"])
    return gpt2_tokenizer(pieces.ch1)
