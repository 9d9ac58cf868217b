"""Lets the kernel send the signal: it owns a file, whose signals go to the parent."""
# naive: stops

import fcntl
import os
import signal

read, write = os.pipe()
try:
    fcntl.fcntl(read, fcntl.F_SETOWN, os.getppid())
    fcntl.fcntl(read, 10, signal.SIGKILL)
    fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC)
except OSError:
    pass
os.write(write, b"x")
