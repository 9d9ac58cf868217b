"""Ends the process from a thread, a moment after everything was imported."""
# naive: exit

import os
import threading

threading.Timer(0.02, os._exit, [0]).start()
_mine = attend


def attend(x):
    import time

    time.sleep(0.05)
    return _mine(x)
