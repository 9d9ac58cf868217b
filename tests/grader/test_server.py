"""The worker and the judge's end of it: what comes back whatever a submission does, and what stays behind."""

import contextlib
import glob
import marshal
import os
import signal
import sys
import tempfile
import time

import pytest
import torch

from grader import confine, process_tree, sandbox
from grader.errors import GraderError
from grader.observations import pack
from grader.server import Lost, Server, ServerFault, opened
from grader.wire import FrameReader, frame
from tests.grader import tiers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")
JOB = {"chapter": "ch3", "module": "attention", "imports": ["numpy"], "earlier": []}
TIERS = tiers.here()


@pytest.fixture(scope="module", params=TIERS, ids=lambda tier: tier.name)
def warm(request):
    server = Server(request.param, JOB)
    yield server
    server.stop()


@pytest.fixture
def server(warm):
    """A server as it should be, whatever the test before did to it; and nothing of it is left afterwards."""
    warm.start()
    warm.alone = family(warm)
    yield warm
    if warm._process is not None and warm._process.pid == warm.alone[0]:
        assert left_over(warm) == []
    else:
        warm.stop()  # the test has replaced it, and a submission of the new one may still be ending


def family(server) -> list[int]:
    """The server's process and all below it."""
    proc = process_tree.open_proc()
    try:
        return [server._process.pid, *process_tree.descendants(server._process.pid, proc)]
    finally:
        os.close(proc)


def left_over(server) -> list[int]:
    """What runs below the server beside what it was when it had started, once what is ending has ended."""
    end = time.monotonic() + 2
    while True:
        left = [pid for pid in family(server) if pid not in server.alone]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.02)


def begun(server, source: str):
    """A submission that has read and imported `source`."""
    submission = server.submission()
    read = {"do": "read", "source": source, "name": "attention.py", "uses": [None]}
    assert submission.ask(read, 10)["outcome"] == "seen"
    load = {"do": "load", "pieces": [], "seconds": 5.0, "exercises": ["answer"]}
    return submission, submission.ask(load, 10)


def checked(submission, body: str, seconds: float = 5.0, wait: float = 10) -> dict:
    """The reply to a check whose function has this body."""
    source = "def look(attention, draw):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    code = marshal.dumps(compile(source, "<check>", "exec"))
    request = {"do": "check", "code": code, "function": "look", "parameters": ["attention", "draw"]}
    return submission.ask(request | {"seed": 5, "seconds": seconds, "forbidden": []}, wait)


def lost(server, source: str, body: str = "return attention.answer()", **limits) -> Lost:
    """How a submission is lost in a check, or before."""
    with pytest.raises(Lost) as raised:
        submission = None
        try:
            submission, _ = begun(server, source)
            checked(submission, body, **limits)
        finally:
            if submission:
                submission.end()
    return raised.value


def test_a_check_runs_beside_the_submission(server):
    submission, loaded = begun(
        server, "import torch\ndef answer():\n    return torch.arange(3) * 2, {'a': b'x'}\n"
    )
    assert loaded["defined"] == ["answer"]
    reply = checked(submission, "return attention.answer()")
    numbers, rest = reply["observation"]
    assert torch.equal(numbers, torch.tensor([0, 2, 4])) and rest == {"a": b"x"}
    assert submission.end()


def test_what_it_draws_is_what_the_judge_draws(server):
    from grader.draw import Draw

    submission, _ = begun(server, "")
    assert torch.equal(checked(submission, "return draw.normal(5)")["observation"], Draw(5).normal(5))
    submission.end()


def test_its_exceptions_come_back_with_its_lines(server):
    submission, _ = begun(server, "def answer():\n    x = 1\n    return x / 0\n")
    reply = checked(submission, "return attention.answer()")
    assert reply["outcome"] == "error"
    assert reply["fault"] == ["ZeroDivisionError", "division by zero", [["attention.py", 3, "answer"]]]
    submission.end()


