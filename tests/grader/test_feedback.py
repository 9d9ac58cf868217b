"""The feedback page, read by an independent parser: what it says, what it never says, and that it is safe."""

import copy
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.feedback import feedback_page
from grader.grades import Override
from tests.grader.html_reader import read_page
from tests.grader.report_samples import SHOWN, check, fault, half_done, report, toy_course, turn

HOSTILE = st.sampled_from(
    [
        "<script>alert(1)</script>",
        "</pre></style></title><script src=//evil.example/x.js></script>",
        '" onload="alert(1)" x="',
        "' onmouseover='alert(1)",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "javascript:alert(1)",
        "<a href='https://evil.example'>all points</a>",
        "<!-- ]]> <![CDATA[",
        "{{ 7 * 7 }}{% raw %}",
        "`<b>`</code>`",
        "\x1b[2J\x1b]0;pwned\x07\x00\x9b",
        "\u202egnp.\u2066evil\u2069\u200f",
        "\ud800half\udfff",
        "=cmd|' /C calc'!A0",
        "&lt;b&gt;&#0;&amp;",
        "\u2028\u2029\ufeff",
    ]
)
TEXT = st.one_of(HOSTILE, st.text(st.characters(), max_size=40))


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return toy_course(tmp_path_factory.mktemp("course"))


def read(course, *reports, overrides=None, student="alice", chapters=()):
    return read_page(feedback_page(student, list(reports), course, overrides or {}, chapters))


# ---- what it says ----


def test_points_and_the_next_step_come_first(course):
    page = read(course, half_done(course))
    words = " ".join(page.words.split())
    assert "Toy course Feedback for alice 20 of 100 points in ch3, Attention Do this next Run" in words
    step = words[words.index("Do this next") :]
    assert step.startswith("Do this next Run pytest exercises/ch3 -k no_weight_after, and mend Attention")
    assert page.row("causal_mask") == ["causal_mask", "20 of 20", "✓passed"]
    assert page.row("Attention") == ["Attention", "0 of 70", "✗not passed yet, 1 of 3 checks passed"]
    assert page.row("count_up") == ["count_up", "0 of 10", "–not started"]


def test_a_public_failure_is_shown_whole_with_its_picture(course):
    page = read(course, half_done(course))
    assert SHOWN.strip("\n") in page.of("pre")
    assert "Likely cause: The mask is never used." in page.words
    assert {"What head_weights is about.", "What head_context is about."} <= set(page.of("li"))
    assert "Wrong result: 2 hidden checks" in page.of("h4")


def test_more_public_failures_stand_behind_the_first(course):
    given = half_done(course)
    given["checks"] += [
        check(f"other{i}", "Attention", "wrong", hidden=False, shown=f"text {i}") for i in (1, 2)
    ]
    page = read(course, given)
    assert page.of("pre") == [SHOWN.strip("\n"), "text 1", "text 2"]
    assert page.of("summary") == ["2 more public checks failed"]


def test_when_only_hidden_checks_fail_the_docstring_is_the_next_step(course):
    checks = [
        check("head_dtype", "Attention", "wrong", says="The dtype of x is kept."),
        check("head_shape", "Attention", hidden=False),
    ]
    page = read(course, report(course=course, checks=checks))
    assert "The checks that you have pass, but hidden ones ask for more. Read the docstring" in page.words
    assert "docstring of Attention in attention.py again" in page.words
    assert "The dtype of x is kept." in page.of("li")


def test_an_exception_of_a_hidden_check_has_its_builtin_type_and_the_students_lines(course):
    one = {"fault": fault(number=28, text="scores = queries @ keys")}
    checks = [check(f"c{i}", "Attention", "error", **one) for i in range(3)]
    checks.append(
        check("odd", "Attention", "error", fault=fault(kind="Secret3141Error", number=31, text="x()"))
    )
    page = read(course, report(course=course, checks=checks))
    assert "Raised RuntimeError: 3 hidden checks" in page.of("h4")
    assert "Raised an exception: 1 hidden check" in page.of("h4")
    assert "attention.py, line 28\n    scores = queries @ keys" in page.of("pre")
    assert "3141" not in page.words


