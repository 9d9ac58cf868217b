"""A soft time limit: the code that runs too long is stopped where it is, by an exception of ours.

In the main thread of a POSIX system a timer's signal raises it, which also ends a sleep; elsewhere a
watching thread does, at the next line of Python. It is raised again and again until it gets out, so that a
bare `except` in a loop does not keep it. Where a debugger was at work the time no longer counts.
"""

import contextlib
import ctypes
import signal
import sys
import threading

REPEAT_SECONDS = 0.5


class TimeUp(BaseException):
    """Not an Exception, so that `except Exception` lets it through."""


@contextlib.contextmanager
def time_limit(seconds: float):
    """Raise TimeUp inside the block when it has run for `seconds`."""
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        with _by_signal(seconds):
            yield
    else:
        with _by_thread(seconds):
            yield


@contextlib.contextmanager
def _by_signal(seconds: float):
    over = False

    def stop(signal_number, frame):
        nonlocal over
        over = over or debugging(frame)
        if not over:
            raise TimeUp

    before = signal.signal(signal.SIGALRM, stop)
    rest, repeat = signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    try:
        yield
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, rest, repeat)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)


@contextlib.contextmanager
def _by_thread(seconds: float):
    watched = threading.get_ident()
    done = threading.Event()

    def watch():
        wait = seconds
        while not done.wait(wait):
            wait = REPEAT_SECONDS
            if debugging(sys._current_frames().get(watched)):
                return
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(watched), ctypes.py_object(TimeUp))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        try:
            watcher.join()
        except TimeUp:  # one that was under way when the block ended
            watcher.join()


def debugging(frame) -> bool:
    """Whether someone is looking at the code: a tracer is set, or a debugger waits for a command."""
    tracer = sys.gettrace()
    if tracer is not None and getattr(tracer, "__module__", "") != "grader.steps":  # that one only counts
        return True
    if hasattr(sys, "monitoring") and sys.monitoring.get_tool(sys.monitoring.DEBUGGER_ID):
        return True
    while frame:
        if frame.f_globals.get("__name__") in ("pdb", "bdb"):
            return True
        frame = frame.f_back
    return False
