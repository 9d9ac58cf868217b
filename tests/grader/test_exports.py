"""Grades into what other systems take: Canvas's gradebook, Moodle's worksheet, Gradescope, JUnit, CSV."""

import csv
import io
import json
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from grader.course_file import load_course
from grader.csv_file import CsvFile
from grader.errors import GraderError
from grader.exports import Wanted, export
from grader.gradebooks import Graded, into_canvas, into_moodle
from grader.results import Results
from tests.grader.downloads import canvas_gradebook, moodle_worksheet
from tests.grader.report_samples import COURSE, check, half_done, report

STUDENTS = [("Doe, Jane", 1, "jdoe"), ("Roe, Rob", 2, "rroe"), ("Poe, Éva", 3, "epoe"), ("Test", 4, "t")]
JANE = Graded("jane", {"canvas_id": "1"}, Decimal("81.25"))


@pytest.fixture
def course(tmp_path):
    path = tmp_path / "course.toml"
    path.write_text(COURSE)
    return load_course(path)


def changed(before: bytes, file: CsvFile) -> list[tuple[str, str]]:
    """The lines that differ; there must be as many as before."""
    old, new = before.split(b"\n"), file.data().split(b"\n")
    assert len(old) == len(new)
    return [(a.decode(), b.decode()) for a, b in zip(old, new, strict=True) if a != b]


# ---- Canvas ----


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_canvas_has_one_column_set_and_all_else_as_it_was(mark, end):
    columns = {"Chapter 3 (77)": "100.00", "Essay, short (78)": "10.00"}
    old = {1: ["", '"9,5"'], 2: ["50.00", "3"], 3: ["81.25", ""], 4: ["EX", ""]}
    before = canvas_gradebook(STUDENTS, columns, mark, end, old)
    file = CsvFile(before, "g.csv")
    graded = [
        JANE,
        Graded("rob", {"canvas_id": "2"}, Decimal("0.00")),
        Graded("epoe", {}, Decimal("81.25")),
        Graded("t", {}, Decimal("1")),
        Graded("who", {"canvas_id": "99"}, Decimal("5")),
        Graded("faulty", {"sid": "S4"}, None),
    ]
    merged = into_canvas(file, graded[:3] + graded[4:5], "Chapter 3", [], 100)
    assert (merged.column, merged.written, merged.same) == ("Chapter 3 (77)", 2, 1)
    assert merged.remarks == ["not in the file, 1: who"]
    jane = '"Doe, Jane",1,S1,jdoe,Section 1,{},"""9,5""",93.12' + end[:-1]
    rob = '"Roe, Rob",2,S2,rroe,Section 1,{},3,93.12' + end[:-1]
    assert changed(before, file) == [
        (jane.format(""), jane.format("81.25")),
        (rob.format("50.00"), rob.format("0.00")),
    ]
    file = CsvFile(before, "g.csv")
    merged = into_canvas(file, graded[3:4], "Chapter 3", [], 100)
    assert merged.remarks == ["left as they are, 1: Test (excused)"] and file.data() == before
    merged = into_canvas(CsvFile(before, "g.csv"), graded[5:], "Essay, short (78)", [], 10)
    assert merged.remarks == [
        "left as they are, without a grade because the grader failed (grade again), 1: faulty"
    ]


def test_canvas_asks_for_the_column():
    columns = {"Chapter 3 (77)": "100.00", "Attention (78)": "100.00", "Attention (79)": "100.00"}
    data = canvas_gradebook(STUDENTS, columns)
    for column, names, message in (
        (None, [], 'there are "Chapter 3 (77)", "Attention (78)", "Attention (79)"'),
        (None, ["attention"], "say which column with --column"),
        ("Attention", [], "say which column with --column"),
        ("Final Score!", [], "say which column with --column"),
    ):
        with pytest.raises(GraderError) as raised:
            into_canvas(CsvFile(data, "g.csv"), [JANE], column, names, 100)
        assert message in str(raised.value)
    for column, names, expected in (
        ("Attention (79)", [], "Attention (79)"),
        (None, ["ch3", "chapter 3"], "Chapter 3 (77)"),
    ):
        assert into_canvas(CsvFile(data, "g.csv"), [JANE], column, names, 100).column == expected
    only = canvas_gradebook(STUDENTS, {"Sums (5)": "100.00"})
    assert into_canvas(CsvFile(only, "g.csv"), [JANE], None, [], 100).column == "Sums (5)"


