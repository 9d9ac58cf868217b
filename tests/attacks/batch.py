"""Attacks on the real judge, one after another, as one grader's batch: one tier, one server where it lasts.

    python -m tests.attacks.batch ORDER

The order is a JSON file: the tier, the attacks, the folders. Each attack is graded, and then an honest solution;
what came of both is appended to a file, a line of JSON each.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

from grader import confine, judged_run, process_tree, sandbox, server
from grader.course_folder import CourseFolder
from grader.feedback import feedback_page
from grader.intake import HandedIn, take_in
from grader.judge import ChapterJudge
from tests.attacks.attack import SUCCEEDED, Attack, all_attacks
from tests.attacks.toy_course import MODULES, POINTS, SOLUTION, with_mistake

TIERS = {
    "bubblewrap": sandbox.BUBBLEWRAP,
    "other user": sandbox.OTHER_USER,
    "other user only": sandbox.OTHER_USER_ONLY,
    "plain": sandbox.PLAIN,
}
SETTLE_SECONDS = 3.0


def main(order: Path) -> None:
    given = json.loads(order.read_text(encoding="utf-8"))
    shorten()
    wanted = set(given["attacks"])
    attacks = [attack for attack in all_attacks() if str(attack) in wanted]
    folders = {name: Path(path) for name, path in given["folders"].items()}
    batch = Batch(TIERS[given["tier"]], folders, given["places"])
    with open(given["out"], "a", buffering=1, encoding="utf-8") as out:
        for row in batch.controls():
            out.write(json.dumps(row) + "\n")
        for attack in attacks:
            out.write(json.dumps(batch.attacked_by(attack)) + "\n")
        batch.judge.close()
        out.write(json.dumps({"attack": "end", "processes": batch.settled(set())}) + "\n")


def shorten() -> None:
    """Limits that let many attacks run into them in a short time."""
    judged_run.IMPORT_SECONDS, judged_run.GRACE_SECONDS = 1.0, 0.5
    server.END_SECONDS = 3.0
    limits = confine.Limits

    def small() -> confine.Limits:
        return limits(memory=300 << 20, processes=32, disk=16 << 20, files=64, inodes=512)

    confine.Limits = small


class Batch:
    """A judge, and what is looked at around it."""

    def __init__(self, tier: sandbox.Tier, folders: dict[str, Path], places: dict[str, str]):
        confine.prctl(confine.SET_CHILD_SUBREAPER, 1)  # whoever gets away is still found
        self.tier = tier
        self.folders = folders
        self.places = places
        self.folder = CourseFolder(folders["course"])
        hidden = (folders["submissions"], folders["results"])
        self.judge = ChapterJudge(self.folder, "ch1", "SECRET-OF-THE-COURSE", tier, hidden)
        self.proc = process_tree.open_proc()

    def controls(self):
        """An honest solution, and each honest mistake."""
        for name, source in ({"honest": SOLUTION} | {name: with_mistake(name) for name in POINTS}).items():
            report = self.judge.judge("ada", HandedIn("ch1", "attention.py", source))
            yield {"attack": name, "points": report["points"], "faults": report["faults"]}

    def attacked_by(self, attack: Attack) -> dict:
        """What came of an attack, and of an honest student after it."""
        self.judge.server.start()
        self.alone = len(process_tree.descendants(self.judge.server._process.pid, self.proc))
        before, descriptors = self.processes(), len(os.listdir("/proc/self/fd"))
        start = time.monotonic()
        row = {"attack": str(attack)}
        try:
            student, handed_in = self.handed_in(attack)
            report = self.judge.judge(student, handed_in)
            row |= {"points": report["points"], "faults": report["faults"]}
            row["succeeded"] = SUCCEEDED in report["printed"]
            row["outcomes"] = [
                f"{check['name']}: {check['outcome']}, {check['message'][:200]}" for check in report["checks"]
            ]
            row["page"] = feedback_page(student, [report], self.folder.course, {})
        except BaseException:
            row["broke"] = traceback.format_exc()
        row["seconds"] = time.monotonic() - start
        row["processes"] = self.settled(before)
        row["left"] = left_files(self.places["MARK"], self.folders)
        try:
            after = self.judge.judge("ada", HandedIn("ch1", "attention.py", SOLUTION))
            row["after"] = {"points": after["points"], "faults": after["faults"]}
        except BaseException:
            row["after"] = {"broke": traceback.format_exc()}
        row["descriptors"] = len(os.listdir("/proc/self/fd")) - descriptors
        return row

    def handed_in(self, attack: Attack) -> tuple[str, HandedIn]:
        folder = self.folders["submissions"] / f"{attack.kind}-{attack.name}"
        attack.hand_in(folder / "mallory", self.places)
        [submission] = take_in(folder, MODULES)
        problem = f"there is no attention.py {submission.problems}"
        module = submission.modules.get("ch1") or HandedIn("ch1", "attention.py", "", (), problem)
        return submission.student, module

    def processes(self) -> set[int]:
        """All that came of this process; as root also all of the worker's user."""
        found = set(process_tree.descendants(os.getpid(), self.proc))
        slot = self.judge.server._slot
        if slot is not None and slot.user is not None:
            found |= set(process_tree.processes_of(slot.user, self.proc))
        return {pid for pid in found if not process_tree._is_zombie(pid, self.proc)}

    def settled(self, before: set[int]) -> int:
        """How many processes are there that were not before, once those that are about to end have ended.

        A server that was replaced counts as before.
        """
        end = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < end:
            more = self.processes() - before
            running = self.judge.server._process
            if more and running is not None and running.pid not in before:
                below = process_tree.descendants(running.pid, self.proc)
                more -= {running.pid, *below[: self.alone]}
            if not more:
                return 0
            time.sleep(0.01)
        return len(more)


def left_files(mark: str, folders: dict[str, Path]) -> list[str]:
    """Files that carry the mark, wherever a submission might leave them."""
    places = {
        Path("/tmp"),
        Path("/var/tmp"),
        Path("/dev/shm"),
        Path("/run/lock"),
        Path("/dev"),
        Path.home(),
        Path.cwd(),
    }
    found = [path for place in places if place.is_dir() for path in listed(place) if mark in path.name]
    for name in ("course", "results"):
        found += [path for path in folders[name].rglob("*") if mark in path.name]
    return sorted(map(str, found))


def listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
