"""The reading beside chapter 9 runs, and two processes train as one does."""

import re
import subprocess
import sys

import pytest


@pytest.mark.parametrize("script", ["data_parallel", "sharded"])
def test_two_processes_train_as_one(script):
    command = [sys.executable, "-W", "ignore", "-m", f"course.reading.{script}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    apart = [float(number) for number in re.findall(r"at most (\S+) away", run.stdout)]
    assert len(apart) == 2 and max(apart) < 1e-6, run.stdout
