"""Chapter 3: attention. How a token gathers information from the tokens before it.

Shapes: B batch, T time (positions in the sequence), C width of one vector.
"""

import torch
from torch import Tensor, nn

# "Your journey starts with one step", one vector of three numbers a word. The docstrings' examples use it.
JOURNEY = torch.tensor(
    [
        [0.43, 0.15, 0.89],  # Your
        [0.55, 0.87, 0.66],  # journey
        [0.57, 0.85, 0.64],  # starts
        [0.22, 0.58, 0.33],  # with
        [0.77, 0.25, 0.10],  # one
        [0.05, 0.80, 0.55],  # step
    ]
)


def prefix_mean_loop(x: Tensor) -> Tensor:
    """Replace each position by the mean of itself and everything before it, with two plain loops.

    The simplest way for a token to learn something about its past: average it. Write the loops
    first; the next two exercises compute the same numbers faster, and the third one is already
    half of attention.

        y[b, t] = (x[b, 0] + … + x[b, t]) / (t + 1)

    Args:
        x: (B, T, C), a floating dtype.

    Returns:
        (B, T, C), dtype and device of x; x itself stays as it was.

    Example:
        >>> prefix_mean_loop(torch.tensor([[[2.0], [4.0], [9.0]]]))
        tensor([[[2.],
                 [3.],
                 [5.]]])

    Source: the running mean; as a road to attention, A. Karpathy, "Let's build GPT" (2023).
    """
    raise NotImplementedError("prefix_mean_loop: not written yet")


def prefix_mean_matmul(x: Tensor) -> Tensor:
    """The same running means as one matrix product, without a loop.

    A row of weights says how much each position counts. For a mean over the past, row t holds
    1 / (t + 1) up to column t and 0 after it: a lower triangle whose rows sum to 1.

        y = A x        A[t, s] = 1 / (t + 1) if s ≤ t, else 0

    Args:
        x: (B, T, C), a floating dtype.

    Returns:
        (B, T, C), dtype and device of x; equal to prefix_mean_loop(x) up to rounding.

    Example:
        >>> prefix_mean_matmul(torch.tensor([[[2.0], [4.0], [9.0]]]))
        tensor([[[2.],
                 [3.],
                 [5.]]])

    Source: as above; for T = 3, A has the rows (1, 0, 0), (1/2, 1/2, 0), (1/3, 1/3, 1/3).
    """
    raise NotImplementedError("prefix_mean_matmul: not written yet")


def causal_mask(size: int) -> Tensor:
    """A mask to add to attention scores: 0 where looking is allowed, −inf where it is not.

    Position t may look at positions 0 … t. Since exp(−inf) = 0, a score of −inf becomes a weight
    of exactly 0 in the softmax, whatever the other scores are.

        M[t, s] = 0 if s ≤ t, else −inf

    Args:
        size: number of positions T, at least 1.

    Returns:
        (size, size), float32, on the CPU.

    Example:
        >>> causal_mask(3)
        tensor([[0., -inf, -inf],
                [0., 0., -inf],
                [0., 0., 0.]])

    Source: Vaswani et al., "Attention is all you need" (2017), section 3.2.3.
    """
    raise NotImplementedError("causal_mask: not written yet")


def prefix_mean_softmax(x: Tensor) -> Tensor:
    """The same running means a third time, now with the weights made by a softmax.

    Start from a score of 0 for every pair of positions, add the causal mask, and let the softmax
    turn each row into weights: equal scores give equal weights, −inf gives none. Attention is this
    very line with scores that depend on the tokens.

        y = softmax(0 + M) x        softmax over each row

    Args:
        x: (B, T, C), a floating dtype.

    Returns:
        (B, T, C), dtype and device of x; equal to prefix_mean_loop(x) up to rounding.

    Example:
        >>> prefix_mean_softmax(torch.tensor([[[2.0], [4.0], [9.0]]])).round(decimals=4)
        tensor([[[2.],
                 [3.],
                 [5.]]])

    Source: as for prefix_mean_loop.
    """
    raise NotImplementedError("prefix_mean_softmax: not written yet")


