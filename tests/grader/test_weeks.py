"""The class over several rounds: its numbers counted again by hand, its drawings, and that it is safe."""

import re
import statistics
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.errors import GraderError
from grader.plots import Box, boxes, marks
from grader.results import Results
from grader.weeks import count_weeks, handed_in_again, round_names
from grader.weeks_page import weeks, weeks_page
from tests.grader.html_reader import read_page
from tests.grader.report_samples import check, half_done, report, toy_course, turn
from tests.grader.test_feedback import TEXT


@pytest.fixture
def course(tmp_path):
    return toy_course(tmp_path)


def a_round(folder, *reports):
    results = Results(folder)
    results.round("7")
    for one in reports:
        results.write_report(one)
    return folder


@pytest.fixture
def term(tmp_path, course):
    """ch1 by three, ch3 by four, then ch3 again by three of them; one is late."""
    late = {"handed_in": "2026-10-03T09:00:00+00:00", "deadline": "2026-10-01T23:59:00+02:00", "factor": 0.5}
    first = [report(name, "ch1", course=course) for name in ("ann", "bob", "cem")]
    failed = report("ann", course=course, states={"Attention": "failed"})
    second = [failed, half_done(course, "bob"), half_done(course, "cem"), report("dee", course=course)]
    third = [
        report("ann", course=course),
        report("bob", course=course, late=late),
        half_done(course, "cem"),
    ]
    return [
        a_round(tmp_path / "week1", *first),
        a_round(tmp_path / "week3", *second),
        a_round(tmp_path / "week3-again", *third),
    ]


def read(term, course, **options):
    return read_page(weeks_page(count_weeks(term, course), course, **options))


# ---- the numbers ----


def test_points_by_round(term, course):
    page = read(term, course)
    assert "4 students, 3 rounds." in " ".join(page.words.split())
    rows = {
        row[0].split()[0]: [" ".join(cell.split()) for cell in row[1:]] for row in page.rows if len(row) == 9
    }
    low, median, high = statistics.quantiles([20, 20, 30, 100], method="inclusive")
    quartiles = f"{low:g}–{high:g}"
    assert rows["week1"] == ["ch1", "3", "100 of 100", "100–100", "100–100", "3", "0", "0"]
    assert rows["week3"] == ["ch3", "4", f"{median:g} of 100", quartiles, "20–100", "1", "0", "0"]
    assert rows["week3-again"] == ["ch3", "3", "50 of 100", "35–75", "20–100", "1", "1", "0"]


def test_exercises_by_round(term, course):
    page = read(term, course)
    assert page.row("causal_mask") == ["causal_mask", "4 of 4, 100 %", "3 of 3, 100 %"]
    assert page.row("Attention") == ["Attention", "1 of 4, 25 %", "2 of 3, 67 %"]
    assert page.row("mean") == ["mean", "3 of 3, 100 %"]


def test_handed_in_again(term, course):
    [again] = handed_in_again(count_weeks(term, course))
    assert (again.first, again.second, again.both, again.better, again.worse) == (
        "week3",
        "week3-again",
        3,
        2,
        0,
    )
    assert again.median == statistics.median([70, 30, 0])
    assert read(term, course).row("ch3")[1:] == ["week3 to week3-again", "3", "2", "0", "+30"]


def test_wrong_turns_by_round_where_the_chapter_is(term, course):
    row = next(row for row in read(term, course).rows if "The mask is never used." in row)
    assert row == ["1", "ch3, Attention", "The mask is never used.", "2", "1"]


def test_each_students_way(term, course):
    page = read(term, course)
    assert page.row("ann") == ["ann", "100", "30", "100"]
    assert page.row("bob") == ["bob", "100", "20", "50"]
    assert page.row("dee") == ["dee", "", "100", ""]


def test_what_was_set_by_hand_counts_and_a_fault_is_no_zero(term, course, tmp_path):
    (term[1] / "overrides.csv").write_text("student,chapter,exercise,points,reason\nbob,ch3,Attention,70,\n")
    fault = report("eve", course=course, checks=[check("a", "Attention", "grader fault")])
    fault["exercises"][1]["state"] = "grader fault"
    a_round(term[1], fault)
    page = read(term, course)
    assert page.row("bob") == ["bob", "100", "90", "50"]
    assert page.row("eve") == ["eve", "", "–", ""]
    assert page.row("Attention")[1] == "2 of 4, 50 %"
    assert "set by hand, all points count as passed" in page.words


def test_the_drawings_have_the_numbers(term, course):
    page = read(term, course)
    labels = page.of("text")
    for words in ("ch1, week1", "ch3, week3-again", "causal_mask", "Attention", "1. Attention", "100"):
        assert words in labels
    assert "circle for week3, filled square for week3-again" in " ".join(page.words.split())
    titles = page.of("title")
    assert len(titles) == len(set(titles)) == 1 + len(page.attributes("svg"))


