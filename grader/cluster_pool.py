"""Units of grading on the machines of a cluster, with the same interface as pool.py's processes.

Dask hands them out, and does again what a lost machine had. What comes back is believed only if it is the
report that was asked for.
"""

import asyncio
import contextlib
import json
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Hashable, Iterator

from grader import cluster_worker
from grader.cluster import (
    CONNECT_SECONDS,
    FACTS,
    Tls,
    connects,
    facts,
    full_address,
    security,
    wanted,
    why_no_work,
)
from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.results import REPORT, misfit
from grader.sandbox import BUBBLEWRAP, Tier

LOOK_SECONDS = 1.0
WAIT_SECONDS = 120.0  # for a worker, when the last one has gone
CLOSE_SECONDS = 5.0
GO_ON = "what is done is kept, and the same command goes on from there"


class JudgeFault(Exception):
    """A machine of the cluster gave no proper report."""


class ClusterPool:
    """Runs `unit.grade` on tasks: `for key, result in pool.run({key: task})`. See pool.Pool."""

    def __init__(
        self,
        address: str,
        tls: Tls,
        folder: CourseFolder,
        require_sandbox: bool,
        say: Callable[[str], None],
    ):
        self.address = full_address(address)
        secured = security(tls)
        from distributed import Client

        self.own = facts(folder, BUBBLEWRAP)  # nothing is graded here
        self.require_sandbox, self.say = require_sandbox, say
        self.told: set[str] = set()
        self.fit: dict[str, dict] = {}
        self.judges = 0
        asyncio.run(connects(self.address, secured))
        self.client = Client(
            self.address, security=secured, timeout=CONNECT_SECONDS, set_as_default=False, name="grader"
        )
        try:
            self._first_look()
        except BaseException:
            self.close()
            raise
        # the weakest of the workers'
        tiers = [Tier.of_plain(told["tier"]) for told in self.fit.values()]
        self.tier = min(tiers, key=lambda tier: len(tier.stops))

    def __enter__(self) -> "ClusterPool":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def run(self, tasks: dict[Hashable, bytes]) -> Iterator[tuple[Hashable, bytes | Exception]]:
        waiting, running = deque(tasks), {}
        done: queue.SimpleQueue = queue.SimpleQueue()
        looked = gone = time.monotonic()
        while waiting or running:
            while waiting and len(running) < 2 * self.judges:
                key = waiting.popleft()
                future = self._submit(tasks[key])
                running[future] = key
                future.add_done_callback(done.put)
            with contextlib.suppress(queue.Empty):
                future = done.get(timeout=LOOK_SECONDS)
                key = running.pop(future)
                result = self._result(future, tasks[key])
                if result is None:
                    waiting.append(key)
                else:
                    yield key, result
            if time.monotonic() - looked > LOOK_SECONDS:
                self._tell(self._look())
                looked = time.monotonic()
                gone = looked if self.fit else gone
                if looked - gone > WAIT_SECONDS:
                    raise GraderError(f"{self.address}: no worker is left; {GO_ON}")

    def close(self) -> None:
        """Let go of all that is under way, which the scheduler then drops."""
        self.client.close(timeout=CLOSE_SECONDS)

    # ---- tasks ----

    def _submit(self, task: bytes):
        key = f"submission-{uuid.uuid4().hex}"  # Dask shows keys, so no names
        needs = {wanted(self.own, self.require_sandbox): 1}
        return self.client.submit(cluster_worker.grade, task, key=key, resources=needs)

    def _result(self, future, task: bytes) -> bytes | Exception | None:
        """A report; what went wrong; or nothing, if the connection was lost and it is to be done again."""
        from distributed import CancelledError

        try:
            result = future.result()
        except CancelledError:
            return None
        except Exception as error:  # a KilledWorker, say: three machines were lost over it
            return JudgeFault(f"{type(error).__name__}: {error}")
        return checked(result, task)

    # ---- workers ----

    def _first_look(self) -> None:
        reasons = self._look()
        if not self.fit and not reasons:
            raise GraderError(f"{self.address} has no workers: start some with grader worker {self.address}")
        if not self.fit:
            raise GraderError(f"no worker of {self.address} is fit: {' | '.join(reasons)}")
        machines = f"{len(self.fit)} worker" + ("s" if len(self.fit) > 1 else "")
        self.say(f"{machines} at {self.address}, {self.judges} at a time")
        self._tell(reasons)

    def _look(self) -> list[str]:
        """See who is there; why some get no work."""
        if self.client.status not in ("running", "connecting"):
            raise GraderError(f"{self.address}: the scheduler has gone; {GO_ON}")
        workers = self.client.scheduler_info(n_workers=-1).get("workers", {})
        before, self.fit, self.judges, reasons = self.fit, {}, 0, []
        for address, worker in workers.items():
            told = json.loads(worker[FACTS]) if FACTS in worker else None
            reason = why_no_work(told, self.own, self.require_sandbox)
            if reason:
                reasons.append(f"{address}: {reason}")
            else:
                self.fit[address] = told
                self.judges += worker["nthreads"]
        for address in before.keys() - self.fit.keys():
            self.say(f"  {address} has gone; what it had under way is done again")
        return reasons

    def _tell(self, reasons: list[str]) -> None:
        for reason in reasons:
            if reason not in self.told:
                self.told.add(reason)
                self.say(f"  no work for {reason}")


def checked(result, task: bytes) -> bytes | JudgeFault:
    """What a worker sent, if it is the report on just this task."""
    if not isinstance(result, bytes):
        return JudgeFault(f"a worker sent {type(result).__name__} in place of bytes")
    try:
        report = json.loads(result)
    except ValueError:
        report = None
    if isinstance(report, dict) and isinstance(report.get("fault"), str):
        return JudgeFault(report["fault"])
    problem = misfit(report, REPORT, "the report")
    if problem:
        return JudgeFault(f"a worker sent what is no report: {problem}")
    asked = json.loads(task)
    if any(report[name] != asked[name] for name in ("student", "chapter")):
        return JudgeFault("a worker sent the report on another submission")
    if report["hashes"] != asked["hashes"]:
        return JudgeFault("files of the worker changed after it was started: start it again")
    return result
