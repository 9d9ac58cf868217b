"""Generating text on a CPU: `course generate --fast` beside Hugging Face's generate and LLMs-from-scratch.

    OMP_NUM_THREADS=1 python benchmarks/cpu_generation_peers.py --llms-from-scratch LLMS_FROM_SCRATCH

GPT-2 small in float32, one text, a prompt of 10 tokens and 200 greedy ones, each way with a cache of keys and
values. All have the same weights, drawn from a seed, as OpenAI's are not always at hand; the values do not
matter for the time, but some are enlarged, so that the text is not one token over and over. All must choose
the same tokens. The ways take turns; a ratio is the median of the rounds' ratios.

A step reads every weight once, so the speed at which memory is read sets a limit: that speed, measured in the
same rounds with a product and a sum over 1 GiB, by the bytes of the weights.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from peers import (
    LLMS_FROM_SCRATCH_NAMES,
    NANOGPT_NAMES,
    PIECES,
    commit_of,
    copy_weights,
    first_model,
    load_line,
    load_module,
    machine_line,
    parameters_by_name,
    rows_are_outputs,
)
from torch import Generator, nn

from course.fast_generate import speed_up, stream_texts
from course.generate import Sampling

Way = Callable[[int], list[int]]  # as many tokens, from the same prompt


def seeded_model(cfg) -> nn.Module:
    model = first_model(cfg).eval()
    with torch.no_grad():
        model.pos_emb.weight.mul_(4)
        for block in model.trf_blocks:
            block.att.out_proj.weight.mul_(4)
            block.ff.layers[-1].weight.mul_(4)
    return model


def ours(cfg, prompt: list[int]) -> dict[str, Way]:
    plain, fast = seeded_model(cfg), seeded_model(cfg)
    speed_up(fast, PIECES)

    def fast_way(count: int) -> list[int]:
        steps = stream_texts(PIECES, fast, [prompt], Sampling(count, 0.0, None, None), [None])
        return [token for [token] in steps]

    def cached_way(count: int) -> list[int]:
        idx = PIECES.ch7.generate_cached(plain, torch.tensor([prompt]), count, cfg.context_length)
        return idx[0, len(prompt) :].tolist()

    return {"course generate --fast": fast_way, "generate_cached (chapter 7)": cached_way}


def hugging_face(cfg, prompt: list[int], static: bool) -> Way:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(attn_implementation="sdpa")).eval()
    copy_weights(seeded_model(cfg), rows_are_outputs(model), NANOGPT_NAMES)
    model.generation_config.eos_token_id = None  # nobody stops early
    model.generation_config.pad_token_id = 0
    ids = torch.tensor([prompt])
    more = {"cache_implementation": "static"} if static else {"use_cache": True}

    def way(count: int) -> list[int]:
        seen = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, **more
        )  # fmt: skip
        return seen[0, len(prompt) :].tolist()

    return way


def llms_from_scratch(checkout: Path, cfg, prompt: list[int], script: str) -> Way:
    peer = load_module(checkout / "ch04" / "03_kv-cache" / script)
    model = peer.GPTModel(dataclasses.asdict(cfg)).eval()
    copy_weights(seeded_model(cfg), parameters_by_name(model), LLMS_FROM_SCRATCH_NAMES)
    ids = torch.tensor([prompt])

    def way(count: int) -> list[int]:
        return peer.generate_text_simple_cached(model, ids, count)[0, len(prompt) :].tolist()

    return way


def memory_readers() -> dict[str, Callable[[], object]]:
    matrix, vector = torch.ones(2**14, 2**14), torch.ones(2**14)
    return {"product": lambda: matrix @ vector, "sum": matrix.sum}


def main() -> None:
    parser = argparse.ArgumentParser(description="Generating text on a CPU, beside peers.")
    parser.add_argument("--llms-from-scratch", type=Path, help="a checkout of rasbt/LLMs-from-scratch")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    clock = time.process_time if args.threads == 1 else time.perf_counter

    print(machine_line())
    cfg = dataclasses.replace(PIECES.ch5.GPT2_SIZES["gpt2"], drop_rate=0.0)
    prompt = torch.randint(cfg.vocab_size, (10,), generator=Generator().manual_seed(3)).tolist()
    ways = ours(cfg, prompt)
    ways["Hugging Face generate"] = hugging_face(cfg, prompt, static=False)
    ways["  with its static cache"] = hugging_face(cfg, prompt, static=True)
    if args.llms_from_scratch:
        print(f"{args.llms_from_scratch.name} {commit_of(args.llms_from_scratch)}")
        for name, script in (("", ""), (", optimised", "_optimized")):
            way = llms_from_scratch(args.llms_from_scratch, cfg, prompt, f"gpt_with_kv_cache{script}.py")
            ways[f"LLMs-from-scratch{name}"] = way
    readers = memory_readers()
    gigabyte = 2**30 / 1e9
    print(f"GPT-2 small, {args.tokens} tokens after {len(prompt)}; {load_line()} at the start")

    for way in ways.values():
        way(3)
    cpu, wall = ({name: [] for name in ways} for _ in range(2))
    reading: dict[str, list[float]] = {name: [] for name in readers}
    texts: dict[str, list[int]] = {}
    for _ in range(args.rounds):
        for name, way in ways.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            texts[name] = way(args.tokens)
            cpu[name].append(time.process_time() - cpu_start)
            wall[name].append(time.perf_counter() - start)
            for kind, read in readers.items():
                start = clock()
                read()
                reading[kind].append(clock() - start)

    first = next(iter(texts.values()))
    weights = sum(p.nbytes for p in seeded_model(cfg).parameters()) - cfg.context_length * cfg.emb_dim * 4
    speeds = {kind: gigabyte / median(seconds) for kind, seconds in reading.items()}
    limit = max(speeds.values()) * 1e9 / weights
    told = ", ".join(f"{speed:.1f} GB/s by a {kind}" for kind, speed in speeds.items())
    print(f"memory is read at {told}; a step reads {weights / 1e6:.0f} MB: at most {limit:.1f} tokens/s")
    print(f"the text has {len(set(first))} different tokens")
    print("tokens/s of processor time and on the clock; × as fast as Hugging Face")
    print(f"{'':29}{'cpu':>7}{'clock':>7}{'×':>7}{'of the limit':>14}")
    seconds = cpu if args.threads == 1 else wall
    for name in ways:
        per_cpu, per_wall = (args.tokens / median(times[name]) for times in (cpu, wall))
        ratio = median(b / a for a, b in zip(seconds[name], seconds["Hugging Face generate"], strict=True))
        of_limit = args.tokens / median(seconds[name]) / limit
        same = "" if texts[name] == first else "  OTHER TOKENS"
        print(f"{name:29}{per_cpu:>7.1f}{per_wall:>7.1f}{ratio:>7.2f}{of_limit:>14.0%}{same}")
    print(f"{load_line()} at the end")
    if any(text != first for text in texts.values()):
        sys.exit("some chose other tokens: their speed is worth nothing")


if __name__ == "__main__":
    main()
