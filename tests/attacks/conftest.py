"""Keeps pytest from the attacks themselves: one whose name ends in _test.py once stopped all tests of this process."""

collect_ignore_glob = ["*/*"]
