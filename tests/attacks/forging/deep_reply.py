"""Replies with a tree that is nested so deeply that reading it overflows."""
# naive: stops
# grader: wire

import json
import os


def send(tree):
    """Write a tree, as JSON, in the form of a reply."""
    header = json.dumps({"__metadata__": {"tree": tree}}).encode()
    data = len(header).to_bytes(8, "little") + header
    data = len(data).to_bytes(8, "big") + data
    while data:
        data = data[os.write(3, data) :]



def attend(x):
    send("[" * 1_000_000)
    return x
