"""The entries of a tar archive, from a stream.

Python's tarfile is not used: what it does for rare kinds of archive (files with holes, global headers,
headers in headers) can be made to fill the memory or to go on for ever, and all that is needed here is names
and a few bytes. What stands here takes time and memory in proportion to what is read, and no more.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from grader.places import ENTRIES, HARD_LINK, KIB, LINK, LONG_HEADER, OTHER, Refused, check_size, size_text

BLOCK = 512
CHUNK = 64 * KIB
FILES, FOLDER, LINKS = b"07\0", b"5", {b"1": HARD_LINK, b"2": LINK}
WITHOUT_CONTENT = b"123456"
LONG_NAME, EXTENDED, SKIPPED = b"L", b"x", b"gK"
SPARSE = b"S"


class Stream:
    """Bytes read in order, and counted. packed: the size of the file that they come from."""

    def __init__(self, file: BinaryIO, packed: int):
        self.file = file
        self.packed = packed
        self.count = 0

    def read(self, size: int) -> bytes:
        """So many bytes, or fewer at the end."""
        data = self.file.read(size)
        self.count += len(data)
        check_size(self.count, self.packed)
        return data

    def read_all(self, size: int) -> bytes:
        data = self.read(size)
        if len(data) < size:
            raise EOFError("it ends too early")
        return data

    def skip_to(self, count: int) -> None:
        while self.count < count:
            self.read_all(min(count - self.count, CHUNK))


def tar_entries(stream: Stream) -> Iterator[tuple[str, str | None, int]]:
    """Names and sizes of the entries, and what each is if it is no file; folders' names end with a slash.

    At each the stream stands at its content, which may be read or not.
    """
    before: dict[str, str] = {}  # what headers before an entry say of it
    headers = entries = 0
    while (header := stream.read(BLOCK)).strip(b"\0"):
        if not is_tar_header(header):
            raise ValueError("the header of an entry is broken" if headers else "it holds no tar archive")
        headers += 1
        kind = header[156:157]
        entries += kind not in LONG_NAME + EXTENDED + SKIPPED
        if entries > ENTRIES or headers > 3 * ENTRIES:
            raise Refused(f"holds more than {ENTRIES:,} entries, and is not read")
        size = 0 if kind in WITHOUT_CONTENT else int(before.get("size") or _octal(header[124:136]))
        end = stream.count + size + -size % BLOCK
        if kind in LONG_NAME + EXTENDED + SKIPPED:
            if size > LONG_HEADER:
                raise Refused(f"has a name or a header of more than {size_text(LONG_HEADER)}")
            content = stream.read_all(size)
            if kind == LONG_NAME:
                before["path"] = _text(content)
            elif kind == EXTENDED:
                before |= _extended_header(content)
        else:
            if kind == SPARSE and header[482]:  # its size does not say where it ends
                raise Refused("holds a file with holes, and is not read")
            odd = LINKS.get(kind, OTHER) if kind not in FILES or "sparse" in before else None
            name = before.get("path") or _name(header)
            yield (f"{name}/", None, size) if kind == FOLDER else (name, odd, size)
            before = {}
        stream.skip_to(end)


def is_tar_header(block: bytes) -> bool:
    """Whether the sum of a block's bytes is the one that it names."""
    if len(block) < BLOCK:
        return False
    try:
        return sum(block) - sum(block[148:156]) + 8 * ord(" ") == _octal(block[148:156])
    except ValueError:
        return False


def _name(header: bytes) -> str:
    name = _text(header[:100])
    folder = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{folder}/{name}" if folder else name


def _extended_header(data: bytes) -> dict[str, str]:
    """What matters of a pax header. Its records are their length, a space, key=value and a newline."""
    found, start = {}, 0
    while start < len(data):
        digits = data[start : start + 8].partition(b" ")[0]
        if not digits.isdigit() or not len(digits) + 1 < int(digits) <= len(data) - start:
            raise ValueError("the header of an entry is broken")
        end = start + int(digits)
        key, _, value = data[start + len(digits) + 1 : end - 1].partition(b"=")
        if key == b"path":
            found["path"] = value.decode("utf-8", "surrogateescape")
        elif key == b"size" and re.fullmatch(rb"\d{1,15}", value):
            found["size"] = value.decode()
        elif key.startswith(b"GNU.sparse."):
            found["sparse"] = "yes"
        start = end
    return found


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", digits):
        raise ValueError("the header of an entry is broken")
    return int(digits or b"0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")
