"""`course train --fast`, `course generate --fast`: the same numbers, and checkpoints of the plain model."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import solutions
from course import fast_train
from course.fast_generate import speed_up, stream_texts
from course.generate import Sampling, stream
from course.model_file import load_model
from course.pieces import load_pieces
from solutions.ch5.model import GPTModel, tie_weights
from solutions.ch6.training import load_checkpoint, parameter_groups
from tests.course.test_generate import small_model
from tests.course.test_train import SMALL, corpus, rows  # noqa: F401

PIECES = load_pieces("solutions")
ON_A_CPU = ["attention", "elementwise", "adamw"]
# what a GPU would take, but for the compiler; all of it also runs on a CPU
ALL = ["qkv", "elementwise", "adamw", "clip", "bfloat16", "prefetch", "vocab", "chunks"]
IN_FLOAT32 = [rung for rung in ALL if rung != "bfloat16"]


@pytest.fixture
def rungs(monkeypatch):
    """rungs(names) lets --fast take these, whatever would pay here."""

    def take(names: list[str]) -> None:
        monkeypatch.setattr(fast_train, "rungs_that_pay", lambda *_: names)
        monkeypatch.setattr(fast_train, "are_faster", lambda *_: [])

    return take


def losses(folder) -> list[float]:
    return [float(row[name]) for row in rows(folder) for name in ("train_loss", "val_loss")]


@pytest.mark.parametrize("names", [ON_A_CPU, IN_FLOAT32], ids=["on a CPU", "all"])
def test_a_fast_run_is_the_plain_run(names, course, corpus, tmp_path, rungs, capsys):  # noqa: F811
    """Same losses, same weights under the same names, within rounding: 12 steps of AdamW in float32."""
    rungs(names)
    assert course("train", corpus, *SMALL, "--to", "plain") == 0
    assert "fast on" not in capsys.readouterr().out
    assert course("train", corpus, *SMALL, "--fast", "--to", "fast") == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("fast on cpu (")]
    assert len(said) == 1 and "fused AdamW" in said[0]

    assert losses(tmp_path / "fast") == pytest.approx(losses(tmp_path / "plain"), abs=1e-4)
    plain, fast = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "fast"))
    assert fast.keys() == plain.keys()
    for name in plain:
        torch.testing.assert_close(fast[name], plain[name], atol=1e-3, rtol=0, msg=name)
    assert json.loads((tmp_path / "fast" / "config.json").read_text())["settings"]["fast"] is True

    # either checkpoint fits chapter 5's model and chapter 6's optimizer, with equal memories of the gradients
    (a, a_memories), (b, b_memories) = (open_plainly(tmp_path / name) for name in ("plain", "fast"))
    for (name, parameter), other in zip(a.named_parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(parameter, plain[name], atol=0, rtol=0)
        torch.testing.assert_close(other, fast[name], atol=0, rtol=0)
        memories, others = a_memories[parameter], b_memories[other]
        assert memories["step"] == others["step"] == 12
        for kind in ("exp_avg", "exp_avg_sq"):
            apart = (memories[kind] - others[kind]).norm() / memories[kind].norm()
            assert apart < 0.02, (name, kind, apart)

    assert course("generate", "To be", "--run", "fast", "--max-tokens", "5", "--seed", "1") == 0


def open_plainly(run: Path):
    """A run's checkpoint in a model of chapter 5, and what its plain AdamW remembers."""
    _, _, about = load_model(run / "model.safetensors", PIECES)
    model = GPTModel(PIECES.ch4.GPTConfig(**about["config"]))
    tie_weights(model)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.1))
    assert load_checkpoint(run / "checkpoint.pt", model, optimizer) == 12
    return model, optimizer.state


