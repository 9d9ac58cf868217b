"""The page about the class: its numbers counted again by hand, its pseudonyms, and that it is safe."""

import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.class_page import class_page
from grader.grades import Override
from grader.observe import NO_REPLY
from tests.grader.html_reader import read_page
from tests.grader.report_samples import check, fault, half_done, report, toy_course, turn
from tests.grader.test_feedback import TEXT


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return toy_course(tmp_path_factory.mktemp("course"))


def read(course, reports, **options):
    return read_page(class_page(reports, course, **options))


def a_class(course) -> list[dict]:
    """20 students in ch3: 12 with everything, 5 with 20 points, 3 with 30."""
    whole = [report(f"whole{i}", course=course) for i in range(12)]
    half = [half_done(course, f"half{i}") for i in range(5)]
    states = {"Attention": "failed"}
    third = [report(f"third{i}", course=course, states=states) for i in range(3)]
    return whole + half + third


# ---- the numbers ----


def test_counts_of_a_class(course):
    page = read(course, iter(a_class(course)))
    words = " ".join(page.words.split())
    assert "The class 20 students" in words and "20 handed in, 12 with full points." in words
    points = [100] * 12 + [20] * 5 + [30] * 3
    assert (
        f"{statistics.median(points):g} of 100 points is the median, {statistics.fmean(points)} the mean"
        in words
    )
    assert page.row("causal_mask") == ["causal_mask", "20", "20", "20 of 20", "100 %"]
    assert page.row("Attention") == ["Attention", "70", "20", "12 of 20", "60 %"]
    assert page.row("count_up") == ["count_up", "10", "15", "15 of 20", "75 %"]
    assert ["5", "Attention", "The mask is never used."] in page.rows
    assert ["5", "Attention", "What head_weights is about."] in page.rows
    assert "No grader faults, no limits hit, no forbidden uses, and no process that ended." in page.words


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 100), max_size=60))
def test_the_histogram_is_the_table_and_both_are_the_class(course, given_points):
    reports, overrides = [], {}
    for i, points in enumerate(given_points):
        reports.append(report(f"s{i}", course=course, states={"causal_mask": "failed"}))
        overrides |= {(f"s{i}", "ch3", name): Override(0) for name in ("causal_mask", "count_up")}
        overrides[f"s{i}", "ch3", "Attention"] = Override(points)
    page = read(course, reports, overrides=overrides)
    rows = [row for row in page.rows if row[0].startswith(("under ", "from "))]
    if not given_points:
        assert not rows and "Nothing has been graded yet." in page.words
        return
    expected = [sum(1 for p in given_points if min(9, p // 10) == i) for i in range(10)]
    assert [int(students) for _, students in rows] == expected
    assert [label for label, _ in rows] == ["under 10", *(f"from {i}0" for i in range(1, 10))]
    bars = [float(a["height"]) for a in page.attributes("rect") if a["class"] == "bar" and a["x"] != "0"]
    tallest = max(expected)
    assert bars == [pytest.approx(120 * students / tallest, abs=0.06) for students in expected]
    drawn = [int(t) for (_, a), t in zip(texts_of(page), page.of("text"), strict=True) if "class" not in a]
    assert drawn == [students for students in expected if students]


def texts_of(page):
    return [(tag, attributes) for tag, attributes in page.tags if tag == "text"]


def test_a_misconception_counts_once_a_student(course):
    wrong = {"misconceptions": [turn(), turn(name="other", says="Or another.")]}
    checks = [check(f"c{i}", "Attention", "wrong", hidden=i < 5, **wrong) for i in range(9)]
    page = read(course, [report(f"s{i}", course=course, checks=checks) for i in range(3)])
    assert ["3", "Attention", "The mask is never used."] in page.rows
    assert ["3", "Attention", "Or another."] in page.rows


def test_slow_and_faulty_submissions(course):
    checks = [
        check("a", "Attention", "timeout", fault=fault()),
        check("b", "Attention", "timeout", fault=fault()),
        check("c", "causal_mask", "memory"),
        check("d", "count_up", "forbidden", message="torch.nn.functional.softmax, on line 12"),
        check("e", "count_up", "forbidden", message="torch's cumsum, on line 12\nmore"),
        check("f", "count_up", "forbidden", message="<b>alice's own words</b>"),
    ]
    slow = report("slow", course=course, checks=checks)
    slow["times"]["seconds"] = 31.5
    died = [check("a", "Attention", "grader fault", message="it died"), check("b", "Attention")]
    died = report(
        "died", course=course, checks=died, states={"Attention": "grader fault"}, faults=["it died"]
    )
    refused = report("refused", course=course, states={"causal_mask": "missing"})
    refused["submission"]["problem"] = "attention.py is no text"
    page = read(course, [*a_class(course), slow, died, refused])
    assert page.row("slow")[1] == (
        "2 checks ran too long; 1 check took too much memory; forbidden: torch.nn.functional.softmax,"
        " torch's cumsum, in another form"
    )
    assert page.row("died")[1] == "1 grader fault"
    assert page.row("refused")[1] == "could not be graded"
    assert ["slow", "31.50"] in page.rows
    words = " ".join(page.words.split())
    assert "1 that could not be graded, 1 without a grade because of a grader fault." in words
    assert page.row("Attention")[3] == "13 of 22"  # 23 handed in, of whom one is undecided
    assert "it died" not in words and "is no text" not in words


@pytest.mark.parametrize("pseudonyms", [False, True])
def test_who_ended_the_process_or_was_refused_something_is_listed(course, pseudonyms):
    def ended(message):
        return {"fault": fault(kind=NO_REPLY) | {"message": message, "lines": []}, "message": message}

    importing = [check("a", "causal_mask", "error", **ended("its process ended with exit code 0"))]
    importing += [check("b", "Attention", "blocked", message="by attention.py, which cannot be imported")]
    killed = [check(name, "Attention", "error", **ended("its process was ended by SIGKILL")) for name in "ab"]
    odd = [check("a", "Attention", "error", **ended("its reply cannot be read: <b>own words</b>"))]
    refused = [check("a", "Attention", "error", fault=fault("PermissionError"))]
    reports = [
        report("mallory", course=course, checks=importing),
        report("killed", course=course, checks=killed),
    ]
    reports += [report("odd", course=course, checks=odd), report("refused", course=course, checks=refused)]
    page = read(course, [*a_class(course), *reports], pseudonyms=pseudonyms)
    listed = [
        row[1] for row in page.rows if len(row) == 2 and ("process" in row[1] or row[1].startswith("it "))
    ]
    assert sorted(listed) == [
        "it gave no proper reply, in 1 check",
        "it tried what the sandbox refuses, in 1 check",
        "its process ended with exit code 0, when it was imported",
        "its process was ended by SIGKILL, in 2 checks",
    ]
    assert "own words" not in page.words and ("mallory" in page.words) != pseudonyms


def test_only_what_was_handed_in_counts(course):
    absent = report("absent", course=course, states={"causal_mask": "missing"})
    absent["submission"]["name"] = ""
    page = read(course, [*a_class(course), absent, report("whole1", "ch1", course=course)])
    assert "20 students" in page.words
    assert page.row("ch1, Sums")[1:] == ["1", "100 of 100", "1"]
    assert page.row("ch3, Attention")[1:] == ["20", "100 of 100", "12"]


def test_overrides_count(course):
    given = a_class(course)
    assert "set by hand" not in read(course, given).words
    by_hand = {("half0", "ch3", "Attention"): Override(70), ("half0", "ch3", "count_up"): Override(10)}
    page = read(course, given, overrides=by_hand | {("whole0", "ch3", "Attention"): Override(69.5)})
    assert page.rows[[row[0] for row in page.rows].index("from 90")][1] == "13"
    assert page.row("Attention") == ["Attention", "70", "20", "12 of 20", "60 %"]  # one more, and one fewer
    assert page.row("count_up") == ["count_up", "10", "16", "16 of 20", "80 %"]
    assert "2 with points set by hand, which count on this page" in page.words


def test_what_is_set_by_hand_settles_a_grader_fault(course):
    states = {"Attention": "grader fault"}
    died = report("died", course=course, states=states, faults=["it died"])
    by_hand = {("died", "ch3", "Attention"): Override(70)}
    assert read(course, [died]).row("Attention")[3] == "0 of 0"
    assert read(course, [died], overrides=by_hand).row("Attention")[3] == "1 of 1"


def test_tiers_are_named(course):
    other = half_done(course, "x", tier={"name": "plain", "says": "nothing"})
    assert "Sandbox: bubblewrap for 20, plain for 1." in read(course, [*a_class(course), other]).words


# ---- pseudonyms ----


def faulty(course, name, round_hash="d4" * 16, chapter="ch3"):
    given = report(name, chapter, course=course, faults=["died"])
    given["hashes"]["round"] = round_hash
    return given


def pseudonyms_in(page) -> list[str]:
    return [row[0] for row in page.rows if row and row[0].startswith("student ")]


def test_pseudonyms_hide_names_everywhere_and_do_not_keep_their_order(course):
    names = [f"{a}{b} of Testville" for a in "abcdef" for b in "uvwxyz"]
    reports = [faulty(course, name) for name in names]
    html = class_page(reports, course, pseudonyms=True)
    assert "Testville" not in html and "under pseudonyms" in html
    found = pseudonyms_in(read_page(html))
    assert len(set(found)) == 36
    shown = list(dict.fromkeys(found))
    random.Random(1).shuffle(reports)
    assert class_page(reports, course, pseudonyms=True) == html
    assert shown == sorted(shown)


def test_a_pseudonym_is_the_same_in_a_round_and_another_in_the_next(course):
    def of(*reports):
        return set(pseudonyms_in(read(course, reports, pseudonyms=True)))

    alice = of(faulty(course, "alice"))
    assert len(alice) == 1
    assert alice == of(faulty(course, "alice", chapter="ch1"))
    assert alice < of(faulty(course, "alice"), faulty(course, "bob"))
    assert alice != of(faulty(course, "alice", "e5" * 16))


def test_a_report_outside_a_round_gives_nothing_away_either(course):
    pages = [read(course, [faulty(course, "alice", "")], pseudonyms=True) for _ in range(2)]
    assert pseudonyms_in(pages[0]) != pseudonyms_in(pages[1]) and "alice" not in pages[0].words


# ---- what it must not say, and that it is safe ----


def test_nothing_of_a_hidden_check_but_its_own_words(course):
    secret = {"shown": "HIDDEN", "message": "HIDDEN tensor(1.)", "fault": fault() | {"message": "HIDDEN"}}
    checks = [
        check("HIDDEN_name", "Attention", outcome, **secret | {"says": f"Says {outcome}."})
        for outcome in ("wrong", "error", "timeout", "memory", "grader fault")
    ]
    given = report(course=course, checks=checks, printed="HIDDEN", faults=["HIDDEN"])
    given["submission"] |= {"notes": ["HIDDEN"], "problem": "HIDDEN"}
    given["hashes"] = dict.fromkeys(given["hashes"], "HIDDEN")
    html = class_page([given], course, pseudonyms=True)
    assert "HIDDEN" not in html and "Says wrong." in html


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_text_becomes_markup(course, data):
    reports = []
    for _ in range(3):
        given = half_done(course, data.draw(TEXT), faults=[data.draw(TEXT)])
        given["checks"][0] |= {"outcome": "forbidden", "message": data.draw(TEXT), "says": data.draw(TEXT)}
        given["checks"][1] |= {"says": data.draw(TEXT), "misconceptions": [turn(says=data.draw(TEXT))]}
        given["tier"]["name"] = data.draw(TEXT)
        reports.append(given)
    read(course, reports, pseudonyms=data.draw(st.booleans()))


def test_a_large_class_stays_a_small_page(course):
    reports = (faulty(course, f"student number {i} " + "x" * 1000) for i in range(500))
    html = class_page(reports, course)
    assert "and 460 more" in html and len(html) < 60_000
