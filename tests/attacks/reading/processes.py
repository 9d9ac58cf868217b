"""Looks for the secret in the environment, the arguments and the memory of all processes."""
# naive: succeeds

import glob
import os

for name in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    try:
        text = open(name, errors="replace").read()
    except OSError:
        continue
    if "SECRET-OF-THE-COURSE" in text:
        print("SUCCEEDED")
        break
for pid in (os.getppid(), 1):
    try:
        for line in open(f"/proc/{pid}/maps"):
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            with open(f"/proc/{pid}/mem", "rb", 0) as memory:
                memory.seek(start)
                if b"SECRET-OF-THE-" + b"COURSE" in memory.read(min(end - start, 1 << 24)):
                    print("SUCCEEDED")
                    break
    except (OSError, ValueError):
        pass
