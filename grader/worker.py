"""What runs a submission and knows no answers: it answers the judge's requests, in a process of its own.

fork_server.py makes that process. Of the course only what sandbox.worker_files() finds is here.
"""

import contextlib
import importlib
import linecache
import marshal
import os
import sys
import tempfile
import time
from types import ModuleType

import torch

from grader import confine
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
from grader.rehearsal import rehearse
from grader.time_limit import TimeUp, time_limit
from grader.wire import read_frame, write_frame

TOLD_SECONDS = 0.25  # after which the judge is told what there is of several replies
PACKAGE = "exercises"  # the root of the chapters, as students know it


def serve_one(channel: int) -> None:
    """Where there is no fork server: one process, in a folder of its own, for one submission."""
    job = read_frame(channel)
    warm_up(job)
    tempfile.tempdir = os.getcwd()
    confine.limit_resources(confine.Limits(**job["limits"]), alone=False)
    write_frame(channel, {"number": job["number"]})
    Submission(channel, job).answer_all()


def warm_up(job: dict) -> None:
    """What every submission of this chapter needs: a rehearsal, and earlier chapters."""
    torch.set_num_threads(1)
    rehearsing = Submission(-1, job)
    rehearsing.module = torch.nn
    rehearse(rehearsing.answer)
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
            write_frame(self.channel, {"number": request["number"], **self.answer(request)})

    def answer(self, request: dict) -> dict:
        answers = {"read": self.read, "load": self.load, "check": self.check}
        answers |= {"checks": self.checks, "canary": canary}
        return answers[request["do"]](request)

    def read(self, request: dict) -> dict:
        """The source's syntax tree: what it uses of what a check forbids, or, for None, of the tools."""
        self.source, self.name = request["source"], request["name"]
        self.names.add(self.name)
        try:
            found = [
                find_tools(self.source) if forbidden is None else find_uses(self.source, *forbidden)
                for forbidden in request["uses"]
            ]
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
            alone=True,
        )
        reply = observe(shared[request["function"]], request["parameters"], self.module, setting)
        return as_plain(reply)

    def checks(self, request: dict) -> dict:
        """Run several, each with a reply of its own, until one does not end in time or all take too long."""
        begun = told = time.monotonic()
        for number, one in enumerate(request["checks"]):
            reply = self.check(one)
            now = time.monotonic()
            more = now < told + TOLD_SECONDS
            write_frame(self.channel, {"number": str(number), **reply}, more=more)
            told = told if more else now
            if reply["outcome"] == "timeout" or now > begun + request["seconds"]:
                break
        return {"outcome": "seen"}

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
