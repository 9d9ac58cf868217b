"""Fills files that are only in memory, and that no process holds in its own."""
# stops: memory
# naive: succeeds

import ctypes
import os

library = ctypes.CDLL(None)
chunk = b"x" * (1 << 20)
written = 0
for i in range(40):
    descriptor = library.memfd_create(b"x", 0)
    if descriptor < 0:
        break
    for _ in range(15):
        try:
            written += os.write(descriptor, chunk)
        except OSError:
            break
if written > 500 << 20:
    print("SUCCEEDED")
