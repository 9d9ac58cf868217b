"""Chapter 7: sampling. From scores to text, one token at a time, and without doing work twice.

Shapes: B batch, T time (positions in the sequence), C width of one vector, V vocabulary size,
H heads. Put the model into evaluation mode first (model.eval()): these functions use it as it is.
"""

import torch
from torch import Generator, Tensor, nn

from ..ch2.inputs import check_ids
from ..ch3.attention import MultiHeadAttention
from ..ch5.model import GPTModel


@torch.no_grad()
def generate_text(model: nn.Module, idx: Tensor, max_new_tokens: int, context_size: int) -> Tensor:
    """Continue each row with the most likely next token, again and again: greedy decoding.

    Show the model the last context_size tokens, take the logits of the last position, append the
    token with the greatest one. Each new token is one more pass through the model.

        next = argmax over v of logits[b, −1, v]

    Args:
        model: ids (B, T) -> logits (B, T, V), in evaluation mode.
        idx: (B, T), int64, T ≥ 1: the prompts.
        max_new_tokens: how many tokens to append.
        context_size: how many of the last tokens the model is shown.

    Returns:
        (B, T + max_new_tokens), int64: the whole prompt, not cropped, and what follows it.

    Raises:
        ValueError: the prompt is empty.

    Example: a model whose favourite next token is always the next number of a circle of four.
        >>> model = nn.Embedding.from_pretrained(torch.eye(4).roll(1, dims=1))
        >>> generate_text(model, torch.tensor([[2]]), max_new_tokens=5, context_size=1)
        tensor([[2, 3, 0, 1, 2, 3]])

    Source: S. Raschka, "Build a Large Language Model (From Scratch)" (2024), section 4.7.
    """
    raise NotImplementedError("generate_text: not written yet")


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Make a distribution bolder or more timid before drawing from it.

    Differences between logits decide how unequal the probabilities are. A temperature below 1
    enlarges the differences (bolder), one above 1 shrinks them (more varied, more mistakes).

        logits / temperature

    Args:
        logits: (…, V), a floating dtype.
        temperature: above 0.

    Returns:
        the shape of logits.

    Raises:
        ValueError: temperature is 0 or below.

    Example:
        >>> scores = torch.tensor([0.1, -0.2, 0.3, -0.2, 0.5])
        >>> torch.softmax(scores, dim=-1)
        tensor([0.1925, 0.1426, 0.2351, 0.1426, 0.2872])
        >>> torch.softmax(apply_temperature(scores, 0.125), dim=-1)
        tensor([0.0326, 0.0030, 0.1615, 0.0030, 0.8000])

    Source: Ackley, Hinton and Sejnowski, "A learning algorithm for Boltzmann machines" (1985).
    """
    raise NotImplementedError("apply_temperature: not written yet")


def top_k_filter(logits: Tensor, top_k: int) -> Tensor:
    """Keep the k greatest logits of each row and set all others to −inf.

    The long tail of unlikely tokens is, all together, likely enough to spoil a text. Tokens that
    are as good as the k-th one stay too: there is no reason to prefer one of equals.

        logit if logit ≥ the k-th greatest, else −inf

    Args:
        logits: (…, V), a floating dtype.
        top_k: k ≥ 1; a k above V keeps everything.

    Returns:
        the shape of logits; the given tensor stays as it was.

    Raises:
        ValueError: top_k is below 1.

    Example:
        >>> top_k_filter(torch.tensor([1.0, 3.0, 2.0, 2.0]), top_k=2)
        tensor([-inf, 3., 2., 2.])

    Source: Fan, Lewis and Dauphin, "Hierarchical neural story generation" (2018).
    """
    raise NotImplementedError("top_k_filter: not written yet")


def top_p_filter(logits: Tensor, top_p: float) -> Tensor:
    """Keep the fewest most likely tokens whose probabilities add up to at least p.

    Where the model is sure, few tokens remain; where many would do, many remain. Sort by
    probability and add up; the token with which the sum reaches or crosses p is the last that
    stays, so that at least one always does. The others get −inf.

        keep token i of the sorted ones if p_1 + … + p_(i−1) < p

    Args:
        logits: (…, V), a floating dtype.
        top_p: p, 0 < p ≤ 1; 1 keeps everything.

    Returns:
        the shape of logits; the given tensor stays as it was.

    Raises:
        ValueError: top_p is not in (0, 1].

    Example: of the probabilities 0.5, 0.3, 0.2 the second crosses 0.6.
        >>> top_p_filter(torch.tensor([0.2, 0.5, 0.3]).log(), top_p=0.6).exp()
        tensor([0.0000, 0.5000, 0.3000])

    Source: Holtzman et al., "The curious case of neural text degeneration" (2019).
    """
    raise NotImplementedError("top_p_filter: not written yet")


def next_token(
    logits: Tensor,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Choose each row's next token from its logits: the greatest, or a draw.

    Temperature 0 means greedy. Otherwise apply the temperature, then the top-k filter, then the
    top-p filter, and draw from the softmax of what is left. The order matters: top-p looks at the
    probabilities after the temperature and among the k that are left.

    Args:
        logits: (B, V), those of the last position.
        temperature: 0 for greedy, or above 0.
        top_k: as top_k_filter, or None for no such filter.
        top_p: as top_p_filter, or None.
        generator: source of the draws; torch's global one when None.

    Returns:
        (B, 1), int64.

    Raises:
        ValueError: temperature is below 0, or a filter refuses its number.

    Example:
        >>> logits = torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 0.0]])
        >>> next_token(logits)
        tensor([[1],
                [0]])
        >>> next_token(logits, temperature=2.0, top_k=1)
        tensor([[1],
                [0]])

    Source: Raschka (2024), section 5.3.
    """
    raise NotImplementedError("next_token: not written yet")


