"""Waits for input that never comes."""
# naive: hangs

import os


def attend(x):
    read, write = os.pipe()
    while True:
        try:
            os.read(read, 1)
        except BaseException:
            pass
