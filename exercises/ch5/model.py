"""Chapter 5: the model. Embeddings, a stack of blocks, and a score for every next token.

Shapes: B batch, T time (positions in the sequence), C width of one vector, V vocabulary size.
"""

from torch import Tensor, nn

from ..ch2.inputs import embed
from ..ch4.block import Dropout, GPTConfig, LayerNorm, TransformerBlock

# The four sizes of GPT-2 as they were released, with biases on query, key and value.
GPT2_SIZES = {
    "gpt2": GPTConfig(50257, 1024, 768, n_heads=12, n_layers=12, drop_rate=0.1, qkv_bias=True),
    "gpt2-medium": GPTConfig(50257, 1024, 1024, n_heads=16, n_layers=24, drop_rate=0.1, qkv_bias=True),
    "gpt2-large": GPTConfig(50257, 1024, 1280, n_heads=20, n_layers=36, drop_rate=0.1, qkv_bias=True),
    "gpt2-xl": GPTConfig(50257, 1024, 1600, n_heads=25, n_layers=48, drop_rate=0.1, qkv_bias=True),
}


class GPTModel(nn.Module):
    """The whole GPT: from token ids to a score, at each position, for every possible next token.

    Everything it needs has been built: embed (chapter 2) makes vectors of ids, n_layers blocks
    (chapter 4) refine them, a last layer norm tidies up, and a linear head without bias gives the
    logits. No softmax here: the loss and the samplers want the raw scores.

        x = dropout(embed(ids))        x ← block(x), n_layers times        logits = norm(x) W_head

    Args:
        cfg: the sizes.

    Attributes, made in this order:
        tok_emb: nn.Embedding(vocab_size, emb_dim).
        pos_emb: nn.Embedding(context_length, emb_dim).
        drop_emb: Dropout.
        trf_blocks: nn.Sequential of n_layers TransformerBlocks.
        final_norm: LayerNorm.
        out_head: nn.Linear(emb_dim, vocab_size, bias=False).

    forward:
        Args:
            ids: (B, T), int64, T ≤ context_length, each 0 ≤ id < V.

        Returns:
            logits (B, T, V): row t scores the token that follows position t.

        Raises:
            ValueError: too many positions or, on the CPU, an id outside the vocabulary, as embed.

    Example:
        >>> import torch
        >>> cfg = GPTConfig(vocab_size=50, context_length=8, emb_dim=6, n_heads=2, n_layers=3)
        >>> model = GPTModel(cfg)
        >>> model(torch.tensor([[7, 1, 42], [0, 3, 3]])).shape
        torch.Size([2, 3, 50])

    Source: Radford et al., "Language models are unsupervised multitask learners" (2019).
    """

    def __init__(self, cfg: GPTConfig):
        super().__init__()
        raise NotImplementedError("GPTModel.__init__: not written yet")

    def forward(self, ids: Tensor) -> Tensor:
        raise NotImplementedError("GPTModel.forward: not written yet")


def count_parameters(model: nn.Module) -> int:
    """How many numbers a model consists of; a tensor used in two places counts once.

    Args:
        model: any module.

    Returns:
        the total number of elements of its distinct parameters.

    Example: GPT-2 small without query, key and value biases; "124M" is the count with the head
    tied to the token embedding.
        >>> import torch
        >>> from dataclasses import replace
        >>> with torch.device("meta"):  # shapes without memory
        ...     model = GPTModel(replace(GPT2_SIZES["gpt2"], qkv_bias=False))
        >>> count_parameters(model)
        163009536
        >>> tie_weights(model)
        >>> count_parameters(model)
        124412160

    Source: Radford et al. (2019), table 2; the released model, biases included: 124,439,808.
    """
    raise NotImplementedError("count_parameters: not written yet")


def init_weights(model: GPTModel) -> None:
    """Give every weight GPT-2's random start, in place.

    All weight matrices, embeddings included, are drawn from a normal distribution with standard
    deviation 0.02; biases are 0. Every block adds twice to the stream of shortcuts, so after L
    blocks 2·L contributions have piled up: the matrices that write into the stream (out_proj of
    the attention, the last of the feed-forward) start smaller, for the sum to keep its size.

        W ~ N(0, 0.02²)        residual projections: W ~ N(0, (0.02 / √(2·n_layers))²)

    Layer norms stay as they are: scale 1, shift 0.

    Args:
        model: changed in place; n_layers is the number of its trf_blocks.

    Example:
        >>> cfg = GPTConfig(vocab_size=100, context_length=8, emb_dim=200, n_heads=2, n_layers=8)
        >>> model = GPTModel(cfg)
        >>> init_weights(model)
        >>> round(model.tok_emb.weight.std().item(), 3)
        0.02
        >>> round(model.trf_blocks[0].att.out_proj.weight.std().item(), 3)  # 0.02 / √16
        0.005

    Source: Radford et al. (2019), section 2.3; 0.02 stands in their code.
    """
    raise NotImplementedError("init_weights: not written yet")


def tie_weights(model: GPTModel) -> None:
    """Let the output head and the token embedding be one and the same matrix, in place.

    Both have a row for each token: one says what the token means when it comes in, the other what
    the last vector must look like for it to go out. Sharing saves V·C numbers, and training
    changes both at once.

    Args:
        model: changed in place; afterwards out_head.weight *is* tok_emb.weight.

    Example:
        >>> cfg = GPTConfig(vocab_size=50, context_length=8, emb_dim=6, n_heads=2, n_layers=1)
        >>> model = GPTModel(cfg)
        >>> tie_weights(model)
        >>> model.out_head.weight is model.tok_emb.weight
        True

    Source: Press and Wolf, "Using the output embedding to improve language models" (2016).
    """
    raise NotImplementedError("tie_weights: not written yet")
