"""Writes into the memory of the process that started it."""
# naive: succeeds

import ctypes
import os


class Part(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


own = ctypes.create_string_buffer(b"same")
part = Part(ctypes.addressof(own), 1)
library = ctypes.CDLL(None, use_errno=True)
parent = os.getppid()
other = Part(ctypes.addressof(own), 1)  # a fork has the same addresses
for call in (library.process_vm_readv, library.process_vm_writev):
    if call(parent, ctypes.byref(part), 1, ctypes.byref(other), 1, 0) == 1:
        print("SUCCEEDED")
try:
    with open(f"/proc/{parent}/mem", "r+b", 0) as memory:
        memory.seek(ctypes.addressof(own))
        memory.write(memory.read(1))
        print("SUCCEEDED")
except OSError:
    pass
