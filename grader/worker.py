"""The worker: a process that runs submissions and knows no answers.

It starts as a fork server: it imports torch and the reference's earlier chapters, and waits. For each
submission's chapter it forks a supervisor, and that forks the process in which the submission runs. Fork
first, then import the submission; the other way round, a module that used threads hangs its children.

    server      warm; reads only what the judge writes
    supervisor  makes the namespaces, watches memory, ends the submission and all that it started
    submission  answers the judge: reads the source, imports it, runs one check after another

The judge gives each submission three ends of sockets: a channel for requests and replies, one for what is
printed, and a leash. When the judge lets go of the leash, or dies, the supervisor ends it all.

Of the course only WORKER_MODULES are here.
"""

import contextlib
import gc
import importlib
import json
import linecache
import marshal
import os
import select
import signal
import socket
import sys
import tempfile
from types import ModuleType

import torch

from grader import confine, process_tree
from grader.forbidden import find_tools, find_uses
from grader.observe import (
    Fault,
    Reply,
    Setting,
    exception_message,
    exception_name,
    observe,
    student_lines,
)
from grader.refused_calls import refuse_calls
from grader.time_limit import TimeUp, time_limit
from grader.wire import read_frame, write_frame

PACKAGE = "exercises"  # the root of the chapters, as students know it
WATCH_SECONDS = 0.05
CHANNEL = 3


def serve(control: int) -> None:
    """The fork server. `control` is a socket to the judge."""
    judge = socket.socket(fileno=control)
    if sys.platform == "linux":
        confine.die_with_parent()
        confine.die_first()
        confine.prctl(confine.SET_DUMPABLE, 0)  # nobody of the same user may read or change its memory
        confine.prctl(confine.SET_CHILD_SUBREAPER, 1)
    job = read_frame(control)
    warm_up(job)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the supervisors that have ended
    gc.collect()
    gc.freeze()  # the collector touches no page that the forks share
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # only slower without
            confine.use_large_pages()
    write_frame(control, {"pid": os.getpid()})
    while True:
        message, ends, _, _ = socket.recv_fds(judge, 1, 3)
        if not message:
            return
        if os.fork() == 0:
            judge.close()
            try:
                supervise(*ends, job)
            finally:
                os._exit(0)
        for end in ends:
            os.close(end)


def serve_one(channel: int) -> None:
    """Where there is no fork to be trusted: one process for one submission."""
    job = read_frame(channel)
    warm_up(job)
    write_frame(channel, {"pid": os.getpid()})
    if os.name == "posix":
        confine.limit_resources(confine.Limits(**job["limits"]), alone=False)
    Submission(channel, job).answer_all()
    os._exit(0)


def warm_up(job: dict) -> None:
    """What every submission of this chapter needs: first steps of torch and ast, and earlier chapters."""
    find_tools("import torch")
    torch.set_num_threads(1)
    weight = torch.ones(4, 4, requires_grad=True)
    (weight @ weight).softmax(-1).sum().backward()
    for name in job["imports"]:
        with contextlib.suppress(
            ImportError
        ):  # setuptools puts a distutils of its own among Python's modules
            importlib.import_module(name)
    sys.modules[PACKAGE] = _package(PACKAGE)
    for chapter, module, source in job["earlier"]:
        load_module(chapter, module, source, f"<{chapter}/{module}.py>")


def load_module(chapter: str, name: str, source: str, filename: str) -> ModuleType:
    """Run a chapter's module as exercises.ch3.attention; its relative imports find the others."""
    package = f"{PACKAGE}.{chapter}"
    if package not in sys.modules:
        sys.modules[package] = _package(package)
        setattr(sys.modules[PACKAGE], chapter, sys.modules[package])
    module = ModuleType(f"{package}.{name}")
    module.__package__, module.__file__ = package, filename
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    sys.modules[module.__name__] = module  # dataclasses look there
    setattr(sys.modules[package], name, module)
    exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)
    return module


def _package(name: str) -> ModuleType:
    package = ModuleType(name)
    package.__path__ = []
    return package


# ---- the supervisor ----


