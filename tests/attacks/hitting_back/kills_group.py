"""Sends a signal to all of its group."""
# naive: stops

import os
import signal


def attend(x):
    os.killpg(0, signal.SIGKILL)
