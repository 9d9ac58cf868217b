"""The RESULTS folder: the round, reports read back, grades, overrides, the log, and names for folders."""

import csv
import json
import os
import stat
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.errors import GraderError
from grader.feedback import feedback_page
from grader.grades import FORMULA, Override, check_names, csv_name, plain_name, read_overrides
from grader.results import REPORT, Results, folder_name, misfit
from tests.grader.html_reader import read_page
from tests.grader.report_samples import half_done, report, toy_course

NAMES = st.one_of(
    st.text(st.characters(), max_size=30),
    st.text(st.sampled_from("aAéE\u0301./\\~-_ =+@'\t\n:*con1"), max_size=12),
    st.sampled_from(
        [
            "..",
            ".",
            "",
            "/etc/passwd",
            "C:\\x",
            "con",
            "NUL.txt",
            "grades.csv",
            "class.html",
            "a~b",
            "~root",
            "-rf",
        ]
    ),
)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return toy_course(tmp_path_factory.mktemp("course"))


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results")


def rows_of(results) -> list[dict]:
    with (results.path / "grades.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def override(results, *rows, header="student,chapter,exercise,points,reason"):
    results.path.mkdir(exist_ok=True)
    (results.path / "overrides.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


# ---- the round ----


def test_a_round_is_begun_once_and_gone_on_with(results):
    master = results.round()
    assert len(master) >= 32 and Results(results.path).round() == master
    assert Results(results.path.with_name("other")).round() != master


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_the_secret_is_its_owners_alone(results):
    before = os.umask(0)
    try:
        results.round()
    finally:
        os.umask(before)
    assert stat.S_IMODE((results.path / "round.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(results.path.stat().st_mode) == 0o700


def test_a_seed_makes_the_round_and_another_one_is_refused(results):
    assert results.round("7") == "7" == results.round() == results.round("7")
    with pytest.raises(
        GraderError, match=r"round\.json was begun with another seed: leave out --seed .* folder"
    ):
        results.round("8")
    with pytest.raises(GraderError, match="--seed is empty"):
        Results(results.path.with_name("other")).round("")


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'{"master": 3}', b"\xff\xfe", b'{"master": ""}'])
def test_a_round_that_cannot_be_read_is_not_replaced(results, data):
    results.round()
    (results.path / "round.json").write_bytes(data)
    with pytest.raises(GraderError, match="cannot be read: put it back, or delete it"):
        results.round()
    assert (results.path / "round.json").read_bytes() == data


def test_what_a_killed_run_left_half_written_is_swept(results, course):
    results.round()
    path = results.write_report(report(course=course))
    for folder in (results.path, path.parent):
        (folder / ".ch3.json.0123abcd.tmp").write_text("{")
        (folder / "mine.tmp").write_text("")
    results.round()
    left = {p.name for p in results.path.rglob("*")}
    assert left == {"round.json", "alice", "ch3.json", "mine.tmp"}


# ---- reports ----


@settings(max_examples=100, deadline=None)
@given(name=NAMES)
def test_a_report_comes_back_whoever_it_is_of(tmp_path_factory, course, name):
    results = Results(tmp_path_factory.mktemp("results"))
    written = report(name, course=course)
    path = results.write_report(written)
    assert path.resolve().parent.parent == results.path.resolve()
    assert results.report(name, "ch3") == written
    assert results.students() == [name]
    assert results.is_current(name, "ch3", written["hashes"])


@settings(max_examples=500, deadline=None)
@given(NAMES, NAMES)
def test_folders_do_not_clash_and_are_safe(one, other):
    folder = folder_name(one)
    assert folder and folder not in (".", "..") and folder[0] not in ".-~" and folder[-1] not in ". "
    assert not set(folder) & set('/\\:*?"<>|') and folder.isprintable()
    assert len(folder.encode()) < 200
    assert folder.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt1"}
    assert folder not in {"grades.csv", "overrides.csv", "class.html", "log.jsonl", "round.json"}
    if one != other:
        assert _as_a_system_may_see(folder) != _as_a_system_may_see(folder_name(other))


def _as_a_system_may_see(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFD", name).casefold())


def test_plain_names_stand_as_they_are():
    for name in ("alice", "doe_jane-2", "jane.doe@uni.example", "a", "x" * 60):
        assert folder_name(name) == name
    assert folder_name("Alice") != "Alice" and folder_name("Alice").startswith("Alice~")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: b"",
        lambda r: json.dumps(r)[:-40].encode(),
        lambda r: b"[" * 10**5,
        lambda r: b"null",
        lambda r: json.dumps(r | {"points": "75"}).encode(),
        lambda r: json.dumps(r | {"points": float("nan")}).encode(),
        lambda r: json.dumps(r | {"format": 2}).encode(),
        lambda r: json.dumps(r | {"hashes": None}).encode(),
        lambda r: json.dumps(r | {"checks": [{}]}).encode(),
        lambda r: json.dumps(r | {"exercises": {"a": 1}}).encode(),
        lambda r: json.dumps(r | {"student": "bob"}).encode(),
        lambda r: json.dumps(r | {"chapter": "../../x"}).encode(),
        lambda r: json.dumps({k: v for k, v in r.items() if k != "checks"}).encode(),
    ],
)
def test_a_report_that_is_none_counts_as_not_there(results, course, spoil):
    good = report(course=course)
    path = results.write_report(good)
    results.write_report(report("carol", course=course))
    path.write_bytes(spoil(good))
    assert results.report("alice", "ch3") is None
    assert not results.is_current("alice", "ch3", good["hashes"])
    assert results.students() == ["carol"]
    assert results.write_grades(course, ["ch3"]) == [] and [r["student"] for r in rows_of(results)] == [
        "carol"
    ]
    results.write_report(good)
    assert results.report("alice", "ch3") == good


def test_only_a_report_of_the_form_is_written(results, course):
    wrong = report(course=course)
    wrong["checks"][1]["outcome"] = None
    with pytest.raises(GraderError, match=r"the report\.checks\[1\]\.outcome is a NoneType, not a str"):
        results.write_report(wrong)
    with pytest.raises(GraderError, match="is no chapter's name"):
        results.write_report(report(course=course) | {"chapter": "../ch3"})
    assert not results.path.exists()


def test_optional_parts_may_be_missing(course):
    given = report(course=course)
    for key in ("submission", "tier", "faults", "times"):
        del given[key]
    assert misfit(given, REPORT, "it") is None
    read_page(feedback_page("alice", [given], course, {}))


def test_what_changed_is_not_current(results, course):
    given = report(course=course)
    assert not results.is_current("alice", "ch3", given["hashes"])
    results.write_report(given)
    for key in given["hashes"]:
        assert not results.is_current("alice", "ch3", given["hashes"] | {key: "other"})
    results.write_report(given | {"faults": ["the server died"]})
    assert not results.is_current("alice", "ch3", given["hashes"])


# ---- grades.csv ----


def test_grades(results, course):
    for student in ("bob", "alice"):
        results.write_report(half_done(course, student))
    results.write_report(report("bob", "ch1", course=course))
    assert results.write_grades(course, ["ch3", "ch1"]) == []
    text = (results.path / "grades.csv").read_bytes().decode()
    assert text == (
        "student,chapter,points,max,total,mean,causal_mask,Attention,count_up\n"
        "alice,ch3,20,100,,,20,0,0\n"
        "bob,ch1,100,100,40,60,,,\n"
        "bob,ch3,20,100,,,20,0,0\n"
    )
    results.write_grades(course, ["ch3"])
    assert [row["chapter"] for row in rows_of(results)] == ["ch3", "ch3"] and "mean" not in rows_of(results)[
        0
    ]


def test_a_grader_fault_is_no_grade(results, course):
    results.write_report(report(course=course, states={"Attention": "grader fault"}))
    results.write_grades(course, ["ch3"])
    assert [rows_of(results)[0][k] for k in ("points", "causal_mask", "Attention")] == ["", "20", ""]
    override(results, "alice,ch3,Attention,35,by hand")
    results.write_grades(course, ["ch3"])
    assert [rows_of(results)[0][k] for k in ("points", "causal_mask", "Attention")] == ["65", "20", "35"]


@settings(max_examples=300, deadline=None)
@given(st.one_of(NAMES, st.text(st.sampled_from("'=+-@ \t\r＝a"), max_size=6)))
def test_a_csv_name_is_no_formula_and_comes_back(name):
    cell = csv_name(name)
    assert plain_name(cell) == name.encode("utf-8", "backslashreplace").decode()
    assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))
    assert cell == name or FORMULA.match(name) or "\\u" in cell


