"""`course update`: a folder made of the toy course, and a newer version of that course."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from course import handed_out, update
from course.workplace import Workplace
from tests.course import toy_course

CH3, CH4 = "exercises/ch3", "exercises/ch4"
NEW_CHECK = '''

@check("count_up")
def counts_nothing(attention):
    """Up to 0 there is nothing."""
    return attention.count_up(0)
'''


def contents(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def edit(file: Path, replace: str, with_: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert replace in text, replace
    file.write_text(text.replace(replace, with_), encoding="utf-8")


@pytest.fixture
def newer(my_gpt, hand_out, tmp_path, monkeypatch):
    """The folder of another installed course, so far the same one that my_gpt was made of."""
    folder = tmp_path / "newer"
    shutil.copytree(hand_out.parent, folder)
    monkeypatch.setattr(handed_out, "HANDED_OUT", folder / "exercises")
    return folder


@pytest.fixture
def updated(my_gpt, course, capsys):
    """updated() is what the command prints."""

    def run() -> str:
        capsys.readouterr()
        assert course("update") == 0
        said = capsys.readouterr().out
        assert max(len(line) for line in said.splitlines()) <= 80, said
        return said

    return run


def new_checks(newer: Path) -> bytes:
    """Write a check more into the newer course; the check file's bytes."""
    file = newer / f"{CH3}/test_attention.py"
    file.write_text(file.read_text() + NEW_CHECK)
    return file.read_bytes()


def test_nothing_new_changes_nothing(my_gpt, newer, updated):
    toy_course.solve(my_gpt, "count_up")
    before = contents(my_gpt)
    assert "Nothing to do" in updated()
    assert contents(my_gpt) == before
    assert not update.is_there(Workplace(my_gpt))


def test_checks_and_recordings_come_and_the_students_work_stays(my_gpt, newer, updated):
    toy_course.solve(my_gpt, "count_up")
    before = contents(my_gpt)
    checks = new_checks(newer)
    edit(newer / f"{CH3}/test_attention.py", "Each row of the weights sums to 1", "Every row sums to 1")
    checks = (newer / f"{CH3}/test_attention.py").read_bytes()
    (newer / f"{CH4}/expected.safetensors").write_bytes(b"newer")
    assert update.is_there(Workplace(my_gpt))

    said = updated()
    assert "ch3: checks, 1 new (counts_nothing), 1 changed (rows_sum_to_one)" in said
    assert "ch4: recorded answers" in said
    changed = {f"{CH3}/test_attention.py": checks, f"{CH4}/expected.safetensors": b"newer"}
    after = contents(my_gpt)
    after.pop(handed_out.RECORD)
    before.pop(handed_out.RECORD)
    assert after == before | changed
    assert not update.is_there(Workplace(my_gpt))
    assert "Nothing to do" in updated()


def test_what_was_edited_by_hand_is_kept(my_gpt, newer, updated):
    mine = my_gpt / f"{CH3}/test_attention.py"
    edit(mine, "SIZE = 3", "SIZE = 5")
    edited = mine.read_bytes()
    assert "Nothing to do" in updated()  # the course's own file is no newer: an edit is the student's affair
    assert mine.read_bytes() == edited
    for number in (1, 2):
        edit(newer / f"{CH3}/test_attention.py", "import torch", f"import torch  # {number}")
        said = updated()
        copy = f"{CH3}/test_attention.py.before-update-{number}"
        assert f"You had changed {CH3}/test_attention.py" in said and copy in said.replace("\n ", "")
        assert (my_gpt / copy).read_bytes() == edited
        assert mine.read_bytes() == (newer / f"{CH3}/test_attention.py").read_bytes()
        mine.write_bytes(edited)


def test_the_students_own_readme_stays_and_an_untouched_one_is_renewed(my_gpt, newer, updated, monkeypatch):
    monkeypatch.setattr(update, "own_files", lambda title: {"README.md": b"new", "pytest.ini": b"new"})
    (my_gpt / "pytest.ini").write_text("[pytest]\n")
    assert "README.md: renewed" in updated()
    assert (my_gpt / "README.md").read_bytes() == b"new"
    assert (my_gpt / "pytest.ini").read_text() == "[pytest]\n"
    assert not list(my_gpt.glob("*before-update*"))


