"""Checks under pytest: with its own options, and with reports that a student can read."""

import sys
import xml.etree.ElementTree as ElementTree

import pytest
import torch  # noqa: F401  (so that it stays imported between the runs in this process)

from grader.release import make_stub
from tests.grader.toy import SOLUTION

pytest_plugins = ["pytester"]
TEST = "toy_exercises/ch3/test_attention.py"


@pytest.fixture
def course(toy, pytester, monkeypatch):
    """The toy chapter, and a pytest to run in its folder: `course.run(...)`."""
    monkeypatch.setattr(sys, "argv", ["pytest"])
    # CI: there pytest writes its summary in lines as long as they come
    for name in ("COLUMNS", "NO_COLOR", "PYTEST_ADDOPTS", "CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(toy.root)
    toy.root.joinpath("pytest.ini").write_text("[pytest]\n")

    def run(*arguments, where="toy_exercises/ch3"):
        for name in [name for name in sys.modules if name.startswith("toy_")]:
            del sys.modules[name]
        plugins = ["-p", "grader.pytest_plugin", "-p", "no:hypothesispytest"]  # that one takes a second
        plugins += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # ours is imported already
        result = pytester.runpytest_inprocess(*plugins, "--rootdir", toy.root, where, *arguments)
        shown = result.stdout.str().partition("= FAILURES")[2] or result.stdout.str().partition("= course")[2]
        shown = shown.replace(str(toy.root), ".")  # the temporary folder's name is as long as it is
        for line in shown.splitlines():
            assert len(line) <= 80 or "site-packages" in line or "--tb=long" in arguments, line
        return result

    toy.run = run
    return toy


def test_the_solution_passes(course):
    result = course.run()
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines([f"{TEST} ....*", "ch3: 100 of 100 points; all passed"])
    assert result.ret == 0


def test_untouched_stubs_are_not_started_in_a_few_lines(course):
    course.student(make_stub(SOLUTION, "attention.py"))
    result = course.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            f"{TEST} nbbn*",
            "ch3: 0 of 100 points; next: causal_mask",
            "  not started: causal_mask, count_up",
            "  blocked by causal_mask, which is not written yet: Attention",
            "*2 not started, 2 blocked*",
        ]
    )
    assert "FAILURES" not in result.stdout.str() and "NotImplementedError" not in result.stdout.str()


def test_a_wrong_turn_is_explained(course):
    course.patched(" / keys.shape[-1] ** 0.5", "")
    result = course.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            f"{TEST} .Fb.*",
            "*Attention: weights_and_context*",
            "Attention: The softmax of the scaled scores, applied to the values.",
            "    context, weights = layer(draw.normal(2, 6, 6))",
            "The value at ?'weights'? is not the expected one:",
            "Likely cause: The scores go into the softmax undivided, so that it saturates as",
            "the head grows. (unscaled-scores)",
            "Next: mend that, then `pytest toy_exercises/ch3 -k weights_and_context`.",
            "ch3: 30 of 100 points; next: Attention",
            "  Attention: 1 of its 2 checks waits for weights_and_context, which did not pass",
            "*1 failed, 2 passed, 1 blocked*",
        ]
    )


def test_pytests_last_lines_end_with_a_whole_word(course):
    course.patched(" / keys.shape[-1] ** 0.5", "")
    lines = course.run().outlines
    assert f"FAILED {TEST}::weights_and_context - wrong" in lines
    course.patched("return weights @ values, weights", "return (weights @ values,)")
    lines = course.run("--junitxml=report.xml").outlines
    assert f"FAILED {TEST}::weights_and_context - error" in lines
    assert 'message="error: ValueError: not enough values' in (course.root / "report.xml").read_text()


def test_a_result_that_does_not_fit_the_checks_own_line(course):
    course.patched("return weights @ values, weights", "return (weights @ values,)")
    course.run("-k", "weights_and_context").stdout.fnmatch_lines(
        [
            "  > context, weights = layer(draw.normal(2, 6, 6))",
            "What Attention.forward returned does not fit the line marked >:",
            "    expected  2 values: context, weights",
            "    actual    a tuple of 1: (tensor of shape (2, 6, 4),)",
            "  ValueError: not enough values to unpack (expected 2, got 1)",
            "Next: look at what Attention.forward returns.",
        ]
    )


def test_an_exception_shows_the_students_lines_only(course):
    course.patched("keys.mT", "keys")
    result = course.run("-k", "weights_and_context")
    result.stdout.fnmatch_lines(
        [
            "  toy_exercises/ch3/attention.py:28, in Attention.forward",
            "      scores = queries @ keys / keys.shape?-1? ?? 0.5",
            "  RuntimeError: *",
        ]
    )
    for ours in ("observe.py", "site-packages", "chapter_run"):
        assert ours not in result.stdout.str()
    full = course.run("-k", "weights_and_context", "--tb=long").stdout.str()
    assert "observe.py" in full and "RuntimeError: Expected size" in full


