"""Assembled checks: a student's own chapters together, and who is to blame when they do not fit."""

import sys

import pytest

from grader.answers import Live
from grader.chapter_run import ChapterRun
from grader.chapters import Tree, read_source
from grader.checks import checks_of
from grader.failure_text import failure_text
from grader.own_chapters import OwnChapters, needed_chapters
from grader.summary import exercise_states

LEAF = '''
def double(x):
    """Twice x."""
    return 2 * x
'''
MIDDLE = '''
from ..ch1.leaf import double


def quadruple(x):
    """Four times x."""
    return double(double(x))
'''
TOP = '''
from ..ch2 import middle


def answer(x):
    """Four times x, and 2."""
    return middle.quadruple(x) + 2
'''
ALONE = "def nothing():\n    pass\n"
CHAPTERS = {"ch1": ("leaf", LEAF), "ch2": ("middle", MIDDLE), "ch3": ("alone", ALONE), "ch4": ("top", TOP)}
CHECKS = '''
from grader.checks import check


@check("answer")
def values(top):
    """The answer to 10."""
    return top.answer(10)


@check("answer", needs="values", assembled=True)
def pieces_together(top, leaf, middle):
    """Your own pieces together."""
    return {"ch1": leaf.double(10), "ch2": middle.quadruple(10), "ch4": top.answer(10)}
'''


@pytest.fixture
def course(tmp_path, monkeypatch):
    """The reference in one folder, and a student's copy in another."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for root in ("own_reference", "handed_in"):
        for chapter, (name, source) in CHAPTERS.items():
            (tmp_path / root / chapter).mkdir(parents=True)
            (tmp_path / root / chapter / f"{name}.py").write_text(source)
    (tmp_path / "own_reference/__init__.py").touch()
    (tmp_path / "test_top.py").write_text(CHECKS)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(("own_reference", "test_top"))]:
        del sys.modules[name]


def run_of(course):
    import importlib

    tree = Tree.of_package("own_reference")
    file = course / "handed_in/ch4/top.py"
    return ChapterRun(
        "ch4",
        checks_of(importlib.import_module("test_top")),
        file,
        lambda: tree.load("ch4", read_source(file), str(file), "submission"),
        Live(tree, "ch4", "master"),
        master="master",
        other_module=tree.module_named,
        own=OwnChapters.handed_in(tree, course / "handed_in"),
    )


def outcomes(course):
    run = run_of(course)
    return [(verdict.outcome, verdict.message) for verdict in map(run.verdict, run.checks)]


def test_which_chapters_are_needed(course):
    tree = Tree.of_package("own_reference")
    assert needed_chapters(tree, "ch4") == ["ch1", "ch2"]
    assert needed_chapters(tree, "ch4", ["alone"]) == ["ch1", "ch2", "ch3"]
    assert needed_chapters(tree, "ch1") == []
    assert needed_chapters(tree, "ch1", ["middle", "leaf"]) == ["ch2"]


def test_right_pieces_pass(course):
    assert outcomes(course) == [("passed", ""), ("passed", "")]


def test_a_wrong_early_chapter_fails_the_assembled_check_only_and_is_blamed(course):
    (course / "handed_in/ch1/leaf.py").write_text(LEAF.replace("2 * x", "3 * x"))
    assert outcomes(course) == [("passed", ""), ("wrong", "the first that differs: ch1")]
    (course / "handed_in/ch1/leaf.py").write_text(LEAF)
    (course / "handed_in/ch2/middle.py").write_text(MIDDLE.replace("double(double(x))", "double(x)"))
    assert outcomes(course) == [("passed", ""), ("wrong", "the first that differs: ch2")]


def test_the_next_step_is_to_mend_that_chapter(course):
    (course / "handed_in/ch1/leaf.py").write_text(LEAF.replace("2 * x", "3 * x"))
    text = failure_text(run_of(course).verdict("pieces_together"))
    assert text.endswith("Next: mend ch1 first; `pytest exercises/ch1` looks at it alone.")


def test_a_chapter_that_was_not_handed_in_blocks(course):
    (course / "handed_in/ch1/leaf.py").unlink()
    (course / "handed_in/ch3/alone.py").unlink()
    assert outcomes(course)[1] == ("blocked", "by ch1, which was not handed in")


def test_a_chapter_that_cannot_be_imported_blocks(course):
    (course / "handed_in/ch2/middle.py").write_text("1 / 0")
    (course / "handed_in/ch3/alone.py").write_text("also broken(")
    assert outcomes(course)[1] == ("blocked", "by ch2, which cannot be imported")


def test_an_early_exercise_that_is_not_written_blocks(course):
    unwritten = LEAF.replace("return 2 * x", 'raise NotImplementedError("double: not written yet")')
    (course / "handed_in/ch1/leaf.py").write_text(unwritten)
    assert outcomes(course)[1] == ("blocked", "by double, which is not written yet")


def test_an_error_in_an_early_chapter_shows_that_chapters_line(course):
    (course / "handed_in/ch1/leaf.py").write_text(LEAF.replace("2 * x", "x[0]"))
    run = run_of(course)
    verdict = run.verdict("pieces_together")
    assert verdict.outcome == "error"
    assert verdict.reply.fault.lines[-1].file == str(course / "handed_in/ch1/leaf.py")
    assert verdict.reply.fault.lines[-1].text == "return x[0]"


def test_own_chapters_may_import_what_the_references_do_not(course):
    source = TOP.replace("from ..ch2", "from ..ch3.alone import nothing\nfrom ..ch2")
    (course / "handed_in/ch4/top.py").write_text(source)
    assert [outcome for outcome, _ in outcomes(course)] == ["passed", "passed"]


def test_one_early_mistake_costs_once(course):
    (course / "handed_in/ch1/leaf.py").write_text(LEAF.replace("2 * x", "3 * x"))
    run = run_of(course)
    assert not run.verdict("pieces_together").passed
    assert exercise_states(run) == {"answer": "passed"}


def test_without_a_submission_the_pieces_are_those_of_the_tree(course):
    run = run_of(course)
    run._own = None
    assert run.verdict("pieces_together").passed


def test_a_file_alone_brings_no_other_chapter(course):
    tree = Tree.of_package("own_reference")
    own = OwnChapters.handed_in(tree, course / "handed_in/ch4/top.py", "ch4")
    assert list(own.pieces) == ["ch4"]


def test_nothing_is_written_and_nothing_stays(course):
    run = run_of(course)
    before = sorted((course / "handed_in").rglob("*"))
    names = {*sys.modules}
    run.verdict("pieces_together")
    assert sorted((course / "handed_in").rglob("*")) == before
    run._own.forget()
    assert {name for name in {*sys.modules} - names if "own" in name and "reference" not in name} == set()
