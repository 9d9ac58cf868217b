"""Replies to several checks with fields of other types, each under its right number."""
# naive: stops
# grader: wire

import grader.worker

_write = grader.worker.write_frame
_odd = [
    {"outcome": ["seen"]},
    {"outcome": "passed", "points": 100},
    {"outcome": "error", "fault": ["SystemExit", "x", [["attention.py", -(10**4000), "f"]] * 50]},
    {"outcome": "forbidden", "use": ["x" * 10_000, 10**4000]},
]


def _write_odd(channel, tree, **more):
    _write(channel, _odd.pop() | {"number": tree["number"]} if _odd else tree, **more)


def attend(x):
    grader.worker.write_frame = _write_odd
    return x
