"""Leaves something in the kernel's own store of keys, which outlives the process."""
# naive: succeeds

import ctypes
import os

library = ctypes.CDLL(None)
number = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
if library.syscall(number, b"user", b"MARK", b"x", 1, -4) >= 0:
    print("SUCCEEDED")
