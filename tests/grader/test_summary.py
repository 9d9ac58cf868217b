"""After a run: what is earned, what is next, and what remains to be written, in order."""

from grader.release import make_stub
from grader.summary import chapter_lines, still_to_write
from tests.grader.test_verdicts import public_run
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


def test_one_exercise_and_two(toy):
    [line] = lines_after(toy, SOLUTION, "mask_values")
    assert line == "ch3: 20 of 20 points in the one exercise run; all passed"
    [line] = lines_after(toy, SOLUTION, "mask_values", "counts")
    assert line == "ch3: 30 of 30 points in the 2 exercises run; all passed"
