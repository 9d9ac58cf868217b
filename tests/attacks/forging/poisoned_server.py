"""Changes the grader's own modules, in the hope that the next student's process has them too."""
# naive: passed
# grader: wire

import grader.observations
import grader.observe
import grader.worker

_write = grader.worker.write_frame
grader.observations.freeze = grader.observe.freeze = lambda tree: None
grader.worker.canary = lambda request: {"outcome": "seen", "observation": None}
grader.worker.write_frame = lambda channel, tree: _write(channel, tree | {"observation": None, "passed": True})
