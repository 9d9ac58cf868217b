"""A chain of processes, each of which starts the next and ends, so that none is there when it is looked for."""
# naive: alive

import os
import time

if os.fork() == 0:
    os.setsid()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if os.fork():
            os._exit(0)
    os._exit(0)
