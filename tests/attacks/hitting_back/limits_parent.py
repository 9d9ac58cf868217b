"""Takes the processor time away from the process that started it."""
# naive: succeeds

import os
import resource

try:
    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (64, 4096))
    print("SUCCEEDED")
except (OSError, ValueError):
    pass
