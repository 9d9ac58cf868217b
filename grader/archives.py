"""Reading archives that may have been made to break the reader. Nothing is unpacked to disk.

Of an archive the names are read, and the bytes of the modules that are looked for. Archives in archives
stay shut.
"""

import bz2
import copy
import gzip
import lzma
import re
import stat
import struct
import zipfile
import zlib
from typing import BinaryIO

from grader.places import (
    DIRECTORY,
    ENTRIES,
    KIB,
    LINK,
    OTHER,
    WRAPPERS,
    Look,
    Places,
    Refused,
    check_size,
    path_of,
    size_text,
)
from grader.safe_names import printable
from grader.tar_entries import BLOCK, Stream, is_tar_header, tar_entries

SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tbz2", ".tbz", ".txz", ".tar", ".zip")
UNREAD = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "RAR", b"\x28\xb5\x2f\xfd": "Zstandard"}
TAR = {
    "tar": lambda file: file,
    "gz": lambda file: gzip.GzipFile(fileobj=file),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
}
CHUNK = 64 * KIB
# all that the readers raise for what is no whole archive
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    RuntimeError,
    MemoryError,
)


def format_of(file: BinaryIO) -> str | None:
    """What an archive is by its first bytes, whatever its name: zip, tar, gz, bz2, xz; None if it is none."""
    head = file.read(BLOCK)
    file.seek(0)
    for magic, name in UNREAD.items():
        if head.startswith(magic):
            raise Refused(f"is a {name} archive, which is not read: hand in a zip")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "gz"
    if re.match(rb"BZh\d1AY&SY", head):
        return "bz2"
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz"
    return "tar" if is_tar_header(head) else None


def without_suffix(name: str) -> str:
    """The name of an archive without what says its format.

    >>> without_suffix("ada.lovelace.tar.gz")
    'ada.lovelace'
    """
    suffix = next((s for s in SUFFIXES if name.lower().endswith(s) and len(name) > len(s)), "")
    return name[: len(name) - len(suffix)]


def look_in_archive(file: BinaryIO, kind: str, places: Places) -> Look:
    """Find the modules in an archive."""
    size = file.seek(0, 2)
    file.seek(0)
    look = Look()
    try:
        if kind == "zip":
            _look_in_zip(file, size, places, look)
        else:
            _look_in_tar(Stream(TAR[kind](file), size), places, look)
    except DAMAGE as error:
        raise _damaged(error) from None
    look.top = _common_folders([found.path for found in look.found] + look.others, places)
    return look


class Leashed:
    """A file that is never read in pieces larger than the largest table of contents.

    zipfile reads that table whole, however large the archive says that it is, and makes objects of all it
    lists.
    """

    def __init__(self, file: BinaryIO, directory: int = DIRECTORY):
        self.seek, self.tell, self.seekable, self._read = file.seek, file.tell, file.seekable, file.read
        self._directory = directory

    def read(self, size: int = -1) -> bytes:
        data = self._read(size if 0 <= size <= self._directory else self._directory + 1)
        if len(data) > self._directory:
            size = size_text(self._directory)
            raise Refused(f"has a table of contents of more than {size}, and is not read")
        return data


def _look_in_zip(file: BinaryIO, size: int, places: Places, look: Look) -> None:
    archive = zipfile.ZipFile(Leashed(file))
    entries = archive.infolist()
    if len(entries) > ENTRIES:
        raise Refused(f"holds more than {ENTRIES:,} entries, and is not read")
    check_size(sum(entry.file_size for entry in entries), size)
    for entry in entries:
        is_folder, odd = kind_of(entry)
        if path := _path(entry.orig_filename, is_folder, look):
            look.see(
                path, odd, places.limit(path), lambda limit, entry=entry: read_entry(archive, entry, limit)
            )


def kind_of(entry: zipfile.ZipInfo) -> tuple[bool, str | None]:
    """Whether a zip's entry says that it is a folder, and what it is if neither that nor a file."""
    kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the system that made it knows no kinds
    odd = {0: None, stat.S_IFREG: None, stat.S_IFDIR: None, stat.S_IFLNK: LINK}.get(kind, OTHER)
    return kind == stat.S_IFDIR, odd


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    """A zip's file. It must have just the size that the archive says."""
    if entry.flag_bits & 0x41:
        raise Refused("is encrypted: hand it in without a password")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refused("is packed in an unusual way, and is not read: make an ordinary zip")
    declared = entry.file_size
    if declared > limit:
        raise Refused(f"is larger than {size_text(limit)}")
    entry = copy.copy(entry)
    entry.file_size = 1 << 62  # where zipfile would stop, whatever there is
    data = bytearray()
    try:
        with archive.open(entry) as unpacked:
            while len(data) <= limit and (chunk := unpacked.read(CHUNK)):
                data += chunk
    except DAMAGE as error:
        raise _damaged(error) from None
    if len(data) != declared:
        raise Refused("has not the size that its archive says, and is not read")
    return bytes(data)


def _look_in_tar(stream: Stream, places: Places, look: Look) -> None:
    for name, odd, size in tar_entries(stream):
        if path := _path(name, False, look):
            look.see(path, odd, places.limit(path), lambda limit, size=size: _from_tar(stream, size, limit))


def _from_tar(stream: Stream, size: int, limit: int) -> bytes:
    if size > limit:
        raise Refused(f"is larger than {size_text(limit)}")
    return stream.read_all(size)


def _path(name: str, is_folder: bool, look: Look) -> tuple[str, ...] | None:
    """The path of an entry, unless it is a folder or leads astray."""
    try:
        path = path_of(name)
    except Refused as refused:
        look.problems.append(f"{printable(name, 100)} {refused}")
        return None
    return None if is_folder or name.endswith("/") else path


def _common_folders(paths: list[tuple[str, ...]], places: Places) -> int:
    """How many folders stand around all files."""
    top = 0
    while paths and top < WRAPPERS:
        around = {path[top] if len(path) > top + 1 else None for path in paths}
        name = around.pop()
        if around or name is None or places.is_known_folder(name):
            break
        top += 1
    return top


def _damaged(error: Exception) -> Refused:
    what = printable(str(error), 100) or type(error).__name__
    return Refused(f"cannot be read, since the archive is damaged ({what})")
