"""The real chapters through judge and worker: solutions, other solutions and stubs get what they deserve."""

import pytest

from grader import judged_run, sandbox, server
from grader.course_folder import CourseFolder
from grader.intake import HandedIn
from grader.judge import ChapterJudge
from grader.misconceptions import load_misconceptions, patched_source
from grader.server import Server, ServerFault

COURSE = CourseFolder(sandbox.HERE.parent)


@pytest.fixture(scope="module")
def tier():
    return sandbox.best_tier()


@pytest.fixture(scope="module", params=list(COURSE.course.chapters))
def judge(request, tier):
    judging = ChapterJudge(COURSE, request.param, "a master", tier)
    yield judging
    judging.close()


def handed_in(judge, source: str) -> HandedIn:
    name = judge.chapter.name
    return HandedIn(name, f"{name}/{judge.course_chapter.module}.py", source)


def earlier(judge) -> dict[str, HandedIn]:
    """The student's own earlier chapters, which assembled checks look at."""
    number = int(judge.chapter.name[2:])
    chapters = [COURSE.chapter(name) for name in COURSE.course.chapters if int(name[2:]) < number]
    return {one.name: HandedIn(one.name, f"{one.name}.py", one.source) for one in chapters}


def not_passed(report: dict) -> list[tuple]:
    return [(c["name"], c["outcome"], c["message"]) for c in report["checks"] if c["outcome"] != "passed"]


def test_the_solution_has_every_point(judge):
    report = judge.judge("ann", handed_in(judge, judge.chapter.source), earlier(judge))
    assert not_passed(report) == [] and report["points"] == report["max"] and not report["faults"]


def test_another_way_has_every_point(judge):
    source = judge.chapter.another_way_file.read_text(encoding="utf-8")
    report = judge.judge("ann", handed_in(judge, source), earlier(judge))
    assert not_passed(report) == [] and report["points"] == report["max"]


def test_the_stub_has_none_and_is_not_started(judge):
    stub = COURSE.root / "exercises" / judge.chapter.name / f"{judge.course_chapter.module}.py"
    report = judge.judge("ann", handed_in(judge, stub.read_text(encoding="utf-8")))
    assert report["points"] == 0 and not report["faults"]
    assert {exercise["state"] for exercise in report["exercises"]} <= {"not started", "blocked"}


def test_a_misconception_costs_its_exercise_and_is_named(judge):
    turn = load_misconceptions(judge.chapter.misconceptions_file)[0]
    report = judge.judge("bob", handed_in(judge, patched_source(judge.chapter.source, turn)))
    states = {exercise["name"]: exercise["state"] for exercise in report["exercises"]}
    assert states[turn.exercise] != "passed" and report["points"] < report["max"]
    named = {m["name"] for check in report["checks"] for m in check["misconceptions"]}
    assert turn.name in named


def test_without_a_worker_nothing_is_said_about_anybody(judge, monkeypatch):
    def fails(server):
        raise ServerFault("the worker does not start: no torch")

    monkeypatch.setattr(Server, "submission", fails)
    report = judge.judge("ann", handed_in(judge, judge.chapter.source))
    assert {exercise["state"] for exercise in report["exercises"]} == {"grader fault"}
    assert {(c["outcome"], c["message"]) for c in report["checks"]} == {
        ("grader fault", "the worker does not start: no torch")
    }


def test_a_reply_that_came_before_is_known_again_and_only_for_its_check(tier, monkeypatch):
    judging = ChapterJudge(COURSE, "ch3", "a master", tier)
    opened, said = [], judged_run.opened
    monkeypatch.setattr(judged_run, "opened", lambda reply: opened.append(reply) or said(reply))
    try:
        first = judging.judge("ann", handed_in(judging, judging.chapter.source))
        checks = len(first["checks"])
        assert len(opened) == 2 + checks  # what it read and what it imported come before
        again = judging.judge("bob", handed_in(judging, judging.chapter.source))
        assert len(opened) == 2 + checks + 2 and again["points"] == first["points"] == first["max"]

        known = judging.live.decided.items()
        others = {(name + "?", digest): verdict for (name, digest), verdict in known}
        monkeypatch.setattr(judging.live, "decided", others)
        judging.judge("carl", handed_in(judging, judging.chapter.source))
        assert len(opened) == 2 + checks + 2 + 2 + checks
    finally:
        judging.close()


