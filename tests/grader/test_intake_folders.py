"""Folders with traps: nothing is followed, nothing blocks, and what was checked is what is read."""

import os
import socket
import tempfile
from pathlib import Path

import pytest

from grader import places, submission_folder
from grader.intake import take_in
from grader.submission_folder import Folder
from tests.grader.handed_in import CODE, one, write

SECRET = "the solution\n"


@pytest.fixture(params=["by descriptor", "by path"], autouse=True)
def way(request, monkeypatch):
    """Everything holds on systems that open nothing relative to a folder, too."""
    if request.param == "by path":
        monkeypatch.setattr(submission_folder, "BY_DESCRIPTOR", False)
    elif not submission_folder.BY_DESCRIPTOR:
        pytest.skip("this system opens nothing relative to a folder")


@pytest.fixture
def elsewhere(tmp_path):
    return write(tmp_path / "instructor", {"attention.py": SECRET, "ch3/attention.py": SECRET})


@pytest.fixture
def class_(tmp_path):
    (tmp_path / "class" / "alice").mkdir(parents=True)
    return tmp_path / "class"


def refusal(folder: Path) -> str:
    submission = one(folder)
    assert SECRET not in str(submission)
    problems = [*submission.problems, *(module.problem for module in submission.modules.values())]
    assert len(problems) == 1 and problems[0].isprintable()
    return problems[0]


def test_a_linked_module_is_not_followed(class_, elsewhere):
    (class_ / "alice/attention.py").symlink_to(elsewhere / "attention.py")
    assert refusal(class_) == "attention.py is a symbolic link, and is not read"


def test_a_linked_folder_is_not_followed(class_, elsewhere):
    (class_ / "alice/ch3").symlink_to(elsewhere / "ch3")
    assert refusal(class_) == "ch3 is a symbolic link, and is not read"


@pytest.mark.parametrize("target", ["", "ch3/attention.py"])
def test_a_linked_submission_is_not_followed(class_, elsewhere, target):
    (class_ / "alice").rmdir()
    (class_ / "alice").symlink_to(elsewhere / target)
    assert refusal(class_) == "alice is a symbolic link, and is not read"


def test_a_link_to_itself_and_one_to_nothing(class_):
    (class_ / "alice/attention.py").symlink_to("attention.py")
    (class_ / "bob").symlink_to("nowhere")
    for submission in take_in(class_, {"ch3": "attention"}):
        problem = [*submission.problems, *(m.problem for m in submission.modules.values())]
        assert "a symbolic link" in problem[0]


def test_a_hard_link_is_refused(class_, elsewhere):
    os.link(elsewhere / "attention.py", class_ / "alice/attention.py")
    assert "has another name elsewhere (a hard link)" in refusal(class_)


@pytest.mark.parametrize("name", ["attention.py", "alice.py"])
def test_a_pipe_does_not_block(class_, name):
    os.mkfifo(class_ / ("alice" if name == "attention.py" else "") / name)
    if name == "alice.py":
        (class_ / "alice").rmdir()
    assert refusal(class_) == f"{name} is neither a file nor a folder, and is not read"


def test_a_socket_is_not_opened(class_, monkeypatch):
    monkeypatch.chdir(class_ / "alice")  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("attention.py")
        assert "neither a file nor a folder" in refusal(class_)


def test_a_device_is_not_opened(class_):
    try:
        os.mknod(class_ / "alice/attention.py", 0o020666, os.makedev(1, 3))
    except PermissionError:
        (class_ / "alice/attention.py").symlink_to("/dev/zero")
    assert "and is not read" in refusal(class_)


def test_a_folder_in_the_place_of_a_module(class_):
    write(class_ / "alice", {"attention.py/x.txt": "x"})
    assert one(class_).modules == {}


