import pytest

from course import hints

CH3 = """\
[[hint]]
exercise = "causal_mask"
levels = ["What may a token see?", "Look at triu.", "In short: 1. make a square of -inf. 2. cut it."]

[[hint]]
exercise = "Attention"
levels = ["One and only."]
"""


@pytest.fixture
def hint(my_gpt, tmp_path, monkeypatch, course, capsys):
    """hint("causal_mask") is what the command prints."""
    (tmp_path / "hints").mkdir()
    (tmp_path / "hints/ch3.toml").write_text(CH3)
    monkeypatch.setattr(hints, "HINTS", tmp_path / "hints")

    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert course("hint", *arguments) == 0
        return capsys.readouterr().out

    return run


def test_one_level_after_another(hint):
    first = hint("causal_mask")
    assert "hint 1 of 3" in first and "What may" in first and "triu" not in first
    assert "`course hint causal_mask` gives the next one" in first
    second = hint("causal_mask")
    assert "hint 2 of 3" in second and "triu" in second and "What may" not in second
    third = hint("causal_mask")
    assert "hint 3 of 3" in third and "next one" not in third
    assert "  In short:\n  1. make a square of -inf.\n  2. cut it.\n" in third
    assert (
        hint("causal_mask") == "Those were all 3 hints. To see them again: course hint causal_mask --again\n"
    )


def test_exercises_are_counted_apart_and_another_folder_anew(hint, my_gpt, monkeypatch):
    hint("causal_mask")
    assert "hint 1 of 1" in hint("Attention")
    assert "hint 2 of 3" in hint("causal_mask")
    monkeypatch.chdir(my_gpt / "exercises/ch3")  # the same folder, from within
    assert "hint 3 of 3" in hint("causal_mask")
    (my_gpt / ".course/hints.json").write_text('{"causal_mask": "many"')
    assert "hint 1 of 3" in hint("causal_mask")


def test_again_repeats_and_does_not_count(hint):
    hint("causal_mask")
    hint("causal_mask")
    for _ in range(2):
        again = hint("causal_mask", "--again")
        assert "What may" in again and "triu" in again and "square" not in again
    assert "hint 3 of 3" in hint("causal_mask")


def test_all_shows_and_counts_all(hint):
    everything = hint("causal_mask", "--all")
    assert all(words in everything for words in ("What may", "triu", "square"))
    assert "Those were all" in hint("causal_mask")


def test_without_a_name_the_next_exercise(hint):
    assert hint().startswith("causal_mask, hint 1 of 3")  # untouched stubs: known without a run


def test_a_name_in_any_case_and_cut_short(hint, refused, my_gpt):
    assert hint("ATT").startswith("Attention, hint 1 of 1")
    assert hint("causal").startswith("causal_mask, hint 1 of 3")
    assert hint("Causal_Mask").startswith("causal_mask, hint 2 of 3")  # counted under one name
    toml = my_gpt / "course.toml"
    toml.write_text(toml.read_text().replace("double_mask = 100", "double_mask = 90\ncausal = 5\ncasual = 5"))
    assert refused("hint", "ca") == "course: 'ca' can be causal_mask, causal, casual: type more of the name\n"
    assert "there are no hints for causal;" in refused("hint", "Causal")  # a whole name is clear


def test_refusals(hint, refused, tmp_path, monkeypatch):
    assert "did you mean causal_mask?" in refused("hint", "causalmask")
    assert "there are no hints for count_up" in refused("hint", "count_up")
    assert "there are no hints for double_mask" in refused("hint", "double_mask")  # no file at all
    monkeypatch.chdir(tmp_path)
    assert "course start my-gpt" in refused("hint", "causal_mask")
