"""After a run: what is earned, what is next, and what remains to be written, in order."""

from grader.answers import record, write_recording
from grader.chapter_run import ChapterRun
from grader.chapters import RECORDING
from grader.release import make_stub
from grader.seeds import PUBLIC
from grader.summary import chapter_lines, still_to_write
from tests.grader.test_verdicts import live, public_run
from tests.grader.toy import SOLUTION

STUB = make_stub(SOLUTION, "attention.py")


def lines_after(toy, source: str, *names: str) -> list[str]:
    toy.student(source)
    run = public_run(toy)
    for name in names or run.checks:
        run.verdict(name)
    return chapter_lines(toy.exercises, run)


def test_every_stub_of_an_exercise_remains_in_the_order_of_the_file():
    assert still_to_write(STUB, "Attention") == ["Attention.__init__", "Attention.forward"]
    assert still_to_write(STUB, "causal_mask") == ["causal_mask"]
    assert still_to_write(SOLUTION, "Attention") == []
    other = 'def f():\n    raise NotImplementedError("f: later")\n'
    assert still_to_write(other, "f") == []


def test_what_is_begun_says_what_remains(toy):
    parts = STUB.split('        raise NotImplementedError("Attention.__init__: not written yet")\n')
    made = "        self.W_query = self.W_key = self.W_value = nn.Linear(d_in, d_out)\n"
    source = made.join(parts)
    assert lines_after(toy, source) == [
        "ch3: 0 of 100 points; next: causal_mask",
        "  not started: causal_mask, count_up",
        "  begun, still to write: Attention.forward",
        "  blocked by causal_mask, which is not written yet: Attention",
    ]
    written = source.replace(
        'raise NotImplementedError("causal_mask: not written yet")',
        'return torch.full((size, size), float("-inf")).triu(1)',
    )
    assert lines_after(toy, written)[1:] == [
        "  not started: count_up",
        "  begun, still to write: Attention.forward",
    ]


def test_untouched_stubs_are_not_begun(toy):
    assert lines_after(toy, STUB) == [
        "ch3: 0 of 100 points; next: causal_mask",
        "  not started: causal_mask, count_up",
        "  blocked by causal_mask, which is not written yet: Attention",
    ]


def test_a_module_that_is_no_python_is_told_by_its_verdict(toy):
    assert lines_after(toy, "def f(:\n")[0] == "ch3: 0 of 100 points; next: causal_mask"


def waiting(toy, needs: str, options: str = "") -> ChapterRun:
    """A run in which a second check of causal_mask uses count_up, with stubs for what is not patched."""
    source = "from grader.checks import check\n\n\n"
    for exercise, name, options_of in (
        ("causal_mask", "first", ""),
        ("causal_mask", "second", f', needs="{needs}"{options}'),
        ("count_up", "third", ""),
    ):
        source += f'@check("{exercise}"{options_of})\ndef {name}(attention):\n    """X."""\n'
        value = "attention.causal_mask(2)" if name == "first" else "attention.count_up(2)"
        source += f"    return {value}\n\n\n"
    checks = toy.checks(source)
    write_recording(toy.exercises / RECORDING, record(checks, live(PUBLIC)))
    return public_run(toy, checks)


MASK = '    raise NotImplementedError("causal_mask: not written yet")\n'
WRITTEN = '    return torch.full((size, size), float("-inf")).triu(1)\n'


def lines_of(toy, run: ChapterRun) -> list[str]:
    for name in run.checks:
        run.verdict(name)
    return chapter_lines(toy.exercises, run)


def test_next_is_what_the_others_wait_for(toy):
    run = waiting(toy, "first")
    toy.student(STUB.replace(MASK, WRITTEN))
    assert lines_of(toy, run) == [
        "ch3: 0 of 30 points in the 2 exercises run; next: count_up",
        "  not started: count_up",
        "  blocked by count_up, which is not written yet: causal_mask",
    ]


def test_checks_that_wait_for_one_of_their_own_exercise(toy):
    run = waiting(toy, "first")
    toy.student(SOLUTION.replace("triu(1)", "triu(0)"))
    assert lines_of(toy, run) == [
        "ch3: 10 of 30 points in the 2 exercises run; next: causal_mask",
        "  causal_mask: 1 of its 2 checks waits for first, which did not pass",
    ]


def test_a_check_without_points_that_waits_contradicts_nothing(toy):
    run = waiting(toy, "first", ", assembled=True")
    toy.student(STUB.replace(MASK, WRITTEN))
    assert lines_of(toy, run)[2:] == [
        "  one check, second (no points), waits for count_up, which is not written yet",
    ]


def test_one_exercise_and_two(toy, monkeypatch):
    monkeypatch.chdir(toy.root)
    [line] = lines_after(toy, SOLUTION, "mask_values")
    assert line == "ch3: 20 of 20 points in the one exercise run; all passed"
    assert lines_after(toy, SOLUTION, "weights_and_context")[1:] == [
        "  Attention: 1 of its 2 checks passed; to run all of them:",
        "    pytest toy_exercises/ch3 -k Attention",
    ]
    checks = 'from grader.checks import check\n\n\n@check("count_up")\ndef one(attention):\n    """X."""\n'
    checks = toy.checks(checks + '\n\n@check("count_up")\ndef two(attention):\n    """X."""\n')
    write_recording(toy.exercises / RECORDING, record(checks, live(PUBLIC)))
    run = public_run(toy, checks)
    run.verdict("one")
    assert chapter_lines(toy.exercises, run) == [
        "ch3: count_up: 1 of its 2 checks passed; to run all of them:",
        "    pytest toy_exercises/ch3 -k count_up",
    ]
    toy.record()
    [line] = lines_after(toy, SOLUTION, "mask_values", "counts")
    assert line == "ch3: 30 of 30 points in the 2 exercises run; all passed"
