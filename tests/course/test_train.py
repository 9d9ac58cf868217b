"""`course train`: what it writes, that it resumes exactly, and how it refuses."""

import csv
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

import solutions
from course.generate import Sampling
from course.hardware import choose_threads, thread_counts
from course.sizes import SIZES

CORPUS = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n" * 40
SMALL = ["--steps", "12", "--batch-size", "2", "--eval-every", "4", "--threads", "1", "--device", "cpu"]


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("course.train.EVAL_ITERS", 2)
    monkeypatch.setattr("course.train.SAMPLE", Sampling(20, 0.8, None, None))
    (tmp_path / "corpus.txt").write_text(CORPUS, encoding="utf-8")
    return "corpus.txt"


def rows(folder):
    """The metrics, without the column that is a time."""
    with open(folder / "metrics.csv", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_a_run_writes_its_folder(course, corpus, tmp_path, capsys):
    assert course("train", corpus, *SMALL, "--to", "run") == 0
    run = tmp_path / "run"
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert config["settings"]["steps"] == 12
    assert config["machine"]["threads"] == 1
    assert config["model"]["emb_dim"] == SIZES["char-small"].emb_dim
    assert [row["step"] for row in rows(run)] == ["0", "4", "8", "12"]
    first, *_, last = [float(row["val_loss"]) for row in rows(run)]
    assert last < first
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert len((run / "samples" / "step-000012.txt").read_text(encoding="utf-8")) > 20
    assert not [file for file in run.rglob("*") if "tmp" in file.name or "unfinished" in file.name]
    assert "course generate" in capsys.readouterr().out

    weights = load_file(run / "model.safetensors")
    assert weights["tok_emb.weight"].shape == (len(set(CORPUS)), 128)
    assert "out_head.weight" not in weights  # tied: it stands there once, as tok_emb

    assert course("generate", "To be", "--run", "run", "--seed", "1", "--max-tokens", "20") == 0
    assert capsys.readouterr().out.startswith("To be")


def test_interrupted_by_ctrl_c_and_resumed_equals_uninterrupted(
    course, corpus, tmp_path, monkeypatch, capsys
):
    assert course("train", corpus, *SMALL, "--to", "whole") == 0

    from course.train import Training

    take_step = Training.take_step

    def interrupt_after_six(self, *batch):
        loss = take_step(self, *batch)
        if self.step == 6:
            signal.raise_signal(signal.SIGINT)
        return loss

    monkeypatch.setattr(Training, "take_step", interrupt_after_six)
    assert course("train", corpus, *SMALL, "--to", "cut") == 130
    assert "--resume" in capsys.readouterr().err
    monkeypatch.setattr(Training, "take_step", take_step)
    torch.manual_seed(999)  # what this process has drawn since must not matter
    assert course("train", corpus, *SMALL, "--to", "cut", "--resume") == 0

    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    cut, whole = (load_file(tmp_path / name / "model.safetensors") for name in ("cut", "whole"))
    assert all(torch.equal(cut[name], whole[name]) for name in whole)


def test_killed_at_random_moments_and_resumed_equals_uninterrupted(corpus, tmp_path):
    arguments = [*SMALL, "--steps", "60", "--eval-every", "15"]
    train = [sys.executable, "-m", "course.cli", "train", corpus, *arguments]
    subprocess.run([*train, "--to", "whole"], check=True, capture_output=True)
    command = [*train, "--to", "killed"]
    moments = random.Random(7)
    kills = 0
    while True:
        resume = ["--resume"] if (tmp_path / "killed" / "config.json").exists() else []
        process = subprocess.Popen(
            [*command, *resume], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if kills == 3:
            _, error = process.communicate(timeout=120)
            assert process.returncode == 0, error
            break
        process.stdout.readline()  # it has begun
        time.sleep(moments.uniform(0.1, 1.5))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            shutil.rmtree(tmp_path / "killed")  # it was faster than the axe

    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    killed, whole = (load_file(tmp_path / name / "model.safetensors") for name in ("killed", "whole"))
    assert all(torch.equal(killed[name], whole[name]) for name in whole)


def test_a_full_disk_leaves_the_last_whole_checkpoint(course, corpus, tmp_path):
    command = [sys.executable, "-m", "course.cli", "train", corpus, *SMALL, "--to", "run"]

    def small_files_only():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))

    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=small_files_only)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("course: cannot write run/checkpoint.pt") and done.stderr.count("\n") == 1
    names = {file.name for file in (tmp_path / "run").iterdir()}
    assert names == {".lock", "config.json", "metrics.csv", "model.safetensors", "samples", "checkpoint.pt"}

    # the checkpoint of step 0, smaller because AdamW remembers nothing yet, is whole: go on from it
    assert course("train", corpus, *SMALL, "--to", "run", "--resume") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such.txt"], "does not exist"),
        (["binary.bin"], "is no text"),
        (["empty.txt"], "is empty"),
        (["short.txt"], "needs at least"),
        (["corpus.txt", "--size", "huge"], "char-small"),
        (["corpus.txt", "--device", "gpu"], "auto, cuda, mps or cpu"),
        (["corpus.txt", "--device", "mps"], "--device cpu"),
        (["corpus.txt", "--steps", "0"], "--steps 0 is not above 0"),
        (["corpus.txt", "--learning-rate", "-1"], "--learning-rate"),
        (["corpus.txt", "--threads", "0"], "--threads 0"),
        (["corpus.txt", "--pieces", "no_such_package"], "no_such_package"),
        (["corpus.txt", "--resume"], "no run in"),
        (["corpus.txt", "--resume", "--overwrite"], "exclude each other"),
    ],
)
def test_bad_input_is_one_line(refused, arguments, message, corpus, tmp_path):
    (tmp_path / "binary.bin").write_bytes(b"abc\x00def" * 100)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "short.txt").write_text("a few words\n" * 20)
    if "mps" in arguments and torch.backends.mps.is_available():
        pytest.skip("this machine has the device that should be missing")
    assert message in refused("train", *arguments)
    assert not (tmp_path / "runs").exists()


