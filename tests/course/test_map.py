"""A bare `course`. One folder, and one process that runs the checks, serve all tests that need a run."""

import subprocess
import sys

import pytest

from course import progress
from course.checker import Checker
from course.workplace import Workplace
from tests.course import toy_course


class CountingChecker(Checker):
    """Stays alive after `with`, and notes which chapters it ran."""

    def __init__(self, folder):
        super().__init__(folder)
        self.ran: list[str] = []

    def wait(self, chapter, exercises):
        self.ran.append(chapter)
        return super().wait(chapter, exercises)

    def __exit__(self, *exception):
        pass

    def ran_now(self) -> list[str]:
        ran, self.ran = self.ran, []
        return ran


@pytest.fixture
def checker(my_gpt, monkeypatch):
    made = CountingChecker(my_gpt)
    monkeypatch.setattr(progress, "Checker", lambda folder: made)
    yield made
    made.close()


@pytest.fixture
def no_run(monkeypatch):
    def refuse(folder):
        raise AssertionError("nothing has changed, so nothing should run")

    monkeypatch.setattr(progress, "Checker", refuse)


@pytest.fixture
def map_lines(course, capsys):
    """map_lines() is what a bare `course` prints."""

    def run() -> list[str]:
        capsys.readouterr()
        assert course() == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80
        return lines

    return run


def test_outside_of_a_folder_the_overview(hand_out, tmp_path, monkeypatch, map_lines):
    monkeypatch.chdir(tmp_path)
    assert any("course start my-gpt" in line for line in map_lines())


def test_untouched_stubs_need_no_run(my_gpt, no_run, map_lines):
    lines = map_lines()
    assert lines[0].split() == ["Toy", "0", "of", "200", "points"]
    assert lines[2] == "> ch3  Attention                  0 .......... not started"
    assert lines[3] == "  ch4  The block                  0 .......... not started"
    assert "Next: causal_mask, in exercises/ch3/attention.py" in lines
    assert any(line.split()[:4] == ["pytest", "exercises/ch3", "-k", "causal_mask"] for line in lines)


def test_a_chapter_with_nothing_written_says_so_also_after_a_run(my_gpt, checker, map_lines):
    """Attention needs the mask, so its checks were blocked: that is no beginning."""
    untouched = map_lines()
    module = my_gpt / "exercises/ch3/attention.py"
    module.write_bytes(b"\xef\xbb\xbf" + module.read_bytes() + b"\n# a remark\n")  # as an editor may save it
    assert map_lines() == untouched
    assert checker.ran_now() == ["ch3"]


