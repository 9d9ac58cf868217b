"""From what came to a verdict: recordings, live references, accept, needs. Nothing passes by accident."""

import pytest
import torch

from grader.answers import Live, Recorded, matching, record, write_recording
from grader.chapter_run import ChapterRun
from grader.chapters import RECORDING, Tree, read_source
from grader.compare import compare
from grader.errors import GraderError
from grader.observations import Foreign, freeze
from grader.observe import Fault, Reply
from grader.release import make_stub
from grader.seeds import PUBLIC
from grader.verdicts import decide
from tests.grader.toy import CHECKS, SOLUTION

HEAD = "import torch\nfrom grader.checks import check\n\n\n"


def public_run(toy, checks=None) -> ChapterRun:
    tree = Tree.around(toy.exercises)
    source = toy.exercises / "attention.py"
    return ChapterRun(
        "ch3",
        checks or toy.checks(),
        source,
        lambda: tree.load("ch3", read_source(source), str(source), "student"),
        Recorded(toy.exercises / RECORDING),
        master=PUBLIC,
        other_module=tree.module_named,
    )


def outcomes(run: ChapterRun) -> list[str]:
    return [run.verdict(name).outcome for name in run.checks]


def live(master="x") -> Live:
    return Live(Tree.of_package("toy_solutions"), "ch3", master)


def test_the_solution_passes_and_its_stub_does_not(toy):
    assert outcomes(public_run(toy)) == ["passed"] * 4
    toy.student(make_stub(SOLUTION, "attention.py"))
    run = public_run(toy)
    assert outcomes(run) == ["not started", "blocked", "blocked", "not started"]
    assert run.verdict("rows_sum_to_one").message == "by causal_mask, which is not written yet"


def test_a_misconception_is_named(toy):
    toy.patched(" / keys.shape[-1] ** 0.5", "")
    run = public_run(toy)
    assert outcomes(run) == ["passed", "wrong", "blocked", "passed"]
    verdict = run.verdict("weights_and_context")
    assert [turn.name for turn in verdict.wrong_turns] == ["unscaled-scores"]
    assert (verdict.difference.kind, verdict.difference.path) == ("value", ("weights",))


def test_a_misconception_that_fails_what_passed_before_is_none(toy):
    """One more yields the same in the second check, but would have failed the first."""
    file = toy.solutions / "misconceptions.toml"
    entries = [("one-more", "n + 1", "One more."), ("far-one-more", "n + (n > 2)", "One more far on.")]
    for name, with_, says in entries:
        replace = 'exercise = "count_up"\nreplace = "list(range(n))"'
        text = (
            f'[[misconception]]\nname = "{name}"\n{replace}\nwith = "list(range({with_}))"\nsays = "{says}"\n'
        )
        file.write_text(f"{file.read_text()}\n{text}")
    source = HEAD
    for name, needs, n in (("near", "", 2), ("far", ', needs="near"', 5)):
        source += f'@check("count_up"{needs})\ndef {name}(attention):\n    """X."""\n'
        source += f"    return attention.count_up({n})\n\n\n"
    checks = toy.checks(source)
    write_recording(toy.exercises / RECORDING, record(checks, live(PUBLIC)))
    toy.patched("list(range(n))", "list(range(n + (n > 3)))")
    run = public_run(toy, checks)
    assert outcomes(run) == ["passed", "wrong"]
    assert [turn.name for turn in run.verdict("far").wrong_turns] == ["far-one-more"]


def test_another_wrong_turn_is_not_given_a_name(toy):
    toy.patched("dim=-1", "dim=1")
    assert public_run(toy).verdict("weights_and_context").wrong_turns == ()


def test_needs_run_first_whatever_is_asked(toy):
    toy.patched("triu(1)", "triu(0)")
    run = public_run(toy)
    assert run.verdict("rows_sum_to_one").message == "by mask_values, which did not pass"
    assert [verdict.check.name for verdict in run.verdicts] == [
        "mask_values",
        "weights_and_context",
        "rows_sum_to_one",
    ]


