"""The ladder of A. Karpathy's lecture "Let's build GPT": add one piece after another, see what each is worth.

Every rung is trained on tiny Shakespeare, character by character, for the same number of steps, and then
judged by its loss on text that it has not seen. All rungs but the last share batch, context, width,
optimizer and learning rate, and see the same batches in the same order; only the model changes.

    OMP_NUM_THREADS=1 python benchmarks/ladder.py

Shapes: B batch, T time (positions in the sequence), C width of one vector, V vocabulary size.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from rich.progress import track
from torch import Generator, Tensor, nn

from course.corpora import read_text
from course.errors import CourseError
from solutions.ch1.tokenizer import CharTokenizer
from solutions.ch2.inputs import BigramLanguageModel, embed, get_batch, train_val_split
from solutions.ch3.attention import CausalAttention, MultiHeadAttention
from solutions.ch4.block import FeedForward, GPTConfig
from solutions.ch5.model import GPTModel, count_parameters
from solutions.ch6.training import calc_loss_batch, estimate_loss

EVAL_TOKENS = 200_000  # read of either part when a loss is measured; good for about ±0.005


class Around(nn.Module):
    """What every rung above the bigram has in common: vectors go in, logits come out."""

    def __init__(self, cfg: GPTConfig, middle: nn.Module):
        super().__init__()
        self.tok_emb = nn.Embedding(cfg.vocab_size, cfg.emb_dim)
        self.pos_emb = nn.Embedding(cfg.context_length, cfg.emb_dim)
        self.middle = middle
        self.out_head = nn.Linear(cfg.emb_dim, cfg.vocab_size, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = embed(ids, self.tok_emb, self.pos_emb)  # (B, T, C)
        x = self.middle(x)  # (B, T, C)
        return self.out_head(x)  # (B, T, V)


class OneHead(CausalAttention):
    """Chapter 3's causal attention without the weights that it also returns."""

    def forward(self, x: Tensor) -> Tensor:
        context, _ = super().forward(x)
        return context


class Shortcut(nn.Module):
    """x + layer(x)"""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x)


def several_heads(cfg: GPTConfig) -> nn.Module:
    return MultiHeadAttention(cfg.emb_dim, cfg.emb_dim, cfg.context_length, cfg.drop_rate, cfg.n_heads)


# The rungs, from the bottom to the top. Each takes the sizes and returns a model: ids (B, T) -> logits.


def bigram(cfg: GPTConfig) -> nn.Module:
    """Chapter 2's table is the whole model: a token's row holds the logits of the next one."""
    return BigramLanguageModel(cfg.vocab_size).token_embedding_table


def one_head(cfg: GPTConfig) -> nn.Module:
    """For the first time a token sees what came before it."""
    return Around(cfg, OneHead(cfg.emb_dim, cfg.emb_dim, cfg.context_length, cfg.drop_rate))


def heads(cfg: GPTConfig) -> nn.Module:
    """As wide as the one head, but cut into n_heads; and, other than in the lecture, mixed from here on."""
    return Around(cfg, several_heads(cfg))


def feed_forward(cfg: GPTConfig) -> nn.Module:
    """First look around, then think about it."""
    return Around(cfg, nn.Sequential(several_heads(cfg), FeedForward(cfg)))


def deeper(cfg: GPTConfig) -> nn.Module:
    """The same pair n_layers times. More layers alone do not help: the next two rungs make them trainable."""
    pairs = [nn.Sequential(several_heads(cfg), FeedForward(cfg)) for _ in range(cfg.n_layers)]
    return Around(cfg, nn.Sequential(*pairs))


def residual(cfg: GPTConfig) -> nn.Module:
    """As many parameters as below, but each layer adds to its input and need not carry it along."""
    pairs = [
        nn.Sequential(Shortcut(several_heads(cfg)), Shortcut(FeedForward(cfg))) for _ in range(cfg.n_layers)
    ]
    return Around(cfg, nn.Sequential(*pairs))


