"""Which file of a submission counts, whose it is, and when that is a question."""

import os

import pytest

from grader.errors import GraderError
from grader.intake import HandedIn, take_in, take_in_one
from tests.grader.handed_in import CODE, MODULES, notebook, one, tar_bytes, write, zip_bytes

PLACES = [
    "attention.py",
    "ch3/attention.py",
    "exercises/ch3/attention.py",
    "my-gpt/attention.py",
    "my-gpt/exercises/ch3/attention.py",
    "my-gpt/my-gpt/ch3/attention.py",
    "Exercises/CH3/Attention.py",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("packed", ["folder", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_module_is_found_in_every_place(tmp_path, place, packed):
    files = {
        place: CODE,
        place.replace("attention.py", "notes.txt").replace("Attention.py", "notes.txt"): "x",
    }
    if packed == "folder":
        write(tmp_path / "alice", files)
    elif packed == "zip":
        (tmp_path / "alice.zip").write_bytes(zip_bytes(files))
    else:
        mode = "w" + packed.removeprefix("tar").replace(".", ":")
        (tmp_path / f"alice.{packed}").write_bytes(tar_bytes(files, mode))
    submission = one(tmp_path)
    assert (submission.student, submission.problems) == ("alice", ())
    assert submission.modules == {"ch3": HandedIn("ch3", place, CODE)}


@pytest.mark.parametrize(
    "place", ["ch3.ipynb", "ch3/ch3.ipynb", "exercises/ch3/ch3.ipynb", "my-gpt/ch3.ipynb"]
)
def test_a_notebook_is_found_in_every_place(tmp_path, place):
    write(tmp_path / "alice", {place: notebook(CODE)})
    assert one(tmp_path).modules["ch3"].source == CODE


def test_several_chapters_and_one_that_is_not_there(tmp_path):
    write(
        tmp_path / "alice", {"ch3/attention.py": CODE, "ch4/block.py": "B = 1\n", "ch5/model.py": "M = 1\n"}
    )
    write(tmp_path / "bob", {"block.py": "B = 2\n"})
    alice, bob = take_in(tmp_path, MODULES)
    assert {chapter: module.source for chapter, module in alice.modules.items()} == {
        "ch3": CODE,
        "ch4": "B = 1\n",
    }
    assert set(bob.modules) == {"ch4"} and bob.problems == ()


def test_one_folder_further_down_counts_only_where_nothing_else_does(tmp_path):
    write(
        tmp_path / "alice",
        {"report.pdf": "x", "my work/exercises/ch3/attention.py": CODE, "old/block.py": "B = 1\n"},
    )
    write(tmp_path / "bob", {"attention.py": CODE, "old/attention.py": "OLD = 1\n"})
    alice, bob = take_in(tmp_path, MODULES)
    assert alice.modules["ch3"].name == "my work/exercises/ch3/attention.py"
    assert alice.modules["ch4"].name == "old/block.py"
    assert bob.modules["ch3"].name == "attention.py"


def test_the_courses_own_folders_are_no_place(tmp_path):
    write(
        tmp_path / "alice",
        {"README.md": "x", "solutions/ch3/attention.py": CODE, "course/attention.py": CODE},
    )
    assert one(tmp_path).modules == {}


# ---- questions ----


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (
            {"attention.py": CODE, "ch3/attention.py": "A = 1\n"},
            "attention.py and ch3/attention.py are all there",
        ),
        (
            {"a/attention.py": CODE, "b/attention.py": "A = 1\n"},
            "a/attention.py and b/attention.py are all there",
        ),
        (
            {"ch3/attention.py": CODE, "ch3/ch3.ipynb": notebook(CODE)},
            "ch3/attention.py and ch3/ch3.ipynb are all",
        ),
        ({"attention.py": CODE, "Attention.py": "A = 1\n"}, "Attention.py and attention.py are all there"),
    ],
)
def test_several_candidates_are_a_question(tmp_path, files, named):
    write(tmp_path / "alice", files)
    (tmp_path / "bob.zip").write_bytes(zip_bytes(files))
    for submission in take_in(tmp_path, {"ch3": "attention"}):
        module = submission.modules["ch3"]
        assert module.source == "" and named in module.problem


def test_two_entries_of_one_name_are_a_question(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        (tmp_path / "alice.zip").write_bytes(zip_bytes([("attention.py", CODE), ("attention.py", "A = 1\n")]))
    problem = one(tmp_path).modules["ch3"].problem
    assert problem == "attention.py is there 2 times, and not the same: keep the one that counts"


def test_the_same_bytes_twice_are_no_question(tmp_path):
    write(tmp_path / "alice", {"attention.py": CODE, "exercises/ch3/attention.py": CODE})
    assert one(tmp_path).modules["ch3"].source == CODE


def test_a_stub_is_no_rival_but_counts_alone(tmp_path):
    stub = "def causal_mask(size):\n    raise NotImplementedError\n"
    write(
        tmp_path / "alice",
        {"exercises/ch3/attention.py": stub.replace("\n", "\r\n"), "ch3.ipynb": notebook(CODE)},
    )
    write(tmp_path / "bob", {"exercises/ch3/attention.py": stub})
    alice, bob = take_in(tmp_path, {"ch3": "attention"}, stubs={"ch3": stub})
    assert alice.modules["ch3"].name == "ch3.ipynb" and bob.modules["ch3"].source == stub


@pytest.mark.parametrize(
    "name", ["attention (1).py", "attention.py.txt", "CH3-final.ipynb", "a/b/c/d/attention.py"]
)
def test_a_name_that_is_nearly_right_is_named_and_not_taken(tmp_path, name):
    (tmp_path / "alice.zip").write_bytes(zip_bytes({name: CODE, "x.txt": ""}))
    submission = one(tmp_path)
    assert submission.modules == {} and len(submission.problems) == 1
    assert submission.problems[0].startswith(f"ch3: {name}: ")


def test_nothing_to_grade_is_said(tmp_path):
    (tmp_path / "alice").mkdir()
    write(tmp_path / "bob", {"essay.txt": "x"})
    for submission, name in zip(take_in(tmp_path, MODULES), ("alice", "bob"), strict=True):
        wanted = "attention.py or ch3.ipynb, block.py or ch4.ipynb"
        assert submission.problems == (f"{name} holds nothing that is looked for: {wanted}",)


# ---- single files ----


def test_a_file_a_student_when_one_chapter_is_graded(tmp_path):
    write(tmp_path, {"alice.py": CODE, "bob.ipynb": notebook(CODE), "carol.PY": CODE})
    taken = take_in(tmp_path, {"ch3": "attention"})
    assert [(s.student, s.modules["ch3"].source, s.modules["ch3"].name) for s in taken] == [
        ("alice", CODE, "alice.py"),
        ("bob", CODE, "bob.ipynb"),
        ("carol", CODE, "carol.PY"),
    ]


def test_a_file_a_student_is_a_question_when_several_chapters_are_graded(tmp_path):
    write(tmp_path, {"alice.py": CODE})
    submission = one(tmp_path, MODULES)
    assert submission.modules == {}
    assert submission.problems == (
        "alice.py does not say its chapter, and ch3, ch4 are graded: grade one at a time",
    )


def test_a_file_named_after_a_chapter_says_no_student(tmp_path):
    write(tmp_path, {"attention.py": CODE, "bob.py": CODE})
    attention, bob = take_in(tmp_path, {"ch3": "attention"})
    assert "named after a chapter" in attention.problems[0] and bob.problems == ()


def test_one_students_folder_is_no_class(tmp_path):
    write(tmp_path, {"exercises/ch3/attention.py": CODE})
    with pytest.raises(GraderError, match="looks like one student's work"):
        take_in(tmp_path, {"ch3": "attention"})


@pytest.mark.parametrize("name", ["alice.docx", "alice", "alice.rar"])
def test_other_files_are_named(tmp_path, name):
    write(tmp_path, {name: "no archive"})
    submission = one(tmp_path)
    assert submission.modules == {} and submission.problems[0].startswith(f"{name} is neither")


def test_one_submission_by_its_path(tmp_path):
    write(tmp_path / "alice", {"attention.py": CODE, "ch3.ipynb": notebook("X = 1")})
    (tmp_path / "bob.zip").write_bytes(zip_bytes({"attention.py": CODE}))
    os.symlink(tmp_path / "bob.zip", tmp_path / "link.zip")
    for path in ("alice/attention.py", "bob.zip", "link.zip"):
        assert take_in_one(tmp_path / path, MODULES).modules["ch3"].source == CODE
    assert take_in_one(tmp_path / "alice/ch3.ipynb", MODULES).modules["ch3"].source == "X = 1\n"
    with pytest.raises(GraderError, match="nothing to grade at"):
        take_in_one(tmp_path / "carol", MODULES)


def test_no_folder_is_the_users_mistake(tmp_path):
    write(tmp_path, {"alice.py": CODE})
    for path in ("nowhere", "alice.py"):
        with pytest.raises(GraderError, match=path):
            take_in(tmp_path / path, MODULES)


# ---- students ----


def test_what_systems_leave_behind_is_no_submission(tmp_path):
    write(
        tmp_path, {".DS_Store": "x", "Thumbs.db": "x", "__MACOSX/alice/attention.py": "x", ".git/config": "x"}
    )
    write(
        tmp_path / "alice",
        {"attention.py": CODE, ".ipynb_checkpoints/attention.py": "x", "._attention.py": "x"},
    )
    write(
        tmp_path / "alice",
        {"__MACOSX/attention.py": "x", "__pycache__/attention.py": "x", ".git/attention.py": "x"},
    )
    assert one(tmp_path).modules["ch3"].source == CODE


def test_an_unpacked_archive_beside_the_archive_is_one_submission(tmp_path):
    write(tmp_path / "alice", {"attention.py": CODE})
    (tmp_path / "alice.zip").write_bytes(zip_bytes({"attention.py": CODE}))
    assert one(tmp_path).modules["ch3"].source == CODE


@pytest.mark.parametrize(
    ("first", "second"), [("alice", "alice.zip"), ("Alice.zip", "alice.tar"), ("Zoe\u0308", "Zo\u00eb.zip")]
)
def test_two_different_submissions_of_one_name_are_a_question(tmp_path, first, second):
    for name, code in ((first, CODE), (second, "A = 1\n")):
        if "." in name:
            (tmp_path / name).write_bytes(zip_bytes({"attention.py": code}))
        else:
            write(tmp_path / name, {"attention.py": code})
    submission = one(tmp_path)
    assert (
        submission.modules == {} and "are one student's by their names, and differ" in submission.problems[0]
    )


def test_submissions_come_in_order_and_one_bad_one_stops_nobody(tmp_path):
    write(tmp_path / "bob", {"attention.py": CODE})
    write(tmp_path, {"Alice.zip": b"PK\x03\x04 broken", "carol.py": CODE})
    taken = take_in(tmp_path, {"ch3": "attention"})
    assert [submission.student for submission in taken] == ["Alice", "bob", "carol"]
    assert [bool(submission.modules) for submission in taken] == [False, True, True]


def test_a_fault_of_the_grader_stops_nobody_either(tmp_path, monkeypatch):
    write(tmp_path, {"alice.py": CODE, "bob.ipynb": notebook(CODE)})
    monkeypatch.setattr("grader.intake.notebook_module", lambda *_: 1 / 0)
    alice, bob = take_in(tmp_path, {"ch3": "attention"})
    assert alice.modules and not bob.modules
    assert bob.problems == (
        "bob.ipynb could not be taken in, and the grader is at fault (ZeroDivisionError: division by zero)",
    )
