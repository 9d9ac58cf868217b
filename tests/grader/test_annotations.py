"""Failures as GitHub Actions marks them on the student's lines."""

import os
import re
import subprocess
import sys

import pytest

from grader import sandbox
from tests.grader import toy_course
from tests.grader.test_grading import run

FORM = re.compile(r"::error file=([^,:]+),line=(\d+),title=([^,:]+)::(.*)")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy") / "course"
    toy_course.write_toy_course(root)
    assert run(root, "release").returncode == 0
    return root


def push(course, source: str):
    """What the workflow runs, on a student's module; without the reference and the hidden checks."""
    module = course / "exercises" / "ch1" / "sums.py"
    stub = module.read_text()
    module.write_text(source)
    environment = os.environ | {"PYTHONPATH": str(sandbox.HERE.parent), "COLUMNS": "80", "PY_COLORS": "0"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "grader.pytest_plugin", "exercises", "--github"],
            cwd=course,
            env=environment,
            capture_output=True,
            text=True,
        )
    finally:
        module.write_text(stub)
    return (
        done.returncode,
        [FORM.fullmatch(line) for line in done.stdout.splitlines() if line.startswith("::")],
        done,
    )


def test_lines_of_the_students_own(course):
    raising = toy_course.MODULE.replace(
        "return torch.softmax(self.mix(x), dim=-1)", 'raise ValueError("50% of\\n::error::all, or none")'
    ).replace("(x - x.mean())", "x")
    code, found, done = push(course, raising)
    assert code == 1 and len(found) == 2 and all(found), done.stdout
    lines = raising.splitlines()
    by_title = {match[3]: match for match in found}
    wrong = by_title["standardise%2C mean_and_spread"]
    assert wrong[1] == "exercises/ch1/sums.py" and lines[int(wrong[2]) - 1].startswith("def standardise")
    assert "The mean stays in." in wrong[4]
    error = by_title["Mixer%2C mixes"]
    assert "raise ValueError" in lines[int(error[2]) - 1] and "\n" not in error[0]
    assert "50%25 of" in error[4] and "%0A" in error[4]


def test_what_is_not_begun_is_no_failure(course):
    stub = (course / "exercises" / "ch1" / "sums.py").read_text()
    code, found, done = push(course, stub)
    assert code == 0 and found == [], done.stdout
    code, found, done = push(course, toy_course.MODULE)
    assert code == 0 and found == [], done.stdout
    code, found, _ = push(course, "def standardise(:\n")
    assert code == 1 and found[0][1] == "exercises/ch1/sums.py" and found[0][2] == "1"


def test_the_workflow_is_one(course):
    import yaml

    text = (sandbox.HERE / "platforms" / "github_checks.yml").read_text()
    workflow = yaml.safe_load(text)
    assert workflow[True] == "push" and workflow["permissions"] == {"contents": "read"}
    steps = workflow["jobs"]["checks"]["steps"]
    assert steps[-1] == {"run": "pytest exercises --github"}
    assert "tests/" not in text and "solutions" not in text
