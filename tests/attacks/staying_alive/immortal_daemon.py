"""Leaves a daemon behind that ignores every signal that can be ignored, and keeps the descriptors open."""
# naive: alive

import os
import signal
import time

if os.fork() == 0:
    os.setsid()
    for number in signal.valid_signals():
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    if os.fork() == 0:
        while True:
            time.sleep(1)
    os._exit(0)
