"""`grader explain`: the whole record of a check, and what a second run says."""

import json
import shlex
import shutil

import pytest

from grader.pseudonyms import pseudonym
from grader.seeds import PUBLIC, seed_for
from tests.grader import toy_course
from tests.grader.test_grading import HONEST, MISTAKE, run

PRINTS = MISTAKE.replace("    spread = ", '    print("\\x1b[2J I am here")\n    spread = ')


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A toy course with a class that is graded, under pseudonyms in the log."""
    root = tmp_path_factory.mktemp("explain") / "course"
    toy_course.write_toy_course(root)
    run(root, "release")
    (root.parent / "submissions" / "cem").mkdir(parents=True)
    for student, source in {"ann": HONEST, "bob": PRINTS}.items():
        folder = root.parent / "submissions" / student
        folder.mkdir(parents=True)
        (folder / "sums.py").write_text(source)
    where = (root.parent / "submissions", "--to", root.parent / "results")
    done = run(root, "grade", *where, "--workers", "1", "--seed", "7", "--pseudonyms")
    assert done.returncode == 0, done.stderr
    assert "ch1: mean 90.0 of 100, after late days and overrides; 2 handed in, 1 did not" in done.stdout
    overrides = "student,chapter,exercise,points,reason\nbob,ch1,standardise,15,told in the lecture\n"
    (root.parent / "results" / "overrides.csv").write_text(overrides)
    return root


@pytest.fixture
def course(graded, tmp_path):
    """The same with a folder of submissions and results of its own."""
    shutil.copytree(graded.parent, tmp_path / "own")
    return tmp_path / "own" / "course"


def explain(root, *arguments):
    return run(root, "explain", root.parent / "results", *arguments)


def rerun(root, *arguments):
    return explain(root, *arguments, "--rerun", "--submissions", root.parent / "submissions")


def test_the_whole_record_of_a_check(graded):
    done = explain(graded, "bob", "mean_and_spread")
    assert done.returncode == 0, done.stderr
    report = json.loads((graded.parent / "results" / "bob" / "ch1.json").read_text())
    said = " ".join(done.stdout.split())
    for words in (
        "bob, ch1, Sums",
        "standardise: 15 of 20 points; failed, 0 of 1 hidden check passed",
        "set by hand in overrides.csv, because told in the lecture",
        "chapter 95 of 100 points",
        "hidden check mean_and_spread of standardise: wrong",
        "public check mean_and_spread of standardise: wrong",
        f"seed {seed_for('7', 'ch1', 'mean_and_spread')}",
        f"seed {seed_for(PUBLIC, 'ch1', 'mean_and_spread')}",
        "likely not-centred: The mean stays in.",
        f"sha256 {report['submission']['sha256']}",
        f"of the checks: {report['hashes']['checks']} hash",
        f"tier {report['tier']['name']}: ",
        "graded, 80 points before late days and overrides",
        "\\x1b[2J I am here",
    ):
        assert words in said, words
    for check in report["checks"]:
        if check["name"] == "mean_and_spread":
            assert " ".join(check["message"].split()) in said
            assert " ".join(check["shown"].split()) in said
        else:
            assert f"check {check['name']}" not in said
    assert "\x1b" not in done.stdout and "another one by now" not in said


def test_the_record_is_folded(graded):
    lines = explain(graded, "bob", "mean_and_spread").stdout.splitlines()
    record = [line for line in lines if not line.startswith("     ")]  # the rest is code and numbers
    assert max(map(len, record)) <= 80
    assert any(line.startswith(" " * 14) for line in lines) and "" in lines
    passed = explain(graded, "ann", "Mixer").stdout
    assert "\n\n\n" not in passed and not passed.endswith("\n\n")


def test_without_a_check_it_lists_what_did_not_pass_with_the_command_for_each(graded):
    done = explain(graded, "bob")
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == "bob, ch1, 95 of 100 points"
    assert lines[0] == "  standardise: 15 of 20 points; failed, 0 of 1 hidden check passed; set by hand"
    [command] = [line.strip() for line in lines[1:]]
    command, outcome = command.split("  # ")
    assert outcome == "wrong"
    said = run(graded, *shlex.split(command)[1:]).stdout
    assert "hidden check mean_and_spread of standardise: wrong" in said
    assert explain(graded, "ann").stdout == "ann, ch1, 100 of 100 points\n  all passed\n"


def test_an_exercise_is_all_of_its_checks(graded):
    said = explain(graded, "ann", "Mixer").stdout
    assert "hidden check mixes of Mixer: passed" in said and "50 of 50 points; passed" in said


def test_the_log_is_found_under_pseudonyms_and_of_others_nothing_is_said(graded):
    results = graded.parent / "results"
    report = json.loads((results / "ann" / "ch1.json").read_text())
    log = (results / "log.jsonl").read_text()
    assert pseudonym("ann", report["hashes"]["round"]) in log
    said = explain(graded, "ann", "Mixer").stdout
    assert said.count("graded, 100 points") == 1 and "80 points" not in said and "bob" not in said


def test_the_same_run_gives_the_same_verdict(graded):
    before = (graded.parent / "results" / "bob" / "ch1.json").read_bytes()
    done = rerun(graded, "bob", "standardise")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hidden check mean_and_spread: the same verdict, wrong" in done.stdout
    assert "public check mean_and_spread: the same verdict, wrong" in done.stdout
    assert "80 points, as before" in done.stdout and "NOT what was graded" not in done.stdout
    assert (graded.parent / "results" / "bob" / "ch1.json").read_bytes() == before


def test_another_submission_is_said_to_be_another(course):
    (course.parent / "submissions" / "bob" / "sums.py").write_text(HONEST)
    done = rerun(course, "bob", "standardise")
    assert done.returncode == 1
    assert "NOT what was graded" in done.stdout
    assert "hidden check mean_and_spread: ANOTHER VERDICT: passed, not wrong" in done.stdout
    assert "public check mean_and_spread: ANOTHER VERDICT: it is not run any more" in done.stdout
    assert "100 points, not 80" in done.stdout and "--force" in done.stdout


def test_changed_checks_are_said_to_be_changed(course):
    checks = course / "tests" / "ch1" / "test_sums.py"
    checks.write_text(checks.read_text().replace("coin(1000)", "coin(2000)").replace("400 <", "4000 <"))
    done = rerun(course, "ann", "Mixer")
    assert done.returncode == 0
    assert "and is another one by now" in " ".join(done.stdout.split())
    assert "the checks are no longer" in done.stdout
    assert "1 other check of the chapter with another verdict: fair" in done.stdout
    assert "70 points, not 100" in done.stdout


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["bobb", "Mixer"], "has nothing of 'bobb'; there is bob"),
        (["bob", "mean_and_spraed"], "no check or exercise 'mean_and_spraed'; there are mean_and_spread"),
        (["bob", "Mixer", "--chapter", "ch4"], "has no ch4 of bob"),
        (["bob", "Mixer", "--rerun"], "keeps no submissions"),
        (["bob", "--rerun", "--submissions", "tests"], "--rerun is about a check or an exercise: name one"),
        (["bob", "Mixer", "--rerun", "--submissions", "none"], "--submissions none"),
        (["bob", "Mixer", "--submissions", "tests"], "is for --rerun"),
    ],
)
def test_the_users_mistakes_are_one_line_and_exit_2(graded, arguments, said):
    done = explain(graded, *arguments)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


def test_a_folder_without_a_round_stays_as_it_is(graded, tmp_path):
    done = run(graded, "explain", tmp_path, "ann", "Mixer")
    assert done.returncode == 2 and "round.json" in done.stderr
    assert not (tmp_path / "round.json").exists()
