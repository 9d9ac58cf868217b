"""`grader grade --dask`: two workers over TLS, one of them killed, and who gets no work at all."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from grader import cluster_worker, process_tree, sandbox
from grader.cluster import connects, differences, full_address, given_tls, security, use_dask
from grader.cluster_pool import JudgeFault, checked
from grader.errors import GraderError
from tests.grader import tiers, toy_course
from tests.grader.test_grading import HONEST, MISTAKE, STUB_OF_ALL, run

pytestmark = pytest.mark.skipif(
    "network" not in tiers.here()[0].stops, reason="a worker needs a tier that closes the network"
)
SLOW = "import time\ntime.sleep(0.1)\n"
CLASS = {f"student-{n}": SLOW + source for n, source in enumerate([HONEST, MISTAKE] * 4)} | {
    "student-8": STUB_OF_ALL
}
MARKER = "import time\ntime.sleep(0.1)"
GUIDE = sandbox.HERE / "GRADING.md"
UNFIT = """
import sys
from grader import cluster_worker, sandbox
cluster_worker.fit_tier = lambda: sandbox.PLAIN
sys.argv = ["grader", "worker", *sys.argv[1:]]
from grader.cli import main
main()
"""


class Cluster:
    """A scheduler with its certificate, and the workers that a test starts."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.tls = certificate(folder)
        self.processes: list[subprocess.Popen] = []
        self.course = folder / "course"
        toy_course.write_toy_course(self.course)
        assert run(self.course, "release").returncode == 0
        _, said = self.start(
            self.course, "-m", "grader.cli", "scheduler", "--host", "127.0.0.1", "--port", "0"
        )
        self.address = re.search(r"tls://\S+:\d+", said).group()

    @property
    def files(self) -> list[str]:
        names = ("--tls-ca", "--tls-cert", "--tls-key")
        return [
            part
            for name, file in zip(names, (self.tls.ca, self.tls.cert, self.tls.key), strict=True)
            for part in (name, str(file))
        ]

    def start(self, course: Path, *arguments, temporary: Path | None = None) -> tuple[subprocess.Popen, str]:
        """A process, once it says that it is ready, and what it said."""
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(sandbox.HERE.parent)}
        environment |= {"TMPDIR": str(temporary)} if temporary else {}
        command = [sys.executable, *arguments, *self.files]
        process = subprocess.Popen(command, cwd=course, env=environment, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        said = process.stderr.readline()
        assert said.rstrip().endswith("ready"), said + process.stderr.read()
        return process, said

    def worker(self, course: Path, script: tuple = ("-m", "grader.cli", "worker"), **options):
        return self.start(course, *script, self.address, "--workers", "1", **options)[0]

    def stop(self, process: subprocess.Popen) -> int:
        process.terminate()
        process.communicate(timeout=60)
        self.processes.remove(process)
        return process.returncode

    def grade(self, to: Path, *more, **options) -> subprocess.CompletedProcess:
        return run(self.course, *self.command(to, *more), **options)

    def command(self, to: Path, *more) -> list[str]:
        given = ["grade", self.folder / "submissions", "--to", to, "--seed", "7", *more]
        return [*map(str, given), "--dask", self.address, *self.files]


def certificate(folder: Path):
    """Made by the line in GRADING.md."""
    [line] = re.findall(r"^    (openssl req .+)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    folder.mkdir(exist_ok=True)
    subprocess.run(shlex.split(line), cwd=folder, check=True, capture_output=True)
    own = folder / "grading.crt"
    return given_tls(own, own, folder / "grading.key")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def alone(cluster) -> Path:
    """The results of the same class on one machine."""
    for student, source in CLASS.items():
        path = cluster.folder / "submissions" / student / "sums.py"
        path.parent.mkdir(parents=True)
        path.write_text(source)
    given = ("--to", cluster.folder / "alone", "--seed", "7", "--workers", "1")
    assert run(cluster.course, "grade", cluster.folder / "submissions", *given).returncode == 0
    return cluster.folder / "alone"


def reports(results: Path) -> dict[str, dict]:
    """All reports without their times."""
    found = {}
    for path in results.glob("*/ch1.json"):
        found[path.parent.name] = report = json.loads(path.read_text())
        del report["times"]
        for check in report["checks"]:
            del check["seconds"]
    return found


def wait_for_reports(results: Path, number: int, process: subprocess.Popen) -> None:
    while len(list(results.glob("*/ch1.json"))) < number:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


def begin(cluster, results: Path) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(sandbox.HERE.parent)}
    command = [sys.executable, "-m", "grader.cli", *cluster.command(results)]
    return subprocess.Popen(
        command,
        cwd=cluster.course,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_workers_and_commands_change_no_grade(cluster, alone, tmp_path):
    temporary = [tmp_path / "first", tmp_path / "second"]
    for folder in temporary:
        folder.mkdir()
    first, second = (cluster.worker(cluster.course, temporary=folder) for folder in temporary)

    running = begin(cluster, tmp_path / "results")
    wait_for_reports(tmp_path / "results", 2, running)
    proc = process_tree.open_proc()
    family = process_tree.descendants(first.pid, proc)
    os.close(proc)
    first.kill()
    first.wait()
    said = running.communicate(timeout=300)[1]
    assert running.returncode == 0 and "has gone; what it had under way is done again" in said
    assert (tmp_path / "results" / "grades.csv").read_bytes() == (alone / "grades.csv").read_bytes()
    assert reports(tmp_path / "results") == reports(alone)
    log = [json.loads(line) for line in (tmp_path / "results" / "log.jsonl").read_text().splitlines()]
    assert sorted(line["student"] for line in log if line["event"] == "graded") == sorted(CLASS)
    assert len(family) > 1 and not [pid for pid in family if is_alive(pid)]

    times = times_begun(cluster)
    again = [key for key, number in times.items() if number > 1]
    assert len(times) == len(CLASS) and 1 <= len(again) <= 4  # no more than were handed out at the time
    assert not any(student in key for key in times for student in CLASS)

    running = begin(cluster, tmp_path / "resumed")
    wait_for_reports(tmp_path / "resumed", 2, running)
    running.kill()
    running.communicate()
    done = cluster.grade(tmp_path / "resumed")
    assert done.returncode == 0, done.stderr
    assert int(re.search(r"(\d+) unchanged", done.stdout).group(1)) >= 2
    assert (tmp_path / "resumed" / "grades.csv").read_bytes() == (alone / "grades.csv").read_bytes()

    assert cluster.stop(second) == 0
    assert list(temporary[1].iterdir()) == []  # the one that was killed leaves a folder, and nothing in it
    left = [path for path in temporary[0].rglob("*") if path.is_file()]
    assert not [path for path in left if MARKER.encode() in path.read_bytes() or path.stat().st_size > 100]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def times_begun(cluster) -> dict[str, int]:
    """How often each task was handed to a worker, by the scheduler's own log."""
    use_dask()
    from distributed import Client

    with Client(cluster.address, security=security(cluster.tls), set_as_default=False) as client:
        log = client.run_on_scheduler(
            lambda dask_scheduler: [(line[0], line[2]) for line in dask_scheduler.transition_log]
        )
    keys = [key for key, state in log if state == "processing"]
    return {key: keys.count(key) for key in keys}


def test_only_fit_workers_get_work_and_the_others_hear_why(cluster, alone, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(cluster.course, other)
    hidden = other / "tests" / "ch1" / "test_sums.py"
    hidden.write_text(hidden.read_text() + "\n")
    unfit = [cluster.worker(other), cluster.worker(cluster.course, ("-c", UNFIT))]

    done = cluster.grade(tmp_path / "results")
    [line] = [line for line in done.stderr.splitlines() if line.startswith("grader:")]
    assert done.returncode == 2 and "no worker" in line and "Traceback" not in done.stderr
    assert "its checks and solutions of ch1 differ" in line
    assert "its tier, plain, leaves the network open" in line
    assert not (tmp_path / "results").exists()
    for process in unfit:
        assert cluster.stop(process) == 0
    done = cluster.grade(tmp_path / "results")
    assert done.returncode == 2 and "has no workers" in done.stderr


def test_the_scheduler_says_nothing_without_a_certificate(cluster, tmp_path):
    use_dask()
    from distributed import Client

    with Client(cluster.address, security=security(cluster.tls), set_as_default=False) as client:
        port = client.scheduler_info()["services"]["dashboard"]
    for page in ("info/main/workers.html", "json/counts.json", "metrics", "sysmon", ""):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5)
    stranger = security(certificate(tmp_path))
    with pytest.raises(GraderError, match="do not trust each other"):
        asyncio.run(connects(cluster.address, stranger))


@pytest.mark.parametrize("command", ["grade", "worker", "scheduler"])
def test_without_tls_there_is_no_cluster(cluster, command, tmp_path):
    given = {"grade": ["tests", "--to", tmp_path / "r", "--dask", "localhost"], "worker": ["localhost"]}
    done = run(cluster.course, command, *given.get(command, []))
    assert done.returncode == 2 and done.stderr.startswith("grader: a cluster without TLS is refused")
    assert len(done.stderr.splitlines()) == 1


def test_addresses_and_files_that_are_refused(tmp_path):
    assert full_address("judge") == full_address("tls://judge:8786") == "tls://judge:8786"
    with pytest.raises(GraderError, match="tcp://judge:1 is not encrypted"):
        full_address("tcp://judge:1")
    made = certificate(tmp_path)
    with pytest.raises(GraderError, match=r"there is no .*other\.crt"):
        given_tls(tmp_path / "other.crt", made.cert, made.key)
    with pytest.raises(GraderError, match="no certificate"):
        security(given_tls(GUIDE, made.cert, made.key))
    made.key.chmod(0o640)
    with pytest.raises(GraderError, match="chmod 600"):
        given_tls(made.ca, made.cert, made.key)


def test_a_worker_is_refused_where_the_network_is_open(cluster, monkeypatch):
    monkeypatch.chdir(cluster.course)
    plain = sandbox.Tier("plain", "", frozenset({"memory"}), "bubblewrap is not installed")
    monkeypatch.setattr(cluster_worker, "best_tier", lambda: plain)
    with pytest.raises(GraderError, match=r"would reach the network.*bubblewrap is not installed"):
        cluster_worker.work(cluster.address, cluster.tls, 1)


def test_without_dask_the_way_to_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(GraderError, match=r"pip install -e \"\.\[cluster\]\""):
        use_dask()


def test_differences_are_named():
    here = {"torch": "2.13.0", "modules of grader/": "a" * 32, "numpy": "2.4.6"}
    there = here | {"torch": "2.12.1", "modules of grader/": "b" * 32}
    assert differences(there, here) == [
        "torch is 2.12.1 there and 2.13.0 here",
        "its modules of grader/ differ",
    ]
    assert differences(here, here) == []


def test_what_comes_back_is_the_report_that_was_asked_for(alone):
    report = json.loads((alone / "student-1" / "ch1.json").read_text())
    asked = {name: report[name] for name in ("student", "chapter", "hashes")}

    def sent(result, **more):
        return checked(result, json.dumps(asked | more).encode())

    good = json.dumps(report).encode()
    assert sent(good) == good
    for bad, more in (
        ({"points": 100}, {}),
        (b"\x80\x05.", {}),
        (b"[]", {}),
        (json.dumps(report | {"points": "all"}).encode(), {}),
        (good, {"student": "student-2"}),
        (good, {"hashes": report["hashes"] | {"checks": "others"}}),
        (b'{"fault": "BrokenProcessPool: it ended"}', {}),
    ):
        assert isinstance(sent(bad, **more), JudgeFault)
