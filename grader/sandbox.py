"""The strongest wall that this system offers around a worker, and how a worker is started behind it.

    bubblewrap   Linux with bubblewrap and user namespaces: no network, no view of anything but Python,
                 nothing that stays; each submission in namespaces of its own
    other user   Linux as root, where there is no bubblewrap or user namespaces are refused: an unprivileged
                 user of its own with limits; where root may mount, no network and no view of the course
    plain        anything else: a process with limits. A submission can do what you can do

Grading as root always drops to another user.
"""

import contextlib
import functools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from grader import confine
from grader.errors import GraderError

if os.name == "posix":
    import fcntl
    import pwd

HERE = Path(__file__).resolve().parent
USERS = range(61_184, 61_684)  # in the range that systemd keeps for services without a user of their own
GRADER_IN_SANDBOX = Path("/grader")
OWN_FOLDERS = ("/tmp", "/dev", "/proc")  # of which a sandbox has its own
PROBE_SECONDS = 20

BOOT = """
import json, sys, types
start = json.loads(sys.argv[1])
sys.path[:] = start["path"]
package = types.ModuleType("grader")
package.__path__ = [start["grader"]]
sys.modules["grader"] = package
import importlib
module, function = start["call"]
getattr(importlib.import_module(module), function)(**start["arguments"])
"""


@dataclass(frozen=True)
class Tier:
    """A kind of wall. stops: what a submission cannot do behind it; the attacks' tests go by these words.

    "disk" is filling it; "processes" and "memory" are leaving some behind, and taking more than the limit.
    """

    name: str
    says: str
    stops: frozenset[str]
    why_not_better: str = ""

    def plain(self) -> dict:
        """As it goes to another process or machine; `of_plain` takes it there."""
        return {"name": self.name, "says": self.says, "stops": sorted(self.stops)}

    @classmethod
    def of_plain(cls, plain: dict) -> "Tier":
        return cls(plain["name"], plain["says"], frozenset(plain["stops"]))


BUBBLEWRAP = Tier(
    "bubblewrap",
    "in a sandbox: no network, no files but Python's own, processes and memory limited",
    frozenset({"network", "reading", "writing", "signals", "processes", "memory", "disk"}),
)
OTHER_USER = Tier(
    "other user",
    "as another user, without a view of the course and the network; files that everybody may read are open",
    frozenset({"network", "reading", "writing", "signals", "processes", "memory", "disk"}),
)
OTHER_USER_ONLY = Tier(
    "other user",
    "as another user; the network and files that everybody may read are open to submissions",
    frozenset({"writing", "signals", "processes", "memory"}),
)
PLAIN = Tier(
    "plain",
    "NOT in a sandbox: submissions run with your rights, with limits on time and memory only",
    frozenset({"processes", "memory"}) if sys.platform == "linux" else frozenset(),
)


def best_tier() -> Tier:
    """The strongest tier that works here, tried by using it; it says why not a stronger one."""
    if os.name == "nt":
        raise GraderError("grader runs on Windows inside WSL (wsl --install), where it has its sandbox, too")
    if sys.platform != "linux":
        return _because(PLAIN, f"bubblewrap is for Linux, and this is {platform.system()}")
    reason = why_not_bubblewrap()
    if reason is None:
        return BUBBLEWRAP
    if os.geteuid() != 0:
        return _because(PLAIN, reason)
    for tier in (OTHER_USER, OTHER_USER_ONLY):
        if (problem := _try(tier)) is None:
            return _because(tier, reason)
    raise GraderError(
        f"grading as root is refused, since no other user can run Python here ({problem});"
        " run grader as an ordinary user, or install bubblewrap"
    )


def why_not_bubblewrap() -> str | None:
    """None if bubblewrap works, else what to do about it."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian and Ubuntu: apt install bubblewrap)"
    problem = _try(BUBBLEWRAP)
    if problem is None:
        return None
    advice = "user namespaces are refused here"
    switch = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if switch.exists() and switch.read_text().strip() == "1":
        advice += ", by AppArmor: allow them for bwrap in /etc/apparmor.d, as grader/GRADING.md says"
    return f"bubblewrap does not work ({advice}): {problem}"


def _because(tier: Tier, reason: str) -> Tier:
    return Tier(tier.name, tier.says, tier.stops, reason)


def _try(tier: Tier) -> str | None:
    """Start an interpreter behind the wall, and there a submission's namespaces; what went wrong, if any."""
    with Slot() as slot:
        call = (
            ("grader.confine", "try_namespaces") if tier is BUBBLEWRAP else ("grader.confine", "try_nothing")
        )
        command = behind(tier, slot, call, {}, ())
        if tier is OTHER_USER and not _may_mount():
            return "root may not mount here"
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=PROBE_SECONDS, env=environment(), text=True
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    return (
        None
        if done.returncode == 0
        else (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    )


def _may_mount() -> bool:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    held = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(held.split()[1], 16) >> 21 & 1)  # CAP_SYS_ADMIN


class Slot:
    """A user for one worker at a time, when grading as root; otherwise nobody in particular."""

    def __init__(self):
        self.user: int | None = None
        self._lock = None

    def __enter__(self) -> "Slot":
        if sys.platform == "linux" and os.geteuid() == 0:
            self._take()
        return self

    def __exit__(self, *_) -> None:
        if self._lock is not None:
            self._lock.close()

    def _take(self) -> None:
        # one folder for all graders of this machine, whatever their TMPDIR: its users are the machine's, too
        folder = Path("/tmp") / "build-a-gpt-grader-users"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != 0:
            raise GraderError(f"{folder} is not root's own: delete it")
        for user in USERS:
            with contextlib.suppress(KeyError):
                pwd.getpwuid(user)
                continue  # somebody's
            lock = open(folder / str(user), "w")  # noqa: SIM115  (held until the slot is given back)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            self.user, self._lock = user, lock
            return
        raise GraderError(f"no user is free between {USERS[0]} and {USERS[-1]}: are other graders running?")


