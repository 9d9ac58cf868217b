"""Sends its reply so slowly that each byte comes in time."""
# naive: hangs
# grader: wire

import os
import time


def attend(x):
    os.write(3, (100_000).to_bytes(8, "big"))
    while True:
        try:
            time.sleep(0.01)
            os.write(3, b"x")
        except BaseException:
            pass
