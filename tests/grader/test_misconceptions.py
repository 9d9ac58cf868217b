"""Misconceptions are patches that must fit."""

import pytest

from grader.chapters import Tree
from grader.errors import GraderError
from grader.misconceptions import MisconceivedModules, load_misconceptions, patched_source
from tests.grader.toy import MISCONCEPTIONS, SOLUTION

ENTRY = """
[[misconception]]
name = "n"
exercise = "Attention"
replace = "values, weights"
with = "values, None"
says = "Words."
"""


def of(tmp_path, text: str):
    path = tmp_path / "misconceptions.toml"
    path.write_text(text)
    return load_misconceptions(path)


def test_a_patch_changes_its_exercise_only(tmp_path):
    [first, second] = of(tmp_path, MISCONCEPTIONS)
    assert (first.name, first.exercise) == ("unscaled-scores", "Attention")
    assert "keys.mT\n" in patched_source(SOLUTION, first)
    assert "triu(0)" in patched_source(SOLUTION, second)


def test_a_patch_in_several_places(tmp_path):
    text = ENTRY + '[[misconception.also]]\nreplace = "dim=-1"\nwith = "dim=0"\n'
    source = patched_source(SOLUTION, of(tmp_path, text)[0])
    assert "values, None" in source and "dim=0" in source


def test_modules_are_made_with_their_relative_imports(toy):
    folder = toy.solutions.parent / "ch4"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "block.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "from ..ch3.attention import count_up\n\n\n@dataclass\nclass Config:\n    size: int\n\n\n"
        "def block(n):\n    return count_up(n)[1:]\n"
    )
    (folder / "misconceptions.toml").write_text(
        ENTRY.replace("Attention", "block").replace("values, weights", "[1:]").replace("values, None", "")
    )
    modules = MisconceivedModules(Tree.of_package("toy_solutions"), "ch4")
    module = modules.module(modules.all[0])
    assert module.block(3) == [0, 1, 2] and module.Config(2).size == 2
    import toy_solutions.ch4.block as block

    assert block.block(3) == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[misconception]\n", "misconceptions.toml"),
        ("[other]\na = 1\n", r"only \[\[misconception\]\]"),
        (ENTRY.replace('says = "Words."', ""), "toml:3: a misconception needs 'says'"),
        (ENTRY.replace('"Words."', "3"), "needs 'says', a string"),
        (ENTRY.replace('"Words."', '" "'), "needs 'says'"),
        (ENTRY.replace("replace", "replaced"), "needs 'replace'"),
        (ENTRY + 'more = "x"\n', "'more' is no key"),
        (ENTRY + ENTRY, "toml:3: the name 'n' is taken twice"),
        (ENTRY + '[[misconception.also]]\nreplace = "x"\n', "has 'replace' and 'with'"),
    ],
)
def test_files_that_are_no_misconceptions(tmp_path, text, message):
    with pytest.raises(GraderError, match=message):
        of(tmp_path, text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("values, weights", "no such code"), "toml:3: n: 'no such code' stands 0 times in Attention"),
        (("values, weights", "self"), "'self' stands .* times"),
        (("Attention", "Nothing"), "the solution has no Nothing"),
        (("values, weights", "torch.full"), "stands 0 times in Attention"),
        (("values, None", "values, ("), r"no Python \(line"),
        (("values, None", "values,  weights"), "changes nothing"),
    ],
)
def test_patches_that_do_not_fit(tmp_path, change, message):
    [misconception] = of(tmp_path, ENTRY.replace(*change))
    with pytest.raises(GraderError, match=message):
        patched_source(SOLUTION, misconception)


def test_no_file_is_no_misconceptions(tmp_path):
    assert load_misconceptions(tmp_path / "misconceptions.toml") == []
