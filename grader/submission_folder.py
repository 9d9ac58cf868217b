"""Reading a folder that a student may have filled with traps.

Everything is opened by its name in a folder that is already open, never through a link, and looked at again
once it is open: what was checked is what is read, whoever changes the folder meanwhile. Only regular files
are opened, so that nothing blocks.
"""

import itertools
import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from grader.places import ENTRIES, LINK, OTHER, WRAPPERS, Look, Places, Refused, is_ignored, shown, size_text

BY_DESCRIPTOR = os.open in os.supports_dir_fd and os.scandir in os.supports_fd and hasattr(os, "O_DIRECTORY")
NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
JUNCTION = 0xA0000003  # what Windows calls a link to a folder
FOLDER, FILE = "a folder", "a file"


class Folder:
    """A folder held open. Where the system opens nothing relative to a folder (Windows), its path does."""

    def __init__(self, path: Path, descriptor: int | None):
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def at(cls, path: Path) -> "Folder":
        """A folder that the user named, be it by a link."""
        path = Path(os.path.realpath(path))
        return cls(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY) if BY_DESCRIPTOR else None)

    def __enter__(self) -> "Folder":
        return self

    def __exit__(self, *_) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)

    def entries(self, limit: int | None = ENTRIES) -> list[tuple[str, str]]:
        """Names and kinds of what is in it, by name."""
        try:
            with os.scandir(self.path if self.descriptor is None else self.descriptor) as found:
                entries = [
                    (e.name, _kind(e.stat(follow_symlinks=False)))
                    for e in itertools.islice(found, limit and limit + 1)
                ]
        except OSError as error:
            raise _cannot_be_read(error) from None
        if limit is not None and len(entries) > limit:
            raise Refused(f"holds more than {limit:,} entries, and is not looked into")
        return sorted(entries)

    def folder(self, name: str) -> "Folder":
        """A folder in it."""
        self._expect(name, FOLDER)
        if self.descriptor is None:
            return Folder(self.path / name, None)
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            return Folder(self.path / name, os.open(name, flags, dir_fd=self.descriptor))
        except OSError as error:
            raise _cannot_be_read(error) from None

    def file(self, name: str, limit: int) -> BinaryIO:
        """A file in it, open for reading."""
        before = self._expect(name, FILE)
        try:
            if self.descriptor is None:
                descriptor = os.open(self.path / name, os.O_RDONLY | NO_LINK)
            else:
                descriptor = os.open(name, os.O_RDONLY | NO_LINK, dir_fd=self.descriptor)
        except OSError as error:
            raise _cannot_be_read(error) from None
        try:
            opened = os.fstat(descriptor)
            if _kind(opened) != FILE or not os.path.samestat(before, opened):
                raise Refused("was changed while it was read")
            if opened.st_nlink > 1:
                raise Refused("has another name elsewhere (a hard link), and is not read: hand in a copy")
            if opened.st_size > limit:
                raise Refused(f"is larger than {size_text(limit)}")
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise

    def read(self, name: str, limit: int) -> bytes:
        """A file's bytes."""
        with self.file(name, limit) as file:
            return read_whole(file, limit)

    def kind(self, name: str) -> str:
        return _kind(self._status(name))

    def _status(self, name: str) -> os.stat_result:
        try:
            if self.descriptor is None:
                return os.lstat(self.path / name)
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except OSError as error:
            raise _cannot_be_read(error) from None

    def _expect(self, name: str, kind: str) -> os.stat_result:
        status = self._status(name)
        if _kind(status) != kind:
            raise Refused(f"is {_kind(status)}, and is not read")
        return status


def read_whole(file: BinaryIO, limit: int) -> bytes:
    """All bytes of a file, however it may grow meanwhile."""
    try:
        data = file.read(limit + 1)
    except OSError as error:
        raise _cannot_be_read(error) from None
    if len(data) > limit:
        raise Refused(f"is larger than {size_text(limit)}")
    return data


def look_in_folder(folder: Folder, places: Places) -> Look:
    """Find the modules in a student's folder. Only folders on the way to a place that counts are opened."""
    look = Look()
    with ExitStack() as inner:
        path: tuple[str, ...] = ()
        entries = folder.entries()
        while len(path) < WRAPPERS:
            match [(name, kind) for name, kind in entries if not is_ignored([name])]:
                case [(name, kind)] if kind == FOLDER and not places.is_known_folder(name):
                    folder = inner.enter_context(folder.folder(name))
                    path, entries = (*path, name), folder.entries()
                case _:
                    break
        look.top = len(path)
        _visit(folder, path, entries, places, look)
    return look


def _visit(folder: Folder, path: tuple, entries: list, places: Places, look: Look) -> None:
    siblings = sum(kind == FOLDER for _, kind in entries)
    for name, kind in entries:
        inside = (*path, name)
        if kind != FOLDER:
            odd = None if kind == FILE else kind
            look.see(inside, odd, places.limit(inside), lambda limit, name=name: folder.read(name, limit))
        elif not is_ignored([name]) and places.leads_on(inside[look.top :], siblings):
            try:
                with folder.folder(name) as next_folder:
                    _visit(next_folder, inside, next_folder.entries(), places, look)
            except Refused as refused:
                look.problems.append(f"{shown(inside)} {refused}")


def _kind(status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == JUNCTION:
        return LINK
    if stat.S_ISDIR(status.st_mode):
        return FOLDER
    return FILE if stat.S_ISREG(status.st_mode) else OTHER


def _cannot_be_read(error: OSError) -> Refused:
    return Refused(f"cannot be read ({(error.strerror or type(error).__name__).lower()})")
