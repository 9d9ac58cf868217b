"""A failure in words, at 80 columns: what was called, what was expected and came, and what to do next.

Plain text without colour, the same facts for everyone; `plain=True` writes it in ASCII.
"""

import ast
import re
import textwrap
from pathlib import Path

from grader.checks import Check
from grader.difference_text import clean, difference_lines, dtype_text, headline
from grader.observe import Fault, Line
from grader.verdicts import Verdict

WIDTH = 80
CALL_LINES = 12
MESSAGE = 300
QUOTED = re.compile(r"""`[^`]*`|"[^"]*"|\'[^\']*\'""")
TURNS = 2  # more misconceptions than these say nothing

LEADS = {
    "error": "This raised an exception:",
    "timeout": "This was stopped, because it ran too long:",
    "forbidden": "That would be the exercise itself; write it without:",
    "not started": "Not started.",
    "blocked": "Blocked.",
    "grader fault": "This is not your fault: the course or its grader has a mistake.",
}

# what an ASCII console gets instead; in this order
ASCII = str.maketrans(
    {"·": ".", "…": "...", "−": "-", "–": "-", "—": "-", "×": "x", "÷": "/", "√": "sqrt ", "²": "^2"}
    | {"≤": "<=", "≥": ">=", "≈": "~", "→": "->", "σ": "sigma", "∞": "inf"}
    | {"“": '"', "”": '"', "‘": "'", "’": "'"}
)


def failure_text(verdict: Verdict, command: str = "", plain: bool = False, width: int = WIDTH) -> str:
    """The whole report on a check that did not pass. command: what runs just this check again."""
    check = verdict.check
    parts = [_wrap(f"{check.exercise}: {check.says}", width)]
    if verdict.reply and verdict.reply.importing:
        parts = ["The module cannot be imported, so no check can look at it:"]
    elif verdict.outcome in ("wrong", "error", "timeout"):
        parts += [_call(check, width), LEADS.get(verdict.outcome, "")]
    else:
        parts.append(LEADS.get(verdict.outcome, ""))
    parts += _findings(verdict, plain, width)
    parts += _turns(verdict, width)
    step = _next_step(verdict, command)
    if step:
        parts.append(_wrap(f"Next: {step}", width, later="  "))
    text = "\n\n".join(part for part in parts if part)
    return to_ascii(text) if plain else text


def one_line(verdict: Verdict) -> str:
    """A verdict in a line: for summaries and JUnit."""
    message = clean(verdict.message).split("\n")[0]
    if verdict.difference is not None:
        message = headline(verdict.difference)
    if verdict.wrong_turns:
        message = f"looks like {verdict.wrong_turns[0].name}"
    return f"{verdict.outcome}: {message}" if message else verdict.outcome


def to_ascii(text: str) -> str:
    """
    >>> to_ascii("3 × 2 → é")
    '3 x 2 -> \\\\xe9'
    """
    return text.translate(ASCII).encode("ascii", "backslashreplace").decode()


# ---- what was found ----


def _findings(verdict: Verdict, plain: bool, width: int) -> list[str]:
    if verdict.difference is not None:
        return difference_lines(verdict.difference, plain, width)
    fault = verdict.reply.fault if verdict.reply else None
    if fault and verdict.outcome in ("error", "timeout"):
        return _fault(fault, width)
    message = verdict.message
    return [_wrap(clean(message), width, first="  ", later="  ")] if message else []


def _fault(fault: Fault, width: int) -> list[str]:
    """The student's own lines, the innermost last, and the message."""
    message = textwrap.shorten(clean(fault.message).replace("\n", " "), MESSAGE, placeholder=" …")
    said = message if fault.type == "TimeUp" else f"{fault.type}: {message}"
    lines = [_source_line(line) for line in fault.lines[-3:]]
    return ["\n".join(lines), _wrap(said, width, first="  ", later="  ")]


def _source_line(line: Line) -> str:
    within = f", in {line.function}" if line.function not in ("", "<module>") else ""
    return f"  {_relative(line.file)}:{line.number}{within}\n      {clean(line.text)[:72]}"


