"""Every attack on the real judge, on every tier that this machine offers, and on a naive grader.

The tiers are graded beside each other, each in a process of its own (batch.py); here it is asserted what came of
it. As root, an ordinary user's tiers are tried as another user.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from grader import confine, sandbox
from tests.attacks.attack import HERE, all_attacks
from tests.attacks.toy_course import POINTS, SOLUTION, write_course

REPOSITORY = HERE.parents[1]
CHECK_SECONDS = 0.5
BATCH_SECONDS = 600
ATTACKS = {str(attack): attack for attack in all_attacks()}
CONTROLS = {"honest": 100} | POINTS
ABOUT_THE_WALL = {"reading", "hitting_back", "network", "exhausting"}  # for what differs in little else

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the tiers of other systems claim nothing")


def tiers_here() -> dict[str, tuple[str, bool]]:
    """By name: the tier, and whether another user than this one tries it."""
    root = os.geteuid() == 0
    found = {"plain": ("plain", root)}
    if sandbox.why_not_bubblewrap() is None:
        found["bubblewrap"] = ("bubblewrap", root)
    if root:
        if "bubblewrap" in found:
            found["bubblewrap as root"] = ("bubblewrap", False)
        for name, tier in (("other user", sandbox.OTHER_USER), ("other user only", sandbox.OTHER_USER_ONLY)):
            if sandbox._try(tier) is None:
                found[name] = (name, False)
    return found


TIERS = tiers_here() if sys.platform == "linux" else {}
STOPS = {
    "plain": sandbox.PLAIN.stops,
    "bubblewrap": sandbox.BUBBLEWRAP.stops,
    "other user": sandbox.OTHER_USER.stops,
    "other user only": sandbox.OTHER_USER_ONLY.stops,
}


def attacks_on(tier: str) -> list[str]:
    """The attacks that are run on a tier: all that it claims to stop, and of the others the harmless ones."""
    stops = STOPS[TIERS[tier][0]]
    wanted = [name for name, attack in ATTACKS.items() if attack.stops <= stops or attack.harmless]
    if tier in ("bubblewrap as root", "other user only"):  # the wall is another one, what is behind it is not
        wanted = [name for name in wanted if ATTACKS[name].kind in ABOUT_THE_WALL]
    return wanted


CASES = [(tier, name) for tier in TIERS for name in attacks_on(tier)]


class Ground:
    """The folders, ports and processes of one test run."""

    def __init__(self):
        self.mark = (
            f"attack-{secrets.token_hex(4)}"  # how the name of every file begins that an attack leaves
        )
        self.root = Path(tempfile.mkdtemp(prefix="attacked-"))
        self.root.chmod(0o755)
        write_course(self.root / "course", CHECK_SECONDS)
        (self.root / "course/tests/ch1/secret.py").write_text("# SECRET-OF-THE-COURSE\n", encoding="utf-8")
        self.doors = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)]
        self.doors[1].bind(f"\0{self.mark}")
        self.doors[1].listen(64)
        for door in self.doors:
            threading.Thread(target=self._answer, args=(door,), daemon=True).start()
        self.slots: list[sandbox.Slot] = []

    def _answer(self, door: socket.socket) -> None:
        while True:
            try:
                door.accept()[0].close()
            except OSError:
                return

    def places(self, folders: dict[str, Path]) -> dict[str, str]:
        """What stands for the names of places in an attack."""
        names = {
            f"{name.upper()}_FOLDER": str(folders[name]) for name in ("course", "submissions", "results")
        }
        port = str(self.doors[0].getsockname()[1])
        return names | {
            "MARK": f"{self.mark}-{folders['home'].parent.name}-left",  # none is the beginning of another's
            "PORT": port,
            "SOCKET": self.mark,
        }

    def folders(self, name: str) -> dict[str, Path]:
        """Folders for one batch, with another student's work and results in them."""
        own = self.root / name.replace(" ", "-")
        shutil.copytree(self.root / "course", own / "course")
        for folder, file, text in (
            ("submissions", "bob/attention.py", SOLUTION),
            ("results", "bob/ch1.json", "SECRET"),
            ("results", "round.json", "SECRET"),
        ):
            path = own / folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (own / "home").mkdir()
        return {name: own / name for name in ("course", "submissions", "results", "home")}

    def start(
        self, arguments: list[str], folders: dict[str, Path], as_other: bool, **more
    ) -> subprocess.Popen:
        """Start a module of ours, perhaps as another user."""
        environment = {"OMP_NUM_THREADS": "1", "HOME": str(folders["home"]), "PATH": "/usr/bin:/bin"}
        environment["PYTHONPATH"] = str(REPOSITORY)
        command = [sys.executable, "-B", "-W", "ignore", "-m", *arguments]
        if as_other:
            self.slots.append(sandbox.Slot().__enter__())
            user = self.slots[-1].user
            for path in [folders["home"].parent, *folders["home"].parent.rglob("*")]:
                os.chown(path, user, user)
            shown = [str(path) for path in [*sandbox._interpreter(), REPOSITORY, Path(sys.prefix)]]
            start = f"from grader.as_user import start; start({user}, {command!r}, {shown!r}, [])"
            command = [sys.executable, "-c", start]
        return subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdout=subprocess.DEVNULL, **more)

    def close(self) -> None:
        for door in self.doors:
            door.close()
        for slot in self.slots:
            confine.kill_all_of(slot.user)
            confine.sweep(slot.user)
            slot.__exit__()
        for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run/lock"):
            for path in Path(folder).glob(f"{self.mark}*"):
                confine.delete(str(path))
        confine.delete(str(self.root))


