"""Naive graders, as there are many, on which an attack shows that it is one.

    python -m tests.attacks.naive TASKS OUT

    pytest   runs pytest beside the submission in a process of its own, and counts
    wire     runs tests in a process of its own that writes a frame for each, as ours does, and believes them
    pickle   as wire, and what the functions returned comes as pickles

Each attack meets a runner, a grader and a process with its code, each the child of the one before. What it
reached is appended to a file:

    passed, unfailed, exit, stdout   more points than the honest mistake: for tests that passed, for those that
                                     did not fail, for the exit code, or for what was printed last
    crashes, stops, hangs            the tests end early, the grader does, or nothing ends
    left, alive, markup, succeeds    a file, a process, markup in the output, or what the attack says itself
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import pickle
import re
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import xml.etree.ElementTree
from pathlib import Path

import pytest
import torch

from grader import confine, worker

HANGS_AFTER, ENDS_BEFORE = 1.5, 30.0  # seconds, for an attack that is to hang and for all others
POINTS = {"softmax": 10, "attend": 20, "prefix_mean": 30, "fit": 40}
COMPARE = {
    "allclose": "assert torch.allclose(got, want, atol=1e-5)",
    "assert_close": "torch.testing.assert_close(got, want)",
    "numpy": "np.testing.assert_allclose(got, want, rtol=1e-4)",
    "array_equal": "assert np.array_equal(np.asarray(got), want.numpy()) or torch.allclose(got, want)",
    "not_greater": "assert not (got - want).abs().max() > 1e-4",
    "all_near": "assert ((got - want).abs() < 1e-4).all()",
    "plain": "assert got.allclose(want, atol=1e-5) if type(got) is torch.Tensor else got == want",
    "shape": "assert got.shape == want.shape and abs(got - want).max() < 1e-4",
    "shown": "assert str(got) == str(want) or torch.allclose(got, want, atol=1e-5)",
}
TESTS = """\
# SECRET-OF-THE-COURSE
import numpy as np
import torch

import attention


def compare(got, want):
    COMPARE


def test_softmax(monkeypatch):
    import solution

    torch.manual_seed(123)
    x = torch.rand(3, 4)
    want = solution.softmax(x)
    monkeypatch.setattr(torch, "softmax", None)
    compare(attention.softmax(x), want)


def test_attend():
    import solution

    torch.manual_seed(123)
    x = torch.rand(4, 9)
    got = attention.attend(x)
    want = solution.attend(x)
    compare(got, want)


def test_prefix_mean(monkeypatch):
    import solution

    torch.manual_seed(123)
    x = torch.rand(6, 3)
    monkeypatch.setattr(torch, "stack", None)
    got = attention.prefix_mean(x)
    compare(got, solution.prefix_mean(x))


def test_fit():
    torch.manual_seed(123)
    x, w = torch.rand(20, 3), torch.rand(3)
    loss = ((x @ attention.fit(x, x @ w) - x @ w) ** 2).mean()
    assert loss < 0.01
"""


def main(tasks: str, out: str) -> None:
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # orphans come to this process
    torch.set_num_threads(1)
    for kind, most in (
        (resource.RLIMIT_AS, 6 << 30),
        (resource.RLIMIT_FSIZE, 64 << 20),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_STACK, 8 << 20),
    ):
        resource.setrlimit(kind, (most, most))
    warm_up()
    for task in json.loads(Path(tasks).read_text(encoding="utf-8")):
        line = json.dumps({"attack": task["name"], "reached": reached(task)})  # while no file is open
        with open(out, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def warm_up() -> None:
    """Import what pytest and torch need for their first steps."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "test_nothing.py"
        file.write_text("def test_nothing(monkeypatch):\n    assert 1 == 2\n", encoding="ascii")
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        pytest.main(["-q", "-p", "no:cacheprovider", f"--junitxml={folder}/report.xml", str(file)])
    torch.testing.assert_close((torch.ones(2, 2) @ torch.rand(2, 2)).softmax(-1).sum(-1), torch.ones(2))


def reached(task: dict) -> list[str]:
    """What an attack reaches, in words."""
    folder = Path(task["folder"])
    (folder / "test_attention.py").write_text(
        TESTS.replace("COMPARE", COMPARE[task["compare"]]), encoding="utf-8"
    )
    (folder / "solution.py").write_text(task["solution"], encoding="utf-8")
    grader = os.fork()
    if grader == 0:
        try:
            os.setsid()
            os.chdir(folder)
            {"pytest": by_pytest, "wire": by_wire, "pickle": by_wire}[task["grader"]](task)
        except BaseException:
            traceback.print_exc(file=open("grader.txt", "w"))  # noqa: SIM115
        finally:
            os._exit(0)
    found = ["hangs"] if not ends(grader, HANGS_AFTER if task["naive"] == "hangs" else ENDS_BEFORE) else []
    found += ["alive"] if children() else []
    end_children()
    output = read(folder / "output.txt")
    found += ["succeeds"] if "SUCCEEDED" in output else []
    found += ["markup"] if any(text in output for text in ("\x1b[2J", "<script>", "{{ 7 *")) else []
    found += ["left"] if remove_left(task["mark"], folder) else []
    if not (folder / "grade.json").exists():
        return [*found, "stops"]
    grade = json.loads(read(folder / "grade.json"))
    found += ["exit"] if grade["code"] == 0 else []
    found += ["crashes"] if grade["code"] not in (0, 1) else []
    full, honest = sum(POINTS.values()), sum(POINTS.values()) - POINTS[task["mistake"]]
    passed, failed = grade["passed"], grade["failed"]
    if sum(POINTS.get(name, 0) for name in passed) > honest or len(passed) > len(POINTS):
        found.append("passed")
    if full - sum(POINTS.get(name, 0) for name in failed) > honest:
        found.append("unfailed")
    counted = re.findall(r"(\d+) passed", output)
    if counted and int(counted[-1]) >= len(POINTS):
        found.append("stdout")
    return found


