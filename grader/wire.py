"""What crosses between judge and worker: frames, each a length, a number and one packed tree.

The number, which a reply repeats, stands apart, so that equal trees are equal bytes. A packed tree is tagged
JSON and safetensors (observations.py), never pickle. The reader's caps are checked before anything is read,
and what it reads is data that nobody vouches for.
"""

import os
from typing import NamedTuple

from grader.observations import MAX_BYTES, MAX_JSON_BYTES, MalformedObservation, pack, unpack

LENGTH_BYTES = 8
NUMBER_BYTES = 16
MAX_FRAME = MAX_BYTES + MAX_JSON_BYTES
MOST_HELD = 1 << 20

_held = bytearray()  # frames that wait for others


class Frame(NamedTuple):
    """One that arrived. data: a packed tree, not yet looked at."""

    number: bytes
    data: bytes


def frame(tree: dict) -> bytes:
    """Plain data as the bytes of one frame; its "number", if it has one, goes in front.

    >>> frame({"do": "load", "number": "c0ffee"})[:16]
    b'\\x00\\x00\\x00\\x00\\x00\\x00\\x00Hc0ffee  '
    """
    rest = {key: value for key, value in tree.items() if key != "number"}
    return framed(tree.get("number", ""), pack(rest))


def framed(number: str, data: bytes) -> bytes:
    """A packed tree as the bytes of one frame."""
    return len(data).to_bytes(LENGTH_BYTES, "big") + number.encode("ascii").ljust(NUMBER_BYTES) + data


class FrameReader:
    """Puts frames together from what arrives in pieces."""

    def __init__(self, most: int = MAX_FRAME):
        self.most = most
        self.waiting = bytearray()

    def feed(self, data: bytes) -> Frame | None:
        """Add what arrived; the first whole frame, or None while there is none."""
        self.waiting += data
        if len(self.waiting) < LENGTH_BYTES:
            return None
        length = int.from_bytes(self.waiting[:LENGTH_BYTES], "big")
        if length > self.most:
            raise MalformedObservation(f"a frame of {length:,} bytes")
        begin = LENGTH_BYTES + NUMBER_BYTES
        if len(self.waiting) < begin + length:
            return None
        number, data = bytes(self.waiting[LENGTH_BYTES:begin]), bytes(self.waiting[begin : begin + length])
        del self.waiting[: begin + length]
        return Frame(number.rstrip(b" "), data)


def read_frame(descriptor: int) -> dict:
    """The next frame's tree from a descriptor, waiting for it; EOFError when there is no more."""
    begin = _read_exactly(descriptor, LENGTH_BYTES + NUMBER_BYTES)
    length = int.from_bytes(begin[:LENGTH_BYTES], "big")
    number = begin[LENGTH_BYTES:].rstrip(b" ").decode("ascii")
    return unpack(_read_exactly(descriptor, length)) | {"number": number}


def write_frame(descriptor: int, tree: dict, more: bool = False) -> None:
    """more: others follow, with the last of which it may go out, so that the reader is woken once for all."""
    _held.extend(frame(tree))
    if more and len(_held) < MOST_HELD:
        return
    data = memoryview(bytes(_held))
    _held.clear()
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
