"""The made-up class of `make demo` and of the ten-minute page."""

import pytest

from grader.class_intake import take_in_class
from grader.demo_class import main, write_canvas, write_class
from grader.roster import read_roster

MODULES = {"ch3": "attention"}
STUDENTS = ["ada", "blaise", "carl", "emmy", "mallory", "sofia"]


def test_as_a_folder_and_as_canvas_has_it(tmp_path):
    assert write_class(tmp_path / "folder") == STUDENTS == write_canvas(tmp_path / "canvas")
    plain = take_in_class(tmp_path / "folder", MODULES)
    roster = read_roster(tmp_path / "canvas/gradebook.csv")
    canvas = take_in_class(tmp_path / "canvas/submissions.zip", MODULES, roster=roster)
    for one in (plain, canvas):
        assert [submission.student for submission in one.submissions] == STUDENTS
        assert not one.questions and not one.absent
    for submission, same in zip(plain.submissions, canvas.submissions, strict=True):
        assert submission.modules["ch3"].source == same.modules["ch3"].source


def test_a_folder_with_something_in_it_stays_as_it_is(tmp_path, capsys):
    mine = tmp_path / "class" / "ada.zip"
    mine.parent.mkdir()
    mine.write_text("my own")
    with pytest.raises(SystemExit) as end:
        main([str(mine.parent)])
    assert end.value.code == 2 and "is there already" in capsys.readouterr().err
    assert mine.read_text() == "my own" and list(mine.parent.iterdir()) == [mine]
    main([str(mine.parent), "--overwrite"])
    assert mine.read_bytes().startswith(b"PK")
    (tmp_path / "empty").mkdir()
    main([str(tmp_path / "empty")])
    assert len(list((tmp_path / "empty").iterdir())) == len(STUDENTS)
