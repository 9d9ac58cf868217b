"""Sleeps in C without letting go of the interpreter's lock."""
# naive: hangs

import ctypes


def attend(x):
    ctypes.PyDLL(None).sleep(60)