def test_cuda_asked_for_and_absent(refused, corpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--device cpu" in refused("train", corpus, "--device", "cuda")


def test_a_folder_with_a_run_is_not_overwritten(course, refused, corpus, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    (tmp_path / "run" / "notes.md").write_text("mine")
    assert "--overwrite" in refused("train", corpus, *SMALL, "--to", "run")
    assert (tmp_path / "run" / "config.json").read_text() == "{}"
    assert course("train", corpus, *SMALL, "--to", "run", "--overwrite") == 0
    assert (tmp_path / "run" / "notes.md").read_text() == "mine"


def test_a_folder_in_use_is_refused(refused, corpus, tmp_path):
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"):
        assert "in use" in refused("train", corpus, *SMALL, "--to", "run")


def test_resuming_with_other_settings_or_another_text_is_refused(course, refused, corpus, tmp_path, capsys):
    assert course("train", corpus, *SMALL, "--to", "run") == 0
    more = [*SMALL, "--steps", "24", "--to", "run", "--resume"]
    assert "started with steps 12, not 24" in refused("train", corpus, *more)
    (tmp_path / corpus).write_text(CORPUS + "x")
    assert "has changed" in refused("train", corpus, *SMALL, "--to", "run", "--resume")


def test_a_truncated_checkpoint_is_refused(course, refused, corpus, tmp_path, capsys):
    assert course("train", corpus, *SMALL, "--to", "run") == 0
    capsys.readouterr()
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    os.truncate(checkpoint, checkpoint.stat().st_size // 2)
    assert "cannot be read" in refused("train", corpus, *SMALL, "--to", "run", "--resume")


def test_unwritten_pieces_are_named_in_order(refused, corpus, tmp_path):
    package = tmp_path / "half_done"
    shutil.copytree(solutions.__path__[0], package)
    for chapter, module, body in [
        ("ch5", "model", "self.tok_emb = nn.Embedding(cfg.vocab_size, cfg.emb_dim)"),
        ("ch3", "attention", 'return torch.full((size, size), float("-inf")).triu(diagonal=1)'),
    ]:
        file = package / chapter / f"{module}.py"
        source = file.read_text(encoding="utf-8")
        assert source.count(body) == 1
        file.write_text(source.replace(body, "raise NotImplementedError"), encoding="utf-8")
    error = refused("train", corpus, "--pieces", "half_done")
    assert "causal_mask (ch3), GPTModel (ch5)" in error
    assert "pytest half_done/ch3" in error


def test_threads_are_measured_unless_told(monkeypatch):
    before = torch.get_num_threads()
    try:
        assert choose_threads(3, lambda: None) == 3 == torch.get_num_threads()
        torch.set_num_threads(2)
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        assert choose_threads(None, lambda: pytest.fail("OMP_NUM_THREADS wins")) == 2

        monkeypatch.delenv("OMP_NUM_THREADS")
        monkeypatch.setattr("course.hardware.available_cores", lambda: 4)
        # work that each further thread slows down, as on a machine whose cores are all in use
        assert choose_threads(None, lambda: time.sleep(0.002 * torch.get_num_threads())) == 1
        # work that threads share perfectly
        assert choose_threads(None, lambda: time.sleep(0.02 / torch.get_num_threads())) == 4
    finally:
        torch.set_num_threads(before)


def test_thread_counts():
    assert thread_counts(1) == [1]
    assert thread_counts(6) == [1, 2, 4, 6]
    assert thread_counts(8) == [1, 2, 4, 8]