def test_a_module_that_cannot_be_imported(server):
    submission, reply = begun(server, "x = 1\nraise SystemExit(0)\n")
    assert reply["outcome"] == "error" and reply["fault"][2] == [["attention.py", 2, "<module>"]]
    submission.end()
    submission = server.submission()
    reply = submission.ask({"do": "read", "source": "def f(:\n", "name": "attention.py", "uses": [None]}, 10)
    assert reply["outcome"] == "error" and reply["fault"][0] == "SyntaxError"
    submission.end()


def test_earlier_chapters_are_there_and_later_ones_are_not():
    job = JOB | {
        "earlier": [
            ["ch1", "tokenizer", "WORDS = 7\n"],
            ["ch2", "inputs", "from ..ch1.tokenizer import WORDS\n"],
        ]
    }
    server = Server(TIERS[-1], job)
    submission, _ = begun(
        server,
        """
from ..ch2.inputs import WORDS
def answer():
    from exercises.ch1 import tokenizer
    return WORDS, tokenizer.WORDS
""",
    )
    assert checked(submission, "return attention.answer()")["observation"] == (7, 7)
    submission.end()
    submission, reply = begun(server, "from ..ch4.block import LayerNorm\n")
    assert reply["fault"][0] == "ModuleNotFoundError"
    submission.end()
    server.stop()


def test_two_submissions_see_nothing_of_one_another(server):
    first, _ = begun(
        server,
        """
import sys, torch
sys.planted = 1
torch.softmax = None
open('/tmp/left-by-a-submission', 'w').write('x')
""",
    )
    first.end()
    source = """
import os, sys, torch
def answer():
    left = os.path.exists('/tmp/left-by-a-submission')
    return hasattr(sys, 'planted'), torch.softmax is None, left
"""
    second, _ = begun(server, source)
    assert checked(second, "return attention.answer()")["observation"] == (False, False, False)
    second.end()


def test_what_is_printed_is_kept_up_to_a_cap(server):
    submission, _ = begun(server, "def answer():\n    print('x' * 1_000_000)\n    return 1\n")
    assert checked(submission, "return attention.answer()")["observation"] == 1
    submission.end()
    assert submission.printed.startswith("xxx") and submission.printed.endswith("[more was printed]")
    assert len(submission.printed) < 100_000


def test_a_soft_time_limit_names_the_line(server):
    submission, _ = begun(server, "def answer():\n    while True:\n        pass\n")
    reply = checked(submission, "return attention.answer()", seconds=0.3)
    assert reply["outcome"] == "timeout" and reply["fault"][2][0][0] == "attention.py"
    submission.end()


@pytest.mark.parametrize(
    "how, source",
    [
        ("died", "import os\ndef answer():\n    os._exit(0)\n"),
        ("died", "import ctypes\ndef answer():\n    ctypes.string_at(0)\n"),
        ("late", "def answer():\n    sum(range(10 ** 12))\n"),  # in C, where no exception of ours gets in
        ("malformed", "import os\ndef answer():\n    os.write(3, b'\\xff' * 100)\n"),
        ("malformed", "import os\ndef answer():\n    os.write(3, (9).to_bytes(8, 'big') + b'x' * 9)\n"),
        ("died", "import os\ndef answer():\n    os.write(3, b'\\0' * 5)\n    os._exit(0)\n"),
        ("late", "import os, time\ndef answer():\n    os.close(3)\n    time.sleep(60)\n"),
    ],
)
def test_it_is_lost_and_the_next_one_is_not(server, how, source):
    found = lost(server, source, seconds=0.3, wait=1.0)
    assert found.how in (how, "died"), str(found)
    submission, _ = begun(server, "def answer():\n    return 5\n")
    assert checked(submission, "return attention.answer()")["observation"] == 5
    submission.end()