def test_what_runs_too_long_stops_softly(course):
    course.patched("    return list(range(n))", "    while n:\n        n += 1\n    return n")
    result = course.run("-k", "counts")
    result.stdout.fnmatch_lines(
        ["*stopped, because it ran too long*", "*in count_up", "  still running after 0.5 s"]
    )


@pytest.mark.parametrize(
    "leave", ["sys.exit(0)", "pytest.skip('x')", "pytest.xfail('x')", "raise unittest.SkipTest('x')"]
)
def test_leaving_is_no_pass(course, leave):
    course.patched("return list(range(n))", f"import sys, pytest, unittest; {leave}")
    result = course.run("-k", "counts")
    assert result.ret == 1
    result.assert_outcomes(failed=1)


def test_k_finds_checks_and_exercises_and_runs_what_they_need(course):
    assert course.run("-k", "rows_sum").parseoutcomes() == {"passed": 1, "deselected": 3}
    assert course.run("-k", "weights").parseoutcomes()["passed"] == 1
    result = course.run("-k", "causal_mask")
    result.stdout.fnmatch_lines(["ch3: 20 of 20 points in the one exercise run; all passed"])
    course.patched("triu(1)", "triu(0)")
    result = course.run("-k", "rows_sum")
    assert result.parseoutcomes() == {"blocked": 1, "deselected": 3}
    result.stdout.fnmatch_lines(["  blocked by mask_values, which did not pass: Attention"])


def test_x_stops_and_lf_repeats(course):
    course.patched("triu(1)", "triu(0)")
    assert course.run("-x").parseoutcomes() == {"failed": 1}
    course.run()
    result = course.run("--lf")
    assert result.parseoutcomes() == {"failed": 1, "blocked": 2}
    course.patched("list(range(n))", "list(range(n))")
    course.run("--lf")
    assert course.run("--durations=2", "-v").ret == 0


def test_verbose_says_it_in_words(course):
    course.student(make_stub(SOLUTION, "attention.py"))
    result = course.run("-v")
    result.stdout.fnmatch_lines(["*::mask_values NOT STARTED*", "*::weights_and_context BLOCKED*"])


def test_junit_xml(course):
    course.patched(" / keys.shape[-1] ** 0.5", "")
    course.run("--junitxml=report.xml")
    cases = {case.get("name"): case for case in ElementTree.parse("report.xml").iter("testcase")}
    assert list(cases) == ["mask_values", "weights_and_context", "rows_sum_to_one", "counts"]
    properties = {p.get("name"): p.get("value") for p in cases["weights_and_context"].iter("property")}
    assert properties == {"exercise": "Attention", "outcome": "wrong"}
    [failure] = cases["weights_and_context"].iter("failure")
    assert failure.get("message") == "wrong: looks like unscaled-scores"
    assert "The scores go into the softmax undivided" in failure.text
    assert len(list(cases["rows_sum_to_one"].iter("failure"))) == 1
    assert not list(cases["counts"].iter("failure"))


def test_pdb_stops_at_the_students_line_and_nowhere_else(course, monkeypatch):
    stops = []
    monkeypatch.setattr("_pytest.debugging.post_mortem", lambda tb: stops.append(tb), raising=False)
    import pdb

    monkeypatch.setattr(pdb.Pdb, "interaction", lambda self, frame, tb: stops.append(tb))
    for with_ in ("no_such_name", "keys", "self.W_key(keys)"):  # the last two raise deep inside of torch
        course.patched("keys.mT", with_)
        course.run("--pdb")
        [last] = stops
        if isinstance(last, BaseException):
            last = last.__traceback__
        while last.tb_next:
            last = last.tb_next
        assert last.tb_frame.f_code.co_name == "forward"
        assert last.tb_frame.f_code.co_filename.endswith("attention.py")
        stops.clear()
    course.patched("return weights @ values, weights", "return (weights,)")  # raises on the check's line
    course.run("--pdb")
    assert stops.pop()
    course.student(make_stub(SOLUTION, "attention.py"))
    course.run("--pdb")
    course.patched("dim=-1", "dim=1")  # a wrong value was raised nowhere
    course.run("--pdb").stdout.fnmatch_lines(["The value at ?'weights'? is not the expected one:"])
    assert not stops