def test_one_round_of_a_small_class_is_drawn_student_by_student(term, course):
    html = weeks_page(count_weeks(term[1:2], course), course)
    drawing = re.search("<svg.*?</svg>", html, re.DOTALL)[0]
    dots_of = re.findall(r'<use x="([\d.]+)" y="([\d.]+)"[^>]*fill-bar', drawing)
    assert len(dots_of) == 4 == len(set(dots_of)) and len({x for x, _ in dots_of}) == 3  # 20, 20, 30, 100
    least, _, most = sorted({float(x) for x, _ in dots_of})
    ticks = [float(x) for x in re.findall(r'<use x="([\d.]+)"', drawing)]
    assert max(ticks) == most and most - least == pytest.approx(0.8 * (most - min(ticks)), abs=0.2)
    assert "A dot is a student" in html and "A box reaches" not in html
    large = a_round(term[0].parent / "large", *(report(f"s{i}", "ch1", course=course) for i in range(13)))
    assert "A box reaches" in weeks_page(count_weeks([large], course), course)


def test_counts_have_whole_numbers_on_the_axis(term, course):
    html = weeks_page(count_weeks(term[1:2], course), course)
    turns = re.findall("<svg.*?</svg>", html, re.DOTALL)[-1]
    assert re.findall(r"<text[^>]*>([\d.]+)</text>", turns) == ["0", "1", "2"]


# ---- names ----


def test_pseudonyms_are_those_of_the_first_round(term, course):
    html = weeks_page(count_weeks(term, course), course, pseudonyms=True)
    page = read_page(html)
    names = [row[0] for row in page.rows if row and row[0].startswith("student ")]
    assert len(set(names)) == 4 and names == sorted(names) and "under pseudonyms" in html
    for name in ("ann", "bob", "cem", "dee"):
        assert not re.search(rf"\b{name}\b", page.words)
    first = weeks_page(count_weeks(term[:1], course), course, pseudonyms=True)
    assert {row[0] for row in read_page(first).rows if row[0].startswith("student ")} < set(names)


def test_folders_of_one_name_are_told_apart(tmp_path):
    folders = [tmp_path / "a" / "results", tmp_path / "b" / "results"]
    assert round_names(folders) == ["a/results", "b/results"]
    with pytest.raises(GraderError, match="named twice"):
        round_names([tmp_path, tmp_path / "." / ""])


# ---- drawings ----


def test_a_drawing_is_to_scale():
    html = str(marks(["a", "b"], [[0, 50], [100, None]], 100, "percent", "d", "A drawing"))
    places = [float(x) for x in re.findall(r'<use x="([\d.]+)" y="[\d.]+" href="#d-\w+" [^>]*ink', html)]
    zero, half, whole = sorted(places)
    assert half == pytest.approx((zero + whole) / 2, abs=0.1)
    assert "style=" not in html and "<style" not in html and "clip" not in html
    assert not re.search("#0[1-5]0", html) and "xlink" not in html


@pytest.mark.parametrize("name", ["$x^2", "a$b$c", "<b>", "x" * 500, "\u202e\x1b", "日本語", "\ud800"])
def test_no_name_is_too_odd_for_a_drawing(name):
    html = str(boxes([Box(name, (0, 1, 2, 3, 4))], 4, "d", name))
    html.encode()
    assert "<b>" not in html and "\x1b" not in html and "\u202e" not in html


# ---- safety, and the command ----


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_no_text_becomes_markup(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("weeks")
    course = toy_course(folder)
    says = data.draw(TEXT)
    wrong = {"misconceptions": [turn(says=says)]} if says.strip() else {}
    given = report(data.draw(TEXT), course=course, checks=[check("a", "Attention", "wrong", **wrong)])
    read([a_round(folder / "r", given)], course)


def test_nothing_of_hidden_checks_but_misconceptions(term, course):
    secret = {"shown": "HIDDEN", "message": "HIDDEN", "misconceptions": [turn()]}
    one = report("fay", course=course, checks=[check("HIDDEN_name", "Attention", "wrong", **secret)])
    a_round(term[1], one | {"printed": "HIDDEN", "faults": ["HIDDEN"]})
    html = weeks_page(count_weeks(term, course), course)
    assert "HIDDEN" not in html and "fay" in html


@pytest.mark.parametrize(
    "folders, to, said",
    [
        (["none"], "p.html", "there is no"),
        (["empty"], "p.html", "has no grades"),
        (["week1"], "p.txt", "must end in .html"),
    ],
)
def test_the_users_mistakes(term, course, tmp_path, folders, to, said):
    (tmp_path / "empty").mkdir()
    with pytest.raises(GraderError, match=said):
        weeks([tmp_path / name for name in folders], tmp_path / to, course, False)
    assert not (tmp_path / to).exists()


def test_the_command(term, course, tmp_path):
    command = [sys.executable, "-m", "grader.cli", "class", *map(str, term), "--to", "page.html"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4 students, 3 rounds" in done.stdout
    read_page((tmp_path / "page.html").read_text())
