"""Asks the warm process of check_process.py for runs, and survives whatever a run does to it.

Importing this module costs nothing: torch is imported over there.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from .errors import CourseError

# A fork of a process with Apple's frameworks in it is not safe, and Windows has none.
CAN_FORK = hasattr(os, "fork") and sys.platform != "darwin"
IMPORTING_SECONDS = 25.0  # on top of the first check's limit; grader.chapter_run stops an import after 20
GRACE_SECONDS = 5.0  # on top of each check's limit, which the process itself keeps if it can


@dataclass
class Run:
    """One run of a chapter's checks, as far as is known. over: "done", or what stopped it."""

    number: int
    chapter: str
    pid: int | None = None
    check: str | None = None
    exercise: str | None = None
    states: dict[str, str] = field(default_factory=dict)
    passing: dict[str, list[int]] = field(default_factory=dict)
    first: dict | None = None
    problem: str | None = None
    sure: bool = False
    over: str | None = None
    deadline: float | None = None


class Checker:
    """Puts ("reply", message) into `events` for everything that comes back; `take` makes sense of it."""

    def __init__(self, folder: Path, events: queue.Queue | None = None, fork: bool = CAN_FORK, plain=False):
        self.folder = folder
        self.events = events or queue.Queue()
        self.fork = fork
        self.plain = plain
        self.run: Run | None = None
        self.process: subprocess.Popen | None = None
        self._number = 0
        self._ready = False
        self._stop_unborn: set[int] = set()  # runs to end as soon as their child is known
        self._start_process()

    def __enter__(self) -> "Checker":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def start(self, chapter: str, exercises: list[str], first: str | None = None) -> Run:
        """Begin a run; one that is still under way is ended. first: the exercise to look at first."""
        self.stop()
        if self.process is None:
            self._start_process()
        self._number += 1
        self.run = Run(self._number, chapter)
        request = {"run": self._number, "chapter": chapter, "exercises": exercises}
        request |= {"start": first, "plain": self.plain}
        with suppress(OSError):  # a process that is gone says so in its last event
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        return self.run

    def take(self, message: dict) -> Run | None:
        """Note a reply. The run that it is about, or None if that is no longer of interest."""
        if message.get("process") is not None:
            return self._process_ended(message)
        if message.get("ready"):
            self._ready = True
        number = message.get("run")
        if number in self._stop_unborn and "pid" in message:
            self._stop_unborn.discard(number)
            _kill_group(message["pid"])
        run = self.run
        if run is None or run.over:
            return None
        if number != run.number and (run.pid is None or message.get("pid") != run.pid):
            return None
        for name in ("pid", "check", "exercise", "states", "passing", "first", "problem", "sure", "over"):
            if name in message:
                setattr(run, name, message[name])
        if "check" in message:
            extra = GRACE_SECONDS if run.deadline else IMPORTING_SECONDS
            run.deadline = time.monotonic() + message["seconds"] + extra
        if run.over not in (None, "done"):
            self._died(run)
        return run

    def overdue(self) -> Run | None:
        """The run that should have ended by now, ended; None as long as all is well."""
        run = self.run
        if run is None or run.over or run.deadline is None or time.monotonic() < run.deadline:
            return None
        self.stop()
        run.over = "did not end, and was stopped"
        self._died(run)
        return run

    def stop(self) -> None:
        """End the run that is under way, if one is."""
        run, self.run = self.run, None
        if run is None or run.over:
            return
        if not self.fork:
            self._end_process()
        elif run.pid is not None:
            _kill_group(run.pid)
        else:
            self._stop_unborn.add(run.number)

    def wait(self, chapter: str, exercises: list[str]) -> Run:
        """A whole run."""
        run = self.start(chapter, exercises)
        while run.over is None:
            try:
                _, message = self.events.get(timeout=0.5)
            except queue.Empty:
                self.overdue()
                continue
            self.take(message)
        return run

    def close(self) -> None:
        self.stop()
        self._end_process()

    # ---- the process ----

    def _start_process(self) -> None:
        self._ready = False
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if os.name == "nt" else {}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        # In a session of its own: Ctrl-C in the terminal is for us alone.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "course.check_process", *(["--fork"] if self.fork else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=self.folder,
            env={**os.environ, "PYTHONBREAKPOINT": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=os.name != "nt",
            **apart,
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen) -> None:
        for line in process.stdout:
            try:
                message = json.loads(line)
            except ValueError:  # cut off where its run was ended
                continue
            if message:
                self.events.put(("reply", message))
        self.events.put(("reply", {"process": process.pid, "status": process.wait()}))

    def _process_ended(self, message: dict) -> Run | None:
        if self.process is None or message["process"] != self.process.pid:
            return None  # one that we ended ourselves
        self.process = None
        if not self._ready:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise CourseError(f"the process that runs the checks cannot start: {said[-1]}")
        run = self.run
        if run is None or run.over:
            return None
        run.over = how_it_ended(message["status"])
        self._died(run)
        return run

    def _died(self, run: Run) -> None:
        """Whatever was being looked at did not pass."""
        run.sure = False
        if run.exercise is not None:
            run.states = {**run.states, run.exercise: "failed"}

    def _end_process(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        self._errors.close()
        with suppress(OSError):
            process.stdin.close()


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def how_it_ended(code: int) -> str:
    """
    >>> how_it_ended(3), how_it_ended(-11)
    ('ended Python with exit status 3', 'crashed Python (SIGSEGV)')
    """
    if code >= 0:
        return f"ended Python with exit status {code}"
    with suppress(ValueError):
        return f"crashed Python ({signal.Signals(-code).name})"
    return f"crashed Python (signal {-code})"
