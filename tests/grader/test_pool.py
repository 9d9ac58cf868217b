"""Judges that are lost: whoever takes them down goes without a grade, and nobody else."""

import os
import signal
import sys
from concurrent.futures.process import BrokenProcessPool

import pytest

from grader import pool, sandbox
from grader.pool import Pool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the signal is Linux's")


def grade(task: bytes) -> bytes:
    if task == b"deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    return task.upper()


@pytest.mark.parametrize("workers", [1, 2])
def test_one_that_kills_each_judge_stops_nobody_else(monkeypatch, workers):
    monkeypatch.setattr(pool, "_grade", grade)
    tasks = {"ann": b"ann", "mallory": b"deadly"} | {str(n): str(n).encode() for n in range(8)}
    with Pool(workers, sandbox.PLAIN) as judges:
        came = dict(judges.run(tasks))
    assert isinstance(came.pop("mallory"), BrokenProcessPool)
    assert came == {key: task.upper() for key, task in tasks.items() if key != "mallory"}
