"""Read OpenAI's GPT-2 from a TensorFlow checkpoint, without TensorFlow.

A checkpoint is a "tensor bundle" of two files that matter (the .meta file holds the graph, which
we do not need):

    model.ckpt.index                  a sorted table: variable name -> type, shape, offset, size
    model.ckpt.data-00000-of-00001    the numbers, one array after another, little-endian

The index is a table in LevelDB's format, read from its end:

    footer, the last 48 bytes: where the metaindex block and the index block are; a magic number
    index block: for each data block where it is
    data blocks: the entries; a key repeats only what differs from the key before it

Each value is a protocol buffer: a BundleHeaderProto under the empty key, a BundleEntryProto
under every variable's name. The checksums of the index are verified; those of the numbers are
not (half a gigabyte takes minutes without a compiled CRC-32C), their sizes are.

Source: LevelDB, doc/table_format.md; TensorFlow, tensorflow/core/protobuf/tensor_bundle.proto,
tensorflow/core/framework/tensor_shape.proto and tensorflow/core/util/tensor_bundle/.
"""

import re
import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from .errors import CourseError

FOOTER_BYTES = 48
TABLE_MAGIC = 0xDB4775248B80FB57
UNCOMPRESSED = 0
BLOCK_TRAILER_BYTES = 5  # compression type, checksum
DT_FLOAT = 1
DTYPE_NAMES = {1: "float32", 2: "float64", 3: "int32", 9: "int64", 14: "bfloat16", 19: "float16"}


def read_tf_checkpoint(folder: Path | str) -> dict[str, np.ndarray]:
    """All variables of the checkpoint in a folder: name -> float32 array.

    The arrays are mapped from the file: read when used. Changing one leaves the file alone.
    """
    index_path = find_index(Path(folder))
    data_path = index_path.with_name(index_path.stem + ".data-00000-of-00001")
    try:
        table = dict(read_table(index_path.read_bytes()))
        header = read_message(table.pop(b""))
        entries = {key.decode(): read_entry(value) for key, value in table.items()}
    except (ValueError, IndexError, KeyError, struct.error) as error:
        raise CourseError(f"{index_path} is damaged ({error}); download the checkpoint again") from None

    # field numbers: num_shards = 1, endianness = 2 (0 is little)
    if header.get(1, [0]) != [1] or header.get(2, [0]) != [0]:
        raise CourseError(f"{index_path} names several or big-endian data files; one little-endian is read")
    for name, (dtype, shape, _, size) in entries.items():
        if dtype != DT_FLOAT:
            kind = DTYPE_NAMES.get(dtype, f"of type {dtype}")
            raise CourseError(f"{name} in {index_path} is {kind}; GPT-2's variables are float32")
        if size != 4 * prod(shape):
            raise CourseError(f"{index_path} is damaged: {name} has shape {shape}, but {size} bytes")

    if not data_path.is_file():
        raise CourseError(f"{data_path} is missing; download the checkpoint again")
    data_bytes = data_path.stat().st_size
    needed = max((offset + size for _, _, offset, size in entries.values()), default=0)
    if data_bytes < max(needed, 1):
        raise CourseError(f"{data_path} has {data_bytes} bytes instead of {needed}; download it again")
    data = np.memmap(data_path, dtype=np.uint8, mode="c")  # c: a change stays in memory
    return {
        name: data[offset : offset + size].view("<f4").reshape(shape)
        for name, (_, shape, offset, size) in entries.items()
    }


def find_index(folder: Path) -> Path:
    """The index of the checkpoint that the folder's `checkpoint` file names, or the only index there."""
    note = folder / "checkpoint"
    if note.is_file():
        named = re.search(r'^model_checkpoint_path: "(.+)"', note.read_text("utf-8", "replace"), re.MULTILINE)
        if named:
            # the note may hold the path of the machine that wrote it; the files lie beside the note
            index = folder / (re.split(r"[/\\]", named[1])[-1] + ".index")
            if index.is_file():
                return index
            raise CourseError(f"{index} is missing, though {note} names it; download the checkpoint again")
    indexes = sorted(folder.glob("*.index"))
    if len(indexes) != 1:
        raise CourseError(f"{folder} holds {len(indexes)} checkpoints (*.index); there should be one")
    return indexes[0]


# The table


