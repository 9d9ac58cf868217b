"""From what came to a verdict: the judge's half of a check. No student's code runs here.

A verdict's outcome is one of

    passed        the observation is the reference's, or `accept` took it
    wrong         it is another
    error         the student's code raised
    timeout       it ran too long
    memory        it took too much (told by a judge that limits it)
    forbidden     it uses what would be the exercise itself
    missing       the module has no such exercise
    not started   the stub is untouched
    blocked       what the check needs did not pass, or another exercise is not started
    grader fault  the course's or the grader's own mistake; never a pass, and never the student's
"""

import inspect
import traceback
from dataclasses import dataclass, field

from grader.answers import Live, Recorded, WrongTurn, matching
from grader.checks import Check
from grader.compare import Difference, compare, same_form
from grader.draw import Draw
from grader.errors import GraderError
from grader.observations import foreign_in
from grader.observe import NOT_WRITTEN, Reply


@dataclass
class Verdict:
    """What became of one check."""

    check: Check
    outcome: str
    message: str = ""  # one line in addition to what the outcome says
    difference: Difference | None = None
    wrong_turns: tuple[WrongTurn, ...] = ()
    reply: Reply | None = field(default=None, repr=False)
    waits_for: str = ""  # of a blocked check: a check that did not pass, or what is not written yet
    place: str = ""  # that one's file, where it is not the chapter's own

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


def decide(check: Check, reply: Reply, answers: Recorded | Live, seed: int) -> Verdict:
    """The verdict on what came back from running a check."""
    if reply.outcome == "not started":
        unwritten = reply.fault.message.removesuffix(NOT_WRITTEN)
        if unwritten.partition(".")[0] != check.exercise:
            message = f"by {unwritten}, which is not written yet"
            return Verdict(check, "blocked", message, reply=reply, waits_for=unwritten.partition(".")[0])
        return Verdict(check, "not started", unwritten, reply=reply)
    if reply.outcome == "forbidden":
        return Verdict(check, "forbidden", f"{reply.use.name}, on line {reply.use.line}", reply=reply)
    if reply.outcome != "seen":
        return Verdict(check, reply.outcome, f"{reply.fault.type}: {reply.fault.message}", reply=reply)
    try:
        verdict = _judge(check, reply.observation, answers, seed)
        if not verdict.passed and answers.is_stale(check):
            raise GraderError(
                f"{check.where}: {check.name} was changed after it was recorded; run grader release"
            )
        if verdict.outcome == "wrong":
            verdict.wrong_turns = matching(answers, check, reply.observation)
    except GraderError as error:
        verdict = Verdict(check, "grader fault", str(error))
    verdict.reply = reply
    return verdict


def _judge(check: Check, seen, answers: Recorded | Live, seed: int) -> Verdict:
    expected = answers.expected(check)
    if check.accept_function is None:
        difference = compare(expected, seen)
        return Verdict(check, "wrong" if difference else "passed", difference=difference)
    foreign = foreign_in(seen)
    difference = None if check.free_form else same_form(expected, seen)
    if difference or foreign:
        return Verdict(check, "wrong", foreign.what if foreign else "", difference=difference)
    said = _ask(check, seen, expected, answers, seed)
    if said is None or said is True:
        return Verdict(check, "passed")
    return Verdict(check, "wrong", said or "This is not accepted.")


def _ask(check: Check, seen, expected, answers: Recorded | Live, seed: int) -> bool | str | None:
    """What the check's own `accept` says."""
    offers = {"seen": seen, "expected": expected, "draw": Draw(seed), "reference": answers.reference}
    wanted = tuple(inspect.signature(check.accept_function).parameters)
    if "reference" in wanted and answers.reference is None:
        raise GraderError(
            f"{check.where}: the accept of {check.name} asks for the reference, which a public check runs"
            " without; ask for `expected`"
        )
    try:
        said = check.accept_function(**{name: offers[name] for name in wanted})
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1]
        raise GraderError(
            f"the accept of {check.name} failed: {type(error).__name__}: {error}"
            f" ({line.filename}:{line.lineno})"
        ) from error
    if said is None or type(said) in (bool, str):
        return said
    raise GraderError(
        f"{check.where}: the accept of {check.name} returned {type(said).__name__};"
        " it must be None, True, False or a message"
    )