def test_a_module_that_cannot_be_imported_is_told_of_once(course):
    broken = fault(kind="NameError", number=4, text="x = y", function="<module>")
    shown = "The module cannot be imported, so no check can look at it:"
    blocked = {"message": "by attention.py, which cannot be imported"}
    checks = [
        check("mask_values", "causal_mask", "error", fault=broken),
        *(check(f"c{i}", "Attention", "blocked", **blocked) for i in range(300)),
        check("counts", "count_up", "blocked", **blocked),
        check("mask_public", "causal_mask", "error", hidden=False, fault=broken, shown=shown),
    ]
    states = {"Attention": "blocked", "count_up": "blocked"}
    page = read(course, report(course=course, checks=checks, states=states))
    assert page.of("h3") == ["attention.py cannot be imported"]
    assert page.of("pre") == [shown]
    assert "Do this next\nMend line 4 of attention.py: until" in page.words
    assert page.row("Attention")[2] == "–not looked at"


def test_a_module_that_ends_the_process_when_imported(course):
    died = {"type": "no reply", "message": "it ended while it was being imported", "lines": []}
    checks = [
        check("mask_values", "causal_mask", "error", fault=died),
        check("c", "Attention", "blocked", message="by attention.py, which cannot be imported"),
        check("counts", "count_up", "blocked", message="by attention.py, which cannot be imported"),
    ]
    states = {"Attention": "blocked", "count_up": "blocked"}
    page = read(course, report(course=course, checks=checks, states=states))
    assert page.of("h3") == ["attention.py cannot be imported"]
    assert "Mend attention.py: until it can be imported" in page.words and "blocked" not in page.words


def test_a_notebook_is_called_by_its_name(course):
    given = report(course=course, checks=[check("c", "Attention", "error", fault=fault())])
    given["submission"]["name"] = "work/ch3.ipynb"
    page = read(course, given)
    assert "Read the docstring of Attention in ch3.ipynb again" in page.words
    assert "ch3.ipynb, line 28\n    scores = queries @ keys" in page.of("pre")
    blocked = [
        check("c", "Attention", "error", fault={"type": "no reply", "message": "it died", "lines": []})
    ]
    blocked += [check("d", "Attention", "blocked", message="by ch3.ipynb, which cannot be imported")]
    page = read(course, given | {"checks": blocked})
    assert page.of("h3") == ["ch3.ipynb cannot be imported"]
    assert page.of("h4") == ["No reply: the process ended, or was ended"]


def test_an_earlier_chapter_blocks(course):
    checks = [check("a", "Attention", "blocked", message="by ch1, which was not handed in")]
    checks += [check("c", "count_up", "blocked", message="by tensor([0.25]), which did not pass")]
    states = {"Attention": "blocked", "count_up": "blocked"}
    page = read(course, report(course=course, checks=checks, states=states))
    assert "Attention: 1 check blocked, waiting for ch1, which was not handed in." in page.words
    assert "count_up: 1 check blocked, waiting for what comes before." in page.words


def test_hundreds_of_blocked_checks_are_one_line(course):
    checks = [
        check("mask_values", "causal_mask", "wrong"),
        check("mask_public", "causal_mask", "wrong", hidden=False),
        *(
            check(f"a{i}", "Attention", "blocked", message="by mask_values, which did not pass")
            for i in range(400)
        ),
        *(
            check(f"u{i}", "count_up", "blocked", message="by causal_mask, which did not pass")
            for i in range(30)
        ),
    ]
    states = {"Attention": "blocked", "count_up": "blocked"}
    page = read(course, report(course=course, checks=checks, states=states))
    assert page.words.count("blocked") == 3  # the two rows of the table, and
    assert "Attention, count_up: 430 checks blocked, waiting for causal_mask." in page.words
    assert page.of("h3") == ["causal_mask: 0 of 20"]


def test_what_is_left_to_write(course):
    page = read(course, report(course=course, states={"Attention": "missing", "count_up": "not started"}))
    assert (
        "Do this next\nattention.py has no Attention: course reset Attention puts its stub back."
        in page.words
    )
    page = read(course, report(course=course, states={"count_up": "not started"}))
    assert "Write count_up in attention.py" in page.words and "pytest exercises/ch3 -k count_up" in page.of(
        "code"
    )


