"""nbgrader's own commands with our judge, from init to export: the same grades as `grader grade`."""

import csv
import doctest
import html
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from grader import nbgrader_steps, sandbox
from grader.course_file import load_course
from grader.exports import Wanted, export
from tests.grader import nbgrader_class as made
from tests.grader.nbgrader_class import Handing, code, id_of, text
from tests.grader.toy_course import MODULE, write_toy_course

GRADER = [sys.executable, "-m", "grader.cli"]
NBGRADER = [shutil.which("nbgrader", path=str(Path(sys.executable).parent))]
TWO_COMMANDS = """
import sys
from grader.cli import app
app(["release"], standalone_mode=False)
app(["nbgrader", "init", sys.argv[1]], standalone_mode=False)
"""
EXERCISES = ("standardise", "Mixer", "coin")


def run(command, folder: Path, *, ok: bool = True):
    environment = os.environ | {
        "COLUMNS": "80",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(sandbox.HERE.parent), os.environ.get("PYTHONPATH", "")]),
        "HOME": str(folder),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    done = subprocess.run([*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True)
    assert not ok or done.returncode == 0, done.stderr[-3000:]
    return done


def auto_scores(course: Path) -> dict[str, dict[str, float | None]]:
    """By student and exercise, straight from the database."""
    query = """
        SELECT submitted_assignment.student_id, base_cell.name, grade.auto_score FROM grade
        JOIN base_cell ON grade.cell_id = base_cell.id
        JOIN submitted_notebook ON grade.notebook_id = submitted_notebook.id
        JOIN submitted_assignment ON submitted_notebook.assignment_id = submitted_assignment.id"""
    found: dict[str, dict] = {}
    with sqlite3.connect(course / "gradebook.db") as book:
        for student, name, score in book.execute(query):
            if name.startswith("check-"):
                found.setdefault(student, {})[name.removeprefix("check-")] = score
    return found


def score(course: Path, student: str) -> float:
    """What nbgrader says that a student has, late days off."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "toy-course") as book:
        submission = book.find_submission("ch1", student)
        return submission.score - submission.late_submission_penalty


def files_of(course: Path) -> dict[str, bytes]:
    """What a submission must leave alone."""
    names = ("nbgrader_config.py", "source/ch1/ch1.ipynb", "release/ch1/ch1.ipynb")
    return {name: (course / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A course of nbgrader's, and what a class handed in; autograded once."""
    root = tmp_path_factory.mktemp("nbgrader") / "toy"
    write_toy_course(root, made.FILES)
    course = root.parent / "course"
    run([sys.executable, "-c", TWO_COMMANDS, course], root)
    run([*NBGRADER, "generate_assignment", "ch1"], course)
    handing = Handing(course, course / "release/ch1/ch1.ipynb", course / "source/ch1/ch1.ipynb")
    whole = handing.notebook()
    archive = course / "downloaded/ch1/archive"
    archive.mkdir(parents=True)
    with zipfile.ZipFile(archive / "class.zip", "w") as file:
        file.writestr("class/ann/ch1.ipynb", json.dumps(whole))
        file.writestr("class/lea_ch1.ipynb", json.dumps(handing.released))
    run([*NBGRADER, "zip_collect", "ch1"], course)
    handing.hand_in("bob", handing.notebook(made.MISTAKE))
    handing.hand_in("cem", whole | {"cells": [text("All in one."), code(MODULE)]})
    handing.hand_in("dee", MODULE, name="sums.py")
    handing.hand_in("eve", made.hostile(handing.notebook(), course))
    handing.hand_in("fay", '{"cells": [{"cell_type": "code", ')
    handing.hand_in("gus", with_gaps_and_doubles(handing.notebook()))
    handing.hand_in("hal", handing.notebook(made.WARNS))
    handing.hand_in("ida", handing.notebook(made.LOOP))
    handing.hand_in("kim", answered(handing.notebook(made.MISTAKE)), stamp=made.LATE)
    before = files_of(course)
    done = run([*NBGRADER, "autograde", "ch1"], course)
    return root, course, handing, before, done


def with_gaps_and_doubles(notebook: dict) -> dict:
    """No cell with the points of Mixer; coin's answer twice, the first one wrong."""
    cells = [cell for cell in notebook["cells"] if id_of(cell) not in ("check-Mixer", "begin")]
    at = next(i for i, cell in enumerate(cells) if id_of(cell) == "coin")
    wrong = json.loads(json.dumps(cells[at]))
    wrong["source"] = "def coin(n):\n    return None"
    return notebook | {"cells": [*cells[:at], wrong, *cells[at:], cells[at + 1]]}


def answered(notebook: dict) -> dict:
    for cell in notebook["cells"]:
        if id_of(cell) == "answer-why-spread":
            cell["source"] = "So that nothing is divided by **zero**, for $T<3$."
    return notebook


@pytest.fixture(scope="module")
def results(world):
    """What `grader grade` makes of the same work."""
    root, course, _, _, _ = world
    folder = root.parent / "results"
    run([*GRADER, "grade", course / "submitted", "--to", folder, "--chapter", "ch1", "--workers", "1"], root)
    return folder


def test_grades_are_those_of_grader_grade(world, results):
    _, course, _, _, _ = world
    with (results / "grades.csv").open(newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    graded = auto_scores(course)
    assert {name: [float(rows[name][one]) for one in EXERCISES] for name in graded} == {
        name: [scores[one] for one in EXERCISES] for name, scores in graded.items()
    }
    totals = {name: sum(scores.values()) for name, scores in graded.items()}
    assert totals == {
        "ann": 100, "bob": 80, "cem": 100, "eve": 0, "fay": 0, "gus": 100, "hal": 100, "ida": 80,
        "kim": 80, "lea": 0,
    }  # fmt: skip
    assert score(course, "kim") == float(rows["kim"]["points"]) == 72


def test_the_hostile_one_left_everything_alone(world):
    root, course, _, before, _ = world
    assert files_of(course) == before
    with sqlite3.connect(course / "gradebook.db") as book:
        assert book.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert {row[0] for row in book.execute("SELECT max_score FROM grade_cells")} == {20, 50, 30, 5}
    assert not list(root.parent.rglob("taken"))
    autograded = (course / "autograded/eve/ch1/ch1.ipynb").read_text()
    assert "<script" not in autograded and "<img" not in autograded and "javascript:" not in autograded
    ids = [id_of(cell) for cell in json.loads(autograded)["cells"] if id_of(cell)]
    released = json.loads((course / "release/ch1/ch1.ipynb").read_text())
    assert sorted(ids) == sorted(id_of(cell) for cell in released["cells"] if id_of(cell))


def test_cells_are_read_as_data_and_nothing_in_their_text_is_markup(tmp_path):
    assert doctest.testmod(nbgrader_steps).failed == 0
    image = {"image/png": "aGk=", "image/svg+xml": "<svg onload=x>", "text/html": "<b>"}
    cells = [
        text("half \ud800 a character", attachments={"x": 3}) | {"attachments": {"a": image, "b": [1]}},
        code("x = 1", nbgrader={"grade_id": "coin"}, other="gone") | {"outputs": [{"output_type": "?"}]},
        {"cell_type": "raw", "source": ["a", "b", 3]},
    ]
    file = tmp_path / "ch1.ipynb"
    file.write_text(json.dumps({"cells": cells, "metadata": {"widgets": {}}}))
    notebook = nbgrader_steps.cells_of(file)
    nbformat.validate(notebook)
    assert [cell.source for cell in notebook.cells] == ["half ? a character", "x = 1", "ab"]
    assert notebook.cells[0].attachments == {"a": {"image/png": "aGk="}}
    assert notebook.cells[1].metadata == {"nbgrader": {"grade_id": "coin"}} and not notebook.cells[1].outputs
    assert "widgets" not in notebook.metadata
    file.unlink()
    (tmp_path / "solution.ipynb").write_text(json.dumps({"cells": cells}))
    file.symlink_to(tmp_path / "solution.ipynb")
    [cell] = nbgrader_steps.cells_of(file).cells
    assert cell.source == "**ch1.ipynb is no file**"


def test_feedback_says_what_our_feedback_says(world):
    _, course, _, _, _ = world
    run([*NBGRADER, "generate_feedback", "ch1"], course)
    pages = {page.parts[-3]: page.read_text() for page in (course / "feedback").glob("*/ch1/ch1.html")}
    assert set(pages) == {"ann", "bob", "cem", "eve", "fay", "gus", "hal", "ida", "kim", "lea"}
    bob = pages["bob"]
    assert "The mean stays in." in bob and "(Score: 80.0 / 105.0)" in bob and "Late submission" not in bob
    assert "A hidden look at the spread." in bob  # its own words, and nothing else of it
    assert 'mend that, then `check("standardise")`' in html.unescape(bob)
    for secret in ("SECRET_OFFSET", "4711", "hidden_spread", "os.kill"):
        assert not any(secret in page for page in pages.values()), secret
    assert "Late submission penalty (Score: -8.0)" in pages["kim"]
    assert "is no notebook" in pages["fay"]
    assert "Ran too long" in pages["ida"]
    assert "Not started" in pages["lea"] or "not started" in pages["lea"]
    assert "<script>document" not in pages["eve"]


def test_export(world):
    _, course, _, _, _ = world
    run([*NBGRADER, "export"], course)
    with (course / "grades.csv").open(newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert {name: float(rows[name]["score"]) for name in ("ann", "bob", "eve", "kim")} == {
        "ann": 100, "bob": 80, "eve": 0, "kim": 72,
    }  # fmt: skip


def test_grades_go_into_a_gradebook_and_nothing_else_in_it_changes(world, results, capsys):
    root, course, _, _, _ = world
    book_file = root.parent / "copy.db"
    shutil.copy(course / "gradebook.db", book_file)
    with Gradebook(f"sqlite:///{book_file}", "toy-course") as book:
        book.add_student("dee")  # who handed in a module, which nbgrader passes over
        book.find_grade("check-coin", "ch1", "ch1", "bob").auto_score = 1
        book.find_grade("check-Mixer", "ch1", "ch1", "bob").manual_score = 33
        book.find_grade("check-Mixer", "ch1", "ch1", "bob").extra_credit = 2
        book.find_comment("answer-why-spread", "ch1", "ch1", "bob").manual_comment = "See me."
        book.find_submission_notebook("ch1", "ch1", "kim").late_submission_penalty = None
        book.db.commit()
    before = rows_of(book_file)

    wanted = Wanted(results, None, nbgrader=book_file)
    export(wanted, load_course(root / "course.toml"))
    assert capsys.readouterr().out.startswith(f"{book_file}: 3 set, 8 so already")  # bob, dee and kim
    after = rows_of(book_file)
    with Gradebook(f"sqlite:///{book_file}", "toy-course") as book:
        assert book.find_submission("ch1", "dee").score == 100
        assert book.find_submission("ch1", "bob").score == 0 + 33 + 2 + 30
        assert book.find_submission("ch1", "kim").late_submission_penalty == pytest.approx(8)
    dees = [row for row in after if row not in before and "dee" in row]
    assert len(dees) == 1  # the submission; its rows below have other keys
    assert sum(row not in after for row in before) == 2  # bob's coin and kim's late days

    export(wanted, load_course(root / "course.toml"))
    assert capsys.readouterr().out.startswith(f"{book_file}: 0 set, 11 so already")
    assert rows_of(book_file) == after

    with Gradebook(f"sqlite:///{book_file}", "toy-course") as book:
        book.find_grade_cell("check-coin", "ch1", "ch1").max_score = 40
        book.db.commit()
    before = book_file.read_bytes()
    refused = run([*GRADER, "export", results, "--nbgrader", book_file], root, ok=False)
    assert refused.returncode == 2 and "coin is worth 40 there, and 30 here" in refused.stderr
    assert book_file.read_bytes() == before


def rows_of(book_file: Path) -> list[str]:
    with sqlite3.connect(book_file) as book:
        return sorted(line for line in book.iterdump() if line.startswith("INSERT"))


def test_what_a_person_graded_stays_and_a_lost_judge_gives_nothing(world):
    _, course, handing, _, _ = world
    url = f"sqlite:///{course / 'gradebook.db'}"
    with Gradebook(url, "toy-course") as book:
        assert book.find_submission("ch1", "kim").needs_manual_grade
        book.find_grade("answer-why-spread", "ch1", "ch1", "kim").manual_score = 4
        book.find_comment("answer-why-spread", "ch1", "ch1", "kim").manual_comment = "Well said."
        book.db.commit()
    handing.hand_in("kim", answered(handing.notebook()), stamp=made.LATE)
    handing.hand_in("ann", handing.notebook(made.ALL_HEADS))  # at which the judge of this course dies
    assert auto_scores(course)["ann"] == {"standardise": 20, "Mixer": 50, "coin": 30}

    lost = run([*NBGRADER, "autograde", "ch1", "--student", "[ak]*", "--force"], course, ok=False)

    assert score(course, "kim") == pytest.approx(0.9 * 104)
    with Gradebook(url, "toy-course") as book:
        answer = book.find_comment("answer-why-spread", "ch1", "ch1", "kim")
        assert answer.comment == "Well said."
        assert book.find_submission("ch1", "ann").needs_manual_grade
    assert lost.returncode != 0 and "the judge was lost" in lost.stderr
    assert auto_scores(course)["ann"] == dict.fromkeys(EXERCISES)
    assert score(course, "ann") == 0
    assert not (course / "autograded/ann/ch1").exists()  # so that the next run tries again
