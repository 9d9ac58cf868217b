"""Chapter 4: the transformer block. Normalise, attend, normalise, think; and a shortcut past each.

Shapes: B batch, T time (positions in the sequence), C width of one vector (emb_dim).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..ch3.attention import MultiHeadAttention


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a GPT; given, nothing to do here."""

    vocab_size: int  # V
    context_length: int  # the longest sequence that the model can read
    emb_dim: int  # C
    n_heads: int
    n_layers: int
    drop_rate: float = 0.0
    qkv_bias: bool = False

    def __post_init__(self):
        if self.emb_dim % self.n_heads != 0:
            raise ValueError(f"emb_dim {self.emb_dim} is not a multiple of n_heads {self.n_heads}")


class LayerNorm(nn.Module):
    """Bring each position's vector to mean 0 and variance 1, then let it be scaled and shifted.

    Deep stacks train badly when activations grow or shrink from layer to layer. Layer norm looks
    at one position at a time, over the last dimension only, so it does not care how long the
    sequence or how large the batch is. The variance is the mean of the squared deviations (divide
    by C, not by C − 1); eps keeps a constant vector from dividing by zero.

        y = scale · (x − mean) / √(variance + eps) + shift

    Args:
        emb_dim: C.
        eps: a small number added to the variance, under the root.

    Attributes:
        scale: nn.Parameter (C,), all 1 at first.
        shift: nn.Parameter (C,), all 0 at first.

    forward:
        Args:
            x: (…, C), float32.

        Returns:
            the shape of x.

    Example:
        >>> _ = torch.manual_seed(123)
        >>> x = torch.randn(2, 5)
        >>> LayerNorm(5)(x).detach()
        tensor([[ 0.5528,  1.0693, -0.0223,  0.2656, -1.8654],
                [ 0.9087, -1.3767, -0.9564,  1.1304,  0.2940]])

    Source: Ba, Kiros and Hinton, "Layer normalization" (2016).
    """

    def __init__(self, emb_dim: int, eps: float = 1e-5):
        super().__init__()
        raise NotImplementedError("LayerNorm.__init__: not written yet")

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("LayerNorm.forward: not written yet")


class GELU(nn.Module):
    """A smooth relative of ReLU: near 0 for clearly negative numbers, near x for clearly positive.

    Unlike ReLU it has a slope almost everywhere, so a slightly negative number still learns. Use
    GPT-2's form with tanh, not the exact one with the error function: the two differ in the fourth
    decimal, and released weights expect this one.

        GELU(x) = 0.5 · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))

    forward:
        Args:
            x: any shape, float32.

        Returns:
            the shape of x.

    Example:
        >>> GELU()(torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]))
        tensor([-0.0036, -0.1588, 0.0000, 0.8412, 2.9964])

    Source: Hendrycks and Gimpel, "Gaussian error linear units" (2016), section 2.
    """

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("GELU.forward: not written yet")


class Dropout(nn.Module):
    """While training, zero each number with probability p and enlarge the rest; else do nothing.

    A network that cannot rely on any single number spreads what it knows. The survivors are
    divided by 1 − p, so that the expected value stays the same and evaluation needs no change.

        training:    y = x · keep / (1 − p),  keep = 1 with probability 1 − p, else 0
        evaluation:  y = x

    Args:
        p: probability of being zeroed, 0 ≤ p < 1.

    Raises:
        ValueError: p is outside [0, 1).

    forward:
        Args:
            x: any shape, float32.

        Returns:
            the shape of x. Each number is kept or zeroed independently, anew in each call.

    Example:
        >>> dropout = Dropout(0.5)
        >>> y = dropout(torch.ones(1000))
        >>> sorted(set(y.tolist()))
        [0.0, 2.0]
        >>> torch.equal(dropout.eval()(torch.ones(1000)), torch.ones(1000))
        True

    Source: Srivastava et al., "Dropout" (2014); scaled while training, as all libraries do now.
    """

    def __init__(self, p: float):
        super().__init__()
        raise NotImplementedError("Dropout.__init__: not written yet")

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("Dropout.forward: not written yet")


