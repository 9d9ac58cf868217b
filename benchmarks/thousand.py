"""A thousand submissions: how long they take, how much memory, what is left behind, what ten kills change.

    python benchmarks/thousand.py [--submissions 1000] [--hostile 0.05] [--kills 10] [--workers N]

Made by a seed: solutions of chapter 3, whole and with wrong turns, untouched stubs and hostile modules, each
as a folder, an archive or a notebook. They are graded once in peace, and once by a grader that is killed
(SIGKILL) at random moments and started again; both must give the same grades.csv, and nothing may stay: no
process, file or mount. Exit code 1 if anything is not as it should be. Linux only.
"""

import argparse
import csv
import hashlib
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from contenders import CHAPTER, ROOT, course_points
from made_submissions import HONEST, LITTER, SLOW, Made, Maker
from process_cost import Tree

from grader import process_tree

SHARED_FOLDERS = [Path(name) for name in ("/tmp", "/var/tmp", "/dev/shm")]
LOCKS = "build-a-gpt-grader-users"  # stays in the temporary folder, with a lock for each user that was lent
LOOK_SECONDS = 0.05
MEMORY_SECONDS = 0.5
SAY_SECONDS = 30.0
VANISH_SECONDS = 20.0  # by when all that a killed grader started has to be gone


# ---- grading them ----


class Grading:
    """`grader grade` on the submissions, with a look at it now and then."""

    def __init__(self, work: Path, name: str, workers: int | None, tree: Tree):
        self.results, self.log, self.tree = work / name, work / f"{name}.txt", tree
        self.temporary = work / "temporary"
        self.temporary.mkdir(exist_ok=True)
        self.command = [sys.executable, "-W", "ignore", "-m", "grader.cli", "grade"]
        self.command += [str(work / "submissions"), "--to", str(self.results)]
        self.command += ["--chapter", CHAPTER, "--seed", "thousand"]
        self.command += ["--workers", str(workers)] if workers else []
        self.peak = 0

    def run(self, total: int, kill_at: tuple[int, float] | None = None) -> int | None:
        """Grade; the exit code, or None if the grader was killed.

        kill_at: how many are to be graded, and the seconds from then on, or from the start if that is 0.
        """
        before = self.graded()
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(self.temporary)}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        began = said = time.monotonic()
        memory_at, reached = 0.0, None
        while process.poll() is None:
            now, graded = time.monotonic(), self.graded()
            if kill_at and reached is None and graded >= kill_at[0]:
                reached = now
            if reached is not None and now - reached >= kill_at[1]:
                process.kill()
                process.wait()
                return None
            if now - memory_at > MEMORY_SECONDS:
                memory_at, self.peak = now, max(self.peak, self.tree.memory(self.tree.pids()))
            if now - said > SAY_SECONDS:
                said, rate = now, (graded - before) / (now - began)
                left = f", {(total - graded) / rate / 60:.1f} minutes left" if rate else ""
                print(f"  {graded} of {total} graded{left}", flush=True)
            time.sleep(LOOK_SECONDS)
        return process.returncode

    def graded(self) -> int:
        try:
            return (self.results / "log.jsonl").read_bytes().count(b'"event": "graded"')
        except FileNotFoundError:
            return 0

    def end_of_log(self) -> str:
        return " ".join(self.log.read_text(errors="replace").split()[-60:])


def kill_often(grading: Grading, total: int, kills: int, seed: int, traces: "Traces") -> list[str]:
    """Kill the grader at random moments and start it again each time; what went wrong.

    One kill falls on the start, one on the end, when the pages are written, the others in between.
    """
    chance = random.Random(seed)
    moments = [(0, chance.uniform(0.2, 5.0)), (total, chance.uniform(0.0, 1.0))]
    moments += [(chance.randrange(1, total), chance.uniform(0.0, 0.5)) for _ in range(kills - len(moments))]
    problems = []
    for number, moment in enumerate(sorted(moments), 1):
        code = grading.run(total, moment)
        while code is not None:  # it ended before; then in a run that finds nothing more to grade
            print(f"  before kill {number} it ended, with exit code {code}", flush=True)
            code = grading.run(total, (0, chance.uniform(0.2, 2.0)))
        took = traces.vanish()
        print(f"  kill {number} at {grading.graded()} of {total}, all gone {took:.1f} s later", flush=True)
        problems += traces.processes()
    return problems


