"""What crosses between judge and worker: frames, each a length and one packed tree.

A packed tree is tagged JSON and safetensors (observations.py), never pickle. The reader's caps are checked
before anything is read, and what it reads is data that nobody vouches for.
"""

import os

from grader.observations import MAX_BYTES, MAX_JSON_BYTES, MalformedObservation, pack, unpack

LENGTH_BYTES = 8
MAX_FRAME = MAX_BYTES + MAX_JSON_BYTES


def frame(tree) -> bytes:
    """A tree of plain data as the bytes of one frame.

    >>> frame({"do": "load"})[:8]
    b'\\x00\\x00\\x00\\x00\\x00\\x00\\x00H'
    """
    data = pack(tree)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class FrameReader:
    """Puts frames together from what arrives in pieces."""

    def __init__(self, most: int = MAX_FRAME):
        self.most = most
        self.waiting = bytearray()

    def feed(self, data: bytes):
        """Add what arrived; the tree of the first whole frame, or None while there is none."""
        self.waiting += data
        if len(self.waiting) < LENGTH_BYTES:
            return None
        length = int.from_bytes(self.waiting[:LENGTH_BYTES], "big")
        if length > self.most:
            raise MalformedObservation(f"a frame of {length:,} bytes")
        if len(self.waiting) < LENGTH_BYTES + length:
            return None
        data = bytes(self.waiting[LENGTH_BYTES : LENGTH_BYTES + length])
        del self.waiting[: LENGTH_BYTES + length]
        return unpack(data)


def read_frame(descriptor: int):
    """The next tree from a descriptor, waiting for it; EOFError when there is no more."""
    data = _read_exactly(descriptor, LENGTH_BYTES)
    return unpack(_read_exactly(descriptor, int.from_bytes(data, "big")))


def write_frame(descriptor: int, tree) -> None:
    data = memoryview(frame(tree))
    while data:
        data = data[os.write(descriptor, data) :]


def _read_exactly(descriptor: int, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = os.read(descriptor, min(length - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)
