"""Chapter 2: inputs. From a long list of token ids to batches, and from ids to vectors.

Shapes: B batch, T time (positions in the sequence), C width of one vector, V vocabulary size.
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


def train_val_split(ids: Tensor, train_fraction: float = 0.9) -> tuple[Tensor, Tensor]:
    """Cut a sequence of token ids in two: the first part to train on, the rest to validate on.

    The validation part is text that the model never trains on; its loss tells learning from
    memorising. Cut once, do not shuffle: neighbouring windows share most of their tokens, so a
    shuffled split would put almost the same windows on both sides.

    Args:
        ids: (N,), int64.
        train_fraction: share of the ids that goes to training, strictly between 0 and 1.

    Returns:
        train: the first int(train_fraction · N) ids.
        val: the others. Both are views of ids, not copies.

    Raises:
        ValueError: train_fraction is not between 0 and 1.

    Example:
        >>> train_val_split(torch.arange(7), train_fraction=0.6)
        (tensor([0, 1, 2, 3]), tensor([4, 5, 6]))

    Source: the split of A. Karpathy's char-rnn and nanoGPT: 1,003,854 and 111,540 characters of
    tiny Shakespeare.
    """
    raise NotImplementedError("train_val_split: not written yet")


class SlidingWindowDataset(Dataset):
    """All windows of context_length tokens, each with the same window moved one token on.

    The target at position t is the token that follows position t. So one window of T tokens is T
    training examples at once: after its first token, after its first two, … after all T.

        input  = ids[i·stride     : i·stride + T]
        target = ids[i·stride + 1 : i·stride + T + 1]

    Args:
        ids: (N,), int64; a list of integers works too.
        context_length: T, the length of a window.
        stride: how far the next window starts from this one; T for windows that do not overlap.

    len(dataset) is the number of windows that fit whole, targets included:
    (N − T − 1) // stride + 1. Windows are views into ids: making the dataset and taking a window
    copy nothing.

    dataset[i]:
        Returns:
            input: (T,), int64.
            target: (T,), int64.

        Raises:
            IndexError: i is not the number of a window.

    Raises:
        ValueError: fewer than T + 1 ids came, or context_length or stride is below 1.

    Example:
        >>> dataset = SlidingWindowDataset([10, 11, 12, 13, 14, 15], context_length=3, stride=2)
        >>> len(dataset)
        2
        >>> dataset[1]
        (tensor([12, 13, 14]), tensor([13, 14, 15]))

    Source: S. Raschka, "Build a Large Language Model (From Scratch)" (2024), section 2.6.
    """

    def __init__(self, ids: Tensor | Sequence[int], context_length: int, stride: int):
        raise NotImplementedError("SlidingWindowDataset.__init__: not written yet")

    def __len__(self) -> int:
        raise NotImplementedError("SlidingWindowDataset.__len__: not written yet")

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("SlidingWindowDataset.__getitem__: not written yet")


def create_dataloader(
    ids: Tensor | Sequence[int],
    batch_size: int,
    context_length: int,
    stride: int,
    shuffle: bool = True,
    drop_last: bool = True,
    generator: Generator | None = None,
) -> DataLoader:
    """Batches of sliding windows, for one pass over the text after another.

    Put a SlidingWindowDataset into torch's DataLoader. Shuffling gives each epoch another order;
    dropping the last, smaller batch keeps every step's loss a mean over equally many tokens.

    Args:
        ids: (N,), int64, or a list of integers.
        batch_size: B, windows a batch.
        context_length: T.
        stride: distance between the starts of two windows.
        shuffle: whether each epoch comes in a new order.
        drop_last: whether the last batch is left out when it has fewer than B windows.
        generator: source of the order's randomness; torch's global one when None.

    Returns:
        A DataLoader that yields (input, target), each (B, T), int64.

    Raises:
        ValueError: as SlidingWindowDataset.

    Example:
        >>> loader = create_dataloader(range(9), batch_size=2, context_length=4, stride=4, shuffle=False)
        >>> for x, y in loader:
        ...     print(x, y)
        tensor([[0, 1, 2, 3],
                [4, 5, 6, 7]]) tensor([[1, 2, 3, 4],
                [5, 6, 7, 8]])

    Source: Raschka (2024), section 2.6.
    """
    raise NotImplementedError("create_dataloader: not written yet")


def get_batch(
    ids: Tensor, batch_size: int, context_length: int, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """One batch of windows from random places, the other way of feeding a model.

    No epochs and no bookkeeping: draw B starting places, each as likely as any other, cut a window
    at each. Every place that leaves room for the window and its last target can be drawn, the
    first and the last included.

    Args:
        ids: (N,), int64.
        batch_size: B.
        context_length: T.
        generator: source of the random places; torch's global one when None.

    Returns:
        x: (B, T), int64, the inputs.
        y: (B, T), int64, the targets: y[b, t] follows x[b, t] in the text.

    Raises:
        ValueError: fewer than T + 1 ids came.

    Example: with 5 ids and T = 4 there is only one place to start.
        >>> get_batch(torch.tensor([3, 1, 4, 1, 5]), batch_size=2, context_length=4)
        (tensor([[3, 1, 4, 1],
                [3, 1, 4, 1]]), tensor([[1, 4, 1, 5],
                [1, 4, 1, 5]]))

    Source: A. Karpathy, "Let's build GPT" (2023).
    """
    raise NotImplementedError("get_batch: not written yet")


def check_ids(ids: Tensor, vocab_size: int) -> None:
    """Refuse token ids outside the vocabulary; given, nothing to do here.

    Only on the CPU: a GPU would have to stop and look, each time.

    Raises:
        ValueError: an id is below 0 or not below vocab_size (the message gives both).
    """
    if ids.device.type != "cpu" or ids.numel() == 0:
        return
    lowest, highest = ids.min().item(), ids.max().item()
    if lowest < 0 or highest >= vocab_size:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"token id {wrong} is outside the vocabulary of {vocab_size}")


def embed(ids: Tensor, tok_emb: nn.Embedding, pos_emb: nn.Embedding) -> Tensor:
    """Turn ids into vectors that say which token it is and where it stands.

    Attention by itself cannot tell the order of its inputs. So each position has a trained vector
    of its own, added to the token's.

        x[b, t] = tok_emb[ids[b, t]] + pos_emb[t]

    Args:
        ids: (B, T), int64, each 0 ≤ id < V.
        tok_emb: V vectors of width C.
        pos_emb: one vector of width C for each of the positions 0 … context_length − 1.

    Returns:
        (B, T, C), on the device of ids.

    Raises:
        ValueError: T is greater than pos_emb has positions (the message gives both), or an id is
            outside the vocabulary; check_ids does that part.

    Example:
        >>> tok_emb = nn.Embedding.from_pretrained(torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]]))
        >>> pos_emb = nn.Embedding.from_pretrained(torch.tensor([[0.1, 0.2], [0.3, 0.4]]))
        >>> embed(torch.tensor([[2, 1]]), tok_emb, pos_emb)
        tensor([[[3.1000, 4.2000],
                 [1.3000, 2.4000]]])

    Source: Radford et al., "Improving language understanding by generative pre-training" (2018).
    """
    raise NotImplementedError("embed: not written yet")


def cosine_similarity(a: Tensor, b: Tensor) -> Tensor:
    """How alike two vectors point, whatever their lengths: 1 the same way, 0 across, −1 opposite.

        cos(a, b) = a · b / (‖a‖ ‖b‖)

    Args:
        a: (…, C), float32.
        b: (…, C), float32; leading dimensions broadcast against those of a.

    Returns:
        (…), in [−1, 1]. A vector of zeros points nowhere: its similarity to anything is 0.

    Example:
        >>> cosine_similarity(torch.tensor([3.0, 4.0]), torch.tensor([[6.0, 8.0], [4.0, -3.0]]))
        tensor([1., 0.])

    Source: the angle between two vectors, cos θ.
    """
    raise NotImplementedError("cosine_similarity: not written yet")


def analogy(
    words: Sequence[str],
    vectors: Tensor,
    positive: Sequence[str],
    negative: Sequence[str],
    topn: int = 1,
) -> list[tuple[str, float]]:
    """Answer "king − man + woman = ?" with the geometry of word vectors.

    Bring the vectors of the words involved to length 1, add the positive ones, subtract the
    negative ones, and look for the words whose vectors point most nearly the same way. The words
    of the question are not answers.

        target = Σ positive v/‖v‖ − Σ negative v/‖v‖        score(w) = cos(target, v_w)

    Args:
        words: N distinct words.
        vectors: (N, C), float32; row i belongs to words[i].
        positive: words to add.
        negative: words to subtract.
        topn: how many answers.

    Returns:
        Up to topn pairs (word, cosine similarity), the most similar first.

    Raises:
        ValueError: a word of the question is not among words (the message names it).

    Example:
        >>> words = ["king", "queen", "man", "woman", "apple"]
        >>> vectors = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, 0.0], [-1.0, 0.0], [0.0, -1.0]])
        >>> [(word, score)] = analogy(words, vectors, positive=["king", "woman"], negative=["man"])
        >>> word, round(score, 4)
        ('queen', 0.9597)

    Source: Mikolov, Yih and Zweig, "Linguistic regularities in continuous space word
    representations" (2013).
    """
    raise NotImplementedError("analogy: not written yet")


class BigramLanguageModel(nn.Module):
    """The smallest language model: a table that gives, for each token, scores of the next one.

    It knows nothing but the last token. Whatever comes later has to beat it; a model that knows
    nothing at all has a loss of ln(V).

        logits[b, t] = table[ids[b, t]]
        loss = mean over all b, t of −log softmax(logits[b, t])[targets[b, t]]

    Args:
        vocab_size: V.

    Attributes:
        token_embedding_table: nn.Embedding(V, V); row i holds the logits of what follows token i.

    forward:
        Args:
            ids: (B, T), int64.
            targets: (B, T), int64, or None.

        Returns:
            logits: (B, T, V).
            loss: 0-d tensor, in nats; None when targets is None.

    generate:
        Args:
            ids: (B, T), int64, T ≥ 1.
            max_new_tokens: how many tokens to append to each row.
            generator: source of the draws; torch's global one when None.

        Returns:
            (B, T + max_new_tokens): ids, followed by tokens drawn one at a time from
            softmax(logits of the last position).

    Example: when every row of the table is (0, 0, ln 2), token 2 follows half of the time.
        >>> model = BigramLanguageModel(vocab_size=3)
        >>> _ = model.token_embedding_table.weight.data.copy_(torch.tensor([1.0, 1.0, 2.0]).log())
        >>> logits, loss = model(torch.tensor([[0, 1]]), torch.tensor([[2, 0]]))
        >>> logits.shape, round(loss.item(), 4)  # (ln 2 + ln 4) / 2
        (torch.Size([1, 2, 3]), 1.0397)
        >>> model.generate(torch.tensor([[0, 1]]), max_new_tokens=3).shape
        torch.Size([1, 5])

    Source: A. Karpathy, "Let's build GPT" (2023): 2.49 nats on tiny Shakespeare's validation part.
    """

    def __init__(self, vocab_size: int):
        super().__init__()
        raise NotImplementedError("BigramLanguageModel.__init__: not written yet")

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError("BigramLanguageModel.forward: not written yet")

    @torch.no_grad()
    def generate(self, ids: Tensor, max_new_tokens: int, generator: Generator | None = None) -> Tensor:
        raise NotImplementedError("BigramLanguageModel.generate: not written yet")
