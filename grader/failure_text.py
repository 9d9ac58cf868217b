"""A failure in words, at 80 columns: what was called, what was expected and came, and what to do next.

Plain text without colour, the same facts for everyone; `plain=True` writes it in ASCII.
"""

import re
import textwrap
from itertools import groupby
from pathlib import Path

from grader.check_code import check_code
from grader.difference_text import clean, difference_lines, dtype_text, headline, raised_name
from grader.misfit_text import look_at, misfit_lines, misfit_step
from grader.observe import NO_REPLY, Fault, Line, OwnLine
from grader.verdicts import Verdict
from grader.wrapping import fill, wrap

WIDTH = 80
MESSAGE = 300
SOURCE_LINES = 3  # that a line of the student's may fill
STEPS = 3  # of a traceback
TURNS = 2  # more misconceptions than these say nothing

LEADS = {
    "error": "This raised an exception:",
    "timeout": "This was stopped, because it ran too long:",
    "memory": "This took too much memory:",
    "forbidden": "This is the exercise ready-made, or a tool that no answer needs:",
    "not started": "Not started.",
    "blocked": "Blocked.",
    "grader fault": "This is not your fault: the course or its grader has a mistake.",
}

# what an ASCII console gets instead; in this order
ASCII = str.maketrans(
    {"·": ".", "…": "...", "−": "-", "–": "-", "—": "-", "×": "x", "÷": "/", "√": "sqrt ", "²": "^2"}
    | {"≤": "<=", "≥": ">=", "≈": "~", "→": "->", "α": "alpha", "σ": "sigma", "Σ": "sum of ", "∞": "inf"}
    | {"“": '"', "”": '"', "‘": "'", "’": "'"}
)


def failure_text(verdict: Verdict, command: str = "", plain: bool = False, width: int = WIDTH) -> str:
    """The whole report on a check that did not pass. command: what runs just this check again."""
    check, own = verdict.check, _own_line(verdict)
    parts = [wrap(f"{check.exercise}: {check.says}", width)]
    if verdict.reply and verdict.reply.importing:
        parts = ["The module cannot be imported, so no check can look at it:"]
    elif verdict.outcome in ("wrong", "error", "timeout", "memory"):
        parts.append(check_code(check).shown(width, own.statement if own else ""))
        parts += [] if own else [_lead(verdict)]
    elif verdict.waits_for:
        parts.append(wrap(f"Blocked {clean(waiting_text(verdict))}.", width))
    else:
        parts.append(LEADS.get(verdict.outcome, ""))
    parts += _findings(verdict, plain, width)
    parts += _turns(verdict, width)
    step = _next_step(verdict, command)
    if step:
        parts.append(wrap(f"Next: {step}", width, later="  "))
    text = "\n\n".join(part for part in parts if part)
    return _in_ascii(text, width) if plain else text


def _lead(verdict: Verdict) -> str:
    if _gave_no_reply(verdict):
        return "The process that ran this gave no answer:"
    return LEADS.get(verdict.outcome, "")


def waiting_text(verdict: Verdict) -> str:
    """What a blocked check waits for, and where that is."""
    return f"{verdict.message}, in {verdict.place}" if verdict.place else verdict.message


def _gave_no_reply(verdict: Verdict) -> bool:
    """Whether a worker was lost, so that nothing was raised."""
    return bool(verdict.reply and verdict.reply.fault and verdict.reply.fault.type == NO_REPLY)


def one_line(verdict: Verdict) -> str:
    """A verdict in a line: for summaries and JUnit."""
    message = clean(verdict.message).split("\n")[0]
    if verdict.difference is not None:
        message = headline(verdict.difference)
    if verdict.wrong_turns:
        message = f"looks like {verdict.wrong_turns[0].name}"
    return f"{verdict.outcome}: {message}" if message else verdict.outcome


def short_line(verdict: Verdict, width: int) -> str:
    """The most of `one_line` that fits and can stand alone."""
    line = one_line(verdict)
    tries = [line, ":".join(line.split(":")[:2]), verdict.outcome]  # "error: TypeError", "error"
    return next((one for one in tries if len(one) <= width), "")


def to_ascii(text: str) -> str:
    """
    >>> to_ascii("3 × 2 → é")
    '3 x 2 -> \\\\xe9'
    """
    return text.translate(ASCII).encode("ascii", "backslashreplace").decode()


def _in_ascii(text: str, width: int) -> str:
    """As to_ascii, with lines folded that have grown beyond the width."""
    lines = to_ascii(text).split("\n")
    indents = (" " * (len(line) - len(line.lstrip()) + 2) for line in lines)
    folded = (
        fill(line, width, later=indent) if len(line) > width else [line]
        for line, indent in zip(lines, indents, strict=True)
    )
    return "\n".join(line for one in folded for line in one)


def _own_line(verdict: Verdict) -> OwnLine | None:
    fault = verdict.reply.fault if verdict.reply else None
    return fault.own_line if fault and verdict.outcome == "error" else None


# ---- what was found ----


def _findings(verdict: Verdict, plain: bool, width: int) -> list[str]:
    if verdict.difference is not None:
        return difference_lines(verdict.difference, plain, width)
    fault = verdict.reply.fault if verdict.reply else None
    own = _own_line(verdict)
    if own:
        return [*misfit_lines(own, check_code(verdict.check), width), _said(fault, width)]
    if fault and verdict.outcome in ("error", "timeout"):
        return [_steps(fault.lines, width), _said(fault, width)]
    message = "" if verdict.waits_for else verdict.message
    return [wrap(clean(message), width, first="  ", later="  ")] if message else []


