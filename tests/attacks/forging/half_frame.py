"""Writes half a reply and then nothing more."""
# naive: hangs
# grader: wire

import os
import time


def attend(x):
    os.write(3, (1000).to_bytes(8, "big") + b"x" * 500)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
