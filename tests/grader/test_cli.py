"""The `grader` command: its words, its errors and its exit codes."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from grader import cli
from grader.release_command import chapters_in
from tests.grader.toy_course import write_toy_course


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [*sys.path])
    root = tmp_path / "repo"
    write_toy_course(root)
    monkeypatch.chdir(root)
    yield root
    for name in [name for name in sys.modules if name.startswith("toy_reference")]:
        del sys.modules[name]


@pytest.fixture
def grader(monkeypatch, capsys):
    """Run a command; its exit code, what it printed and its errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["grader", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


def test_release_then_selftest(toy, grader, tmp_path, monkeypatch):
    code, out, _ = grader("release", "--to", str(tmp_path / "hand-out"), "--zip")
    assert code == 0
    assert (
        out.splitlines()[0]
        == "ch1: wrote __init__.py, __init__.py, sums.py, test_sums.py, expected.safetensors"
    )
    assert (tmp_path / "hand-out/exercises/ch1/sums.py").is_file()
    with zipfile.ZipFile(tmp_path / "hand-out.zip") as archive:
        assert "hand-out/exercises/ch1/sums.py" in archive.namelist()
    assert grader("release") == (0, "ch1: up to date\n", "")
    monkeypatch.setattr("grader.release_command.EVERY_SECONDS", -1.0)
    code, out, err = grader("release")
    said = err.splitlines()
    assert out == "ch1: up to date\n" and len(said) == 3
    assert [line.split(",")[0] for line in said] == [f"ch1: recording check {i} of 3" for i in (1, 2, 3)]

    code, out, _ = grader("selftest")
    assert code == 0
    assert out.splitlines()[-1] == "1 chapter, 3 exercises, 6 checks, 3 misconceptions: everything holds"


def test_selftest_tells_what_is_wrong_and_exits_1(toy, grader):
    grader("release")
    (toy / "exercises/ch1/sums.py").write_text("a student's work\n")
    code, out, err = grader("selftest", "--chapter", "ch1")
    assert (code, err) == (1, "")
    assert "ch1 current: exercises/ch1/sums.py is not what release writes: run" in out
    assert out.endswith("misconceptions: 1 problem\n")
    assert all(len(line) <= 80 for line in out.splitlines())


def test_several_jobs_say_the_same(toy, grader):
    grader("release")
    one, two = grader("selftest"), grader("selftest", "-j", "2")
    assert [line[:70] for line in one[1].splitlines()] == [line[:70] for line in two[1].splitlines()]


def test_reveal(toy, grader, tmp_path):
    code, _, _ = grader("release", "--to", str(tmp_path / "out"), "--reveal", "ch1")
    assert code == 0
    assert "return torch.softmax" in (tmp_path / "out/exercises/ch1/sums.py").read_text()
    assert "return torch.softmax" not in (toy / "exercises/ch1/sums.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["release", "--zip"], "--zip is about the hand-out: give --to FOLDER"),
        (["release", "--reveal", "ch1"], "--reveal is about the hand-out: give --to FOLDER"),
        (["release", "--to", "x", "--reveal", "all"], "'all' names no chapters: ch2, ch1..ch3 or ch1,ch4"),
        (["release", "--to", "x", "--reveal", "ch1..ch9"], "course.toml has no chapter ch9; it has ch1"),
        (["release", "--to", "course/x"], "course/x is inside of course, which is handed out itself"),
        (["release", "--to", "tests"], "tests is there already"),
        (["release", "--chapter", "ch7"], "there is no chapter ch7; there are ch1"),
        (["selftest", "--chapter", "ch7"], "there is no chapter ch7; there are ch1"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(toy, grader, arguments, says):
    code, _, err = grader(*arguments)
    assert code == 2
    assert err.startswith("grader: ") and says in err and err.count("\n") == 1
    assert not (toy / "x").exists()


def test_markers_that_are_not_in_order_are_refused_with_their_line(toy, grader, tmp_path):
    module = toy / "toy_reference/ch1/sums.py"
    module.write_text(module.read_text().replace("### END SOLUTION", "### END SOLUTIONS", 1))
    code, _, err = grader("release", "--to", str(tmp_path / "out"))
    assert code == 2
    assert err.startswith("grader: toy_reference/ch1/sums.py:17: '### END SOLUTIONS' is no marker")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_course_or_reference(toy, grader, tmp_path, monkeypatch):
    (toy / "toy_reference/__init__.py").unlink()
    code, _, err = grader("selftest")
    assert code == 2 and "has no toy_reference/: this command needs the reference" in err
    monkeypatch.chdir(tmp_path)
    code, _, err = grader("release")
    assert code == 2 and "there is no course.toml here or above" in err


def test_chapters_by_range_and_by_name():
    taught = [f"ch{n}" for n in range(1, 11)]
    assert chapters_in("ch9..ch10", taught) == ["ch9", "ch10"]
    assert chapters_in("ch2, ch4..ch5", taught) == ["ch2", "ch4", "ch5"]


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from grader import cli; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
