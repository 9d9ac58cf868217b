"""What a notebook's cells call, without a kernel: tests/grader/test_notebooks.py runs whole notebooks."""

import importlib
import sys

import pytest

from course import notebook
from course.notebook import NotYet, OwnCells, executed_cells
from grader.forbidden import find_uses

LATER = "Two steps and a save, then a load and two more"


def own(chapter: str, **changes) -> OwnCells:
    """A notebook in which the reference's answers stand; those that are None were not run yet."""
    module = importlib.import_module(f"solutions.{chapter}.{notebook.MODULES[chapter]}")
    names = {name: value for name, value in (vars(module) | changes).items() if value is not None}
    exercises = list(dict.fromkeys(check.exercise for check in notebook.public_checks(chapter)))
    return OwnCells(names, exercises)


def test_a_check_that_needs_a_later_exercise_waits_for_it(capsys):
    cells = own("ch6", load_checkpoint=None)
    notebook.show("ch6", "save_checkpoint", cells)
    assert f"– {LATER}" in capsys.readouterr().out

    def load(path, model, optimizer):
        return 0

    cells._names["load_checkpoint"] = load
    with pytest.raises(NotYet, match="load_checkpoint: "):
        notebook.show("ch6", "load_checkpoint", cells)
    assert f"✗ {LATER}" in capsys.readouterr().out
    cells._names["load_checkpoint"] = own("ch6").load_checkpoint
    notebook.show("ch6", "save_checkpoint", cells)
    notebook.show("ch6", "load_checkpoint", cells)
    assert "✗" not in capsys.readouterr().out


def test_what_is_not_begun_and_what_does_not_exist_are_told_apart(capsys):
    with pytest.raises(NotYet, match="not defined; run the cell above"):
        notebook.show("ch3", "causal_mask", own("ch3", causal_mask=None))

    def causal_mask(size):
        raise NotImplementedError("causal_mask: not written yet")

    with pytest.raises(NotYet, match=r"^causal_mask: not written yet$"):
        notebook.show("ch3", "causal_mask", own("ch3", causal_mask=causal_mask))
    assert "causal_mask is not written yet. Its checks:" in capsys.readouterr().out
    with pytest.raises(NotYet, match="has no exercise 'mask'; it has prefix_mean_loop, "):
        notebook.show("ch3", "mask", own("ch3"))


def test_of_a_cell_that_was_run_again_only_the_newest_text_counts():
    old = "import torch\n\n\ndef f(x):\n    return torch.softmax(x, -1)\n\n\nY = 1"
    new = "def f(x):\n    return x.exp()"
    texts = executed_cells({"In": ["", old, "%broken (", new]})
    assert len(texts) == 3 and texts[1].endswith("\n\nY = 1")
    source = "\n".join(texts)
    assert find_uses(source, "f", ("torch.softmax",)) == []
    again = executed_cells({"In": [new, old]})
    assert find_uses("\n".join(again), "f", ("torch.softmax",))


def test_earlier_chapters_are_found_where_a_module_looks_for_them(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "exercises"]:
        monkeypatch.delitem(sys.modules, name)
    pieces, _ = notebook.begin("ch4")
    from exercises.ch3.attention import MultiHeadAttention

    assert MultiHeadAttention is pieces("ch3").MultiHeadAttention
    assert pieces("ch4").LATER is LATER  # its own cells: here, this file
    with pytest.raises(AttributeError, match="nothing is not defined yet"):
        _ = pieces("ch4").nothing
    for name in [name for name in sys.modules if name.partition(".")[0] == "exercises"]:
        del sys.modules[name]
