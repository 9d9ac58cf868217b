"""From a system's download back into its own file: nobody is lost, and nobody's points are another's."""

import csv
import dataclasses
import io
import json
import random

from grader.class_intake import take_in_class
from grader.course_file import load_course
from grader.csv_file import CsvFile
from grader.exports import Wanted, export
from grader.hand_in import with_hand_in
from grader.results import Results
from grader.roster import read_roster
from tests.grader.downloads import (
    canvas_gradebook,
    canvas_name,
    gradescope_export,
    moodle_folder,
    moodle_worksheet,
)
from tests.grader.handed_in import zip_bytes
from tests.grader.report_samples import COURSE, report

FIRST = ["Jane", "Zoë", "O'Neil", "Jean-Luc", "Li_Wei", "Анна", "José María", "X"]
LAST = ["Doe", "van der Berg", "Ŝmith", "_77_", "Nguyễn", "D’Arcy, Jr.", "=cmd"]


def judge(results: Results, submissions: list, course) -> None:
    """What a judge would find in each, straight from its source."""
    states = dict.fromkeys(course.chapters["ch3"].points, "failed")
    for one in submissions:
        points = int(one.modules["ch3"].source.split("=")[1])
        judged = report(one.student, course=course, states=states)
        judged["exercises"][1] |= {"points": points, "max": 100}
        judged["exercises"][0]["max"] = judged["exercises"][2]["max"] = 0
        results.write_report(with_hand_in(judged | {"points": points}, one, course))


def test_a_thousand_through_canvas(tmp_path, capsys):
    draw = random.Random(5)
    people = [
        (f"{draw.choice(LAST)}, {draw.choice(FIRST)}", 10_000 + 7 * n, f"login{n}") for n in range(1000)
    ]
    columns = {"Quiz (1)": "5.00", "Attention (2)": "100.00", "Attention, again (3)": "100.00"}
    old = {user: [str(n % 6), "", "N/A" if n % 50 == 0 else "1"] for n, (_, user, _) in enumerate(people)}
    gradebook = canvas_gradebook(people, columns, "\ufeff", "\r\n", old)
    (tmp_path / "gradebook.csv").write_bytes(gradebook)
    absent = {user for _, user, _ in people[::100]}
    files = {}
    for n, (name, user, _) in enumerate(people):
        source = f"POINTS = {n % 101}\n"
        if user in absent:
            continue
        if n % 3 == 0:
            inner = zip_bytes({"my-gpt/exercises/ch3/attention.py": source})
            files[canvas_name(name, user, 5_000_000 + n, "my-gpt.zip", late=n % 7 == 0)] = inner
        else:
            called = "attention.py" if n % 2 else f"attention-{n % 9}.py"
            files[canvas_name(name, user, 5_000_000 + n, called, late=n % 7 == 0)] = source
    (tmp_path / "submissions.zip").write_bytes(zip_bytes(files))

    roster = read_roster(tmp_path / "gradebook.csv")
    taken = take_in_class(tmp_path / "submissions.zip", {"ch3": "attention"}, roster=roster)
    assert (taken.system, taken.questions, len(taken.submissions)) == ("canvas", [], 990)
    assert set(taken.absent) == {login for _, user, login in people if user in absent}

    (tmp_path / "course.toml").write_text(COURSE)
    course = load_course(tmp_path / "course.toml")
    results = Results(tmp_path / "results")
    judge(results, taken.submissions, course)
    results.write_grades(course, ["ch3"])
    graded = (results.path / "grades.csv").read_text().splitlines()
    assert len(graded) == 991

    wanted = Wanted(
        results.path, tmp_path / "new.csv", canvas=tmp_path / "gradebook.csv", column="Attention (2)"
    )
    export(wanted, course)
    assert "990 rows set, 0 so already" in capsys.readouterr().out
    before = list(csv.reader(io.StringIO(gradebook.decode("utf-8-sig"), newline="")))
    new = (tmp_path / "new.csv").read_bytes()
    after = list(csv.reader(io.StringIO(new.decode("utf-8-sig"), newline="")))
    assert len(after) == len(before) == 1003
    for n, (old_row, new_row) in enumerate(zip(before, after, strict=True)):
        user = people[n - 3][1] if n >= 3 else None
        expected = [*old_row]
        if user is not None and user not in absent:
            expected[6] = f"{(n - 3) % 101}.00"
        assert new_row == expected
    emptied = CsvFile(new, "new.csv")
    for n, row in enumerate(after[3:], 3):
        if row[6]:
            emptied.set(n, 6, "")
    assert emptied.data() == gradebook  # byte for byte
    again = dataclasses.replace(wanted, canvas=tmp_path / "new.csv", overwrite=True)
    export(again, course)
    assert (tmp_path / "new.csv").read_bytes() == new
    assert "0 rows set, 990 so already" in capsys.readouterr().out


def test_moodle_without_a_roster(tmp_path, capsys):
    """The ids in the download's names are those of the worksheet, so that equal names do not matter."""
    draw = random.Random(6)
    people = [
        (f"{draw.choice(FIRST)} {draw.choice(LAST)}".replace("_", " "), 900 + n, f"{n}@x.edu")
        for n in range(300)
    ]
    worksheet = moodle_worksheet(people)
    (tmp_path / "worksheet.csv").write_bytes(worksheet)
    files = {
        f"{moodle_folder(name, identifier)}/attention.py": f"POINTS = {n % 101}\n"
        for n, (name, identifier, _) in enumerate(people)
    }
    (tmp_path / "submissions.zip").write_bytes(zip_bytes(files))
    taken = take_in_class(tmp_path / "submissions.zip", {"ch3": "attention"})
    assert (taken.system, taken.questions, len(taken.submissions)) == ("moodle", [], 300)
    (tmp_path / "course.toml").write_text(COURSE)
    course = load_course(tmp_path / "course.toml")
    results = Results(tmp_path / "results")
    judge(results, taken.submissions, course)
    export(Wanted(results.path, tmp_path / "new.csv", moodle=tmp_path / "worksheet.csv"), course)
    assert "300 rows set" in capsys.readouterr().out
    new = CsvFile((tmp_path / "new.csv").read_bytes(), "new.csv")
    assert [row[4] for row in new.rows[1:]] == [f"{n % 101}.00" for n in range(300)]
    for n in range(1, 301):
        new.set(n, 4, "")
    assert new.data() == worksheet


def test_gradescope_in_and_out(tmp_path):
    files = gradescope_export(
        {
            n: (
                [(f"Name {n}", f"s{n}", f"{n}@x.edu")],
                "2026-10-01 20:00:00 Z",
                {"attention.py": f"POINTS = {n}\n"},
            )
            for n in range(100)
        }
    )
    (tmp_path / "export.zip").write_bytes(zip_bytes(files))
    taken = take_in_class(tmp_path / "export.zip", {"ch3": "attention"})
    (tmp_path / "course.toml").write_text(COURSE)
    course = load_course(tmp_path / "course.toml")
    results = Results(tmp_path / "results")
    judge(results, taken.submissions, course)
    export(Wanted(results.path, tmp_path / "out", gradescope=True), course)
    for n in range(100):
        found = json.loads((tmp_path / "out" / f"{n}@x.edu" / "results.json").read_text())
        assert found["score"] == n == sum(test["score"] for test in found["tests"])
