"""What a Linux process does to itself before a student's code runs in it: namespaces, limits, no privileges.

Thin calls of the C library, because Python's own `os` has them only from 3.12 on, or not at all.
"""

import contextlib
import ctypes
import errno
import functools
import os
import signal
import sys
from dataclasses import dataclass

with contextlib.suppress(ImportError):  # Windows
    import resource

# numbers from Linux's own headers: sched.h, mount.h, prctl.h, capability.h
NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
READ_ONLY, NO_SUID, NO_DEVICES, NO_EXEC = 1, 2, 4, 8
BIND, RECURSIVE, PRIVATE = 0x1000, 0x4000, 0x40000
LARGE_PAGE, COLLAPSE = 2 << 20, 25  # as it is on x86-64, and on ARM with pages of 4 KiB
SET_PDEATHSIG, SET_DUMPABLE, CAPBSET_DROP, SET_CHILD_SUBREAPER, SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38
CAPABILITY_VERSION_3 = 0x20080522
FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
OPEN = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")  # where everybody may write
NOBODY = 65534  # as which a submission sees itself in its own user namespace


@dataclass(frozen=True)
class Limits:
    """What one submission may use at a time."""

    memory: int = 2 << 30  # beyond what the warm process has
    cpu_seconds: int = 600
    processes: int = 64
    files: int = 256
    disk: int = 64 << 20
    inodes: int = 4096
    stack: int = 64 << 20

    @property
    def room(self) -> str:
        """The options of a file system in memory of that size."""
        return f"size={self.disk},nr_inodes={self.inodes}"


def unshare(flags: int) -> None:
    _call("unshare", ctypes.c_int(flags))


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    arguments = [os.fsencode(part) if part else None for part in (source, target, kind)]
    _call("mount", *arguments, ctypes.c_ulong(flags), options.encode() or None)


def prctl(option: int, value: int) -> None:
    _call("prctl", ctypes.c_int(option), *(ctypes.c_ulong(v) for v in (value, 0, 0, 0)))


