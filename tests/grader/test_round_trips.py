"""A thousand submissions through Canvas in and Canvas out: nobody is lost, nobody's points are another's."""

import csv
import dataclasses
import io
import random

from grader.class_intake import take_in_class
from grader.course_file import load_course
from grader.csv_file import CsvFile
from grader.exports import Wanted, export
from grader.hand_in import with_hand_in
from grader.results import Results
from grader.roster import read_roster
from tests.grader.downloads import canvas_gradebook, canvas_name
from tests.grader.handed_in import zip_bytes
from tests.grader.report_samples import COURSE, report

FIRST = ["Jane", "Zoë", "O'Neil", "Jean-Luc", "Li_Wei", "Анна", "José María", "X"]
LAST = ["Doe", "van der Berg", "Ŝmith", "_77_", "Nguyễn", "D’Arcy, Jr.", "=cmd"]


def test_a_thousand(tmp_path, capsys):
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
    states = dict.fromkeys(course.chapters["ch3"].points, "failed")
    for one in taken.submissions:  # what a judge would find in each, straight from its source
        points = int(one.modules["ch3"].source.split("=")[1])
        judged = report(one.student, course=course, states=states)
        judged["exercises"][1] |= {"points": points, "max": 100}
        judged["exercises"][0]["max"] = judged["exercises"][2]["max"] = 0
        results.write_report(with_hand_in(judged | {"points": points}, one, course))
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