# ---- what is left ----


class Traces:
    """What there is before, so that one can see what is there more afterwards."""

    def __init__(self, tree: Tree):
        self.tree = tree
        self.before = _shared_files()
        self.mounts_before = _mounts()

    def vanish(self) -> float:
        """Wait until no process is left; the seconds that it took."""
        began = time.monotonic()
        while self._alive() and time.monotonic() - began < VANISH_SECONDS:
            time.sleep(0.02)
        return time.monotonic() - began

    def processes(self) -> list[str]:
        return [f"process {pid} is left: {_command_line(pid)}" for pid in self._alive()]

    def mounts(self) -> list[str]:
        return [f"a mount is left: {line}" for line in sorted(_mounts() - self.mounts_before)]

    def files(self, temporary: Path) -> tuple[list[str], list[str]]:
        """Files that grading left, and new ones of which nobody knows whose they are, in shared folders."""
        own = [path for path in temporary.rglob("*") if LOCKS not in path.parts]
        new = {path for path in _shared_files() - self.before if not temporary.is_relative_to(path)}
        litter = {path for path in new if path.name.startswith((LITTER, "submission-"))}
        own += [*litter, *Path.home().glob(f"{LITTER}*"), *ROOT.glob(f"{LITTER}*")]
        return [f"a file is left: {path}" for path in own], sorted(map(str, new - litter))

    def _alive(self) -> list[int]:
        process_tree.reap()
        return self.tree.pids()


def _shared_files() -> set[Path]:
    return {path for folder in SHARED_FOLDERS if folder.is_dir() for path in folder.iterdir()}


