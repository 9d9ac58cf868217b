import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from course import start
from grader.release import make_stub

SOLUTIONS = Path(__file__).parents[2] / "solutions"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_the_folder_holds_the_hand_out(hand_out, here, course, capsys):
    (hand_out / "ch3/__pycache__").mkdir(exist_ok=True)
    (hand_out / "ch3/__pycache__/attention.cpython-311.pyc").write_bytes(b"x")
    assert course("start", "my-gpt") == 0
    assert "cd my-gpt\n  course" in capsys.readouterr().out
    made = contents(here / "my-gpt")
    assert sorted(name for name in made if not name.startswith("exercises/")) == [
        ".gitignore",
        "README.md",
        "course.toml",
        "pytest.ini",
    ]
    expected = {
        f"exercises/{name}": data for name, data in contents(hand_out).items() if "__pycache__" not in name
    }
    assert {name: data for name, data in made.items() if name.startswith("exercises/")} == expected
    assert made["README.md"].startswith(b"# Toy\n")
    assert os.listdir(here) == ["my-gpt"]


def test_an_installation_may_be_read_only(hand_out, here, course):
    module = hand_out / "ch3/attention.py"
    module.chmod(0o444)
    try:
        assert course("start", "my-gpt") == 0
    finally:
        module.chmod(0o644)
    assert (here / "my-gpt/exercises/ch3/attention.py").stat().st_mode & 0o200


def test_a_folder_with_something_in_it_is_refused(hand_out, here, refused):
    (here / "full").mkdir()
    (here / "full/diary.txt").write_text("mine")
    assert "full is not empty" in refused("start", "full")
    assert contents(here / "full") == {"diary.txt": b"mine"}
    (here / "file").write_text("mine")
    assert "file is a file" in refused("start", "file")
    assert "course start my-gpt" in refused("start", ".")


def test_a_second_start_leaves_the_work_alone(my_gpt, monkeypatch, refused):
    module = my_gpt / "exercises/ch3/attention.py"
    module.write_text("work")
    monkeypatch.chdir(my_gpt.parent)
    assert "my-gpt has exercises already" in refused("start", "my-gpt")
    assert module.read_text() == "work"


def test_an_empty_folder_will_do(hand_out, here, course):
    (here / "empty").mkdir()
    assert course("start", "empty") == 0
    assert (here / "empty/exercises/ch4/block.py").is_file()


def test_whole_or_not_at_all(hand_out, here, refused, monkeypatch):
    copied, copyfile = [], shutil.copyfile

    def fill_the_disk(source, target):
        if len(copied) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        copied.append(source)
        return copyfile(source, target)

    monkeypatch.setattr(start.shutil, "copyfile", fill_the_disk)
    assert "the disk is full" in refused("start", "my-gpt")
    assert len(copied) == 4
    assert os.listdir(here) == []


def test_without_exercises_installed(hand_out, here, refused, monkeypatch):
    monkeypatch.setattr(start, "HANDED_OUT", here / "nowhere")
    assert "no exercises to start from" in refused("start", "my-gpt")
    assert os.listdir(here) == []


def test_pytest_runs_there_on_the_students_own_module(my_gpt):
    module = my_gpt / "exercises/ch3/attention.py"
    module.write_text(
        module.read_text().replace('raise NotImplementedError("count_up', 'return 1 / 0\n    ("count_up')
    )
    command = [sys.executable, "-m", "pytest", "-p", "grader.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, "exercises/ch3"], cwd=my_gpt, capture_output=True, text=True)
    assert "exercises/ch3/attention.py" in done.stdout and "ZeroDivisionError" in done.stdout, done.stdout
    assert "ch3: 0 of 100 points; next: causal_mask" in done.stdout


def test_training_names_the_exercises_to_do_first(my_gpt, refused):
    """The toy has not enough chapters to train, so the folder gets the real stubs."""
    for chapter in ("ch3", "ch4"):
        shutil.rmtree(my_gpt / "exercises" / chapter)
    for solution in SOLUTIONS.glob("ch*/*.py"):
        if not solution.name.startswith("test_"):
            stub = my_gpt / "exercises" / solution.relative_to(SOLUTIONS)
            stub.parent.mkdir(parents=True, exist_ok=True)
            stub.write_text(make_stub(solution.read_text(encoding="utf-8"), solution.name), encoding="utf-8")
    said = refused("train", "--pieces", "exercises")
    assert "these exercises come first: CharTokenizer (ch1), train_val_split (ch2), SlidingWindow" in said
    assert said.endswith("Start with: pytest exercises/ch1 -k CharTokenizer\n")

    for module in ("ch1/tokenizer", "ch2/inputs"):
        shutil.copy(SOLUTIONS / f"{module}.py", my_gpt / f"exercises/{module}.py")
        del sys.modules[f"exercises.{module.replace('/', '.')}"]
    assert refused("train", "--pieces", "exercises").endswith("pytest exercises/ch3 -k causal_mask\n")
