"""Ends the process when an object is collected."""
# naive: exit

import os


class Last:
    def __del__(self):
        os._exit(0)


def attend(x):
    Last()
    return x
