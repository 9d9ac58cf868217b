"""What the judge knows: misconceptions that yield NaN are told, and no warning of theirs is the author's."""

import warnings

import pytest
import torch

from grader.answers import Live, Recorded, matching, record, write_recording
from grader.chapters import RECORDING, Tree
from grader.compare import compare
from grader.errors import GraderError
from grader.seeds import PUBLIC

NAN = float("nan")


def live(master=PUBLIC) -> Live:
    return Live(Tree.of_package("toy_solutions"), "ch3", master)


@pytest.fixture
def nan_turn(toy):
    """The toy chapter, with a misconception whose weights are NaN above the diagonal."""
    text = (toy.solutions / "misconceptions.toml").read_text()
    (toy.solutions / "misconceptions.toml").write_text(
        text
        + """
[[misconception]]
name = "infinity-times-zero"
exercise = "causal_mask"
replace = 'torch.full((size, size), float("-inf")).triu(1)'
with = 'torch.ones(size, size).triu(1) * float("-inf")'
says = "0 times -inf is NaN."
"""
    )
    return toy


@pytest.mark.parametrize("recorded", [True, False])
def test_a_misconception_that_yields_nan_is_matched_by_nan_in_the_same_places(nan_turn, recorded):
    [check, *_] = nan_turn.checks()
    nan_turn.record()
    answers = Recorded(nan_turn.exercises / RECORDING) if recorded else live()
    seen = torch.ones(3, 3).triu(1) * float("-inf")
    assert seen.isnan().sum() == 6
    assert [turn.name for turn in matching(answers, check, seen)] == ["infinity-times-zero"]
    assert matching(answers, check, seen.masked_fill(seen.isnan(), 0.5)) == ()
    elsewhere = torch.full((3, 3), NAN).tril(-1)
    assert matching(answers, check, elsewhere) == ()


def test_nan_never_equals_the_reference(nan_turn):
    for tree in (NAN, torch.tensor([NAN]), [NAN], {"a": torch.tensor([1, NAN])}):
        assert compare(tree, tree).kind == "nan"


def test_a_recording_is_written_whole_or_not_at_all(toy, monkeypatch):
    path = toy.exercises / RECORDING
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda old, new: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(GraderError, match=r"cannot write .*expected\.safetensors: No space left"):
        write_recording(path, b"half")
    assert path.read_bytes() == before
    assert [file.name for file in toy.exercises.glob("*.tmp")] + list(toy.exercises.glob(".*")) == []


def test_warnings_of_misconceptions_are_not_the_authors(toy, capfd):
    text = (toy.solutions / "misconceptions.toml").read_text()
    (toy.solutions / "misconceptions.toml").write_text(
        text.replace('with = "triu(0)"', 'with = "triu(0) * torch.tensor(torch.ones(()))"')
    )
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        record(toy.checks(), live())
    assert [str(one.message) for one in seen] == [] and "Warning" not in capfd.readouterr().err
