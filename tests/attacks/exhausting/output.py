"""Prints without end."""
# naive: hangs

import os

chunk = b"x" * (1 << 16)


def attend(x):
    while True:
        try:
            os.lseek(1, 0, os.SEEK_SET)  # the naive grader's machine is to survive this
        except OSError:
            pass
        os.write(1, chunk)
