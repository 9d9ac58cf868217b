"""A chapter's checks on a submission that runs in a worker: the judge's half.

Nothing that comes back is believed but as an observation. A submission that gives no proper reply is asked
the same again in a fresh server before it is blamed; from then on it is believed to be like that.
"""

import builtins
import functools
import hashlib
import time
from dataclasses import replace
from pathlib import Path

from grader.answers import Live, Recorded
from grader.chapter_run import ChapterRun
from grader.chapters import Tree
from grader.checks import DEFAULT_SECONDS, Check
from grader.errors import GraderError
from grader.forbidden import Use
from grader.intake import HandedIn
from grader.observations import pack
from grader.observe import MAX_MESSAGE, NO_REPLY, Fault, Line, Reply
from grader.own_chapters import needed_chapters
from grader.seeds import seed_for
from grader.server import Lost, Server, ServerFault, Submission, opened
from grader.travel import check_bytecode
from grader.verdicts import Verdict

READ_SECONDS = 20.0
IMPORT_SECONDS = 20.0
GRACE_SECONDS = 3.0  # beyond a check's own limit, until which the worker tells the line that it stopped at
TOGETHER_SECONDS = 20.0  # for which a submission is asked several checks at once; the rest one by one
ALL_SECONDS = 240.0  # for all checks of one submission together
SERVER_FAULTS = 3
DECIDED = 5000  # replies that are known again
LASTING = frozenset({"passed", "wrong", "not started"})  # of which the reply alone decides what is told
TOOLS = ("tools",)  # among the uses: of what gets behind such a check
REPLIES = frozenset({"seen", "error", "not started", "timeout", "forbidden"})
IMPORT_REPLIES = frozenset({"seen", "error", "timeout"})
ENDED = {"died": "error", "malformed": "error", "late": "timeout", "memory": "memory"}
NO_MEMORY = ("can't allocate memory", "not enough memory")