def test_the_only_column_is_not_taken_if_it_is_another_chapters():
    only = canvas_gradebook(STUDENTS, {"Chapter 3 (77)": "100.00"})
    with pytest.raises(GraderError, match="say which column with --column"):
        into_canvas(CsvFile(only, "g.csv"), [JANE], None, {"ch4", "Chapter 4", "The block"}, 100)
    column = "Chapter 3 (77)"
    assert into_canvas(CsvFile(only, "g.csv"), [JANE], column, {"ch4"}, 100).column == column


def test_canvas_points_possible_must_agree():
    data = canvas_gradebook(STUDENTS, {"Chapter 3 (77)": "20.00"})
    with pytest.raises(GraderError, match=r"Points Possible is 20.00, and the grades are out of 100"):
        into_canvas(CsvFile(data, "g.csv"), [JANE], None, [], 100)
    assert into_canvas(CsvFile(data, "g.csv"), [JANE], None, [], 20).written == 1
    with pytest.raises(GraderError, match="no gradebook of Canvas"):
        into_canvas(CsvFile(b"a,b\n1,2\n", "g.csv"), [JANE], None, [], 20)


def test_canvas_of_a_country_with_decimal_commas():
    data = canvas_gradebook(STUDENTS, {"Chapter 3 (77)": "100,00"}).replace(b'"100,00"', b"100,00")
    data = data.replace(b'"Doe, Jane"', b"Doe\0 Jane").replace(b",", b";").replace(b"\0", b",")
    data = data.replace(b"100;00", b"100,00").replace(b'"Roe; Rob"', b"Roe").replace(b'"Poe; ', b'"Poe ')
    file = CsvFile(data, "g.csv")
    assert into_canvas(file, [JANE], None, [], 100).written == 1
    assert [b for _, b in changed(data, file)] == ["Doe, Jane;1;S1;jdoe;Section 1;81,25;93.12"]


def test_a_row_that_two_claim_or_that_contradicts_is_left():
    data = canvas_gradebook(STUDENTS, {"Chapter 3 (77)": "100.00"})
    file = CsvFile(data, "g.csv")
    graded = [
        Graded("a", {"login": "jdoe"}, Decimal(1)),
        Graded("b", {"sid": "S1"}, Decimal(2)),
        Graded("c", {"canvas_id": "2", "login": "epoe"}, Decimal(3)),
    ]
    merged = into_canvas(file, graded, None, [], 100)
    assert file.data() == data and "the row of Doe, Jane is of a and b: whose is it?" in merged.remarks
    assert any(remark.startswith("not in the file, 3: a, b, c") for remark in merged.remarks)


# ---- Moodle ----


def test_moodle():
    people = [("Jane Doe", 1234567, "jane@x.edu"), ("Bob Roe", 1234568, "b@x.edu"), ("Cem", 3, "c@x.edu")]
    before = moodle_worksheet(people).replace(b"c@x.edu,", b"c@x.edu,", 1)
    before = before.replace(
        b'"Participant 3","Cem",c@x.edu,"Submitted for grading - ",,100.00,Yes',
        b'"Participant 3","Cem",c@x.edu,"Submitted for grading - ",,100.00,No',
    )
    file = CsvFile(before, "w.csv")
    graded = [
        Graded("jane", {"moodle_id": "1234567", "name": "Jane Doe"}, Decimal("81.25")),
        Graded("b@x.edu", {}, Decimal("7")),
        Graded("cem", {"email": "c@x.edu"}, Decimal("7")),
        Graded("Jane Doe", {"moodle_id": "9"}, Decimal("7")),
    ]
    merged = into_moodle(file, graded, None, ["Chapter 3"], 100)
    assert (merged.column, merged.written) == ("Grade", 2)
    assert merged.remarks == [
        "not in the file, 1: Jane Doe",
        "left as they are, 1: Cem (its grade cannot be changed)",
    ]
    assert [b.split(",")[4] for _, b in changed(before, file)] == ["81.25", "7"]
    with pytest.raises(GraderError, match=r"Maximum grade is 100\.00, and the grades are out of 20"):
        into_moodle(CsvFile(before, "w.csv"), graded, None, [], 20)
    with pytest.raises(GraderError, match="no column Identifier: download the worksheet in English"):
        into_moodle(CsvFile(b"Kennung,Bewertung\n1,2\n", "w.csv"), graded, None, [], 100)