def die_with_parent() -> None:
    """Be killed when the process that started this one ends, however it ends."""
    parent = os.getppid()
    prctl(SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def die_first() -> None:
    """When memory runs out, let the kernel take this process and its children before the judge."""
    with contextlib.suppress(OSError):
        _write("/proc/self/oom_score_adj", "1000")


def use_large_pages() -> None:
    """Put what is in memory together in large pages, where the kernel can (Linux 6.1).

    A fork copies the table of pages: for a process with torch 2 ms instead of 10.
    """
    with open("/proc/self/maps", encoding="utf-8") as maps:
        regions = [line.split() for line in maps]
    for addresses, rights, *_, name in regions:
        begin, end = (int(address, 16) for address in addresses.split("-"))
        begin, end = -(-begin // LARGE_PAGE) * LARGE_PAGE, end // LARGE_PAGE * LARGE_PAGE
        if rights == "rw-p" and name in ("0", "[heap]") and begin < end:  # 0: of no file
            with contextlib.suppress(OSError):  # an older kernel, or no large page is free
                _call("madvise", ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), COLLAPSE)


def own_processes(descriptor: int) -> None:
    """Go on as process 1 of new ones, which `fork_alone` needs, and alone with `descriptor`.

    What was this process waits for it, and ends as it ends.
    """
    _own_users(NEW_PIDS)
    child = os.fork()
    if child:
        os.close(descriptor)
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    die_with_parent()


def fork_alone() -> int:
    """As os.fork; the child is process 1 of new ones: it sees no others; all that it starts ends with it."""
    unshare(NEW_PIDS)
    child = os.fork()
    if child:
        own = os.pidfd_open(os.getpid())
        _call("setns", ctypes.c_int(own), ctypes.c_int(NEW_PIDS))  # the next child is to have its own, too
        os.close(own)
    return child


def own_namespaces(limits: Limits) -> None:
    """Users, mounts and shared memory of its own for this process.

    A new, small /tmp and /dev/shm, and nothing in /proc.
    """
    _own_users(NEW_MOUNTS | NEW_IPC)
    mount("none", "/", None, RECURSIVE | PRIVATE)
    for folder in ("/tmp", "/dev/shm"):
        mount("tmpfs", folder, "tmpfs", NO_SUID | NO_DEVICES, f"{limits.room},mode=700")
    mount("tmpfs", "/proc", "tmpfs", NO_SUID | NO_DEVICES | NO_EXEC | READ_ONLY, "size=4k")


def _own_users(more: int) -> None:
    """A user namespace in which this process is nobody, but may do all; `more` namespaces belong to it."""
    user, group = os.geteuid(), os.getegid()
    prctl(SET_DUMPABLE, 1)  # else its own files in /proc belong to root
    unshare(NEW_USER | more)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{NOBODY} {user} 1")
    _write("/proc/self/gid_map", f"{NOBODY} {group} 1")
    prctl(SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """None held, none to be had by running another program."""
    for capability in range(64):
        try:
            prctl(CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:  # beyond the last
                break
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)())


def limit_resources(limits: Limits, address_space: int = 0, alone: bool = True) -> None:
    """The kernel's own limits for this process and each of its children. Any POSIX system.

    address_space: what the process has already, in bytes. alone: no other process has this user in its
    namespace, so that processes can be counted.
    """
    sizes = {
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_NOFILE": limits.files,
        "RLIMIT_FSIZE": limits.disk,
        "RLIMIT_STACK": limits.stack,
    }
    if sys.platform == "linux":
        sizes["RLIMIT_AS"] = address_space + limits.memory
        sizes["RLIMIT_MSGQUEUE"] = 0
        if alone:
            sizes["RLIMIT_NPROC"] = limits.processes
    for name, size in sizes.items():
        kind = getattr(resource, name)
        _, most = resource.getrlimit(kind)
        size = size if most == resource.RLIM_INFINITY else min(size, most)
        resource.setrlimit(kind, (size, size))


def kill_all_of(user: int) -> None:
    """Kill every process of a user that is nobody's, at one blow, so that none starts another meanwhile."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            if os.getresuid() == (user, user, user) and user >= 1000:
                os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def sweep(user: int) -> None:
    """Delete what a user left in folders that it shares with others."""
    for folder in OPEN:
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_uid == user:
                        delete(entry.path)


def delete(path: str) -> None:
    """Delete a file, or a folder with all that is in it, however deep that goes and whatever its rights."""
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    os.chmod(path, 0o700)
    folder = os.open(path, FOLDER)
    way, waiting = [], [_empty(folder)]  # the names by which we came down, and what waits in each folder
    try:
        while waiting[-1] or way:
            if waiting[-1]:
                way.append(waiting[-1].pop())
                os.chmod(way[-1], 0o700, dir_fd=folder)
                folder = _step(folder, way[-1])
                waiting.append(_empty(folder))
            else:
                waiting.pop()
                folder = _step(folder, "..")
                os.rmdir(way.pop(), dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(path)


def _empty(folder: int) -> list[str]:
    """Delete the files in a folder; the names of the folders in it."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=folder)
    return folders


def _step(folder: int, name: str) -> int:
    try:
        return os.open(name, FOLDER, dir_fd=folder)
    finally:
        os.close(folder)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments) -> None:
    if getattr(_library(), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def try_namespaces() -> None:
    """Make the namespaces of two submissions, one after the other, to see whether that works here."""
    own_processes(os.open(os.devnull, os.O_RDONLY))
    for _ in range(2):
        child = fork_alone()
        if child == 0:
            own_namespaces(Limits())
            drop_capabilities()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status != 0:
            raise OSError(f"a process in them ended with status {status}")


def try_nothing() -> None:
    """Getting here is what is tried."""
