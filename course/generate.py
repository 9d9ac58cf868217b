"""`course generate`: continue a prompt, token by token, with the pieces of chapter 7."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from .errors import CourseError
from .hardware import choose_device, choose_threads
from .model_file import load_model
from .pieces import FILTERS, GPT2, MODEL, SAMPLING, Pieces, load_pieces

SHIPPED_MODEL = Path(__file__).parent / "models" / "shakespeare-char-small.safetensors"


@dataclass(frozen=True)
class Sampling:
    max_tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None

    def __post_init__(self):
        if self.max_tokens < 0:
            raise CourseError(f"--max-tokens {self.max_tokens} is below 0")
        if self.temperature < 0:
            raise CourseError(f"--temperature {self.temperature} is below 0: 0 is greedy, 1 as trained")
        if self.top_k is not None and self.top_k < 1:
            raise CourseError(f"--top-k {self.top_k} is below 1")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise CourseError(f"--top-p {self.top_p} is not above 0 and at most 1")


@torch.no_grad()
def stream(
    pieces: Pieces,
    model: torch.nn.Module,
    ids: list[int],
    sampling: Sampling,
    generator: torch.Generator | None = None,
    eos_id: int | None = None,
) -> Iterator[int]:
    """Yield the tokens that follow `ids` as they are chosen: generate_cached, without the waiting."""
    context_length, device = model.pos_emb.num_embeddings, model.pos_emb.weight.device
    seen = list(ids)
    cache = pieces.ch7.KVCache()
    known = 0  # how many tokens the cache holds
    for _ in range(sampling.max_tokens):
        if len(seen) <= context_length:
            new = torch.tensor([seen[known:]], device=device)  # (1, T_new)
            logits = pieces.ch7.forward_cached(model, new, cache)  # (1, T_new, V)
            known = len(seen)
        else:
            logits = model(torch.tensor([seen[-context_length:]], device=device))  # (1, T, V)
        token = pieces.ch7.next_token(
            logits[:, -1], sampling.temperature, sampling.top_k, sampling.top_p, generator
        ).item()
        if token == eos_id:
            return
        yield token
        seen.append(token)


def seeded_generator(device: torch.device, seed: int | None) -> torch.Generator:
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


def encode_prompt(tokenizer, prompt: str, vocab_size: int) -> list[int]:
    if not prompt:
        raise CourseError("the prompt is empty: give at least one character to continue from")
    try:
        ids = tokenizer.encode(prompt)
    except ValueError as error:
        raise CourseError(f"this model cannot read the prompt: {error}") from None
    if max(ids) >= vocab_size:
        raise CourseError(
            f"the prompt has token {max(ids)}, but the model knows only {vocab_size}: "
            "the weights need a tokenizer of their own (vocab.json and merges.txt beside them)"
        )
    return ids


def open_model(pieces: Pieces, weights: str | None, run: Path | None, device: torch.device):
    """The model to use, its tokenizer and its end-of-text token, if it has one."""
    if weights is not None:
        from .weights import load_gpt2, load_gpt2_tokenizer

        pieces.require(GPT2)
        model, _ = load_gpt2(weights, pieces, device)
        tokenizer = load_gpt2_tokenizer(weights, pieces)
    else:
        if run is not None and not run.is_dir():
            raise CourseError(f"there is no run folder {run}: train one with `course train --to {run}`")
        file = SHIPPED_MODEL if run is None else run / "model.safetensors"
        model, tokenizer, _ = load_model(file, pieces)
    specials = getattr(tokenizer, "special_tokens", ())
    eos_id = tokenizer.encode("<|endoftext|>")[0] if "<|endoftext|>" in specials else None
    return model.to(device).eval(), tokenizer, eos_id


def write_stream(tokenizer, prompt: str, ids: Iterator[int]) -> None:
    """Print the prompt and each token as it comes; a character cut in two waits for its other half."""
    sys.stdout.write(prompt)
    sys.stdout.flush()
    seen: list[int] = []
    shown = ""
    for token in ids:
        seen.append(token)
        text = tokenizer.decode(seen)
        whole = text.rstrip("�")
        sys.stdout.write(whole[len(shown) :])
        sys.stdout.flush()
        shown = whole if len(whole) > len(shown) else shown
    sys.stdout.write(tokenizer.decode(seen)[len(shown) :] + "\n")
    sys.stdout.flush()


def generate(
    prompts: list[str],
    samples: int,
    sampling: Sampling,
    seed: int | None,
    weights: str | None,
    run: Path | None,
    package: str | None,
    device_name: str,
    threads: int | None,
    fast: bool,
) -> None:
    """Continue each prompt `samples` times; the text of number n, from 0, is that of the seed + n alone."""
    if weights is not None and run is not None:
        raise CourseError("--weights and --run name two models: give one of them")
    if samples < 1:
        raise CourseError(f"--samples {samples} is below 1")
    device = choose_device(device_name)
    pieces = load_pieces(package)
    needs = [MODEL, SAMPLING]
    if sampling.top_k is not None or sampling.top_p is not None or sampling.temperature > 0:
        needs.append({"ch7": FILTERS})
    if fast:
        from . import fast_generate  # it imports this module

        needs.append(fast_generate.NEEDS)
    pieces.require(*needs)
    model, tokenizer, eos_id = open_model(pieces, weights, run, device)
    if fast:
        fast_generate.speed_up(model, pieces)
    texts = [prompt for prompt in prompts for _ in range(samples)]
    ids = [encode_prompt(tokenizer, text, model.tok_emb.num_embeddings) for text in texts]
    generators = [seeded_generator(device, None if seed is None else seed + n) for n in range(len(texts))]

    def steps(ids: list[list[int]], generators, sampling: Sampling) -> Iterator[list[int | None]]:
        """The next token of each text, one step after another."""
        if fast:
            faster = {"make_step": fast_generate.recorded_step} if device.type == "cuda" else {}
            return fast_generate.stream_texts(pieces, model, ids, sampling, generators, eos_id, **faster)
        return ([token] for token in stream(pieces, model, ids[0], sampling, generators[0], eos_id))

    if device.type == "cpu":
        a_few = Sampling(4, 0.0, None, None)
        choose_threads(threads, lambda: list(steps([ids[0][:1]], generators[:1], a_few)))
    if len(texts) == 1:
        write_stream(tokenizer, texts[0], (token for [token] in steps(ids, generators, sampling)))
        return
    at_once = len(texts) if fast else 1
    for start in range(0, len(texts), at_once):
        now = slice(start, start + at_once)
        try:
            rows = list(steps(ids[now], generators[now], sampling))
        except torch.OutOfMemoryError:
            raise CourseError(
                f"{at_once} texts at once do not fit into the memory of {device}: take fewer"
            ) from None
        for n, text in enumerate(texts[now]):
            new = [row[n] for row in rows if row[n] is not None]
            print(f"--- {start + n + 1} of {len(texts)}\n{text}{tokenizer.decode(new)}", flush=True)