@pytest.mark.parametrize(
    ("replace", "with_", "outcome"),
    [
        ("list(range(n))", "[float(i) for i in range(n)]", "wrong"),
        ("list(range(n))", "tuple(range(n))", "wrong"),
        ("list(range(n))", "[]", "wrong"),
        ("list(range(n))", "None", "wrong"),
        ("list(range(n))", "set(range(n))", "wrong"),
        ("list(range(n))", "[1 / 0]", "error"),
        ("def count_up(n)", "def count_up()", "error"),
        ("def count_up(n)", "def other(n)", "missing"),
    ],
)
def test_verdicts(toy, replace, with_, outcome):
    toy.patched(replace, with_)
    assert public_run(toy).verdict("counts").outcome == outcome


def test_a_module_that_cannot_be_imported_is_told_once(toy):
    toy.student("import torch\n1 / 0\n")
    run = public_run(toy)
    assert outcomes(run) == ["error", "blocked", "blocked", "blocked"]
    assert run.verdict("mask_values").reply.fault.lines[-1].text == "1 / 0"
    toy.student("def f(:\n")
    assert public_run(toy).verdict("counts").message == "SyntaxError: invalid syntax"


def test_forbidden_in_the_tree_and_in_the_trace(toy):
    line = "        return weights @ values, weights\n"
    toy.patched(line, "        nn.functional.scaled_dot_product_attention(x, x, x)\n" + line)
    verdict = public_run(toy).verdict("weights_and_context")
    assert verdict.outcome == "forbidden" and "scaled_dot_product_attention, on line" in verdict.message
    hidden = "        getattr(nn.functional, '_'.join(['scaled', 'dot_product_attention']))(x, x, x)\n"
    toy.patched(line, hidden + line)
    verdict = public_run(toy).verdict("weights_and_context")
    number = SOLUTION.splitlines().index(line.rstrip()) + 1
    assert verdict.message == f"torch's scaled_dot_product_attention, on line {number}"


def test_hidden_checks_use_the_live_reference(toy):
    one, other = live("x"), live("y")
    check = toy.checks()[1]
    assert compare(one.expected(check), live("x").expected(check)) is None
    assert compare(one.expected(check), other.expected(check)) is not None
    [turn] = matching(one, check, one.misconception_reply(check, one.misconceived.all[0]).observation)
    assert turn.name == "unscaled-scores"


def test_recordings_are_the_same_bytes_each_time(toy):
    first = (toy.exercises / RECORDING).read_bytes()
    assert record(toy.checks(), live(PUBLIC)) == first


def test_a_check_changed_after_it_was_recorded_is_not_the_students_fault(toy):
    toy.patched("triu(1)", "triu(0)")
    checks = toy.checks(CHECKS.replace("SIZE = 3", "SIZE = 4"))
    verdict = public_run(toy, checks).verdict("mask_values")
    assert verdict.outcome == "grader fault" and "changed after it was recorded" in verdict.message
    checks = toy.checks(CHECKS.replace("counts", "counts_too"))
    verdict = public_run(toy, checks).verdict("counts_too")
    assert verdict.outcome == "grader fault" and "nothing recorded" in verdict.message


@pytest.mark.parametrize("content", [b"", b"abc", b"\0" * 40])
def test_a_broken_recording_is_refused(toy, content):
    (toy.exercises / RECORDING).write_bytes(content)
    with pytest.raises(GraderError, match="not a recording"):
        Recorded(toy.exercises / RECORDING)


def test_a_reference_that_fails_or_yields_nan_is_not_recorded(toy):
    for body, message in (
        ("return torch.tensor(float('nan'))", "NaN"),
        ("return object()", "no plain data"),
        ("return 1 / 0", "the reference fails f: ZeroDivisionError"),
    ):
        checks = toy.checks(f'{HEAD}@check("causal_mask")\ndef f(attention):\n    """X."""\n    {body}\n')
        with pytest.raises(GraderError, match=message):
            record(checks, live(PUBLIC))


