"""Copies the open files of the process that started it."""
# naive: succeeds

import ctypes
import os

library = ctypes.CDLL(None, use_errno=True)
pidfd = library.syscall(434, os.getppid(), 0)
for number in range(64):
    if library.syscall(438, pidfd, number, 0) >= 0:
        print("SUCCEEDED")
        break
