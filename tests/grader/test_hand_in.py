"""Late days: by course.toml, from the time that a system or the roster names; never guessed."""

import datetime

import pytest

from grader.course_file import load_course
from grader.feedback import feedback_page
from grader.grades import Override, effective_points, total
from grader.hand_in import hand_in_questions, lateness, with_hand_in
from grader.intake import HandedIn, Submission
from grader.results import REPORT, Results, misfit
from tests.grader.html_reader import read_page
from tests.grader.report_samples import COURSE, half_done, report

LATE = "\n[late]\npercent_per_day = 10\ndays = 3\ngrace_minutes = 15\n"
DEADLINE = 'module = "attention"\ndeadline = 2026-10-01T23:59:00+02:00'
UTC = datetime.UTC


@pytest.fixture
def course(tmp_path):
    path = tmp_path / "course.toml"
    path.write_text(COURSE.replace('module = "attention"', DEADLINE) + LATE)
    return load_course(path)


def at(day: int, hour: int, minute: int = 0) -> datetime.datetime:
    return datetime.datetime(2026, 10, day, hour, minute, tzinfo=UTC)


def handed_in(student="jane", time=None, marked=None, path=None) -> Submission:
    modules = {"ch3": HandedIn("ch3", "attention.py", "x = 1\n")}
    times = {"ch3": time} if time else {}
    return Submission(student, path, modules, (), {"canvas_id": "1", "repository": "r"}, times, marked)


@pytest.mark.parametrize(
    ("time", "factor"),
    [
        (at(1, 21, 59), 1.0),
        (at(1, 22, 14), 1.0),
        (at(1, 22, 15), 0.9),
        (at(2, 21, 59), 0.9),
        (at(2, 22, 0), 0.8),
        (at(4, 21, 59), 0.7),
        (at(4, 22, 0), 0.0),
        (at(1, 23, 58).astimezone(datetime.timezone(datetime.timedelta(hours=2))), 0.9),
    ],
)
def test_the_policy_of_the_course(course, time, factor):
    found = lateness(course, "ch3", time)
    assert found["factor"] == factor and found["deadline"] == "2026-10-01T23:59:00+02:00"
    assert lateness(course, "ch1", time) is None and lateness(course, "ch3", None) is None


def test_late_points_count_less_but_what_is_set_by_hand_counts_in_full(course, tmp_path):
    judged = half_done(course, "jane")
    late = with_hand_in(judged, handed_in(time=at(2, 22)), course)
    assert misfit(late, REPORT, "") is None and late["ids"] == {"canvas_id": "1"}
    assert judged["points"] == 20 and late["points"] == 20  # the judge's own stay
    overrides = {("jane", "ch3", "Attention"): Override(35, "shown in the lab")}
    assert total(effective_points("jane", "ch3", late, course, {})) == 16
    assert total(effective_points("jane", "ch3", late, course, overrides)) == 51
    results = Results(tmp_path / "r")
    results.write_report(late)
    results.write_grades(course, ["ch3"])
    assert (results.path / "grades.csv").read_text() == (
        "student,chapter,points,max,causal_mask,Attention,count_up\njane,ch3,16,100,20,0,0\n"
    )
    words = " ".join(read_page(feedback_page("jane", [late], course, {})).words.split())
    assert "16 of 100 points" in words and "2026-10-02 at 22:00 UTC" in words
    assert "80 % of the points count. The table has them in full." in words
    in_time = with_hand_in(late, handed_in(time=at(1, 10)), course)
    assert total(effective_points("jane", "ch3", in_time, course, {})) == 20
    words = " ".join(read_page(feedback_page("jane", [in_time], course, {})).words.split())
    assert "deadline" not in words
    grace = with_hand_in(late, handed_in(time=at(1, 22, 10)), course)
    words = " ".join(read_page(feedback_page("jane", [grace], course, {})).words.split())
    assert "in the time of grace, so all points count" in words
    assert "late" not in with_hand_in(late, handed_in(), course)


def test_full_points_that_came_late(course):
    late = with_hand_in(report("jane", course=course), handed_in(time=at(2, 10)), course)
    assert total(effective_points("jane", "ch3", late, course, {})) == 90


def test_several_files_of_a_chapter_are_asked_about(course):
    def with_problem(chapter, problem):
        return Submission(
            "jane", None, {chapter: HandedIn(chapter, "a and b", "", problem=problem)}, (problem,)
        )

    two = "a.py and b.py are all there, and not the same: keep the one that counts"
    asked = hand_in_questions([with_problem("ch1", two)], ["ch1"], course, "canvas")
    assert asked == [f"jane: {two}", f"jane: ch1: {two}"]
    assert hand_in_questions([with_problem("ch1", "a.py is larger than 1 MiB")], ["ch1"], course, "x") == []


def test_what_cannot_be_decided_is_asked(course):
    def asked(submissions, system="canvas"):
        return hand_in_questions(submissions, ["ch1", "ch3"], course, system)

    known = handed_in("a", time=at(1, 10))
    assert asked([known, handed_in("b", marked=False)]) == []
    [late] = asked([known, handed_in("b", marked=True), handed_in("c", marked=True)])
    assert late.startswith("ch3: canvas marks b, c as late, and does not say when")
    [unknown] = asked([known, handed_in("b"), handed_in("c")], "moodle")
    assert unknown.startswith("ch3 has a deadline, and nothing says when b, c handed it in")
    [clock] = asked([known], "classroom")
    assert "the students' own clocks" in clock
    many = asked([handed_in(f"s{n}") for n in range(50)], "folder")
    assert len(many) == 1 and "and 30 more students" in many[0]
