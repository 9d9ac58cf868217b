"""Units of grading on the cores of one machine, each process a judge with its own worker.

A judge that is lost (killed, or out of memory) takes nobody's grade with it: what was under way is done
again, one at a time, so that the submission that takes judges down is found, and only that one goes without
a grade.
"""

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Hashable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from grader.sandbox import Tier

ATTEMPTS = 3
STUCK_SECONDS = 1200.0  # no unit takes that long: judged_run.py's own limits are well below


class Pool:
    """Runs `unit.grade` on tasks: `for key, result in pool.run({key: task})`.

    A result is bytes, or the Exception in their place. tier: of the tasks.
    """

    def __init__(self, workers: int, tier: Tier):
        self.workers = workers
        self.tier = tier
        self._over = False
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, error: type | None, *_) -> None:
        if error is None:
            self.close()
        else:
            self.kill()

    def run(self, tasks: dict[Hashable, bytes]) -> Iterator[tuple[Hashable, bytes | Exception]]:
        waiting, suspects = deque(tasks), deque()
        attempts: Counter = Counter()
        running: dict[Future, Hashable] = {}
        while waiting or suspects or running:
            source, at_once = (suspects, 1) if suspects else (waiting, 2 * self.workers)
            while source and len(running) < at_once and not (suspects and running):
                key = source.popleft()
                running[self._submit(tasks[key])] = key
            done, _ = wait(running, STUCK_SECONDS, FIRST_COMPLETED)
            if not done:
                self.kill()  # and what was running is broken
                continue
            broken = {}
            for future in done:
                key = running.pop(future)
                try:
                    yield key, future.result()
                except BrokenProcessPool as error:
                    broken[key] = error
                except Exception as error:
                    yield key, error
            if broken:
                self.kill()
            for key, error in broken.items():
                attempts[key] += 1
                if attempts[key] < ATTEMPTS:
                    suspects.append(key)
                else:
                    yield key, error

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    def kill(self) -> None:
        """End all judges now, and with them their workers."""
        executor, self._executor = self._executor, None
        if executor is not None:
            for process in list((executor._processes or {}).values()):  # 3.14 has kill_workers for this
                process.kill()
            executor.shutdown(cancel_futures=True)

    def end(self) -> None:
        """End all judges for good, from another thread than the one that runs."""
        self._over = True
        self.kill()

    def _submit(self, task: bytes) -> Future:
        if self._over:
            raise RuntimeError("the judges have been ended")
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.workers, context, _prepare_process, (os.getpid(),))
        return self._executor.submit(_grade, task)


def _prepare_process(parent: int) -> None:
    from grader import unit  # with torch, which only the judges need

    unit.prepare_process(parent)


def _grade(task: bytes) -> bytes:
    from grader import unit

    return unit.grade(task)
