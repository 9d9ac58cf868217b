"""What a command costs with all that it starts: seconds, processor time and memory. Linux only.

The tree of processes is looked at every 10 ms, so up to 10 ms of the end of each process are not counted.
Memory is what the tree has in memory; a page that several processes share is counted once (PSS; where the
system does not tell, RSS). Orphans stay in the tree: the calling process adopts them.
"""

import os
import subprocess
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path

from grader import confine, process_tree

LOOK_SECONDS = 0.01
MEMORY_SECONDS = 0.5
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Cost:
    """began, ended: time.time(). looks: (time, processor seconds until then)."""

    began: float = field(default_factory=time.time)
    ended: float = 0.0
    peak: int = 0
    looks: list[tuple[float, float]] = field(default_factory=list)
    exit_code: int = 0

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def processor(self) -> float:
        return self.looks[-1][1] if self.looks else 0.0

    def processor_until(self, moment: float) -> float:
        at = bisect_left(self.looks, (moment, 0.0))
        return self.looks[min(at, len(self.looks) - 1)][1]


class Tree:
    """All that descends from this process."""

    def __init__(self):
        confine.prctl(confine.SET_CHILD_SUBREAPER, 1)
        self.proc = process_tree.open_proc()
        self._used: dict[int, float] = {}

    def pids(self) -> list[int]:
        return process_tree.descendants(os.getpid(), self.proc)

    def begin(self) -> None:
        self._used = {}

    def processor(self, pids: list[int]) -> float:
        """Seconds that the tree has used since `begin`, by the last look at each process."""
        for pid in pids:
            try:
                fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            self._used[pid] = max(self._used.get(pid, 0.0), (int(fields[11]) + int(fields[12])) / TICK)
        return sum(self._used.values())

    def memory(self, pids: list[int]) -> int:
        return sum(self._memory(pid) for pid in pids)

    def _memory(self, pid: int) -> int:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) << 10
        except OSError:
            pass
        return process_tree.memory_of(pid, self.proc)[1]


def run(
    command: list[str], *, tree: Tree, cwd: Path, variables: dict[str, str], core: int, log: Path
) -> Cost:
    """Run a command on one core to its end."""
    tree.begin()
    cost, memory_at = Cost(), 0.0
    with log.open("ab") as said:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
    while process.poll() is None:
        pids = tree.pids()
        cost.looks.append((time.time(), tree.processor(pids)))
        if time.monotonic() - memory_at > MEMORY_SECONDS:
            memory_at = time.monotonic()
            cost.peak = max(cost.peak, tree.memory(pids))
        time.sleep(LOOK_SECONDS)
    cost.ended = time.time()
    cost.exit_code = process.returncode
    process_tree.reap()
    return cost
