import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from course import handed_out, start
from grader.chapters import RECORDING
from grader.release import make_stub
from tests.course import toy_course

SOLUTIONS = Path(__file__).parents[2] / "solutions"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


ROOT = Path(__file__).parents[2]


def contents(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_the_folder_holds_the_hand_out(hand_out, here, course, capsys):
    (hand_out / "ch3/__pycache__").mkdir(exist_ok=True)
    (hand_out / "ch3/__pycache__/attention.cpython-311.pyc").write_bytes(b"x")
    assert course("start", "my-gpt") == 0
    assert "cd my-gpt\n  course" in capsys.readouterr().out
    made = contents(here / "my-gpt")
    assert sorted(name for name in made if not name.startswith("exercises/")) == [
        ".course/.gitignore",
        ".course/handed-out.json",
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


def test_what_somebody_left_in_the_courses_own_copy_stays_there(hand_out, here, course):
    """As in an unpacked hand-out in which a student has worked."""
    strays = [
        hand_out / "ch3/scratch.py",
        hand_out / "ch3/attention.py.before-reset-1",
        hand_out / "notes.md",
    ]
    for file in strays:
        file.write_text("mine")
    try:
        assert course("start", "my-gpt") == 0
    finally:
        for file in strays:
            file.unlink()
    made = contents(here / "my-gpt")
    assert {name for name in made if name.startswith("exercises/")} == {
        "exercises/__init__.py",
        *(f"exercises/{c}/{name}" for c in ("ch3", "ch4") for name in ("__init__.py", RECORDING)),
        *("exercises/ch3/attention.py", "exercises/ch3/test_attention.py"),
        *("exercises/ch4/block.py", "exercises/ch4/test_block.py"),
    }


def test_half_solved_files_are_not_started_from_and_revealed_chapters_are(
    hand_out, here, course, monkeypatch
):
    """What grader release writes beside the course: its stubs, and solutions of the chapters it reveals."""
    installed = here / "installed"
    shutil.copytree(hand_out.parent, installed)
    stubs, revealed = installed / "course/stubs", installed / "course/revealed"
    monkeypatch.setattr(handed_out, "HANDED_OUT", installed / "exercises")
    monkeypatch.setattr(handed_out, "STUBS", stubs)
    monkeypatch.setattr(handed_out, "REVEALED", revealed)
    for chapter, module in (("ch3", "attention.py"), ("ch4", "block.py")):
        (stubs / chapter).mkdir(parents=True)
        shutil.copy(installed / "exercises" / chapter / module, stubs / chapter / module)
    (revealed / "ch4").mkdir(parents=True)
    (revealed / "ch4/block.py").write_text(toy_course.BLOCK)
    toy_course.solve(installed, "count_up")  # somebody's work, in both chapters
    (installed / "exercises/ch4/block.py").write_text("def double_mask(size: ...\n")

    assert course("start", "my-gpt") == 0
    made = here / "my-gpt/exercises"
    assert (made / "ch3/attention.py").read_bytes() == (stubs / "ch3/attention.py").read_bytes()
    assert (made / "ch4/block.py").read_text() == toy_course.BLOCK
    monkeypatch.chdir("my-gpt")
    assert course("reset", "double_mask") == 0  # whoever wants to write it after all
    assert b"not written yet" in (made / "ch4/block.py").read_bytes()


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
    written, write = [], Path.write_bytes

    def fill_the_disk(file, data):
        if len(written) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(file)
        return write(file, data)

    monkeypatch.setattr(start.Path, "write_bytes", fill_the_disk)
    assert "the disk is full" in refused("start", "my-gpt")
    assert len(written) == 4
    assert os.listdir(here) == []


def test_without_exercises_installed(hand_out, here, refused, monkeypatch):
    monkeypatch.setattr(handed_out, "HANDED_OUT", here / "nowhere")
    assert "no exercises to start from" in refused("start", "my-gpt")
    assert os.listdir(here) == []


def test_a_damaged_installation_is_named(hand_out, here, refused, monkeypatch):
    shutil.copytree(hand_out.parent, here / "installed")
    monkeypatch.setattr(handed_out, "HANDED_OUT", here / "installed/exercises")
    (here / "installed/exercises/ch3/test_attention.py").unlink()
    assert "the installed course has lost its test_attention.py" in refused("start", "my-gpt")
    (here / "installed/course.toml").write_text("[course")
    assert "course.toml" in refused("start", "my-gpt")
    assert os.listdir(here) == ["installed"]


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