def counted(monkeypatch) -> list[str]:
    """How often submissions are asked, and for what: "several" or "one"."""
    asked = []
    several, one = server.Submission.ask_several, server.Submission.ask_packed
    monkeypatch.setattr(
        server.Submission, "ask_several", lambda *given: asked.append("several") or several(*given)
    )
    monkeypatch.setattr(server.Submission, "ask_packed", lambda *given: asked.append("one") or one(*given))
    return asked


@pytest.fixture(scope="module")
def attention(tier):
    judging = ChapterJudge(COURSE, "ch3", "a master", tier)
    judging.judge("ann", handed_in(judging, judging.chapter.source))
    yield judging
    judging.close()


def test_all_checks_of_a_submission_are_asked_at_once(attention, monkeypatch):
    asked = counted(monkeypatch)
    attention.judge("ann", handed_in(attention, attention.chapter.source + "\n# mine\n"))
    if attention.tier.name != "bubblewrap":  # whose server is looked at afterwards
        asked.pop()
    assert asked == ["one", "one", "several"]  # to read it, to import it, and its checks


def test_who_leaves_in_one_check_keeps_the_points_of_the_others(attention):
    """Lost together, then asked one by one: only the exercise that leaves is without points."""
    leaving = "\nimport os\n\ndef prefix_mean_loop(x):\n    os._exit(0)\n"
    report = attention.judge("bob", handed_in(attention, attention.chapter.source + leaving))
    points = attention.course_chapter.points
    assert report["points"] == report["max"] - points["prefix_mean_loop"] and not report["faults"]
    outcomes = {c["outcome"] for c in report["checks"] if c["hidden"] and c["exercise"] == "prefix_mean_loop"}
    assert outcomes == {"error"}


@pytest.mark.parametrize("judge", ["ch5"], indirect=True)
def test_checks_of_one_process_are_asked_together_though_others_need_another(judge, monkeypatch):
    asked = counted(monkeypatch)
    report = judge.judge("ann", handed_in(judge, judge.chapter.source), earlier(judge))
    assert report["points"] == report["max"]
    # the other process is read, imported, and asked its one check
    assert asked[:6] == ["one", "one", "several", "one", "one", "one"]


def test_an_untouched_stub_is_looked_at_once(attention, monkeypatch):
    stub = attention.folder.stubs["ch3"]
    first = attention.judge("carl", handed_in(attention, stub))
    asked = counted(monkeypatch)
    again = attention.judge("dora", handed_in(attention, stub))
    assert asked == [] and again["student"] == "dora"
    for own in ("student", "times"):
        first.pop(own), again.pop(own)
    assert again == first
    attention.judge("emil", handed_in(attention, stub + "\nx = 1\n"))
    assert asked


def test_without_a_fork_server_the_points_are_the_same(monkeypatch):
    monkeypatch.setattr(server.sys, "platform", "darwin")
    judging = ChapterJudge(COURSE, "ch3", "a master", sandbox.PLAIN)
    try:
        turn = load_misconceptions(judging.chapter.misconceptions_file)[0]
        report = judging.judge("bob", handed_in(judging, patched_source(judging.chapter.source, turn)))
    finally:
        judging.close()
    states = {exercise["name"]: exercise["state"] for exercise in report["exercises"]}
    assert [name for name, state in states.items() if state != "passed"] == [turn.exercise]
    assert turn.name in {m["name"] for check in report["checks"] for m in check["misconceptions"]}


@pytest.mark.parametrize(
    "line, says",
    [
        ("def f(:", "SyntaxError"),
        ("raise ValueError('hello')", "hello"),
        ("import os; os._exit(3)", "code 3"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_why(attention, line, says):
    report = attention.judge("fay", handed_in(attention, f"{attention.chapter.source}\n{line}\n"))
    first, *others = report["checks"]
    assert first["outcome"] == "error" and says in first["message"] and says in first["shown"]
    assert "cannot be imported" in first["shown"]
    assert {check["outcome"] for check in others} == {"blocked"}


@pytest.mark.parametrize("room, kept", [(0, False), (1 << 20, True)])
def test_what_did_not_pass_is_kept_only_while_there_is_room(attention, monkeypatch, room, kept):
    monkeypatch.setattr(attention.live, "decided", {})
    monkeypatch.setattr(attention.live, "room", room)
    wrong = "\ndef causal_mask(size):\n    return torch.zeros(size, size)\n"
    attention.judge("gus", handed_in(attention, attention.chapter.source + wrong))
    others = [verdict for verdict in attention.live.decided.values() if not verdict.passed]
    assert bool(others) == kept and 0 <= attention.live.room <= room
    assert len(attention.live.decided) > len(others)