def supervise(channel: int, output: int, leash: int, job: dict) -> None:
    """Run one submission, end it when the judge lets go of the leash, and say how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    proc = process_tree.open_proc()
    limits = confine.Limits(**job["limits"])
    scratch = None
    if job["namespaces"]:
        confine.own_namespaces(limits)
    else:
        confine.prctl(confine.SET_CHILD_SUBREAPER, 1)
        scratch = tempfile.mkdtemp(prefix="submission-")
    space, base = process_tree.memory_of(os.getpid(), proc)
    child = os.fork()
    if child == 0:
        try:
            become_submission(channel, output, scratch, limits, space, job)
        finally:
            os._exit(1)
    os.close(channel)
    os.close(output)
    outgrown = _watch(child, leash, proc, base, limits)
    ending = _end(child, proc)
    if scratch is not None:
        with contextlib.suppress(OSError):
            confine.delete(scratch)
    if job["own_user"]:
        confine.sweep(os.geteuid())
    with contextlib.suppress(OSError):  # the judge is gone
        os.write(leash, json.dumps({"status": ending, "outgrown": outgrown}).encode())


def _watch(child: int, leash: int, proc: int, base: int, limits: confine.Limits) -> str:
    """Wait until the submission ends or is to be ended; the limit that it grew beyond, or nothing.

    Where the user is shared with others the kernel cannot count a submission's processes; so count them here.
    """
    ended = os.pidfd_open(child)
    while True:
        ready, _, _ = select.select([leash, ended], [], [], WATCH_SECONDS)
        if ready:
            return ""
        family = process_tree.descendants(os.getpid(), proc)
        if sum(process_tree.threads_of(one, proc) for one in family) > limits.processes:
            return "processes"
        if sum(max(0, process_tree.memory_of(one, proc)[1] - base) for one in family) > limits.memory:
            return "memory"


def _end(child: int, proc: int) -> int:
    """Kill a process and all that descends from it; its status."""
    os.kill(child, signal.SIGKILL)  # it is ours and not waited for, so the number is still its own
    _, status = os.waitpid(child, 0)
    process_tree.kill_descendants(os.getpid(), proc)
    return status


def become_submission(
    channel: int, output: int, scratch: str | None, limits: confine.Limits, space: int, job: dict
) -> None:
    """From here on the process has nothing but its sockets, and then runs a student's code."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    high = 100  # out of the way of the numbers that they are to have
    for source, target in ((null, 0), (output, 1), (output, 2), (channel, CHANNEL)):
        os.dup2(source, high + target)
    for target in (0, 1, 2, CHANNEL):
        os.dup2(high + target, target)
    os.closerange(CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))
    folder = scratch or "/tmp"
    os.chdir(folder)
    tempfile.tempdir = folder
    if job["namespaces"]:
        confine.drop_capabilities()
    confine.limit_resources(limits, space, alone=job["namespaces"] or job["own_user"])
    confine.prctl(confine.SET_NO_NEW_PRIVS, 1)
    with contextlib.suppress(OSError):  # a kernel without it
        refuse_calls(None if job["namespaces"] else os.getpid())
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  (theirs until they end)
    sys.stdout = sys.stderr = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    Submission(CHANNEL, job).answer_all()
    os._exit(0)


# ---- the submission ----


class Submission:
    """Answers the judge's requests. Until `load`, no code of the student has run in this process."""

    def __init__(self, channel: int, job: dict):
        self.channel = channel
        self.chapter, self.module_name = job["chapter"], job["module"]
        self.source, self.name = "", ""
        self.names: set[str] = set()  # of the student's files
        self.module: ModuleType | None = None

    def answer_all(self) -> None:
        while True:
            try:
                request = read_frame(self.channel)
            except EOFError:
                return
            reply = {"read": self.read, "load": self.load, "check": self.check, "canary": canary}[
                request["do"]
            ](request)
            write_frame(self.channel, {"number": request["number"], **reply})

    def read(self, request: dict) -> dict:
        """The source's syntax tree: what it uses of what each check forbids."""
        self.source, self.name = request["source"], request["name"]
        self.names.add(self.name)
        try:
            found = [
                find_uses(self.source, exercise, patterns) for exercise, patterns in request["forbidden"]
            ]
            found.append(find_tools(self.source))
        except Exception as error:
            return as_plain(self._import_reply(error))
        return {"outcome": "seen", "uses": [[[use.name, use.line] for use in uses[:1]] for uses in found]}

    def load(self, request: dict) -> dict:
        """Import it."""
        try:
            with time_limit(request["seconds"]):
                for chapter, module, source, name in request["pieces"]:
                    self.names.add(name)
                    load_module(chapter, module, source, name)
                self.module = load_module(self.chapter, self.module_name, self.source, self.name)
            defined = [name for name in request["exercises"] if hasattr(self.module, name)]
        except BaseException as error:
            return as_plain(self._import_reply(error))
        return {"outcome": "seen", "defined": defined}

    def check(self, request: dict) -> dict:
        """Run one check's function."""
        shared = {"__name__": "check"}
        exec(marshal.loads(request["code"]), shared)  # compiled by the judge, once for all submissions
        setting = Setting(
            seed=request["seed"],
            seconds=request["seconds"],
            forbidden=request["forbidden"],
            other_module=other_module,
            is_student_file=self._is_student_file,
            pass_through=(),
        )
        reply = observe(shared[request["function"]], request["parameters"], self.module, setting)
        return as_plain(reply)

    def _is_student_file(self, name: str) -> bool:
        return name in self.names

    def _import_reply(self, error: BaseException) -> Reply:
        lines = student_lines(error, self._is_student_file)
        if isinstance(error, TimeUp):
            return Reply("timeout", fault=Fault("TimeUp", "importing it does not end", lines), importing=True)
        fault = Fault(exception_name(error), exception_message(error), lines)
        return Reply("error", fault=fault, importing=True)


def other_module(name: str) -> ModuleType:
    """Another chapter's module by its own name: "model"."""
    ending = f".{name}"
    return next(
        module
        for full, module in sys.modules.items()
        if full.startswith(f"{PACKAGE}.ch") and full.endswith(ending)
    )


def as_plain(reply: Reply) -> dict:
    """A reply as plain data."""
    plain = {"outcome": reply.outcome, "observation": reply.observation, "importing": reply.importing}
    if reply.fault is not None:
        lines = [[line.file, line.number, line.function] for line in reply.fault.lines[-20:]]
        plain["fault"] = [reply.fault.type, reply.fault.message, lines]
    if reply.use is not None:
        plain["use"] = [reply.use.name, reply.use.line]
    return plain


def canary(request: dict) -> dict:
    """A small computation that the judge makes too: what a process gives that nobody tampered with."""
    x = torch.arange(24, dtype=torch.float32).reshape(4, 6).sin()
    weight = torch.linspace(-1, 1, 36).reshape(6, 6).requires_grad_()
    (x @ weight).softmax(-1).tril().square().sum().backward()
    return {"outcome": "seen", "observation": weight.grad}