def test_a_folder_that_is_not_open_to_the_grader(tmp_path):
    """Run as another user if need be, since root may read everything."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        write(
            Path(folder),
            {"alice/attention.py": CODE, "bob/ch3/attention.py": CODE, "carol/attention.py": CODE},
        )
        for closed in ("alice/attention.py", "bob/ch3"):
            os.chmod(Path(folder, closed), 0)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            alice, bob, carol = take_in(Path(folder), {"ch3": "attention"})
        finally:
            if root:
                os.seteuid(0)
            os.chmod(Path(folder, "bob/ch3"), 0o755)
    assert alice.modules["ch3"].problem == "attention.py cannot be read (permission denied)"
    assert bob.problems[0] == "ch3 cannot be read (permission denied)"
    assert carol.modules["ch3"].source == CODE


def test_sizes_and_counts(class_, monkeypatch):
    write(class_, {"alice/attention.py": "x = 1\n" * 200_000, "bob/ch3/attention.py": CODE})
    monkeypatch.setattr(Folder.entries, "__defaults__", (3,))
    write(class_ / "bob/ch3", {f"{n}.txt": "" for n in range(3)})
    alice, bob = take_in(class_, {"ch3": "attention"})
    assert alice.modules["ch3"].problem == "attention.py is larger than 1 MiB"
    assert bob.problems[0] == "ch3 holds more than 3 entries, and is not looked into"


def test_a_file_without_end_is_read_no_further_than_the_limit(class_):
    with open(class_ / "alice/attention.py", "wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    assert refusal(class_) == "attention.py is larger than 1 MiB"


def test_folders_without_number_and_depth(class_):
    write(class_ / "alice", {f"{n}/attention.py": CODE for n in range(places.SIBLINGS + 1)})
    write(class_ / "alice", {"a/" * 200 + "attention.py": CODE})
    write(class_ / "bob", {"a/" * 200 + "attention.py": CODE})
    for submission in take_in(class_, {"ch3": "attention"}):
        assert submission.modules == {}


def test_only_modules_are_opened(class_, monkeypatch):
    """No other file's bytes are read, whatever lies about."""
    files = {"attention.py": CODE, "data.txt": "x", "ch3/conftest.py": "x", "torch.py": "x", "a/b/c.py": "x"}
    write(class_ / "alice", files)
    opened = []
    real = Folder.file
    monkeypatch.setattr(
        Folder, "file", lambda self, name, limit: opened.append(name) or real(self, name, limit)
    )
    assert one(class_).modules["ch3"].source == CODE and opened == ["attention.py"]


@pytest.mark.parametrize("how", ["link", "file"])
def test_a_file_swapped_for_another_while_it_is_read(class_, elsewhere, monkeypatch, how):
    module = class_ / "alice/attention.py"
    module.write_text(CODE)
    expect = Folder._expect

    def swap(self, name, kind):
        status = expect(self, name, kind)
        if name == "attention.py":
            os.rename(module, class_.parent / "gone")
            if how == "link":
                module.symlink_to(elsewhere / "attention.py")
            else:
                os.rename(elsewhere / "attention.py", module)
        return status

    monkeypatch.setattr(Folder, "_expect", swap)
    problem = refusal(class_)
    assert "cannot be read" in problem or "was changed while it was read" in problem


def test_a_folder_swapped_for_a_link_while_it_is_read(class_, elsewhere, monkeypatch):
    if not submission_folder.BY_DESCRIPTOR:
        pytest.skip("cannot be prevented where nothing is opened relative to a folder")
    write(class_ / "alice", {"ch3/attention.py": CODE})
    expect = Folder._expect

    def swap(self, name, kind):
        status = expect(self, name, kind)
        if name == "ch3":
            os.rename(class_ / "alice/ch3", class_ / "gone")
            (class_ / "alice/ch3").symlink_to(elsewhere / "ch3")
        return status

    monkeypatch.setattr(Folder, "_expect", swap)
    assert "ch3 cannot be read" in refusal(class_)


ODD = ["a\nb", "\x1b[31mred", "\u202eecila", "a\udcffb", "x" * 250, "=1+1", "con", "'\"<b>&", "\u200b"]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_of_students(class_, name):
    (class_ / "alice").rmdir()
    write(class_ / name, {"attention.py": CODE})
    submission = one(class_)
    assert submission.modules["ch3"].source == CODE
    assert submission.student.isprintable() and "\u202e" not in submission.student
    str(submission.student).encode()


def test_odd_names_of_wrapping_folders(class_):
    write(class_ / "alice", {"\x1b[31m\n/attention.py": CODE})
    assert one(class_).modules["ch3"].name == "\\x1b[31m\\n/attention.py"