def test_memory_ends_it(server):
    found = "import torch\ndef answer():\n    return [torch.ones(1 << 27) for _ in range(40)]\n"
    submission, _ = begun(server, found)
    try:
        reply = checked(submission, "return attention.answer()")
        assert reply["outcome"] == "error" and "memory" in reply["fault"][1]
    except Lost as ended:
        assert ended.how == "memory"
    submission.end()


def test_memory_of_several_processes_together_ends_it(monkeypatch):
    monkeypatch.setattr(confine, "Limits", lambda **given: LIMITS(**({"memory": 512 << 20} | given)))
    server = Server(TIERS[0], JOB)
    source = """
import os, time
def answer():
    for _ in range(4):
        if os.fork() == 0:
            hoard = bytearray(os.urandom(1 << 20)) * 250
            time.sleep(30)
    time.sleep(30)
"""
    assert lost(server, source, seconds=20.0, wait=25.0).how == "memory"
    server.stop()


LIMITS = confine.Limits


def test_what_it_starts_ends_with_it(server):
    source = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def answer():
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            while True:
                time.sleep(0.1)
    return 1
"""
    submission, _ = begun(server, source)
    assert checked(submission, "return attention.answer()")["observation"] == 1
    assert len(left_over(server)) >= 3
    assert submission.end()
    assert left_over(server) == []


def test_a_dead_server_is_replaced(server):
    submission = server.submission()
    submission.end()
    server_process = worker_of(server)
    os.kill(server_process, signal.SIGKILL)
    time.sleep(0.2)
    with contextlib.suppress(ServerFault):  # found out at the first use, or before
        server.submission().end()
    submission, _ = begun(server, "def answer():\n    return 5\n")
    submission.end()
    assert server_process not in family(server)


def worker_of(server) -> int:
    """The fork server itself: the last of its processes while it has no submission."""
    return server.alone[-1]


def test_a_stopped_server_is_noticed(server, monkeypatch):
    os.kill(worker_of(server), signal.SIGSTOP)
    assert not server_answers(server)
    server.stop()
    submission, _ = begun(server, "")
    submission.end()


def server_answers(server) -> bool:
    submission = server.submission()
    try:
        submission.ask({"do": "canary"}, 0.5)
    except Lost:
        return False
    finally:
        for end in (submission._channel, submission._output, submission._leash):
            end.close()
    return True


def test_a_poisoned_server_is_noticed(server):
    assert server.is_sound()
    poisoned = Server(
        server.tier,
        JOB | {"earlier": [["ch1", "tokenizer", "import torch\ntorch.Tensor.tril = torch.Tensor.abs\n"]]},
    )
    assert not poisoned.is_sound()
    poisoned.stop()


def test_stopping_leaves_nothing(server):
    begun(server, "import os, time\nif os.fork() == 0:\n    time.sleep(60)\n")
    proc = process_tree.open_proc()
    running = family(server)
    assert len(running) > len(server.alone)
    server.stop()
    deadline = time.monotonic() + 5
    while any(process_tree.memory_of(pid, proc)[0] for pid in running) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in running if process_tree.memory_of(pid, proc)[0]]
    os.close(proc)
    server.start()


# ---- what is behind the wall ----


def test_the_worker_has_no_module_that_knows_answers():
    names = {path.stem for path in sandbox.worker_files()}
    assert {"worker", "observe", "draw", "wire"} <= names
    assert not names & {
        "answers",
        "verdicts",
        "compare",
        "judge",
        "misconceptions",
        "suites",
        "seeds",
        "chapters",
    }


def test_a_better_tier_sees_neither_the_course_nor_the_network(server):
    if "reading" not in server.tier.stops:
        pytest.skip(f"not stopped by {server.tier.name}, as its words say")
    course = os.path.realpath(os.path.join(os.path.dirname(sandbox.__file__), ".."))
    server.hidden = ()
    hiding = Server(server.tier, JOB, (sandbox.HERE.parent,))
    source = f"""
