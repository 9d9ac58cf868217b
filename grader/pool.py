"""Units of grading on the cores of one machine, each process a judge with its own worker.

A judge that is lost (killed, or out of memory) takes nobody's grade with it: what was under way is done
again, one at a time, so that the submission that takes judges down is found, and only that one goes without
a grade.
"""

import multiprocessing
from collections import Counter, deque
from collections.abc import Hashable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

ATTEMPTS = 3
STUCK_SECONDS = 1200.0  # no unit takes that long: judged_run.py's own limits are well below


class Pool:
    """Runs `unit.grade` on tasks: `for key, result in pool.run({key: task})`.

    A result is bytes, or the Exception in their place.
    """

    def __init__(self, workers: int):
        self.workers = workers
        self._executor: ProcessPoolExecutor | None = None

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
            broken = []
            for future in done:
                key = running.pop(future)
                try:
                    yield key, future.result()
                except BrokenProcessPool as error:
                    attempts[key] += 1
                    if attempts[key] < ATTEMPTS:
                        broken.append(key)
                    else:
                        yield key, error
                except Exception as error:
                    yield key, error
            if broken:
                self.kill()
                suspects += broken

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

    def _submit(self, task: bytes) -> Future:
        from grader import unit

        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.workers, context, unit.prepare_process)
        return self._executor.submit(unit.grade, task)
