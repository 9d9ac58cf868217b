"""When the newest commit of a clone was made, without running git in the clone.

A clone's own settings can name programs that git starts (gpg.program, core.fsmonitor, the transports of a
partial clone). Here git runs in an empty repository of our own, with its built-in settings alone, and is only
lent the clone's objects; which commit it is, is read from two small text files.

The time is the one that the student's computer wrote into the commit.
"""

import datetime
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from grader.places import KIB, MIB, Refused
from grader.submission_folder import FILE, FOLDER, Folder

SECONDS = 10.0
COMMIT = 64 * KIB
OBJECT = re.compile(r"[0-9a-f]{40}")
BRANCH = re.compile(r"ref: (refs/heads/[\w./-]{1,200})")
COMMITTER = re.compile(r"^committer .*> (\d{1,11}) ([+-]\d{4})$", re.MULTILINE)


def commit_time(clone: Folder) -> datetime.datetime | None:
    """The time of the commit that a clone has checked out; None where it cannot be known."""
    if shutil.which("git") is None:
        return None
    try:
        with clone.folder(".git") as git:
            commit = _head(git)
            if commit is None or git.kind("objects") != FOLDER:
                return None
            text = _commit(git.path / "objects", commit)
    except (Refused, OSError, subprocess.SubprocessError):
        return None
    found = COMMITTER.search(text.partition("\n\n")[0])
    try:
        return datetime.datetime.fromtimestamp(int(found[1]), datetime.UTC) if found else None
    except (ValueError, OverflowError, OSError):
        return None


def _head(git: Folder) -> str | None:
    """The commit that HEAD stands for, be it packed or in a file of its own."""
    head = git.read("HEAD", KIB).decode("ascii", "replace").strip()
    if OBJECT.fullmatch(head):
        return head
    branch = BRANCH.fullmatch(head)
    if not branch or ".." in branch[1]:
        return None
    if (found := _loose(git, branch[1].split("/"))) is not None:
        return found
    if git.kind("packed-refs") != FILE:
        return None
    packed = git.read("packed-refs", 4 * MIB).decode("ascii", "replace")
    lines = (line.split(" ") for line in packed.splitlines())
    return next((line[0] for line in lines if line[1:] == [branch[1]] and OBJECT.fullmatch(line[0])), None)


def _loose(folder: Folder, parts: list[str]) -> str | None:
    try:
        if len(parts) == 1:
            found = folder.read(parts[0], KIB).decode("ascii", "replace").strip()
            return found if OBJECT.fullmatch(found) else None
        with folder.folder(parts[0]) as inner:
            return _loose(inner, parts[1:])
    except Refused:
        return None


def _commit(objects: Path, commit: str) -> str:
    with tempfile.TemporaryDirectory() as empty:
        Path(empty, "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
        for name in ("objects", "refs"):
            Path(empty, name).mkdir()
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "SYSTEMROOT": os.environ.get("SYSTEMROOT", ""),  # without it nothing starts on Windows
            "HOME": empty,
            "GIT_DIR": empty,
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
        }

        def git(*arguments: str) -> bytes:
            return subprocess.run(
                ["git", *arguments],
                cwd=empty,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=True,
            ).stdout

        if int(git("cat-file", "-s", commit)) > COMMIT:
            raise Refused("has a commit that is too large")
        return git("cat-file", "commit", commit).decode(errors="replace")
