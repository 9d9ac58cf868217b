"""Attaches to the process that started it, as a debugger does."""
# naive: succeeds

import ctypes
import os

library = ctypes.CDLL(None, use_errno=True)
parent = os.getppid()
if library.ptrace(16, parent, None, None) == 0:  # PTRACE_ATTACH
    print("SUCCEEDED")
    os.waitpid(parent, 0x40000000)
    library.ptrace(17, parent, None, None)
