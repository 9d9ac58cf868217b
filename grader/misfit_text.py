"""What did not fit a check's own line, in words: the line is marked with ">" in the code above."""

from grader.check_code import CheckCode, Origin
from grader.difference_text import both, clean, kind_text, value_text
from grader.observe import OwnLine
from grader.wrapping import wrap

VALUE = 120  # characters for what came
NAME = 30  # characters for its name, beside it


def misfit_lines(own: OwnLine, code: CheckCode, width: int) -> list[str]:
    """Paragraphs: what the line asks for, and what came."""
    match own.problem:
        case "unpack" if own.values:
            returned = [one.name for one in misfit_origins(own, code) if one.kind == "returned"]
            what = f"What {clean(returned[0])} returned" if returned else "What came"
            wanted = f"{len(own.names)} values: {clean(', '.join(own.names))}"
            lead = f"{what} does not fit the line marked >:"
            return [wrap(lead, width), both(wanted, _came(own.values[0][1]), width)]
        case "attribute":
            there = f"{_holder(own)} with {clean(', '.join(own.names)) or 'none of its own'}"
            lead = "The line marked > asks for an attribute that is not there:"
            return [lead, both(clean(own.part), there, width)]
        case "call" if own.names:
            name, parameters = map(clean, own.names)
            lead = f"The line marked > gives {name} arguments that yours does not take:"
            return [wrap(lead, width), both(clean(own.part), name + parameters, width, ("called", "yours"))]
    theirs = [(part, value) for part, value in own.values if code.origins_in(own.statement, part)]
    values = [(clean(part), _came(value)) for part, value in theirs or own.values]
    if not values:
        return ["The line marked > raised an exception:"]
    indent = max(len(part) for part, _ in values)
    if indent > NAME:
        pairs = [(wrap(part, width, "    ", " " * 8), f"is {text}") for part, text in values]
        lines = [line for part, text in pairs for line in (part, wrap(text, width, " " * 6, " " * 6))]
    else:
        lines = [wrap(text, width, f"    {part:<{indent}}  ", " " * (indent + 6)) for part, text in values]
    return ["The line marked > cannot work with what came:", "\n".join(lines)]


def misfit_step(own: OwnLine, code: CheckCode) -> str:
    """What to do about it; empty where the line does not tell."""
    if own.problem == "attribute":
        holder, attribute = _holder(own).partition(" ")[2], clean(own.part.rpartition(".")[2])
        return f"give {holder} `{attribute}`, as its docstring says."
    if own.problem == "call" and own.names:
        return f"give {clean(own.names[0])} the parameters and decorators of its stub."
    origins = misfit_origins(own, code)
    return look_at(origins, any(value is None for _, value in own.values)) if origins else ""


def misfit_origins(own: OwnLine, code: CheckCode) -> list[Origin]:
    """What of the student's it comes from."""
    part = own.values[0][0] if own.problem == "unpack" and own.values else own.part
    return code.origins_in(own.statement, part)


def look_at(origins: list[Origin], is_none: bool = False) -> str:
    """One or two origins as a step to take.

    >>> look_at([Origin("returned", "merge")], is_none=True)
    'look at what merge returns; is there a `return`?'
    """
    phrases = {"returned": "what {} returns", "attribute": "{}"}
    told = [phrases.get(one.kind, "what {}.__init__ makes").format(one.name) for one in origins[:2]]
    ends = is_none and any(one.kind == "returned" for one in origins)
    return f"look at {' and '.join(told)}{'; is there a `return`?' if ends else '.'}"


def _holder(own: OwnLine) -> str:
    return kind_text(own.values[0][1]) if own.values else "an object"


def _came(value) -> str:
    """A value in words: what it is, and if that is not all, itself."""
    kind = kind_text(value)
    if isinstance(value, list | tuple | dict) and value:
        text = value_text(value, VALUE)
        return f"{kind}: {text}" if text.endswith(" items)") else f"{kind} of {len(value)}: {text}"
    is_plain = isinstance(value, bool | int | float | str | bytes)
    return f"{value_text(value, VALUE)}, {kind}" if is_plain else kind
