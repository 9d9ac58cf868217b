"""How alike submissions of a chapter are: what two share of runs of tokens that few others have.

A module becomes its tokens (grader/code_tokens.py), and these all their runs of RUN tokens. Runs of the stub
say nothing and are taken out. A run weighs the more, the fewer submissions have it: 1 if nobody else has it,
next to nothing if most of the class does. The figure of a pair is the share, by weight, of the one with less
that the other has as well; it is lower where there is little to judge by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grader.code_tokens import Tokens, tokens_of

# Chosen with benchmarks/similarity.py, on other classes than those that it reports on.
RUN = 12  # tokens; a line of code has about ten
AT_LEAST = 0.5  # the figure from which a pair is worth a look
STEEP = 3.0  # how fast the weight falls with the number of submissions that have a run
LITTLE = 8.0  # weight that everyone counts as having more, and for themselves
STRANGERS = 30  # submissions that are imagined beside the real ones: a class of three says little of rarity
BLOCK = 4096  # runs that are counted at a time
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no part of a run is lost
TRIED = 30  # places of the other submission that are tried for a run


@dataclass(eq=False)
class Code:
    """Something that is compared. name: whose. known: whether it is an answer that is no submission.

    file: as it was handed in. cells: of a notebook, as in HandedIn. path: what came from one place, as the
    work of a group does, is not compared.
    """

    name: str
    source: str
    tokens: Tokens
    known: bool = False
    file: str = ""
    cells: tuple[tuple[int, int], ...] = ()
    path: Path | None = None


@dataclass
class Fragment:
    """A shared region: its lines in the one and in the other, from 1. common: how many submissions have the
    rarest of it.
    """

    left: tuple[int, int]
    right: tuple[int, int]
    weight: float
    common: int


@dataclass
class Pair:
    """figure: from 0 to 1."""

    left: Code
    right: Code
    figure: float


class Comparison:
    """The submissions of one chapter, and known answers to it, beside each other."""

    def __init__(self, codes: Sequence[Code], stubs: Sequence[Tokens] = ()):
        self.codes = list(codes)
        words: dict[str, int] = {}
        given = [_runs(tokens, words)[0] for tokens in stubs]
        self._given = np.unique(np.concatenate(given)) if given else np.zeros(0, np.uint64)
        self._runs = [self._without_given(*_runs(code.tokens, words)) for code in self.codes]
        self._sets = [np.unique(runs) for runs, _ in self._runs]
        own = [runs for runs, code in zip(self._sets, self.codes, strict=True) if not code.known]
        self.submissions = len(own)
        everything = np.concatenate([*self._sets, np.zeros(0, np.uint64)])
        self._all = np.unique(everything)
        counted = np.concatenate([*own, np.zeros(0, np.uint64)])
        self._common = np.bincount(np.searchsorted(self._all, counted), minlength=len(self._all))
        everyone = np.log(self.submissions + STRANGERS)
        self._weights = (1 - np.log(np.maximum(self._common, 1)) / everyone) ** STEEP

    def pairs(self, at_least: float = AT_LEAST) -> list[Pair]:
        """The pairs worth a look, the likest first. Known answers are not compared with each other."""
        shared = self._shared()
        totals = shared.diagonal()
        figures = shared / (np.minimum(totals[:, None], totals[None, :]) + LITTLE)
        found = []
        for i, j in np.argwhere(np.triu((figures >= at_least) & (shared > 0), 1)):
            left, right = self.codes[i], self.codes[j]
            if (left.known and right.known) or (left.path is not None and left.path == right.path):
                continue
            if left.known:
                left, right = right, left
            found.append(Pair(left, right, float(figures[i, j])))
        return sorted(found, key=lambda pair: (-pair.figure, pair.left.name, pair.right.name))

    def fragments(self, left: Code, right: Code) -> list[Fragment]:
        """What two share, the weightiest first."""
        runs, starts = self._of(left)
        other, other_starts = self._of(right)
        places: dict[int, list[int]] = {}
        for place, run in enumerate(other.tolist()):
            places.setdefault(run, []).append(place)
        found, i = [], 0
        while i < len(runs):
            tried = [
                (_length(runs, starts, i, other, other_starts, j), -j)
                for j in places.get(int(runs[i]), ())[:TRIED]
            ]
            if not tried:
                i += 1
                continue
            length, j = max(tried)
            found.append(self._fragment(left, right, i, -j, length))
            i += length
        return sorted(_merged(found), key=lambda one: (-one.weight, one.left))

    def _fragment(self, left: Code, right: Code, i: int, j: int, length: int) -> Fragment:
        (runs, starts), (_, other_starts) = self._of(left), self._of(right)
        known = np.searchsorted(self._all, runs[i : i + length])
        lines, other = left.tokens.lines, right.tokens.lines
        end = length - 1
        return Fragment(
            (lines[starts[i]], lines[starts[i + end] + RUN - 1]),
            (other[other_starts[j]], other[other_starts[j + end] + RUN - 1]),
            float(self._weights[known].sum()),
            int(self._common[known].min()),
        )

    def _of(self, code: Code) -> tuple[NDArray, NDArray]:
        return self._runs[self.codes.index(code)]

    def _without_given(self, runs: NDArray, starts: NDArray) -> tuple[NDArray, NDArray]:
        own = ~np.isin(runs, self._given)
        return runs[own], starts[own]

    def _shared(self) -> NDArray:
        """The weight that each two share; on the diagonal, all that one has."""
        count = len(self.codes)
        totals = np.array([self._weights[np.searchsorted(self._all, runs)].sum() for runs in self._sets])
        columns = [np.searchsorted(self._all, runs) for runs in self._sets]
        several = np.bincount(np.concatenate([*columns, np.zeros(0, int)]), minlength=len(self._all)) > 1
        number = np.cumsum(several) - 1  # of those that more than one has
        columns = [number[column[several[column]]] for column in columns]
        weights = self._weights[several]
        shared = np.zeros((count, count))
        for begin in range(0, len(weights), BLOCK):
            end = begin + BLOCK
            has = np.zeros((count, min(BLOCK, len(weights) - begin)), np.float32)
            for row, column in enumerate(columns):
                first, last = np.searchsorted(column, (begin, end))
                has[row, column[first:last] - begin] = 1
            shared += (has * weights[begin:end].astype(np.float32)) @ has.T
        np.fill_diagonal(shared, totals)
        return shared


def code(name: str, source: str, given: frozenset[str] = frozenset(), **more) -> Code:
    return Code(name, source, tokens_of(source, given), **more)


def _runs(tokens: Tokens, words: dict[str, int]) -> tuple[NDArray, NDArray]:
    """Each run of RUN tokens as a number, and where it starts; none reaches into another function."""
    numbers = np.array(
        [0 if kind is None else words.setdefault(kind, len(words) + 1) for kind in tokens.kinds], np.uint64
    )
    if len(numbers) < RUN:
        return np.zeros(0, np.uint64), np.zeros(0, int)
    windows = np.lib.stride_tricks.sliding_window_view(numbers, RUN)
    starts = np.flatnonzero((windows != 0).all(axis=1))
    with np.errstate(over="ignore"):
        powers = FACTOR ** np.arange(1, RUN + 1, dtype=np.uint64)
        return (windows[starts] * powers).sum(axis=1, dtype=np.uint64), starts


def _length(runs, starts, i: int, other, other_starts, j: int) -> int:
    """How far two agree from two places on. Looked at in pieces, so that little is looked at in vain."""
    most = min(len(runs) - i, len(other) - j)
    length, piece = 0, 16
    while length < most:
        end = min(length + piece, most)
        left, right = slice(i + length, i + end), slice(j + length, j + end)
        same = (runs[left] == other[right]) & (
            starts[left] - starts[i] == other_starts[right] - other_starts[j]
        )
        if not same.all():
            return length + int(same.argmin())
        length, piece = end, 2 * piece
    return length


def _merged(fragments: list[Fragment]) -> list[Fragment]:
    """Regions that follow on each other in both are one."""
    merged: list[Fragment] = []
    for one in fragments:
        last = merged[-1] if merged else None
        if last and all(
            old[0] <= new[0] <= old[1] + 1 for old, new in ((last.left, one.left), (last.right, one.right))
        ):
            last.left = (last.left[0], max(last.left[1], one.left[1]))
            last.right = (last.right[0], max(last.right[1], one.right[1]))
            last.weight += one.weight
            last.common = min(last.common, one.common)
        else:
            merged.append(one)
    return merged
