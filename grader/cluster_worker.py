"""A machine's end of a cluster: `grader worker`, which grades what comes, and `grader scheduler`.

A worker keeps what it works on in memory. A judge that is lost is replaced here, as on one machine; when the
whole machine is lost, Dask hands what was under way there to another.
"""

import asyncio
import contextlib
import json
import os
import queue
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from grader.cluster import (
    CONNECT_SECONDS,
    FACTS,
    LOCAL_HTTP,
    Tls,
    connects,
    facts,
    full_address,
    offers,
    root_cause,
    security,
)
from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.pool import Pool
from grader.sandbox import Tier, best_tier

_own: dict = {}  # this machine's course and tier, in the place of those that a task names
_judges: queue.SimpleQueue[Pool] = queue.SimpleQueue()


def grade(task: bytes) -> bytes:
    """`unit.grade` with this machine's course and tier, in a process of its own.

    A fault comes back as {"fault": ...}: what Dask makes of an exception would quote the task.
    """
    pool = _judges.get()
    try:
        asked = json.loads(task) | _own
        asked["hidden"] = [path for path in asked["hidden"] if Path(path).exists()]
        [(_, result)] = pool.run({0: json.dumps(asked).encode()})
    except Exception as error:
        result = error
    finally:
        _judges.put(pool)
    if isinstance(result, Exception):
        return json.dumps({"fault": f"{type(result).__name__}: {result}"}).encode()
    return result


def work(address: str, tls: Tls, judges: int) -> None:
    """Be a worker until the scheduler goes or somebody stops it."""
    address = full_address(address)
    secured = security(tls)
    folder = CourseFolder.around(Path.cwd())
    tier = fit_tier()
    about = facts(folder, tier)
    _own.update(course=str(folder.root), tier=about["tier"])
    pools = [Pool(1, tier) for _ in range(judges)]
    for pool in pools:
        _judges.put(pool)
    import resource  # late: Windows, which has none, was refused above

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core holds all that was in memory
    with tempfile.TemporaryDirectory(prefix="grader-worker-") as scratch:
        stopped = asyncio.run(_work(address, secured, about, judges, scratch))
    if not stopped:
        print(f"grader: the scheduler at {address} has gone; start this worker again", file=sys.stderr)
    for pool in pools:
        pool.end()
    sys.stderr.flush()
    os._exit(0 if stopped else 2)  # waiting for what is under way would be in vain: it is done elsewhere


def fit_tier() -> Tier:
    """This machine's tier, tried by using it; refused where a submission would reach the network."""
    tier = best_tier()
    if "network" not in tier.stops:
        raise GraderError(
            f"a worker is refused here, since submissions would reach the network ({tier.name}):"
            f" {tier.why_not_better}"
        )
    return tier


async def _work(address: str, secured, about: dict, judges: int, scratch: str) -> bool:
    """Whether it was stopped here, and not by the scheduler's going."""
    from distributed import Worker

    await connects(address, secured)
    told = json.dumps(about)
    worker = Worker(
        address,
        nthreads=judges,
        security=secured,
        protocol="tls",
        memory_limit=0,
        local_directory=scratch,
        dashboard=False,
        dashboard_address=LOCAL_HTTP,
        death_timeout=CONNECT_SECONDS,
        resources=dict.fromkeys(offers(about), judges),
        startup_information={FACTS: lambda _: told},
    )
    stopping = asyncio.Event()
    _when_stopped(stopping.set)
    try:
        await worker
    except Exception as error:
        raise GraderError(
            f"the scheduler at {address} does not take this worker: {root_cause(error)}"
        ) from None
    print(
        f"{about['tier']['name']}, {_count(judges)} at {worker.address}: ready", file=sys.stderr, flush=True
    )
    ended = asyncio.create_task(worker.finished())
    stop = asyncio.create_task(stopping.wait())
    await asyncio.wait([ended, stop], return_when=asyncio.FIRST_COMPLETED)
    await worker.close(executor_wait=False, reason="stopped")
    stop.cancel()
    return stopping.is_set()


def schedule(host: str, port: int, tls: Tls) -> None:
    """Be the scheduler, which passes work on and keeps none."""
    secured = security(tls)
    asyncio.run(_schedule(host, port, secured))


async def _schedule(host: str, port: int, secured) -> None:
    from distributed import Scheduler

    scheduler = Scheduler(
        host=host,
        port=port,
        protocol="tls",
        security=secured,
        dashboard=False,
        dashboard_address=LOCAL_HTTP,
    )
    try:
        await scheduler
    except Exception as error:
        where = f"{host or 'this machine'}:{port}"
        raise GraderError(f"no scheduler can listen at {where}: {root_cause(error)}") from None
    print(f"scheduler at {scheduler.address}: ready", file=sys.stderr, flush=True)
    stopping = asyncio.Event()
    _when_stopped(stopping.set)
    await stopping.wait()
    await scheduler.close()


def _when_stopped(do: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: there Ctrl-C is an exception
            asyncio.get_running_loop().add_signal_handler(number, do)


def _count(judges: int) -> str:
    return "one judge" if judges == 1 else f"{judges} judges"
