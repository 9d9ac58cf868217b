"""Failed checks as annotations on the student's lines, in the way that GitHub Actions reads them from a log.

::error file=exercises/ch3/attention.py,line=28,title=CausalAttention::wrong: ...
"""

import ast
import os
from pathlib import Path

from grader.chapter_run import ChapterRun
from grader.failure_text import one_line
from grader.verdicts import Verdict

QUIET = ("passed", "not started", "blocked")
MOST = 10  # as many as GitHub shows of one step


def annotations(runs: list[ChapterRun], root: Path) -> list[str]:
    """The lines to print, for what failed; root: the repository's folder."""
    found = []
    for run in runs:
        lines = _definitions(run.file)
        for verdict in run.verdicts:
            if verdict.outcome not in QUIET:
                found.append(_annotation(verdict, run, lines, root))
    return found[:MOST]


def _annotation(verdict: Verdict, run: ChapterRun, lines: dict[str, int], root: Path) -> str:
    file, line = run.file, lines.get(verdict.check.exercise, 1)
    fault = verdict.reply.fault if verdict.reply else None
    if fault and fault.lines:
        file, line = Path(fault.lines[-1].file), fault.lines[-1].number
    says = [verdict.check.says, one_line(verdict), *(turn.says for turn in verdict.wrong_turns[:1])]
    place = os.path.relpath(file, root).replace(os.sep, "/")
    title = f"{verdict.check.exercise}, {verdict.check.name}"
    return f"::error file={_property(place)},line={line},title={_property(title)}::{_message(says)}"


def _definitions(file: Path) -> dict[str, int]:
    """Where each function and class of a module begins."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, ValueError, SyntaxError):
        return {}
    return {node.name: node.lineno for node in body if hasattr(node, "name")}


def _message(parts: list[str]) -> str:
    text = "\n".join(part for part in parts if part)
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message([text]).replace(":", "%3A").replace(",", "%2C")
