"""Says that a reply of 2^63 bytes is to come."""
# naive: stops
# grader: wire

import os


def attend(x):
    os.write(3, (1 << 63).to_bytes(8, "big") + b"x" * 100_000)
    return x
