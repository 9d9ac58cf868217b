"""Kills the process that started it."""
# naive: stops

import os
import signal

try:
    os.kill(os.getppid(), signal.SIGKILL)
except OSError:
    pass
