"""The fork server: a warm process that forks one for each submission, and ends that with all that it started.

    server      warm: torch and the reference's earlier chapters are imported; reads only what the judge
                writes; while a submission runs it watches its memory and processes
    submission  answers the judge: reads the source, imports it, runs one check after another (worker.py)

Fork first, then import the submission; the other way round, a module that used threads hangs its children.
There is one submission at a time. The judge gives each three ends of sockets: a channel for requests and
replies, one for what is printed, and a leash. When the judge lets go of the leash, or dies, the server ends
the submission, and says on the leash how it ended.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile

from grader import confine, process_tree
from grader.refused_calls import refuse_calls

WATCH_SECONDS = 0.05
CHANNEL = 3


def serve(control: int, alone: bool) -> None:
    """`control` is a socket to the judge. alone: each submission gets namespaces of its own."""
    confine.die_with_parent()
    confine.die_first()
    confine.prctl(confine.SET_DUMPABLE, 0)  # nobody of the same user may read or change its memory
    if alone:
        confine.own_processes(control)
    else:
        confine.prctl(confine.SET_CHILD_SUBREAPER, 1)
    # with torch, of which the process that waits for this one has no need
    from grader import wire, worker

    judge = socket.socket(fileno=control)
    job = wire.read_frame(control)
    worker.warm_up(job)
    gc.collect()
    gc.freeze()  # the collector touches no page that the forks share
    gc.set_threshold(20_000)  # a submission's checks leave less behind than is worth looking for every 700
    with contextlib.suppress(OSError):  # only slower without
        confine.use_large_pages()
    proc = process_tree.open_proc()
    wire.write_frame(control, {})
    while True:
        message, ends, _, _ = socket.recv_fds(judge, 1, 3)
        if not message:
            return
        run_submission(*ends, proc, job, alone)


def run_submission(channel: int, output: int, leash: int, proc: int, job: dict, alone: bool) -> None:
    """Run one submission, end it when the judge lets go of the leash, and say how it ended."""
    limits = confine.Limits(**job["limits"])
    own = process_tree.own_number(proc)
    space, base = process_tree.memory_of(own, proc)
    scratch = None if alone else tempfile.mkdtemp(prefix="submission-")
    child = confine.fork_alone() if alone else os.fork()
    if child == 0:
        try:
            become_submission(channel, output, scratch, limits, space, job)
        finally:
            os._exit(1)
    os.close(channel)
    os.close(output)
    outgrown = watch(child, leash, proc, own, base, limits)
    os.kill(child, signal.SIGKILL)  # it is ours and not waited for, so the number is still its own
    _, status = os.waitpid(child, 0)  # where it was alone, all that it started has ended with it
    if not alone:
        process_tree.kill_descendants(own, proc)
        with contextlib.suppress(OSError):
            confine.delete(scratch)
    if job["own_user"]:
        confine.sweep(os.geteuid())
    with contextlib.suppress(OSError):  # the judge is gone
        os.write(leash, json.dumps({"status": status, "outgrown": outgrown}).encode())
    os.close(leash)


def watch(child: int, leash: int, proc: int, own: int, base: int, limits: confine.Limits) -> str:
    """Wait until the submission ends or is to be ended; the limit that it grew beyond, or nothing.

    Where the user is shared with others the kernel cannot count a submission's processes; so count them here.
    """
    ended = os.pidfd_open(child)
    try:
        while True:
            ready, _, _ = select.select([leash, ended], [], [], WATCH_SECONDS)
            if ready:
                return ""
            family = process_tree.descendants(own, proc)
            if sum(process_tree.threads_of(one, proc) for one in family) > limits.processes:
                return "processes"
            if sum(max(0, process_tree.memory_of(one, proc)[1] - base) for one in family) > limits.memory:
                return "memory"
    finally:
        os.close(ended)


def become_submission(
    channel: int, output: int, scratch: str | None, limits: confine.Limits, space: int, job: dict
) -> None:
    """From here on the process has nothing but its sockets, and then runs a student's code.

    scratch: its folder; None if it is to have namespaces of its own.
    """
    from grader.worker import Submission

    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    high = 100  # out of the way of the numbers that they are to have
    for source, target in ((null, 0), (output, 1), (output, 2), (channel, CHANNEL)):
        os.dup2(source, high + target)
    for target in (0, 1, 2, CHANNEL):
        os.dup2(high + target, target)
    os.closerange(CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))
    alone = scratch is None
    if alone:
        confine.own_namespaces(limits)
        confine.drop_capabilities()
    folder = scratch or "/tmp"
    os.chdir(folder)
    tempfile.tempdir = folder
    confine.limit_resources(limits, space, alone=alone or job["own_user"])
    confine.prctl(confine.SET_NO_NEW_PRIVS, 1)
    with contextlib.suppress(OSError):  # a kernel without it
        refuse_calls(None if alone else os.getpid())
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  (theirs until they end)
    sys.stdout = sys.stderr = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    Submission(CHANNEL, job).answer_all()
    os._exit(0)