# ---- the command ----


@pytest.fixture
def results(tmp_path, course):
    found = Results(tmp_path / "results")
    found.round("7")
    late = {"handed_in": "2026-10-03T09:00:00+00:00", "deadline": "2026-10-01T23:59:00+02:00", "factor": 0.8}
    found.write_report(half_done(course, "jane", ids={"canvas_id": "1", "email": "jane@x.edu"}, late=late))
    found.write_report(report("=bob", course=course, ids={"canvas_id": "2"}))
    fault = report("epoe", course=course, states={"Attention": "grader fault"}, faults=["x"])
    found.write_report(fault | {"points": 30})
    return found


def wanted(results, tmp_path, name, **more) -> Wanted:
    return Wanted(results.path, tmp_path / name, **more)


def test_canvas_from_results(tmp_path, course, results, capsys):
    before = canvas_gradebook(STUDENTS, {"Chapter 3 (77)": "100.00"})
    (tmp_path / "g.csv").write_bytes(before)
    export(wanted(results, tmp_path, "new.csv", canvas=tmp_path / "g.csv"), course)
    new = (tmp_path / "new.csv").read_bytes()
    rows = list(csv.reader(io.StringIO(new.decode(), newline="")))
    assert [row[5] for row in rows[3:]] == ["16.00", "100.00", "", ""]
    assert (tmp_path / "g.csv").read_bytes() == before
    told = capsys.readouterr().out
    assert "ch3 as 'Chapter 3 (77)', 2 rows set, 0 so already" in told
    assert "left as they are, without a grade because the grader failed (grade again), 1: epoe" in told
    with pytest.raises(GraderError, match=r"g\.csv is there already: name another, or give --overwrite"):
        export(wanted(results, tmp_path, "g.csv", canvas=tmp_path / "g.csv"), course)
    assert (tmp_path / "g.csv").read_bytes() == before
    export(wanted(results, tmp_path, "g.csv", canvas=tmp_path / "g.csv", overwrite=True), course)
    assert (tmp_path / "g.csv").read_bytes() == new


def test_rounding_and_maxima(tmp_path, results):
    path = tmp_path / "course.toml"
    path.write_text(COURSE + "\n[export]\ndecimals = 0\n\n[export.maxima]\nch3 = 50\n")
    course = load_course(path)
    (tmp_path / "g.csv").write_bytes(canvas_gradebook(STUDENTS, {"Attention (7)": "50.00"}))
    export(wanted(results, tmp_path, "new.csv", canvas=tmp_path / "g.csv"), course)
    rows = list(csv.reader(io.StringIO((tmp_path / "new.csv").read_text(), newline="")))
    assert [row[5] for row in rows[3:5]] == ["8", "50"]  # 20 points, of which 80 % count, of 100
    assert str(course.export.points(62.5, 100, "ch1")) == "63"
    assert str(course.export.points(1, 100, "ch3")) == "1"  # 0.5 is rounded up


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[export]\ndecimals = 9\n", "export.decimals must be from 0 to 6"),
        ("[export]\nplaces = 1\n", "export.places is no key"),
        ("[export.maxima]\nch9 = 1\n", "export.maxima.ch9 is no key"),
        ("[export.maxima]\nch3 = 0\n", "export.maxima.ch3 must be more than 0"),
    ],
)
def test_export_table_of_the_course_file(tmp_path, text, message):
    path = tmp_path / "course.toml"
    path.write_text(f"{COURSE}\n{text}")
    with pytest.raises(GraderError, match=message):
        load_course(path)


def test_who_could_not_be_graded_and_who_did_not_hand_in_is_said(tmp_path, course, results, capsys):
    for student, name in {"torn": "attention.py", "away": ""}.items():
        one = report(student, course=course, states=dict.fromkeys(course.chapters["ch3"].points, "missing"))
        results.write_report(one | {"submission": {"name": name, "problem": "no text"}})
    export(wanted(results, tmp_path, "t.csv", csv=True), course)
    assert "torn,,,0.00\n" in (tmp_path / "t.csv").read_text()
    said = [line.strip() for line in capsys.readouterr().out.splitlines()[1:]]
    assert said == [
        "left empty, since the grader failed (grade again), 1: epoe (ch3)",
        "handed in what could not be graded (the feedback page says why), so with 0 points but those set by"
        " hand, 1: torn (ch3)",
        "did not hand in, so with 0 points but those set by hand, 1: away (ch3)",
    ]


