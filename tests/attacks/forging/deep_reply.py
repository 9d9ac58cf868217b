"""Replies with a tree that is nested so deeply that reading it overflows."""
# naive: stops
# grader: wire

import json
import os
import sys


def number():
    """Of what was asked, so that the reply is looked at."""
    frame = sys._getframe()
    while frame and "request" not in frame.f_locals:
        frame = frame.f_back
    return (frame.f_locals["request"]["number"] if frame else "0").encode().ljust(16)


def send(tree):
    """Write a tree, as JSON, in the form of a reply."""
    header = json.dumps({"__metadata__": {"tree": tree}}).encode()
    data = len(header).to_bytes(8, "little") + header
    data = len(data).to_bytes(8, "big") + number() + data
    while data:
        data = data[os.write(3, data) :]


def attend(x):
    send("[" * 1_000_000)
    return x
