"""A class's download, one zip as a system makes it, read as if it were a folder. Nothing is unpacked to disk.

Systems put the names that students chose into it, so the rules are those for what a student hands in; only
the sizes are those of a class.
"""

import contextlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from grader.archives import DAMAGE, Leashed, kind_of, read_entry
from grader.places import MIB, RATIO, RATIO_FROM, Refused, path_of
from grader.safe_names import printable
from grader.submission_folder import FILE, FOLDER, Folder

DIRECTORY = 64 * MIB  # the table of contents
ENTRIES = 400_000
TWICE = "there twice under one name"


class ZipFolder:
    """A folder in a zip. To be used as submission_folder.Folder is."""

    def __init__(self, archive: zipfile.ZipFile, path: Path, inside: dict):
        self.path = path
        self._archive = archive
        self._inside = inside  # by name: a ZipInfo, a dict for a folder, or what an odd entry is

    def __enter__(self) -> "ZipFolder":
        return self

    def __exit__(self, *_) -> None:
        pass

    def entries(self, limit: int | None = None) -> list[tuple[str, str]]:
        """Names and kinds of what is in it, by name."""
        if limit is not None and len(self._inside) > limit:
            raise Refused(f"holds more than {limit:,} entries, and is not looked into")
        return sorted((name, self.kind(name)) for name in self._inside)

    def kind(self, name: str) -> str:
        found = self._inside[name]
        return found if isinstance(found, str) else FOLDER if isinstance(found, dict) else FILE

    def folder(self, name: str) -> "ZipFolder":
        return ZipFolder(self._archive, self.path / name, self._expect(name, FOLDER))

    def file(self, name: str, limit: int) -> BinaryIO:
        return io.BytesIO(self.read(name, limit))

    def read(self, name: str, limit: int) -> bytes:
        entry = self._expect(name, FILE)
        if entry.file_size > max(RATIO_FROM, RATIO * entry.compress_size):
            raise Refused(f"unpacks to more than {RATIO} times its size, and is not read")
        return read_entry(self._archive, entry, limit)

    def _expect(self, name: str, kind: str):
        if self.kind(name) != kind:
            raise Refused(f"is {self.kind(name)}, and is not read")
        return self._inside[name]


def open_zip(file: BinaryIO, path: Path) -> tuple[ZipFolder, list[str]]:
    """A zip as a folder, and which entries of it are not looked at, and why."""
    if file.read(2) != b"PK":
        raise Refused("is neither a folder nor a zip: unpack it, and give the folder")
    try:
        archive = zipfile.ZipFile(Leashed(file, DIRECTORY))
        entries = archive.infolist()
    except DAMAGE as error:
        what = printable(str(error), 100) or type(error).__name__
        raise Refused(f"cannot be read, since the archive is damaged ({what})") from None
    if len(entries) > ENTRIES:
        raise Refused(f"holds more than {ENTRIES:,} entries, and is not read")
    top: dict = {}
    problems = []
    for entry in entries:
        name = _name(entry)
        try:
            _place(top, path_of(name), entry, name.endswith("/"))
        except Refused as refused:
            problems.append(f"{printable(name, 100)} {refused}")
    return ZipFolder(archive, path, top), problems


def _place(top: dict, parts: tuple[str, ...], entry: zipfile.ZipInfo, slash: bool) -> None:
    """Put an entry where it belongs in the tree."""
    is_folder, odd = kind_of(entry)
    folder = top
    for part in parts if is_folder or slash else parts[:-1]:
        folder = folder.setdefault(part, {})
        if not isinstance(folder, dict):
            raise Refused("is in a folder that is a file as well, and is not read")
    if parts and not (is_folder or slash):
        folder[parts[-1]] = TWICE if parts[-1] in folder else odd or entry


def _name(entry: zipfile.ZipInfo) -> str:
    """An entry's name. Some systems write UTF-8 without saying so, which zipfile then reads as cp437."""
    name = entry.orig_filename
    if entry.flag_bits & 0x800:
        return name
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[Folder | ZipFolder, list[str]]]:
    """What the user named, a folder or a zip, as a folder; and what of a zip is not looked at, and why."""
    if path.is_dir():
        with Folder.at(path) as folder:
            yield folder, []
    else:
        with path.open("rb") as file:
            yield open_zip(file, path)
