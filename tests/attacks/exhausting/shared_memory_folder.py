"""Fills folders that are only in memory."""
# stops: disk
# naive: succeeds

import os

chunk = b"x" * (1 << 20)
written = 0
paths = [f"{folder}/MARK-{i}" for folder in ("/dev/shm", "/dev", "/dev/mqueue", "/run") for i in range(10)]
for path in paths:
    try:
        with open(path, "wb") as file:
            for _ in range(10):
                written += file.write(chunk)
    except OSError:
        pass
if written >= 100 << 20:
    print("SUCCEEDED")
for path in paths:  # the naive grader's machine is to survive this
    if os.path.exists(path):
        os.unlink(path)
