"""The evening in a real hand-out: all of it, and no solutions to import."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch

from course import start
from grader.answers import Recorded
from grader.chapters import RECORDING
from grader.course_folder import CourseFolder
from grader.hand_out import hand_out_files, write_folder

ROOT = Path(__file__).parents[2]
CHECK = "future_positions_get_no_weight"


@pytest.fixture(scope="module")
def real_hand_out(tmp_path_factory):
    """Chapter 2 handed out solved."""
    folder = tmp_path_factory.mktemp("real") / "course"
    write_folder(hand_out_files(CourseFolder(ROOT), reveal=["ch2"]), folder)
    return folder


def python(hand_out: Path, *arguments: str, cwd: Path, given: str = "") -> subprocess.CompletedProcess:
    """Python with the hand-out installed, as `pip install -e .` does it.

    -S leaves out .pth files, by which an editable install of this repository would bring the solutions.
    """
    paths = [str(hand_out), sysconfig.get_path("purelib")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, input=given, capture_output=True, text=True)


@pytest.fixture
def course_in(real_hand_out, tmp_path):
    """course_in(folder, "start", "my-gpt") is what the command prints, to either stream."""

    def run(folder: Path, *arguments: str) -> str:
        done = python(real_hand_out, "-m", "course.cli", *arguments, cwd=folder)
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    return run


def test_somebodys_work_is_not_started_from(real_hand_out, course_in, tmp_path):
    worked_in = real_hand_out / "exercises/ch3/attention.py"
    stub = worked_in.read_bytes()
    shutil.copy(ROOT / "solutions/ch3/attention.py", worked_in)
    try:
        assert "my-gpt is your own folder" in course_in(tmp_path, "start", "my-gpt")
        said = course_in(real_hand_out, "reset", "Multi")
        assert "MultiHeadAttention is a stub again" in said
        assert worked_in.read_bytes() != stub
    finally:
        worked_in.write_bytes(stub)
    made = tmp_path / "my-gpt/exercises"
    assert (made / "ch3/attention.py").read_bytes() == stub
    assert b"not written yet" not in (made / "ch2/inputs.py").read_bytes()  # handed out solved
    kept = worked_in.with_name("attention.py.before-reset-1")
    kept.unlink()


def test_without_solutions_nobody_speaks_of_them(real_hand_out, course_in, tmp_path):
    course_in(tmp_path, "start", "my-gpt")
    here, elsewhere = tmp_path / "my-gpt", tmp_path
    for folder in (here, elsewhere):
        for arguments in (
            [],
            ["train", "--help"],
            ["generate", "--help"],
            ["train"],
            ["generate", "ROMEO:"],
            ["generate", "ROMEO:", "--pieces", "mine"],
        ):
            said = course_in(folder, *arguments)
            assert said and "solutions" not in said, said
    assert "let it write, once ch7 is done" in course_in(here)
    assert "it comes with the course" not in course_in(elsewhere)

    first = "Start with: pytest exercises/ch1 -k CharTokenizer\n"
    said = course_in(here, "train")
    assert "CharTokenizer (ch1), causal_mask (ch3), " in said and " more, up to ch7. " in said
    assert said.endswith(first)
    # From within the folder it is still the student's own package, and the command fits.
    assert course_in(here / "exercises/ch3", "train").endswith("Start with: pytest ../ch1 -k CharTokenizer\n")
    # Stubs that are only installed are nobody's to write into.
    assert "Start with: course start my-gpt" in course_in(elsewhere, "train")
    said = course_in(elsewhere, "generate", "ROMEO:", "--pieces", "mine.too")
    assert "there is no package mine.too here: --pieces takes one with ch1 to ch8" in said
    # A folder of that name is not the reference.
    (here / "solutions").mkdir()
    assert course_in(here, "train").endswith(first)


def test_a_deleted_piece_is_named(real_hand_out, course_in, tmp_path):
    course_in(tmp_path, "start", "my-gpt")
    inputs = tmp_path / "my-gpt/exercises/ch2/inputs.py"
    inputs.write_text(
        inputs.read_text(encoding="utf-8").replace("def embed(", "def embedded("), encoding="utf-8"
    )
    said = course_in(tmp_path / "my-gpt", "generate", "ROMEO:")
    assert "exercises/ch2/inputs.py has no embed, which ch5 needs: course reset embed" in said
    assert "embed is a stub again" in course_in(tmp_path / "my-gpt", "reset", "embed")
    said = course_in(tmp_path / "my-gpt", "generate", "ROMEO:")
    assert "these exercises come first: embed (ch2), causal_mask (ch3), " in said


@pytest.mark.parametrize("readme", ["of the hand-out", "of course start"])
def test_a_call_can_be_tried_as_the_readme_says(real_hand_out, tmp_path, readme):
    """The lines of the README and the check's own, pasted into a Python shell, give what was recorded."""
    folder = tmp_path / "mine"
    shutil.copytree(real_hand_out / "exercises", folder / "exercises")
    shutil.copy(ROOT / "solutions/ch3/attention.py", folder / "exercises/ch3/attention.py")
    hand_out_text = (real_hand_out / "README.md").read_text(encoding="utf-8")
    text = hand_out_text if readme == "of the hand-out" else start.README
    lines = re.findall(r"^    ((?:from|draw) .*)$", text, re.MULTILINE)
    assert len(lines) == 3 and CHECK in lines[2]
    call = re.search(rf"`({CHECK}\.function\(.*?\))`", text)[1]

    checks = (folder / "exercises/ch3/test_attention.py").read_text(encoding="utf-8")
    body = re.search(rf'def {CHECK}\(.*?\):\n    """.*?"""\n(.*?)\n\n', checks, re.DOTALL)[1]
    save = "torch.save([seen, look()], 'seen.pt')"
    given = "\n".join([*lines, f"seen = {call}", lines[2], "def look():", body, "", save, ""])
    done = python(real_hand_out, "-i", "-q", cwd=folder, given=given)
    assert "Error" not in done.stderr, done.stderr
    recorded = Recorded(folder / "exercises/ch3" / RECORDING).checks[CHECK]["expected"]
    for seen in torch.load(folder / "seen.pt"):
        torch.testing.assert_close(seen, torch.as_tensor(recorded))
