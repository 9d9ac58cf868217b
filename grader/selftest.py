"""`grader selftest`: the course proves itself. A row for each chapter as it is done, then what is wrong."""

import multiprocessing
import textwrap
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch

from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.proofs import PROOFS
from grader.suites import Subject

WIDTH = 80


@dataclass
class Report:
    """What the proofs found wrong with a chapter, by proof; None where a proof was not possible."""

    chapter: str
    problems: dict[str, list[str] | None] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def lines(self) -> list[str]:
        return [
            f"{self.chapter} {proof}: {line}"
            for proof, found in self.problems.items()
            for line in found or ()
        ]


def prove(folder: CourseFolder, name: str) -> Report:
    """Every proof on one chapter; the first is about its files, and the others need them in order."""
    start = time.perf_counter()
    report = Report(name)
    subject = Subject(folder, name)
    with warnings.catch_warnings(action="ignore"):  # torch's, about what wrong turns do
        for proof, function in PROOFS.items():
            possible = not report.problems.get("layout")
            report.problems[proof] = _found(function, subject) if possible else None
    if not report.problems["layout"]:
        report.counts = subject.counts
    report.seconds = time.perf_counter() - start
    return report


def _found(function: Callable[[Subject], Iterator[str]], subject: Subject) -> list[str]:
    found: list[str] = []
    try:
        found.extend(function(subject))
    except GraderError as error:
        found.append(str(error))
    return found


def selftest(chapters: list[str] | None, jobs: int) -> int:
    """Print the table; 0 if everything holds, 1 if not."""
    torch.set_num_threads(1)
    folder = CourseFolder.around(Path.cwd())
    names = [folder.chapter(name).name for name in chapters or folder.chapters]
    print(header())
    reports = []
    for report in _reports(folder, names, jobs):
        print(row(report), flush=True)
        reports.append(report)
    problems = [line for report in reports for line in report.lines]
    for line in problems:
        print("\n" + textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False))
    print("\n" + closing(reports))
    return 1 if problems else 0


def _reports(folder: CourseFolder, names: list[str], jobs: int) -> Iterator[Report]:
    if jobs == 1:
        yield from (prove(folder, name) for name in names)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(names)), context, torch.set_num_threads, (1,)) as pool:
        yield from pool.map(_prove_at, [folder.root] * len(names), names)


def _prove_at(root: Path, name: str) -> Report:
    return prove(CourseFolder(root), name)


def header() -> str:
    return f"{'':5}" + " ".join(PROOFS) + " time"


def row(report: Report) -> str:
    """A cell says ok, how many problems there are, or - where the files are not in order."""
    cells = []
    for proof in PROOFS:
        found = report.problems[proof]
        text = "-" if found is None else str(len(found)) if found else "ok"
        cells.append(f"{text:>{len(proof)}}")
    return f"{report.chapter:5}" + " ".join(cells) + f"{report.seconds:4.0f}s"


def closing(reports: list[Report]) -> str:
    total = Counter({"chapter": len(reports)})
    for report in reports:
        total.update(report.counts)
    problems = sum(len(report.lines) for report in reports)
    counted = ", ".join(_counted(number, what) for what, number in total.items())
    return f"{counted}: {_counted(problems, 'problem') if problems else 'everything holds'}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
