"""Running the `course` command inside the test's own process, where torch is already warm."""

import sys

import pytest

from course import cli


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
