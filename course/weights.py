"""GPT-2's weights from files, put into a model made of the chapters' pieces.

A folder holds either Hugging Face's files (config.json with model.safetensors or
pytorch_model.bin, whole or in shards) or OpenAI's (hparams.json with a TensorFlow checkpoint).
`pieces` is an object whose attributes ch1 … ch8 are the chapters' modules.
"""

import dataclasses
import json
import zipfile
from itertools import filterfalse
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from .corpora import WEIGHTS
from .errors import CourseError
from .hub import download_gpt2
from .tf_checkpoint import params_from_tf, read_tf_checkpoint
from .vocabularies import END_OF_TEXT, character_of_byte, gpt2_tokenizer

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


def read_json(path: Path) -> dict:
    try:
        content = json.loads(read_text(path))
    except ValueError:
        raise CourseError(f"{path} is not JSON; download it again") from None
    if not isinstance(content, dict):
        raise CourseError(f"{path} does not hold a JSON object; download it again")
    return content


def read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CourseError(f"{path} is not text in UTF-8; download it again") from None


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


def in_one_line(error: ValueError, shown: int = 6) -> str:
    """A message of many lines, one a tensor, as one line that can be read."""
    lines = str(error).splitlines() or [type(error).__name__]
    more = f"; and {len(lines) - shown} more" if len(lines) > shown else ""
    return "; ".join(lines[:shown]).replace(":;", ":") + more


def load_gpt2_tokenizer(source: str | Path, pieces):
    """The tokenizer whose files lie beside the weights; GPT-2's own if there are none, or for a name.

    A model can know fewer tokens than its tokenizer, GPT-2's own above all: compare the ids with the
    config's vocab_size before they go in.
    """
    if source in WEIGHTS:
        return gpt2_tokenizer(pieces.ch1)
    found = read_vocab_and_merges(Path(source)) or read_tokenizer_json(Path(source))
    if found is None:
        return gpt2_tokenizer(pieces.ch1)

    path, encoder, pairs, special_tokens = found
    byte_of = {character: byte for byte, character in character_of_byte().items()}
    try:
        plain = filterfalse(set(special_tokens).__contains__, encoder)
        written = {token: bytes(byte_of[character] for character in token) for token in plain}
        merges = [(written[left], written[right]) for left, right in pairs]
        vocab = {int(encoder[token]): as_bytes for token, as_bytes in written.items()}
        special_vocab = {int(encoder[token]): token.encode() for token in special_tokens}
    except (KeyError, ValueError, TypeError):
        raise CourseError(f"{path} is damaged or not of a byte-level tokenizer as GPT-2's") from None
    vocab = dict(sorted((vocab | special_vocab).items()))
    try:
        return pieces.ch1.BPETokenizer(vocab, merges, special_tokens=tuple(special_tokens))
    except ValueError as error:
        raise CourseError(f"{path} makes no tokenizer: {in_one_line(error)}") from error


def read_vocab_and_merges(folder: Path):
    """(path, token -> id, pairs, special tokens) as Hugging Face named the two files, or OpenAI."""
    for vocab_name, merges_name in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        path = folder / vocab_name
        if path.is_file() and (folder / merges_name).is_file():
            encoder = read_json(path)
            lines = read_text(folder / merges_name).splitlines()
            pairs = [line.split() for line in lines if line and not line.startswith("#version")]
            return path, encoder, pairs, [END_OF_TEXT] if END_OF_TEXT in encoder else []
    return None


def read_tokenizer_json(folder: Path):
    """The same from the one file that transformers writes since version 5."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        model, splitting = content["model"], content["pre_tokenizer"] or {}
        byte_level = model["type"] == "BPE" and splitting.get("type") == "ByteLevel"
        gpt2_pattern = splitting.get("use_regex", True) and not splitting.get("add_prefix_space")
        if not byte_level or not gpt2_pattern or content["normalizer"] is not None:
            raise CourseError(f"{path} is of a tokenizer that works in another way than GPT-2's")
        added = {token["content"]: token["id"] for token in content["added_tokens"]}
        pairs = [pair.split() if isinstance(pair, str) else pair for pair in model["merges"]]
        return path, model["vocab"] | added, pairs, list(added)
    except (KeyError, TypeError, AttributeError):
        raise CourseError(f"{path} is not a tokenizer's file; download it again") from None