class FeedForward(nn.Module):
    """What each position does by itself with what attention brought: widen, bend, narrow.

    Attention mixes positions but is nearly linear in what it mixes. This small network, the same
    at every position, is where most of the parameters and most of the computation sit.

        FFN(x) = GELU(x W₁ + b₁) W₂ + b₂        W₁: C × 4C, W₂: 4C × C

    Args:
        cfg: the sizes; emb_dim is C.

    Attributes:
        layers: nn.Sequential of nn.Linear(C, 4C), GELU(), nn.Linear(4C, C), both with bias.

    forward:
        Args:
            x: (B, T, C), float32.

        Returns:
            (B, T, C).

    Example:
        >>> cfg = GPTConfig(vocab_size=50, context_length=8, emb_dim=6, n_heads=2, n_layers=1)
        >>> feed_forward = FeedForward(cfg)
        >>> feed_forward(torch.zeros(2, 4, 6)).shape
        torch.Size([2, 4, 6])
        >>> nn.utils.parameters_to_vector(feed_forward.parameters()).numel()  # 6·24 + 24 + 24·6 + 6
        318

    Source: Vaswani et al. (2017), section 3.3; with GELU since GPT (2018).
    """

    def __init__(self, cfg: GPTConfig):
        super().__init__()
        raise NotImplementedError("FeedForward.__init__: not written yet")

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("FeedForward.forward: not written yet")


class DeepNetwork(nn.Module):
    """A small deep network, with or without shortcuts, to see what shortcuts do to gradients.

    Without shortcuts the gradient shrinks on its way back through each layer; the first layers of
    a deep stack hardly learn. A shortcut adds a layer's input to its output, and the gradient has
    a way past the layer.

        h = GELU(x W + b)        x ← x + h if use_shortcut and the shapes agree, else h

    Args:
        layer_sizes: widths, the input's first: n + 1 numbers make n layers.
        use_shortcut: whether to add the input where its shape is that of the output.

    Attributes:
        layers: nn.ModuleList of nn.Sequential(nn.Linear, GELU), made from the first to the last.

    forward:
        Args:
            x: (…, layer_sizes[0]), float32.

        Returns:
            (…, layer_sizes[-1]).

    Example: five layers, target 0, and the mean absolute gradient of the first layer's weight.
        >>> x = torch.tensor([[1.0, 0.0, -1.0]])
        >>> for use_shortcut in (False, True):
        ...     _ = torch.manual_seed(123)
        ...     network = DeepNetwork([3, 3, 3, 3, 3, 1], use_shortcut)
        ...     nn.functional.mse_loss(network(x), torch.zeros(1, 1)).backward()
        ...     print(round(network.layers[0][0].weight.grad.abs().mean().item(), 6))
        0.000202
        0.221698

    Source: He et al., "Deep residual learning" (2015); the experiment: Raschka (2024), section 4.4.
    """

    def __init__(self, layer_sizes: Sequence[int], use_shortcut: bool):
        super().__init__()
        raise NotImplementedError("DeepNetwork.__init__: not written yet")

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("DeepNetwork.forward: not written yet")


class TransformerBlock(nn.Module):
    """One block of a GPT: gather from the past (attention), then think it over (feed-forward).

    Both halves have the same form: normalise, do the work, dropout, add the shortcut. The
    normalisation comes before the work (pre-norm), so that the shortcuts run from the first block
    to the last without anything in their way.

        x ← x + dropout(att(norm1(x)))
        x ← x + dropout(ff(norm2(x)))

    Args:
        cfg: the sizes; drop_rate serves both the attention weights and drop_shortcut.

    Attributes, made in this order:
        att: MultiHeadAttention from emb_dim to emb_dim.
        ff: FeedForward.
        norm1, norm2: LayerNorm.
        drop_shortcut: Dropout.

    forward:
        Args:
            x: (B, T, C), T ≤ context_length, float32.

        Returns:
            (B, T, C).

    Example:
        >>> cfg = GPTConfig(vocab_size=50, context_length=8, emb_dim=6, n_heads=2, n_layers=1)
        >>> block = TransformerBlock(cfg)
        >>> block(torch.zeros(2, 4, 6)).shape
        torch.Size([2, 4, 6])
        >>> nn.utils.parameters_to_vector(block.parameters()).numel()  # 3·36 + 42, 318, 2·12
        492

    Source: Radford et al., "Language models are unsupervised multitask learners" (2019).
    """

    def __init__(self, cfg: GPTConfig):
        super().__init__()
        raise NotImplementedError("TransformerBlock.__init__: not written yet")

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("TransformerBlock.forward: not written yet")