def test_names_survive_grades_csv(results, course):
    names = [
        '=HYPERLINK("http://evil.example")',
        "'=1",
        "O'Brien, Ann",
        "a\nb",
        "@x",
        "-1",
        "مريم",
        "\ttab",
        "plain",
    ]
    for name in names:
        results.write_report(half_done(course, name))
    results.write_grades(course, ["ch3"])
    cells = [row["student"] for row in rows_of(results)]
    assert sorted(map(plain_name, cells)) == sorted(names)
    assert not any(cell.startswith(("=", "@", "-", "\t")) for cell in cells)


# ---- overrides ----


def test_overrides_survive_regrading_and_leave_the_report_alone(results, course):
    override(results, 'alice,ch3,Attention,52.5,"right, but for the dtype"')
    mine = (results.path / "overrides.csv").read_bytes()
    for _ in range(2):
        results.write_report(half_done(course))
        results.write_grades(course, ["ch3"])
        assert rows_of(results)[0]["points"] == "72.5" and rows_of(results)[0]["Attention"] == "52.5"
        assert results.report("alice", "ch3")["points"] == 20
    page = read_page(
        feedback_page("alice", [results.report("alice", "ch3")], course, results.overrides(course))
    )
    assert "right, but for the dtype" in page.words
    assert (results.path / "overrides.csv").read_bytes() == mine


