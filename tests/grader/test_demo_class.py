"""The made-up class of `make demo` and of the ten-minute page."""

from grader.class_intake import take_in_class
from grader.demo_class import write_canvas, write_class
from grader.roster import read_roster

MODULES = {"ch3": "attention"}
STUDENTS = ["ada", "blaise", "carl", "emmy", "mallory", "sofia"]


def test_as_a_folder_and_as_canvas_has_it(tmp_path):
    assert write_class(tmp_path / "folder") == STUDENTS == write_canvas(tmp_path / "canvas")
    assert write_class(tmp_path / "folder") == STUDENTS  # a second time into the same folder
    plain = take_in_class(tmp_path / "folder", MODULES)
    roster = read_roster(tmp_path / "canvas/gradebook.csv")
    canvas = take_in_class(tmp_path / "canvas/submissions.zip", MODULES, roster=roster)
    for one in (plain, canvas):
        assert [submission.student for submission in one.submissions] == STUDENTS
        assert not one.questions and not one.absent
    for submission, same in zip(plain.submissions, canvas.submissions, strict=True):
        assert submission.modules["ch3"].source == same.modules["ch3"].source
