"""The course's own proof, chapter by chapter; and that each part of it can fail."""

import sys
from pathlib import Path

import pytest

from grader.course_folder import CourseFolder
from grader.hand_out import write_exercises
from grader.selftest import WIDTH, closing, header, prove, row
from tests.grader.toy_course import MODULE, SECOND_CHAPTER, write_toy_course

ROOT = Path(__file__).parents[2]
COURSE = CourseFolder(ROOT)


@pytest.mark.parametrize("chapter", COURSE.chapters)
def test_the_chapter_holds(chapter):
    assert prove(COURSE, chapter).lines == []


# ---- a toy course, with one thing wrong at a time ----


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [*sys.path])
    write_toy_course(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("toy_reference")]:
        del sys.modules[name]


def proved(root: Path, release: bool = True):
    folder = CourseFolder(root)
    if release:
        write_exercises(folder.chapter("ch1"))
    return prove(folder, "ch1")


def test_a_sound_course_holds(toy):
    report = proved(toy)
    assert report.lines == []
    assert report.counts == {"exercise": 3, "check": 6, "misconception": 3}


SOLUTION = "toy_reference/ch1/sums.py"
PUBLIC, HIDDEN = "toy_reference/ch1/test_sums.py", "tests/ch1/test_sums.py"
TURNS, HINTS = "toy_reference/ch1/misconceptions.toml", "course/hints/ch1.toml"

PLANTED = [
    # file, what stands there, what is put in its place, the proof that finds it, and what it says
    (SOLUTION, "    ### END SOLUTION\n\n\nclass", "\n\nclass", "layout", "sums.py:29: '### BEGIN SOLUTION'"),
    (SOLUTION, "### BEGIN", "## BEGIN", "layout", "sums.py:14: '## BEGIN SOLUTION' is no marker"),
    ("course.toml", "coin = 30", "cone = 30", "layout", "coin has no points in course.toml"),
    ("course.toml", "coin = 30", "cone = 30", "layout", "cone is no exercise of the chapter"),
    ("course.toml", '"sums"', '"sum"', "layout", "names the module 'sum', and it is 'sums'"),
    (HINTS, '"coin"', '"Mixer"', "layout", "coin has no hints in course/hints/ch1.toml"),
    (HINTS, '", "Look at randint."', '"', "layout", "coin needs two or more levels"),
    (HIDDEN, '@check("coin")', '@check("Mixer")', "layout", "coin has no checks in tests/ch1/test_sums.py"),
    (PUBLIC, 'SHARED = ("WIDTH",)', "SHARED = ()", "layout", "mixes uses WIDTH, which would not travel"),
    (SOLUTION, "    spread = x", "    ### END SOLUTION\n    spread = x", "layout", "sums.py:18: '### END"),
    (
        HIDDEN,
        "sums.standardise(draw.normal(6))",
        "None",
        "stub",
        "hidden mean_and_spread",
    ),
    (PUBLIC, "sums.standardise(draw.normal(6))", "sums.standardise(draw.normal(6)) is None", "lazy", "zeros"),
    (HIDDEN, ', forbidden="F.layer_norm"', "", "library", "one-liner passes every hidden check"),
    (PUBLIC, "400 <", "900 <", "solved", "public, inputs 'public': fair (coin): wrong"),
    (PUBLIC, "400 <", "900 <", "solved", "70 of 100 points"),
    ("tests/ch1/another_way.py", "numel()", "numel() * 2", "again", "inputs 'other inputs': mean_and"),
    (HIDDEN, "draw.normal(6)", "draw.tensor([1.0, -1.0])", "turns", "not-centred (standardise) passes every"),
    (TURNS, '"dim=0"', '"dim=1"', "turns", "wrong-axis (Mixer) passes every public check"),
    (PUBLIC, "400 < seen.sum() < 600", "0 <= seen.sum()", "made-up", "public fair accepts zeros"),
    (
        PUBLIC,
        "not 400 <",
        "seen.nothing <",
        "made-up",
        "fair, zeros: the accept",
    ),
    (HINTS, "Look at mean and std.", "(x - x.mean()) / (spread + 1e-9)", "leaks", "course/hints/ch1.toml:3"),
    (SOLUTION, "tensor([-1.,  1.])", "tensor([-2.,  2.])", "docs", "the example of sums.standardise fails"),
    (SOLUTION, "Example:\n        >>> coin(3)", "Eg:\n        >>> coin(3)", "docs", "coin has no example"),
]


