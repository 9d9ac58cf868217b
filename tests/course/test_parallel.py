"""`torchrun ... -m course.train`: several processes are one training."""

import shutil
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

import solutions
from course.errors import CourseError
from course.parallel import Processes
from tests.course.test_train import CORPUS, rows

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
RUN = ["corpus.txt", "--device", "cpu", "--batch-size", "2", "--steps", "60", "--eval-every", "60"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "corpus.txt").write_text(CORPUS, encoding="utf-8")
    return tmp_path


def start(*arguments: str, processes: int = 2) -> subprocess.Popen:
    command = [*TORCHRUN, str(processes), "-m", "course.train", *RUN, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def change_pieces(folder, chapter: str, old: str, new: str) -> None:
    """Make a package `pieces` of the solutions with one change."""
    shutil.copytree(solutions.__path__[0], folder / "pieces")
    file = folder / "pieces" / chapter
    source = file.read_text("utf-8")
    assert source.count(old) == 1
    file.write_text(source.replace(old, new), "utf-8")


def test_two_processes_fast_stopped_and_resumed_are_one(course, folder, capsys):
    """Losses within 1e-4 and weights within 1e-3 of those of one plain process that was never stopped."""
    measured = "return {name: median(times) for name, times in seconds.items()}"  # the fused attention wins
    change_pieces(folder, "ch9/speed.py", measured, 'return {n: 1 - (n == "attention") / 2 for n in seconds}')
    two = start("--to", "two", "--fast", "--pieces", "pieces")
    while not two.stdout.readline().startswith("step      0"):
        assert two.poll() is None, two.stderr.read()
    two.send_signal(signal.SIGTERM)  # to torchrun, which passes it on
    out, error = two.communicate(timeout=120)
    assert two.returncode != 0 and "validation loss" not in out
    assert error.count("course: stopped at step") == 1, error

    again = start("--to", "two", "--fast", "--pieces", "pieces", "--resume")
    out, error = again.communicate(timeout=120)
    assert again.returncode == 0, error
    assert out.count("validation loss") == 1 and "2 processes on cpu" in out  # one of them speaks
    assert ", from step " in out
    assert out.count("fast on cpu") == 1 and "fused attention" in out

    assert course("train", *RUN, "--to", "one") == 0
    numbers = [
        [[float(number) for number in row.values()] for row in rows(folder / name)] for name in ("one", "two")
    ]
    assert [row[0] for row in numbers[1]] == [0, 60]
    torch.testing.assert_close(*map(torch.tensor, numbers), atol=1e-4, rtol=0)
    one, two = (load_file(folder / name / "model.safetensors") for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=1e-3, rtol=0, msg=name)


def test_one_process_fails_and_says_so_in_one_line(folder):
    first = "    logits = model(input_batch.to(device))  # (B, T, V)\n"
    strange = (
        '    if model.training and os.environ["RANK"] == "1":\n        raise ValueError("strange\\nrows")\n'
    )
    change_pieces(folder, "ch6/training.py", first, strange + first)

    run = start("--to", "run", "--pieces", "pieces")
    _, error = run.communicate(timeout=120)
    assert run.returncode != 0
    said = [line for line in error.splitlines() if line.startswith("course: ")]
    assert len(said) == 1 and said[0].startswith(
        "course: process 1 of 2 failed: ValueError: strange (training"
    )
    assert error.count("Traceback") == 1  # torchrun's own, of its launcher
    assert (folder / "run" / "checkpoint.pt").exists()


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    with pytest.raises(CourseError, match="--batch-size 5 cannot be shared evenly by 2 processes"):
        Processes(rank=0, count=2).check_batch_size(5)


def test_each_process_has_its_rows_and_drops_other_numbers():
    both = [Processes(rank=rank, count=2) for rank in range(2)]
    batch = torch.arange(8).view(4, 2)
    assert torch.equal(torch.cat([one.share(batch) for one in both]), batch)

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    drops = []
    for one in (*both, both[0]):
        with one.own_randomness(seed=123, step=7, device=torch.device("cpu")):
            drops.append(torch.rand(5))
    assert torch.equal(torch.rand(3), expected)  # the common source is where it was
    assert torch.equal(drops[0], drops[2]) and not torch.equal(drops[0], drops[1])
    with both[0].own_randomness(seed=123, step=8, device=torch.device("cpu")):
        assert not torch.equal(torch.rand(5), drops[0])
