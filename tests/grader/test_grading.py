"""`grader grade`: grades, what is graded again, kills, faults and the words for them."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from grader import sandbox
from grader.chapters import Tree  # noqa: F401  (so that its cost is paid once)
from tests.grader import toy_course

HONEST = toy_course.MODULE
MISTAKE = HONEST.replace("(x - x.mean())", "x")
STUB_OF_ALL = "import torch\nfrom torch import nn\n"
GRADER = [sys.executable, "-m", "grader.cli"]


@pytest.fixture
def course(tmp_path):
    """A toy course with its exercises released, and a class that handed in."""
    root = tmp_path / "course"
    toy_course.write_toy_course(root)
    run(root, "release")
    for student, source in {"ann": HONEST, "bob": MISTAKE, "cem": STUB_OF_ALL}.items():
        folder = tmp_path / "submissions" / student
        folder.mkdir(parents=True)
        (folder / "sums.py").write_text(source)
    return root


def run(root, *arguments, **options):
    environment = os.environ | {
        "COLUMNS": "80",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(sandbox.HERE.parent),
    }
    return subprocess.run(
        [*GRADER, *map(str, arguments)], cwd=root, env=environment, capture_output=True, text=True, **options
    )


def grade(root, *arguments, **options):
    given = (root.parent / "submissions", "--to", root.parent / "results", "--workers", "1", *arguments)
    return run(root, "grade", *given, **options)


def grades(root) -> dict[str, dict]:
    with open(root.parent / "results" / "grades.csv", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def report(root, student: str) -> dict:
    return json.loads((root.parent / "results" / student / "ch1.json").read_text())


def test_a_class_is_graded_and_only_what_changed_again(course):
    done = grade(course, "--seed", "7")
    assert done.returncode == 0, done.stderr
    assert {name: row["points"] for name, row in grades(course).items()} == {
        "ann": "100",
        "bob": "80",
        "cem": "0",
    }
    bob = report(course, "bob")
    assert [
        turn["name"] for check in bob["checks"] for turn in check["misconceptions"] if check["hidden"]
    ] == ["not-centred"]
    assert bob["tier"]["name"] in ("bubblewrap", "other user", "plain") and bob["tier"]["says"]
    for name in ("class.html", "log.jsonl", "bob/feedback.html"):
        assert (course.parent / "results" / name).is_file()
    assert "3 graded, 0 unchanged" in done.stdout

    (course.parent / "submissions" / "bob" / "sums.py").write_text(HONEST)
    done = grade(course)
    assert "1 graded, 2 unchanged" in done.stdout and grades(course)["bob"]["points"] == "100"
    hidden = course / "tests" / "ch1" / "test_sums.py"
    hidden.write_text(hidden.read_text() + "\n")
    assert "3 graded, 0 unchanged" in grade(course).stdout
    assert "0 graded, 3 unchanged" in grade(course).stdout
    assert "3 graded, 0 unchanged" in grade(course, "--force").stdout


def test_the_same_round_gives_the_same_report(course):
    def told(student):
        found = report(course, student)
        for check in found["checks"]:
            del check["seconds"]
        del found["times"]
        return found

    grade(course, "--seed", "7")
    first = [told(student) for student in ("ann", "bob", "cem")]
    shutil.rmtree(course.parent / "results")
    grade(course, "--seed", "7")
    assert [told(student) for student in ("ann", "bob", "cem")] == first
    before = first[1]["hashes"]["round"]
    shutil.rmtree(course.parent / "results")
    grade(course)
    assert report(course, "bob")["hashes"]["round"] != before


def test_an_override_survives(course):
    grade(course)
    overrides = "student,chapter,exercise,points,reason\nbob,ch1,standardise,15,told in the lecture\n"
    (course.parent / "results" / "overrides.csv").write_text(overrides)
    grade(course, "--force")
    assert grades(course)["bob"]["standardise"] == "15" and grades(course)["bob"]["points"] == "95"
    assert "told in the lecture" in (course.parent / "results" / "bob" / "feedback.html").read_text()


def test_an_override_of_nobody_is_refused_before_anything_is_graded(course):
    (course.parent / "results").mkdir()
    overrides = "student,chapter,exercise,points,reason\ndee,ch1,standardise,15,\nanne,ch1,standardise,15,\n"
    (course.parent / "results" / "overrides.csv").write_text(overrides)
    (course.parent / "roster.csv").write_text("student\nann\nbob\ncem\ndee\n")
    done = grade(course, "--roster", course.parent / "roster.csv")
    assert done.returncode == 2 and "overrides.csv, line 3, column student" in done.stderr
    assert "is it ann?" in done.stderr and not (course.parent / "results" / "grades.csv").exists()


def test_only_some_students(course):
    grade(course)
    before = {student: report(course, student) for student in ("ann", "bob", "cem")}
    pages = {path: path.read_bytes() for path in (course.parent / "results").glob("*/feedback.html")}
    for student in before:
        (course.parent / "submissions" / student / "sums.py").write_text(HONEST)
    done = grade(course, "--student", "bob")
    assert done.returncode == 0 and "1 graded, 0 unchanged" in done.stdout, done.stderr
    assert "ch1: bob 100 of 100; after late days and overrides" in done.stdout
    assert {student: row["points"] for student, row in grades(course).items()} == {
        "ann": "100",
        "bob": "100",
        "cem": "0",
    }
    assert [report(course, student) == before[student] for student in before] == [True, False, True]
    assert [path.parent.name for path, data in pages.items() if path.read_bytes() != data] == ["bob"]
    done = grade(course, "--student", "bob", "--student", "ann", "--force")
    assert "2 graded, 0 unchanged" in done.stdout and "ann 100 of 100, bob 100 of 100;" in done.stdout
    done = grade(course, "--student", "bobb")
    assert done.returncode == 2 and "--student bobb: nobody of that name" in done.stderr
    assert "there is bob" in done.stderr


@pytest.mark.parametrize("target", ["the command", "a judge"])
def test_killed_and_gone_on_with(course, target):
    for number in range(12):
        folder = course.parent / "submissions" / f"student-{number:02}"
        folder.mkdir()
        (folder / "sums.py").write_text(HONEST if number % 2 else MISTAKE)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(sandbox.HERE.parent)}
    command = [
        *GRADER,
        "grade",
        str(course.parent / "submissions"),
        "--to",
        str(course.parent / "results"),
        "--workers",
        "1",
    ]
    running = subprocess.Popen(
        command, cwd=course, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    results = course.parent / "results"
    while running.poll() is None and len(list(results.glob("*/ch1.json"))) < 3:
        time.sleep(0.01)
    if target == "the command":
        running.kill()
        running.communicate()
        assert grade(course).returncode == 0
    else:
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        judge = next(pid for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text())
        os.kill(int(judge), signal.SIGKILL)
        running.communicate()
        assert running.returncode == 0
    points = {name: row["points"] for name, row in grades(course).items()}
    assert points == {"ann": "100", "bob": "80", "cem": "0"} | {
        f"student-{number:02}": "100" if number % 2 else "80" for number in range(12)
    }
    assert not [path for path in results.rglob("*") if path.name.endswith(".tmp")]


def test_a_judge_that_fails_is_a_grader_fault_and_not_a_zero(course):
    """The reference itself fails: no student is to blame."""
    solution = course / "toy_reference" / "ch1" / "sums.py"
    solution.write_text(solution.read_text().replace("x.std(unbiased=False)", "1 / 0"))
    done = grade(course)
    assert done.returncode == 3 and "grader fault" in done.stdout and "    the first: " in done.stdout
    assert grades(course)["ann"]["points"] == ""


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["no-such-folder", "--to", "r"], "no-such-folder is no folder and no zip"),
        (["tests", "--to", "r", "--chapter", "ch9"], "no chapter ch9"),
        (["empty", "--to", "r"], "empty is empty"),
        (["tests", "--to", "course.toml"], "course.toml"),
    ],
)
def test_the_users_mistakes_are_one_line_and_exit_2(course, arguments, said):
    (course / "empty").mkdir()
    done = run(course, "grade", *arguments)
    assert done.returncode == 2 and said in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("grader:")]) == 1
    assert "Traceback" not in done.stderr


def test_a_chapter_that_nobody_handed_in_is_refused(course):
    for path in (course.parent / "submissions").glob("*/sums.py"):
        path.rename(path.with_name("other.py"))
    done = grade(course)
    assert done.returncode == 2 and "handed in sums.py (ch1): is this the right folder?" in done.stderr
    assert not (course / "results").exists() or not list((course / "results").glob("*/ch1.json"))
    with zipfile.ZipFile(course.parent / "submissions" / "download.zip", "w") as archive:
        archive.writestr("doejane_11_901_sums.py", HONEST)
    done = grade(course)
    said = " ".join(done.stderr.split())
    assert done.returncode == 2 and "download.zip looks like a download from Canvas: give that" in said


def test_require_sandbox_refuses_where_there_is_none(course, monkeypatch):
    programs = course.parent / "programs"  # a PATH without bwrap
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    done = grade(course, "--require-sandbox")
    assert (
        done.returncode == 2
        and "--require-sandbox" in done.stderr
        and "bubblewrap is not installed" in done.stderr
    )
    assert not (course.parent / "results").exists()
    done = grade(course)
    assert done.returncode == 0 and report(course, "ann")["tier"]["name"] in ("other user", "plain")


def test_not_handed_in_is_said_and_counts_nothing(course):
    (course.parent / "submissions" / "dee").mkdir()
    (course.parent / "submissions" / "dee" / "notes.txt").write_text("sorry")
    done = grade(course)
    assert grades(course)["dee"]["points"] == "0" and "dee" in done.stdout
    assert {exercise["state"] for exercise in report(course, "dee")["exercises"]} == {"missing"}


def test_doctor_says_what_there_is(course):
    done = run(course, "doctor")
    assert done.returncode == 0, done.stdout
    for word in ("python:", "torch 2.", "sandbox:", "cores:", "GiB free", "hidden checks for 1 of 1"):
        assert word in done.stdout
    assert all(len(line) <= 80 or "/" in line for line in done.stdout.splitlines())
    done = run(course.parent, "doctor")
    assert done.returncode == 1 and "no course.toml" in done.stdout