def test_hidden_checks_run_the_reference_on_fresh_inputs(course):
    result = course.run(where="toy_hidden/ch3")
    result.assert_outcomes(passed=4)
    line = next(line for line in result.outlines if "--seed" in line)
    seed = line.split("--seed ")[1].split()[0]
    other = course.run(where="toy_hidden/ch3")
    assert seed not in other.stdout.str()
    assert seed in course.run("--seed", seed, where="toy_hidden/ch3").stdout.str()


@pytest.mark.parametrize("place", ["attention.py", "ch3/attention.py", "exercises/ch3/attention.py"])
def test_hidden_checks_of_a_submission_in_process(course, place):
    file = course.root / "handed_in" / place
    file.parent.mkdir(parents=True)
    file.write_text(SOLUTION.replace(" / keys.shape[-1] ** 0.5", ""))
    result = course.run("--submission", "handed_in", "--in-process", where="toy_hidden/ch3")
    assert result.parseoutcomes() == {"failed": 1, "passed": 2, "blocked": 1}
    result.stdout.fnmatch_lines(
        [
            "Likely cause: The scores go into*",
            "warning: the submission ran in this process*",
        ]
    )


def test_a_submission_is_judged_as_grader_grade_judges_it(course):
    """In a worker: leaving and printing there is nothing to this process."""
    folder = course.root / "handed_in"
    folder.mkdir()
    leaving = SOLUTION.replace("return list(range(n))", "import os; print('gone'); os._exit(0)")
    (folder / "attention.py").write_text(leaving.replace(" / keys.shape[-1] ** 0.5", ""))
    result = course.run("--submission", "handed_in", where="toy_hidden/ch3")
    assert result.parseoutcomes() == {"failed": 2, "passed": 1, "blocked": 1}
    result.stdout.fnmatch_lines(["Likely cause: The scores go into*", "*its process ended with exit code 0*"])
    assert "warning" not in result.stdout.str()
    result = course.run("--submission", "handed_in", "--device", "meta", where="toy_hidden/ch3")
    result.stdout.fnmatch_lines(["*add --in-process for another device*"])


def test_a_submission_without_the_module(course):
    (course.root / "handed_in").mkdir()
    result = course.run("--submission", "handed_in", where="toy_hidden/ch3")
    assert result.parseoutcomes() == {"failed": 4}
    result.stdout.fnmatch_lines(["*holds nothing that is looked for: attention.py or ch3.ipynb*"])


def test_without_a_reference_it_is_the_graders_fault(course):
    (course.root / "course.toml").unlink()
    result = course.run(where="toy_hidden/ch3")
    assert result.parseoutcomes() == {"failed": 4}
    result.stdout.fnmatch_lines(["This is not your fault*", "*need --reference PACKAGE*"])
    result = course.run("--reference", "toy_solutions", where="toy_hidden/ch3")
    result.stdout.fnmatch_lines(["ch3: 3 of 3 exercises; all passed", "  no course.toml above*"])


def test_a_mistake_in_a_check_file_is_a_collection_error(course):
    path = course.exercises / "test_attention.py"
    path.write_text(path.read_text().replace('needs="mask_values"', 'needs="nothing"'))
    result = course.run()
    assert result.ret == 2
    result.stdout.fnmatch_lines(
        ["*test_attention.py:15: weights_and_context needs 'nothing', which is no check*"]
    )


def test_ascii_consoles(course, monkeypatch):
    course.patched("dim=-1", "dim=1")

    class Ascii:
        encoding = "cp437"

    from grader.pytest_plugin import FailureReport
    from tests.grader.test_verdicts import public_run

    verdict = public_run(course).verdict("weights_and_context")
    lines = []
    writer = type("Writer", (), {"_file": Ascii(), "line": staticmethod(lines.append)})()
    FailureReport(verdict, "", "").toterminal(writer)
    assert lines[0].encode("cp437") and "█" not in lines[0] and "#" in lines[0]
    Ascii.encoding = "utf-8"
    FailureReport(verdict, "", "").toterminal(writer)
    assert "█" in lines[1]


def test_other_modules_are_given_by_name(course):
    folder = course.exercises.parent / "ch4"
    folder.mkdir()
    for name, text in (("__init__.py", ""), ("block.py", "def width():\n    return 3\n")):
        (folder / name).write_text(text)
    solution = course.solutions.parent / "ch4"
    solution.mkdir()
    for name, text in (("__init__.py", ""), ("block.py", "def width():\n    return 3\n")):
        (solution / name).write_text(text)
    hidden = course.hidden.parent / "ch4"
    hidden.mkdir()
    (hidden / "__init__.py").touch()
    (hidden / "test_block.py").write_text(
        "from grader.checks import check\n\n\n"
        '@check("width")\ndef counts_that_far(block, attention):\n    """To the width."""\n'
        "    return attention.count_up(block.width())\n"
    )
    course.run(where="toy_hidden/ch4").assert_outcomes(passed=1)
