"""Runs machine code of its own, in memory that may be written and executed."""
# naive: crashes

import ctypes
import mmap


def attend(x):
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(b"\x0f\x0b" * 2000)  # what no processor takes for an instruction
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