def _said(fault: Fault, width: int) -> str:
    """The exception's own words."""
    message = textwrap.shorten(clean(fault.message).replace("\n", " "), MESSAGE, placeholder=" …")
    said = message if fault.type == "TimeUp" else f"{fault.type}: {message}" if message else fault.type
    return wrap(said, width, first="  ", later="  ")


def _steps(lines: tuple[Line, ...], width: int) -> str:
    """The student's own lines, the innermost last; one that calls itself is told once."""
    told = []
    inside = ("<genexpr>", "<listcomp>", "<lambda>", "<dictcomp>", "<setcomp>")  # mostly of the line before
    pairs = zip((None, *lines), lines, strict=False)
    lines = [
        line
        for before, line in pairs
        if not (before and line.number == before.number and line.function.endswith(inside))
    ]
    for line, repeated in groupby(lines):
        times = len(list(repeated))
        told.append(_source_line(line, width) + (f"\n      ({times} times)" if times > 1 else ""))
    return "\n".join(told[-STEPS:])


def _source_line(line: Line, width: int) -> str:
    within = f", in {line.function}" if line.function not in ("", "<module>") else ""
    place = f"{_relative(line.file)}:{line.number}{within.replace('.<locals>', '')}"
    source = fill(clean(line.text), width, " " * 6, " " * 10)
    if len(source) > SOURCE_LINES:
        source[SOURCE_LINES - 1 :] = [source[SOURCE_LINES - 1][: width - 2] + " …"]
    return "\n".join([wrap(place, width, first="  ", later="    "), *source])


def _relative(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


# ---- what to do ----


def _turns(verdict: Verdict, width: int) -> list[str]:
    turns = [f"{turn.says} ({turn.name})" for turn in verdict.wrong_turns[:TURNS]]
    if len(turns) < 2:
        return [wrap(f"Likely cause: {turn}", width) for turn in turns]
    return ["Likely cause, one of these:", *(wrap(turn, width, "  ", "  ") for turn in turns)]


def _next_step(verdict: Verdict, command: str) -> str:
    exercise = verdict.check.exercise
    if verdict.outcome == "grader fault":
        return "tell the course's staff; nothing of yours needs to change."
    if verdict.waits_for:
        return _after_waiting(verdict)
    if verdict.wrong_turns:
        return f"mend that, then `{command}`." if command else "mend that."
    if verdict.outcome == "missing":
        return f"`course reset {exercise}` puts its stub back."
    if verdict.reply and verdict.reply.importing:
        return _after_import(verdict.reply.fault)
    if _gave_no_reply(verdict):
        return "look for what ends Python itself: os._exit, sys.exit in a thread, a crash in a library."
    if verdict.outcome == "error":
        return _after_error(verdict, command)
    if verdict.outcome == "forbidden":
        return f"write {exercise} without it, in the steps of its docstring."
    if verdict.outcome == "timeout":
        return "look at the loop around that line: what makes it end?"
    return _after_wrong(verdict) if verdict.outcome == "wrong" else ""


def _after_waiting(verdict: Verdict) -> str:
    what = clean(verdict.waits_for)
    if not verdict.message.endswith("not written yet"):
        return f"mend what {what} tells of."
    chapter = Path(verdict.place).parent.name
    return f"write {what}; `course watch {chapter}` checks it." if chapter else f"write {what}."


def _after_import(fault: Fault | None) -> str:
    line = fault.lines[-1].text if fault and fault.lines else ""
    if fault and fault.type in ("ImportError", "ModuleNotFoundError") and re.search(r"\bch\d", line):
        return "mend that line; other chapters come in as in `from ..ch3.attention import CausalAttention`."
    return "mend that first."


def _after_error(verdict: Verdict, command: str) -> str:
    own, fault = _own_line(verdict), verdict.reply.fault if verdict.reply else None
    if fault and fault.type == "RecursionError":
        return "look at the call on that line: what makes it end?"
    step = misfit_step(own, check_code(verdict.check)) if own else ""
    pdb = f"`{command} --pdb` stops at your line, to look around." if command else ""
    return step or pdb


def _after_wrong(verdict: Verdict) -> str:
    exercise, difference = verdict.check.exercise, verdict.difference
    if verdict.check.assembled and difference and difference.path:  # its keys begin with the chapter
        chapter = str(difference.path[0]).partition(",")[0]
        return f"mend {chapter} first; `pytest exercises/{chapter}` looks at it alone."
    kind = difference.kind if difference else ""
    refusal = raised_name(difference.expected) if difference else ""
    if refusal:
        return f"raise a {refusal} where the docstring of {exercise} asks for it."
    if kind == "nan":
        return "look for 0/0, 0 * inf, inf - inf, or a softmax over a row that is all -inf."
    if kind not in ("shape", "dtype", "type", "keys", "length"):
        return f"`course hint {exercise}` gives a hint."
    origins = check_code(verdict.check).origins_at(difference.path)
    if not 0 < len(origins) < 3:
        return f"look at {exercise}, with the lines above."
    function = origins[0].name if len(origins) == 1 and origins[0].kind == "returned" else ""
    if function and kind == "shape" and tuple(difference.seen.shape)[1:] == tuple(difference.expected.shape):
        return f"look at what {function} returns: is it one tensor, or a tuple of several?"
    if function and kind == "shape":
        return f"print the shapes in {function}, line by line, up to the first that surprises you."
    if function and kind == "dtype":
        return f"find the line of {function} where it becomes {dtype_text(difference.seen)}."
    return look_at(origins, kind == "type" and difference.seen is None)
