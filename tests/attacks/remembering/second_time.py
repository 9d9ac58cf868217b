"""Fails the first time and does something else the second time, when it is tried again."""
# stops: writing
# naive: left

import os
import sys

note = "/tmp/MARK-second"
if os.path.exists(note):
    print("SUCCEEDED")
    from solution import attend
else:
    open(note, "w").close()
    if "pytest" not in sys.modules:
        os._exit(1)