def test_a_changed_assignment_is_told_and_the_module_stays(my_gpt, newer, updated, course):
    toy_course.solve(my_gpt, "count_up")
    module = my_gpt / f"{CH3}/attention.py"
    before = module.read_bytes()
    stub = newer / f"{CH3}/attention.py"
    edit(stub, "The numbers from 0 to n - 1.", "The numbers from 0 up to, not including, n.")
    edit(stub, "-inf where it may not.", "-inf elsewhere.")
    assert update.is_there(Workplace(my_gpt))
    said = updated()
    assert module.read_bytes() == before
    count_up = said[said.index("attention.py, count_up") :]
    assert '- """The numbers from 0 to n - 1."""' in count_up
    assert '+ """The numbers from 0 up to, not including, n."""' in count_up
    assert "`course reset count_up`" not in said  # that would take the student's work away
    assert "  not written yet: `course reset causal_mask` takes the new stub\n" in said
    assert "Attention:" not in said
    assert "Nothing to do" in updated()  # told once

    assert course("reset", "causal_mask") == 0
    assert b"-inf elsewhere." in module.read_bytes() and b"list(range(n))" in module.read_bytes()


def test_many_changes_are_cut_short(my_gpt, newer, updated):
    stub = newer / f"{CH3}/attention.py"
    edit(stub, "The numbers from 0 to n - 1.", "\n".join(f"Line {number}." for number in range(50)))
    said = updated()
    assert "Line 5." in said and "Line 20." not in said
    assert str(newer / "exercises") in said.replace("\n  ", "")


def test_a_new_exercise_and_a_new_chapter(my_gpt, newer, updated, course):
    stub = newer / f"{CH3}/attention.py"
    stub.write_text(
        stub.read_text() + '\n\ndef more():\n    raise NotImplementedError("more: not written yet")\n'
    )
    shutil.copytree(newer / CH4, newer / "exercises/ch5")
    shutil.copy(newer / f"{CH4}/block.py", newer / "exercises/ch5/tower.py")
    shutil.copy(newer / f"{CH4}/test_block.py", newer / "exercises/ch5/test_tower.py")
    file = newer / "course.toml"
    text = file.read_text().replace("count_up = 10", "count_up = 5\nmore = 5")
    file.write_text(
        text + '\n[chapters.ch5]\ntitle = "Tower"\nmodule = "tower"\n[chapters.ch5.points]\ndouble = 100\n'
    )
    said = updated()
    assert "course.toml: count_up 10 -> 5 points, more is new, double is new" in said
    assert "ch5: a new chapter" in said
    assert "  `course reset more` puts its stub there\n" in said
    assert (my_gpt / "exercises/ch5/tower.py").read_bytes() == (newer / "exercises/ch5/tower.py").read_bytes()
    assert course("reset", "more") == 0
    assert (my_gpt / f"{CH3}/attention.py").read_bytes() == stub.read_bytes()


def test_a_chapter_that_was_announced_comes(my_gpt, newer, updated, course, monkeypatch):
    """course.toml lists it from the start, and the first hand-out had not got it yet."""
    shutil.move(newer / CH4, newer / "later")
    shutil.rmtree(my_gpt)
    monkeypatch.chdir(my_gpt.parent)
    assert course("start", "my-gpt") == 0
    monkeypatch.chdir(my_gpt)
    assert not (my_gpt / CH4).exists()
    assert "Nothing to do" in updated()
    shutil.move(newer / "later", newer / CH4)
    assert "ch4: a new chapter" in updated()
    assert (my_gpt / f"{CH4}/block.py").is_file()


def test_what_is_missing_comes_back_and_a_deleted_chapter_does_not(my_gpt, newer, updated):
    shutil.rmtree(my_gpt / CH4)
    (my_gpt / f"{CH3}/expected.safetensors").unlink()
    (my_gpt / f"{CH3}/attention.py").unlink()
    (my_gpt / "README.md").unlink()
    said = updated()
    assert "ch3: expected.safetensors was missing; attention.py was missing" in said
    assert (my_gpt / f"{CH3}/attention.py").read_bytes() == (newer / f"{CH3}/attention.py").read_bytes()
    assert not (my_gpt / CH4).exists() and not (my_gpt / "README.md").exists()
    assert "Nothing to do" in updated()


