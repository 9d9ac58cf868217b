"""Makes namespaces of its own, in which it is root, to mount what was hidden."""
# naive: succeeds

import ctypes
import os

library = ctypes.CDLL(None, use_errno=True)
if os.fork() == 0:
    if library.unshare(0x10000000) == 0:  # users
        os.write(1, b"SUCCEEDED\n")
    os._exit(0)
os.wait()
stack = ctypes.create_string_buffer(1 << 16)
top = ctypes.c_void_p(ctypes.addressof(stack) + (1 << 15))
if os.uname().machine == "x86_64":
    pid = library.syscall(56, 0x10000000 | 17, None, None, None, None)  # clone, with new users
    if pid == 0:
        os._exit(0)
    if pid > 0:
        os.waitpid(pid, 0)
        print("SUCCEEDED")