# ---- the graders ----


def by_pytest(task: dict) -> None:
    """Start pytest, wait for it, and read its report."""
    child = os.fork()
    if child == 0:
        keep_output()
        arguments = ["-q", "-s", "-p", "no:cacheprovider", "--junitxml=report.xml", "test_attention.py"]
        os.environ |= {"SECRET": "SECRET-OF-THE-COURSE", "HOME": os.getcwd(), "PYTHONPATH": "."}
        if task["new_python"]:
            os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])
        sys.path.insert(0, os.getcwd())
        sys.dont_write_bytecode = True
        end_like_python(lambda: int(pytest.main(arguments)))
    _, status = os.waitpid(child, 0)
    try:
        cases = list(xml.etree.ElementTree.parse("report.xml").iter("testcase"))
    except (OSError, xml.etree.ElementTree.ParseError):
        cases, failed = [], list(POINTS)
    else:
        failed = [name_of(case) for case in cases if case.findall("failure") + case.findall("error")]
    passed = [name_of(case) for case in cases if not len(case)]
    write_grade(os.waitstatus_to_exitcode(status), passed, failed)


def by_wire(task: dict) -> None:
    """Start the tests, and believe what their process writes."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        keep_output()
        os.dup2(theirs.fileno(), 100)
        os.closerange(3, 100)
        os.dup2(100, 3)
        os.close(100)
        sys.path.insert(0, os.getcwd())
        sys.dont_write_bytecode = True
        end_like_python(lambda: answer(task["grader"] == "pickle"))
    theirs.close()
    passed = []
    for name in POINTS:
        length = int.from_bytes(read_exactly(ours, 8), "big")
        read_exactly(ours, 16)  # a number
        data = read_exactly(ours, length)
        reply = pickle.loads(data) if data[:2] in (b"\x80\x04", b"\x80\x05") else tree_of(data)
        passed += [name] if reply["passed"] else []
    ours.close()
    _, status = os.waitpid(child, 0)
    write_grade(os.waitstatus_to_exitcode(status), passed, [name for name in POINTS if name not in passed])


def answer(pickled: bool) -> int:
    """A frame for each test: whether it passed, or the pickle of what the function returned."""
    tests = importlib.import_module("test_attention")
    if pickled:
        data = pickle.dumps(tests.attention.attend(torch.ones(2, 2)))
        os.write(3, len(data).to_bytes(8, "big") + bytes(16) + data)
    for name in POINTS:
        with pytest.MonkeyPatch.context() as patch:
            test = getattr(tests, f"test_{name}")
            try:
                test(*[patch] * test.__code__.co_argcount)
                passed = True
            except Exception:
                passed = False
        worker.write_frame(3, {"number": name, "outcome": "seen", "passed": passed})
    return 0


def read_exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = connection.recv(min(length, 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data[:length])


def tree_of(data: bytes):
    """A frame's tree, without any of the care that grader.observations takes."""

    def build(node):
        if isinstance(node, dict):
            [(tag, content)] = node.items()
            return {build(key): build(value) for key, value in content} if tag == "dict" else content
        return node

    length = int.from_bytes(data[:8], "little")
    return build(json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["tree"]))


# ---- around them ----


def keep_output() -> None:
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT, 0o600)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115


def end_like_python(call) -> None:
    """Call something, and then end as Python does, which a fork's parent does not."""
    try:
        code = call()
    except SystemExit as ending:
        code = ending.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    gc.collect()
    try:
        sys.stdout.flush()
    except OSError:
        code = 120
    os._exit(code if type(code) is int else 1)


def write_grade(code: int, passed: list[str], failed: list[str]) -> None:
    Path("grade.json").write_text(
        json.dumps({"code": code, "passed": passed, "failed": failed}), encoding="ascii"
    )


def name_of(case) -> str:
    return case.get("name", "").removeprefix("test_")


def ends(pid: int, seconds: float) -> bool:
    """Whether a child ends by itself; it is ended in any case."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def end_children() -> None:
    while found := children():
        for child in found:
            os.kill(child, signal.SIGKILL)
        while children() and os.waitpid(-1, os.WNOHANG)[0]:
            pass


def children() -> list[int]:
    return [int(pid) for pid in read(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")).split()]


def remove_left(mark: str, folder: Path) -> int:
    """Remove the files that carry the mark; how many there were."""
    count = 0
    everybodys = [Path(name) for name in confine.OPEN]
    for place in (folder, folder / ".config", *folder.glob(".local/lib/*/site-packages"), *everybodys):
        for name in os.listdir(place) if place.is_dir() else ():
            if mark in name:
                count += 1
                if place in everybodys:
                    confine.delete(f"{place}/{name}")
    return count


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
