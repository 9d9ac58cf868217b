"""Overflows the stack in C."""
# naive: crashes

import sys


def attend(x):
    sys.setrecursionlimit(10**9)
    deep = []
    for _ in range(100_000):
        deep = [deep]
    return repr(deep)
