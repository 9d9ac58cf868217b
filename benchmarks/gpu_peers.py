"""nanoGPT and LLMs-from-scratch, out of checkouts, with our first weights; see gpu_ladder.py."""

import importlib.util
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from course import fast_train
from course.pieces import load_pieces

PIECES = load_pieces("solutions")
LEARNING_RATE, WEIGHT_DECAY, BETAS, MAX_NORM = 6e-4, 0.1, (0.9, 0.95), 1.0


def first_model(cfg) -> nn.Module:
    torch.manual_seed(1)
    model = PIECES.ch5.GPTModel(cfg)
    PIECES.ch5.init_weights(model)
    PIECES.ch5.tie_weights(model)
    return model


class NanoGPT:
    """nanoGPT's model and optimizer with our first weights, compiled, and its train.py's step in bfloat16."""

    def __init__(self, checkout: Path, cfg, device: torch.device, compiled: bool):
        torch.set_float32_matmul_precision("high")
        peer = load_module(checkout / "model.py")
        config = peer.GPTConfig(
            block_size=cfg.context_length, vocab_size=padded(cfg.vocab_size), n_layer=cfg.n_layers,
            n_head=cfg.n_heads, n_embd=cfg.emb_dim, dropout=0.0, bias=True,
        )  # fmt: skip
        self.device, self.model = device, peer.GPT(config).to(device)
        copy_weights(first_model(cfg), dict(self.model.named_parameters()), NANOGPT_NAMES)
        self.optimizer = self.model.configure_optimizers(WEIGHT_DECAY, LEARNING_RATE, BETAS, device.type)
        self.forward = torch.compile(self.model) if compiled else self.model

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = x.to(self.device), y.to(self.device).contiguous()  # it takes a view of y
        with torch.autocast(self.device.type, torch.bfloat16):
            _, loss = self.forward(x, y)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), MAX_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()


class LLMsFromScratch:
    """The model of its 01_opt_single_gpu.py and that script's step: bfloat16 weights too, head not tied."""

    def __init__(self, checkout: Path, cfg, device: torch.device, compiled: bool):
        torch.set_float32_matmul_precision("high")
        peer = load_module(checkout / "ch05" / "10_llm-training-speed" / "01_opt_single_gpu.py")
        config = {
            "vocab_size": padded(cfg.vocab_size), "context_length": cfg.context_length,
            "emb_dim": cfg.emb_dim, "n_heads": cfg.n_heads, "n_layers": cfg.n_layers, "drop_rate": 0.0,
            "qkv_bias": False,
        }  # fmt: skip
        self.model, self.device, self.calc_loss = peer.GPTModel(config), device, peer.calc_loss_batch
        copy_weights(first_model(cfg), dict(self.model.named_parameters()), LLMS_FROM_SCRATCH_NAMES)
        self.forward = torch.compile(self.model) if compiled else self.model
        self.model.to(device).to(torch.bfloat16)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.calc_loss(x, y, self.forward, self.device)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


# Their names for our parameters; {} is the number of a block. Several of ours are stacked.
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
LLMS_FROM_SCRATCH_NAMES = {
    "tok_emb.weight": ["tok_emb.weight"],
    "pos_emb.weight": ["pos_emb.weight"],
    "final_norm.weight": ["final_norm.scale"],
    "final_norm.bias": ["final_norm.shift"],
    "out_head.weight": ["tok_emb.weight"],
    "trf_blocks.{}.norm1.weight": ["trf_blocks.{}.norm1.scale"],
    "trf_blocks.{}.norm1.bias": ["trf_blocks.{}.norm1.shift"],
    "trf_blocks.{}.norm2.weight": ["trf_blocks.{}.norm2.scale"],
    "trf_blocks.{}.norm2.bias": ["trf_blocks.{}.norm2.shift"],
    "trf_blocks.{}.att.qkv.weight": [f"trf_blocks.{{}}.att.{one}.weight" for one in fast_train.THREE],
    "trf_blocks.{}.att.proj.weight": ["trf_blocks.{}.att.out_proj.weight"],
    "trf_blocks.{}.att.proj.bias": ["trf_blocks.{}.att.out_proj.bias"],
    "trf_blocks.{}.ff.layers.0.weight": ["trf_blocks.{}.ff.layers.0.weight"],
    "trf_blocks.{}.ff.layers.0.bias": ["trf_blocks.{}.ff.layers.0.bias"],
    "trf_blocks.{}.ff.layers.2.weight": ["trf_blocks.{}.ff.layers.2.weight"],
    "trf_blocks.{}.ff.layers.2.bias": ["trf_blocks.{}.ff.layers.2.bias"],
}


@torch.no_grad()
def copy_weights(ours: nn.Module, theirs: dict[str, Tensor], names: dict[str, list[str]]) -> None:
    """Our weights into a peer's parameters; what we do not have (biases of q, k, v; padding) becomes 0."""
    own = dict(ours.named_parameters())
    for parameter in theirs.values():
        parameter.zero_()
    for name, parts in names.items():
        for block in range(len(ours.trf_blocks) if "{}" in name else 1):
            rows = torch.cat([own[part.format(block)] for part in parts])
            theirs[name.format(block)][: len(rows)] = rows.to(theirs[name.format(block)])


def padded(vocab_size: int) -> int:
    """The next multiple of 64, as both take it."""
    return -(-vocab_size // 64) * 64


def load_module(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module