def _mounts() -> set[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {line for line in lines if " - tracefs " not in line}  # which perf mounts, for anybody here


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except OSError:
        return "it has ended meanwhile"


def fingerprint(folder: Path) -> str:
    """Of all files of a folder, with their names, modes and times."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        digest.update(repr((str(path.relative_to(folder)), about.st_mode, about.st_mtime_ns)).encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


# ---- what came of it ----


def read_report(results: Path, one: Made) -> dict:
    return json.loads((results / one.name / f"{CHAPTER}.json").read_text())


def wrong_points(results: Path, made: list[Made]) -> list[str]:
    """Submissions with other points than they were made for."""
    points = course_points()
    with (results / "grades.csv").open(newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    problems = [f"{name} is in grades.csv" for name in rows.keys() - {one.name for one in made}]
    for one in made:
        row = rows.get(one.name)
        if row is None:
            problems.append(f"{one.name} ({one.kind}) is not in grades.csv")
            continue
        for exercise, full in points.items():
            wanted = full if exercise in one.right else 0
            if row[exercise] != str(wanted) and exercise not in one.unknown:
                problems.append(f"{one.name} ({one.kind}) has {row[exercise]!r} for {exercise}, not {wanted}")
    return problems


def reports_that_differ(one: Path, other: Path, made: list[Made]) -> Counter:
    """By kind, the reports that are not the same but for what has to do with time."""
    return Counter(
        each.kind
        for each in made
        if _without_times(read_report(one, each)) != _without_times(read_report(other, each))
    )


def _without_times(value):
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in ("times", "seconds", "repeated")}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def print_seconds(results: Path, made: list[Made]) -> None:
    """How long they took, by the reports."""
    groups = {"honest": [], "hostile": [], "hostile, into limits": []}
    for one in made:
        group = "honest" if one.kind in HONEST else "hostile, into limits" if one.kind in SLOW else "hostile"
        groups[group].append(read_report(results, one)["times"]["seconds"])
    for name, seconds in groups.items():
        if seconds:
            median, most = statistics.median(seconds), max(seconds)
            print(f"  {len(seconds):5} {name + ':':<22} median {median:6.2f} s, most {most:6.2f} s")


# ---- the run ----


def grade_twice(work: Path, args: argparse.Namespace, tree: Tree, traces: Traces) -> list[str]:
    """In peace and with kills; what is not as it should be."""
    made = Maker(args.seed).fill(work / "submissions", args.submissions, args.hostile)
    total = len(made)
    at_once = args.workers or len(os.sched_getaffinity(0))
    minutes = (2 * (0.3 * total + 30 * sum(one.kind in SLOW for one in made)) / at_once) / 60
    minutes += 12 * (args.kills + 2) / 60
    kinds = ", ".join(f"{number} {kind}" for kind, number in Counter(one.kind for one in made).most_common())
    print(f"{total} submissions: {kinds}; some {minutes:.0f} minutes on a free machine", flush=True)
    handed_in = fingerprint(work / "submissions")

    peace = Grading(work, "in-peace", args.workers, tree)
    began = time.monotonic()
    code = peace.run(total)
    seconds = time.monotonic() - began
    traces.vanish()
    problems = [f"the grader's exit code was {code}: {peace.end_of_log()}"] if code != 0 else []
    if code not in (0, 3):
        return problems
    odd = wrong_points(peace.results, made)
    problems += traces.processes() + odd
    right = total - len({problem.split()[0] for problem in odd})
    print(f"in peace: {seconds:.0f} s, {total / seconds * 60:.0f} a minute, {at_once} at a time,", end=" ")
    print(f"at most {peace.peak / 1e6:,.0f} MB; points as they were made: {right} of {total}")
    print_seconds(peace.results, made)

    killed = Grading(work, "killed", args.workers, tree)
    began = time.monotonic()
    problems += kill_often(killed, total, args.kills, args.seed, traces)
    code = killed.run(total)
    traces.vanish()
    problems += [f"after the kills the exit code was {code}: {killed.end_of_log()}"] if code != 0 else []
    same = (peace.results / "grades.csv").read_bytes() == (killed.results / "grades.csv").read_bytes()
    problems += [] if same else ["grades.csv is another one after the kills"]
    print(f"killed {args.kills} times and resumed: {time.monotonic() - began:.0f} s; grades.csv", end=" ")
    print("is the same, byte for byte" if same else "DIFFERS")
    differ = reports_that_differ(peace.results, killed.results, made)
    print(f"reports that are the same but for times: {total - differ.total()} of {total}", *differ)

    files, others = traces.files(work / "temporary")
    unfinished = [path for results in (peace.results, killed.results) for path in results.rglob(".*.tmp")]
    left = traces.processes() + traces.mounts() + files + [f"a file is left: {path}" for path in unfinished]
    print(f"processes, files and mounts left behind: {len(left)}")
    if others:
        print(f"new in folders that others use as well, perhaps theirs: {', '.join(others[:8])}")
    changed = fingerprint(work / "submissions") != handed_in
    return problems + left + (["the submissions are no longer as they were"] if changed else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=1000)
    parser.add_argument("--hostile", type=float, default=0.05, help="their share")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, help="one a core if not given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a new folder to work in, which stays")
    args = parser.parse_args()
    if args.kills < 2 or args.submissions < 10:
        sys.exit("two kills and ten submissions at least")

    tree = Tree()
    traces = Traces(tree)
    work = args.keep or Path(tempfile.mkdtemp(prefix="thousand-"))
    (work / "submissions").mkdir(parents=True)
    try:
        problems = grade_twice(work, args, tree, traces)
    finally:
        process_tree.kill_descendants(os.getpid(), tree.proc)
        if args.keep is None:
            shutil.rmtree(work)
    print(f"{os.cpu_count()} cores, load now {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    print(f"Python {platform.python_version()}, torch {version('torch')}, {platform.machine()}")
    for problem in problems[:40]:
        print(f"NOT AS IT SHOULD BE: {problem}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
