"""What people read, at 80 columns and in ASCII where their terminal has no more."""

import io
import sys
import tomllib

import pytest

from course import cli, hints, screen

LONG = "course: these exercises come first: " + ", ".join(f"exercise_number_{n} (ch1)" for n in range(9))


class Stream(io.StringIO):
    def __init__(self, terminal: bool, encoding: str = "utf-8"):
        super().__init__()
        self.terminal, self.to = terminal, encoding

    encoding = property(lambda self: self.to)

    def isatty(self) -> bool:
        return self.terminal


def test_an_error_is_one_line_and_on_a_screen_broken_between_words(monkeypatch):
    for terminal in (False, True):
        stream = Stream(terminal)
        monkeypatch.setattr(sys, "stderr", stream)
        screen.complain(LONG)
        lines = stream.getvalue().splitlines()
        assert " ".join(line.strip() for line in lines) == LONG
        assert (len(lines) > 1 and max(map(len, lines)) <= 80) if terminal else len(lines) == 1


def test_a_path_is_not_broken(monkeypatch):
    stream = Stream(True)
    monkeypatch.setattr(sys, "stderr", stream)
    path = "/" + "a-long-name/" * 10
    screen.complain(f"course: cannot write {path}: the disk is full")
    assert path in stream.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_every_hint_fits_and_can_be_shown(monkeypatch, encoding):
    stream = Stream(True, encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    count = 0
    for file in sorted(hints.HINTS.glob("ch*.toml")):
        for entry in tomllib.loads(file.read_text(encoding="utf-8"))["hint"]:
            for number in range(len(entry["levels"])):
                screen.say(hints._text(entry["exercise"], number, entry["levels"]))
                count += 1
    assert count > 100
    said = stream.getvalue()
    assert encoding == "utf-8" or said.isascii()
    assert "\\u" not in said and "\\x" not in said  # signs without words of their own
    assert max(map(len, said.splitlines())) <= 80


def test_every_command_explains_itself_in_full(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["course", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().out
    assert "update" in said and "..." not in said.split("Commands:")[1]
    assert max(map(len, said.splitlines())) <= 80