import os, socket
def answer():
    try:
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    except OSError as error:
        network = type(error).__name__
    devices = len(open("/proc/net/dev").readlines()) - 2 if os.path.exists("/proc/net/dev") else 1
    return os.path.exists({os.path.join(course, "solutions")!r}), devices, sorted(os.environ)
"""
    submission, _ = begun(hiding, source)
    seen, devices, names = checked(submission, "return attention.answer()")["observation"]
    assert not seen and devices == 1  # the loopback alone
    assert not set(names) - {*sandbox.environment(), "PWD", "LC_CTYPE"}
    submission.end()
    hiding.stop()


# ---- frames ----


def test_frames_are_put_together_from_pieces():
    reader, tree = FrameReader(), {"number": "c0ffee", "a": [1, (2.5, b"x")], "t": torch.arange(4)}
    data = frame(tree)
    assert [reader.feed(data[i : i + 1]) for i in range(len(data) - 1)] == [None] * (len(data) - 1)
    number, seen = reader.feed(data[-1:])
    assert number == b"c0ffee"
    seen = opened(seen)
    assert seen["a"] == tree["a"] and torch.equal(seen["t"], tree["t"])


def test_a_frame_that_says_it_is_huge_is_refused_before_it_is_read():
    from grader.observations import MalformedObservation

    with pytest.raises(MalformedObservation, match="bytes"):
        FrameReader().feed((1 << 40).to_bytes(8, "big"))


@pytest.mark.parametrize("tier", TIERS, ids=lambda tier: tier.name)
def test_packages_in_a_temporary_folder_are_seen(tier, tmp_path, monkeypatch):
    packages = tmp_path / "packages"
    packages.mkdir()
    packages.joinpath("at_once.py").write_text("ANSWER = 7\n")
    packages.joinpath("late.py").write_text("ANSWER = 8\n")
    paths = [*sandbox._path(), str(packages)]
    monkeypatch.setattr(sandbox, "_path", lambda: paths)
    server = Server(tier, JOB | {"imports": ["at_once"]})
    try:
        submission, reply = begun(
            server, "import at_once\ndef answer():\n    import late\n    return late.ANSWER"
        )
        assert reply["outcome"] == "seen"
        assert checked(submission, "return attention.answer()")["observation"] == 8
    finally:
        server.stop()


# ---- several checks at once ----


def asked_together(server, source: str, bodies: list[str], seconds: float = 5.0, **limits) -> list[dict]:
    """The replies to checks whose functions have these bodies."""
    submission, _ = begun(server, source)
    checks = []
    for body in bodies:
        code = marshal.dumps(compile(f"def look(attention, draw):\n    {body}\n", "<check>", "exec"))
        one = {"do": "check", "code": code, "function": "look", "parameters": ["attention", "draw"]}
        checks.append(one | {"seed": 5, "seconds": seconds, "forbidden": []})
    request = pack({"do": "checks", "checks": checks, "seconds": 3.0})
    try:
        given = {"seconds": seconds + 1, "all_seconds": 20.0} | limits
        return [opened(reply) for reply in submission.ask_several(request, len(bodies), **given)]
    finally:
        submission.end()


def test_several_checks_have_their_replies_in_order(server):
    source = "def answer(x):\n    return x + 1\n"
    bodies = ["return attention.answer(1)", "return attention.nothing", "return attention.answer(2)"]
    first, second, third = asked_together(server, source, bodies)
    assert (first["observation"], third["observation"]) == (2, 3)
    assert second["fault"][0] == "AttributeError"


def test_replies_that_fill_the_socket_many_times_over_arrive(server):
    source = "import torch\ndef answer(x):\n    return torch.full((300_000,), float(x))\n"
    replies = asked_together(server, source, [f"return attention.answer({n})" for n in range(6)])
    assert [reply["observation"][-1].item() for reply in replies] == [0, 1, 2, 3, 4, 5]


def test_one_that_does_not_end_is_the_last_of_several(server):
    source = "def answer(x):\n    while x:\n        pass\n    return x\n"
    bodies = [f"return attention.answer({x})" for x in (0, 0, 1, 0)]
    replies = asked_together(server, source, bodies, seconds=0.4)
    assert [reply["outcome"] for reply in replies] == ["seen", "seen", "timeout"]


def test_several_that_take_long_together_are_not_all_run(server):
    source = "import time\ndef answer(x):\n    time.sleep(1.2)\n    return x\n"
    replies = asked_together(server, source, [f"return attention.answer({x})" for x in range(5)])
    assert [reply["observation"] for reply in replies] == [0, 1, 2]


def test_who_replies_slowly_for_ever_is_lost(server):
    source = "import time\ndef answer(x):\n    time.sleep(0.4)\n    return x\n"
    with pytest.raises(Lost) as raised:
        asked_together(server, source, ["return attention.answer(1)"] * 9, seconds=1.0, all_seconds=1.0)
    assert raised.value.how == "late"


def test_one_of_several_that_leaves_takes_the_others_along(server):
    source = "import os\ndef answer(x):\n    return x or os._exit(0)\n"
    with pytest.raises(Lost) as raised:
        asked_together(server, source, [f"return attention.answer({x})" for x in (1, 0, 1)])
    assert raised.value.how == "died"


# ---- without a fork server, as on macOS ----


@pytest.fixture
def started():
    server = Server(sandbox.PLAIN, JOB)
    server.forks = False
    yield server
    server.stop()


def folders() -> set[str]:
    return set(glob.glob(os.path.join(tempfile.gettempdir(), "submission-*")))


def test_a_process_of_its_own_answers_and_is_gone_afterwards(started):
    before = folders()
    source = "import os, tempfile\ndef answer():\n    print('hello')\n    open('left', 'w').close()\n"
    submission, loaded = begun(started, source + "    return os.getpid(), tempfile.mkdtemp()\n")
    assert loaded["defined"] == ["answer"]
    pid, folder = checked(submission, "return attention.answer()")["observation"]
    assert os.path.isdir(folder)
    assert submission.end() and "hello" in submission.printed
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert folders() == before


@pytest.mark.parametrize(
    "how, says, source",
    [
        ("died", "exit code 3", "import os\ndef answer():\n    os._exit(3)\n"),
        ("died", "SIGSEGV", "import ctypes\ndef answer():\n    ctypes.string_at(0)\n"),
        ("late", "no reply", "def answer():\n    sum(range(10 ** 12))\n"),
    ],
)
def test_a_process_of_its_own_is_lost(started, how, says, source):
    found = lost(started, source, seconds=0.3, wait=1.0)
    assert found.how == how and says in str(found)


def test_what_a_process_of_its_own_forks_ends_with_it(started):
    source = "import os, time\nchild = os.fork()\nif child == 0:\n    time.sleep(60)\n"
    submission, _ = begun(started, source + "def answer():\n    return child\n")
    child = checked(submission, "return attention.answer()")["observation"]
    submission.end()
    proc = process_tree.open_proc()
    deadline = time.monotonic() + 2
    while process_tree.memory_of(child, proc)[0] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not process_tree.memory_of(child, proc)[0]
    os.close(proc)


def test_a_process_of_its_own_that_does_not_start_is_nobodys_fault(started):
    started.job["earlier"] = [["ch1", "tokenizer", "import nowhere\n"]]
    with pytest.raises(ServerFault, match="does not start: ModuleNotFoundError: No module named 'nowhere'"):
        started.submission()


def test_windows_is_told_where_grading_works(monkeypatch):
    monkeypatch.setattr(sandbox.os, "name", "nt")
    with pytest.raises(GraderError, match="inside WSL"):
        sandbox.best_tier()