@pytest.mark.parametrize(("file", "old", "new", "proof", "says"), PLANTED)
def test_a_planted_fault_is_found(toy, file, old, new, proof, says):
    text = (toy / file).read_text()
    assert old in text
    (toy / file).write_text(text.replace(old, new, 1))
    report = proved(toy, release=proof != "layout")
    assert [line for line in report.problems[proof] if says in line], report.lines


def test_misconceptions_that_cannot_be_told_apart(toy):
    turns = toy / TURNS
    twin = turns.read_text().split("\n\n")[1].replace("wrong-axis", "the-same").replace("dim=0", "dim=-2")
    turns.write_text(f"{turns.read_text()}\n{twin}\n")
    report = proved(toy)
    assert report.problems["turns"] == [
        "wrong-axis (Mixer) is not named, or never without another",
        "the-same (Mixer) is not named, or never without another",
    ]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("", "", None),
        ("sums.standardise(x), ", "x, ", "and not blamed on ch1, which has not-centred"),
        ("draw.normal(6)\n    return", "draw.tensor([1.0, -1.0])\n    return", "every misconception of ch1"),
    ],
)
def test_an_assembled_check_is_to_find_earlier_wrong_turns(toy, old, new, says):
    write_toy_course(toy, SECOND_CHAPTER)
    hidden = toy / "tests/ch2/test_twice.py"
    assert old in hidden.read_text()
    hidden.write_text(hidden.read_text().replace(old, new, 1))
    folder = CourseFolder(toy)
    write_exercises(folder.chapter("ch1"))
    write_exercises(folder.chapter("ch2"))
    report = prove(folder, "ch2")
    assert len(report.lines) == bool(says), report.lines
    assert all(says in line for line in report.problems["turns"])


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (SOLUTION, "A toy.", "A play.", "exercises/ch1/sums.py is not what release writes"),
        (PUBLIC, "draw.normal(6)", "draw.normal(7)", "expected.safetensors is out of date"),
        (TURNS, "stays in.", "stays in it.", "expected.safetensors is out of date"),
        (SOLUTION, "1e-9", "1e-1", "expected.safetensors is out of date"),
    ],
)
def test_what_was_released_before_a_change_is_not_current(toy, file, old, new, says):
    write_exercises(CourseFolder(toy).chapter("ch1"))
    for name in [name for name in sys.modules if name.startswith("toy_reference")]:
        del sys.modules[name]
    (toy / file).write_text((toy / file).read_text().replace(old, new, 1))
    found = proved(toy, release=False).problems["current"]
    assert [line for line in found if says in line], found


def test_a_stray_file_in_exercises(toy):
    (toy / "exercises/ch1").mkdir(parents=True)
    (toy / "exercises/ch1/old.py").touch()
    (toy / "exercises/ch1/__pycache__").mkdir()
    assert proved(toy).problems["current"] == ["exercises/ch1/old.py does not come from release: delete it"]


def test_without_order_in_the_files_nothing_else_is_proved(toy):
    (toy / HINTS).unlink()
    report = proved(toy, release=False)
    assert report.lines == ["ch1 layout: there is no course/hints/ch1.toml"]
    assert {name for name, found in report.problems.items() if found is None} == {*report.problems} - {
        "layout"
    }


def test_the_table_fits_a_terminal(toy):
    report = proved(toy)
    report.seconds = 123.4
    report.problems["lazy"] = ["one"] * 1000
    lines = [header(), row(report), closing([report])]
    assert len(lines[0]) == len(lines[1]) == WIDTH
    assert lines[1].split() == ["ch1", "ok", "ok", "1000", *["ok"] * 8, "123s"]
    assert lines[2] == "1 chapter, 3 exercises, 6 checks, 3 misconceptions: 1000 problems"
    assert MODULE.count("BEGIN SOLUTION") == 4