class JudgedRun(ChapterRun):
    """As ChapterRun, with the module in a worker."""

    def __init__(
        self,
        chapter: str,
        checks: list[Check],
        handed_in: HandedIn,
        server: Server,
        answers: Recorded | Live,
        *,
        master: str,
        tree: Tree | None = None,
        earlier: dict[str, HandedIn] | None = None,
        after: "JudgedRun | None" = None,
    ):
        """tree: the reference. earlier: the student's own earlier chapters, for assembled checks.

        after: another run of the same submission, which may have shown already how it behaves.
        """
        super().__init__(
            chapter,
            checks,
            Path(handed_in.name),
            load=None,
            answers=answers,
            master=master,
            other_module=None,
            student_folder=None,
        )
        self.handed_in = handed_in
        self.server = server
        self._tree = tree
        self._earlier = earlier or {}
        self._files = {one.name: one for one in [*self._earlier.values(), handed_in]}
        self._together = False  # whether the submission's process has the student's earlier chapters
        self.repeated: set[str] = set()  # checks that were run again in a fresh server
        self.printed = ""
        self.import_seconds = 0.0
        self._submission: Submission | None = None
        self._blamed = after is not None and after._blamed
        if after is not None:
            after._leave()  # two processes of a submission could talk to each other
        self._first_reply: Reply | None = None  # of importing it
        self._ahead: dict[str, bytes] = {}  # replies to checks that were asked together
        self._each_seconds = 0.0  # what one of those took, on average
        self._lost_together = False
        self._endless: set[str] = set()  # exercises that ran too long
        self._seconds = 0.0
        self._server_faults = 0
        self._no_server = ""  # why there is none; then nothing can be said about any check
        self._uses: dict[tuple, Use | None] = dict(after._uses) if after is not None else {}
        self._defined: frozenset[str] = frozenset()

    def close(self) -> None:
        """End the submission; a server that may have been tampered with is not used again."""
        odd = self._blamed or self._server_faults or self.repeated or self._lost_together
        self._leave()
        if (odd or self.server.tier.name != "bubblewrap") and not self.server.is_sound():
            self.server.stop()

    def ask_together(self, names: list[str]) -> None:
        """Ask checks, and what they need, in one go: the two processes need not take turns.

        A submission that is lost meanwhile is asked all of them again, one by one, in another process.
        """
        if self._no_server or self._absence() or self._submission is not None:
            return
        try:
            reply = self._imported_in_a_process()
        except GraderError:
            return  # `verdict` says so of every check
        checks = [check for check in self._in_order(names) if self._can_be_asked(check)]
        if reply.outcome != "seen" or self._blamed or self.repeated or not checks:
            return
        seeds = tuple(seed_for(self.master, self.chapter, check.name) for check in checks)
        request = _several(tuple(checks), seeds)
        wait = max(check.seconds for check in checks) + GRACE_SECONDS
        start = time.monotonic()
        try:
            replies = self._submission.ask_several(request, len(checks), wait, TOGETHER_SECONDS + wait)
            self._ahead = {check.name: reply for check, reply in zip(checks, replies, strict=False)}
            self._each_seconds = (time.monotonic() - start) / max(1, len(replies))
        except Lost:
            self._lost_together = True
            self._leave()
        self._seconds += time.monotonic() - start

    def _in_order(self, names: list[str]) -> list[Check]:
        """The checks of these names, each after those that it needs."""
        order: dict[str, Check] = {}

        def add(name: str) -> None:
            if name not in order:
                for need in self.checks[name].needs:
                    add(need)
                order[name] = self.checks[name]

        for name in names:
            add(name)
        return list(order.values())

    def _can_be_asked(self, check: Check) -> bool:
        usual = not check.assembled and check.seconds <= DEFAULT_SECONDS
        return usual and self._defines(check.exercise) and self._use_in(check) is None

    def _use_in(self, check: Check) -> Use | None:
        """What a check forbids and the source uses."""
        use = self._uses.get((check.exercise, check.forbidden))
        return use or self._uses.get(TOOLS) if check.watches else use

    # ---- ChapterRun's steps ----

    def is_student_file(self, name: str) -> bool:
        return name in self._files

    def _lacking(self, check: Check) -> str | None:
        for chapter in needed_chapters(self._tree, self.chapter, check.other_modules):
            if chapter not in self._earlier or self._earlier[chapter].problem:
                return f"{chapter}, which was not handed in"
        return None

    def _absence(self) -> str:
        return self.handed_in.problem

    def _import(self) -> None:
        reply = self._first_reply or self._imported_in_a_process()
        if reply.outcome != "seen":
            reply.importing = True
            self._import_reply = reply

    def _imported_in_a_process(self) -> Reply:
        """What came of importing it for the first time."""
        start = time.monotonic()
        self._first_reply = self._patiently(self._begin, "importing it")
        self.import_seconds = time.monotonic() - start
        return self._first_reply

    def _defines(self, exercise: str) -> bool:
        return exercise in self._defined

    def _observe(self, check: Check, seed: int) -> Reply:
        use = self._use_in(check)
        if use is not None:
            return Reply("forbidden", use=use)
        if check.exercise in self._endless:
            return Reply(
                "timeout", fault=Fault("TimeUp", "not run: another check of this exercise ran too long")
            )
        if self._together != check.assembled:
            self._leave()
            self._together = check.assembled
        reply = self._patiently(lambda: self._check(check, seed), check.name)
        if reply.outcome == "timeout":
            self._endless.add(check.exercise)
        return reply

    def _decide(self, check: Check, reply: Reply, seed: int) -> Verdict:
        """What was seen once in this round is known by its digest: those who are right see the same."""
        key = (check.name, reply.digest)
        known = self.answers.decided.get(key)
        if known is not None:
            return Verdict(check, "passed", reply=reply) if known.passed else replace(known, reply=reply)
        verdict = super()._decide(check, reply, seed)
        lasting = verdict.outcome in LASTING and reply.outcome in ("seen", "not started")
        size = 0 if verdict.passed else reply.size  # what differs is kept with the verdict
        if lasting and size <= self.answers.room and len(self.answers.decided) < DECIDED:
            self.answers.decided[key] = replace(verdict, reply=None)
            self.answers.room -= size
        return verdict

    @property
    def imported(self) -> bool:
        return self._imported and self._import_reply is None

    # ---- asking ----

    def _check(self, check: Check, seed: int) -> Reply:
        if self._submission is None:
            reply = self._begin()
            if reply.outcome != "seen":
                return reply
        ahead = self._ahead.pop(check.name, None)
        if ahead is not None:
            reply = self._reply(ahead, self._each_seconds, check)
        else:
            reply = self._ask(pack(_check_request(check, seed)), check.seconds + GRACE_SECONDS, check)
        if reply.outcome == "timeout" and not self._blamed:
            raise Lost("late", reply.fault.message)  # perhaps the machine was slow
        return reply

    def _begin(self) -> Reply:
        """A fresh process that has read and imported the submission."""
        self._submission = self._fresh()
        keys = [*dict.fromkeys((check.exercise, check.forbidden) for check in self.checks.values()), TOOLS]
        wanted = [key for key in keys if key not in self._uses]
        request = {"do": "read", "source": self.handed_in.source, "name": self.handed_in.name}
        request["uses"] = [None if key is TOOLS else [key[0], list(key[1])] for key in wanted]
        reply = self._ask(pack(request), READ_SECONDS)
        if reply.outcome != "seen":
            return reply
        for key, found in zip(wanted, reply.observation["uses"], strict=True):  # no student code ran yet
            self._uses[key] = Use(*found[0]) if found else None
        pieces = list(self._earlier.items()) if self._together else []
        request = {"do": "load", "seconds": IMPORT_SECONDS}
        request["pieces"] = [
            [c, self._tree.file(c).stem, one.source, one.name] for c, one in pieces if not one.problem
        ]
        request["exercises"] = list(dict.fromkeys(check.exercise for check in self.checks.values()))
        reply = self._ask(pack(request), IMPORT_SECONDS + GRACE_SECONDS)
        if reply.outcome == "seen":
            defined = reply.observation.get("defined")
            names = [name for name in defined if type(name) is str] if type(defined) is list else []
            self._defined = frozenset(names) & {*request["exercises"]}
        return reply

    def _patiently(self, step, name: str) -> Reply:
        """What a step yields; a submission that is lost in it gets a second chance in a fresh server."""
        if self._seconds > ALL_SECONDS:
            return Reply(
                "timeout", fault=Fault("TimeUp", f"not run: {ALL_SECONDS:g} s were used up by others")
            )
        try:
            return step()
        except Lost as lost:
            self._leave()
            if self._blamed:
                return _lost_reply(lost)
        self.server.stop()
        self.repeated.add(name)
        try:
            return step()
        except Lost as lost:
            self._leave()
            self._blamed = True
            return _lost_reply(lost)

    def _fresh(self) -> Submission:
        while True:
            try:
                return self.server.submission()
            except ServerFault as error:
                self.server.stop()
                self._server_faults += 1
                if self._server_faults > SERVER_FAULTS:
                    self._no_server = str(error)
                    raise GraderError(self._no_server) from None

    def _ask(self, request: bytes, seconds: float, check: Check | None = None) -> Reply:
        start = time.monotonic()
        try:
            packed = self._submission.ask_packed(request, seconds)
        finally:
            taken = time.monotonic() - start
            self._seconds += taken
        return self._reply(packed, taken, check)

    def _reply(self, packed: bytes, seconds: float, check: Check | None) -> Reply:
        digest = hashlib.sha256(packed).digest()
        if check is not None and (check.name, digest) in self.answers.decided:
            return Reply("seen", seconds=seconds, digest=digest)
        reply = self._to_reply(check, opened(packed))
        reply.seconds, reply.digest, reply.size = seconds, digest, len(packed)
        return reply

    def _leave(self) -> None:
        submission, self._submission = self._submission, None
        self._ahead = {}
        if submission is None:
            return
        if not submission.end():
            self.server.stop()  # it is gone, or stuck
        self.printed = (self.printed + submission.printed)[: 1 << 16]

    def verdict(self, name: str) -> Verdict:
        if name not in self._verdicts:
            try:
                if self._no_server:
                    raise GraderError(self._no_server)
                return super().verdict(name)
            except GraderError as error:
                self._verdicts[name] = Verdict(self.checks[name], "grader fault", str(error))
        return self._verdicts[name]

    # ---- what came back, trusted in nothing ----

    def _to_reply(self, check: Check | None, plain: dict) -> Reply:
        outcome = plain.get("outcome")
        if type(outcome) is not str or outcome not in (IMPORT_REPLIES if check is None else REPLIES):
            raise Lost("malformed", "its reply has no outcome")
        if outcome == "seen":
            return Reply("seen", plain if check is None else plain.get("observation"))
        if outcome == "forbidden":
            name, line = _of_types(plain.get("use"), str, int)
            return Reply("forbidden", use=Use(name[:80], line))
        kind, message, lines = _of_types(plain.get("fault"), str, str, list)
        fault = Fault(_exception(kind), message[:MAX_MESSAGE], tuple(self._line(line) for line in lines[:20]))
        if kind == "MemoryError" or any(said in message for said in NO_MEMORY):
            outcome = "memory"
        return Reply(outcome, fault=fault, importing=check is None)

    def _line(self, plain) -> Line:
        file, number, function = _of_types(plain, str, int, str)
        source = self._files.get(file, self.handed_in)
        lines = source.source.splitlines()
        text = lines[number - 1].strip() if 0 < number <= len(lines) else ""
        if source.cells:
            cell, number = source.cells[min(max(number, 1), len(source.cells)) - 1]
            return Line(f"{source.name}, cell {cell}", number, function[:120], text)
        return Line(source.name, number, function[:120], text)


