"""Ends the process with success when a function is called."""
# naive: exit

import os


def attend(x):
    os._exit(0)