def layer_norm(cfg: GPTConfig) -> nn.Module:
    """With a norm before every half block and one at the end, it is the model of chapter 5."""
    return GPTModel(cfg)


@dataclass(frozen=True)
class Setting:
    cfg: GPTConfig
    batch_size: int


@dataclass(frozen=True)
class Rung:
    name: str
    says: str
    build: Callable[[GPTConfig], nn.Module]
    scaled_up: bool = False


RUNGS = [
    Rung("bigram", "bigram", bigram),
    Rung("head", "one head", one_head),
    Rung("heads", "several heads", heads),
    Rung("feed-forward", "feed-forward", feed_forward),
    Rung("deeper", "three of these", deeper),
    Rung("residual", "residual connections", residual),
    Rung("norm", "layer norm", layer_norm),
    Rung("scaled", "scaled up", layer_norm, scaled_up=True),
]


def train(
    model: nn.Module, ids: Tensor, setting: Setting, steps: int, lr: float, seed: int, name: str
) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    batches = Generator().manual_seed(seed)
    quiet = not sys.stderr.isatty()
    for _ in track(range(steps), description=name, disable=quiet, transient=True):
        x, y = get_batch(ids, setting.batch_size, setting.cfg.context_length, batches)  # (B, T) each
        optimizer.zero_grad()
        calc_loss_batch(x, y, model, "cpu").backward()
        optimizer.step()


def main() -> None:
    names = [rung.name for rung in RUNGS]
    parser = argparse.ArgumentParser(description="Validation loss after each piece of a GPT is added.")
    parser.add_argument("--text", default="shakespeare", help="a known corpus or a text file")
    parser.add_argument("--steps", type=int, default=5000, help="steps for each rung")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of AdamW, constant")
    parser.add_argument("--seed", type=int, default=1337, help="of the weights and of the batches")
    parser.add_argument(
        "--rungs", nargs="+", choices=names, default=names, metavar="RUNG", help=", ".join(names)
    )
    args = parser.parse_args()
    try:
        text = read_text(args.text)
    except CourseError as error:
        parser.error(str(error))

    tokenizer = CharTokenizer.from_text(text)
    train_ids, val_ids = train_val_split(torch.tensor(tokenizer.encode(text)))

    cfg = GPTConfig(tokenizer.vocab_size, context_length=8, emb_dim=32, n_heads=4, n_layers=3)
    small = Setting(cfg, batch_size=32)
    # The lecture scales up to 10 million parameters on a GPU; this is what one core does in minutes.
    large = Setting(replace(cfg, context_length=64, emb_dim=128, n_layers=4), batch_size=12)
    if len(val_ids) <= large.cfg.context_length:
        parser.error(f"corpus {args.text} is too short; give a text of some thousand characters")

    print(f"{args.steps:,} steps, lr {args.lr:g}, seed {args.seed}, torch {torch.__version__}")
    print(f"{'rung':22}{'parameters':>11}{'train':>9}{'val':>9}{'drop':>9}{'seconds':>10}")
    previous = None
    for rung in RUNGS:
        if rung.name not in args.rungs:
            continue
        setting = large if rung.scaled_up else small
        torch.manual_seed(args.seed)
        model = rung.build(setting.cfg)
        started = time.perf_counter()
        train(model, train_ids, setting, args.steps, args.lr, args.seed, rung.says)
        seconds = time.perf_counter() - started

        batch_size, context_length = setting.batch_size, setting.cfg.context_length
        eval_iters = EVAL_TOKENS // (batch_size * context_length)
        places = Generator().manual_seed(args.seed + 1)  # not those of the first training batches
        loss = estimate_loss(model, train_ids, val_ids, batch_size, context_length, eval_iters, places)
        drop = "" if previous is None else f"{previous - loss['val']:.4f}"
        size = count_parameters(model)
        print(
            f"{rung.says:22}{size:>11,}{loss['train']:>9.4f}{loss['val']:>9.4f}{drop:>9}{seconds:>10.0f}",
            flush=True,
        )
        previous = loss["val"]


if __name__ == "__main__":
    main()