def test_everything_passed(course):
    page = read(course, report(course=course))
    assert "nothing left to do" in page.words and "Do this next" not in page.words


def test_what_was_not_handed_in_and_what_could_not_be_graded(course):
    refused = report(course=course, states={"causal_mask": "missing"})
    refused["submission"] = {"name": "ch3.ipynb", "notes": [], "problem": "ch3.ipynb is no notebook"}
    refused["exercises"], refused["checks"] = [], []
    page = read(course, refused, chapters=["ch1", "ch3"])
    assert page.row("ch1, Sums") == ["ch1, Sums", "0 of 100 points (not handed in)"]
    assert "Nothing was handed in for this chapter: there is no sums.py" in page.words
    assert "This could not be graded: ch3.ipynb is no notebook" in page.words
    assert "Do this next, in ch3\nMend this, and hand it in again: ch3.ipynb is no notebook" in page.words


def test_notes_of_the_intake_and_the_tier(course):
    given = report(course=course)
    given["submission"]["notes"] = ["cell 4: `%timeit f()` is ignored"] + ["again"] * 100
    page = read(course, given)
    assert "cell 4: %timeit f() is ignored" in page.words and "… and 71 more notes" in page.words
    assert "Run in a sandbox: no network (bubblewrap)" in page.words


def test_a_grader_fault_is_not_the_students(course):
    checks = [
        check("head_weights", "Attention", "grader fault", message="the server died"),
        check("x", "Attention"),
    ]
    given = report(
        course=course, checks=checks, states={"Attention": "grader fault"}, faults=["the server died"]
    )
    page = read(course, given)
    assert "The grader failed in places. This is not your fault" in page.words
    assert "no grade yet, of 100 points" in page.words and page.row("Attention")[1] == "– of 70"
    assert "Attention: no points yet, of 70" in page.of("h3")
    assert "Do this next" not in page.words and "the server died" not in page.words
    page = read(course, given, overrides={("alice", "ch3", "Attention"): Override(70)})
    assert page.row("Attention")[1] == "70 of 70" and "100 of 100 points" in page.words


# ---- overrides ----


def test_overrides_count_and_say_so(course):
    overrides = {
        ("alice", "ch3", "Attention"): Override(52.5, "right but for <the> dtype"),
        ("bob", "ch3", "count_up"): Override(10, "another's reason"),
    }
    page = read(course, half_done(course), overrides=overrides)
    assert page.row("Attention")[1] == "52.5 of 70"
    assert "Points set by your instructor: right but for <the> dtype" in page.row("Attention")[2]
    assert "72.5 of 100 points" in " ".join(page.words.split())
    assert "another's" not in page.words and page.words.count("instructor") == 1
    assert page.row("count_up")[1] == "0 of 10"


def test_an_override_for_what_was_not_handed_in(course):
    page = read(
        course, half_done(course), overrides={("alice", "ch1", "mean"): Override(60, "told me orally")}
    )
    assert page.row("ch1, Sums")[1] == "60 of 100 points (not handed in)"
    assert "told me orally" in page.row("mean")[2]


STATES = ["passed", "failed", "not started", "missing", "blocked"]


@settings(max_examples=60, deadline=None)
@given(
    states=st.tuples(*[st.sampled_from(STATES)] * 3),
    by_hand=st.dictionaries(
        st.sampled_from(["causal_mask", "Attention", "count_up"]), st.sampled_from([0, 2.5, 7, 10])
    ),
)
def test_points_add_up(course, states, by_hand):
    names = list(course.chapters["ch3"].points)
    given_states = {name: state for name, state in zip(names, states, strict=True) if state != "passed"}
    overrides = {("alice", "ch3", name): Override(points) for name, points in by_hand.items()}
    page = read(course, report(course=course, states=given_states), overrides=overrides)
    cells = [page.row(name)[1].split(" of ") for name in names]
    expected = [
        by_hand.get(name, most if state == "passed" else 0)
        for (name, most), state in zip(course.chapters["ch3"].points.items(), states, strict=True)
    ]
    assert [float(got) for got, _ in cells] == expected
    heading = re.search(r"ch3, Attention: ([\d.]+) of ([\d.]+) points", page.words)
    assert float(heading[1]) == sum(expected) and float(heading[2]) == 100


