"""What the judge knows: what a check yields for the reference, and for each misconception.

Public checks read it from `expected.safetensors` beside them, so that they run without the solutions. Hidden
checks run the reference, with this round's inputs.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from grader.chapters import Tree
from grader.checks import Check
from grader.compare import compare
from grader.errors import GraderError
from grader.leaves import nan_as_number
from grader.misconceptions import MisconceivedModules, Misconception
from grader.observations import MalformedObservation, foreign_in, pack, unpack
from grader.observe import Reply, Setting, observe
from grader.seeds import seed_for
from grader.travel import fingerprint
from grader.whole_file import write_whole

FORMAT = 1
ROOM = 16 << 20
CANDIDATE_SECONDS = 10.0  # for a misconception on one check; some never end


@dataclass(frozen=True)
class WrongTurn:
    """A misconception as the student is told of it."""

    name: str
    exercise: str
    says: str


class Recorded:
    """Answers from a recording.

    decided: what a judge found of replies, by check and the reply's digest. room: bytes of such replies that
    it may still keep.
    """

    reference = None

    def __init__(self, path: Path):
        self.path = path
        self.decided: dict[tuple[str, bytes], object] = {}
        self.room = ROOM
        try:
            tree = unpack(path.read_bytes())
            if tree["format"] != FORMAT:
                raise GraderError(f"{path}: recorded in format {tree['format']}; this grader reads {FORMAT}")
            self.checks: dict = tree["checks"]
            self.says: dict = tree["misconceptions"]
        except (MalformedObservation, KeyError, TypeError) as error:
            raise GraderError(f"{path}: not a recording: {error}") from None

    def expected(self, check: Check):
        return self._of(check)["expected"]

    def wrong_turns(self, check: Check) -> Iterator[tuple[WrongTurn, object]]:
        """Each misconception that fails this check, with what it yields; those of its own exercise first."""
        turns = [
            (WrongTurn(name, self.says[name]["exercise"], self.says[name]["says"]), observation)
            for name, observation in self._of(check)["misconceptions"].items()
        ]
        yield from sorted(turns, key=lambda turn: turn[0].exercise != check.exercise)

    def fails(self, check: Check, turn: WrongTurn) -> bool:
        """Whether a misconception fails this check."""
        return turn.name in self._of(check)["misconceptions"]

    def is_stale(self, check: Check) -> bool:
        """Whether the check was changed after it was recorded."""
        return self._of(check)["fingerprint"] != fingerprint(check)

    def _of(self, check: Check) -> dict:
        if check.name not in self.checks:
            raise GraderError(f"{self.path} has nothing recorded for {check.name}; run grader release")
        return self.checks[check.name]


class Live:
    """Answers from the reference, run now, once a check. decided, room: as of Recorded."""

    def __init__(self, tree: Tree, chapter: str, master: str):
        self.decided: dict[tuple[str, bytes], object] = {}
        self.room = ROOM
        self.tree = tree
        self.chapter = chapter
        self.master = master
        self.reference: ModuleType = tree.module(chapter)
        self.misconceived = MisconceivedModules(tree, chapter)
        self._expected: dict[str, object] = {}
        self._failures: dict[tuple[str, str], Reply | None] = {}

    def expected(self, check: Check):
        if check.name not in self._expected:
            reply = self.reply(check, self.reference)
            if reply.outcome != "seen":
                fault = reply.fault
                raise GraderError(f"the reference fails {check.name}: {fault.type}: {fault.message}")
            self._expected[check.name] = reply.observation
        return self._expected[check.name]

    def wrong_turns(self, check: Check) -> Iterator[tuple[WrongTurn, object]]:
        """As of Recorded; each is run when it is asked for."""
        for one in sorted(self.misconceived.all, key=lambda one: one.exercise != check.exercise):
            seen = self._failing(check, one)
            if seen is not None:
                yield WrongTurn(one.name, one.exercise, one.says), seen.observation

    def fails(self, check: Check, turn: WrongTurn) -> bool:
        named = next(one for one in self.misconceived.all if one.name == turn.name)
        return self._failing(check, named) is not None

    def _failing(self, check: Check, misconception: Misconception) -> Reply | None:
        """What a misconception yields, if that fails the check."""
        key = check.name, misconception.name
        if key not in self._failures:
            expected, reply = self.expected(check), self.misconception_reply(check, misconception)
            fails = reply.outcome == "seen" and reply.observation is not expected
            self._failures[key] = reply if fails and compare(expected, reply.observation) else None
        return self._failures[key]

    def misconception_reply(self, check: Check, misconception: Misconception) -> Reply:
        return self.reply(check, self.misconceived.module(misconception), CANDIDATE_SECONDS)

    def is_stale(self, check: Check) -> bool:
        return False

    def reply(self, check: Check, module: ModuleType, seconds: float | None = None) -> Reply:
        setting = Setting(
            seed=seed_for(self.master, self.chapter, check.name),
            seconds=seconds or check.seconds,
            other_module=self.tree.module_named,
        )
        with warnings.catch_warnings(action="ignore"):  # torch's, about what wrong turns do
            return observe(check.function, check.parameters, module, setting)


def matching(answers: "Recorded | Live", check: Check, seen) -> tuple[WrongTurn, ...]:
    """The misconceptions that would yield just what was seen; those of the check's own exercise go first.

    NaN in the same places is the same here, as it never is where something could pass.
    """
    seen = nan_as_number(seen)
    found: list[WrongTurn] = []
    for turn, observation in answers.wrong_turns(check):
        if found and turn.exercise != check.exercise and found[0].exercise == check.exercise:
            break
        if compare(nan_as_number(observation), seen) is None:
            found.append(turn)
    return tuple(found)


def still_possible(
    turns: tuple[WrongTurn, ...], check: Check, by_name: dict[str, Check], answers: "Recorded | Live"
) -> tuple[WrongTurn, ...]:
    """Without those that would have failed one of the checks that this one needs, which passed."""
    for need in map(by_name.get, check.needs):
        if turns:
            if need.accept_function is None:  # one with it may let other observations pass, too
                turns = tuple(turn for turn in turns if not answers.fails(need, turn))
            turns = still_possible(turns, need, by_name, answers)
    return turns


def record(checks: list[Check], live: Live, tell: Callable[[str], None] = lambda _: None) -> bytes:
    """A recording of what the public checks of a chapter yield, as its file's bytes. tell: how far it is."""
    recorded = {}
    for number, check in enumerate(checks, 1):
        tell(f"{live.chapter}: recording check {number} of {len(checks)}, {check.name}")
        expected = live.expected(check)
        if foreign_in(expected) or compare(expected, expected) is not None:
            raise GraderError(
                f"{check.where}: what {check.name} sees of the reference holds NaN or no plain data"
            )
        found = {turn.name: observation for turn, observation in live.wrong_turns(check)}
        turns = {one.name: found[one.name] for one in live.misconceived.all if one.name in found}
        recorded[check.name] = {
            "fingerprint": fingerprint(check),
            "expected": expected,
            "misconceptions": {name: seen for name, seen in turns.items() if not foreign_in(seen)},
        }
    told = {m.name: {"exercise": m.exercise, "says": m.says} for m in live.misconceived.all}
    return pack({"format": FORMAT, "checks": recorded, "misconceptions": told})


def write_recording(path: Path, data: bytes) -> None:
    write_whole(path, data)