@torch.no_grad()
def generate(
    model: nn.Module,
    idx: Tensor,
    max_new_tokens: int,
    context_size: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_id: int | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Continue each row, choosing every token with next_token, until it is long enough or ends.

    A row is finished when eos_id, the end-of-text token, is chosen for it. That token is not part
    of the text. But the rows of a batch are one tensor: while others go on, a finished row is
    padded with eos_id. When all rows are finished, stop.

    Args:
        model: ids (B, T) -> logits (B, T, V), in evaluation mode.
        idx: (B, T), int64, T ≥ 1: the prompts.
        max_new_tokens: how many tokens to append at most.
        context_size: how many of the last tokens the model is shown.
        temperature, top_k, top_p, generator: as next_token.
        eos_id: the token that ends a row, or None.

    Returns:
        (B, T + n), int64, n ≤ max_new_tokens: the whole prompts and what follows them.

    Raises:
        ValueError: the prompt is empty, or next_token refuses a number.

    Example: two rows on the circle 0 → 1 → 2 → 3 → 0; a 3 ends a row, the first one at once.
        >>> model = nn.Embedding.from_pretrained(torch.eye(4).roll(1, dims=1))
        >>> generate(model, torch.tensor([[2], [0]]), max_new_tokens=9, context_size=1, eos_id=3)
        tensor([[2, 3, 3],
                [0, 1, 2]])

    Source: Raschka (2024), section 5.3, which stops the whole batch when one row ends; this does not.
    """
    raise NotImplementedError("generate: not written yet")


class KVCache:
    """What attention has computed of the past: for each layer the keys and values of all positions.

    With causal attention a position's key and value depend on the past only, so a new token does
    not change those of the old ones. Keep them, and the next token costs one position instead of
    the whole sequence.

    Attributes:
        keys, values: dicts from the number of a layer to a tensor (B, H, T, head_dim); empty at first.

    append:
        Args:
            layer: number of the layer, from 0.
            keys, values: (B, H, T_new, head_dim), of the new positions.

        Returns:
            keys, values: (B, H, T, head_dim) each: of all positions so far, the new ones last.

    length(): how many positions the cache holds; 0 when it is empty.

    Example:
        >>> cache = KVCache()
        >>> keys, values = cache.append(0, torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4))
        >>> keys, values = cache.append(0, torch.ones(1, 2, 1, 4), torch.ones(1, 2, 1, 4))
        >>> keys.shape, cache.length()
        (torch.Size([1, 2, 4, 4]), 4)

    Source: Pope et al., "Efficiently scaling transformer inference" (2022), section 2.
    """

    def __init__(self):
        raise NotImplementedError("KVCache.__init__: not written yet")

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("KVCache.append: not written yet")

    def length(self) -> int:
        raise NotImplementedError("KVCache.length: not written yet")


def attend_cached(att: MultiHeadAttention, x: Tensor, cache: KVCache, layer: int) -> Tensor:
    """What att would give for the new positions, with the past's keys and values from the cache.

    Compute queries, keys and values of the new positions only, append the keys and values to the
    cache, and let the new queries look at everything the cache now holds. Query number i of the
    new ones stands at position start + i: it may look at the positions 0 … start + i. Write the
    attention out, as in chapter 3, without torch's ready-made one.

    Args:
        att: the MultiHeadAttention of chapter 3: its W_query, W_key, W_value, out_proj, num_heads
            and head_dim are used. As in evaluation, without dropout.
        x: (B, T_new, C): the new positions only.
        cache: holds `start` positions of this layer; afterwards start + T_new.
        layer: the number of the layer.

    Returns:
        (B, T_new, C).

    Example: three positions at once, then the fourth: the same as all four without a cache.
        >>> att = MultiHeadAttention(d_in=6, d_out=6, context_length=4, dropout=0.0, num_heads=2)
        >>> x = torch.randn(1, 4, 6)
        >>> cache = KVCache()
        >>> first = attend_cached(att, x[:, :3], cache, layer=0)
        >>> last = attend_cached(att, x[:, 3:], cache, layer=0)
        >>> torch.allclose(torch.cat([first, last], dim=1), att(x), atol=1e-6)
        True

    Source: as for KVCache.
    """
    raise NotImplementedError("attend_cached: not written yet")


def forward_cached(model: GPTModel, ids: Tensor, cache: KVCache) -> Tensor:
    """The logits of new tokens that follow those in the cache: GPTModel.forward with a memory.

    Walk through the model by hand: embeddings, each block's two halves, final norm and head. Two
    things differ from GPTModel.forward: attention goes through attend_cached, and the positions
    start at the cache's length, not at 0.

    Args:
        model: the GPTModel of chapter 5, in evaluation mode.
        ids: (B, T_new), int64: the new tokens only.
        cache: the past; afterwards it holds the new positions too.

    Returns:
        logits (B, T_new, V), as the last T_new rows of model(all tokens so far).

    Raises:
        ValueError: past and new tokens together are longer than the model's context, or an id is
            outside the vocabulary (check_ids of chapter 2).

    Example:
        >>> from ..ch4.block import GPTConfig
        >>> model = GPTModel(GPTConfig(50, context_length=8, emb_dim=6, n_heads=2, n_layers=3)).eval()
        >>> ids = torch.tensor([[7, 1, 42, 3]])
        >>> cache = KVCache()
        >>> first, last = forward_cached(model, ids[:, :3], cache), forward_cached(model, ids[:, 3:], cache)
        >>> torch.allclose(torch.cat([first, last], dim=1), model(ids), atol=1e-6)
        True

    Source: as for KVCache.
    """
    raise NotImplementedError("forward_cached: not written yet")


@torch.no_grad()
def generate_cached(
    model: GPTModel,
    idx: Tensor,
    max_new_tokens: int,
    context_size: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_id: int | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """The same as generate, token for token, but every token is computed once.

    First the whole prompt goes through forward_cached, then each new token alone. That holds until
    the sequence is longer than context_size. From then on every token moves one position to the
    left with each step; positions are learned vectors added at the bottom, so all keys and values
    change and the cache is worthless. So past that point the window is computed anew each step, as
    generate does: equal tokens, no speed-up. (Models with relative positions escape this.)

    Args:
        model: the GPTModel of chapter 5, in evaluation mode.
        idx, max_new_tokens, context_size, temperature, top_k, top_p, eos_id, generator: as generate.

    Returns:
        (B, T + n), int64, as generate.

    Raises:
        ValueError: as generate.

    Example:
        >>> from ..ch4.block import GPTConfig
        >>> model = GPTModel(GPTConfig(50, context_length=8, emb_dim=6, n_heads=2, n_layers=3)).eval()
        >>> prompt = torch.tensor([[7, 1, 42]])
        >>> cached = generate_cached(model, prompt, max_new_tokens=5, context_size=8)
        >>> torch.equal(cached, generate(model, prompt, max_new_tokens=5, context_size=8))
        True

    Source: as for KVCache.
    """
    raise NotImplementedError("generate_cached: not written yet")
