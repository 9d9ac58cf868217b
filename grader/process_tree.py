"""All that descends from a process on Linux: found, measured and killed.

`proc` is an open descriptor of /proc, for those who can no longer see it by its name.
"""

import contextlib
import os
import signal
import time


def open_proc() -> int:
    return os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def own_number(proc: int) -> int:
    """This process's number there, which is another one than its own where it has new ones."""
    return int(os.readlink("self", dir_fd=proc))


def descendants(pid: int, proc: int) -> list[int]:
    """The process's children, their children, and so on; parents first."""
    found, waiting = [], [pid]
    while waiting:
        children = [child for child in _children(waiting.pop(), proc) if child not in found]
        found += children
        waiting += children
    return found


def memory_of(pid: int, proc: int) -> tuple[int, int]:
    """The bytes of a process's address space, and those of them in memory; zeros if it has ended."""
    fields = _read(f"{pid}/statm", proc).split() or (0, 0)
    return tuple(int(field) * os.sysconf("SC_PAGE_SIZE") for field in fields[:2])


def threads_of(pid: int, proc: int) -> int:
    """How many threads a process has, the first one too; 0 if it has ended."""
    try:
        return os.stat(f"{pid}/task", dir_fd=proc).st_nlink - 2
    except OSError:
        return 0


def kill_descendants(pid: int, proc: int, seconds: float = 5.0) -> bool:
    """Kill all that descends from a process, those that start meanwhile too; whether none is left.

    All are stopped before the first is killed, so that they cannot start others as fast as they die. Where
    the process is this one, and orphans come to it, then none is left when it has no child: the tree alone
    does not show those who start the next while they are looked for, and end.
    """
    end = time.monotonic() + seconds
    own = pid == os.getpid()
    while True:
        found = [one for one in descendants(pid, proc) if not _is_zombie(one, proc)]
        if reap() if own else not found:
            return True
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for one in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(one, number)
        if time.monotonic() > end:
            return False
        time.sleep(0.001)


def reap() -> bool:
    """Take note of every child of this process that has ended; whether it has no other."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def processes_of(user: int, proc: int) -> list[int]:
    """The processes that a user has."""
    pids = [int(name) for name in os.listdir(proc) if name.isdigit()]
    return [
        pid
        for pid in pids
        if f"\nUid:\t{user}\t" in _read(f"{pid}/status", proc) and not _is_zombie(pid, proc)
    ]


def _children(pid: int, proc: int) -> list[int]:
    found = []
    try:
        task = os.open(f"{pid}/task", os.O_RDONLY | os.O_DIRECTORY, dir_fd=proc)
    except OSError:
        return found
    try:
        for thread in os.listdir(task):
            found += [int(child) for child in _read(f"{thread}/children", task).split()]
    except OSError:
        pass
    finally:
        os.close(task)
    return found


def _is_zombie(pid: int, proc: int) -> bool:
    state = _read(f"{pid}/stat", proc).rpartition(")")[2].split()
    return not state or state[0] in "ZX"


def _read(name: str, folder: int) -> str:
    try:
        file = os.open(name, os.O_RDONLY, dir_fd=folder)
    except OSError:
        return ""
    try:
        return os.read(file, 1 << 16).decode("ascii", "replace")
    except OSError:
        return ""
    finally:
        os.close(file)
