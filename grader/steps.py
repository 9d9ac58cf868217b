"""Observing the work of plain Python: how many lines are run.

A check asks for `steps` by name:

    def rare_words_cost_no_more(tokenizer, draw, steps):
        '''...'''
        one, many = (steps.of(tokenizer.train_bpe, text, 256 + merges) for merges in (1, 41))
        return {"40 more merges are cheap": many < 3 * one}

A line counts each time it is run, wherever it stands; a comprehension on one line counts once for each item.
So the numbers are the same on every machine, and nearly so with every version of Python. What a built-in
does inside of one call, such as `list.sort`, is not seen, nor is what other threads do.
"""

import sys
from collections.abc import Callable


class Steps:
    """Counts lines by tracing them, some ten times as slow as running them."""

    def __init__(self):
        self._lines = 0

    def of(self, function: Callable, *args, **kwargs) -> int:
        """How many lines a call runs."""
        self._lines = 0
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            function(*args, **kwargs)
            if sys.gettrace() != self._trace:
                raise RuntimeError(
                    "the steps could not be counted: a debugger, or another tracer, came between"
                )
        finally:
            sys.settrace(before)
        return self._lines

    def _trace(self, frame, event, argument):
        self._lines += event == "line"
        return self._trace