def read_table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every key and value of a LevelDB table, in order; a ValueError says what is wrong with it."""
    footer = table[-FOOTER_BYTES:]
    if len(footer) < FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != TABLE_MAGIC:
        raise ValueError("it does not end like a checkpoint index")
    _, position = read_handle(footer, 0)  # the metaindex block, which is empty
    index_block, _ = read_handle(footer, position)
    for _, handle in read_block(table, index_block):
        data_block, _ = read_handle(handle, 0)
        yield from read_block(table, data_block)


def read_block(table: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """The entries of one block.

    An entry: how many bytes of the last key to keep, how many follow, the value's length; then
    the rest of the key, the value. After the entries: restart points (offsets of entries whose
    key stands in full; we read them all, so we need none), and their number.
    """
    offset, size = handle
    end = offset + size
    if end + BLOCK_TRAILER_BYTES > len(table):
        raise ValueError("it ends in the middle of a block")
    if table[end] != UNCOMPRESSED:
        raise ValueError(f"its blocks are compressed, kind {table[end]}, and only uncompressed ones are read")
    (checksum,) = struct.unpack_from("<I", table, end + 1)
    if masked(crc32c(table[offset : end + 1])) != checksum:
        raise ValueError("a block's checksum does not fit")

    block = table[offset:end]
    (num_restarts,) = struct.unpack_from("<I", block, size - 4)
    entries_end = size - 4 - 4 * num_restarts
    key, position = b"", 0
    while position < entries_end:
        shared, position = read_varint(block, position)
        unshared, position = read_varint(block, position)
        value_size, position = read_varint(block, position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + value_size]
        position += value_size


def read_handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    """A block's (offset, size), and the position after it."""
    offset, position = read_varint(data, position)
    size, position = read_varint(data, position)
    return (offset, size), position


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """A number, and the position after it: seven bits a byte, lowest first; the top bit: more follow."""
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, position


CRC_TABLE = []
for crc in range(256):
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)  # Castagnoli's polynomial, bits reversed
    CRC_TABLE.append(crc)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """LevelDB stores checksums rotated and shifted, so that a checksum of checksums stays a good one."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


# The protocol buffers


def read_entry(message: bytes) -> tuple[int, tuple[int, ...], int, int]:
    """A BundleEntryProto's dtype = 1, shape = 2, offset = 4, size = 5; a field that is absent is 0."""
    fields = read_message(message)
    if 7 in fields:
        raise ValueError("a variable is stored in slices")
    dims = [read_message(dim) for shape in fields.get(2, []) for dim in read_message(shape).get(2, [])]
    dtype, offset, size = (fields.get(number, [0])[-1] for number in (1, 4, 5))
    return dtype, tuple(dim.get(1, [0])[-1] for dim in dims), offset, size


def read_message(message: bytes) -> dict[int, list]:
    """The fields of a protocol buffer by number, each a list, for a field may repeat."""
    fields: dict[int, list] = {}
    position = 0
    while position < len(message):
        tag, position = read_varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, position = read_varint(message, position)
        elif wire_type == 2:  # length, then bytes: text, or a message inside this one
            length, position = read_varint(message, position)
            value, position = message[position : position + length], position + length
        elif wire_type == 5:
            value, position = message[position : position + 4], position + 4
        else:
            raise ValueError(f"an entry holds a field of wire type {wire_type}")
        fields.setdefault(number, []).append(value)
    return fields


# From variable names to the tree of chapter 8


def params_from_tf(variables: dict[str, np.ndarray]) -> dict:
    """OpenAI's tree, as chapter 8's params_from_hf gives it, from model/h0/attn/c_attn/w and the like.

    OpenAI wrote a linear layer as a convolution of width 1, so its weight is (1, in, out); the tree
    holds (in, out).
    """
    left = dict(variables)
    missing = []

    def take(name: str) -> np.ndarray | None:
        if name not in left:
            missing.append(name)
            return None
        value = left.pop(name)
        return value[0] if value.ndim == 3 and len(value) == 1 else value

    def pair(name: str, first: str) -> dict:
        return {first: take(f"{name}/{first}"), "b": take(f"{name}/b")}

    numbers = {found[1] for name in variables if (found := re.match(r"model/h(\d+)/", name))}
    params = {"wte": take("model/wte"), "wpe": take("model/wpe"), **pair("model/ln_f", "g")}
    params["blocks"] = [
        {
            "attn": {name: pair(f"model/h{i}/attn/{name}", "w") for name in ("c_attn", "c_proj")},
            "mlp": {name: pair(f"model/h{i}/mlp/{name}", "w") for name in ("c_fc", "c_proj")},
            "ln_1": pair(f"model/h{i}/ln_1", "g"),
            "ln_2": pair(f"model/h{i}/ln_2", "g"),
        }
        for i in range(len(numbers))
    ]
    if missing or left:
        unexpected = [f"{name} {value.shape}" for name, value in left.items()]
        raise CourseError(
            "the checkpoint is not a GPT-2: "
            f"missing {', '.join(missing) or 'nothing'}; unexpected {', '.join(unexpected) or 'nothing'}"
        )
    return params