def test_points_come_from_the_checks_and_only_what_changed_is_run(
    my_gpt, hand_out, checker, map_lines, course, capsys
):
    toy_course.solve(my_gpt, "causal_mask", "count_up")
    lines = map_lines()
    assert lines[0].endswith(" 30 of 200 points")
    assert lines[2] == "> ch3  Attention                 30 ###....... next: Attention"
    assert checker.ran_now() == ["ch3"]  # ch4 is an untouched stub

    toy_course.solve_block(my_gpt)
    lines = map_lines()
    assert lines[0].endswith(" 130 of 200 points") and lines[3].endswith("passed")
    assert checker.ran_now() == ["ch4"]
    assert map_lines() == lines and checker.ran_now() == []

    module = my_gpt / "exercises/ch3/attention.py"
    right = module.read_text()
    module.write_text(right.replace("triu(1)", "triu(0)"))  # the same length, within the same second
    assert map_lines()[0].endswith(" 10 of 200 points")
    assert checker.ran_now() == ["ch3", "ch4"]  # ch4 uses ch3's mask
    module.write_text(right)
    assert map_lines() == lines

    # Points are for whole exercises, so the map says what some of its checks are worth.
    toy_course.solve(my_gpt, "Attention")
    whole = module.read_text().replace(
        "        super().__init__()", "        super().__init__()\n        MADE.append(self)"
    )
    module.write_text(
        "MADE = []\n" + whole.replace("weights @ values, weights", "weights @ values, weights * len(MADE)")
    )
    partly = map_lines()
    assert partly[2] == lines[2]
    at = partly.index("Next: Attention, in exercises/ch3/attention.py")
    assert partly[at + 1] == "      1 of its 2 checks passed; its 70 points need all of them."
    module.write_text(right)
    assert map_lines() == lines

    module.write_text(right + "def oops(:\n")
    checker.ran_now()
    broken = map_lines()
    assert broken[2].endswith(f"syntax error in line {right.count(chr(10)) + 1}")
    assert "Next: mend exercises/ch3/attention.py, syntax error in line" in "\n".join(broken)
    module.write_text(right)
    map_lines()
    checker.ran_now()

    # What takes Python itself down costs its own points only, and is tried again next time.
    head = "def causal_mask(size):"
    module.write_text(right.replace(head, f"{head}\n    import os; os._exit(0)"))
    for _ in range(2):
        assert "> ch3  Attention                 10 #......... next: causal_mask" in map_lines()
        assert checker.ran_now()[:2] == ["ch3", "ch3"]
    module.write_text(right)
    assert map_lines() == lines

    # Nothing to run: torch is not even imported.
    code = """if True:
        import pathlib, sys
        from course import cli, handed_out
        handed_out.HANDED_OUT = pathlib.Path(sys.argv[1])
        try:
            cli.app([])
        except SystemExit:
            print("torch" in sys.modules)"""
    command = [sys.executable, "-c", code, str(hand_out)]
    done = subprocess.run(command, cwd=my_gpt, capture_output=True, text=True)
    assert done.stdout.splitlines() == [*lines, "False"], done.stderr

    # A broken check file is no student's fault.
    (my_gpt / "exercises/ch3/test_attention.py").write_text("import no_such_package\n")
    capsys.readouterr()
    assert course() == 2
    said = capsys.readouterr().err
    assert "course: the checks of ch3 cannot be run: ModuleNotFoundError" in said
    assert "course update brings back what is missing" in said


def test_a_key_changes_with_what_a_chapter_depends_on(my_gpt):
    def keys() -> tuple[str, str]:
        place = Workplace(my_gpt)
        return progress.key(place, "ch3"), progress.key(place, "ch4")

    before = keys()
    for name, changed in (
        ("README.md", (False, False)),
        ("exercises/ch4/block.py", (False, True)),
        ("exercises/ch4/test_block.py", (False, True)),
        ("exercises/ch3/attention.py", (True, True)),
        ("exercises/ch3/expected.safetensors", (True, False)),
        ("exercises/ch3/test_attention.py", (True, False)),
    ):
        file = my_gpt / name
        content = file.read_bytes()
        file.write_bytes(content + b"#")
        assert tuple(a != b for a, b in zip(before, keys(), strict=True)) == changed, name
        file.write_bytes(content)
        assert keys() == before


def test_a_check_that_asks_for_another_chapter_depends_on_it(my_gpt):
    checks = my_gpt / "exercises/ch3/test_attention.py"
    checks.write_text(checks.read_text().replace("def counts(attention)", "def counts(attention, block)"))
    before = progress.key(Workplace(my_gpt), "ch3")
    toy_course.solve_block(my_gpt)
    assert progress.key(Workplace(my_gpt), "ch3") != before


def test_what_is_kept_can_be_lost_or_damaged(my_gpt, no_run, map_lines):
    place = Workplace(my_gpt)
    toy_course.solve(my_gpt, "count_up")
    states = {"causal_mask": "not started", "Attention": "not started", "count_up": "passed"}
    progress.remember(place, "ch3", progress.key(place, "ch3"), states, {"count_up": [1, 1]})
    assert map_lines()[0].endswith(" 10 of 200 points")
    assert (my_gpt / ".course/.gitignore").read_text() == "*\n"
    for damage in ("{", "[]", '{"ch3": 1}', '{"ch3": {}}'):
        (my_gpt / ".course/progress.json").write_text(damage)
        assert "ch3" not in progress.known(place)
    progress.remember(place, "ch3", "the key of a file that was saved meanwhile", states, {})
    assert "ch3" not in progress.known(place)


def test_from_within_the_folder_the_commands_fit(my_gpt, no_run, monkeypatch, map_lines):
    monkeypatch.chdir(my_gpt / "exercises")
    assert "Next: causal_mask, in ch3/attention.py" in map_lines()
