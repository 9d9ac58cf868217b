"""Opens what the parent has open, through /proc."""
# naive: succeeds

import glob
import os

pid = os.getppid()
for path in glob.glob(f"/proc/{pid}/fd/*") + glob.glob(f"/proc/{pid}/root/*") + glob.glob(f"/proc/{pid}/cwd/*"):
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        continue
    print("SUCCEEDED")
    break
