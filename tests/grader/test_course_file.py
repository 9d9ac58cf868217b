"""course.toml and its errors."""

import datetime

import pytest

from grader.course_file import LatePolicy, find_course_file, load_course
from grader.errors import GraderError
from tests.grader.toy import COURSE

LATE = "\n[late]\npercent_per_day = 10\ndays = 3\ngrace_minutes = 15\n"
UTC = datetime.UTC


def load(tmp_path, text: str):
    path = tmp_path / "course.toml"
    path.write_text(text)
    return load_course(path)


def test_a_course(tmp_path):
    dated = COURSE.replace(
        'module = "attention"', 'module = "attention"\ndeadline = 2026-10-01T23:59:00+02:00'
    )
    course = load(tmp_path, dated + LATE)
    chapter = course.chapters["ch3"]
    assert (course.title, course.reference, chapter.module) == ("Toy", "toy_solutions", "attention")
    assert list(chapter.points.items()) == [("causal_mask", 20), ("Attention", 70), ("count_up", 10)]
    assert chapter.deadline.astimezone(UTC).hour == 21
    assert course.late.percent_per_day == 10


def test_dropped_exercises_do_not_count(tmp_path):
    text = COURSE.replace('module = "attention"', 'module = "attention"\ndropped = ["count_up"]')
    chapter = load(tmp_path, text).chapters["ch3"]
    assert chapter.total == 90 and "count_up" not in chapter.points and chapter.dropped == ("count_up",)


@pytest.mark.parametrize(
    ("replace", "with_", "message"),
    [
        ("= 70", "= 60", "course.toml: chapters.ch3.points sum to 90, and must sum to 100"),
        ("= 70", "= 70.0", "chapters.ch3.points.Attention must be a whole number"),
        ("= 70", "= true", "chapters.ch3.points.Attention must be a whole number"),
        ("Attention = 70", "Attention = -10\nx = 80", "chapters.ch3.points.Attention must not be negative"),
        ('title = "Attention"\n', "", "chapters.ch3.title is missing"),
        ('module = "attention"', "module = 3", "chapters.ch3.module must be a string"),
        ('module = "attention"', 'module = "attention"\npints = 3', "chapters.ch3.pints is no key"),
        (
            'module = "attention"',
            'module = "attention"\ndeadline = 2026-10-01',
            "deadline must be a date and time",
        ),
        ('module = "attention"', 'module = "a"\ndeadline = 2026-10-01T10:00:00', "deadline needs an offset"),
        ('module = "attention"', 'module = "a"\ndropped = "count_up"', "dropped must be a list"),
        ('module = "attention"', 'module = "a"\ndropped = ["GELU"]', "dropped names 'GELU'"),
        ('reference = "toy_solutions"\n', "", "course.reference is missing"),
        ("[course]", "[curse]", "curse is no key"),
        ("[course]", "[course", "course.toml: "),
        ("[chapters.ch3]\n", "[late]\ndays = -1\n\n[chapters.ch3]\n", "late.days must not be negative"),
    ],
)
def test_errors_name_file_and_key(tmp_path, replace, with_, message):
    assert replace in COURSE
    with pytest.raises(GraderError, match=message):
        load(tmp_path, COURSE.replace(replace, with_))


def test_late_days():
    policy, deadline = LatePolicy(10, 3, 15), datetime.datetime(2026, 10, 1, 12, tzinfo=UTC)
    hours = {-5: 1.0, 0: 1.0, 0.25: 1.0, 0.3: 0.9, 24: 0.9, 24.1: 0.8, 72: 0.7, 72.1: 0.0}
    for late, factor in hours.items():
        assert policy.factor(deadline, deadline + datetime.timedelta(hours=late)) == pytest.approx(factor), (
            late
        )
    assert LatePolicy(60, 3).factor(deadline, deadline + datetime.timedelta(hours=30)) == 0.0
    assert policy.factor(None, deadline) == 1.0
    assert LatePolicy().factor(deadline, deadline + datetime.timedelta(seconds=1)) == 0.0


def test_it_is_found_above(tmp_path):
    (tmp_path / "course.toml").touch()
    assert find_course_file(tmp_path / "exercises" / "ch3") == tmp_path / "course.toml"
