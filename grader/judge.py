"""The judge of one chapter: knows the answers, runs no student's code, and makes the reports.

A report is plain data, as it stands in RESULTS/<student>/<chapter>.json; results.py says what it must hold.
"""

import datetime
import gc
import sys
import time
from functools import cached_property
from pathlib import Path

from grader.answers import Recorded
from grader.chapters import Tree, read_source
from grader.checks import Check
from grader.course_folder import CourseFolder
from grader.failure_text import failure_text
from grader.hashes import chapter_hashes, submission_hash
from grader.intake import HandedIn
from grader.judged_run import JudgedRun
from grader.sandbox import Tier
from grader.seeds import PUBLIC
from grader.server import Server
from grader.suites import Remembered
from grader.summary import exercise_states
from grader.travel import IMPORTABLE
from grader.verdicts import Verdict

FORMAT = 1
PRINTED = 20_000  # characters that a report keeps
TEXTS = 5000  # failures whose words are kept
UNTOLD = frozenset({"passed", "not started", "blocked", "missing"})  # there is nothing to say about its code


class ChapterJudge:
    """Judges submissions of one chapter in one round, one after another."""

    def __init__(
        self, folder: CourseFolder, chapter: str, master: str, tier: Tier, hidden: tuple[Path, ...] = ()
    ):
        self.folder = folder
        self.chapter = folder.chapter(chapter)
        self.course_chapter = folder.course.chapters[chapter]
        self.master = master
        self.tier = tier
        self.hidden = (folder.root, *hidden)
        self._texts: dict[tuple, str] = {}
        self._untouched: dict[str, dict] = {}  # by the file's name, which is told

    def judge(self, student: str, handed_in: HandedIn, earlier: dict[str, HandedIn] | None = None) -> dict:
        """The report on what a student handed in for this chapter, beside what for earlier ones."""
        start = time.monotonic()
        graded = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        found = self._found(handed_in, earlier)
        return {
            "format": FORMAT,
            "student": student,
            "chapter": self.chapter.name,
            "title": self.course_chapter.title,
            "module": self.course_chapter.module,
            "points": sum(exercise["points"] for exercise in found["exercises"]),
            "max": self.course_chapter.total,
            "submission": {
                "name": handed_in.name,
                "sha256": submission_hash(handed_in),
                "notes": list(handed_in.notes),
                "problem": handed_in.problem,
            },
            "exercises": found["exercises"],
            "checks": found["checks"],
            "printed": found["printed"],
            "tier": {"name": self.tier.name, "says": self.tier.says},
            "hashes": self.hashes | {"submission": submission_hash(handed_in, earlier)},
            "faults": found["faults"],
            "times": {
                "graded": graded,
                "seconds": round(time.monotonic() - start, 3),
                "import_seconds": found["import_seconds"],
            },
        }

    def run(self, handed_in: HandedIn, earlier: dict[str, HandedIn] | None = None) -> JudgedRun:
        """The hidden checks on a submission; to be closed."""
        return JudgedRun(
            self.chapter.name,
            self.hidden_checks,
            handed_in,
            self.server,
            self.live,
            master=self.master,
            tree=self.chapter.tree,
            earlier=earlier,
        )

    def close(self) -> None:
        if "server" in vars(self):
            self.server.stop()
            gc.unfreeze()

    # ---- what is made once ----

    @cached_property
    def hashes(self) -> dict[str, str]:
        return chapter_hashes(self.folder, self.chapter.name, self.master)

    @cached_property
    def hidden_checks(self) -> list[Check]:
        points = self.course_chapter.points
        return [check for check in self.chapter.hidden_checks if check.exercise in points]

    @cached_property
    def live(self) -> Remembered:
        return Remembered(self.chapter.tree, self.chapter.name, self.master)

    @cached_property
    def recorded(self) -> Recorded:
        return Recorded(self.chapter.recording)

    @cached_property
    def server(self) -> Server:
        """Made after the reference has run, which shows what a solution imports."""
        for check in self.hidden_checks:
            self.live.expected(check)
        gc.freeze()  # what is here now stays, and need not be looked through for what does not
        return Server(self.tier, worker_job(self.chapter.tree, self.chapter.name), self.hidden)

    @cached_property
    def stub(self) -> str:
        """The module as students got it; nothing where checks look at a student's other chapters, too."""
        assembled = any(check.assembled for check in self.hidden_checks)
        return "" if assembled else self.folder.stubs.get(self.chapter.name, "")

    # ---- parts of a report ----

    def _found(self, handed_in: HandedIn, earlier: dict[str, HandedIn] | None) -> dict:
        """What of a report comes of the submission; of an untouched stub, which many hand in, only once."""
        if not self.stub or handed_in.source != self.stub:
            return self._look_at(handed_in, earlier)
        if handed_in.name not in self._untouched:
            found = self._look_at(handed_in, earlier)
            if found["faults"]:
                return found
            self._untouched[handed_in.name] = found
        return self._untouched[handed_in.name]

    def _look_at(self, handed_in: HandedIn, earlier: dict[str, HandedIn] | None) -> dict:
        run = self.run(handed_in, earlier)
        try:
            run.ask_together([check.name for check in self.hidden_checks])
            for check in sorted(self.hidden_checks, key=lambda one: one.assembled):
                run.verdict(check.name)  # those that share a process one after another
            verdicts = [run.verdict(check.name) for check in self.hidden_checks]
            states = exercise_states(run)
            failed = {verdict.check.exercise for verdict in verdicts if verdict.outcome not in UNTOLD}
            shown = self._public_verdicts(handed_in, earlier, failed, run) if failed and run.imported else []
        finally:
            run.close()
        checks = [self._check(v, run, True) for v in verdicts] + [self._check(v, run, False) for v in shown]
        return {
            "exercises": self._exercises(states, verdicts),
            "checks": checks,
            "printed": run.printed[:PRINTED],
            "faults": [verdict.message for verdict in verdicts if verdict.outcome == "grader fault"],
            "import_seconds": round(run.import_seconds, 3),
        }

    def _public_verdicts(
        self,
        handed_in: HandedIn,
        earlier: dict[str, HandedIn] | None,
        exercises: set[str],
        after: JudgedRun,
    ) -> list[Verdict]:
        """What the public checks of failed exercises say, since their numbers may be shown."""
        run = JudgedRun(
            self.chapter.name,
            self.chapter.public_checks,
            handed_in,
            self.server,
            self.recorded,
            master=PUBLIC,
            tree=self.chapter.tree,
            earlier=earlier,
            after=after,
        )
        try:
            wanted = [check.name for check in self.chapter.public_checks if check.exercise in exercises]
            run.ask_together(wanted)
            return [run.verdict(name) for name in wanted]
        finally:
            run.close()

    def _exercises(self, states: dict[str, str], verdicts: list[Verdict]) -> list[dict]:
        rows = []
        for name, points in self.course_chapter.points.items():
            own = [verdict for verdict in verdicts if verdict.check.exercise == name]
            state = states.get(name, "grader fault")
            if not own or any(verdict.outcome == "grader fault" for verdict in own):
                state = "grader fault"
            elif state != "passed":
                state = next((o for o in ("missing", "blocked") if all(v.outcome == o for v in own)), state)
            passed = sum(verdict.passed for verdict in own)
            earned = points if state == "passed" else 0
            rows.append(
                {
                    "name": name,
                    "points": earned,
                    "max": points,
                    "state": state,
                    "passed": passed,
                    "checks": len(own),
                }
            )
        return rows

    def _check(self, verdict: Verdict, run: JudgedRun, hidden: bool) -> dict:
        check = verdict.check
        report = {
            "name": check.name,
            "exercise": check.exercise,
            "hidden": hidden,
            "says": check.says,
            "outcome": verdict.outcome,
            "message": verdict.message,
            "misconceptions": [vars(turn) for turn in verdict.wrong_turns],
            "seconds": round(verdict.reply.seconds, 4) if verdict.reply else 0.0,
            "repeated": check.name in run.repeated,
        }
        fault = verdict.reply.fault if verdict.reply else None
        if fault is not None and verdict.outcome != "not started":
            lines = [
                {"file": line.file, "number": line.number, "function": line.function, "text": line.text}
                for line in fault.lines
            ]
            report["fault"] = {"type": fault.type, "message": fault.message, "lines": lines}
        if verdict.outcome not in ("passed", "not started", "blocked"):
            report["shown"] = self._shown(verdict, hidden)
        return report

    def _shown(self, verdict: Verdict, hidden: bool) -> str:
        """A failure in words; those of a reply that came before are kept."""
        key = (verdict.check.name, verdict.reply.digest, hidden) if verdict.outcome == "wrong" else None
        if key not in self._texts:
            folder = self.chapter.relative(self.chapter.exercises_folder)
            command = "" if hidden else f"pytest {folder} -k {verdict.check.name}"
            text = failure_text(verdict, command)
            if key is None or len(self._texts) >= TEXTS:
                return text
            self._texts[key] = text
        return self._texts[key]


def worker_job(tree: Tree, chapter: str) -> dict:
    """What a worker of a chapter has: the reference's earlier chapters, and what was imported here."""
    earlier = sorted((c for c in tree.files if int(c[2:]) < int(chapter[2:])), key=lambda c: int(c[2:]))
    return {
        "chapter": chapter,
        "module": tree.file(chapter).stem,
        "imports": [name for name in list(sys.modules) if name.split(".")[0] in IMPORTABLE],
        "earlier": [[c, tree.file(c).stem, read_source(tree.file(c))] for c in earlier],
    }
