"""Notebooks: the same exercises as in exercises/, and they run; with stubs they stop where one begins."""

import ast
import os
import tomllib
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.notebook_source import notebook_module
from grader.notebooks import BOOK, exercise_of, plain_notebook, source_notebook, write_notebooks
from tests.grader import nbgrader_class as made
from tests.grader.toy_course import write_toy_course

ROOT = Path(__file__).parents[2]
PAGES = sorted(page.stem for page in (ROOT / BOOK).glob("ch*.md"))
# all of them take some minutes: ALL_NOTEBOOKS=1 pytest tests/grader/test_notebooks.py
RUN = PAGES if os.environ.get("ALL_NOTEBOOKS") else ["ch1", "ch3"]


@pytest.fixture(scope="module")
def folder() -> CourseFolder:
    return CourseFolder(ROOT)


def definitions(source: str) -> dict[str, str]:
    """A module's functions, classes and constants, however they are laid out."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Try):  # how an import or a variable of a notebook is kept
            [node] = node.body
        targets = [one.id for one in getattr(node, "targets", ()) if isinstance(one, ast.Name)]
        for name in [node.name] if hasattr(node, "name") else targets:
            found[name] = ast.dump(node)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_the_answer_cells_are_the_module(folder, name):
    chapter = folder.chapter(name)
    stub = chapter.exercises_folder / chapter.module_file.name
    for notebook, module in (
        (plain_notebook(chapter), stub),
        (source_notebook(chapter), chapter.module_file),
    ):
        kept = notebook_module(nbformat.writes(notebook).encode(), f"{name}.ipynb").source
        own, expected = definitions(kept), definitions(module.read_text(encoding="utf-8"))
        # grading leaves out constants that nothing uses
        expected = {one: code for one, code in expected.items() if one in own or not one.isupper()}
        assert {one: own.get(one) for one in expected} == expected


@pytest.mark.parametrize("name", PAGES)
def test_hints_read_in_markdown_as_they_were_written(folder, name):
    chapter = folder.chapter(name)
    entries = tomllib.loads(chapter.hints_file.read_text(encoding="utf-8"))["hint"]
    shown = {}
    for cell in plain_notebook(chapter).cells:
        if cell.source.startswith("### Exercise"):
            page = BeautifulSoup(MarkdownIt().render(cell.source), "html.parser")
            assert not page.select("details strong, details em, details a")
            for summary in page.select("summary"):
                summary.decompose()
            shown[page.code.text] = [" ".join(one.text.split()) for one in page.select("details")]
    assert shown == {
        entry["exercise"]: [level.replace("`", "").removeprefix("1. ") for level in entry["levels"]]
        for entry in entries
    }


@pytest.mark.parametrize("name", PAGES)
def test_the_points_are_the_courses_and_the_plain_notebook_has_no_solution(folder, name):
    chapter = folder.chapter(name)
    source, plain = source_notebook(chapter), plain_notebook(chapter)
    points = {exercise_of(cell): cell.metadata.nbgrader.points for cell in source.cells if exercise_of(cell)}
    assert list(points.items()) == list(
        tomllib.loads((ROOT / "course.toml").read_text())["chapters"][name]["points"].items()
    )
    for cell in source.cells:
        if exercise_of(cell):
            assert cell.source == f'check("{exercise_of(cell)}")'
    answers = [
        cell for cell in source.cells if "answer-" in cell.metadata.get("nbgrader", {}).get("grade_id", "")
    ]
    assert answers and all(
        cell.cell_type == "markdown" and cell.metadata.nbgrader.solution for cell in answers
    )
    text = nbformat.writes(plain)
    assert "SOLUTION" not in text and "nbgrader" not in text and "NotImplementedError" in text
    assert "](ch" not in nbformat.writes(source)  # each assignment has a folder of its own
    assert "{exercise}" not in text and "{question}" not in text


def test_the_books_experiments_are_graded_only_where_they_were_changed(folder):
    notebook = source_notebook(folder.chapter("ch3"))

    def kept() -> str:
        return notebook_module(nbformat.writes(notebook).encode(), "ch3.ipynb").source

    assert "learn_random_digits" not in kept() and "matplotlib" not in kept()
    [cell] = [cell for cell in notebook.cells if "def learn_random_digits" in cell.source]
    cell.source = cell.source.replace("steps=400", "steps=40")
    assert "def learn_random_digits(layer, steps=40)" in kept() and "matplotlib" not in kept()


# ---- run in a kernel ----


def run(notebook, folder: Path):
    """The notebook with its outputs, and the error that ended it."""
    client = NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    try:
        client.execute()
    except CellExecutionError as error:
        return error
    return None


@pytest.mark.parametrize("name", RUN)
def test_it_runs_from_top_to_bottom_with_the_references_answers(folder, name, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = source_notebook(folder.chapter(name))
    error = run(notebook, ROOT)
    assert error is None, str(error)[-2000:]
    checks = [cell for cell in notebook.cells if exercise_of(cell)]
    for cell in checks:
        [output] = cell.outputs
        assert "✗" not in output.data["text/plain"] and "✓" in output.data["text/html"]


def test_with_stubs_it_stops_at_the_first_exercise(folder, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = plain_notebook(folder.chapter("ch3"))
    assert run(notebook, ROOT) is not None
    [last] = [
        cell for cell in notebook.cells if any(o.output_type == "error" for o in cell.get("outputs", ()))
    ]
    assert last.source == 'check("prefix_mean_loop")'
    shown, error = last.outputs
    assert error.traceback == ["prefix_mean_loop: not written yet"]
    assert "not written yet; its checks:" in shown.data["text/html"]
    after = notebook.cells[notebook.cells.index(last) + 1 :]
    assert not any(cell.get("outputs") for cell in after)


def test_what_is_wrong_shows_as_tables_and_what_is_mended_passes(folder, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    cells = {
        c.metadata.get("nbgrader", {}).get("grade_id"): c
        for c in source_notebook(folder.chapter("ch3")).cells
    }
    begin, module, mask, attend = (
        cells[name] for name in ("begin", "module", "causal_mask", "CausalAttention")
    )
    new = nbformat.v4.new_code_cell

    def changed(cell, old: str, by: str):
        assert old in cell.source
        return new(cell.source.replace(old, by))

    def attempt(name: str):
        return new(f'try:\n    check("{name}")\nexcept Exception as error:\n    print(error)')

    ready_made = (
        "scores = nn.functional.scaled_dot_product_attention(queries, keys, values)\n        scores ="
    )
    notebook = nbformat.v4.new_notebook(
        cells=[
            begin,
            module,
            attempt("causal_mask"),
            changed(mask, "diagonal=1", "diagonal=0"),
            attempt("causal_mask"),
            mask,
            new('check("causal_mask")'),
            changed(attend, "scores =", ready_made),
            attempt("CausalAttention"),
            changed(attend, "raise ValueError(", "raise KeyError('<b>' + "),
            attempt("CausalAttention"),
            attend,
            new('check("CausalAttention")'),
            attempt("CausalAttentoin"),
        ]
    )
    assert run(notebook, ROOT) is None
    shown = [
        (cell.outputs[0].get("data", {}).get("text/html", ""), cell.outputs[-1].get("text", ""))
        for cell in notebook.cells
        if "check(" in cell.source
    ]
    undefined, wrong, right, forbidden, raised, mended, misspelt = shown
    assert "causal_mask: not defined; run the cell above, where it is to be written" in undefined[1]
    assert "<caption><b>Expected</b>" in wrong[0] and "<caption><b>Actual</b>, ≠ differs" in wrong[0]
    assert wrong[0].count("<b>≠ -inf</b>") == 3 and "(mask-hides-itself)" in wrong[0]
    assert right[0].count("✓") == 2
    assert "scaled_dot_product_attention, on line " in forbidden[0]
    assert "&lt;b&gt;" in raised[0] and "<b>5" not in raised[0] and "In[10], line " not in raised[0]
    assert "✗" not in mended[0]  # the version with the ready-made function is forgotten
    assert "it has prefix_mean_loop, " in misspelt[1]


# ---- pages that do not convert ----


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("JOURNEY = [1, 2, 3]", "coin = 3", "a cell defines coin, as sums.py does"),
        ("JOURNEY = [1, 2, 3]", "import numpy as torch", "a cell defines torch, as sums.py does"),
        ("{exercise} coin", "{exercise} coins", "coins is no exercise"),
        ("{exercise} coin", "{exercise} Mixer", "Mixer is no exercise, or stands there twice"),
        ("```{exercise} coin\n```\n", "", "has no {exercise} coin"),
        (":points: 5\n", "", "why-spread says no :points:"),
    ],
)
def test_pages_that_would_make_wrong_notebooks_are_refused(tmp_path, old, new, says):
    assert old in made.PAGE
    write_toy_course(tmp_path, made.FILES | {"course/book/ch1.md": made.PAGE.replace(old, new)})
    with pytest.raises(GraderError) as raised:
        write_notebooks(toy(tmp_path), [], tmp_path / "out")
    assert says in str(raised.value)
    assert not list((tmp_path / "out").rglob("*.ipynb"))


def test_a_page_becomes_cells_in_its_order(tmp_path):
    write_toy_course(tmp_path, made.FILES)
    written = write_notebooks(toy(tmp_path), [], tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == [
        "source/ch1/ch1.ipynb",
        "study/ch1.ipynb",
    ]
    source, plain = (nbformat.read(path, 4) for path in written)
    nbformat.validate(source), nbformat.validate(plain)
    assert [cell.get("metadata", {}).get("nbgrader", {}).get("grade_id") for cell in source.cells] == [
        *(None, "begin", "module", None, None, "standardise", "check-standardise"),
        *("question-why-spread", "answer-why-spread", None, "Mixer", "check-Mixer", None, None),
        *(None, "coin", "check-coin", None),
    ]
    assert (
        "[chapter 1](ch1.ipynb)" in plain.cells[0].source and "After chapter 1 you" in source.cells[0].source
    )
    assert "A line that goes up." in plain.cells[13].source


def toy(root: Path) -> CourseFolder:
    """A course folder whose reference stays in its own place: others of the same name may be imported."""
    folder = CourseFolder(root)
    from grader.chapters import Tree

    folder.tree = Tree(folder.course.reference, root / folder.course.reference)
    return folder
