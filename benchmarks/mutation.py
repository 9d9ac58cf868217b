"""How strong the hidden checks are: of the small mistakes put into the solutions, how many do they find?

Each mutant (mutants.py) is run as a submission against the hidden checks of its chapter. It is killed when
one of them does not pass; an endless loop runs out of time, which is no pass. What survives is either a gap
in the checks or no mistake at all, as equivalent_mutants.toml argues for each such mutant.

    OMP_NUM_THREADS=1 python benchmarks/mutation.py --chapter ch3

Each mutant has a process of its own, made by fork: Linux or macOS.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from mutants import Mutant, make_mutants

from grader.answers import Live
from grader.chapter_run import ChapterRun
from grader.checks import Check
from grader.course_folder import ChapterFolders, CourseFolder
from grader.errors import GraderError

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENTS = Path(__file__).with_name("equivalent_mutants.toml")
KEYS = {"chapter", "within", "line", "becomes", "because"}
MEMORY = 4 * 2**30  # bytes for a mutant
SPARE_SECONDS = 2.0  # beside 20 times what the solution needs for a check
MUTANT_SECONDS = 120.0  # after that even code that no signal interrupts is ended
MAX_EQUIVALENT = 0.05
TARGET, CHAPTER_TARGET = 0.97, 0.95


class Answers(Live):
    """The reference's answers. Which misconception a mutant looks like does not matter here."""

    def wrong_turns(self, check: Check) -> Iterator:
        return iter(())


@dataclass
class Equivalents:
    """Reviewed entries: mutants of one line that are no mistakes, and why."""

    entries: list[dict]

    @classmethod
    def read(cls, path: Path) -> "Equivalents":
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("equivalent", [])
        for entry in entries:
            if set(entry) != KEYS or not entry["because"].strip() or not entry["becomes"]:
                raise SystemExit(f"{path}: an entry needs {', '.join(sorted(KEYS))}: {entry}")
        return cls(entries)

    def holds(self, chapter: str, mutant: Mutant) -> bool:
        return any(_key(mutant, chapter) in _keys(entry) for entry in self.entries)

    def stale(self, survivors: dict[str, list[Mutant]]) -> Iterator[str]:
        """What the list argues about and no mutant of these chapters survives as."""
        alive = {_key(mutant, chapter) for chapter, mutants in survivors.items() for mutant in mutants}
        for entry in self.entries:
            if entry["chapter"] in survivors:
                for key, becomes in zip(_keys(entry), entry["becomes"], strict=True):
                    if key not in alive:
                        yield f"{entry['chapter']} {entry['within']}: {entry['line']}  ->  {becomes}"


def _key(mutant: Mutant, chapter: str) -> tuple[str, ...]:
    """Without spaces, which the operators set in their own way."""
    return tuple("".join(text.split()) for text in (chapter, mutant.within, mutant.line, mutant.becomes))


def _keys(entry: dict) -> list[tuple[str, ...]]:
    place = [entry["chapter"], entry["within"], entry["line"]]
    return [tuple("".join(text.split()) for text in (*place, becomes)) for becomes in entry["becomes"]]


def prepare(chapter: ChapterFolders, master: str) -> Answers:
    """Run the solution, which has to pass, and give each check a time limit of its own."""
    answers = Answers(chapter.tree, chapter.name, master)
    for check in chapter.hidden_checks:
        start = time.perf_counter()
        answers.expected(check)
        check.seconds = min(check.seconds, SPARE_SECONDS + 20 * (time.perf_counter() - start))
    failed = first_failure(chapter, answers, Mutant("", 0, "", "", "", chapter.source))
    if failed:
        raise GraderError(f"{chapter.name}: a hidden check of the solution itself: {failed}")
    return answers


def first_failure(chapter: ChapterFolders, answers: Answers, mutant: Mutant) -> str | None:
    """The outcome of the first hidden check that does not pass; the mutant's own exercise goes first."""
    run = ChapterRun(
        chapter.name,
        chapter.hidden_checks,
        chapter.module_file,
        lambda: chapter.tree.load(chapter.name, mutant.source, str(chapter.module_file), "mutant"),
        answers,
        master=answers.master,
        other_module=chapter.tree.module_named,
    )
    for check in sorted(chapter.hidden_checks, key=lambda check: check.exercise != mutant.exercise):
        verdict = run.verdict(check.name)
        if not verdict.passed:
            return verdict.outcome
    return None