# ---- what it must never say ----

FAILED = ["wrong", "error", "timeout", "memory", "forbidden"]
OUTCOMES = [*FAILED, "missing", "blocked", "not started", "grader fault"]


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("state", ["failed", "blocked", "grader fault", "passed"])
def test_nothing_of_a_hidden_check_but_its_own_words(course, outcome, state):
    secret = {
        "message": "HIDDEN by tensor([0.31415]), on line 2",
        "shown": "HIDDEN call and numbers",
        "fault": fault(kind="HIDDENError", function="HIDDEN.forward", text="mine()")
        | {"message": "HIDDEN 0.31415"},
        "misconceptions": [turn(name="HIDDEN-turn", says="You took the wrong turn.")],
        "inputs": "HIDDEN",
    }
    checks = [check("HIDDEN_name", "Attention", outcome, says="Rows sum to 1.", **secret)]
    checks += [check("shown_name", "Attention", outcome, hidden=False)]
    given = report(course=course, checks=checks, states={"Attention": state}, printed="HIDDEN print")
    given |= {"hashes": dict.fromkeys(given["hashes"], "HIDDEN"), "faults": ["HIDDEN path"]}
    html = feedback_page("alice", [given], course, {})
    assert "HIDDEN" not in html and "0.31415" not in html
    if state == "failed" and outcome in FAILED:
        assert {"Rows sum to 1."} <= set(read_page(html).of("li"))
        assert "mine()" in html and "You took the wrong turn." in html


def test_nothing_that_a_student_printed(course):
    assert "PRINTED" not in feedback_page("alice", [half_done(course, printed="PRINTED")], course, {})


# ---- that it is safe ----


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_text_becomes_markup(course, data):
    """Every string of a report but what the grader chooses from a list, and names that the course gives."""
    given = half_done(course)
    given["checks"] += [
        check("e", "Attention", "error", fault=fault()),
        check("f", "Attention", "forbidden", hidden=False),
        check("g", "count_up", "blocked", message="by x"),
    ]
    given["submission"]["notes"] = ["a note", "another"]
    given["submission"]["problem"] = data.draw(st.sampled_from(["", "a problem"]))
    given["tier"]["says"] = "words"
    kept = {"outcome", "exercise", "state", "chapter", "format"}

    def spoil(value):
        if isinstance(value, dict):
            course_own = kept | {"name"} if "state" in value else kept
            return {k: v if k in course_own else spoil(v) for k, v in value.items()}
        if isinstance(value, list):
            return [spoil(item) for item in value]
        return data.draw(TEXT) if isinstance(value, str) else value

    spoilt = spoil(given)
    overrides = {(spoilt["student"], "ch3", "Attention"): Override(3, data.draw(TEXT))}
    read(course, spoilt, student=spoilt["student"], overrides=overrides, chapters=["ch1"])


def test_what_hides_is_made_visible(course):
    page = read(course, half_done(course), student="a\u202eb\x1b[2J\ud800<i>{{ 7 * 7 }}")
    assert page.of("bdi") == [r"a\u202eb\x1b[2J\ud800<i>{{ 7 * 7 }}"]


def test_huge_texts_are_cut(course):
    given = half_done(course)
    given["checks"][4]["shown"] = "x" * 10**6
    given["checks"][0] |= {"says": "y" * 10**6}
    given["submission"]["notes"] = ["z" * 10**6] * 1000
    html = feedback_page("n" * 10**6, [given], course, {})
    read_page(html)
    assert len(html) < 100_000 and "more characters" in html


def test_pages_are_the_same_for_the_same_report(course):
    given = half_done(course)
    before = copy.deepcopy(given)
    assert feedback_page("alice", [given], course, {}) == feedback_page("alice", [given], course, {})
    assert given == before
