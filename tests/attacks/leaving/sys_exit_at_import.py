"""Raises SystemExit while it is imported."""
# put: before
# naive: stops
# grader: wire

import sys

sys.exit(0)