def test_an_override_of_what_was_not_handed_in_and_of_a_stranger(results, course):
    results.write_report(half_done(course))
    override(results, "alice,ch1,mean,60,", "alcie,ch3,count_up,10,")
    notes = results.write_grades(course, ["ch1", "ch3"])
    assert [note.rpartition(": ")[2] for note in notes] == ["no submission of alcie is graded here"]
    assert [(r["student"], r["chapter"], r["points"]) for r in rows_of(results)] == [
        ("alice", "ch1", "60"),
        ("alice", "ch3", "20"),
    ]


def test_overrides_as_spreadsheets_save_them():
    rows = "student,chapter,exercise,points,reason\r\n'=x,ch3,Attention,7,why\r\n,,,,\r\n\r\n"
    expected = {("=x", "ch3", "Attention"): Override(7, "why")}
    assert read_overrides(b"\xef\xbb\xbf" + rows.encode(), "it") == expected
    assert read_overrides(rows.replace(",", ";").encode(), "it") == expected
    halves = read_overrides(b"Student;Chapter;Exercise;Points\na;ch3;Attention;7,5\n", "it")
    assert halves == {("a", "ch3", "Attention"): Override(7.5, "")}
    assert read_overrides(b"", "it") == read_overrides(b"student,chapter,exercise,points,reason", "it") == {}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["alice,ch3,Attention,seven,"],
            "overrides.csv, line 2, column points: 'seven' is no number of points",
        ),
        (["alice,ch3,Attention,-1,"], "line 2, column points: '-1' is no number"),
        (["alice,ch3,Attention,nan,"], "line 2, column points: 'nan'"),
        (["alice,ch3,Attention,,"], "line 2, column points: it is empty"),
        (["alice,ch3,Attention"], "line 2, column points: it is empty"),
        (["alice,ch3,count_up,1,", " ,ch3,Attention,7,"], "line 3, column student: it is empty"),
        (["alice,ch3,,7,"], "line 2, column exercise: it is empty"),
        (
            ["alice,ch9,Attention,7,"],
            "overrides.csv, line 2, column chapter: there is no ch9; there are ch1, ",
        ),
        (
            ["", "alice,ch3,attention,7,"],
            "line 3, column exercise: ch3 has no attention; it has causal_mask, Attention, count",
        ),
        (["alice,ch3,Attention,71,"], "line 2, column points: 71 is more than the 70 it is worth"),
        (
            ["alice,ch3,Attention,7,", "alice,ch3,Attention,8,"],
            "line 3, column exercise: line 2 has this exercise",
        ),
        (["alice,ch3,Attention,7,for this, and that"], "line 2: 6 cells, but 5 columns"),
    ],
)
def test_bad_overrides_are_refused_by_row_and_column(results, course, rows, message):
    results.write_report(half_done(course))
    override(results, *rows)
    with pytest.raises(GraderError) as error:
        results.write_grades(course, ["ch3"])
    assert message in str(error.value)
    assert not (results.path / "grades.csv").exists()


