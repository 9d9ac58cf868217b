"""A check: one graded look at an exercise.

    @check("CausalAttention", needs="construct")
    def future_positions_get_no_weight(attention, draw):
        '''A token attends to itself and to what came before it, never to what comes after.'''
        layer = draw.fill(attention.CausalAttention(d_in=3, d_out=4, context_length=8, dropout=0.0))
        _, weights = layer(draw.normal(2, 8, 3))
        return weights

The first parameter is the chapter's module. The others are asked for by name: `draw` (seeded inputs, see
draw.py), `operators` (counts the torch functions called, see operators.py), `steps` (counts the lines run,
see steps.py), `folder` (an empty temporary folder), or another chapter's module (`model`). What the function
returns is compared with what it returns for the reference; a check with an `accept` is decided by that
instead:

    @losses_fall.accept
    def _(seen, draw, expected):
        if seen["losses"][-1] > 0.5 * seen["losses"][0]:
            return "The loss should at least halve in 100 steps."

`accept` takes any of `seen`, `expected` (what the reference yields), `draw` (made anew, so it draws the
same inputs again) and, in hidden checks only, `reference` (the reference's module). It runs where no
student's code does. Returning None or True accepts, a string says why not, False says no more; anything
else, and every exception, is the grader's fault and never a pass. It is asked only about observations of
the same form as the reference's (structure, shapes, dtypes, no NaN), so it need not defend itself, unless
`free_form=True`.

A check marked `assembled=True` looks at a student's own chapters together: where chapters are graded apart,
with the reference's earlier ones, it gets the student's earlier ones (see own_chapters.py). It carries no
points: an exercise passes without it, so that an early mistake costs once. It returns a dict with a key for
each chapter that it looks at ("ch3, MultiHeadAttention"), in their order, each computed by itself where that
can be, so that the first difference names the chapter to mend.

Names of the check file that its functions use travel with them if the file lists them:
`SHARED = ("JOURNEY", "small_config")`.

Importing this module costs nothing: no torch, no numpy.
"""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path

from grader.errors import GraderError

GIVEN = (
    "draw",
    "operators",
    "steps",
    "folder",
)  # what a check may ask for, beside chapters' modules
GIVEN_TO_ACCEPT = ("seen", "expected", "draw", "reference")
DEFAULT_SECONDS = 10.0
NOT_WRITTEN = ": not written yet"  # how a stub's NotImplementedError ends; release.py writes it


class Check:
    """A check's function with what the engine has to know about it."""

    def __init__(
        self,
        function: Callable,
        exercise: str,
        needs: tuple[str, ...],
        forbidden: tuple[str, ...],
        seconds: float,
        assembled: bool = False,
    ):
        self.function = function
        self.exercise = exercise
        self.needs = needs
        self.forbidden = forbidden
        self.seconds = seconds
        self.assembled = assembled
        self.accept_function: Callable | None = None
        self.free_form = False

        self.name = function.__name__
        self.module_name = function.__module__
        self.path = Path(function.__code__.co_filename)
        self.line = function.__code__.co_firstlineno
        self.says = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ").strip()
        self.parameters = tuple(inspect.signature(function).parameters)
        if not self.says:
            raise GraderError(f"{self.where}: {self.name} has no docstring; it is what the student reads")
        if not self.parameters or self.parameters[0] in GIVEN:
            raise GraderError(
                f"{self.where}: the first parameter of {self.name} must be the chapter's module"
            )

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}"

    @functools.cached_property
    def other_modules(self) -> tuple[str, ...]:
        """The parameters that name another chapter's module."""
        return tuple(name for name in self.parameters[1:] if name not in GIVEN)

    @functools.cached_property
    def watches(self) -> bool:
        """Whether it looks at how the code works, not only at what comes of it."""
        return bool(self.forbidden) or not {"operators", "steps"}.isdisjoint(self.parameters)

    def accept(self, function: Callable | None = None, *, free_form: bool = False):
        """Decorate the check's own test, which then decides in place of equality."""
        if function is None:
            return lambda f: self.accept(f, free_form=free_form)
        if self.accept_function is not None:
            raise GraderError(f"{self.where}: {self.name} has two accept functions")
        unknown = [name for name in inspect.signature(function).parameters if name not in GIVEN_TO_ACCEPT]
        if unknown:
            raise GraderError(
                f"{self.where}: the accept of {self.name} asks for {unknown[0]!r};"
                f" it can have {', '.join(GIVEN_TO_ACCEPT)}"
            )
        self.accept_function = function
        self.free_form = free_form
        return function

    def __repr__(self) -> str:
        return f"<check {self.name} of {self.exercise}>"


def check(
    exercise: str,
    *,
    needs: str | tuple[str, ...] = (),
    forbidden: str | tuple[str, ...] = (),
    seconds: float = DEFAULT_SECONDS,
    assembled: bool = False,
) -> Callable[[Callable], Check]:
    """Make a function a check of `exercise`, the name of a function or class of the chapter's module.

    needs: other checks of the file that must pass first. forbidden: names as in forbidden.py. assembled: with
    the student's own earlier chapters.
    """
    if not isinstance(exercise, str):
        raise GraderError('@check needs the exercise\'s name: @check("CausalAttention")')

    def decorate(function: Callable) -> Check:
        return Check(function, exercise, _names(needs), _names(forbidden), float(seconds), assembled)

    return decorate


def checks_of(module) -> list[Check]:
    """The checks that a check file defines, in its order; their needs are known and not circular."""
    found = [v for v in vars(module).values() if isinstance(v, Check) and v.module_name == module.__name__]
    found.sort(key=lambda c: c.line)
    by_name = {c.name: c for c in found}
    for one in found:
        _follow_needs(one, by_name, ())
    return found


def _follow_needs(one: Check, by_name: dict[str, Check], path: tuple[str, ...]) -> None:
    if one.name in path:
        raise GraderError(f"{one.where}: the needs go in a circle: {' -> '.join([*path, one.name])}")
    for name in one.needs:
        if name not in by_name:
            raise GraderError(f"{one.where}: {one.name} needs {name!r}, which is no check of this file")
        _follow_needs(by_name[name], by_name, (*path, one.name))


def _names(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
