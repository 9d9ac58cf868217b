"""Chapter 2 once more, written differently: the checks must pass this too."""

import math

import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler


def train_val_split(ids, train_fraction=0.9):
    if train_fraction <= 0 or train_fraction >= 1:
        raise ValueError("the fraction must lie between 0 and 1")
    size = math.floor(len(ids) * train_fraction)
    return torch.split(ids, [size, len(ids) - size])


class SlidingWindowDataset:
    """Not a subclass of Dataset: len and indexing are all that a DataLoader asks for."""

    def __init__(self, ids, context_length, stride):
        if min(context_length, stride) <= 0:
            raise ValueError("no such window")
        self.text = ids if isinstance(ids, torch.Tensor) else torch.tensor(list(ids))
        self.starts = range(0, len(self.text) - context_length, stride)
        self.T = context_length
        if not self.starts:
            raise ValueError("the text is too short")

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, i):
        start = self.starts[i]
        return self.text.narrow(0, start, self.T), self.text.narrow(0, start + 1, self.T)


def create_dataloader(ids, batch_size, context_length, stride, shuffle=True, drop_last=True, generator=None):
    windows = SlidingWindowDataset(ids, context_length, stride)
    order = RandomSampler(windows, generator=generator) if shuffle else SequentialSampler(windows)
    return DataLoader(windows, batch_sampler=BatchSampler(order, batch_size, drop_last))


def get_batch(ids, batch_size, context_length, generator=None):
    places = len(ids) - context_length
    if places < 1:
        raise ValueError("the text is too short")
    starts = [torch.randint(places, (), generator=generator).item() for _ in range(batch_size)]
    windows = torch.stack([ids[start : start + context_length + 1] for start in starts])
    return windows[:, :-1], windows[:, 1:]


def embed(ids, tok_emb, pos_emb):
    B, T = ids.shape
    V, C = tok_emb.weight.shape
    if len(pos_emb.weight) < T:
        raise ValueError(f"{T} is more than {len(pos_emb.weight)}")
    wrong = [i for i in ids.flatten().tolist() if i not in range(V)]
    if wrong:
        raise ValueError(f"{wrong[0]} is none of {V}")
    tokens = torch.einsum("btv,vc->btc", nn.functional.one_hot(ids, V).to(tok_emb.weight), tok_emb.weight)
    return tokens + pos_emb.weight[:T].expand(B, T, C)


def cosine_similarity(a, b):
    a, b = nn.functional.normalize(a, dim=-1), nn.functional.normalize(b, dim=-1)
    return torch.einsum("...c,...c->...", a, b).clip(-1.0, 1.0)


def analogy(words, vectors, positive, negative, topn=1):
    rows = list(words)
    for word in (*positive, *negative):
        if rows.count(word) == 0:
            raise ValueError(f"what is {word}?")
    unit = nn.functional.normalize(vectors, dim=-1)
    signs = torch.zeros(len(rows), device=vectors.device)
    for word in positive:
        signs[rows.index(word)] += 1
    for word in negative:
        signs[rows.index(word)] -= 1
    target = nn.functional.normalize(signs @ unit, dim=0)
    found = []
    for word, vector in zip(rows, unit, strict=True):
        if word not in positive and word not in negative:
            found.append((word, float(torch.dot(vector, target))))
    found.sort(key=lambda answer: answer[1], reverse=True)
    return found[:topn]


class BigramLanguageModel(nn.Module):
    def __init__(self, vocab_size):
        super().__init__()
        self.token_embedding_table = nn.Embedding(vocab_size, vocab_size)

    def forward(self, ids, targets=None):
        logits = self.token_embedding_table.weight[ids]
        loss = None
        if targets is not None:
            surprise = logits.logsumexp(-1) - logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
            loss = surprise.sum() / targets.numel()
        return logits, loss

    def generate(self, ids, max_new_tokens, generator=None):
        """Draws by the inverse of the cumulative distribution."""
        with torch.no_grad():
            columns = list(ids.unbind(1))
            while len(columns) < ids.shape[1] + max_new_tokens:
                edges = self.token_embedding_table.weight[columns[-1]].double().softmax(-1).cumsum(-1)
                points = torch.rand(len(ids), 1, device=ids.device, dtype=torch.float64, generator=generator)
                columns.append((edges[:, :-1] <= points).sum(-1))
            return torch.stack(columns, dim=1)