def test_an_override_of_nobody_is_refused_by_line(results):
    override(results, "alice,ch3,Attention,7,", "Bob,ch3,Attention,7,", "zoe,ch3,Attention,7,")
    overrides = results.overrides()
    with pytest.raises(GraderError, match=r"o\.csv, line 3, column student: there is no Bob .*: is it bob\?"):
        check_names(overrides, ["alice", "bob"], "o.csv")
    with pytest.raises(GraderError, match=r"line 4, column student: there is no zoe .*, nor in the roster"):
        check_names(overrides, ["alice", "Bob"], "o.csv")
    check_names(overrides, ["alice", "Bob", "zoe", "dee"], "o.csv")


def test_overrides_under_another_name_are_said_to_have_no_effect(results, course):
    results.write_report(half_done(course))
    (results.path / "Overrides.CSV.csv").write_text("student,chapter,exercise,points\n")
    [remark] = results.write_grades(course, ["ch3"])
    assert "Overrides.CSV.csv is not read: overrides are read from overrides.csv" in remark
    override(results, "alice,ch3,Attention,7,")
    assert results.write_grades(course, ["ch3"]) == []


def test_overrides_without_a_column_or_not_in_utf8(results):
    override(results, "alice,ch3,7", header="student,chapter,points")
    with pytest.raises(GraderError, match="line 1: there must be one column exercise"):
        results.overrides()
    data = b"student,chapter,exercise,points,reason\nJos\xe9,ch3,Attention,7,\n"
    (results.path / "overrides.csv").write_bytes(data)
    with pytest.raises(GraderError, match=r"overrides\.csv, line 2: not UTF-8"):
        results.overrides()


# ---- the log ----


def log_of(results) -> list[dict]:
    return [json.loads(line) for line in (results.path / "log.jsonl").read_text().splitlines()]


def test_the_log_is_one_object_a_line(results):
    results.log("graded", student="a\nb\u2028\ud800", chapter="ch3", seconds=0.1)
    results.log("done")
    first, second = log_of(results)
    assert first["event"] == "graded" and first["student"] == "a\nb\u2028\ud800" and second["event"] == "done"
    assert first["time"] <= second["time"] and first["time"].endswith("+00:00")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_log_torn_anywhere_goes_on(tmp_path_factory, data):
    results = Results(tmp_path_factory.mktemp("results"))
    for i in range(3):
        results.log("graded", number=i)
    path = results.path / "log.jsonl"
    whole = path.read_bytes()
    kept = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:kept])
    Results(results.path).log("resumed")
    assert path.read_bytes().startswith(whole[: whole[:kept].rfind(b"\n") + 1])
    events = [(line["event"], line.get("number")) for line in log_of(results)]
    assert events == [("graded", i) for i in range(whole[:kept].count(b"\n"))] + [("resumed", None)]


def test_results_that_cannot_be_written_are_an_error_for_people(tmp_path):
    (tmp_path / "file").write_text("")
    for act in (lambda r: r.round(), lambda r: r.log("x")):
        with pytest.raises(GraderError, match=r"cannot (make|write) "):
            act(Results(tmp_path / "file" / "results"))


def test_the_examples_in_docstrings():
    import doctest

    from grader import grades, page, results

    for module in (grades, page, results):
        found = doctest.testmod(module)
        assert found.failed == 0 and found.attempted
