"""Run a check's function beside the code that it looks at, and say what came: the worker's half of a check.

Nothing here knows an answer. The same half serves a student's pytest, the judge's worker and the reference.
"""

import builtins
import contextlib
import linecache
import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import torch

from grader.checks import NOT_WRITTEN
from grader.draw import Draw
from grader.forbidden import ForbiddenCalls, Use
from grader.observations import ObservationError, freeze
from grader.operators import Operators
from grader.steps import Steps
from grader.time_limit import TimeUp, time_limit

MAX_MESSAGE = 2000
NO_REPLY = "no reply"  # in the place of an exception's type, where a worker was lost


@dataclass(frozen=True)
class Line:
    """A line of the student's code that was being run."""

    file: str
    number: int
    function: str
    text: str


@dataclass(frozen=True, eq=False)
class OwnLine:
    """The check's own line that raised, with no line of the student's at work: what came did not fit it.

    problem: "unpack" (names: the targets), "attribute" (names: the attributes that there are), "call" (names:
    the student's function and its parameters) or "use". statement (its first line) and part (what failed in
    it) are as ast.unparse writes them. values: parts of the line with what they were, frozen.
    """

    problem: str
    statement: str
    part: str
    values: tuple[tuple[str, object], ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fault:
    """Why there is no observation: an exception, and the student's lines, innermost last."""

    type: str
    message: str
    lines: tuple[Line, ...] = ()
    own_line: OwnLine | None = None


@dataclass
class Reply:
    """What came of one run. outcome: "seen", "error", "not started", "timeout" or "forbidden".

    importing: it came of importing the module. exception is the live one, for a debugger; it never leaves the
    process. digest, size: of all that a worker sent.
    """

    outcome: str
    observation: object = None
    fault: Fault | None = None
    use: Use | None = None
    seconds: float = 0.0
    importing: bool = False
    exception: BaseException | None = None
    digest: bytes = b""
    size: int = 0


@dataclass(frozen=True)
class Setting:
    """What a run needs beside the check and the module.

    alone: in a process of its own, where nobody minds what a run leaves changed.
    """

    seed: int
    device: str = "cpu"
    seconds: float = 10.0
    forbidden: tuple[str, ...] = ()
    other_module: Callable[[str], ModuleType] | None = None
    is_student_file: Callable[[str], bool] | None = None
    pass_through: tuple[type[BaseException], ...] = (KeyboardInterrupt,)
    alone: bool = False


def observe(function: Callable, parameters: tuple[str, ...], module: ModuleType, setting: Setting) -> Reply:
    """Call the check's function with the module and what else it asks for."""
    is_student_file = setting.is_student_file or (lambda name: name == getattr(module, "__file__", None))
    calls = ForbiddenCalls(setting.forbidden, is_student_file)
    start = time.perf_counter()
    try:
        with contextlib.ExitStack() as stack:
            given = [module, *(_given(name, setting, stack) for name in parameters[1:])]
            if setting.alone:
                set_state(setting.seed)
            else:
                stack.enter_context(clean_state(setting.seed))
            stack.enter_context(time_limit(setting.seconds))
            if calls.patterns:
                stack.enter_context(calls)
            observation = freeze(function(*given))
        reply = Reply("seen", observation)
    except setting.pass_through:
        raise
    except BaseException as error:  # SystemExit and the like are a student's errors too
        reply = _reply_to(error, function, module, is_student_file, setting)
    if calls.use is not None and reply.outcome != "timeout":
        reply = Reply("forbidden", use=calls.use)
    reply.seconds = time.perf_counter() - start
    return reply


def _given(name: str, setting: Setting, stack: contextlib.ExitStack):
    if name == "draw":
        return Draw(setting.seed, setting.device)
    if name == "operators":
        return Operators()
    if name == "steps":
        return Steps()
    if name == "folder":
        return Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
    return setting.other_module(name)


def _reply_to(
    error: BaseException,
    function: Callable,
    module: ModuleType,
    is_student_file: Callable[[str], bool],
    setting: Setting,
) -> Reply:
    lines = student_lines(error, is_student_file)
    if isinstance(error, TimeUp):
        fault = Fault("TimeUp", f"still running after {setting.seconds:g} s", lines)
        return Reply("timeout", fault=fault, exception=error)
    if isinstance(error, ObservationError):
        return Reply("error", fault=Fault("what it returned", str(error), lines), exception=error)
    fault = Fault(exception_name(error), exception_message(error), lines)
    if not lines and os.path.isfile(function.__code__.co_filename):  # in a worker it is no file
        from grader.own_line import own_line

        fault = replace(fault, own_line=own_line(error, function, module, setting))
    not_written = isinstance(error, NotImplementedError) and fault.message.endswith(NOT_WRITTEN)
    return Reply("not started" if not_written else "error", fault=fault, exception=error)


def student_lines(error: BaseException, is_student_file: Callable[[str], bool]) -> tuple[Line, ...]:
    """The lines of the student's files in an exception's traceback, and none of ours or torch's."""
    lines = []
    if isinstance(error, SyntaxError) and error.filename and is_student_file(error.filename):
        lines.append(Line(error.filename, error.lineno or 1, "", (error.text or "").strip()))
    for frame, number in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if is_student_file(name):
            text = linecache.getline(name, number).strip()
            lines.append(Line(name, number, frame.f_code.co_qualname, text))
    return tuple(lines)


def exception_name(error: BaseException) -> str:
    """The built-in or torch's exception that an error is, or comes from; never a student's own name."""
    for kind in type(error).__mro__:
        if getattr(builtins, kind.__name__, None) is kind or kind.__module__.split(".")[0] == "torch":
            return kind.__name__
    return "BaseException"


def exception_message(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return str(error.msg)  # the line is told already
    try:
        return str(error)[:MAX_MESSAGE]
    except BaseException as other:  # a student's __str__
        return f"(its message cannot be shown: {type(other).__name__})"


def set_state(seed: int) -> None:
    """What every run begins with: the same random state, float32 and gradients."""
    # torch.manual_seed queues a stack trace for a CUDA that is not initialised: half a small check's time
    if torch.cuda.is_initialized():
        torch.manual_seed(seed)
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed(seed % 2**32)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


@contextlib.contextmanager
def clean_state(seed: int):
    """As set_state; afterwards all is as it was."""
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    set_state(seed)
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        random.setstate(python_state)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
