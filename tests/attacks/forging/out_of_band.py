"""Sends a byte out of band, which seems to be there, but for which reading waits."""
# naive: hangs
# grader: wire

import socket
import time


def attend(x):
    channel = socket.socket(fileno=3)
    channel.send(b"x", socket.MSG_OOB)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