@pytest.mark.parametrize("names", [None, ALL], ids=["what pays here", "all"])
def test_a_fast_run_interrupted_and_resumed_equals_uninterrupted(
    names, course, corpus, tmp_path, rungs, monkeypatch  # noqa: F811
):  # fmt: skip
    if names:
        rungs(names)
    from course.train import Training

    take_step = Training.take_step

    def interrupt_after_six(self, *batch):
        loss = take_step(self, *batch)
        if self.step == 6:
            signal.raise_signal(signal.SIGINT)
        return loss

    assert course("train", corpus, *SMALL, "--fast", "--to", "whole") == 0
    monkeypatch.setattr(Training, "take_step", interrupt_after_six)
    assert course("train", corpus, *SMALL, "--fast", "--to", "cut") == 130
    monkeypatch.setattr(Training, "take_step", take_step)
    # what a trial would find by now must not matter either
    monkeypatch.setattr(fast_train, "are_faster", lambda *_: pytest.fail("it goes on as it was started"))
    torch.manual_seed(999)  # what this process has drawn since must not matter
    assert course("train", corpus, *SMALL, "--fast", "--to", "cut", "--resume") == 0

    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    cut, whole = (load_file(tmp_path / name / "model.safetensors") for name in ("cut", "whole"))
    assert all(torch.equal(cut[name], whole[name]) for name in whole)


def test_what_is_taken_where(monkeypatch):
    cpu, gpu, gibibyte = torch.device("cpu"), torch.device("cuda"), 2**30
    monkeypatch.setattr(fast_train, "memory_of", lambda device: 80 * gibibyte)
    taken = fast_train.rungs_that_pay
    assert taken(cpu, 65, 2048) == ["elementwise", "adamw"]
    assert "vocab" in taken(gpu, 50257, 8192) and "vocab" not in taken(gpu, 65, 8192)
    assert "chunks" not in taken(gpu, 50257, 8192)  # 4.9 GB of logits
    monkeypatch.setattr(fast_train, "memory_of", lambda device: 16 * gibibyte)
    assert "chunks" in taken(gpu, 50257, 8192) and "chunks" in taken(cpu, 50257, 8192)
    assert set(taken(gpu, 50257, 8192)) <= fast_train.PIECES.keys() == fast_train.SAID.keys()


@pytest.mark.parametrize(
    ("seconds", "faster"),
    [
        ([1.00, 0.99, 0.98, 0.98], ["attention"]),  # a draw
        ([1.0, 0.8, 2.0, 1.7], []),
        ([0.8, 1.0, 0.45, 0.5], ["bfloat16"]),
        ([0.8, 1.0, 0.5, 0.4], ["attention", "bfloat16"]),
    ],
)
def test_a_trial_decides_what_is_taken_on_a_cpu(seconds, faster, monkeypatch):
    def median_seconds(ways, rounds):
        for run in ways.values():
            run()
        return dict(zip(ways, seconds, strict=True))

    monkeypatch.setattr(PIECES.ch9, "median_seconds", median_seconds)
    model, cfg = small_model()
    ids, asked = torch.zeros(1, 4, dtype=torch.int64), []

    def loss(rungs):
        asked.append((rungs, type(model.trf_blocks[1].att).__name__))
        return model(ids).sum()

    plain = model.state_dict()
    assert fast_train.are_faster(model, cfg, loss, lambda number: number, PIECES) == faster
    assert asked == [
        (["attention"], "FusedAttention"),
        ([], "MultiHeadAttention"),
        (["bfloat16"], "MultiHeadAttention"),
        (["attention", "bfloat16"], "FusedAttention"),
    ]
    assert isinstance(model.trf_blocks[0].att, PIECES.ch9.FusedAttention) is ("attention" in faster)
    assert model.state_dict().keys() == plain.keys()  # whatever is taken, its parameters are the model's


def test_a_run_stays_fast_or_plain(course, refused, corpus):  # noqa: F811
    assert course("train", corpus, *SMALL, "--to", "run") == 0
    assert "started with fast False" in refused("train", corpus, *SMALL, "--fast", "--to", "run", "--resume")


def test_it_says_which_exercises_of_chapter_9_come_first(refused, corpus, tmp_path):  # noqa: F811
    stubs = tmp_path / "unwritten"
    shutil.copytree(solutions.__path__[0], stubs)
    speed = stubs / "ch9" / "speed.py"
    source = speed.read_text(encoding="utf-8")
    for body in ("self.scale, self.shift = norm.scale, norm.shift", "layers = [att.W_query,"):
        assert source.count(body) == 1
        source = source.replace(body, "raise NotImplementedError\n        " + body)
    speed.write_text(source, encoding="utf-8")
    error = refused("train", corpus, "--pieces", "unwritten", "--fast")
    assert "FusedLayerNorm (ch9)." in error and "pytest unwritten/ch9 -k FusedLayerNorm" in error
    error = refused("generate", "ROMEO:", "--pieces", "unwritten", "--fast")
    assert "FusedQKVAttention (ch9), FusedLayerNorm (ch9)" in error