def test_a_lost_course_file_comes_back(my_gpt, newer, updated, refused):
    (my_gpt / "course.toml").unlink()
    assert "has no course.toml; course update brings it back" in refused("hint")
    assert updated().startswith("course.toml: was missing\n")
    assert (my_gpt / "course.toml").read_bytes() == (newer / "course.toml").read_bytes()


def test_a_folder_without_a_record(my_gpt, newer, updated):
    """An older one, or one that came without its .course: what differs may have been edited."""
    toy_course.solve(my_gpt, "count_up")
    old = (my_gpt / f"{CH3}/test_attention.py").read_bytes()
    for damage in (None, "{", "[]", '{"hashes": 1, "stubs": 2}'):
        if damage is None:
            shutil.rmtree(my_gpt / ".course")
        else:
            (my_gpt / handed_out.RECORD).write_text(damage)
        assert "Nothing to do" in updated()
        assert json.loads((my_gpt / handed_out.RECORD).read_text())["hashes"]
        assert (my_gpt / ".course/.gitignore").read_text() == "*\n"

    shutil.rmtree(my_gpt / ".course")
    new_checks(newer)
    edit(newer / f"{CH3}/attention.py", "The numbers from 0 to n - 1.", "Count.")
    (newer / f"{CH3}/expected.safetensors").write_bytes(b"newer")
    module = (my_gpt / f"{CH3}/attention.py").read_bytes()
    said = updated()
    assert "- The numbers from 0 to n - 1." in said and "+ Count." in said
    assert (my_gpt / f"{CH3}/test_attention.py.before-update-1").read_bytes() == old
    assert (my_gpt / f"{CH3}/attention.py").read_bytes() == module
    assert (my_gpt / f"{CH3}/expected.safetensors").read_bytes() == b"newer"
    assert len(list(my_gpt.rglob("*before-update*"))) == 1
    assert "Nothing to do" in updated()


@pytest.mark.parametrize("when", ["written", "moved"])
def test_whole_or_not_at_all(my_gpt, newer, refused, monkeypatch, when):
    new_checks(newer)
    edit(my_gpt / f"{CH3}/test_attention.py", "SIZE = 3", "SIZE = 5")
    (newer / f"{CH4}/expected.safetensors").write_bytes(b"newer")
    before, done = contents(my_gpt), []
    name, inner = {"written": ("fsync", os.fsync), "moved": ("replace", os.replace)}[when]

    def fail_late(*arguments):
        done.append(arguments)
        if len(done) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return inner(*arguments)

    monkeypatch.setattr(update.os, name, fail_late)
    assert "the disk is full" in refused("update")
    assert len(done) == 3
    assert contents(my_gpt) == before
    assert update.is_there(Workplace(my_gpt))


def test_the_map_tells_of_an_update(my_gpt, newer, course, capsys):
    course()
    assert "course update" not in capsys.readouterr().out
    new_checks(newer)
    course()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "course update" in line] == [
        "This folder is not up to the installed course: course update"
    ]


def test_the_courses_own_copy_is_refused(hand_out, monkeypatch, refused):
    monkeypatch.chdir(hand_out.parent)
    before = contents(hand_out)
    assert "the installed course's own copy" in refused("update")
    assert not update.is_there(Workplace(hand_out.parent))
    assert contents(hand_out) == before


def test_a_syntax_error_hides_no_update(my_gpt, newer, updated):
    module = my_gpt / f"{CH3}/attention.py"
    module.write_text("def oops(:\n")
    edit(newer / f"{CH3}/attention.py", "The numbers from 0 to n - 1.", "Count.")
    assert '+ """Count."""' in updated()
    shutil.rmtree(my_gpt / ".course")
    assert "Nothing to do" in updated()
    assert module.read_text() == "def oops(:\n"
