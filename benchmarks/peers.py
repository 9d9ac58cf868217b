"""What the comparisons with peers share: our first weights in their models, and words on the machine."""

import importlib.util
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from course import fast_train
from course.pieces import load_pieces

PIECES = load_pieces("solutions")

# Their names for our parameters; {} is the number of a block. Several of ours are stacked. Hugging Face's
# GPT-2 has nanoGPT's names.
NANOGPT_NAMES = {
    "transformer.wte.weight": ["tok_emb.weight"],
    "transformer.wpe.weight": ["pos_emb.weight"],
    "transformer.ln_f.weight": ["final_norm.scale"],
    "transformer.ln_f.bias": ["final_norm.shift"],
    "transformer.h.{}.ln_1.weight": ["trf_blocks.{}.norm1.scale"],
    "transformer.h.{}.ln_1.bias": ["trf_blocks.{}.norm1.shift"],
    "transformer.h.{}.ln_2.weight": ["trf_blocks.{}.norm2.scale"],
    "transformer.h.{}.ln_2.bias": ["trf_blocks.{}.norm2.shift"],
    "transformer.h.{}.attn.c_attn.weight": [f"trf_blocks.{{}}.att.{one}.weight" for one in fast_train.THREE],
    "transformer.h.{}.attn.c_proj.weight": ["trf_blocks.{}.att.out_proj.weight"],
    "transformer.h.{}.attn.c_proj.bias": ["trf_blocks.{}.att.out_proj.bias"],
    "transformer.h.{}.mlp.c_fc.weight": ["trf_blocks.{}.ff.layers.0.weight"],
    "transformer.h.{}.mlp.c_fc.bias": ["trf_blocks.{}.ff.layers.0.bias"],
    "transformer.h.{}.mlp.c_proj.weight": ["trf_blocks.{}.ff.layers.2.weight"],
    "transformer.h.{}.mlp.c_proj.bias": ["trf_blocks.{}.ff.layers.2.bias"],
}
# LLMs-from-scratch: the chapters' model has our own names; those of the optimised one differ.
LLMS_FROM_SCRATCH_NAMES = {"out_head.weight": ["tok_emb.weight"]}
OPTIMISED_NAMES = {
    "final_norm.weight": ["final_norm.scale"],
    "final_norm.bias": ["final_norm.shift"],
    "trf_blocks.{}.norm1.weight": ["trf_blocks.{}.norm1.scale"],
    "trf_blocks.{}.norm1.bias": ["trf_blocks.{}.norm1.shift"],
    "trf_blocks.{}.norm2.weight": ["trf_blocks.{}.norm2.scale"],
    "trf_blocks.{}.norm2.bias": ["trf_blocks.{}.norm2.shift"],
    "trf_blocks.{}.att.qkv.weight": [f"trf_blocks.{{}}.att.{one}.weight" for one in fast_train.THREE],
    "trf_blocks.{}.att.proj.weight": ["trf_blocks.{}.att.out_proj.weight"],
    "trf_blocks.{}.att.proj.bias": ["trf_blocks.{}.att.out_proj.bias"],
    **LLMS_FROM_SCRATCH_NAMES,
}


def first_model(cfg) -> nn.Module:
    torch.manual_seed(1)
    model = PIECES.ch5.GPTModel(cfg)
    PIECES.ch5.init_weights(model)
    PIECES.ch5.tie_weights(model)
    return model


@torch.no_grad()
def copy_weights(ours: nn.Module, theirs: dict[str, Tensor], names: dict[str, list[str]]) -> None:
    """Our weights into a peer's parameters; what we do not have (biases of q, k, v; padding) becomes 0.

    A parameter that is not in names may have our own name. What the peer lacks (biases) must be 0 in ours.
    """
    own = dict(ours.named_parameters())
    sources = {name: [name] for name in own}
    for name, parts in names.items():
        for block in range(len(ours.trf_blocks)):
            sources[name.format(block)] = [part.format(block) for part in parts]
    placed = set()
    for name, parameter in theirs.items():
        parameter.zero_()
        if name in sources:
            rows = torch.cat([own[source] for source in sources[name]])
            parameter[: len(rows)] = rows
            placed.update(sources[name])
    lost = [name for name in own if name not in placed and own[name].any()]
    assert not lost, f"the peer has no place for {', '.join(lost)}"


def parameters_by_name(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters())


def rows_are_outputs(model: nn.Module) -> dict[str, Tensor]:
    """Hugging Face's parameters, the matrices of its blocks turned round to be like nn.Linear's."""
    return {
        name: parameter.T if ".h." in name and parameter.dim() == 2 else parameter
        for name, parameter in model.named_parameters()
    }


def load_module(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def machine_line() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "numpy"))
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    cpu += f" ({torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores)"
    return f"{versions}, Python {platform.python_version()}, {cpu}, {torch.get_num_threads()} thread(s)"


def load_line() -> str:
    """Others on the machine take cores, caches and memory's speed; the last of these shows in any clock."""
    return "load " + " ".join(f"{load:.1f}" for load in os.getloadavg()) if hasattr(os, "getloadavg") else ""


def commit_of(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "log", "-1", "--format=%h of %cs"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "no commit"
