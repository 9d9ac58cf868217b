"""Chapter 5 written differently: the checks must take it too."""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..ch2 import inputs
from ..ch4 import block as ch4
from ..ch4.block import GPTConfig

SMALL = GPTConfig(50257, 1024, 768, 12, 12, drop_rate=0.1, qkv_bias=True)
GPT2_SIZES = {
    name: replace(SMALL, emb_dim=width, n_layers=layers, n_heads=heads)
    for name, width, layers, heads in [
        ("gpt2", 768, 12, 12),
        ("gpt2-medium", 1024, 24, 16),
        ("gpt2-large", 1280, 36, 20),
        ("gpt2-xl", 1600, 48, 25),
    ]
}


class GPTModel(nn.Module):
    def __init__(self, cfg: GPTConfig):
        super().__init__()
        V, T, C = cfg.vocab_size, cfg.context_length, cfg.emb_dim
        self.config = cfg
        self.add_module("tok_emb", nn.Embedding(V, C))
        self.add_module("pos_emb", nn.Embedding(T, C))
        self.add_module("drop_emb", ch4.Dropout(cfg.drop_rate))
        self.trf_blocks = nn.Sequential()
        for _ in range(cfg.n_layers):
            self.trf_blocks.append(ch4.TransformerBlock(cfg))
        self.final_norm = ch4.LayerNorm(C)
        self.out_head = nn.Linear(C, V, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        stream = self.drop_emb(inputs.embed(ids, self.tok_emb, self.pos_emb))
        for transformer_block in self.trf_blocks:
            stream = transformer_block(stream)
        return torch.einsum("btc,vc->btv", self.final_norm(stream), self.out_head.weight)


def count_parameters(model: nn.Module) -> int:
    total, met = 0, set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in met:
                met.add(id(parameter))
                total += math.prod(parameter.shape)
    return total


@torch.no_grad()
def init_weights(model: GPTModel) -> None:
    contributions = 2 * len(list(model.trf_blocks))
    for name, parameter in reversed(list(model.named_parameters())):
        if parameter.dim() >= 2:
            into_stream = name.endswith(("out_proj.weight", "layers.2.weight"))
            parameter.copy_(torch.randn(parameter.shape) * 0.02)
            if into_stream:
                parameter /= contributions**0.5
        elif name.endswith("bias"):
            parameter.fill_(0)


def tie_weights(model: GPTModel) -> None:
    # the other direction: the head's matrix serves the embedding
    model.tok_emb.weight = model.out_head.weight
