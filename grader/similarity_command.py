"""`grader similarity`: the pairs of submissions that are worth a look, on one page."""

import ast
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from grader.class_intake import take_in_class
from grader.code_tokens import LARGEST, tokens_of
from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.intake import Submission
from grader.known_answers import Answer, known_answers, own_answers
from grader.page import counted
from grader.places import size_text
from grader.roster import read_roster
from grader.similarity import AT_LEAST, Code, Comparison, code
from grader.similarity_page import Compared, similarity_page
from grader.whole_file import write_whole


@dataclass(frozen=True)
class Wanted:
    """What `grader similarity` was asked for. at_least: the figure, from 0 to 1."""

    submissions: Path
    to: Path
    chapters: tuple[str, ...] = ()
    known: tuple[Path, ...] = ()
    at_least: float = AT_LEAST
    system: str | None = None
    roster: Path | None = None


def similarity(wanted: Wanted) -> None:
    """Compare, write the page, and say how many pairs there are."""
    start = time.monotonic()
    folder = CourseFolder.around(Path.cwd())
    course = folder.course
    course.refuse_unknown(wanted.chapters)
    if not wanted.submissions.exists():
        raise GraderError(f"{wanted.submissions} is no folder and no zip: name what holds the submissions")
    if wanted.to.suffix.lower() not in (".html", ".htm"):
        raise GraderError(f"--to {wanted.to}: the page's name must end in .html")
    known, odd = known_answers(wanted.known)
    stubs = folder.stubs
    roster = read_roster(wanted.roster) if wanted.roster else None
    taken = take_in_class(wanted.submissions, course.modules, stubs, system=wanted.system, roster=roster)
    if not taken.submissions:
        raise GraderError(
            f"{wanted.submissions} is empty: it should hold one folder, archive or file a student"
        )
    odd = [f"{one.student}: {problem}" for one in taken.submissions for problem in one.problems] + odd
    given = given_names(stubs.values())
    compared = []
    for name in wanted.chapters or course.chapters:
        handed_in = [one for one in taken.submissions if name in one.modules]
        if not handed_in and not wanted.chapters:
            continue
        codes, remarks = _codes(name, handed_in, given)
        odd += remarks
        students = len(codes)
        codes += _known_codes(own_answers(folder, name) + known, given)
        comparison = Comparison(codes, [tokens_of(stubs[name], given)] if name in stubs else [])
        pairs = comparison.pairs(wanted.at_least)
        compared.append(Compared(name, course.chapters[name].title, students, comparison, pairs))
    if not compared:
        raise GraderError(f"{wanted.submissions}: nobody handed in a chapter of course.toml")
    page = similarity_page(compared, odd, taken.questions, course.title, wanted.at_least, len(known))
    write_whole(wanted.to, page.encode())
    for one in compared:
        least = f"{counted(len(one.pairs), 'pair')} worth a look"
        print(f"{one.chapter}: {counted(one.students, 'submission')}, {least}")
    for line in odd:
        print(f"  {line}")
    if taken.questions:
        print(f"{len(taken.questions)} open questions, as on the page: `grader grade` asks them too")
    print(f"{wanted.to}, in {time.monotonic() - start:.1f} s; alike is no proof of anything")


def given_names(stubs: Iterable[str]) -> frozenset[str]:
    """What the course itself names in its modules, and so nobody renames."""
    return frozenset(
        node.name
        for stub in stubs
        for node in ast.parse(stub).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    )


def _codes(
    chapter: str, submissions: list[Submission], given: frozenset[str]
) -> tuple[list[Code], list[str]]:
    """What is compared of a chapter, and what cannot be, or not all of it."""
    codes, remarks = [], []
    for one in submissions:
        module = one.modules[chapter]
        if module.problem:
            remarks.append(f"{one.student}, {chapter}: {module.problem}")
        elif len(module.source.encode("utf-8", "surrogatepass")) > LARGEST:
            remarks.append(f"{one.student}, {chapter}: {module.name} is larger than {size_text(LARGEST)}")
        else:
            more = {"file": module.name, "cells": module.cells, "path": one.path}
            codes.append(code(one.student, module.source, given, **more))
            if codes[-1].tokens.broken:
                remarks.append(
                    f"{one.student}, {chapter}: {module.name} is no Python in places, and is compared as"
                    " far as it can be read"
                )
    return codes, remarks


def _known_codes(answers: list[Answer], given: frozenset[str]) -> list[Code]:
    return [
        code(name, source, given, known=True, file=name.rpartition("/")[2], cells=cells)
        for name, source, cells in answers
        if len(source) <= LARGEST
    ]
