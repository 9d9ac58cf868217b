"""Running the `course` command inside the test's own process, where torch is already warm."""

import sys

import pytest

from course import cli
from tests.course.toy_course import make_hand_out


@pytest.fixture
def course(monkeypatch):
    """course("train", "--steps", "3") runs the command and returns its exit code."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["course", *arguments])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        return exit.value.code or 0

    return run


@pytest.fixture
def refused(course, capsys):
    """refused("train", "no-such.txt") is the one line that the command prints before it exits with 2."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert course(*arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("course: ") and error.count("\n") == 1, error
        return error

    return run


@pytest.fixture(scope="session")
def toy_hand_out(tmp_path_factory):
    """A toy course as it is handed out; see toy_course.py."""
    return make_hand_out(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def hand_out(toy_hand_out, monkeypatch):
    """The toy course in the place of the installed one."""
    from course import handed_out

    monkeypatch.setattr(handed_out, "HANDED_OUT", toy_hand_out)
    return toy_hand_out


@pytest.fixture
def my_gpt(hand_out, course, tmp_path, monkeypatch, capsys):
    """A student's folder that `course start` made of the toy course, and the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # course train adds the folder
    assert course("start", "my-gpt") == 0
    monkeypatch.chdir("my-gpt")
    capsys.readouterr()
    yield tmp_path / "my-gpt"
    for name in [name for name in sys.modules if name.split(".")[0] == "exercises"]:
        del sys.modules[name]
