"""A week with Canvas: its download is graded for real, and the grades go back into its gradebook."""

import csv
import io
import json

import pytest

from grader.hashes import round_hash
from grader.pseudonyms import pseudonym
from tests.grader import toy_course
from tests.grader.downloads import canvas_gradebook, canvas_name
from tests.grader.handed_in import zip_bytes
from tests.grader.test_grading import run

HONEST = toy_course.MODULE
MISTAKE = HONEST.replace("(x - x.mean())", "x")
RAISING = HONEST.replace("return torch.softmax(", 'raise ValueError("MARK")\n        return torch.softmax(')
DEADLINE = 'module = "sums"\ndeadline = 2026-10-01T23:59:00+02:00\n'
LATE = "\n[late]\npercent_per_day = 10\ndays = 5\n\n[export]\ndecimals = 1\n\n[export.maxima]\nch1 = 20\n"
STUDENTS = 20


def source(n: int) -> str:
    """What student n handed in, with a mark that nobody else has."""
    text = (HONEST, MISTAKE, RAISING)[n % 3].replace("MARK", f"mark-{n:03}-error")
    return f"# mark-{n:03}\nprint('mark-{n:03}-printed')\n" + text


def expected(n: int) -> int:
    return (100, 80, 50)[n % 3]


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    """The course's folder, after the class was graded; beside it the download, gradebook and results."""
    around = tmp_path_factory.mktemp("week")
    course = around / "course"
    toy_course.write_toy_course(course)
    (course / "course.toml").write_text(toy_course.COURSE.replace('module = "sums"\n', DEADLINE) + LATE)
    assert run(course, "release").returncode == 0
    people = [(f"Name{n}, First", 1000 + n, f"login{n}") for n in range(STUDENTS)]
    (around / "gradebook.csv").write_bytes(
        canvas_gradebook([*people, ("Absent, A", 5000, "absent")], {"Sums (7)": "20.00", "Other (8)": "9.00"})
    )
    files = {
        canvas_name(name, user, 50 + n, "sums.py" if n % 2 else "sums-1.py", late=n == 4): source(n)
        for n, (name, user, _) in enumerate(people)
        if n != 5
    }
    files[canvas_name(*people[5][:2], 55, "work.zip")] = zip_bytes(
        {"my-gpt/exercises/ch1/sums.py": source(5)}
    )
    files[canvas_name("Stranger, S", 9999, 99, "sums.py")] = HONEST
    (around / "submissions.zip").write_bytes(zip_bytes(files))
    times = {4: "", 6: "2026-10-02T08:00:00+02:00", 7: "2026-10-03T00:00:00+02:00"}
    rows = [
        f"{login},{user},{times.get(n, '2026-10-01T20:00:00+02:00')}"
        for n, (_, user, login) in enumerate(people)
    ]
    (around / "roster.csv").write_text("\n".join(["student,canvas_id,submitted_at", *rows, "absent,5000,"]))
    done = run(
        course,
        *("grade", around / "submissions.zip", "--to", around / "results", "--roster", around / "roster.csv"),
        *("--seed", "7", "--pseudonyms"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return course, done.stdout


def counts(n: int) -> float:
    return expected(n) * {6: 0.9, 7: 0.8}.get(n, 1)


def test_everybody_is_graded_and_late_days_count(week):
    course, told = week
    with open(course.parent / "results" / "grades.csv", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert len(rows) == STUDENTS + 1
    for n in range(STUDENTS):
        assert float(rows[f"login{n}"]["points"]) == pytest.approx(counts(n)), n
        assert float(rows[f"login{n}"]["standardise"]) == (0 if n % 3 == 1 else 20)  # before what is lost
    assert rows["strangers_9999 (unmatched)"]["points"] == "100"
    questions = (course.parent / "results" / "questions.txt").read_text()
    assert "strangers_9999 is not in" in questions
    assert "ch1: canvas marks login4 as late, and does not say when" in questions
    for question in questions.splitlines():
        assert question in told
    assert "1 of the roster handed in nothing: absent" in told


def test_nothing_of_one_student_is_in_what_another_gets(week):
    course, _ = week
    results = course.parent / "results"
    done = run(course, "export", results, "--gradescope", "--to", course.parent / "gradescope", "--overwrite")
    assert done.returncode == 0, done.stderr
    marks = {f"mark-{n:03}" for n in range(STUDENTS)} | {f"login{n}" for n in range(STUDENTS)}
    marks |= {f"{1000 + n}" for n in range(STUDENTS)}
    for n in range(STUDENTS):
        own = {f"mark-{n:03}", f"login{n}", f"{1000 + n}"}
        page = (results / f"login{n}" / "feedback.html").read_text()
        scores = (course.parent / "gradescope" / f"login{n}" / "results.json").read_text()
        report = (results / f"login{n}" / "ch1.json").read_text()
        for text in (page, scores, report):
            found = {
                mark for mark in marks - own if f'{mark}"' in text or f"{mark}<" in text or f"{mark}-" in text
            }
            assert not found, (n, found)
        if n % 3 == 2:
            assert f"mark-{n:03}-error" in page  # the search above can find one
        assert f"mark-{n:03}-printed" in report and "printed" not in page + scores


def test_the_log_has_pseudonyms(week):
    course, _ = week
    log = (course.parent / "results" / "log.jsonl").read_text()
    assert "login" not in log and "stranger" not in log
    master = json.loads((course.parent / "results" / "round.json").read_text())["master"]
    assert pseudonym("login3", round_hash(master)) in log
    assert "under pseudonyms" in (course.parent / "results" / "class.html").read_text()


def test_back_into_the_gradebook(week):
    course, _ = week
    gradebook = course.parent / "gradebook.csv"
    before = gradebook.read_bytes()
    done = run(
        course,
        *("export", course.parent / "results", "--canvas", gradebook, "--to", course.parent / "new.csv"),
    )
    assert done.returncode == 0, done.stderr
    assert "not in the file, 1: strangers_9999 (unmatched)" in done.stdout
    rows = list(csv.reader(io.StringIO((course.parent / "new.csv").read_text(), newline="")))
    assert [row[5] for row in rows[3:]] == [
        *(f"{counts(n) / 5:.1f}" for n in range(STUDENTS)),
        "",
    ]
    assert [row[:5] + row[6:] for row in rows] == [
        row[:5] + row[6:] for row in csv.reader(io.StringIO(before.decode(), newline=""))
    ]
    assert gradebook.read_bytes() == before


def test_a_time_that_is_told_later_changes_the_points_without_judging_anew(week):
    course, _ = week
    around = course.parent
    roster = around / "roster.csv"
    roster.write_text(roster.read_text().replace("login4,1004,", "login4,1004,2026-10-02T08:00:00+02:00"))
    command = (
        "grade",
        around / "submissions.zip",
        "--to",
        around / "results",
        "--roster",
        roster,
        "--pseudonyms",
    )
    done = run(course, *command)
    assert done.returncode == 0, done.stderr
    if "0 graded, 21 unchanged" not in done.stdout:  # a developer's edit of the grader in between
        assert "21 graded, 0 unchanged" in done.stdout
    with open(around / "results" / "grades.csv", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert float(rows["login4"]["points"]) == expected(4) * 0.9
    assert "login4" not in (around / "results" / "questions.txt").read_text()
    page = (around / "results" / "login4" / "feedback.html").read_text()
    assert "90 % of the points count" in page

    done = run(course, "forget", "login4", around / "results")
    assert done.returncode == 0, done.stderr
    assert "login4" not in (around / "results" / "grades.csv").read_text()
    assert not (around / "results" / "login4").exists() and "backups" in done.stdout
