"""The page with the pairs worth a look: ranked, and what they share side by side."""

from dataclasses import dataclass

from grader.page import cut, render
from grader.similarity import LITTLE, Code, Comparison, Fragment, Pair

LISTED = 200  # pairs in the table
SHOWN = 40  # of them with what they share
REGIONS = 12  # of a pair
LINES, WIDTH = 50, 160  # of a region
SLIGHT = 1.0  # the weight of a region that is not shown: most of the class has it
NAME, ODD = 100, 300


@dataclass(frozen=True)
class Compared:
    """A chapter. students: how many submissions of it were compared."""

    chapter: str
    title: str
    students: int
    comparison: Comparison
    pairs: list[Pair]


def similarity_page(
    compared: list[Compared], odd: list[str], questions: list[str], course: str, at_least: float, known: int
) -> str:
    """odd: what could not be compared, or not all of it. known: how many public answers there were."""
    pairs = [(one, pair) for one in compared for pair in one.pairs]
    pairs.sort(key=lambda item: -item[1].figure)
    views = [_view(one, pair, rank) for rank, (one, pair) in enumerate(pairs[:LISTED], 1)]
    return render(
        "similarity.html.j2",
        title=f"{course}: pairs worth a look",
        course=course,
        chapters=[(one.chapter, one.title, one.students, len(one.pairs)) for one in compared],
        pairs=views,
        more=len(pairs) - len(views),
        shown=SHOWN,
        at_least=round(100 * at_least),
        little=round(LITTLE),
        known=known,
        odd=[cut(line, ODD) for line in odd],
        questions=[cut(line, ODD) for line in questions],
    )


def _view(one: Compared, pair: Pair, rank: int) -> dict:
    fragments = one.comparison.fragments(pair.left, pair.right) if rank <= SHOWN else []
    weighty = [fragment for fragment in fragments if fragment.weight >= SLIGHT] or fragments[:1]
    return {
        "rank": rank,
        "percent": round(100 * pair.figure),
        "chapter": one.chapter,
        "left": cut(pair.left.name, NAME),
        "right": cut(pair.right.name, NAME),
        "known": pair.right.known,
        "regions": [_region(fragment, pair, one.students) for fragment in weighty[:REGIONS]],
        "left_out": len(fragments) - len(weighty[:REGIONS]),
    }


def _region(fragment: Fragment, pair: Pair, students: int) -> dict:
    alone = fragment.common <= (1 if pair.right.known else 2)
    who = "in no other submission" if alone else f"in {fragment.common} of {students} submissions"
    sides = [_side(pair.left, *fragment.left), _side(pair.right, *fragment.right)]
    return {"sides": sides, "who": who}


def _side(code: Code, first: int, last: int) -> dict:
    written = set(code.tokens.lines)  # not docstrings and comments, which are not compared
    lines = [
        line
        for number, line in enumerate(code.source.split("\n")[first - 1 : last], first)
        if number in written or line.lstrip().startswith(("def ", "class "))
    ]
    texts = [cut(line, WIDTH) for line in _dedented(lines[:LINES])]
    if len(lines) > LINES:
        texts.append(f"… and {len(lines) - LINES} more lines")
    return {"who": cut(code.name, NAME), "where": place(code, first, last), "text": "\n".join(texts)}


def place(code: Code, first: int, last: int) -> str:
    """Where people find lines: "attention.py, lines 3 to 9", "ch3.ipynb, cell 5, lines 1 to 4"."""
    if not code.cells:
        return f"{code.file}, lines {first} to {last}"
    (cell, first), (end, last) = (code.cells[min(line, len(code.cells)) - 1] for line in (first, last))
    to = f"lines {first} to {last}" if cell == end else f"line {first}, to cell {end}, line {last}"
    return f"{code.file}, cell {cell}, {to}"


def _dedented(lines: list[str]) -> list[str]:
    """Without the indentation that all have, so that a method stands beside a function."""
    depths = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip()]
    depth = min(depths, default=0)
    return [line[depth:] if line.strip() else "" for line in lines]
