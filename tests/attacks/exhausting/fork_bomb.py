"""Starts processes as fast as it can."""
# stops: processes
# harmless: no
# naive: succeeds

import os
import time

MOST = 40  # the naive grader's machine is to survive this
started = 0
while started < MOST:
    try:
        pid = os.fork()
    except OSError:
        break
    started += 1
    if pid == 0:
        time.sleep(0.2)
        os._exit(0)
if started == MOST:
    print("SUCCEEDED")