def test_csv(tmp_path, course, results):
    export(wanted(results, tmp_path, "t.csv", csv=True), course)
    assert (tmp_path / "t.csv").read_text() == (
        "student,canvas_id,email,ch3\n'=bob,2,,100.00\nepoe,,,\njane,1,jane@x.edu,16.00\n"
    )


def test_junit(tmp_path, course, results):
    odd = [check("c\x1b", "Attention", "error", message="a\x00<b>&", shown="]]>\x0b")]
    results.write_report(report("jane", "ch1", course=course, states={"mean": "missing"}))
    results.write_report(report("odd", course=course, checks=odd))
    export(wanted(results, tmp_path, "t.xml", junit=True), course)
    suites = {suite.get("name"): suite for suite in ElementTree.parse(tmp_path / "t.xml").getroot()}
    assert set(suites) == {"=bob ch3", "epoe ch3", "jane ch1", "jane ch3", "odd ch3"}
    jane = suites["jane ch3"]
    kinds = {case.get("name"): [part.tag for part in case] for case in jane}
    assert kinds["head_weights"] == ["failure"] and kinds["head_parts"] == []
    assert (jane.get("tests"), jane.get("failures")) == (str(len(jane)), "3")
    [case] = [case for case in suites["odd ch3"] if case.get("name") == "c\\x1b"]
    assert case[0].get("message") == "error: a\\x00<b>&" and case[0].text == "]]>\\x0b"


def test_gradescope(tmp_path, course, results, capsys):
    export(wanted(results, tmp_path, "gs", gradescope=True), course)
    folders = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "gs").glob("*/*")}
    assert len(folders) == 2 and "without a grade, because the grader failed: epoe" in capsys.readouterr().out
    found = folders["jane"]
    assert found["score"] == 16 and "80 % of the points count" in found["output"]
    assert found["stdout_visibility"] == "hidden"
    shown = [test for test in found["tests"] if test["visibility"] == "visible"]
    assert [(test["name"], test["score"], test["max_score"], test["status"]) for test in shown] == [
        ("ch3: causal_mask", 20, 20, "passed"),
        ("ch3: Attention", 0, 70, "failed"),
        ("ch3: count_up", 0, 10, "failed"),
    ]
    assert "Likely cause: The mask is never used." in shown[1]["output"]
    hidden = [test for test in found["tests"] if test["visibility"] == "hidden"]
    assert hidden and all(test["max_score"] == 0 for test in hidden)
    assert {test["name"].split(": ")[1] for test in hidden} == {"head_weights", "head_context"}


def test_gradescope_shows_of_hidden_checks_what_the_page_shows(tmp_path, course):
    secret = {"message": "SECRET message", "shown": "SECRET shown"}
    checks = [
        check("SECRET_name", "Attention", "wrong", **secret),
        check(
            "SECRET_other", "Attention", "error", **secret, fault={"type": "ValueError", "message": "SECRET"}
        ),
    ]
    found = Results(tmp_path / "r")
    found.write_report(report("jane", course=course, checks=checks, printed="SECRET printed"))
    export(wanted(found, tmp_path, "gs", gradescope=True), course)
    data = json.loads((tmp_path / "gs" / "jane" / "results.json").read_text())
    says = [c["says"] for c in checks]
    shown = json.dumps([data["output"], [t for t in data["tests"] if t["visibility"] == "visible"]])
    for words in says:
        shown = shown.replace(words, "")
    assert "SECRET" not in shown and "printed" not in json.dumps(data)


def test_what_is_asked_in_vain(tmp_path, course, results):
    for more, message in (
        ({}, "say one of --canvas"),
        ({"csv": True, "junit": True}, "say one of --canvas"),
        ({"csv": True, "chapters": ("ch7",)}, "course.toml has no chapter ch7"),
        ({"csv": True, "chapters": ("ch1",)}, "has no grades of ch1"),
        ({"canvas": tmp_path / "none.csv"}, "cannot read"),
    ):
        with pytest.raises(GraderError, match=message):
            export(wanted(results, tmp_path, "new", **more), course)
    results.write_report(report("jane", "ch1", course=course))
    with pytest.raises(GraderError, match="there are grades of ch1, ch3: say which"):
        export(wanted(results, tmp_path, "new", canvas=tmp_path / "g.csv"), course)
    assert not (tmp_path / "new").exists()
