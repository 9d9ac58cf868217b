"""`course reset`. The oracle is the text itself: what was around a definition stays, byte for byte."""

import shutil

import pytest

from course import handed_out
from course.reset import with_stub
from tests.course import toy_course

STUB = b'''\
"""Chapter."""

import torch


def first(x):
    """One."""
    raise NotImplementedError("first: not written yet")


@decorated
class Second:
    """Two."""

    def forward(self):
        raise NotImplementedError("Second.forward: not written yet")


def third():
    raise NotImplementedError("third: not written yet")
'''

THIRD = b'    raise NotImplementedError("third: not written yet")'
FORWARD = b'raise NotImplementedError("Second.forward: not written yet")'
WRITTEN = b"pass\n\n    extra = 1"
WORK = (
    STUB.replace(b'raise NotImplementedError("first: not written yet")', "return x  # größer".encode())
    .replace(b"def third", b"def my_own():\n    return 3   \n\n\ndef third")
    .replace(FORWARD, WRITTEN)
)


def put_back(before: bytes, name: str) -> bytes:
    return with_stub(before, STUB, name, "exercises/ch3/attention.py", "ch3")


def test_only_the_definition_changes():
    for name, theirs, ours in (
        ("first", "return x  # größer".encode(), b'raise NotImplementedError("first: not written yet")'),
        ("Second", WRITTEN, FORWARD),
    ):
        assert put_back(WORK, name) == WORK.replace(theirs, ours)
    assert put_back(WORK, "third") == WORK


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n\n# the end"])
def test_line_ends_and_the_end_of_the_file_stay(newline, end):
    work = WORK.rstrip(b"\n").replace(THIRD, b"    return 1") + end
    assert work != WORK
    expected = WORK.rstrip(b"\n") + end
    assert put_back(work.replace(b"\n", newline), "third") == expected.replace(b"\n", newline)


def test_a_byte_order_mark_and_form_feeds_stay():
    work = b"\xef\xbb\xbf" + WORK.replace(b"def my_own", b"\x0c\ndef my_own")
    after = put_back(work, "Second")
    assert after == work.replace(WRITTEN, FORWARD)


def test_a_definition_that_is_gone_comes_back_in_its_place():
    lost = STUB[STUB.index(b"@decorated") : STUB.index(b"def third")]
    after = put_back(STUB.replace(lost, b""), "Second")
    assert after.count(lost.rstrip(b"\n")) == 1
    assert after.index(b"def first") < after.index(b"@decorated\nclass Second") < after.index(b"def third")
    compile(after, "attention.py", "exec")
    alone = put_back(b"x = 1", "first")
    assert alone.startswith(b"x = 1\n\n\ndef first(x):\n")


def test_of_two_definitions_the_one_that_python_uses():
    twice = STUB + b"\n\ndef first(x):\n    return 2\n"
    after = put_back(twice, "first")
    assert after == STUB + b"\n\n" + STUB[STUB.index(b"def first") : STUB.index(b"\n\n@decorated")]


def test_the_command_keeps_a_copy_and_says_where(my_gpt, course, capsys):
    module = my_gpt / "exercises/ch3/attention.py"
    stub = module.read_bytes()
    for number in (1, 2):
        work = stub.replace(b'raise NotImplementedError("count_up', b'return %d\n    ("count_up' % number)
        module.write_bytes(work)
        assert course("reset", "count_up") == 0
        out = capsys.readouterr().out
        assert f"exercises/ch3/attention.py.before-reset-{number}" in out
        assert module.with_name(f"attention.py.before-reset-{number}").read_bytes() == work
        assert module.read_bytes() == stub
    assert course("reset", "count_up") == 0
    assert "nothing to put back" in capsys.readouterr().out
    assert len(list(module.parent.glob("*before-reset*"))) == 2


def test_a_chapter_comes_back_even_from_a_syntax_error(my_gpt, course, refused, capsys):
    module = my_gpt / "exercises/ch3/attention.py"
    stub = module.read_bytes()
    broken = stub + b"def oops(:\n"
    module.write_bytes(broken)
    line = broken.count(b"\n")
    said = refused("reset", "count_up")
    assert f"exercises/ch3/attention.py, line {line}" in said and "course reset ch3" in said
    assert module.read_bytes() == broken and not list(module.parent.glob("*before-reset*"))
    assert course("reset", "ch3") == 0
    assert module.read_bytes() == stub
    assert module.with_name("attention.py.before-reset-1").read_bytes() == broken
    for name in ("ch3", "count_up"):  # one definition alone would lack the imports
        module.unlink()
        assert course("reset", name) == 0
        assert module.read_bytes() == stub


def test_names_in_any_case_and_cut_short(my_gpt, course, refused, capsys):
    module = my_gpt / "exercises/ch3/attention.py"
    stub = module.read_bytes()
    for typed, said in (("COUNT", "count_up is a stub again"), ("CH3", "ch3 is as it was handed out")):
        toy_course.solve(my_gpt, "count_up")
        assert course("reset", typed) == 0
        assert said in capsys.readouterr().out
        assert module.read_bytes() == stub
    toy_course.solve(my_gpt, "count_up")
    work = module.read_bytes()
    for typed, candidates in (("c", "ch3, ch4, causal_mask, count_up"), ("ch", "ch3, ch4")):
        assert refused("reset", typed) == f"course: {typed!r} can be {candidates}: type more of the name\n"
    assert "there is no exercise or chapter ''" in refused("reset", "")
    assert module.read_bytes() == work


def test_unknown_names_are_refused_with_likely_ones(my_gpt, refused):
    assert refused("reset", "causal_musk").endswith("'causal_musk': did you mean causal_mask?\n")
    assert "did you mean ch3" in refused("reset", "c3")
    assert "a bare course lists" in refused("reset", "zebra")


def test_the_courses_own_copy_cannot_be_reset_from_itself(hand_out, monkeypatch, refused):
    monkeypatch.chdir(hand_out.parent)
    before = (hand_out / "ch3/attention.py").read_bytes()
    assert "no second copy of exercises/ch3/attention.py" in refused("reset", "count_up")
    assert (hand_out / "ch3/attention.py").read_bytes() == before


def test_in_a_hand_out_the_stubs_are_kept_once_more(my_gpt, course, monkeypatch):
    """There students work in the course's own copy, and course/stubs holds what it was."""
    monkeypatch.setattr(handed_out, "HANDED_OUT", my_gpt / "exercises")
    monkeypatch.setattr(handed_out, "STUBS", my_gpt / "stubs")
    module, stub = my_gpt / "exercises/ch3/attention.py", my_gpt / "stubs/ch3/attention.py"
    stub.parent.mkdir(parents=True)
    shutil.copy(module, stub)
    toy_course.solve(my_gpt, "count_up")
    assert course("start", "another") == 0
    assert (my_gpt / "another/exercises/ch3/attention.py").read_bytes() == stub.read_bytes()
    assert course("reset", "count_up") == 0
    assert module.read_bytes() == stub.read_bytes()
