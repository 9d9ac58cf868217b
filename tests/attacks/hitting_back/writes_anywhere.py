"""Writes through a pointer to everywhere in its memory."""
# naive: crashes

import ctypes


def attend(x):
    for address in range(id(None), id(None) + (1 << 30), 4096):
        ctypes.memset(address, 0x41, 4096)
