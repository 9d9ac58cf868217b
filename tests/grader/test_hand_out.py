"""exercises/ and the hand-out: what is in them, what is not, and when they are written."""

import io
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch

from grader.answers import Live, record
from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.hand_out import (
    hand_out_files,
    recording_is_current,
    without_markers,
    write_exercises,
    write_folder,
    write_whole,
    zipped,
)
from grader.leaves import leaves_of
from grader.observations import pack, unpack
from grader.seeds import PUBLIC
from tests.grader.toy_course import MODULE, write_toy_course

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def course():
    return CourseFolder(ROOT)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A toy course, released."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [*sys.path])
    write_toy_course(tmp_path)
    folder = CourseFolder(tmp_path)
    write_exercises(folder.chapter("ch1"))
    yield folder
    for name in [name for name in sys.modules if name.startswith("toy_reference")]:
        del sys.modules[name]


# ---- the course's own hand-out ----


def run_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Python in a hand-out, with installed packages but none of this repository's.

    -S leaves out .pth files, by which an editable install would make the solutions importable.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "80",
    }
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_untouched_stubs_are_not_started_without_the_solutions(course, tmp_path):
    write_folder(hand_out_files(course), tmp_path / "course")
    found = run_in(tmp_path / "course", "-c", "import grader, exercises; import solutions")
    assert "No module named 'solutions'" in found.stderr
    result = run_in(tmp_path / "course", "-m", "pytest", "-p", "grader.pytest_plugin", "exercises")
    assert result.returncode == 1, result.stdout + result.stderr
    first = {chapter: course.chapter(chapter).exercises[0] for chapter in course.chapters}
    first["ch9"] = "autocast_loss"  # the first that does not wait for another chapter
    for chapter in course.chapters:
        assert f"{chapter}: 0 of 100 points; next: {first[chapter]}\n" in result.stdout
    last = result.stdout.splitlines()[-1]
    assert "not started" in last and "passed" not in last and "failed" not in last and "error" not in last


def test_a_revealed_chapter_is_solved(course, tmp_path):
    write_folder(hand_out_files(course, reveal=["ch3"]), tmp_path / "course")
    result = run_in(tmp_path / "course", "-m", "pytest", "-p", "grader.pytest_plugin", "exercises/ch3")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "ch3: 100 of 100 points" in result.stdout


def test_the_hand_out_holds_what_a_student_needs_and_no_more(course):
    files = hand_out_files(course)
    assert {name.split("/")[0] for name in files} == {
        *("LICENSE", "README.md", "constraints.txt", "course", "course.toml", "exercises", "grader"),
        "pyproject.toml",
    }
    assert {name for name in files if name.startswith("exercises/ch3/")} == {
        f"exercises/ch3/{name}"
        for name in ("__init__.py", "attention.py", "expected.safetensors", "test_attention.py")
    }
    assert "course/hints/ch3.toml" in files
    assert any(name.startswith("course/models/") for name in files)
    for name, data in files.items():
        assert not {"misconceptions.toml", "another_way.py", "one_liners.py"} & {Path(name).name}, name
        assert "__pycache__" not in name
        assert not (name.startswith("grader/") and name.endswith(".md")), name
        if name.startswith("exercises/"):
            assert b"SOLUTION" not in data, name
    for line in files["README.md"].decode().splitlines():
        if line.startswith("| 3 "):
            assert line == "| 3 | Attention | `exercises/ch3/attention.py` |"


def test_the_hand_outs_project_file(course):
    project = tomllib.loads(hand_out_files(course)["pyproject.toml"].decode())
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dependencies"] == ours["project"]["dependencies"]
    assert project["project"]["scripts"] == ours["project"]["scripts"]
    assert "optional-dependencies" not in project["project"]
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [
        *("course", "grader", "exercises"),
    ]
    assert project["tool"]["pytest"]["ini_options"]["testpaths"] == ["exercises"]
    assert set(project["tool"]) == {"hatch", "pytest"}


# ---- writing ----


def test_a_second_release_writes_nothing(toy):
    folder = toy.root / "exercises"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert {path.relative_to(folder).as_posix() for path in before} == {
        *("__init__.py", "ch1/__init__.py", "ch1/sums.py", "ch1/test_sums.py", "ch1/expected.safetensors"),
    }
    assert write_exercises(toy.chapter("ch1")) == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_only_what_differs_is_written(toy):
    chapter = toy.chapter("ch1")
    stub = chapter.exercises_folder / "sums.py"
    stub.write_text("a student's work\n")
    assert write_exercises(chapter) == [stub]
    assert 'raise NotImplementedError("standardise: not written yet")' in stub.read_text()


def changed(recording: bytes, check: str, what: str, change) -> bytes:
    tree = unpack(recording)
    change(tree["checks"][check][what])
    return pack(tree)