def run_apart(chapter: ChapterFolders, answers: Answers, mutant: Mutant) -> str | None:
    """As first_failure, in a process of its own; one that crashes or hangs is a failure too."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def work():
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.dup2(nowhere, sys.stderr.fileno())
        warnings.simplefilter("ignore")
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
        sender.send(first_failure(chapter, answers, mutant))

    process = context.Process(target=work)
    process.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(MUTANT_SECONDS) else "hang"
    except EOFError:
        return "crash"
    finally:
        process.kill()
        process.join()


def failures_of(chapter: ChapterFolders, mutants: list[Mutant], master: str, jobs: int) -> list[str | None]:
    """What became of each mutant, with the progress on the way."""
    answers = prepare(chapter, master)
    start, failures = time.perf_counter(), []
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for failure in pool.map(partial(run_apart, chapter, answers), mutants):
                failures.append(failure)
                done, alive = len(failures), failures.count(None)
                left = (time.perf_counter() - start) / done * (len(mutants) - done)
                progress = f"{chapter.name}: {done}/{len(mutants)}, {alive} survive, {left:.0f} s left"
                print(f"\r{progress:<60}", end="", file=sys.stderr, flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)
    return failures


def row(name: str, total: int, survive: int, equivalent: int, target: float) -> str:
    killed = total - survive
    before, after = killed / total, killed / max(1, total - equivalent)
    missed = "" if after >= target else f"  below {target:.0%}"
    return f"{name:<8}{killed:>7,}/{total:<6,}{before:>9.2%}{equivalent:>12}{after:>9.2%}{missed}"


def main() -> None:
    folder = CourseFolder(ROOT)
    parser = argparse.ArgumentParser(description="Mutants of the solutions against the hidden checks.")
    parser.add_argument("--chapter", action="append", choices=folder.chapters, help="one, or several times")
    parser.add_argument(
        "--master", default="mutation", help="of the checks' inputs; another one tells who was killed by luck"
    )
    parser.add_argument("--jobs", type=int, default=1, help="mutants that run at the same time")
    args = parser.parse_args()
    torch.set_num_threads(1)  # children of fork must not inherit a pool of threads
    equivalents = Equivalents.read(EQUIVALENTS)

    libraries = ", ".join(f"{name} {version(name)}" for name in ("cosmic_ray", "parso", "torch"))
    print(f"{libraries}, Python {sys.version.split()[0]}, master {args.master!r}")
    print(f"{'':<8}{'killed/total':>14}{'score':>9}{'equivalent':>12}{'score':>9}")
    start, here = time.perf_counter(), Path.cwd()
    totals, survivors, unexplained, outcomes = [], {}, [], Counter()
    with tempfile.TemporaryDirectory() as scratch:
        tempfile.tempdir = scratch  # of mutants that were ended, too
        os.chdir(scratch)
        for name in args.chapter or folder.chapters:
            chapter = folder.chapter(name)
            file = chapter.relative(chapter.module_file)
            mutants = make_mutants(chapter.source, file)
            failures = failures_of(chapter, mutants, args.master, args.jobs)
            outcomes.update(failures)
            pairs = zip(mutants, failures, strict=True)
            alive = survivors[name] = [mutant for mutant, failure in pairs if failure is None]
            open_ones = [mutant for mutant in alive if not equivalents.holds(name, mutant)]
            unexplained += [(file, mutant) for mutant in open_ones]
            totals.append((len(mutants), len(alive), len(alive) - len(open_ones)))
            print(row(name, *totals[-1], CHAPTER_TARGET), flush=True)
        os.chdir(here)
        tempfile.tempdir = None
    total, survive, equivalent = (sum(column) for column in zip(*totals, strict=True))
    print(row("all", total, survive, equivalent, TARGET))
    share = equivalent / total
    verdict = "at most" if share <= MAX_EQUIVALENT else "MORE THAN"
    print(f"equivalent: {share:.2%} of the mutants, {verdict} {MAX_EQUIVALENT:.0%}")
    killed_by = ", ".join(f"{outcome} {n:,}" for outcome, n in outcomes.most_common() if outcome)
    print(f"killed by: {killed_by}; {time.perf_counter() - start:,.0f} s")

    for file, mutant in unexplained:
        print(f"\n{file}:{mutant.line_number} {mutant.within}, {mutant.operator}")
        print(f"    {mutant.line}\n    {mutant.becomes}")
    for line in equivalents.stale(survivors):
        print(f"\n{EQUIVALENTS.name}: no survivor any more: {line}")


if __name__ == "__main__":
    main()