@pytest.fixture(scope="session")
def came():
    """What came of everything: by tier (or "naive") and attack."""
    ground = Ground()
    try:
        running = {"naive": start_naive(ground)} | {name: start_batch(ground, name) for name in TIERS}
        rows: dict[tuple[str, str], dict] = {}
        for name, (process, out) in running.items():
            try:
                _, said = process.communicate(timeout=BATCH_SECONDS)
                rows[name, "said"] = {
                    "said": said.decode(errors="replace")[-3000:],
                    "code": process.returncode,
                }
            except subprocess.TimeoutExpired:
                process.kill()
                rows[name, "said"] = {"said": "it did not end", "code": None}
            for line in out.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                rows[name, row["attack"]] = row
        if "KEEP_ATTACKS" in os.environ:
            Path(os.environ["KEEP_ATTACKS"]).write_text(
                json.dumps([[*key, row] for key, row in rows.items()])
            )
        yield rows
    finally:
        ground.close()


def start_batch(ground: Ground, name: str) -> tuple[subprocess.Popen, Path]:
    folders = ground.folders(name)
    tier, as_other = TIERS[name]
    order, out = folders["home"] / "order.json", folders["home"] / "came.jsonl"
    out.touch()
    told = {"tier": tier, "attacks": attacks_on(name), "places": ground.places(folders), "out": str(out)}
    told["folders"] = {name: str(path) for name, path in folders.items()}
    order.write_text(json.dumps(told), encoding="utf-8")
    return ground.start(["tests.attacks.batch", str(order)], folders, as_other, stderr=subprocess.PIPE), out


def start_naive(ground: Ground) -> tuple[subprocess.Popen, Path]:
    folders = ground.folders("naive")
    out = folders["home"] / "came.jsonl"
    out.touch()
    tasks = []
    for name, attack in ATTACKS.items():
        folder = folders["home"] / name.replace("/", "-")
        places = ground.places(folders) | {"COURSE_FOLDER": str(folder)}
        attack.hand_in(folder, places)
        task = {"name": name, "folder": str(folder), "solution": SOLUTION, "mistake": attack.mistake}
        task |= {"compare": attack.compare, "grader": attack.grader, "new_python": attack.new_python}
        tasks.append(task | {"naive": attack.naive, "mark": places["MARK"]})
    (folders["home"] / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    arguments = ["tests.attacks.naive", str(folders["home"] / "tasks.json"), str(out)]
    return ground.start(arguments, folders, os.geteuid() == 0, stderr=subprocess.PIPE), out


# ---- the controls ----


@pytest.mark.parametrize("tier", TIERS)
def test_batch_goes_on_to_its_end(came, tier):
    assert came[tier, "said"]["code"] == 0, came[tier, "said"]["said"]
    assert came[tier, "end"]["processes"] == 0


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", CONTROLS)
def test_honest_submissions_have_their_points(came, tier, name):
    assert came[tier, name] == {"attack": name, "points": CONTROLS[name], "faults": []}


@pytest.mark.parametrize("name", ATTACKS)
def test_it_is_an_attack(came, name):
    """With a naive grader it reaches what it says."""
    assert ATTACKS[name].naive in came["naive", name]["reached"]


# ---- the judge ----


@pytest.mark.parametrize(("tier", "name"), CASES)
def test_nothing_is_gained(came, tier, name):
    attack, row = ATTACKS[name], came[tier, name]
    assert "broke" not in row, row["broke"]
    assert not row["faults"]
    assert row["after"] == {"points": 100, "faults": []}  # the next student's
    if attack.stops <= STOPS[TIERS[tier][0]]:
        assert row["points"] <= POINTS[attack.mistake], row["outcomes"]
        assert not row["succeeded"]


@pytest.mark.parametrize(("tier", "name"), CASES)
def test_nothing_is_left(came, tier, name):
    row = came[tier, name]
    assert row["processes"] == 0
    assert row["descriptors"] == 0
    if "writing" in STOPS[TIERS[tier][0]]:
        assert row["left"] == []


@pytest.mark.parametrize("name", [name for name in ATTACKS if ATTACKS[name].kind == "markup"])
def test_pages_are_not_marked_up_by_students(came, name):
    for tier in TIERS:
        if (tier, name) in came:
            page = came[tier, name]["page"]
            for bad in ("<script", "<img", "onerror=alert(1)>", "\x1b", "\u202e", "\ud800", "root:", "50337"):
                assert bad not in page, bad