def test_recordings_are_compared_within_tolerance(toy):
    chapter = toy.chapter("ch1")
    path, checks = chapter.recording, chapter.public_checks
    fresh = record(checks, Live(chapter.tree, "ch1", PUBLIC))
    assert recording_is_current(path, fresh, checks)
    near = changed(fresh, "mixes", "expected", lambda seen: seen.mul_(1 + 1e-6))
    far = changed(fresh, "mixes", "expected", lambda seen: seen.mul_(1.01))
    assert recording_is_current(path, near, checks)
    assert not recording_is_current(path, far, checks)
    turn = changed(fresh, "mixes", "misconceptions", lambda turns: turns["wrong-axis"].mul_(1.01))
    assert not recording_is_current(path, turn, checks)
    without = changed(fresh, "mixes", "misconceptions", lambda turns: turns.pop("wrong-axis"))
    assert not recording_is_current(path, without, checks)
    path.write_bytes(b"cut short")
    assert not recording_is_current(path, fresh, checks)
    path.unlink()
    assert not recording_is_current(path, fresh, checks)


def test_what_an_accept_decides_may_differ_by_more(toy):
    """Random numbers of another machine or version of torch."""
    chapter = toy.chapter("ch1")
    path, checks = chapter.recording, chapter.public_checks
    fresh = record(checks, Live(chapter.tree, "ch1", PUBLIC))
    flipped = changed(fresh, "fair", "expected", lambda seen: seen.copy_(1 - seen))
    assert recording_is_current(path, flipped, checks)
    unfair = changed(fresh, "fair", "expected", lambda seen: seen.fill_(1))
    assert not recording_is_current(path, unfair, checks)


def test_nan_in_what_a_misconception_yields_is_no_difference(toy):
    chapter = toy.chapter("ch1")
    turns = chapter.misconceptions_file
    text = turns.read_text().replace('with = "x"', 'with = "x / (x.sum() - x.sum())"')
    turns.write_text(text)
    del sys.modules["toy_reference.ch1.sums"]
    assert write_exercises(chapter) == [chapter.recording]
    recorded = unpack(chapter.recording.read_bytes())["checks"]["mean_and_spread"]["misconceptions"]
    assert not leaves_of(recorded)[0].isfinite().all()
    assert write_exercises(chapter) == []


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    write_whole(tmp_path / "new" / "file", b"old")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(GraderError, match=r"cannot write .*file: No space left on device"):
        write_whole(tmp_path / "new" / "file", b"new")
    assert [path.read_bytes() for path in (tmp_path / "new").iterdir()] == [b"old"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    write = Path.write_bytes

    def full(path, data):
        if path.name == "b":
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(GraderError, match="No space left on device"):
        write_folder({"a": b"", "c/b": b""}, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_stays_as_it_is(tmp_path):
    (tmp_path / "empty").mkdir()
    write_folder({"a/b": b"1"}, tmp_path / "empty")
    assert (tmp_path / "empty/a/b").read_bytes() == b"1"
    with pytest.raises(GraderError, match="is there already"):
        write_folder({"a/b": b"2"}, tmp_path / "empty")
    assert (tmp_path / "empty/a/b").read_bytes() == b"1"


def test_equal_files_make_equal_zips(toy):
    files = hand_out_files(toy)
    data = zipped(files, "course")
    assert data == zipped(dict(reversed(files.items())), "course")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"course/{name}": content for name, content in files.items()
        }


def test_nothing_comes_along_by_being_there(toy):
    for name in ("notes.md", "secret/key.txt", "course/.DS_Store", "course/__pycache__/a.pyc", "runs/x"):
        path = toy.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    stub = toy.chapter("ch1").exercises_folder / "sums.py"
    stub.write_text(MODULE)  # an instructor tried the exercise
    files = hand_out_files(toy)
    assert sorted(files) == [
        "LICENSE",
        "README.md",
        "constraints.txt",
        "course.toml",
        "course/__init__.py",
        "course/hints/ch1.toml",
        "course/stubs/ch1/sums.py",
        "exercises/__init__.py",
        "exercises/ch1/__init__.py",
        "exercises/ch1/expected.safetensors",
        "exercises/ch1/sums.py",
        "exercises/ch1/test_sums.py",
        "pyproject.toml",
    ]
    assert b"not written yet" in files["exercises/ch1/sums.py"]
    assert files["README.md"] == b"# Toy course\n\n| 1 | Sums | `exercises/ch1/sums.py` |\n"


def test_a_revealed_module_is_the_solution_without_its_markers(toy):
    module = without_markers(toy.chapter("ch1"))
    assert "SOLUTION" not in module
    assert module == "".join(line for line in MODULE.splitlines(keepends=True) if "SOLUTION" not in line)
    names: dict = {}
    exec(module, names)
    assert torch.allclose(names["standardise"](torch.tensor([1.0, 3.0])), torch.tensor([-1.0, 1.0]))
