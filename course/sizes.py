"""The named sizes of `course train`, each with the settings that suit it."""

from dataclasses import dataclass

from .errors import CourseError


@dataclass(frozen=True)
class Size:
    """A model's shape and how it is trained; the command line can change the latter."""

    tokenizer: str  # "char": one id a character of the corpus; "gpt2": GPT-2's byte pairs
    context_length: int
    emb_dim: int
    n_heads: int
    n_layers: int
    drop_rate: float
    batch_size: int
    steps: int
    learning_rate: float


SIZES = {
    "char-small": Size("char", 64, 128, 4, 4, drop_rate=0.0, batch_size=12, steps=2000, learning_rate=1e-3),
    "char": Size("char", 256, 384, 6, 6, drop_rate=0.2, batch_size=64, steps=5000, learning_rate=1e-3),
    "gpt2-small": Size(
        "gpt2", 1024, 768, 12, 12, drop_rate=0.1, batch_size=8, steps=1000, learning_rate=6e-4
    ),
    "gpt2-medium": Size(
        "gpt2", 1024, 1024, 16, 24, drop_rate=0.1, batch_size=8, steps=1000, learning_rate=3e-4
    ),
    "gpt2-large": Size(
        "gpt2", 1024, 1280, 20, 36, drop_rate=0.1, batch_size=8, steps=1000, learning_rate=2.5e-4
    ),
    "gpt2-xl": Size("gpt2", 1024, 1600, 25, 48, drop_rate=0.1, batch_size=8, steps=1000, learning_rate=2e-4),
}


def named_size(name: str) -> Size:
    if name not in SIZES:
        raise CourseError(f"there is no size {name!r}: choose one of {', '.join(SIZES)}")
    return SIZES[name]
