"""The unit of grading: one submission's chapter in, one report out, both as bytes.

A process that calls `grade` keeps the judge of the chapter that it last saw, with its warm worker.
"""

import atexit
import json
import os
import signal
import sys
from pathlib import Path

from grader.course_folder import CourseFolder
from grader.intake import HandedIn
from grader.judge import ChapterJudge
from grader.sandbox import Tier

_judge: ChapterJudge | None = None
_judge_of: tuple | None = None


def grade(task: bytes) -> bytes:
    """Grade one submission's chapter. The task is task.py's, the result a report as JSON."""
    task = json.loads(task)
    judge = _judge_for(task)
    earlier = {chapter: _handed_in(one) for chapter, one in task["earlier"].items()}
    return json.dumps(judge.judge(task["student"], _handed_in(task["handed_in"]), earlier)).encode()


def prepare_process(parent: int) -> None:
    """Called once in each process of a pool: it leaves Ctrl-C to its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        from grader import confine

        confine.die_with_parent()
        if os.getppid() != parent:  # it ended before that took hold
            os._exit(1)
        confine.prctl(confine.SET_CHILD_SUBREAPER, 1)
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    atexit.register(_close)


def _handed_in(fields: dict) -> HandedIn:
    cells = tuple(tuple(place) for place in fields["cells"])
    return HandedIn(**fields | {"notes": tuple(fields["notes"]), "cells": cells})


def _judge_for(task: dict) -> ChapterJudge:
    global _judge, _judge_of
    tier = Tier.of_plain(task["tier"])
    of = (task["course"], task["chapter"], task["master"], tier)
    if _judge_of != of:
        _close()
        folder = CourseFolder(Path(task["course"]))
        hidden = tuple(Path(path) for path in task["hidden"])
        _judge, _judge_of = ChapterJudge(folder, task["chapter"], task["master"], tier, hidden), of
    return _judge


def _close() -> None:
    global _judge, _judge_of
    if _judge is not None:
        _judge.close()
    _judge, _judge_of = None, None