def accepting(toy, body: str, decorator: str = "@f.accept", parameters: str = "seen, draw, reference"):
    source = f'''{HEAD}@check("count_up")
def f(attention, draw):
    """Numbers."""
    return draw.normal(3)


{decorator}
def _({parameters}):
    {body}
'''
    return toy.checks(source)[0]


def verdict_of(check, seen, answers=None):
    return decide(check, Reply("seen", freeze(seen)), answers or live(), seed=1)


GOOD = torch.zeros(3)


@pytest.mark.parametrize(
    ("body", "outcome", "message"),
    [
        ("return None", "passed", ""),
        ("return True", "passed", ""),
        ("return False", "wrong", "This is not accepted."),
        ("return 'Too low.'", "wrong", "Too low."),
        ("return ''", "wrong", "This is not accepted."),
        ("return 1", "grader fault", "returned int"),
        ("return 0", "grader fault", "returned int"),
        ("return torch.tensor(True)", "grader fault", "returned Tensor"),
        ("return (seen == seen).all().numpy()[()]", "grader fault", "returned bool"),
        ("assert False, 'no'", "grader fault", "AssertionError: no"),
        ("return seen.nothing", "grader fault", "test_attention.py:13"),
        ("raise SystemError('x')", "grader fault", "SystemError"),
    ],
)
def test_what_accept_may_say(toy, body, outcome, message):
    verdict = verdict_of(accepting(toy, body), GOOD)
    assert verdict.outcome == outcome and message in verdict.message


def test_accept_draws_again_and_has_the_reference(toy):
    check = accepting(toy, "return torch.equal(seen, draw.normal(3)) and reference.count_up(2) == [0, 1]")
    from grader.draw import Draw

    assert verdict_of(check, Draw(1).normal(3)).passed
    assert not verdict_of(check, Draw(2).normal(3)).passed


@pytest.mark.parametrize(
    "seen",
    [
        None,
        [],
        {},
        1.0,
        torch.zeros(4),
        torch.zeros(()),
        torch.zeros(3, 1),
        torch.zeros(3).double(),
        torch.tensor([0, 0, float("nan")]),
        [torch.zeros(3)],
        Foreign("set"),
    ],
    ids=str,
)
def test_accept_is_asked_only_about_what_has_the_form(toy, seen):
    assert verdict_of(accepting(toy, "return True"), GOOD).passed
    answers = live()
    verdict = decide(accepting(toy, "return True"), Reply("seen", seen), answers, seed=1)
    assert verdict.outcome == "wrong" and verdict.difference is not None


def test_free_form_is_asked_for(toy):
    check = accepting(toy, "return len(seen) == 4", decorator="@f.accept(free_form=True)")
    assert verdict_of(check, torch.zeros(4)).passed
    assert not verdict_of(check, torch.zeros(5)).passed
    assert decide(check, Reply("seen", Foreign("x")), live(), 1).outcome == "wrong"


def test_a_public_accept_has_no_reference(toy):
    check = accepting(toy, "return True")
    toy.exercises.joinpath(RECORDING).unlink()
    write_recording(toy.exercises / RECORDING, record([check], live(PUBLIC)))
    verdict = verdict_of(check, GOOD, Recorded(toy.exercises / RECORDING))
    assert verdict.outcome == "grader fault" and "ask for `expected`" in verdict.message


def test_a_failing_reference_is_a_grader_fault(toy, monkeypatch):
    answers = live()
    monkeypatch.setattr(answers.reference, "count_up", lambda n: 1 / 0)
    verdict = verdict_of(toy.checks()[3], [1], answers)
    assert verdict.outcome == "grader fault" and "ZeroDivisionError" in verdict.message


@pytest.mark.parametrize("outcome", ["error", "timeout", "memory"])
def test_what_did_not_come_is_no_pass(toy, outcome):
    verdict = decide(toy.checks()[0], Reply(outcome, fault=Fault("X", "y")), live(), 1)
    assert verdict.outcome == outcome and not verdict.passed