def _check_request(check: Check, seed: int) -> dict:
    return {
        "do": "check",
        "code": check_bytecode(check),
        "function": check.name,
        "parameters": list(check.parameters),
        "seed": seed,
        "seconds": check.seconds,
        "forbidden": list(check.forbidden),
    }


@functools.lru_cache(maxsize=64)
def _several(checks: tuple[Check, ...], seeds: tuple[int, ...]) -> bytes:
    """A request for several checks, which is the same for most submissions."""
    requests = [_check_request(check, seed) for check, seed in zip(checks, seeds, strict=True)]
    return pack({"do": "checks", "checks": requests, "seconds": TOGETHER_SECONDS})


def _of_types(value, *kinds: type) -> list:
    if type(value) is not list or [type(part) for part in value] != list(kinds):
        raise Lost("malformed", "its reply has another form than a reply")
    return value


def _exception(name: str) -> str:
    """The name of an exception as it may be shown: a built-in's or torch's, or nothing in particular."""
    kind = getattr(builtins, name, None)
    known = isinstance(kind, type) and issubclass(kind, BaseException)
    return name if known or name in ("TimeUp", "what it returned", "OutOfMemoryError") else "Exception"


def _lost_reply(lost: Lost) -> Reply:
    outcome = ENDED[lost.how]
    kind = {"error": NO_REPLY, "timeout": "TimeUp", "memory": "MemoryError"}[outcome]
    return Reply(outcome, fault=Fault(kind, str(lost)))