class SelfAttentionWithoutQKV(nn.Module):
    """Attention in its barest form: no trained weights, no mask, no scaling.

    Every position scores every other by the dot product of their vectors (alike vectors score
    high), the softmax turns a row of scores into weights that sum to 1, and the result is the
    weighted mean of all the vectors.

        scores = X Xᵀ        weights = softmax(scores, each row)        context = weights X

    forward:
        Args:
            x: (B, T, C) or (T, C), a floating dtype.

        Returns:
            context: the shape of x: for each position a mixture of all positions.
            weights: (B, T, T) or (T, T): row t says how much position t takes from each position.

    Example: how much "journey" takes from each of the six words, and what comes out.
        >>> context, weights = SelfAttentionWithoutQKV()(JOURNEY)
        >>> weights[1]
        tensor([0.1385, 0.2379, 0.2333, 0.1240, 0.1082, 0.1581])
        >>> context[1]
        tensor([0.4419, 0.6515, 0.5683])

    Source: S. Raschka, "Build a Large Language Model (From Scratch)" (2024), section 3.3.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("SelfAttentionWithoutQKV.forward: not written yet")


class SelfAttentionQKV(nn.Module):
    """Scaled dot-product attention with trained queries, keys and values; still without a mask.

    Three linear maps give each token three roles: its query says what it looks for, its key what
    it offers, its value what it hands over. The scores are divided by √d_out: dot products of d
    unit-variance numbers have variance d, and large scores would push the softmax to a single 1,
    where its gradient vanishes.

        Q = X W_query    K = X W_key    V = X W_value
        weights = softmax(Q Kᵀ / √d_out, each row)        context = weights V

    Args:
        d_in: width of the input vectors.
        d_out: width of queries, keys, values and so of the result.

    Attributes, made in this order, so that a seed gives everyone the same numbers:
        W_query, W_key, W_value: nn.Linear(d_in, d_out) without bias.

    forward:
        Args:
            x: (B, T, d_in) or (T, d_in), float32.

        Returns:
            context: (B, T, d_out) or (T, d_out).
            weights: (B, T, T) or (T, T).

    Example:
        >>> _ = torch.manual_seed(123)
        >>> context, weights = SelfAttentionQKV(d_in=3, d_out=2)(JOURNEY)
        >>> context[:2]
        tensor([[-0.5337, -0.1051],
                [-0.5323, -0.1080]], grad_fn=<SliceBackward0>)

    Source: Vaswani et al. (2017), equation 1.
    """

    def __init__(self, d_in: int, d_out: int):
        super().__init__()
        raise NotImplementedError("SelfAttentionQKV.__init__: not written yet")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("SelfAttentionQKV.forward: not written yet")


class CausalAttention(nn.Module):
    """One attention head that cannot see the future, with dropout on its weights.

    A language model is trained to predict the next token at every position at once, so a position
    must not see what comes after it. The mask is added to the scaled scores before the softmax;
    then each row still sums to 1. Dropout zeroes some of the weights while training and does
    nothing in evaluation.

        weights = dropout(softmax(Q Kᵀ / √d_out + M, each row))        context = weights V

    Args:
        d_in: width of the input vectors.
        d_out: width of the result.
        context_length: the longest sequence that will come; shorter ones work too.
        dropout: probability in [0, 1) that a weight is zeroed while training.
        qkv_bias: whether the three linear maps have a bias.

    Attributes, made in this order:
        W_query, W_key, W_value: nn.Linear(d_in, d_out, bias=qkv_bias).
        mask: buffer (context_length, context_length), the causal mask. A buffer moves with the
            module to another device but is not trained; it need not be saved (persistent=False).

    forward:
        Args:
            x: (B, T, d_in), T ≤ context_length, float32.

        Returns:
            context: (B, T, d_out).
            weights: (B, T, T), 0 above the diagonal; the very weights that multiplied the values.

        Raises:
            ValueError: T is greater than context_length (the message gives both).

    Example:
        >>> _ = torch.manual_seed(123)
        >>> head = CausalAttention(d_in=3, d_out=2, context_length=6, dropout=0.0)
        >>> context, weights = head(torch.stack([JOURNEY, JOURNEY]))
        >>> weights[0, :3, :3].detach()
        tensor([[1.0000, 0.0000, 0.0000],
                [0.4833, 0.5167, 0.0000],
                [0.3190, 0.3408, 0.3402]])
        >>> context[0, :2].detach()
        tensor([[-0.4519,  0.2216],
                [-0.5874,  0.0058]])

    Source: Vaswani et al. (2017), sections 3.2.1 and 3.2.3.
    """

    def __init__(self, d_in: int, d_out: int, context_length: int, dropout: float, qkv_bias: bool = False):
        super().__init__()
        raise NotImplementedError("CausalAttention.__init__: not written yet")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("CausalAttention.forward: not written yet")


class MultiHeadAttention(nn.Module):
    """Several causal heads side by side, each in its own slice of the width, mixed at the end.

    One head can look in one way; several can look in several ways at once. Instead of num_heads
    small layers, make one projection of width d_out and cut it into num_heads slices of
    head_dim = d_out / num_heads. Every head attends on its own; their results, laid side by side
    again, go through one more linear map, out_proj, which lets the heads talk to each other.

        head_h  = dropout(softmax(Q_h K_hᵀ / √head_dim + M)) V_h
        context = concat(head_1, …, head_H) W_out + b_out

    Args:
        d_in: width of the input vectors.
        d_out: width of the result, a multiple of num_heads.
        context_length: the longest sequence that will come; shorter ones work too.
        dropout: probability in [0, 1) that an attention weight is zeroed while training.
        num_heads: how many heads.
        qkv_bias: whether query, key and value have a bias; out_proj always has one.

    Raises:
        ValueError: d_out is not a multiple of num_heads (the message gives both).

    Attributes, made in this order:
        W_query, W_key, W_value: nn.Linear(d_in, d_out, bias=qkv_bias).
        out_proj: nn.Linear(d_out, d_out).
        mask: buffer as in CausalAttention.
        num_heads, head_dim: integers, for whoever walks the module later (the cache of chapter 7).

    forward:
        Args:
            x: (B, T, d_in), T ≤ context_length, float32.

        Returns:
            (B, T, d_out).

        Raises:
            ValueError: T is greater than context_length (the message gives both).

    Example:
        >>> _ = torch.manual_seed(123)
        >>> attention = MultiHeadAttention(d_in=3, d_out=2, context_length=6, dropout=0.0, num_heads=2)
        >>> attention(JOURNEY.unsqueeze(0))[0, :2].detach()
        tensor([[0.3190, 0.4858],
                [0.2943, 0.3897]])

    Source: Vaswani et al. (2017), section 3.2.2.
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        context_length: int,
        dropout: float,
        num_heads: int,
        qkv_bias: bool = False,
    ):
        super().__init__()
        raise NotImplementedError("MultiHeadAttention.__init__: not written yet")

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("MultiHeadAttention.forward: not written yet")
