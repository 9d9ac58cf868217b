"""nanoGPT and LLMs-from-scratch, out of checkouts, with our first weights; see gpu_ladder.py."""

from pathlib import Path

import torch
from peers import NANOGPT_NAMES, OPTIMISED_NAMES, copy_weights, first_model, load_module, parameters_by_name
from torch import Tensor, nn

LEARNING_RATE, WEIGHT_DECAY, BETAS, MAX_NORM = 6e-4, 0.1, (0.9, 0.95), 1.0


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
        copy_weights(first_model(cfg), parameters_by_name(self.model), NANOGPT_NAMES)
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
        copy_weights(first_model(cfg), parameters_by_name(self.model), OPTIMISED_NAMES)
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


def padded(vocab_size: int) -> int:
    """The next multiple of 64, as both take it."""
    return -(-vocab_size // 64) * 64
