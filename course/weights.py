"""GPT-2's weights from files, put into a model made of the chapters' pieces.

A folder holds either Hugging Face's files (config.json with model.safetensors or
pytorch_model.bin, whole or in shards) or OpenAI's (hparams.json with a TensorFlow checkpoint).
`pieces` is an object whose attributes ch1 … ch8 are the chapters' modules.
"""

import dataclasses
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from .corpora import WEIGHTS
from .errors import CourseError, in_one_line
from .hub import download_gpt2
from .tf_checkpoint import params_from_tf, read_tf_checkpoint
from .tokenizer_files import read_json, read_tokenizer
from .vocabularies import gpt2_tokenizer

SIZES = ("vocab_size", "n_positions", "n_ctx", "n_embd", "n_head", "n_layer")


def load_gpt2(source: str | Path, pieces, device: str | torch.device = "cpu"):
    """(model in evaluation mode, its GPTConfig) of a name (gpt2, gpt2-medium, …) or a folder.

    Sizes and heads come from config.json or hparams.json, the context length from the weights.
    """
    folder = find_folder(source)
    if (folder / "config.json").is_file():
        config_path = folder / "config.json"
        config = read_json(config_path)
        if config.get("model_type", "gpt2") != "gpt2":
            raise CourseError(f"{config_path} is of a {config['model_type']!r} model; give a GPT-2 folder")
    elif (folder / "hparams.json").is_file():
        config_path = folder / "hparams.json"
        config = read_json(config_path)
        if "n_vocab" in config:
            config["vocab_size"] = config["n_vocab"]
    else:
        raise CourseError(f"{folder} has neither config.json nor hparams.json; give a GPT-2 model's folder")
    for name in SIZES:
        if name in config and not (type(config[name]) is int and config[name] > 0):
            raise CourseError(f"{config_path}: {name} is {config[name]!r}, not a whole number above 0")
    if not isinstance(config.get("resid_pdrop", 0.1), int | float):
        raise CourseError(f"{config_path}: resid_pdrop is {config['resid_pdrop']!r}, not a number")

    try:
        cfg = pieces.ch8.config_from_hf(config)
        if config_path.name == "config.json":
            params = pieces.ch8.params_from_hf(read_hf_tensors(folder))
        else:
            params = params_from_tf(read_tf_checkpoint(folder))
        check_sizes(config_path, cfg, params)
        cfg = dataclasses.replace(cfg, context_length=len(params["wpe"]))
        model = pieces.ch5.GPTModel(cfg)
        pieces.ch8.load_weights_into_gpt(model, params)
    except ValueError as error:  # the pieces' word for what does not fit
        raise CourseError(f"{folder} cannot be loaded: {in_one_line(error)}") from error
    except OSError as error:
        raise CourseError(f"{folder} cannot be read: {error.strerror or error}") from error
    try:
        return model.to(device).eval(), cfg
    except torch.OutOfMemoryError:
        raise CourseError(f"{folder} does not fit into the memory of {device}; try --device cpu") from None


def find_folder(source: str | Path) -> Path:
    """The folder of a name's files, downloaded if need be, or the folder itself; ./gpt2 is no name."""
    if source in WEIGHTS:
        return download_gpt2(source)
    folder = Path(source)
    if not folder.is_dir():
        raise CourseError(f"there is no folder {folder}; give a GPT-2 model's, or {' or '.join(WEIGHTS)}")
    return folder


def read_hf_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of model.safetensors or pytorch_model.bin, or of the shards that their index lists."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        index_path = folder / f"{name}.index.json"
        if (folder / name).is_file():
            return read_tensors(folder / name)
        if index_path.is_file():
            shards = read_json(index_path).get("weight_map")  # tensor name -> file name
            if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
                raise CourseError(f"{index_path} has no weight_map; download it again")
            tensors = {}
            for shard in sorted(set(shards.values())):
                tensors |= read_tensors(folder / Path(shard).name)  # beside the index, whatever it says
            return tensors
    raise CourseError(f"{folder} has neither model.safetensors nor pytorch_model.bin; download one of them")


def read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:  # files written before PyTorch 1.6, as GPT-2's own was, are no zip and cannot be mapped
            tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # a damaged pickle can raise anything
        kind = type(error).__name__
        raise CourseError(f"{path} is damaged or holds no weights ({kind}); download it again") from error
    named = isinstance(tensors, dict) and all(isinstance(name, str) for name in tensors)
    if not named or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise CourseError(f"{path} does not hold tensors by name; save the model's state_dict()")
    return tensors


def check_sizes(config_path: Path, cfg, params: dict) -> None:
    """Before a model of the wrong size is built: does the config speak of these weights?"""
    wte, wpe = params["wte"], params["wpe"]
    if wte.ndim != 2 or wpe.ndim != 2:
        raise CourseError(f"wte {tuple(wte.shape)} and wpe {tuple(wpe.shape)} should be matrices")
    came = {"vocab_size": len(wte), "emb_dim": wte.shape[1], "n_layers": len(params["blocks"])}
    differing = [
        f"{name} {getattr(cfg, name)} instead of {size}"
        for name, size in came.items()
        if getattr(cfg, name) != size
    ]
    if differing:
        raise CourseError(f"{config_path} does not fit the weights beside it: it says {', '.join(differing)}")


def load_gpt2_tokenizer(source: str | Path, pieces):
    """The tokenizer whose files lie beside the weights; GPT-2's own if there are none, or for a name.

    A model can know fewer tokens than its tokenizer, GPT-2's own above all: compare the ids with the
    config's vocab_size before they go in.
    """
    own = None if source in WEIGHTS else read_tokenizer(Path(source), pieces)
    return own or gpt2_tokenizer(pieces.ch1)