@pytest.mark.parametrize("temperature", [0.0, 1.3], ids=["greedy", "drawn"])
def test_fast_texts_are_those_of_each_alone(temperature, capsys):
    """Several prompts at once, some of which pass the end of the context, one of which starts beyond it."""
    model, _ = small_model(vocab_size=40, context_length=16)
    sampling = Sampling(max_tokens=12, temperature=temperature, top_k=20, top_p=0.95)
    prompts = [[1, 2, 3], [4], list(range(10)), list(range(20)), [1, 2, 3]]
    alone = [
        list(stream(PIECES, model, prompt, sampling, torch.Generator().manual_seed(n)))
        for n, prompt in enumerate(prompts)
    ]
    end = alone[0][5]
    expected = [text[: text.index(end)] if end in text else text for text in alone]
    speed_up(model, PIECES)
    generators = [torch.Generator().manual_seed(n) for n in range(len(prompts))]
    steps = list(stream_texts(PIECES, model, prompts, sampling, generators, eos_id=end))
    assert [[step[n] for step in steps if step[n] is not None] for n in range(len(prompts))] == expected


def test_a_fast_step_looks_at_one_token(monkeypatch):
    """The prompt goes through once; after it each step is of one token, until the context ends."""
    model, _ = small_model(context_length=8)
    speed_up(model, PIECES)
    seen = []
    model.trf_blocks[0].ff.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].shape[1]))
    greedy = Sampling(max_tokens=8, temperature=0.0, top_k=None, top_p=None)
    assert len(list(stream_texts(PIECES, model, [[1, 2, 3]], greedy, [None]))) == 8
    assert seen == [3, 1, 1, 1, 1, 1, 8, 8]


def test_on_a_cpu_each_weight_lies_along_its_longer_side():
    model, _ = small_model(vocab_size=40)
    ids = torch.arange(8)[None]
    expected = model(ids)
    speed_up(model, PIECES)
    layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    assert {layer.weight.shape for layer in layers} == {(24, 8), (8, 8), (32, 8), (8, 32), (40, 8)}
    for layer in layers:
        d_out, d_in = layer.weight.shape
        assert layer.weight.stride() == ((1, d_out) if d_out > d_in else (d_in, 1))
    assert model.tok_emb.weight is model.out_head.weight
    torch.testing.assert_close(model(ids), expected)


def test_the_command_writes_the_same_with_and_without_fast(course, capsys):
    for arguments in (["ROMEO:"], ["ROMEO:", "JULIET: O", "--samples", "2", "--top-k", "30"]):
        arguments += ["--max-tokens", "40", "--seed", "3", "--device", "cpu", "--threads", "1"]
        assert course("generate", *arguments) == 0
        plain = capsys.readouterr().out
        assert course("generate", *arguments, "--fast") == 0
        assert capsys.readouterr().out == plain
    assert (
        plain.count("--- ") == 4 and plain.count("\nROMEO:") == 2 and plain.startswith("--- 1 of 4\nROMEO:")
    )


def test_no_samples_is_one_line(refused):
    assert "--samples 0" in refused("generate", "ROMEO:", "--samples", "0")


def test_the_ladder_for_a_gpu_runs(tmp_path):
    """On a CPU, small and without the compiler: every rung and every way to generate, with equal losses."""
    file = tmp_path / "figures.json"
    small = "--layers 2 --heads 2 --width 32 --vocab 97 --context 32 --batch 2 --larger-batch 4 --steps 1"
    small += " --new-tokens 8 --texts 3 --device cpu --without compile"
    script = Path(__file__).parents[2] / "benchmarks" / "gpu_ladder.py"
    command = [sys.executable, "-W", "ignore", str(script), *small.split(), "--json", str(file)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr + run.stdout
    figures = json.loads(file.read_text())
    names = [row["name"] for row in figures["training"]]
    assert names[0] == "plain" and names[-3:] == ["+ larger batch", "+ chunks", "ours"]
    assert all(row["losses_apart"] <= row["tolerance"] < 0.1 for row in figures["training"])
    assert all(row["same_tokens"] for row in figures["generation"])
