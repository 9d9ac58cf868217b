"""Start a program as another, unprivileged user: what grading as root does before anything else.

Where root may, the program gets mounts of its own, in which some folders are hidden and the interpreter is to
be seen even if it lies in a home that only root can enter; and, where asked, no network.
"""

import contextlib
import os
import stat
from pathlib import Path

from grader import confine

COVER = "size=1m,mode=755"


def start(user: int, command: list[str], shown: list[str], hidden: list[str], room: str = "") -> None:
    """Become `user` and run `command`. shown: folders that it needs. hidden: those it must not see.

    room: where everybody may write it gets a file system of its own, with these options, and no network.
    """
    confine.die_with_parent()
    optional = () if room else (PermissionError,)  # of root without CAP_SYS_ADMIN, as in most containers
    with contextlib.suppress(*optional):
        confine.unshare(confine.NEW_MOUNTS | confine.NEW_IPC | (confine.NEW_NET if room else 0))
        confine.mount("none", "/", None, confine.RECURSIVE | confine.PRIVATE)
        covers = dict.fromkeys(map(Path, hidden), COVER)
        covers |= dict.fromkeys(map(Path, confine.OPEN), f"{room},mode=1777") if room else {}
        rearrange([Path(path) for path in shown], covers)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    os.chdir("/")
    os.umask(0o077)
    confine.die_with_parent()  # what changes the user forgets it
    os.execv(command[0], command)


def rearrange(shown: list[Path], covers: dict[Path, str]) -> None:
    """Cover folders, and what others may not enter, with empty ones; in them only what is shown.

    covers: each with the options of its new file system.
    """
    closed = {ancestor for path in shown if (ancestor := first_closed(path)) is not None}
    covers = dict.fromkeys(closed, COVER) | covers
    sources = {path: os.open(path, os.O_PATH) for path in shown}
    for cover in sorted(covers, key=lambda path: len(path.parts)):
        if cover.is_dir() and not cover.is_symlink():
            confine.mount("tmpfs", str(cover), "tmpfs", confine.NO_SUID | confine.NO_DEVICES, covers[cover])
    for path in sorted(shown, key=lambda path: len(path.parts)):
        if any(path.is_relative_to(cover) for cover in covers):
            if stat.S_ISDIR(os.fstat(sources[path]).st_mode):
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            confine.mount(f"/proc/self/fd/{sources[path]}", str(path), None, confine.BIND | confine.RECURSIVE)
    for source in sources.values():
        os.close(source)


def first_closed(path: Path) -> Path | None:
    """The first folder on the way to `path` that others may not enter."""
    for ancestor in [*reversed(path.parents), path]:
        if ancestor.is_dir() and not ancestor.stat().st_mode & stat.S_IXOTH:
            return ancestor
    return None
