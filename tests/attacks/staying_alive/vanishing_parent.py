"""Starts a child, and ends at once, so that the child is an orphan before anybody looks."""
# naive: alive

import os
import time


def attend(x):
    if os.fork() == 0:
        time.sleep(20)
        os._exit(0)
    os._exit(0)