def _relative(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


# ---- what was called ----


def _call(check: Check, width: int) -> str:
    """The check's own lines; of a long one, the statements that use the student's module."""
    source = check.path.read_text(encoding="utf-8")
    function = next(node for node in ast.parse(source).body if getattr(node, "name", None) == check.name)
    body = function.body[1:]  # without the docstring
    if body and body[-1].end_lineno - body[0].lineno >= CALL_LINES:
        body = _using(body, check.parameters[0])
    lines, shown, after = source.splitlines(), [], None
    for node in body:
        if (
            after is not None
            and after < node.lineno
            and any(line.strip() for line in lines[after : node.lineno - 1])
        ):
            shown.append("    ...")
        text = textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))
        for line in text.splitlines():
            shown += _fold("    " + line, width)
        after = node.end_lineno
    return "\n".join(shown[:CALL_LINES] + ["    ..."] * (len(shown) > CALL_LINES))


def _using(body: list[ast.stmt], module: str) -> list[ast.stmt]:
    """The statements that use the module, or what came of it."""
    touched, kept = {module}, []
    for node in body:
        names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
        if touched & {name.id for name in names}:
            touched |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
            kept.append(node)
    return kept


def _fold(line: str, width: int) -> list[str]:
    """A line of source, broken between its words and indented further where it is too long."""
    later = " " * (len(line) - len(line.lstrip()) + 4)
    return _fill(line, width, "", later)


# ---- what to do ----


def _turns(verdict: Verdict, width: int) -> list[str]:
    turns = verdict.wrong_turns[:TURNS]
    if not turns:
        return []
    head = "This is what comes of" if len(turns) == 1 else "This is what comes of one of these:"
    if len(turns) == 1:
        return [_wrap(f"{head} {turns[0].name}. {turns[0].says}", width)]
    return [head, *(_wrap(f"{turn.name}. {turn.says}", width, first="  ", later="  ") for turn in turns)]


def _next_step(verdict: Verdict, command: str) -> str:
    exercise = verdict.check.exercise
    kind = verdict.difference.kind if verdict.difference else ""
    if verdict.outcome == "grader fault":
        return "tell the course's staff; nothing of yours needs to change."
    if verdict.wrong_turns:
        return f"mend that, then `{command}`." if command else "mend that."
    if verdict.outcome == "missing":
        return f"`course reset {exercise}` puts its stub back."
    if verdict.reply and verdict.reply.importing:
        return "mend that first."
    if verdict.outcome == "error":
        return f"`{command} --pdb` stops where it was raised, to look around." if command else ""
    if verdict.outcome == "timeout":
        return "look at the loop around that line: what makes it end?"
    if verdict.outcome != "wrong":
        return ""
    if kind == "shape":
        return f"print the shapes in {exercise}, line by line, up to the first that surprises you."
    if kind == "dtype":
        return f"find the line of {exercise} where it becomes {dtype_text(verdict.difference.seen)}."
    if kind == "nan":
        return "look for 0/0, inf - inf, or a softmax over a row that is all -inf."
    if kind in ("type", "keys", "length"):
        return f"look at what {exercise} returns."
    return f"`course hint {exercise}` gives a hint."


def _wrap(text: str, width: int, first: str = "", later: str = "") -> str:
    return "\n".join("\n".join(_fill(line, width, first, later)) for line in text.split("\n"))


def _fill(line: str, width: int, first: str, later: str) -> list[str]:
    """Lines of at most `width` characters; what stands in quotes or backticks stays whole if it fits."""
    whole = QUOTED.sub(lambda match: match[0].replace(" ", "\0"), line)
    for text, break_long_words in ((whole, False), (line, True)):
        lines = textwrap.wrap(
            text,
            width,
            initial_indent=first,
            subsequent_indent=later,
            break_long_words=break_long_words,
            break_on_hyphens=False,
        )
        if all(len(one) <= width for one in lines):
            break
    return [one.replace("\0", " ") for one in lines]
