"""Takes shared memory and lets go of it again, so that it is nobody's."""
# stops: memory
# naive: succeeds

import ctypes

library = ctypes.CDLL(None)
library.shmat.restype = ctypes.c_void_p
library.shmdt.argtypes = [ctypes.c_void_p]
kept = []
for i in range(12):
    number = library.shmget(0, 50 << 20, 0o600)
    if number < 0:
        break
    address = library.shmat(number, None, 0)
    ctypes.memset(address, 1, 50 << 20)
    library.shmdt(address)
    kept.append(number)
if len(kept) == 12:
    print("SUCCEEDED")
for number in kept:  # the naive grader's machine is to survive this
    library.shmctl(number, 0, None)
