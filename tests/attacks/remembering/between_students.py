"""Leaves a note for the next run, of this or another submission."""
# stops: writing
# naive: left

import os

for folder in {"/tmp", "/dev/shm", "/dev", "/var/tmp", "/run/lock", os.path.expanduser("~")}:
    path = os.path.join(folder, "MARK-note")
    if os.path.exists(path):
        print("SUCCEEDED")
    try:
        open(path, "w").close()
    except OSError:
        pass
