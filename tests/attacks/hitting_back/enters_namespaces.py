"""Enters the namespaces of other processes."""
# naive: succeeds

import ctypes
import os

library = ctypes.CDLL(None, use_errno=True)
for pid in (os.getppid(), 1):
    pidfd = library.syscall(434, pid, 0)
    for kind in ("user", "mnt", "pid", "net", "ipc"):
        try:
            descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
        except OSError:
            continue
        print("SUCCEEDED")  # being able to open it is more than it should
        library.setns(descriptor, 0)
    library.setns(pidfd, 0x20000)
