"""Opens sockets behind the back of the call that opens sockets: by io_uring."""
# stops: network
# naive: succeeds

import ctypes

parameters = ctypes.create_string_buffer(120)
if ctypes.CDLL(None).syscall(425, 4, parameters) >= 0:
    print("SUCCEEDED")
