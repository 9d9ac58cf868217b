"""Has forty processes at a time."""
# stops: processes
# harmless: no
# naive: succeeds

import os
import time

MOST = 40  # the naive grader's machine is to survive this
hold, let_go = os.pipe()
started = 0
while started < MOST:
    try:
        pid = os.fork()
    except OSError:
        break
    started += 1
    if pid == 0:
        os.close(let_go)
        os.read(hold, 1)  # until the first process ends, so that all live at once however slow the machine
        os._exit(0)
time.sleep(0.3)  # where the kernel does not count, somebody has to notice
os.close(let_go)
if started == MOST:
    print("SUCCEEDED")