# ---- starting ----


def environment() -> dict[str, str]:
    """All of a worker's environment."""
    return {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "USER": "nobody",
        "LANG": "C.UTF-8",
        "TORCHINDUCTOR_CACHE_DIR": "/tmp",
    }


def behind(
    tier: Tier, slot: Slot, call: tuple[str, str], arguments: dict, hidden: tuple[Path, ...]
) -> list[str]:
    """The command that calls a function of a grader's module behind the wall."""
    inside = tier.name == "bubblewrap"
    if inside:
        executable, path = str(_seen_at(Path(_executable()))), [str(_seen_at(Path(p))) for p in _path()]
        command = _bubblewrap(hidden) + _python(call, arguments, str(GRADER_IN_SANDBOX), executable, path)
    else:
        command = _python(call, arguments, str(HERE))
    if slot.user is None:
        return command
    shown = [str(path) for path in (*_interpreter(), *worker_files())]
    covered = [] if inside else [str(path) for path in (*hidden, *_homes())]
    drop = {
        "user": slot.user,
        "command": command,
        "shown": shown,
        "hidden": covered,
        "room": confine.Limits().room if "network" in tier.stops and not inside else "",
    }
    return _python(("grader.as_user", "start"), drop, str(HERE))


def _python(
    call: tuple[str, str], arguments: dict, grader: str, executable: str = "", path: list[str] | None = None
) -> list[str]:
    start = {"path": path or _path(), "grader": grader, "call": call, "arguments": arguments}
    # without site: no .pth file, which may lead back to the course
    return [executable or _executable(), "-I", "-S", "-B", "-c", BOOT, json.dumps(start)]


def _executable() -> str:
    return os.path.realpath(sys.executable)


def _path() -> list[str]:
    """Where Python's library and the installed packages are, and nothing else."""
    paths = sysconfig.get_paths()
    compiled = [path for path in sys.path if Path(path).name in ("lib-dynload", "DLLs")]
    return list(dict.fromkeys([paths["stdlib"], *compiled, paths["purelib"], paths["platlib"]]))


def _interpreter() -> list[Path]:
    """Folders that Python needs, outside those that every Linux system has."""
    wanted = [Path(sys.base_prefix).resolve(), Path(_executable()), *(Path(p).resolve() for p in _path())]
    wanted = [path for path in dict.fromkeys(wanted) if path.exists() and not path.is_relative_to("/usr")]
    return [
        path for path in wanted if not any(path != other and path.is_relative_to(other) for other in wanted)
    ]


def _seen_at(path: Path) -> Path:
    """Where the sandbox shows a file of Python's: elsewhere, if a sandbox has a folder of its own there."""
    for number, folder in enumerate(_interpreter()):
        if path.resolve().is_relative_to(folder) and any(folder.is_relative_to(own) for own in OWN_FOLDERS):
            return Path(f"/python{number}") / path.resolve().relative_to(folder)
    return path


@functools.cache
def worker_files() -> tuple[Path, ...]:
    """The files of the grader that a worker has: the fork server's, and what that imports, step by step."""
    found, waiting = [HERE / "__init__.py"], [HERE / "fork_server.py"]
    while waiting:
        file = waiting.pop()
        found.append(file)
        for name in re.findall(
            r"(?m)^ *(?:from|import) grader\.(\w+)|^ *from grader import (.+)$", file.read_text("utf-8")
        ):
            for module in (name[0] or name[1]).split(", "):
                path = HERE / f"{module}.py"
                waiting += [path] if path not in found and path not in waiting else []
    return tuple(found)


def _homes() -> list[Path]:
    return [path for path in (Path("/home"), Path("/root")) if path.is_dir()]


def _bubblewrap(hidden: tuple[Path, ...]) -> list[str]:
    command = [shutil.which("bwrap"), "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    for name, value in environment().items():
        command += ["--setenv", name, value]
    command += ["--ro-bind", "/usr", "/usr"]
    for name in ("lib", "lib64", "lib32", "bin"):
        if os.path.islink(f"/{name}"):
            command += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
        elif os.path.isdir(f"/{name}"):
            command += ["--ro-bind", f"/{name}", f"/{name}"]
    command += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    # the shallower first, so that what is covered can hold what is shown
    views = [(path, "--ro-bind") for path in _interpreter()]
    views += [(path.resolve(), "--tmpfs") for path in hidden if _is_in_view(path.resolve())]
    for path, how in sorted(views, key=lambda view: len(view[0].parts)):
        there = str(_seen_at(path))
        command += [how, str(path), there] if how == "--ro-bind" else [how, there]
    covers = [_seen_at(path) for path, how in views if how == "--tmpfs"]
    command += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for path in worker_files():
        command += ["--ro-bind", str(path), str(GRADER_IN_SANDBOX / path.name)]
    for path in (*covers, "/dev", "/"):  # /dev, too, is a folder in memory
        command += ["--remount-ro", str(path)]
    command += ["--chdir", "/tmp", "--uid", "65534", "--gid", "65534", "--"]
    return command


def _is_in_view(path: Path) -> bool:
    return any(path.is_relative_to(shown) for shown in (Path("/usr"), *_interpreter()))
