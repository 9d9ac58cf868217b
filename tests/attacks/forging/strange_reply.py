"""Replies with the right number, but with fields of other types."""
# naive: stops
# grader: wire

import grader.worker

_write = grader.worker.write_frame
_odd = [
    {"outcome": ["seen"]},
    {"outcome": "passed", "points": 100},
    {"outcome": "error", "fault": None},
    {"outcome": "error", "fault": ["ValueError", "x", [["attention.py", True, "f"]]]},
    {"outcome": "error", "fault": ["SystemExit", "x", [["attention.py", -(10**4000), "f"]] * 50]},
    {"outcome": "forbidden", "use": ["x" * 10_000, 10**4000]},
    {"outcome": "timeout", "fault": ["TimeUp", "\ud800" * 5000, []]},
    {"outcome": "not started", "fault": ["NotImplementedError", "attend: not written yet", []]},
]


def _write_odd(channel, tree):
    _write(channel, _odd.pop() | {"number": tree["number"]} if _odd else tree)


def attend(x):
    grader.worker.write_frame = _write_odd
    return x
