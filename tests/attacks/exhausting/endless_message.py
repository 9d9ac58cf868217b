"""Raises an exception whose text takes for ever."""
# naive: hangs

import time


class Slow(ValueError):
    def __str__(self):
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass


def attend(x):
    raise Slow
